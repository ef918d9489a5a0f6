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
    # CMake breaks its lines where it likes.
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
    for file in "include/atlas_manifold.h" "include/atlas_conservation.h" "lib/libatlas_manifold.a" \
        "lib/libatlas_conservation.a" "lib/libatlas_manifold.so.$VERSION" \
        "lib/cmake/AtlasManifold/AtlasManifoldConfig.cmake" \
        "lib/cmake/AtlasManifold/AtlasManifoldConfigVersion.cmake" \
        "lib/pkgconfig/atlas_manifold.pc" "lib/pkgconfig/atlas_conservation.pc"; do
        [ -f "$1/$file" ] || fail "$1/$file is not there"
    done
    [ "$(readlink "$1/lib/$SONAME")" = "libatlas_manifold.so.$VERSION" ] || fail "$SONAME is no such link"
    [ "$(readlink "$1/lib/libatlas_manifold.so")" = "$SONAME" ] || fail 'libatlas_manifold.so is no such link'
    # Neither may a file know where it was built or first installed.
    if grep -rlF -e "$BUILD" -e "$SOURCE/" -e "$WORK" "$1/lib/cmake" "$1/lib/pkgconfig" "$1/include"; then
        fail 'these files name a folder of this machine'
    fi
}

needs() { "$READELF" -d "$1" | grep -q "NEEDED.*$SONAME"; }

# Functions with all names of Layer 2, and two that other libraries in the archive have. A program
# with these in it goes wrong where one of them is called instead of the library's own.
clashing_names() {
    echo '#include <stdlib.h>'
    { "$NM" -g --defined-only "$prefix/lib/libatlas_conservation.a" | awk 'NF == 3 { print $3 }'
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
        ;;
    destdir)
        DESTDIR=$WORK/destdir "$CMAKE" --install "$BUILD" --prefix /opt/atlas
        is_installed "$WORK/destdir/opt/atlas"
        ;;
    find_package)
        configure find_package -DCMAKE_PREFIX_PATH="$prefix" -DCLASHING_NAMES="$WORK/clashing_names.c" \
            -DATLAS_VERSION="${VERSION%.*}"
        build_and_run find_package
        needs "$WORK/find_package/c_default" || fail 'the default is not the shared library'
        if needs "$WORK/find_package/c_static"; then fail 'a static program loads the shared library'; fi
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
        # With cargo's folder of the build above, so that cargo has nothing to do.
        configure subdirectory -DATLAS_SOURCE="$SOURCE" -DATLAS_CARGO_TARGET_DIR="$CARGO_OUTPUT" \
            -DCLASHING_NAMES="$WORK/clashing_names.c" -DBUILD_TESTING=ON
        build_and_run subdirectory
        "$CMAKE" --install "$WORK/subdirectory" --prefix "$WORK/subdirectory/prefix"
        [ ! -e "$WORK/subdirectory/prefix/include" ] || fail 'as a part of another project it installs itself'
        [ ! -e "$WORK/subdirectory/atlas/c_tests" ] || fail 'as a part of another project it builds its tests'
        ;;
    by_hand)
        "$C_COMPILER" "$consumer/consumer.c" -I "$prefix/include" -L "$prefix/lib" -latlas_manifold -o "$WORK/by_hand"
        LD_LIBRARY_PATH=$prefix/lib "$WORK/by_hand"
        "$C_COMPILER" "$consumer/consumer.c" -I "$prefix/include" "$prefix/lib/libatlas_manifold.a" \
            -lpthread -lm -ldl -Wl,--gc-sections -o "$WORK/by_hand_static"
        "$WORK/by_hand_static"
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
        "$WORK/pc_static"
        LD_LIBRARY_PATH=$prefix/lib "$WORK/pc_conservation"
        ;;
    second_rust_library)
        # Link-time optimisation on the other side as well: that is where the names of std collide.
        for lto in no fat; do
            "$RUSTC" --edition 2021 --crate-type staticlib -O -C lto=$lto "$consumer/other.rs" -o "$WORK/libother_$lto.a"
            "$C_COMPILER" -DWITH_OTHER "$consumer/consumer.c" -I "$prefix/include" \
                "$prefix/lib/libatlas_manifold.a" "$WORK/libother_$lto.a" -lpthread -lm -ldl -o "$WORK/two_$lto"
            "$WORK/two_$lto"
        done
        ;;
    prebuilt_layer2)
        # Without default features, a build of its own beside those of the other tests: only the
        # crate itself is compiled once more. The feature bindgen changes how parts that the build
        # scripts share are compiled, so it is on where `make test` has it on.
        cd "$SOURCE"
        features=std
        if ./setup.sh libclang; then features=std,bindgen; fi
        cargo() { "$CARGO" "$@" --lib --locked --no-default-features --features $features --target-dir "$DEV_OUTPUT"; }
        export ATLAS_LAYER2_DIR="$WORK/nowhere"
        wants 'nowhere/lib/libatlas_conservation.a does not exist' cargo test --no-run
        ATLAS_LAYER2_DIR=$prefix
        cargo test --no-run --message-format=json > "$WORK/prebuilt_layer2.json"
        grep -qF "native=$prefix/lib" "$WORK/prebuilt_layer2.json" || fail 'cargo links another Layer 2'
        cargo test layer2
        ;;
    *)
        fail "unknown step $1"
        ;;
esac
