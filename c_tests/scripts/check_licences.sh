#!/bin/sh
# check_licences.sh LICENCES: which SPDX expressions scripts/licences.sh agrees to, and which it refuses.
set -eu
licences=$1
fail() { echo "failed: $*"; exit 1; }

judge() { printf '%s|a_package v1.0.0\n' "$2" | "$licences" judge "$1"; }
agrees() { judge "$1" "$2" > /dev/null || fail "$1 refuses $2"; }
refuses() {
    if said=$(judge "$1" "$2"); then fail "$1 agrees to '$2'"; fi
    case $said in *a_package*"$2"*) ;; *) fail "it does not name the package and the licence: $said" ;; esac
}

agrees library 'MIT'
agrees library 'MIT/Apache-2.0'
agrees library 'MIT OR GPL-3.0-only'
agrees library 'GPL-3.0-only OR LGPL-2.1-or-later OR Apache-2.0'
agrees library '(MIT OR Apache-2.0) AND Unicode-3.0'
agrees library 'Apache-2.0 WITH LLVM-exception'
agrees library 'GPL-3.0-only AND MIT OR Zlib'

refuses library 'GPL-3.0-only'
refuses library 'MIT AND GPL-3.0-only'
refuses library 'GPL-3.0-only AND (MIT OR Zlib)'
refuses library '(MIT OR Apache-2.0) AND LicenseRef-ours'
refuses library 'GPL-2.0-only WITH Classpath-exception-2.0'
refuses library 'MIT WITH some-exception'
refuses library ''
refuses library '(MIT'
refuses library 'MIT)'
refuses library 'MIT MIT'
refuses library 'MIT OR'

# What a tool may have and the library may not.
agrees tools 'MPL-2.0'
refuses library 'MPL-2.0'
refuses tools 'AGPL-3.0-only'

# One bad package among good ones, and a list that is empty because something went wrong.
if printf 'MIT|a v1\nAGPL-3.0-only|b v1\nMIT|c v1\n' | "$licences" judge library > /dev/null; then
    fail 'the second of three was not looked at'
fi
if "$licences" judge library < /dev/null > /dev/null; then fail 'an empty list is in order'; fi
if "$licences" judge nothing < /dev/null 2> /dev/null; then fail 'an unknown set is in order'; fi
