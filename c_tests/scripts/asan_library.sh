#!/bin/bash
# asan_library.sh FOLDER [TEST...]: C tests against a static library whose Rust and C are themselves
# instrumented by ASan. In the tests of ctest it is the C programs alone, and the library's memory.
#
# The Rust is instrumented by rustc's own runtime of LLVM, which it takes from gcc here; the standard
# library is not instrumented. The first build takes some minutes, as nothing of the usual one fits.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
tests=("$@")
if [ ${#tests[@]} -eq 0 ]; then
    tests=(api_stress api_concurrent api_threads api_shard api_r96 api_reconstruction api_incremental
        api_compression api_streaming api_source api_errors api_struct_size null_all null_parts leak_errors)
fi
compiler=${CC:-gcc}
host=$(rustc -vV | sed -n 's/^host: //p')

# A target is named so that build scripts stay as they are.
RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=address -Cforce-frame-pointers=yes' CFLAGS='-fsanitize=address -g' \
    cargo rustc --locked --lib --crate-type staticlib --target "$host" --target-dir "$folder/cargo"
library=$folder/cargo/$host/debug/libatlas_manifold.a

build() {
    "$compiler" -std=c17 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
        -Iinclude -Ic_tests "$1" "$library" -o "$2" -lpthread -lm -ldl
}

# That it is at work: a read in code of ours is seen, and in C every object calls the runtime.
build c_tests/scripts/asan_library_proof.c "$folder/proof"
report=$("$folder/proof" 2>&1 || true)
if ! grep -m 1 '^ *#0 ' <<<"$report" | grep -q atlas_manifold; then
    printf '%s\n' "$report" "the library's Rust is not instrumented"
    exit 1
fi
instrumented=$(${NM:-nm} -A "$library" 2>/dev/null | grep __asan_init)
for source in layer2/src/*.c; do
    object=$(basename "$source" .c).o
    if ! grep -q -- "-$object:" <<<"$instrumented"; then
        echo "$source is not instrumented"
        exit 1
    fi
done

export ATLAS_TEST_SMALL=${ATLAS_TEST_SMALL-1}
export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=1:detect_stack_use_after_return=1}
for test in "${tests[@]}"; do
    build "c_tests/$test.c" "$folder/$test"
    start=$SECONDS
    "$folder/$test"
    echo "$test: in order, $((SECONDS - start)) s"
done
