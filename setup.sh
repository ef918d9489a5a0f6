#!/bin/sh
# Installs what is missing for a build or for the tests, and is done in milliseconds where nothing is.
#
#   ./setup.sh build      what `make demo` needs: Rust, a C compiler, make, cmake
#   ./setup.sh test       that, rustfmt and clippy; and without which tests are left out: a C++
#                         compiler, pkg-config, valgrind, libclang
#   ./setup.sh neon       a compiler and an emulator for AArch64, for `make neon`
#   ./setup.sh libclang   installs nothing: status 0 where libclang can renew the bindings of Layer 2
#
# As root on a system with apt-get the packages are installed, those that tests can do without each on
# its own. Otherwise the one line that does it is printed, and the status is 1 where it is impossible
# without. Where there is no Rust at all,
# rustup puts the stable one into the home folder, which needs no root; a Rust that is too old is its
# owner's affair, and only told.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin

say() { printf 'setup: %s\n' "$*" >&2; }
found() { command -v "$1" >/dev/null 2>&1; }
first_file() { for candidate; do if [ -e "$candidate" ]; then return 0; fi; done; return 1; }

# The library itself, and its own headers: it reads no C file without stddef.h.
libclang_library() {
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        first_file "$LIBCLANG_PATH"/libclang.so* "$LIBCLANG_PATH"/libclang-[0-9]*.so* || [ -f "$LIBCLANG_PATH" ]
    else
        first_file /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* \
            /usr/lib/*-linux-gnu*/libclang.so* /usr/lib/*-linux-gnu*/libclang-[0-9]*.so* \
            /usr/lib64/libclang.so* /usr/lib/libclang.so*
    fi
}
libclang_headers() {
    case ${BINDGEN_EXTRA_CLANG_ARGS:-} in *-isystem*) return 0 ;; esac
    first_file /usr/lib/llvm-*/lib/clang/*/include/stddef.h /usr/lib/clang/*/include/stddef.h \
        /usr/lib64/clang/*/include/stddef.h
}

# Of the version that the system prefers; nothing where it has no package lists yet.
libclang_headers_package() {
    apt-cache depends libclang1 2>/dev/null |
        sed -n 's/.*Depends: libclang1-\([0-9][0-9]*\)$/libclang-common-\1-dev/p' | sed -n 1p
}

needed='' # a build is impossible without these packages
wished='' # without these some tests are left out
updated=  # whether the package lists are fresh
need() { needed="$needed $1"; }
wish() { [ -z "$1" ] || wished="$wished $1"; }

look_for_tools() {
    needed='' wished=''
    found cc || found gcc || found clang || need gcc
    first_file /usr/include/stdio.h || ! found apt-get || need libc6-dev
    found make || need make
    found cmake || need cmake
    if [ "$mode" = neon ]; then
        found aarch64-linux-gnu-gcc || need gcc-aarch64-linux-gnu
        first_file /usr/aarch64-linux-gnu/lib/libc.a || need libc6-dev-arm64-cross
        found qemu-aarch64 || need qemu-user
        return
    fi
    # They bring Rust.
    if ! found cargo; then
        found curl || need curl
        ! found apt-get || first_file /etc/ssl/certs/ca-certificates.crt || need ca-certificates
    fi
    if [ "$mode" = test ]; then
        found c++ || found g++ || found clang++ || wish g++
        found pkg-config || found pkgconf || wish pkg-config
        found valgrind || wish valgrind
        libclang_library || wish libclang1
        libclang_library && libclang_headers || wish "$(libclang_headers_package)"
    fi
}

apt_update() {
    [ -z "$updated" ] || return 1
    updated=yes
    say 'fetching the package lists'
    apt-get update -qq >&2
}

apt_install() {
    say "installing $*"
    set -- apt-get install -y -q --no-install-recommends "$@"
    DEBIAN_FRONTEND=noninteractive "$@" >&2 && return
    apt_update && DEBIAN_FRONTEND=noninteractive "$@" >&2
}

install_packages() {
    # The name of a package may be known only then.
    case $wished in
        *libclang*) [ -n "$(libclang_headers_package)" ] || ! apt_update || look_for_tools ;;
    esac
    # shellcheck disable=SC2086 # a list of package names
    [ -z "$needed" ] || apt_install $needed || :
    for package in $wished; do
        apt_install "$package" || say "$package could not be installed"
    done
    look_for_tools
}

install_tools() {
    look_for_tools
    [ -n "$needed$wished" ] || return 0
    if [ "$(id -u)" = 0 ] && found apt-get; then install_packages; fi
    [ -n "$needed$wished" ] || return 0
    if found apt-get; then
        say 'missing here; this line installs it:'
        say "    sudo apt-get install --no-install-recommends$needed$wished"
    else
        say "missing here (names of Debian packages):$needed$wished"
    fi
    case $wished in *libclang*) say 'without libclang the committed bindings of Layer 2 are used and not compared with fresh ones' ;; esac
    case $wished in *valgrind*) say 'without valgrind the tests under valgrind are left out' ;; esac
    case $wished in *g++*) say 'without a C++ compiler the tests in C++ are left out' ;; esac
    case $wished in *pkg-config*) say 'without pkg-config its test is left out' ;; esac
    [ -z "$needed" ]
}

# rustup's installer for this machine, compared with the checksum beside it.
install_rust() {
    case $(uname -s)-$(uname -m) in
        Linux-x86_64 | Linux-aarch64) host=$(uname -m)-unknown-linux-gnu ;;
        *) return 1 ;;
    esac
    say 'installing Rust by rustup into the home folder'
    folder=$(mktemp -d)
    url=https://static.rust-lang.org/rustup/dist/$host/rustup-init
    if curl -sSf --proto '=https' -o "$folder/rustup-init" "$url" &&
        curl -sSf --proto '=https' -o "$folder/sum" "$url.sha256" &&
        printf '%s  %s\n' "$(cut -c 1-64 "$folder/sum")" "$folder/rustup-init" | sha256sum -c --quiet >&2; then
        chmod +x "$folder/rustup-init"
        "$folder/rustup-init" -y --quiet --no-modify-path --profile minimal -c rustfmt -c clippy >&2 || :
    fi
    rm -rf "$folder"
    found cargo && found rustc
}

# Rust of the version that Cargo.toml asks for.
look_for_rust() {
    wanted=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml)
    advice="Rust $wanted or newer is needed, from https://rustup.rs (Debian's own packages may be older)"
    if ! found cargo && ! found rustc; then install_rust || :; fi
    if ! found cargo || ! found rustc; then
        say "cargo is missing: $advice"
        return 1
    fi
    if ! version=$(rustc --version 2>/dev/null); then
        say "rustc does not run: $advice"
        return 1
    fi
    version=${version#rustc }
    major=${version%%.*} rest=${version#*.}
    minor=${rest%%.*} wanted_rest=${wanted#*.}
    if [ "$major" -lt "${wanted%%.*}" ] ||
        { [ "$major" -eq "${wanted%%.*}" ] && [ "$minor" -lt "${wanted_rest%%.*}" ]; }; then
        say "rustc is $version: $advice"
        return 1
    fi
    [ "$mode" = test ] || return 0
    tools=$(rustc --print sysroot)/bin
    if [ ! -x "$tools/cargo-fmt" ] || [ ! -x "$tools/cargo-clippy" ]; then
        if found rustup && rustup component add rustfmt clippy >&2; then return 0; fi
        if found cargo-fmt && found cargo-clippy && ! found rustup; then return 0; fi
        say 'rustfmt or clippy is missing: `rustup component add rustfmt clippy` adds them'
        return 1
    fi
}

mode=${1:-build}
case $mode in
    build | test | neon) ;;
    libclang) libclang_library && libclang_headers; exit ;;
    *) say "unknown mode '$mode': build, test, neon or libclang"; exit 2 ;;
esac
status=0
install_tools || status=1
[ "$mode" = neon ] || look_for_rust || status=1
exit $status
