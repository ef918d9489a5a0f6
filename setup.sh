#!/bin/sh
# Installs missing packages on this machine, then runs a target of the Makefile.
#
#   ./setup.sh demo [FILE=path]    installs the tools of a build, then runs `make demo`
#   ./setup.sh test                installs the tools of a build and of all tests, then runs `make test`
#   ./setup.sh build, neon, cross  the same for `make build`, `make neon` and `make cross`
#   ./setup.sh install [PURPOSE]   installs alone, for build, test (the default), neon or cross
#   ./setup.sh check PURPOSE       installs nothing: prints the missing tools and the line that installs them;
#                                  status 1 if the purpose is impossible without
#   ./setup.sh libclang            installs nothing: status 0 if libclang can renew the bindings of Layer 2
#   ./setup.sh --help              prints this text
#
# build needs a C compiler, make, CMake and Rust; test adds rustfmt, clippy and, for some of the tests, a
# C++ compiler, pkg-config, valgrind, an OpenCL for the processor (pocl), libclang and Python with pytest, hypothesis and
# numpy, which pip puts into build/venv; neon needs a compiler and an emulator for AArch64, cross those for i686, s390x,
# AArch64, musl and Windows.
#
# Packages are installed by apt-get, which needs root. Without root the script prints the line that
# installs them, and goes on if only some tests need them. If there is no Rust at all, rustup puts the
# stable one into the home folder, which needs no root. A Rust that is too old is reported and left alone.
# If nothing is missing, the script installs nothing and takes some milliseconds.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin

say() { printf 'setup: %s\n' "$*" >&2; }
found() { command -v "$1" >/dev/null 2>&1; }
first_file() { for candidate; do if [ -e "$candidate" ]; then return 0; fi; done; return 1; }

# ---- missing tools ----

# bindgen reads no C file without libclang's own stddef.h, which is in a package beside the library's.
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

# The package of these headers has a version in its name: the one that the system prefers. Without package
# lists it is unknown, and the larger libclang-dev stands for both.
libclang_packages() {
    headers=$(apt-cache depends libclang1 2>/dev/null |
        sed -n 's/.*Depends: libclang1-\([0-9][0-9]*\)$/libclang-common-\1-dev/p' | sed -n 1p)
    if [ -z "$headers" ]; then
        echo libclang-dev
    else
        libclang_library || echo libclang1
        echo "$headers"
    fi
}

needed='' # packages without which the purpose is impossible
wished='' # packages without which some tests are left out
updated=  # whether this run has fetched the package lists
need() { needed="$needed $1"; }
wish() { wished="$wished $1"; }

look_for_tools() {
    needed='' wished=''
    found cc || found gcc || found clang || need gcc
    first_file /usr/include/stdio.h || ! found apt-get || need libc6-dev
    found make || need make
    found cmake || need cmake
    if [ "$purpose" = neon ]; then
        found aarch64-linux-gnu-gcc || need gcc-aarch64-linux-gnu
        first_file /usr/aarch64-linux-gnu/lib/libc.a || need libc6-dev-arm64-cross
        found qemu-aarch64 || need qemu-user
        return
    fi
    if [ "$purpose" = cross ]; then
        for pair in i686=i386 s390x=s390x aarch64=arm64; do
            found "${pair%=*}-linux-gnu-gcc" || need "gcc-${pair%=*}-linux-gnu"
            first_file "/usr/${pair%=*}-linux-gnu/lib/libc.so" || need "libc6-dev-${pair#*=}-cross"
        done
        { found qemu-s390x && found qemu-aarch64; } || need qemu-user
        found musl-gcc || need musl-tools
        found x86_64-w64-mingw32-gcc || need gcc-mingw-w64-x86-64-posix
        found wine || need 'wine wine64'
    fi
    # They fetch Rust, and the crates.
    if ! found cargo; then
        found curl || need curl
        ! found apt-get || first_file /etc/ssl/certs/ca-certificates.crt || need ca-certificates
    fi
    if [ "$purpose" = test ]; then
        found c++ || found g++ || found clang++ || wish g++
        found pkg-config || found pkgconf || wish pkg-config
        found valgrind || wish valgrind
        # The folder of the drivers, as the loader knows it.
        first_file "${OCL_ICD_VENDORS:-/etc/OpenCL/vendors}"/*.icd || wish 'ocl-icd-libopencl1 pocl-opencl-icd'
        found python3 || wish python3
        python3 -c 'import venv, ensurepip' 2>/dev/null || wish python3-venv
        { libclang_library && libclang_headers; } || for package in $(libclang_packages); do wish "$package"; done
    fi
}

# ---- packages ----

packages_are_known() {
    for package in $needed $wished; do apt-cache show "$package" >/dev/null 2>&1 || return 1; done
}

apt_update() {
    [ -z "$updated" ] || return 1
    updated=yes
    say 'fetching the package lists'
    apt-get update -qq >&2
}

apt_install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2; }

# apt-get's own sentence on sizes, as "Need to get 65.2 MB of archives. ...".
sizes() {
    LC_ALL=C apt-get install --assume-no --no-install-recommends "$@" 2>/dev/null |
        sed -n -e '/^Need to get /p' -e '/^After this operation/p' | tr '\n' ' ' || :
}

install_packages() {
    if ! packages_are_known && apt_update; then look_for_tools; fi
    # shellcheck disable=SC2086 # lists of package names, here and below
    {
        say "installing$needed$wished"
        say "    $(sizes $needed $wished)One to two minutes."
        # All at once; then with fresh package lists; then each package that exists.
        apt_install $needed $wished || { apt_update && apt_install $needed $wished; } || {
            [ -z "$needed" ] || apt_install $needed || :
            for package in $wished; do
                apt_install "$package" || say "$package could not be installed"
            done
        }
    }
    look_for_tools
}

# One line that works for whoever may become root.
print_install_line() {
    if ! found apt-get; then
        say "missing here (names of Debian packages):$needed$wished"
        return
    fi
    as_root='sudo sh -c'
    found sudo || as_root='su - -c'
    say 'packages are missing; this line installs them (it asks for the password of root or sudo):'
    printf "    %s 'apt-get update && apt-get install -y --no-install-recommends%s'\n" "$as_root" "$needed$wished" >&2
}

print_consequences() {
    case $wished in *libclang*) say 'without libclang the committed bindings of Layer 2 are used and not compared with fresh ones' ;; esac
    case $wished in *python3*) say 'without python3 and its venv the Python tests are left out' ;; esac
    case $wished in *ocl*) say 'without an OpenCL device the tests of accelerators are left out' ;; esac
    case $wished in *valgrind*) say 'without valgrind the tests under valgrind are left out' ;; esac
    case $wished in *g++*) say 'without a C++ compiler the tests in C++ are left out' ;; esac
    case $wished in *pkg-config*) say 'without pkg-config its test is left out' ;; esac
}

handle_tools() {
    look_for_tools
    [ -n "$needed$wished" ] || return 0
    if [ "$action" = install ] && [ "$(id -u)" = 0 ] && found apt-get; then
        install_packages
        [ -n "$needed$wished" ] || return 0
        say "still missing, see the messages of apt-get above:$needed$wished"
    else
        print_install_line
    fi
    print_consequences
    [ -z "$needed" ]
}

# ---- Rust ----

# rustup's installer for this machine, compared with the checksum beside it.
install_rust() {
    case $(uname -s)-$(uname -m) in
        Linux-x86_64 | Linux-aarch64) host=$(uname -m)-unknown-linux-gnu ;;
        *) return 1 ;;
    esac
    say "installing Rust (rustup's stable) into ${CARGO_HOME:-${HOME:-/root}/.cargo} and ${RUSTUP_HOME:-${HOME:-/root}/.rustup}"
    say '    About 155 MB to fetch, 620 MB of disk space. Half a minute to a minute.'
    folder=$(mktemp -d)
    url=https://static.rust-lang.org/rustup/dist/$host/rustup-init
    if curl -sSf --proto '=https' -o "$folder/rustup-init" "$url" &&
        curl -sSf --proto '=https' -o "$folder/sum" "$url.sha256" &&
        printf '%s  %s\n' "$(cut -c 1-64 "$folder/sum")" "$folder/rustup-init" | sha256sum -c --quiet >&2; then
        chmod +x "$folder/rustup-init"
        # Its closing words are about a PATH that it has not changed: those below say it shorter.
        "$folder/rustup-init" -y --quiet --no-modify-path --profile minimal -c rustfmt -c clippy >/dev/null || :
    fi
    rm -rf "$folder"
    found cargo && found rustc || return 1
    say 'Rust is not on the PATH of your shell yet: . "$HOME/.cargo/env" puts it there; make finds it by itself'
}

# Rust of the version that Cargo.toml asks for, with rustfmt and clippy for the tests.
handle_rust() {
    wanted=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml)
    advice="Rust $wanted or newer is needed, from https://rustup.rs"
    if ! found cargo && ! found rustc; then
        if [ "$action" = check ]; then
            say "Rust is missing: 'make setup' installs it into the home folder, which needs no root"
            return 1
        fi
        install_rust || { say "Rust could not be installed: $advice"; return 1; }
    fi
    if ! found cargo || ! found rustc; then
        say "cargo or rustc is missing: $advice"
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
        if found rustup; then advice="$wanted or newer is needed: 'rustup update stable' brings it"; fi
        say "rustc is $version: $advice"
        return 1
    fi
    [ "$purpose" = test ] || return 0
    tools=$(rustc --print sysroot)/bin
    if [ -x "$tools/cargo-fmt" ] && [ -x "$tools/cargo-clippy" ]; then return 0; fi
    if ! found rustup && found cargo-fmt && found cargo-clippy; then return 0; fi
    if [ "$action" = install ] && found rustup && rustup component add rustfmt clippy >&2; then return 0; fi
    say "rustfmt or clippy is missing: 'rustup component add rustfmt clippy' adds them"
    return 1
}

# ---- Python ----

# What the tests of the Python package need, in an environment of its own. Without it they are left out.
handle_python() {
    python/test.sh ready 2>/dev/null && return
    if [ "$action" = install ] && python/test.sh setup >&2; then return; fi
    say "without pytest, hypothesis and numpy the Python tests are left out: 'python/test.sh setup' puts them into build/venv"
}

# ---- the command ----

wrong_use() { say "$*; see ./setup.sh --help"; exit 2; }

asked=${1:-}
[ $# = 0 ] || shift
action=install
case $asked in
    demo | build) purpose=build ;;
    test | neon | cross) purpose=$asked ;;
    install) purpose=${1:-test} ;;
    check) action=check purpose=${1:-} ;;
    libclang) libclang_library && libclang_headers; exit ;;
    -h | --help | help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' setup.sh; exit ;;
    '') wrong_use 'what is to be done?' ;;
    *) wrong_use "'$asked' is not known" ;;
esac
case $purpose in
    build | test | neon | cross) ;;
    *) wrong_use "'$purpose' is not build, test, neon or cross" ;;
esac

if ! handle_tools; then
    [ "$purpose" = neon ] || found cargo || say "Rust is missing too: run ./setup.sh demo or ./setup.sh test then, it puts Rust into the home folder"
    exit 1
fi
[ "$purpose" = neon ] || handle_rust || exit 1
[ "$purpose" != test ] || handle_python
case $asked in
    # They need not look again.
    demo | build | test | neon | cross) exec make ready=: "$asked" "$@" ;;
esac
