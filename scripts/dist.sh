#!/bin/bash
# dist.sh FOLDER [WHEEL...]: everything of a release, in FOLDER, which is made anew:
#
#   atlas_manifold-VERSION.tar.gz               the source with all crates, which builds without a network
#   atlas_manifold-VERSION-linux-ARCH.tar.gz    what `make install` installs, for any prefix, and debug files
#   *.deb                                       libatlas-manifold0.2, -dev, -dbg and atlasm
#   atlas_manifold-VERSION.cdx.json             the bill of materials (CycloneDX), LICENSE-THIRD-PARTY the licences
#   the wheels that are given, SHA256SUMS, and ROOTS, which `atlasm hash -c ROOTS` checks
#
# The packages are built from the source archive, without a network and with a cargo that knows no crate. All
# of it is the same byte for byte for the same commit and tools: times are those of the commit, or SOURCE_DATE_EPOCH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -ge 1 ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"; exit 2; }
for tool in git python3 dpkg-shlibdeps objcopy; do
    command -v $tool > /dev/null || { echo "dist: $tool is missing (Debian: git, python3, dpkg-dev, binutils)" >&2; exit 1; }
done
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
name=atlas_manifold-$version
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export LC_ALL=C TZ=UTC
umask 022
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
work=$out/work
rm -rf "${out:?}"/*
mkdir -p "$work/$name"

echo "dist: the source"
git ls-files -z | tar --null -T - -c | tar -C "$work/$name" -x
cargo vendor --quiet --locked --versioned-dirs "$work/$name/vendor" > /dev/null
cat >> "$work/$name/.cargo/config.toml" <<'CONFIG'

# The crates are here.
[source.crates-io]
replace-with = "vendored-sources"
[source.vendored-sources]
directory = "vendor"
CONFIG
chmod -R u=rwX,go=rX "$work/$name"
tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
    -c "$name" | gzip -9n > "$out/$name.tar.gz"
rm -rf "${work:?}/$name"

echo "dist: a build from it, without a network"
tar -C "$work" -xzf "$out/$name.tar.gz"
mkdir "$work/cargo-home"
alone=()
if unshare -n true 2> /dev/null; then alone=(unshare -n); fi
# configure LIBDIR: the second time nothing is built again. Without the dependency CPack would call cargo once more, with
# the network and the cargo of the user.
configure() {
    cmake -S "$work/$name" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr \
        -DCMAKE_SKIP_INSTALL_ALL_DEPENDENCY=ON \
        -DCMAKE_INSTALL_LIBDIR="$1" -DATLAS_MANIFOLD_EXAMPLES=OFF -DATLAS_MANIFOLD_DEBUG_FILES=ON > "$work/configure.log" ||
        { cat "$work/configure.log"; exit 1; }
}
# Where rustc is found by rustup, that needs its own home.
build() {
    env -u MAKEFLAGS -u MFLAGS -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS CARGO_HOME="$work/cargo-home" \
        RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" CARGO_NET_OFFLINE=true "${alone[@]}" "$@"
}
configure lib
build cmake --build "$work/build" -j "$(nproc)" > "$work/build.log" 2>&1 || { tail -40 "$work/build.log"; exit 1; }
package() { (cd "$work/build" && cpack -G "$1" > "$work/cpack.log" 2>&1) || { cat "$work/cpack.log"; exit 1; }; }
package TGZ
configure "lib/$multiarch"
package DEB
mv "$work/build/"*.tar.gz "$work/build/"*.deb "$out"

echo "dist: what is inside, and sums"
scripts/third_party.py sbom "$out/$name.cdx.json"
cp LICENSE-MIT LICENSE-APACHE LICENSE-THIRD-PARTY "$out"
for wheel; do cp "$wheel" "$out"; done
cp "$work/build/bin/atlasm" "$work/atlasm"
cd "$out"
"$work/atlasm" hash $(find . -maxdepth 1 -type f -printf '%f\n' | sort) > "$work/ROOTS"
mv "$work/ROOTS" ROOTS
sha256sum $(find . -maxdepth 1 -type f -printf '%f\n' | sort) > "$work/SHA256SUMS"
mv "$work/SHA256SUMS" SHA256SUMS
if command -v lintian > /dev/null; then
    lintian --allow-root --fail-on error ./*.deb
else
    echo 'dist: without lintian the Debian packages are not looked at'
fi
rm -rf "$work"
ls -l
