#!/bin/sh
# outside.sh STEP: uses the library as another project does. CTest calls it, with the tools and
# folders in the environment (../outside.cmake). `install` comes first, the others in any order.
set -eu

prefix=$WORK/prefix # installed elsewhere and moved here: nothing may remember the first place
consumer=$SOURCE/c_tests/consumer

fail() { echo "failed: $*"; exit 1; }

# wants TEXT COMMAND...: the command fails, and says TEXT.
wants() {
    text=$1
    shift
    if said=$("$@" 2>&1); then fail "this must be refused: $*"; fi
    # CMake breaks its lines anywhere.
    case $(printf '%s' "$said" | tr -s ' \n' '  ') in
        *"$text"*) ;;
        *) echo "$said"; fail "it does not say: $text" ;;
    esac
}

# configure FOLDER OPTION...: the consumer, in a build folder of its own.
configure() {
    folder=$WORK/$1
    shift
    rm -rf "$folder"
    "$CMAKE" -S "$consumer" -B "$folder" -G "$GENERATOR" -DCMAKE_BUILD_TYPE="$BUILD_TYPE" \
        -DCMAKE_C_COMPILER="$C_COMPILER" "$@"
}

build_and_run() {
    "$CMAKE" --build "$WORK/$1"
    (cd "$WORK/$1" && "$CTEST" --output-on-failure)
}

is_installed() {
    for file in "include/atlas_manifold.h" "include/atlas_manifold.hpp" "include/atlas_conservation.h" "lib/libatlas_manifold.a" \
        "lib/libatlas_conservation.a" "lib/libatlas_manifold.so.$VERSION" \
        "lib/cmake/AtlasManifold/AtlasManifoldConfig.cmake" \
        "lib/cmake/AtlasManifold/AtlasManifoldConfigVersion.cmake" \
        "lib/pkgconfig/atlas_manifold.pc" "lib/pkgconfig/atlas_conservation.pc" \
        "share/atlas_manifold/LICENSE-MIT" "share/atlas_manifold/LICENSE-APACHE" "share/atlas_manifold/LICENSE-THIRD-PARTY" \
        "share/atlas_manifold/atlas_manifold.supp" "share/atlas_manifold/atlas_manifold.tsan.supp"; do
        [ -f "$1/$file" ] || fail "$1/$file is not there"
    done
    [ "$(readlink "$1/lib/$SONAME")" = "libatlas_manifold.so.$VERSION" ] || fail "$SONAME is no such link"
    [ "$(readlink "$1/lib/libatlas_manifold.so")" = "$SONAME" ] || fail 'libatlas_manifold.so is no such link'
    # No file may contain the folder of its build or first installation.
    if grep -rlF -e "$BUILD" -e "$SOURCE/" -e "$WORK" "$1/lib/cmake" "$1/lib/pkgconfig" "$1/include" "$1/share"; then
        fail 'these files name a folder of this machine'
    fi
}

needs() { "$READELF" -d "$1" | grep -q "NEEDED.*$SONAME"; }

# What the README writes behind NAME, a bold word of its list.
readme_line() { sed -n "s/^- \*\*$1\*\*: \`\([^\`]*\)\`.*/\1/p" "$SOURCE/README.md"; }

# Its block of code in LANGUAGE whose first line begins with START.
readme_block() {
    awk -v fence="\`\`\`$1" -v start="$2" '
        $0 == "```" { inside = 0 }
        inside == 1 { inside = index($0, start) == 1 ? 2 : 0 }
        inside == 2 { print }
        $0 == fence { inside = 1 }' "$SOURCE/README.md"
}

# The same line of the header's first page.
header_line() { sed -n "s/^ \*   $1  *cc /cc /p" "$prefix/include/atlas_manifold.h"; }

# link LINE SOURCE PROGRAM: runs a documented line, with the variables that its reader would set for this prefix.
link_as_documented() {
    case $1 in 'cc program.c '*) ;; *) fail "no line of the README: $1" ;; esac
    eval "set -- \"\$2\" \"\$3\" ${1#cc program.c }"
    source=$1 program=$2
    shift 2
    "$C_COMPILER" "$source" -I "$prefix/include" -L "$prefix/lib" "$@" -o "$program"
}

static_flags() { readme_line Static | sed 's/.*libatlas_manifold\.a//'; }

# A program of the documentation, with and without a file, and with one that is not there.
try_program() {
    LD_LIBRARY_PATH=$prefix/lib $VALGRIND "$1" "$consumer/consumer.c" > "$1.txt" || fail "$1 on a file"
    grep -Eq '^[0-9]+ bytes, residue [0-9]+, root [0-9a-f]{64}$' "$1.txt" || fail "$1 prints $(cat "$1.txt")"
    for file in '' "$WORK/nowhere"; do
        # shellcheck disable=SC2086 # without a file: no argument
        status=0
        LD_LIBRARY_PATH=$prefix/lib $VALGRIND "$1" $file > "$1.txt" 2>&1 || status=$?
        [ $status = 1 ] || { cat "$1.txt"; fail "$1 ends with $status on '$file': not refused, or a leak"; }
        grep -q 'usage\|nowhere' "$1.txt" || fail "$1 does not say what is wrong"
    done
}

# Functions with all names of Layer 2 and of Zstandard, and two that other libraries in the archive have. A
# program with these in it fails if one of them is called instead of the library's own.
clashing_names() {
    echo '#include <stdlib.h>'
    { "$NM" -g --defined-only "$prefix/lib/libatlas_conservation.a" | awk 'NF == 3 { print $3 }'
        "$NM" -g --defined-only "$CARGO_OUTPUT"/*/release/libatlas_manifold.a 2> /dev/null |
            awk 'NF == 3 && $3 ~ /^(ZSTD|HUF|FSE|HIST|ERR|COVER|POOL)_/ { print $3 }'
        echo blake3_hash_many_avx2
        echo rust_eh_personality; } | sort -u |
        sed 's/.*/void &(void);\nvoid &(void) { abort(); }/'
}

case $1 in
    install)
        rm -rf "$WORK"
        mkdir -p "$WORK"
        "$CMAKE" --install "$BUILD" --prefix "$WORK/first"
        mv "$WORK/first" "$prefix"
        is_installed "$prefix"
        clashing_names > "$WORK/clashing_names.c"
        grep -q 'atlas_conserved_sum' "$WORK/clashing_names.c" || fail 'no names of Layer 2 were found'
        grep -q 'ZSTD_decompressDCtx' "$WORK/clashing_names.c" || fail 'no names of Zstandard were found'
        ;;
    destdir)
        DESTDIR=$WORK/destdir "$CMAKE" --install "$BUILD" --prefix /opt/atlas
        is_installed "$WORK/destdir/opt/atlas"
        # Removed again; a file of somebody else stays.
        touch "$WORK/destdir/opt/atlas/lib/another"
        DESTDIR=$WORK/destdir "$SOURCE/scripts/uninstall.sh" "$BUILD" /opt/atlas
        left=$(cd "$WORK/destdir/opt/atlas" && find . ! -type d -o -iname '*atlas*')
        [ "$left" = ./lib/another ] || fail "after the removal there is $left"
        ;;
    find_package)
        configure find_package -DCMAKE_PREFIX_PATH="$prefix" -DCLASHING_NAMES="$WORK/clashing_names.c" \
            -DATLAS_VERSION="${VERSION%.*}"
        build_and_run find_package
        needs "$WORK/find_package/c_default" || fail 'the default is not the shared library'
        if needs "$WORK/find_package/c_static"; then fail 'a static program loads the shared library'; fi
        "$C_COMPILER" "$consumer/consumer.c" -I "$prefix/include" "$prefix/lib/libatlas_manifold.a" \
            -lpthread -lm -ldl -o "$WORK/whole_static"
        [ "$(stat -c %s "$WORK/find_package/c_static")" -lt "$(stat -c %s "$WORK/whole_static")" ] ||
            fail 'what a static program does not use is in it'
        ;;
    version)
        major=${VERSION%%.*} rest=${VERSION#*.}
        minor=${rest%%.*} patch=${rest#*.}
        for version in "$major.$((minor + 1))" "$((major + 1)).0" "$major.$minor.$((patch + 1))"; do
            wants 'compatible with requested version' configure version -DCMAKE_PREFIX_PATH="$prefix" \
                -DATLAS_VERSION="$version"
        done
        ;;
    components)
        wants 'has no component: nonsense' configure components -DCMAKE_PREFIX_PATH="$prefix" -DATLAS_COMPONENTS=nonsense
        configure components -DCMAKE_PREFIX_PATH="$prefix" -DATLAS_COMPONENTS=static
        "$CMAKE" --build "$WORK/components" --target c_default
        if needs "$WORK/components/c_default"; then fail 'static alone was asked for, and shared is the default'; fi
        "$WORK/components/c_default"
        # An installation without the shared library.
        rm -rf "$WORK/static_only"
        cp -R "$prefix" "$WORK/static_only"
        rm "$WORK/static_only/lib/"libatlas_manifold.so*
        wants 'has no component: shared' configure components -DCMAKE_PREFIX_PATH="$WORK/static_only" -DATLAS_COMPONENTS=shared
        configure components -DCMAKE_PREFIX_PATH="$WORK/static_only" -DATLAS_COMPONENTS=
        "$CMAKE" --build "$WORK/components" --target c_default
        "$WORK/components/c_default"
        ;;
    subdirectory)
        # With cargo's folder and the features of the build above, so that cargo has nothing to do.
        configure subdirectory -DATLAS_SOURCE="$SOURCE" -DATLAS_CARGO_TARGET_DIR="$CARGO_OUTPUT" \
            -DATLAS_MANIFOLD_OPENCL="$OPENCL" \
            -DCLASHING_NAMES="$WORK/clashing_names.c" -DBUILD_TESTING=ON
        build_and_run subdirectory
        # It installs there only the files that a program needs to start.
        "$CMAKE" --install "$WORK/subdirectory" --prefix "$WORK/subdirectory/prefix"
        "$WORK/subdirectory/prefix/bin/c_default"
        (cd "$WORK/subdirectory/prefix" && find . ! -type d | sort) > "$WORK/subdirectory/installed"
        printf './%s\n' bin/c_default "lib/$SONAME" "lib/libatlas_manifold.so.$VERSION" |
            diff - "$WORK/subdirectory/installed" || fail 'as a part of another project it installs something else'
        "$CMAKE" "$WORK/subdirectory" -DATLAS_MANIFOLD_INSTALL_RUNTIME=OFF > /dev/null
        "$CMAKE" --install "$WORK/subdirectory" --prefix "$WORK/subdirectory/without"
        [ ! -e "$WORK/subdirectory/without/lib" ] || fail 'the shared library is installed without being asked for'
        [ ! -e "$WORK/subdirectory/atlas/c_tests" ] || fail 'as a part of another project it builds its tests'
        ;;
    by_hand)
        link_as_documented "$(readme_line 'By hand')" "$consumer/consumer.c" "$WORK/by_hand"
        LD_LIBRARY_PATH=$prefix/lib "$WORK/by_hand"
        link_as_documented "$(readme_line Static)" "$consumer/consumer.c" "$WORK/by_hand_static"
        if needs "$WORK/by_hand_static"; then fail 'the static line of the README links the shared library'; fi
        "$WORK/by_hand_static"
        ;;
    documents)
        # The programs of the README and of the header's first page, in every way that both tell.
        sed -n '/^```c$/,/^```$/p' "$SOURCE/README.md" | sed -e '1d' -e '$d' > "$WORK/readme.c"
        sed -n '/^ \* A first program/,/^ \* Errors/s/^ \*   //p' "$prefix/include/atlas_manifold.h" |
            sed '/^}$/q' > "$WORK/header.c"
        export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
        [ "$(readme_line 'By hand')" = "$(header_line 'by hand')" ] || fail 'README and header link differently by hand'
        [ "$(readme_line Static)" = "$(header_line static)" ] || fail 'README and header link differently: static'
        [ "$(readme_line pkg-config)" = "$(header_line pkg-config)" ] || fail 'README and header link differently: pkg-config'
        for from in readme header; do
            for way in 'By hand' Static ${PKG_CONFIG:+pkg-config}; do
                link_as_documented "$(readme_line "$way")" "$WORK/$from.c" "$WORK/program"
                try_program "$WORK/program"
            done
        done
        # The C++ program of the README, of 12 lines, by the command behind it, and that of the header.
        readme_block cpp '#include' > "$WORK/first.cpp"
        [ "$(wc -l < "$WORK/first.cpp")" = 12 ] || fail 'the C++ program of the README has not 12 lines'
        line=$(sed -n 's/^After `make install`: `\(c++ [^`]*\)`.*/\1/p' "$SOURCE/README.md")
        [ -n "$line" ] || fail 'the README has no line for its C++ program'
        sed -n '/^\/\/ A first program/,/^\/\/ Handles/s/^\/\/   //p' "$prefix/include/atlas_manifold.hpp" |
            sed '/^  *return 1;/{n;q;}' > "$WORK/header.cpp"
        # shellcheck disable=SC2086 # the line is words
        for from in first header; do
            (cd "$WORK" && set -- ${line#c++ } && "$CXX_COMPILER" -Wall -Wextra -Werror -I "$prefix/include" -L "$prefix/lib" \
                "$1" "$from.cpp" "$3" -o program) || fail "the C++ program of $from"
            try_program "$WORK/program"
        done
        # A prefix with a space, which only the README tells of.
        if [ -n "${PKG_CONFIG:-}" ]; then
            rm -rf "$WORK/a prefix"
            cp -R "$prefix" "$WORK/a prefix"
            mkdir -p "$WORK/space"
            cp "$WORK/readme.c" "$WORK/space/program.c"
            line=$(sed -n 's/^  `\(eval "cc program\.c .*"\)`$/\1/p' "$SOURCE/README.md")
            [ -n "$line" ] || fail 'the README has no line for a prefix with a space'
            (cd "$WORK/space" && PKG_CONFIG_PATH="$WORK/a prefix/lib/pkgconfig" && export PKG_CONFIG_PATH &&
                eval "$line")
            (prefix="$WORK/a prefix" VALGRIND='' && try_program "$WORK/space/a.out")
        fi
        # The source as a part of another project, with cargo's folder of the build above.
        mkdir -p "$WORK/fetched"
        { echo 'cmake_minimum_required(VERSION 3.20)'
            echo 'project(Fetched LANGUAGES C)'
            echo "add_executable(program \"$WORK/readme.c\")"
            readme_block cmake 'include(FetchContent)' | sed "s|/path/to/atlas_manifold|$SOURCE|"; } \
            > "$WORK/fetched/CMakeLists.txt"
        grep -qF "SOURCE_DIR \"$SOURCE\"" "$WORK/fetched/CMakeLists.txt" || fail 'the README fetches nothing'
        "$CMAKE" -S "$WORK/fetched" -B "$WORK/fetched/build" -G "$GENERATOR" -DCMAKE_BUILD_TYPE="$BUILD_TYPE" \
            -DCMAKE_C_COMPILER="$C_COMPILER" -DATLAS_CARGO_TARGET_DIR="$CARGO_OUTPUT" -DATLAS_MANIFOLD_OPENCL="$OPENCL"
        "$CMAKE" --build "$WORK/fetched/build" --target program
        (VALGRIND='' && try_program "$WORK/fetched/build/program")
        # Python gives the same root as C.
        if command -v python3 > /dev/null && python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
            readme_block python 'import atlas_manifold' | sed "s|big.bin|$consumer/consumer.c|" > "$WORK/readme.py"
            of_python=$(PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$SOURCE/python/src \
                ATLAS_MANIFOLD_LIBRARY=$prefix/lib/libatlas_manifold.so.$VERSION python3 "$WORK/readme.py")
            of_c=$(LD_LIBRARY_PATH=$prefix/lib "$WORK/program" "$consumer/consumer.c")
            [ "${of_c##*root }" = "$of_python" ] || fail "C prints $of_c, and Python $of_python"
        fi
        # Versions and names that are written by hand.
        for file in README.md include/atlas_manifold.h; do
            grep -qF "find_package(AtlasManifold ${VERSION%.*} REQUIRED)" "$SOURCE/$file" || fail "$file asks for another version"
        done
        grep -qF "dlopen(\"$SONAME\"" "$SOURCE/README.md" || fail "the README does not open $SONAME"
        ;;
    conservation_alone)
        # Layer 2 as a project and a package of its own.
        "$CMAKE" -S "$SOURCE/layer2" -B "$WORK/layer2" -G "$GENERATOR" -DCMAKE_BUILD_TYPE="$BUILD_TYPE" \
            -DCMAKE_C_COMPILER="$C_COMPILER" -DBUILD_TESTING=OFF
        "$CMAKE" --build "$WORK/layer2"
        "$CMAKE" --install "$WORK/layer2" --prefix "$WORK/layer2/prefix"
        mkdir -p "$WORK/alone"
        cat > "$WORK/alone/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.20)
project(Alone LANGUAGES C)
find_package(AtlasConservation ${ATLAS_VERSION} REQUIRED)
if(NOT AtlasConservation_VERSION STREQUAL ATLAS_WHOLE_VERSION)
    message(FATAL_ERROR "the package has version ${AtlasConservation_VERSION}")
endif()
add_executable(alone alone.c)
target_link_libraries(alone PRIVATE AtlasManifold::conservation)
EOF
        cat > "$WORK/alone/alone.c" <<'EOF'
#include <atlas_conservation.h>
int main(void) { return atlas_conserved_sum("ab", 2) != ('a' + 'b') % 96; }
EOF
        alone() {
            rm -rf "$WORK/alone/build"
            "$CMAKE" -S "$WORK/alone" -B "$WORK/alone/build" -G "$GENERATOR" -DCMAKE_C_COMPILER="$C_COMPILER" \
                -DCMAKE_PREFIX_PATH="$WORK/layer2/prefix" -DATLAS_WHOLE_VERSION="$VERSION" -DATLAS_VERSION="$1"
        }
        alone "${VERSION%.*}"
        "$CMAKE" --build "$WORK/alone/build"
        "$WORK/alone/build/alone"
        wants 'compatible with requested version' alone "$((${VERSION%%.*} + 1)).0"
        ;;
    pkg_config)
        export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
        [ "$("$PKG_CONFIG" --modversion atlas_manifold)" = "$VERSION" ] || fail 'the version of atlas_manifold.pc'
        # shellcheck disable=SC2046 # words are what pkg-config prints
        {
            "$C_COMPILER" "$consumer/consumer.c" $("$PKG_CONFIG" --cflags --libs atlas_manifold) -o "$WORK/pc_shared"
            "$C_COMPILER" -static "$consumer/consumer.c" $("$PKG_CONFIG" --static --cflags --libs atlas_manifold) \
                -o "$WORK/pc_static"
            "$C_COMPILER" "$consumer/conservation.c" \
                $("$PKG_CONFIG" --cflags --libs atlas_conservation atlas_manifold) -o "$WORK/pc_conservation"
        }
        needs "$WORK/pc_shared" || fail 'pkg-config --libs does not link the shared library'
        LD_LIBRARY_PATH=$prefix/lib "$WORK/pc_shared"
        case $("$PKG_CONFIG" --static --libs atlas_manifold) in
            *--gc-sections*) ;;
            *) fail 'pkg-config --static leaves in what a program does not use' ;;
        esac
        "$WORK/pc_static"
        LD_LIBRARY_PATH=$prefix/lib "$WORK/pc_conservation"
        ;;
    second_rust_library)
        # Link-time optimisation on the other side as well: that is where the names of std collide.
        # shellcheck disable=SC2046 # the flags are words
        for lto in no fat; do
            "$RUSTC" --edition 2021 --crate-type staticlib -O -C lto=$lto "$consumer/other.rs" -o "$WORK/libother_$lto.a"
            "$C_COMPILER" -DWITH_OTHER "$consumer/consumer.c" -I "$prefix/include" \
                "$prefix/lib/libatlas_manifold.a" "$WORK/libother_$lto.a" $(static_flags) -o "$WORK/two_$lto"
            "$WORK/two_$lto"
        done
        ;;
    prebuilt_layer2)
        # Without default features, a build of its own beside those of the other tests: only the
        # crate itself is compiled once more. The generators change how parts that the build scripts
        # share are compiled, so they are on where `make test` has them on.
        cd "$SOURCE"
        features=std,cbindgen
        if ./setup.sh libclang; then features=$features,bindgen; fi
        cargo() { "$CARGO" "$@" --lib --locked --no-default-features --features $features --target-dir "$DEV_OUTPUT"; }
        export ATLAS_LAYER2_DIR="$WORK/nowhere"
        wants 'nowhere/lib64/libatlas_conservation.a' cargo test --no-run
        # One with the published names alone, from an older or another Layer 2.
        ATLAS_LAYER2_DIR=$WORK/published
        mkdir -p "$WORK/published/lib" "$WORK/multi/lib64"
        "$OBJCOPY" --redefine-sym atlas_conserved_sums=gone "$prefix/lib/libatlas_conservation.a" \
            "$WORK/published/lib/libatlas_conservation.a"
        wants 'has no atlas_conserved_sums' cargo test --no-run
        ATLAS_LAYER2_DIR=$WORK/multi
        cp "$prefix/lib/libatlas_conservation.a" "$WORK/multi/lib64"
        cargo test --no-run --message-format=json > "$WORK/prebuilt_layer2.json"
        grep -qF "native=$WORK/multi/lib64" "$WORK/prebuilt_layer2.json" || fail 'cargo links another Layer 2'
        cargo test layer2
        ;;
    *)
        fail "unknown step $1"
        ;;
esac
