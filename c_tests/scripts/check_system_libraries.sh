#!/bin/sh
# check_system_libraries.sh RUSTC NAME...: the libraries that a static link is told to add are those
# that rustc asks for, without the C library and the compiler's own, which the C compiler adds.
set -eu
rustc=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
: > "$folder/empty.rs"
"$rustc" --crate-type staticlib --crate-name empty --out-dir "$folder" \
    "--print=native-static-libs=$folder/list" "$folder/empty.rs" 2>/dev/null
wanted=$(tr ' ' '\n' < "$folder/list" | sed -e 's/^-l//' -e '/^$/d' -e '/^c$/d' -e '/^gcc_s$/d' | sort)
given=$(printf '%s\n' "$@" | sort)
if [ "$wanted" != "$given" ]; then
    echo "rustc asks for:" $wanted
    echo "cmake/AtlasCargo.cmake has:" $given
    exit 1
fi
