#!/bin/sh
# abi.sh describe HEADER            prints the ABI of the C header, a line an item
# abi.sh check HEADER FOLDER        compares it with FOLDER/released.txt: nothing may be changed or removed; additions
#                                   must stand in FOLDER/added.txt
# abi.sh update HEADER FOLDER       writes FOLDER/added.txt anew; refuses where something was changed or removed
# abi.sh release HEADER FOLDER      makes all that is there the released ABI: when a version is released, or when a
#                                   number of the ABI (soname) begins anew
#
# Names, types and parameters are those of the header's text; sizes, offsets and values are those of the compiler. A
# struct that begins with struct_size may grow at its end: its new fields and its new size are added items. Layouts are
# those of machines with 64 bits.
set -eu
export LC_ALL=C
cc=${CC:-cc}

# Declarations, one a line, without comments, preprocessor and ATLAS_API.
declarations() {
    "$cc" -E -P -DATLAS_API= "$1" > "$work/whole.i"
    # From the first name of ours on: earlier names are the system's.
    tr '\n\t' '  ' < "$work/whole.i" | awk '
        {
            depth = 0; text = ""
            for (i = 1; i <= length($0); i++) {
                c = substr($0, i, 1)
                if (c == "{") depth++
                if (c == "}") depth--
                if (c == ";" && depth == 0) { print text; text = "" } else text = text c
            }
        }' | sed 's/  */ /g; s/^ //; s/ $//' | grep -E '[^a-z_]atlas_[a-z0-9_]+'
}

# Lines "kind what rest" that the program below completes. Names of parameters mean nothing to a caller.
items() {
    declarations "$1" | awk '
        function trim(s) { sub(/^ +/, "", s); sub(/ +$/, "", s); return s }
        # The name of a field or parameter, without its type.
        function name_of(s) { sub(/\[[^]]*\]$/, "", s); match(s, /[A-Za-z0-9_]+$/); return substr(s, RSTART) }
        /^typedef enum / {
            body = $0; sub(/^[^{]*\{/, "", body); sub(/\}[^}]*$/, "", body)
            tag = $3; count = split(body, values, ",")
            for (i = 1; i <= count; i++) { v = trim(values[i]); sub(/ *=.*/, "", v); if (v != "") print "value " tag " " v }
            print "enum " tag
            next
        }
        /^typedef struct [a-z0-9_]+ \{/ {
            tag = $3; body = $0; sub(/^[^{]*\{/, "", body); sub(/\}[^}]*$/, "", body)
            count = split(body, fields, ";")
            print "struct " tag
            for (i = 1; i <= count; i++) { f = trim(fields[i]); if (f != "") print "field " tag " " name_of(f) " " f }
            next
        }
        /^typedef struct / { print "handle " $3; next }
        /^typedef / { print "type " substr($0, 9); next }
        /\(/ { print "function " $0 }' |
        sed '/^\(type\|function\) /{s/_fn)(/_fn@(/;s/\([ *]\)[a-z_0-9]\{1,\}\(\(\[[0-9]*\]\)\{0,1\}[,)]\)/\1\2/g;s/_fn@(/_fn)(/;s/ \([,)]\)/\1/g;}'
    sed -n 's/^#define \(ATLAS_[A-Z0-9_]*\) [0-9].*/macro \1/p' "$1"
}

describe() {
    items "$1" > "$work/items"
    header=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
    {
        printf '#include <stdio.h>\n#include <stddef.h>\n#include "%s"\nint main(void) {\n' "$header"
        awk '
            function quoted(s) { gsub(/["\\]/, "\\\\&", s); return s }
            $1 == "value" { printf "printf(\"value %s %s = %%lld\\n\", (long long)%s);\n", $2, $3, $3 }
            $1 == "enum" { printf "printf(\"enum %s size %%zu\\n\", sizeof(enum %s));\n", $2, $2 }
            $1 == "struct" { printf "printf(\"struct %s size %%zu\\n\", sizeof(struct %s));\n", $2, $2 }
            $1 == "field" {
                text = $0; sub(/^field [^ ]+ [^ ]+ /, "", text)
                printf "printf(\"field %s.%s at %%zu: %s\\n\", offsetof(struct %s, %s));\n", $2, $3, quoted(text), $2, $3
            }
            $1 == "macro" && $2 !~ /^ATLAS_MANIFOLD_VERSION/ { printf "printf(\"macro %s = %%lld\\n\", (long long)%s);\n", $2, $2 }
            $1 == "handle" || $1 == "type" || $1 == "function" { printf "puts(\"%s\");\n", quoted($0) }' "$work/items"
        printf 'return 0;\n}\n'
    } > "$work/layout.c"
    "$cc" "$work/layout.c" -o "$work/layout"
    "$work/layout" | sort
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
action=${1-} header=${2-} folder=${3-}
case $action in
    describe | check | update | release) ;;
    *) echo 'usage: abi.sh describe HEADER | check HEADER FOLDER | update HEADER FOLDER | release HEADER FOLDER' >&2; exit 2 ;;
esac
describe "$header" > "$work/now"
[ "$action" != describe ] || { cat "$work/now"; exit; }
if ! grep -qx 'field atlas_buffer.size at 8: size_t size' "$work/now"; then
    echo 'skipped: the released layouts are those of machines with 64 bits'
    exit
fi
if [ "$action" = release ]; then
    cp "$work/now" "$folder/released.txt"
    : > "$folder/added.txt"
    exit
fi

comm -23 "$folder/released.txt" "$work/now" > "$work/gone"
comm -13 "$folder/released.txt" "$work/now" > "$work/new"
# A struct that begins with its size may grow.
awk '
    FILENAME == ARGV[1] && $1 == "field" && $2 ~ /\.struct_size$/ && $4 == "0:" { sub(/\..*/, "", $2); sized[$2] = 1 }
    FILENAME == ARGV[1] && $1 == "struct" { now[$2] = $4 }
    FILENAME == ARGV[2] { if ($1 == "struct" && sized[$2] && now[$2] > $4) next; print }' "$work/now" "$work/gone" > "$work/bad"
if [ -s "$work/bad" ]; then
    sed 's/^/gone or changed: /' "$work/bad"
    echo "a program that was compiled with a released header depends on these ($folder/released.txt)"
    exit 1
fi
if [ "$action" = update ]; then
    cp "$work/new" "$folder/added.txt"
    echo "$(wc -l < "$folder/added.txt") items were added since the release"
elif ! diff "$folder/added.txt" "$work/new"; then
    echo "$folder/added.txt (<) does not list what was added to the ABI (>): \`make abi\` renews it"
    exit 1
else
    echo "$(wc -l < "$folder/released.txt") released items are as they were, and $(wc -l < "$work/new") were added"
fi
