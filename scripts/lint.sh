#!/bin/bash
# lint.sh [CARGO-OPTION...]   formatting, clippy, the compiler's warnings, sentences, licences, and whether generated
#                             files are fresh; the options are the features with which build.rs compares
# lint.sh flags               prints what clippy gets for the Rust that is here
#
# Each version of Rust has other lints and formats a little differently. So lints are errors with the one
# version that .ci/rust-version names. With another one all the same is shown, and the run goes on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

agreed=$(< .ci/rust-version)
version=$("${RUSTC:-rustc}" --version)
version=${version#rustc }
version=${version%% *}

# The cap also holds for the lints that Cargo.toml denies.
if [ "$version" = "$agreed" ]; then flags=(-D warnings); else flags=(--cap-lints warn); fi
if [ "${1-}" = flags ]; then
    echo "${flags[*]}"
    exit
fi

run() { echo "$*"; "$@"; }

# A command that judges by taste: its failure is one with the agreed version alone.
judge() {
    run "$@" && return
    [ "$version" != "$agreed" ]
}

if [ "$version" != "$agreed" ]; then
    echo "Lints are shown and are no errors: this is Rust $version, and .ci/rust-version names $agreed"
fi
judge cargo fmt --check
judge rustfmt --check --edition 2024 bench/build.rs bench/src/*.rs bench/src/*/main.rs bench/micro/benches/*.rs
judge rustfmt --check --edition 2024 cli/src/main.rs cli/tests/*.rs
export ATLAS_GENERATED=check
run cargo clippy --locked --all-targets "$@" -- "${flags[@]}"
unset ATLAS_GENERATED
run cargo clippy --locked --lib --no-default-features --features std "$@" -- "${flags[@]}"
run cargo clippy --locked --package atlasm --all-targets -- "${flags[@]}"
run cargo check --locked --package atlas_bench
run cargo check --locked --package atlas_micro --benches
run c_tests/scripts/check_symbols.sh header include/atlas_manifold.h c_tests/symbols.txt
run scripts/sentences.sh
run scripts/licences.sh
if command -v python3 > /dev/null; then
    run scripts/third_party.py check
else
    echo 'without python3 nobody looks whether LICENSE-THIRD-PARTY is complete'
fi
