#!/bin/bash
# check_dist.sh [FOLDER]: a release is the same byte for byte when it is made from clones in two folders of different
# length. Then its packages work: the TGZ below another prefix, and the .deb files in a folder of their own, each
# with a program that finds them. Works below FOLDER; needs git; ten minutes.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Absolute, because the releases are made from within the clones.
work=$(mktemp -d "$(realpath "${1:-${TMPDIR:-/tmp}}")/dist-XXXXXX")
trap 'rm -rf "$work"' EXIT
first=$work/a second=$work/another_folder_with_a_longer_name

# The second is a clone of the first: whatever is committed meanwhile, both have the same commit.
git clone --quiet "$source" "$first"
git clone --quiet "$first" "$second"
for clone in "$first" "$second"; do
    (cd "$clone" && scripts/dist.sh "$clone-dist")
done
diff -r "$first-dist" "$second-dist"
echo 'two releases from two folders are the same'

cd "$first-dist"
sha256sum --quiet -c SHA256SUMS
consumer=$source/c_tests/consumer
# try PREFIX: the consumer, built with the files there.
try() {
    cmake -S "$consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$1" -DCMAKE_BUILD_TYPE=Release > "$work/log"
    cmake --build "$work/build" > "$work/log"
    (cd "$work/build" && ctest --output-on-failure > "$work/log") || { cat "$work/log"; exit 1; }
    rm -rf "$work/build"
}
mkdir "$work/tgz" "$work/deb"
tar -C "$work/tgz" --strip-components=1 -xzf atlas_manifold-*-linux-*.tar.gz
try "$work/tgz"
"$work/tgz/bin/atlasm" hash -c ROOTS
for package in *.deb; do dpkg-deb -x "$package" "$work/deb"; done
try "$work/deb/usr"
"$work/deb/usr/bin/atlasm" --version
# The debug files are those of the programs.
for file in "$work/deb/usr/bin/atlasm" "$work"/deb/usr/lib/*/libatlas_manifold.so.*.*.*; do
    id=$(readelf -n "$file" | sed -n 's/ *Build ID: //p')
    debug=$work/deb/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug
    readelf -S "$debug" | grep -q '\.debug_line' || { echo "$debug has no lines of $file"; exit 1; }
done
echo 'the packages work'
