#!/bin/sh
# demo.sh PROGRAMS [FILE]: the demonstrations in the folder PROGRAMS on a file, by default on the
# largest library of the Rust toolchain, which every machine that builds this has.
set -eu
programs=$1 file=${2-}

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
exec "$programs/example_container" "$file"
