#!/bin/bash
# reproducible.sh [FOLDER]: the shared and the static library have the same bytes when they are built from
# copies of this source in two folders of different length, by two users whose CARGO_HOME differs. Neither
# names a folder of the machine, and nor does a third build, with RUSTFLAGS in the environment that ask for
# debug information. Works below FOLDER, by default a temporary one; three release builds, some minutes.
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=${scripts%/c_tests/scripts}
home=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
sysroot=$(rustc --print sysroot)
work=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/reproducible-XXXXXX")
trap 'rm -rf "$work"' EXIT
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
libraries=(libatlas_manifold.so libatlas_manifold.a)

# copy FOLDER: the source, without build outputs.
copy() {
    mkdir -p "$1"
    tar -C "$source" --exclude=./.git --exclude=./build --exclude=target -c . | tar -C "$1" -x
}

# build SOURCE BUILD: both libraries.
build() {
    cmake -S "$1" -B "$2" -DCMAKE_BUILD_TYPE=Release > "$2.log" 2>&1 &&
        cmake --build "$2" --target atlas_manifold_libraries >> "$2.log" 2>&1 || { cat "$2.log"; exit 1; }
    for library in "${libraries[@]}"; do
        "$scripts/check_paths.sh" "$2/lib/$library" "$work" "$home" "$sysroot"
    done
}

copy "$work/a"
build "$work/a" "$work/a/build"

long=$work/a-folder-with-a-much-longer-name/below/another
copy "$long"
ln -s "$home" "$work/home-of-another-user"
CARGO_HOME=$work/home-of-another-user build "$long" "$work/built-elsewhere"

status=0
for library in "${libraries[@]}"; do
    if cmp "$work/a/build/lib/$library" "$work/built-elsewhere/lib/$library"; then
        echo "$library: the same $(stat -c %s "$(realpath "$work/a/build/lib/$library")") bytes, $(sha256sum < "$work/a/build/lib/$library" | cut -c 1-16)"
    else
        status=1
    fi
done

RUSTFLAGS='-C debuginfo=1' build "$work/a" "$work/flags"
echo 'with RUSTFLAGS set: no folder of this machine'
exit $status
