#!/bin/bash
# consumers.sh FOLDER [STEP...]: the library in other projects, in the ways that `make test` has no time for. Builds below
# FOLDER, in a path with spaces, and runs the programs. Without a step all of them, in this order:
#
#   out_of_tree    a build of the source elsewhere has the bytes of the one below build/: the same flags
#   matrix         find_package and pkg-config, with Make and Ninja, as Debug and Release
#   fetch          FetchContent of an archive, built as Debug; the installed program finds the library
#   subdirectory   add_subdirectory, built as Debug with Ninja, while cargo is configured for another target and folder
#   cross          a toolchain file: cargo gets the target of its processor, and the programs run
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
[ $# -ge 1 ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"; exit 2; }
mkdir -p "$1"
work="$(cd "$1" && pwd)/a path with spaces"
shift
consumer=$source/c_tests/consumer
jobs=$(nproc)
mkdir -p "$work"

fail() { echo "failed: $*" >&2; exit 1; }
quietly() { "$@" > "$work/log" 2>&1 || { tail -60 "$work/log" >&2; fail "$*"; }; }
generators=("Unix Makefiles")
if command -v ninja > /dev/null; then generators+=(Ninja); else echo 'without ninja its builds are left out'; fi

# project FOLDER OPTION...: configures the consumer, builds it, runs its tests.
project() {
    local folder=$work/$1
    shift
    rm -rf "$folder"
    quietly cmake -S "$consumer" -B "$folder" "$@"
    quietly cmake --build "$folder" -j "$jobs"
    (cd "$folder" && quietly ctest --output-on-failure --no-tests=error)
}

out_of_tree() {
    quietly cmake -S "$source" -B "$source/build"
    quietly cmake --build "$source/build" -j "$jobs" --target atlas_manifold_libraries atlas_conservation
    rm -rf "$work/out of tree"
    quietly cmake -S "$source" -B "$work/out of tree" -DATLAS_MANIFOLD_CLI=OFF -DATLAS_MANIFOLD_EXAMPLES=OFF
    quietly cmake --build "$work/out of tree" -j "$jobs"
    for file in "$source"/build/lib/libatlas_manifold.so.*.*.* "$source/build/lib/libatlas_manifold.a"; do
        case $file in *.so.0.1.0) continue ;; esac
        cmp "$file" "$work/out of tree/lib/${file##*/}" || fail "the build elsewhere has another ${file##*/}"
    done
    rm -rf "$work/prefix"
    quietly cmake --install "$work/out of tree" --prefix "$work/prefix"
}

matrix() {
    [ -d "$work/prefix" ] || out_of_tree
    for generator in "${generators[@]}"; do
        for type in Debug Release; do
            project "find package" -G "$generator" -DCMAKE_BUILD_TYPE="$type" -DCMAKE_PREFIX_PATH="$work/prefix"
        done
    done
    if command -v pkg-config > /dev/null; then
        export PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig"
        for language in consumer.c wrapper.cpp; do
            compiler=${CC:-cc}
            case $language in *.cpp) compiler="${CXX:-c++} -std=c++17" ;; esac
            eval "$compiler '$consumer/$language' $(pkg-config --cflags --libs atlas_manifold) -o '$work/by pkg-config'"
            LD_LIBRARY_PATH="$work/prefix/lib" quietly "$work/by pkg-config"
            eval "$compiler -static '$consumer/$language' $(pkg-config --static --cflags --libs atlas_manifold) -o '$work/by pkg-config'"
            quietly "$work/by pkg-config"
        done
    fi
}

# The source as people fetch it.
archive() {
    (cd "$source" && git ls-files -z | tar --null -T - --transform 's|^|atlas_manifold/|' -c) | gzip -n > "$work/archive.tar.gz"
}

fetch() {
    archive
    rm -rf "$work/fetch"
    mkdir -p "$work/fetch"
    cat > "$work/fetch/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.20)
project(Fetches LANGUAGES C CXX)
include(FetchContent)
include(GNUInstallDirs)
FetchContent_Declare(AtlasManifold URL "${ARCHIVE}")
FetchContent_MakeAvailable(AtlasManifold)
set(CMAKE_INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
add_executable(program "${CONSUMER}/consumer.c")
target_link_libraries(program PRIVATE AtlasManifold::AtlasManifold)
add_executable(program_cpp "${CONSUMER}/wrapper.cpp")
target_link_libraries(program_cpp PRIVATE AtlasManifold::cpp)
install(TARGETS program program_cpp)
CMAKE
    quietly cmake -S "$work/fetch" -B "$work/fetch/build" -DCMAKE_BUILD_TYPE=Debug -DARCHIVE="$work/archive.tar.gz" \
        -DCONSUMER="$consumer"
    quietly cmake --build "$work/fetch/build" -j "$jobs"
    quietly cmake --install "$work/fetch/build" --prefix "$work/fetch/installed"
    rm -rf "$work/fetch/build"
    quietly "$work/fetch/installed/bin/program"
    quietly "$work/fetch/installed/bin/program_cpp"
}

subdirectory() {
    archive
    rm -rf "$work/as a part"
    mkdir -p "$work/as a part"
    tar -C "$work/as a part" -xzf "$work/archive.tar.gz"
    # Cargo looks for this file from the build folder upwards.
    mkdir -p "$work/.cargo"
    printf '[build]\ntarget = "wasm32-unknown-unknown"\ntarget-dir = "elsewhere"\n' > "$work/.cargo/config.toml"
    CARGO_BUILD_TARGET=wasm32-wasip1 CARGO_TARGET_DIR="$work/elsewhere" \
        project subdirectory -G "${generators[-1]}" -DCMAKE_BUILD_TYPE=Debug -DATLAS_SOURCE="$work/as a part/atlas_manifold" \
        -DBUILD_TESTING=ON
    rm -r "$work/.cargo"
    [ -z "$(find "$work" -name elsewhere)" ] || fail 'cargo builds elsewhere'
}

# toolchain PROCESSOR C++-COMPILER: a file for it; names it.
toolchain() {
    printf 'set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR %s)\nset(CMAKE_C_COMPILER %s)\nset(CMAKE_CXX_COMPILER %s)\n' \
        "$1" "$2" "$3" > "$work/$1.cmake"
    echo "$work/$1.cmake"
}

cross() {
    # What cargo gets: one that says it.
    printf '#!/bin/sh\necho "cargo: $*"\nenv | grep -E "^(CC_|AR_|CARGO_TARGET_)"\nexit 1\n' > "$work/cargo"
    chmod +x "$work/cargo"
    for pair in aarch64=aarch64-unknown-linux-gnu riscv64=riscv64gc-unknown-linux-gnu; do
        file=$(toolchain "${pair%%=*}" "$(command -v cc)" "$(command -v c++)")
        rm -rf "$work/said"
        quietly cmake -S "$source" -B "$work/said" -DCMAKE_TOOLCHAIN_FILE="$file" -DATLAS_CARGO="$work/cargo"
        cmake --build "$work/said" --target atlas_cargo > "$work/log" 2>&1 && fail 'this cargo cannot build'
        grep -q -e "cargo: rustc .*--target ${pair##*=}" "$work/log" || { cat "$work/log"; fail "cargo does not get ${pair##*=}"; }
        name=$(echo "${pair##*=}" | tr a-z- A-Z_)
        grep -q "^CARGO_TARGET_${name}_LINKER=$(command -v cc)\$" "$work/log" || fail 'cargo gets another linker'
    done
    file=$(toolchain strange "$(command -v cc)" "$(command -v c++)")
    if cmake -S "$source" -B "$work/strange" -DCMAKE_TOOLCHAIN_FILE="$file" > "$work/log" 2>&1; then fail 'a strange processor'; fi
    grep -q 'ATLAS_CARGO_TARGET' "$work/log" || fail 'it does not say what to set'

    # A whole build by a toolchain file, for a machine whose programs run here, and for AArch64 if all of it is here.
    file=$(toolchain "$(uname -m)" "$(command -v cc)" "$(command -v c++)")
    project cross -DCMAKE_BUILD_TYPE=Debug -DCMAKE_TOOLCHAIN_FILE="$file" -DATLAS_SOURCE="$source"
    if command -v aarch64-linux-gnu-g++ > /dev/null && command -v qemu-aarch64 > /dev/null &&
        [ -d "$(rustc --print sysroot)/lib/rustlib/aarch64-unknown-linux-gnu" ]; then
        file=$(toolchain aarch64 aarch64-linux-gnu-gcc aarch64-linux-gnu-g++)
        project aarch64 -DCMAKE_BUILD_TYPE=Debug -DCMAKE_TOOLCHAIN_FILE="$file" -DATLAS_SOURCE="$source" \
            "-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64;-L;/usr/aarch64-linux-gnu"
    else
        echo 'without aarch64-linux-gnu-g++, qemu-aarch64 or the Rust library for it, AArch64 is not built'
    fi
}

if [ $# = 0 ]; then set -- out_of_tree matrix fetch subdirectory cross; fi
for step; do
    start=$SECONDS
    "$step"
    echo "$step: in order, $((SECONDS - start)) s"
done
