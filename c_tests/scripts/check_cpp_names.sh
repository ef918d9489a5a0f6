#!/bin/sh
# check_cpp_names.sh HEADER HPP SOURCE [PROGRAM]: everything of the C header is reachable through the C++ one.
#
#   functions   PROGRAM, made of SOURCE, which names nothing of C, calls all that the C header declares
#   values      each enumerator and macro of the C header stands in HPP
#   fields      HPP reads or writes each field of each struct; those of structs that it hands on as they are are left out
set -eu
export LC_ALL=C
scripts=$(dirname "$0")
header=$1 hpp=$2 source=$3 program=${4-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

if grep -nE '(^|[^a-z_"])(atlas_[a-z]|ATLAS_[A-Z])' "$source" | grep -vE '#include <atlas_manifold.hpp>|^[0-9]+://'; then
    echo "$source names these of the C header: it shows what the C++ header can do alone"
    failed=1
fi
if [ -z "$program" ]; then
    echo 'skipped: there is no program with the shared library'
    exit
fi
"$scripts/symbols.sh" "$header" > "$work/functions"
"${NM:-nm}" -D --undefined-only "$program" | awk '$2 ~ /^atlas_/ { print $2 }' | sort > "$work/called"
if ! diff "$work/functions" "$work/called"; then
    echo "the C functions marked < are not called by $source through $hpp: add a method, and a test of it there"
    failed=1
fi

# Without comments.
sed 's|//.*||' "$hpp" > "$work/code"
"$scripts/abi.sh" describe "$header" > "$work/items"
awk '$1 == "value" { print $3 } $1 == "macro" { print $2 }' "$work/items" > "$work/values"
while read -r name; do
    grep -qw "$name" "$work/code" || { echo "$hpp has no name for $name"; failed=1; }
done < "$work/values"
awk '$1 == "field" { sub(/:$/, "", $4); split($2, part, "."); print part[1], part[2] }' "$work/items" |
    grep -vE '^(atlas_region|atlas_delta|atlas_buffer|atlas_transform_params) | (struct_size|reserved)$' > "$work/fields"
while read -r struct field; do
    grep -qE "(\.|->)$field([^a-z_0-9]|\$)" "$work/code" || { echo "$hpp does not use $struct.$field"; failed=1; }
done < "$work/fields"
[ $failed = 0 ] || exit 1
echo "$(wc -l < "$work/functions") functions, $(wc -l < "$work/values") values and $(wc -l < "$work/fields") fields"
