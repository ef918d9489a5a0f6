#!/bin/bash
# second_rust.sh FOLDER [ARCHITECTURE...]   puts Debian's second Rust, with the sources of its standard library, into
#                                           FOLDER, and the standard library of each architecture that Debian names so
#
# The packages are unpacked and not installed, which needs no root. Cargo uses this compiler by
#
#   RUSTC=FOLDER/usr/bin/rustc LD_LIBRARY_PATH=FOLDER/usr/lib/x86_64-linux-gnu cargo ...
#
# A folder that is complete is left as it is: that takes some milliseconds. Fetches 137 MB, and 36 MB per architecture.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
fail() { echo "second_rust.sh: $*" >&2; exit 1; }
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail 'runs on Linux on x86-64 alone'
command -v apt-get dpkg-deb > /dev/null || fail 'needs apt-get and dpkg-deb, of Debian'

# Package lists and settings of its own: the machine's may lack the architectures, and stay as they are. Debian 13 has
# the same version as the security updates of Debian 12, for more architectures.
look_around() {
    local apt=$folder/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    cat > "$apt/sources.list" << EOF
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian-security bookworm-security main
EOF
    cat > "$apt/conf" << EOF
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$apt/lists";
Dir::State::status "/dev/null";
Dir::Cache "$apt/cache";
APT::Sandbox::User "$(id -un)";
APT::Architecture "amd64";
EOF
    if [ "$1" != amd64 ]; then
        sed -i 's| http.*| http://deb.debian.org/debian trixie main|' "$apt/sources.list"
        printf 'APT::Architectures { "amd64"; "%s"; };\n' "$1" >> "$apt/conf"
    fi
    export APT_CONFIG=$apt/conf
    apt-get update -qq
}

# Unpacks these packages, then writes the name that says that they are complete.
unpack() {
    local name=$1 archive work
    shift
    work=$(mktemp -d)
    (cd "$work" && apt-get download -qq "$@")
    for archive in "$work"/*.deb; do
        dpkg-deb -x "$archive" "$folder"
    done
    rm -rf "$work" "$folder/apt"
    touch "$folder/complete-$name"
}

if [ ! -e "$folder/complete-amd64" ]; then
    echo "fetching Debian's second Rust into $folder: 137 MB, 1 GB on disk" >&2
    look_around amd64
    unpack amd64 rustc-web libstd-rust-web-1.96 libstd-rust-web-dev rust-web-src libllvm22
fi
for architecture; do
    if [ ! -e "$folder/complete-$architecture" ]; then
        echo "fetching its standard library for $architecture" >&2
        look_around "$architecture"
        unpack "$architecture" "libstd-rust-web-dev:$architecture"
    fi
done
