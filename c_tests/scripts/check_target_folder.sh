#!/bin/sh
# check_target_folder.sh CMAKE CARGO SOURCE: a project with this folder's CMake files finds the library that cargo made,
# as a part of another project whose environment and configuration of cargo name other targets and target folders.
#
# A crate of a few lines stands for the library.
set -eu
cmake=$1 cargo=$2 source=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "failed: $*"; cat "$folder/said"; exit 1; }

part=$folder/host/atlas
mkdir -p "$part/src" "$part/.cargo" "$part/c_tests" "$part/include" "$folder/.cargo"
ln -s "$source/cmake" "$part/cmake"
cp "$source/.cargo/config.toml" "$part/.cargo/"
cat > "$part/Cargo.toml" <<'EOF'
[package]
name = "atlas_manifold"
version = "1.2.3"
edition = "2024"
[lib]
crate-type = ["lib", "cdylib"]
[features]
reserve = []
EOF
cat > "$part/Cargo.lock" <<'EOF'
version = 4
[[package]]
name = "atlas_manifold"
version = "1.2.3"
EOF
cat > "$part/build.rs" <<'EOF'
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libatlas_manifold.so.1");
}
EOF
echo atlas_answer > "$part/c_tests/symbols.txt"
cat > "$part/CMakeLists.txt" <<'EOF'
project(Part VERSION 1.2.3 LANGUAGES C)
set(atlas_abi 1)
set(ATLAS_MANIFOLD_SHARED ON)
set(ATLAS_MANIFOLD_STATIC ON)
set(ATLAS_CARGO_TARGET_DIR "${CMAKE_CURRENT_BINARY_DIR}/cargo" CACHE PATH "")
include(cmake/AtlasCargo.cmake)
EOF
cat > "$folder/host/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.20)
project(Host LANGUAGES C)
add_subdirectory(atlas)
foreach(kind shared static)
    add_executable(${kind} program.c)
    target_link_libraries(${kind} PRIVATE AtlasManifold::${kind})
endforeach()
EOF
cat > "$folder/host/program.c" <<'EOF'
#include <stdio.h>
int atlas_answer(void);
int main(void) { return printf("%d\n", atlas_answer()) < 0; }
EOF

# The library returns NUMBER from now on. A file that says so already is left alone.
answers() {
    printf '#[unsafe(no_mangle)]\npub extern "C" fn atlas_answer() -> i32 {\n    %s\n}\n' "$1" > "$folder/lib.rs"
    cmp -s "$folder/lib.rs" "$part/src/lib.rs" || cp "$folder/lib.rs" "$part/src/lib.rs"
}

# build NUMBER OPTION...: both programs print the number after a build in the environment of the caller.
build() {
    number=$1
    shift
    answers "$number"
    { "$cmake" -S "$folder/host" -B "$folder/host/build" "$@" && "$cmake" --build "$folder/host/build"; } \
        > "$folder/said" 2>&1 || fail "no build with $about"
    for kind in shared static; do
        said=$("$folder/host/build/$kind") || fail "the $kind program ends with $? with $about"
        [ "$said" = "$number" ] || fail "with $about the $kind program prints $said instead of $number"
    done
    [ ! -e "$folder/elsewhere" ] || fail "with $about cargo builds elsewhere"
}

unset CARGO_BUILD_TARGET CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR
target=$("$cargo" -vV | sed -n 's/^host: //p')
config() {
    printf '%s\n' '[build]' "$@" > "$folder/.cargo/config.toml"
}
about='nothing set' && build 1
# The host's target, whose folder is another one than that of no target, and one that is not installed.
for other in "$target" wasm32-unknown-atlas; do
    about="CARGO_BUILD_TARGET=$other"
    (export CARGO_BUILD_TARGET="$other" && build 2)
    about="a target $other in a configuration file"
    config "target = \"$other\"" && build 3
    about="a list of targets with $other in a configuration file"
    config "target = [\"$other\"]" && build 4
    config
done
for name in CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR; do
    about=$name
    (export "$name=$folder/elsewhere" && build 5)
done
about='a target folder in a configuration file'
config "target-dir = \"$folder/elsewhere\"" && build 6
# A cross compiler, for the machine whose programs run here.
about='a cross compiler'
config "target = \"wasm32-unknown-atlas\"" "target-dir = \"$folder/elsewhere\""
printf 'set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR %s)\nset(CMAKE_C_COMPILER "%s")\n' \
    "$(uname -m)" "$(command -v "${CC:-cc}")" > "$folder/toolchain.cmake"
rm -rf "$folder/host/build"
(export CARGO_BUILD_TARGET=wasm32-unknown-atlas && build 7 -DCMAKE_TOOLCHAIN_FILE="$folder/toolchain.cmake")
# Cargo has nothing to do if nothing has changed, whatever the environment names.
(export CARGO_BUILD_TARGET="$target" CARGO_TARGET_DIR="$folder/elsewhere" && build 7)
if grep -q 'Compiling' "$folder/said"; then fail 'cargo compiles again although nothing has changed'; fi
