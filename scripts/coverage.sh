#!/bin/bash
# coverage.sh FOLDER   lines and branches of src/ that the Rust tests and the C programs reach, and the statuses of the C
#                      functions that these programs produce, against those that the header names
#
# Builds and runs in FOLDER: lines.txt there is the table by file, statuses.txt that of the statuses, html/ has the
# source. Needs the library in build/lib, python3, and llvm-cov of LLVM 19 or newer. On two cores a quarter of an hour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$(mkdir -p "$1" && cd "$1" && pwd)
cover=$(compgen -c llvm-cov- | sort -t- -k3 -n | tail -1)
[ "${cover##*-}" -ge 19 ] 2> /dev/null || { echo 'coverage.sh: apt-get install llvm-19' >&2; exit 1; }
merge=${cover/cov/profdata}
host=$(rustc -vV | sed -n 's/host: //p')

# With --target build scripts and procedural macros stay as they are. RUSTC_BOOTSTRAP: branches are not stable yet.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$folder/target CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0
export RUSTFLAGS='-Cinstrument-coverage -Zcoverage-options=branch'
rm -rf "$folder/profiles" "$folder/statuses"
mkdir -p "$folder/profiles" "$folder/programs"
options=(--locked --target "$host" --features opencl)

cargo test "${options[@]}" --no-run --message-format=json > "$folder/built.json"
mapfile -t tests < <(python3 -c '
import json, sys
for message in map(json.loads, open(sys.argv[1])):
    if message.get("executable") and message["profile"]["test"]: print(message["executable"])' "$folder/built.json")
# Processes that are killed write no profile; those of one program are merged into one file.
export LLVM_PROFILE_FILE=$folder/profiles/%m.profraw
for test in "${tests[@]}"; do
    # The tests of memory run calls hundreds of times under other limits, which reach the same code.
    [[ $test != *_memory-* ]] || continue
    "$test" || echo "failed: $test"
done 2>&1 | tee "$folder/tests.log" | grep -E '^test result|^failed' || :

# The C programs, on a library that is built the same way; a library before it notes the statuses.
cargo build "${options[@]}" --lib
library=$folder/target/$host/debug
ln -sf libatlas_manifold.so "$library/$(readelf -d "$library/libatlas_manifold.so" | sed -n 's/.*soname: \[\(.*\)\].*/\1/p')"
python3 scripts/statuses.py shim include/atlas_manifold.h > "$folder/statuses.c"
cc -std=c17 -O1 -Wall -Wextra -Werror -fPIC -shared -Iinclude -o "$folder/libstatuses.so" "$folder/statuses.c" -ldl
# A loader of OpenCL whose calls fail, before the one of the system.
export ATLAS_REAL_OPENCL
if ATLAS_REAL_OPENCL=$(ldconfig -p | sed -n 's/.*libOpenCL\.so\.1 .*=> //p' | head -1) && [ -n "$ATLAS_REAL_OPENCL" ]; then
    mkdir -p "$folder/fake"
    export ATLAS_FAKE_OPENCL=$folder/fake/libOpenCL.so.1
    cc -std=c17 -O1 -fPIC -shared -Wl,-soname,libOpenCL.so.1 -o "$ATLAS_FAKE_OPENCL" c_tests/scripts/fake_opencl.c -ldl
fi
for source in "$PWD"/c_tests/api_*.c "$PWD"/c_tests/null_*.c "$PWD"/c_tests/leak_*.c; do
    name=$(basename "$source" .c) linked=$library
    # They fail every call or allocation of the library in turn, and those that count the lines would be among them.
    [[ ! $name =~ ^api_(faults|statuses_memory)$ ]] || linked=$PWD/build/lib
    cc -std=c17 -O1 -Iinclude -o "$folder/programs/$name" "$source" -L"$linked" -latlas_manifold \
        -Wl,-rpath,"$linked" -lpthread -lm -ldl
    # Every call of OpenCL in turn takes hours.
    small=$([ "$name" != api_accelerator_faults ] || echo 1)
    (cd "$folder/programs" && LD_PRELOAD=$folder/libstatuses.so ATLAS_STATUSES=$folder/statuses ATLAS_TEST_SMALL=$small \
        timeout 600 "./$name" > "$name.log" 2>&1) || { [ $? -eq 77 ] && echo "skipped: $name" || echo "failed: $name"; }
done

"$merge" merge -sparse "$folder"/profiles/*.profraw -o "$folder/all.profdata"
objects=()
for test in "${tests[@]}"; do objects+=(--object "$test"); done
shown=("$library/libatlas_manifold.so" "${objects[@]}" --instr-profile="$folder/all.profdata" --ignore-filename-regex='/tests?(\.rs|/)|/registry/|/rustc/|build\.rs|/target/')
"$cover" report "${shown[@]}" > "$folder/lines.txt"
"$cover" show "${shown[@]}" --format=html --output-dir="$folder/html" --show-branches=count > /dev/null
head -1 "$folder/lines.txt"
tail -1 "$folder/lines.txt"
python3 scripts/statuses.py report include/atlas_manifold.h "$folder/statuses" > "$folder/statuses.txt" || :
tail -1 "$folder/statuses.txt"
