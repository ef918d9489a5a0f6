#!/bin/bash
# cross.sh [i686|s390x|aarch64]...   the library for other processors, all three by default: the Rust tests, without the
#                                    longest, the golden files, and the C tests, each built by a cross compiler
#
# i686 runs on this machine, the others under qemu-user. The standard libraries come with Debian's second Rust, which
# tests/second_rust.sh fetches; ./setup.sh cross installs compilers and the emulator. TESTS='lib roots' chooses among
# lib, the files of tests/ and `c`. On one core a processor takes 7 minutes to build, and up to half an hour to run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$PWD/build/cross
rust=$PWD/build/rust196
mkdir -p "$folder"

# The other files of tests/ look at the source, or at memory. These tests take longest.
long=(--skip a_hundred_random --skip cancelling_an_add --skip classes_come_of_streams)
programs=(lib roots compat projection streaming edits r96 container container_hostile)
# qemu-user has a thread of its own, sets no limit of the address space, and clears no page in a forked child.
emulator=(--skip a_child_)
emulated_not='api_(callbacks|fork|operation|threads|memory|parity_fork|benchmarks|streaming_memory|container_processes)'

setup_target() {
    case $1 in
        i686) debian=i386 runner="/usr/i686-linux-gnu/lib/ld-linux.so.2 --library-path /usr/i686-linux-gnu/lib" left_out='' ;;
        s390x) debian=s390x runner='qemu-s390x -L /usr/s390x-linux-gnu' left_out=$emulated_not ;;
        aarch64) debian=arm64 runner='qemu-aarch64 -L /usr/aarch64-linux-gnu' left_out=$emulated_not ;;
        *) echo "cross.sh: '$1' is not i686, s390x or aarch64" >&2; exit 2 ;;
    esac
    [ "$1" = i686 ] || long+=("${emulator[@]}")
    triple=$1-unknown-linux-gnu compiler=$1-linux-gnu-gcc
    for tool in "$compiler" "${runner%% *}"; do
        command -v "$tool" > /dev/null || { echo "no $tool: ./setup.sh cross installs it" >&2; exit 1; }
    done
    tests/second_rust.sh "$rust" "$debian"
    export RUSTC=$rust/usr/bin/rustc LD_LIBRARY_PATH=$rust/usr/lib/x86_64-linux-gnu
    export CARGO_TARGET_DIR=$folder CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0
    local name=${triple//-/_}
    export "CC_$name=$compiler" "AR_$name=${compiler%gcc}ar"
    name=${name^^}
    export "CARGO_TARGET_${name}_LINKER=$compiler" "CARGO_TARGET_${name}_RUNNER=$runner"
}

# The C programs that need nothing but the library, which must export its own names and no other.
run_c_tests() {
    local library=$folder/$triple/debug programs=$folder/$triple/c source name status=0
    mkdir -p "$programs"
    cargo build --locked --lib --target "$triple"
    ln -sf libatlas_manifold.so "$library/$(readelf -d "$library/libatlas_manifold.so" |
        sed -n 's/.*soname: \[\(.*\)\].*/\1/p')"
    c_tests/scripts/check_symbols.sh shared "$library/libatlas_manifold.so" c_tests/symbols.txt
    for source in c_tests/api_*.c c_tests/null_*.c c_tests/leak_*.c; do
        name=$(basename "$source" .c)
        if [ "$name" = api_faults ] || { [ -n "$left_out" ] && [[ $name =~ ^$left_out$ ]]; }; then continue; fi
        "$compiler" -std=c17 -O1 -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Werror -Iinclude -o "$programs/$name" "$source" \
            -L"$library" -latlas_manifold -lpthread -lm -ldl
        if run_program "$library" "$programs/$name" > "$programs/$name.log" 2>&1; then
            echo "$name: in order"
        else
            cat "$programs/$name.log"
            echo "$name: failed"
            status=1
        fi
    done
    return $status
}

# With the library's folder among those of its own C library. ATLAS_TEST_SMALL asks a test for less work.
run_program() {
    local library=$1 program=$2
    case $triple in
        i686*) ATLAS_TEST_SMALL=1 timeout 600 $runner:"$library" "$program" ;;
        *) ATLAS_TEST_SMALL=1 timeout 600 $runner -E LD_LIBRARY_PATH="$library" "$program" ;;
    esac
}

run_one() {
    setup_target "$1"
    local part chosen start=$SECONDS failed=()
    for part in ${TESTS:-"${programs[@]}" c}; do
        case $part in
            c) run_c_tests || failed+=(c) ;;
            *)
                chosen=(--test "$part")
                [ "$part" != lib ] || chosen=(--lib)
                cargo test --locked --no-fail-fast --target "$triple" "${chosen[@]}" -- "${long[@]}" || failed+=("$part")
                ;;
        esac
    done
    if [ ${#failed[@]} -gt 0 ]; then
        echo "$1: failed: ${failed[*]}"
        return 1
    fi
    echo "$1: in order, $((SECONDS - start)) s"
}

processors=("$@")
[ $# -gt 0 ] || processors=(i686 s390x aarch64)
status=0
for processor in "${processors[@]}"; do
    # In a process of its own, since the environment of each is another.
    (run_one "$processor") || status=1
done
exit $status
