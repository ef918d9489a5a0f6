#!/bin/bash
# cross.sh [i686|s390x|aarch64|musl|windows]...   the library for other systems, all five by default: the Rust tests,
#                                                 without the longest, the golden files, and the C tests, each built by
#                                                 a cross compiler
#
# i686 and musl, a static library, run on this machine, s390x and AArch64 under qemu-user, Windows under wine: there without
# the C tests that need more of POSIX than c_tests/mingw.h has. The standard libraries come with Debian's second Rust, which
# tests/second_rust.sh fetches, or are built of its sources (musl, windows); ./setup.sh cross installs the rest.
# TESTS='lib roots c:api_statuses.*' chooses among lib, the files of tests/, `c`, and C programs by their name. On one core a
# system takes 7 minutes to build, and up to half an hour to run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$PWD/build/cross
rust=$PWD/build/rust196
mkdir -p "$folder"

# The other files of tests/ look at the source, or at memory. These tests take longest.
long=(--skip a_hundred_random --skip cancelling_an_add --skip classes_come_of_streams)
programs=(lib roots compat projection streaming edits r96 container container_hostile fuzz_corpus)
# qemu-user has a thread of its own, sets no limit of the address space, clears no page in a forked child, and a child that
# starts threads fails in it.
emulator=(--skip a_child_)
emulated_not='api_(callbacks|fork|operation|threads|memory|parity_fork|benchmarks|streaming_memory|container_processes|source_io|statuses|target)'
# On Windows the library writes no container, and shows no generation that only the system's cache may have.
no_containers=(--skip=container::tests::{changing,import,merge,golden,sparse::a_hole,sparse::imports} --skip=compacting_from_
    --skip=outline::tests::{diff::{a_,changes},find::{a_,every_,payload,random,what},repair::{a_,an_,refused},sparse})
# These start processes, send signals, limit files, load OpenCL by dlopen(), or write containers.
posix_alone='api_(accelerator.*|callbacks|fork|large|memory|outline|parity_fork|spool|statuses.*|streaming.*|target|threads|trim|container.*)'

setup_target() {
    local debian='' runner_program
    runner='' left_out='' cargo_options=()
    case $1 in
        i686) debian=i386 runner="/usr/i686-linux-gnu/lib/ld-linux.so.2 --library-path /usr/i686-linux-gnu/lib" ;;
        s390x) debian=s390x runner='qemu-s390x -L /usr/s390x-linux-gnu' ;;
        aarch64) debian=arm64 runner='qemu-aarch64 -L /usr/aarch64-linux-gnu' ;;
        musl) triple=x86_64-unknown-linux-musl compiler=musl-gcc archiver=ar ;;
        windows) triple=x86_64-pc-windows-gnu compiler=x86_64-w64-mingw32-gcc archiver=x86_64-w64-mingw32-ar runner=wine
            left_out=$posix_alone long+=("${no_containers[@]}") programs=(lib roots compat projection streaming edits r96) ;;
        *) echo "cross.sh: '$1' is not i686, s390x, aarch64, musl or windows" >&2; exit 2 ;;
    esac
    if [ -n "$debian" ]; then
        triple=$1-unknown-linux-gnu compiler=$1-linux-gnu-gcc archiver=$1-linux-gnu-ar
    fi
    case $runner in qemu*) left_out=$emulated_not long+=("${emulator[@]}") ;; esac
    runner_program=${runner%% *}
    for tool in "$compiler" "${runner_program:-true}"; do
        command -v "$tool" > /dev/null || { echo "no $tool: ./setup.sh cross installs it" >&2; exit 1; }
    done
    tests/second_rust.sh "$rust" $debian
    export RUSTC=$rust/usr/bin/rustc LD_LIBRARY_PATH=$rust/usr/lib/x86_64-linux-gnu
    export CARGO_TARGET_DIR=$folder CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0
    local name=${triple//-/_}
    export "CC_$name=$compiler" "AR_$name=$archiver"
    name=${name^^}
    export "CARGO_TARGET_${name}_LINKER=$compiler"
    [ -z "$runner" ] || export "CARGO_TARGET_${name}_RUNNER=$runner"
    if [ -z "$debian" ]; then
        # There is no package of this standard library.
        export RUSTC_BOOTSTRAP=1
        cargo_options=(-Zbuild-std=std,panic_unwind,test)
    fi
    [ "$1" != musl ] || setup_musl
    [ "$1" != windows ] || setup_wine
}

# Debian has no unwinder for musl, so that GCC's for glibc is taken, with the one call that musl has not. Nor does musl-gcc
# look for the kernel's headers, which lie beside glibc's.
setup_musl() {
    local unwinder=$folder/musl-unwinder
    mkdir -p "$folder/kernel-headers"
    ln -sfn /usr/include/linux /usr/include/asm-generic /usr/include/x86_64-linux-gnu/asm "$folder/kernel-headers"
    mkdir -p "$unwinder"
    cp "$(gcc -print-file-name=libgcc_eh.a)" "$unwinder/libunwind.a"
    musl-gcc -O2 -Wall -Wextra -c -o "$unwinder/musl_unwinder.o" tests/musl_unwinder.c
    ar r "$unwinder/libunwind.a" "$unwinder/musl_unwinder.o"
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-Clink-self-contained=no -L native=$unwinder"
}

# Wine 8 lacks a library of Windows, which each program of Rust loads.
setup_wine() {
    local libraries=$folder/wine-libraries
    mkdir -p "$libraries"
    "$compiler" -O2 -Wall -Wextra -shared -o "$libraries/bcryptprimitives.dll" tests/wine_random.c -ladvapi32
    export WINEPREFIX=$folder/wine WINEDEBUG=-all WINEPATH=Z:${libraries//\//\\}
}

# The C programs of this name that need nothing but the library, which must export its own names and no other. A failed step
# ends by `return`, since `set -e` has no effect in a function whose result is looked at.
run_c_tests() {
    local chosen=$1 library=$folder/$triple/debug programs=$folder/$triple/c source name status=0 linked headers=()
    mkdir -p "$programs"
    cargo build --locked --lib --target "$triple" "${cargo_options[@]}" || return
    if [[ $triple == *musl ]]; then
        linked=(-static "$library/libatlas_manifold.a" -L "$folder/musl-unwinder" -lunwind)
        headers=(-isystem "$folder/kernel-headers")
    elif [[ $triple == *windows* ]]; then
        linked=("$library/libatlas_manifold.dll.a" -static "$programs/manifest.o")
        echo '1 24 "c_tests/mingw.manifest"' > "$programs/manifest.rc"
        "${compiler%gcc}windres" "$programs/manifest.rc" "$programs/manifest.o" || return
        cp -f "$library/atlas_manifold.dll" "$programs"
        OBJDUMP=${compiler%gcc}objdump c_tests/scripts/check_symbols.sh dll "$library/atlas_manifold.dll" c_tests/symbols.txt ||
            status=1
    else
        linked=(-L"$library" -latlas_manifold -ldl)
        # A program that starts itself again does so without the runner.
        [[ $triple != i686* ]] || linked+=("-Wl,--dynamic-linker=/usr/i686-linux-gnu/lib/ld-linux.so.2")
        ln -sf libatlas_manifold.so "$library/$(readelf -d "$library/libatlas_manifold.so" |
            sed -n 's/.*soname: \[\(.*\)\].*/\1/p')"
        c_tests/scripts/check_symbols.sh shared "$library/libatlas_manifold.so" c_tests/symbols.txt || status=1
    fi
    for source in c_tests/api_*.c c_tests/null_*.c c_tests/leak_*.c; do
        name=$(basename "$source" .c)
        [[ $name =~ ^$chosen$ ]] || continue
        if [ "$name" = api_faults ] || { [ -n "$left_out" ] && [[ $name =~ ^$left_out$ ]]; }; then continue; fi
        # A program of an earlier run must not stand for this one.
        rm -f "$programs/$name" "$programs/$name.exe"
        "$compiler" -std=c17 -O1 -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Werror -Iinclude "${headers[@]}" \
            -o "$programs/$name" "$source" "${linked[@]}" -lpthread -lm
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
        *musl) ATLAS_TEST_SMALL=1 timeout 600 "$program" ;;
        *windows*) ATLAS_TEST_SMALL=1 timeout 600 $runner "$program.exe" ;;
        i686*)
            ATLAS_TEST_SMALL=1 LD_LIBRARY_PATH=$library:/usr/i686-linux-gnu/lib timeout 600 "$program" ;;
        *) ATLAS_TEST_SMALL=1 timeout 600 $runner -E LD_LIBRARY_PATH="$library" "$program" ;;
    esac
}

run_one() {
    setup_target "$1"
    local part chosen start=$SECONDS failed=()
    for part in ${TESTS:-"${programs[@]}" c}; do
        case $part in
            c) run_c_tests '.*' || failed+=(c) ;;
            c:*) run_c_tests "${part#c:}" || failed+=("$part") ;;
            *)
                chosen=(--test "$part")
                [ "$part" != lib ] || chosen=(--lib)
                cargo test --locked --no-fail-fast --target "$triple" "${cargo_options[@]}" "${chosen[@]}" -- "${long[@]}" || failed+=("$part")
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
[ $# -gt 0 ] || processors=(i686 s390x aarch64 musl windows)
status=0
for processor in "${processors[@]}"; do
    # In a process of its own, since the environment of each is another.
    (run_one "$processor") || status=1
done
exit $status
