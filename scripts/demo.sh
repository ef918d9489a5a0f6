#!/bin/sh
# demo.sh PROGRAMS ATLASM [FILE]: the demonstrations in the folder PROGRAMS, and the command line, on a file, by
# default on the largest library of the Rust toolchain, which every machine that builds this has.
set -eu
programs=$1 atlasm=$2 file=${3-}

if [ -z "$file" ]; then
    libraries=$(rustc --print sysroot)/lib
    file=$(find "$libraries" -name '*.so*' -type f -printf '%s %p\n' | sort -rn | sed -n '1s/^[0-9]* //p')
    if [ -z "$file" ]; then
        echo "no shared library in $libraries: name a file, as in 'make demo FILE=path'" >&2
        exit 1
    fi
fi
"$programs/example_demo" "$file"
printf '\nThe same file as 96 classes, of which any 64 rebuild it:\n\n'
"$programs/example_classes" "$file"
printf '\nA parity file beside a copy of it, which loses bytes, bits and its end:\n\n'
"$programs/example_parity" "$file"
printf '\nThe same file in a container that stores digests and edits:\n\n'
"$programs/example_container" "$file"

printf '\nA copy of it from the command line: sealed, damaged, verified, repaired:\n\n'
case $atlasm in /*) ;; *) atlasm=$PWD/$atlasm ;; esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$file" "$folder/file"
cd "$folder"
size=$(wc -c < file)
run() { printf '$ atlasm %s\n' "$*"; "$atlasm" "$@"; }
# Reported damage is the subject of the next step, and no failure of the demonstration.
damaged() { run "$@" || [ $? = 3 ]; }
run seal --parity 5% file
run verify file
for at in 7 3 2; do
    printf '$ printf DAMAGE | dd of=file bs=1 seek=%s conv=notrunc\n' $((size / at))
    printf DAMAGE | dd of=file bs=1 seek=$((size / at)) conv=notrunc status=none
done
damaged verify --map file
run repair --map --discard file
run verify file
