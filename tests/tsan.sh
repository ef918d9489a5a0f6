#!/bin/bash
# tsan.sh FOLDER [TEST...]   the unit tests and the integration tests in Rust under ThreadSanitizer, or those that TEST
#                            names: `lib`, or a file of tests/; the build goes into FOLDER
#
# The standard library is instrumented too, or else every use of it would be reported. That needs its sources, which
# tests/second_rust.sh fetches, and the runtime of the sanitizer, which is taken from rustup's Rust. Fails if a race that
# is planted goes unnoticed. On one core the first build takes half an hour, and a run as long.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
tests=("$@")
if [ ${#tests[@]} -eq 0 ]; then
    tests=(lib)
    for source in tests/*.rs; do
        name=$(basename "$source" .rs)
        # The first is below, the others look at files of the source or at the process's memory, which the sanitizer's is
        # a part of.
        case $name in planted_race | header | layers | *_memory) ;; *) tests+=("$name") ;; esac
    done
fi
# Thousands of times the same steps of one thread, each of them for minutes here: other tests take these steps too.
repeating=(--skip container::tests::crash --skip container::tests::failing --skip a_hundred_random --skip cancelling_an_add
    --skip classes_come_of_streams)
host=x86_64-unknown-linux-gnu

# The runtime: of the Rust on PATH, since Debian's has none. Both are of the same LLVM.
own=$(rustc --print sysroot)/lib/rustlib/$host/lib
runtime=$(find "$own" -name 'librustc-*_rt.tsan.a' | sed -n 1p)
[ -n "$runtime" ] || { echo "no runtime of ThreadSanitizer in $own: rustup's Rust has one" >&2; exit 1; }
rust=$PWD/build/rust196
tests/second_rust.sh "$rust"
cp -u "$runtime" "$rust/usr/lib/rustlib/$host/lib/librustc-stable_rt.tsan.a"

# The flags of .cargo/config.toml are of no use here, and are replaced by these. C of the crates is instrumented as well.
export RUSTC=$rust/usr/bin/rustc LD_LIBRARY_PATH=$rust/usr/lib/x86_64-linux-gnu RUSTC_BOOTSTRAP=1
export RUSTFLAGS=-Zsanitizer=thread CFLAGS_x86_64_unknown_linux_gnu='-fsanitize=thread -g1'
export CARGO_TARGET_DIR=$folder CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG-line-tables-only}
# Tests ask for more memory than there is, and expect to be refused.
export TSAN_OPTIONS=${TSAN_OPTIONS-allocator_may_return_null=1:halt_on_error=0:exitcode=66}
run_test() { cargo test --locked --target "$host" -Zbuild-std=std,panic_unwind,test "$@"; }

# The proof: it must fail, by that report.
run_test --test planted_race --no-run
if report=$(run_test --test planted_race 2>&1) || ! grep -q 'WARNING: ThreadSanitizer: data race' <<< "$report"; then
    printf '%s\n' "$report" 'the planted race was not reported'
    exit 1
fi
echo 'the planted race is reported'
start=$SECONDS failed=()
for name in "${tests[@]}"; do
    if [ "$name" = lib ]; then chosen=(--lib); else chosen=(--test "$name"); fi
    run_test --no-fail-fast "${chosen[@]}" -- "${repeating[@]}" || failed+=("$name")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed under ThreadSanitizer: ${failed[*]}"
    exit 1
fi
echo "${#tests[@]} programs of tests under ThreadSanitizer: in order, $((SECONDS - start)) s"
