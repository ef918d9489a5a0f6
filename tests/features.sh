#!/bin/bash
# features.sh check             std alone, all features but each one, each one alone, and all: builds without
#                               a warning, passes the tests in Rust and in C, and exports the names in
#                               c_tests/symbols.txt
# features.sh check FEATURES    the same for one subset, such as std,parallel
# features.sh size              the bytes that each feature adds to the shared library
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
optional=(parallel compression zstd lz4 streaming parity opencl benchmarks)
# Without compression there is neither of these.
codecs=(zstd lz4)
target=${CARGO_TARGET_DIR:-target}

# Quiet on success, complete on failure: on the standard error, since the output may be taken.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" > "$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        echo "failed with the features $features: $*" >&2
        exit 1
    fi
    rm -f "$log"
}

# The programs of the C tests that need nothing but the library.
run_c_tests() {
    local folder=$target/features source program
    mkdir -p "$folder"
    for source in c_tests/api_*.c c_tests/null_*.c c_tests/leak_*.c; do
        program=$folder/$(basename "$source" .c)
        # `make faults` runs its loops.
        [ "${program##*/}" = api_faults ] && continue
        quietly "${CC:-cc}" -std=c17 -O1 -Wall -Wextra -Werror -Iinclude -o "$program" "$source" \
            -L"$target/debug" -Wl,-rpath,"$PWD/$target/debug" -latlas_manifold -lpthread -ldl -lm
        quietly env ATLAS_TEST_SMALL=1 LD_LIBRARY_PATH="$target/debug" "$program"
    done
    rm -rf "$folder"
}

check_subset() {
    features=$1
    local start=$SECONDS chosen=(--locked --no-default-features --features "$1")
    # shellcheck disable=SC2046 # the flags are words
    quietly cargo clippy "${chosen[@]}" --all-targets -- $(scripts/lint.sh flags)
    quietly cargo test "${chosen[@]}" --no-fail-fast
    quietly cargo build "${chosen[@]}" --lib
    ln -sf libatlas_manifold.so "$target/debug/$(readelf -d "$target/debug/libatlas_manifold.so" |
        sed -n 's/.*soname: \[\(.*\)\].*/\1/p')"
    quietly c_tests/scripts/check_symbols.sh shared "$target/debug/libatlas_manifold.so" c_tests/symbols.txt
    run_c_tests
    printf '%-55s in order, %3d s\n' "$features" $((SECONDS - start))
}

check() {
    if [ $# -gt 0 ]; then
        check_subset "$1"
        return
    fi
    local one other subset subsets
    subsets=(std)
    for one in "${optional[@]}"; do
        subsets+=("std,$one")
        subset=std
        for other in "${optional[@]}"; do
            [ "$other" = "$one" ] && continue
            [ "$one" = compression ] && [[ " ${codecs[*]} " = *" $other "* ]] && continue
            subset+=,$other
        done
        subsets+=("$subset")
    done
    subsets+=("$(IFS=,; echo "std,${optional[*]}")")
    for subset in "${subsets[@]}"; do
        check_subset "$subset"
    done
}

# Bytes of the stripped library with these features.
size_of() {
    features=$1
    quietly env CARGO_TARGET_DIR="$target/features-size" cargo rustc --release --locked --lib \
        --crate-type cdylib --no-default-features --features "$features"
    strip -o "$target/features-size/stripped.so" "$target/features-size/release/libatlas_manifold.so"
    stat -c %s "$target/features-size/stripped.so"
}

size() {
    local all least least_of_one with
    all=$(IFS=,; echo "std,${optional[*]}")
    least=$(size_of std)
    printf '%-15s %8d\n' std "$least"
    for one in "${optional[@]}"; do
        # A codec comes on top of its requirements.
        if [[ " ${codecs[*]} " = *" $one "* ]]; then
            least_of_one=$(size_of std,compression)
        else
            least_of_one=$least
        fi
        with=$(size_of "std,$one")
        printf '%-15s %+8d\n' "$one" $((with - least_of_one))
    done
    with=$(size_of "$all") # in an argument its failure would be lost
    printf '%-15s %8d\n' all "$with"
}

case ${1-} in
    check | size) "$@" ;;
    *) echo "usage: features.sh check [FEATURES] | size"; exit 2 ;;
esac
