#!/bin/sh
# A cargo that links with Zig for an old glibc, so that one wheel runs on all of Linux: the CARGO of python/wheel.sh.
# What it makes is put where cargo itself would have put it.
set -eu
target=$(uname -m)-unknown-linux-gnu
cargo-zigbuild "$@" --target "$target.${ATLAS_GLIBC:-2.17}"
for folder in "$CARGO_TARGET_DIR/$target"/*/; do
    profile=$(basename "$folder")
    mkdir -p "$CARGO_TARGET_DIR/$profile"
    find "$folder" -maxdepth 1 -type f -exec cp -p {} "$CARGO_TARGET_DIR/$profile/" \;
done
