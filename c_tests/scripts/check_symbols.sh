#!/bin/sh
# check_symbols.sh header|shared|dll|static FILE LIST: the names in FILE are those of LIST, line by line.
set -eu
export LC_ALL=C
case $1 in
    header) names=$("$(dirname "$0")/symbols.sh" "$2") ;;
    shared) names=$("${NM:-nm}" -D --defined-only "$2" | awk '{ print $3 }' | sort) ;;
    dll) names=$("${OBJDUMP:-objdump}" -p "$2" | sed -n '/Ordinal\/Name Pointer/,/^$/s/^\t\[ *[0-9]*\] *\(+base\[ *[0-9]*\] *[0-9a-f]* \)*//p' | sort) ;;
    static) names=$("${NM:-nm}" -g --defined-only "$2" | awk 'NF == 3 { print $3 }' | sort) ;;
    *) echo "unknown kind $1"; exit 2 ;;
esac
if printf '%s\n' "$names" | diff "$3" -; then
    echo "$(wc -l < "$3") names"
else
    echo "$3 (<) and $2 (>) differ; after a change of the header \`make generate\` renews the list"
    exit 1
fi
