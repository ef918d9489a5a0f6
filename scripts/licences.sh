#!/bin/sh
# licences.sh               refuses every dependency whose licence does not go with ours, MIT OR Apache-2.0
# licences.sh judge SET     the same for the lines `LICENCE|PACKAGE` of the standard input; SET is
#                           library (crates linked into the library) or tools (crates that build or test it)
#
# A licence is an SPDX expression, in which a slash is the older spelling of OR.
set -eu
cd "$(dirname "$0")/.."

# These ask for no more than a notice, so that a program with the library in it may have any licence.
permissive='MIT,MIT-0,Apache-2.0,Apache-2.0 WITH LLVM-exception,BSD-2-Clause,BSD-3-Clause,ISC,Zlib,0BSD,CC0-1.0,Unlicense,Unicode-3.0'
# The MPL asks for the source of its own files, and no file of a tool is in what we give away.
for_tools="$permissive,MPL-2.0"

judge() {
    case $1 in
        library) allowed=$permissive ;;
        tools) allowed=$for_tools ;;
        *) echo "licences: the set '$1' is not library or tools" >&2; return 2 ;;
    esac
    awk -F '|' -v allowed="$allowed" -v set="$1" '
        function either(  good, next_good) {
            good = both()
            while (token[at] == "OR") { at++; next_good = both(); good = good || next_good }
            return good
        }
        function both(  good, next_good) {
            good = one()
            while (token[at] == "AND") { at++; next_good = one(); good = good && next_good }
            return good
        }
        function one(  good, name) {
            if (token[at] == "(") {
                at++
                good = either()
                if (token[at++] != ")") return 0
                return good
            }
            name = token[at++]
            if (token[at] == "WITH") { name = name " WITH " token[at + 1]; at += 2 }
            return name in allow
        }
        BEGIN { count = split(allowed, names, ","); for (i = 1; i <= count; i++) allow[names[i]] = 1 }
        {
            text = $1
            gsub(/\//, " OR ", text); gsub(/\(/, " ( ", text); gsub(/\)/, " ) ", text)
            delete token
            last = split(text, token, " ")
            at = 1
            # A rest that is not understood is not agreed to.
            if (!(either() && at == last + 1)) {
                printf "licences: %s has the licence \"%s\"; a dependency (%s) needs one of: %s\n", $2, $1, set, allowed
                refused = 1
            }
            packages++
        }
        END {
            if (!packages) { print "licences: no package was listed"; exit 1 }
            if (!refused) printf "licences: %d packages (%s) in order\n", packages, set
            exit refused
        }'
}

# dependencies CARGO-TREE-OPTION...: of every target and feature, without the packages of this folder. An
# empty line stands between the trees of a workspace.
dependencies() {
    listed=$(cargo tree --locked --quiet --all-features --target all --prefix none --no-dedupe --format '{l}|{p}' "$@")
    printf '%s\n' "$listed" | grep -vF "($PWD" | sed '/^$/d' | sort -u
}

case ${1-} in
    '')
        list=$(dependencies --package atlas_manifold --edges normal)
        printf '%s\n' "$list" | judge library
        # The program is given away too.
        list=$(dependencies --package atlasm --edges normal)
        printf '%s\n' "$list" | judge library
        list=$(dependencies --workspace --edges normal,build,dev)
        printf '%s\n' "$list" | judge tools
        ;;
    judge) judge "${2-}" ;;
    *) echo 'usage: licences.sh [judge library|tools]' >&2; exit 2 ;;
esac
