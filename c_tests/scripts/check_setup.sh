#!/bin/sh
# check_setup.sh SETUP: what setup.sh asks apt-get for, on a machine that has a compiler, make, cmake
# and Rust and nothing else. Every package manager here is a pretence.
set -eu
setup=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "failed: $*"; cat "$folder/said"; exit 1; }

bin=$folder/bin
mkdir "$bin"
for tool in sh dirname sed cc make cmake cargo rustc; do
    ln -s "$(command -v "$tool")" "$bin/$tool"
done
echo 'echo 0' > "$bin/id"
echo 'echo libclang1; echo "  Depends: libclang1-77"' > "$bin/apt-cache"
# Knows no valgrind; writes down what it was asked for.
# shellcheck disable=SC2016
echo 'echo "$*" >> "$ASKED"; case "$*" in *valgrind*) exit 100 ;; esac' > "$bin/apt-get"
for tool in id apt-cache apt-get; do
    printf '#!/bin/sh\n%s\n' "$(cat "$bin/$tool")" > "$bin/$tool"
    chmod +x "$bin/$tool"
done

ask() {
    : > "$folder/asked"
    ASKED=$folder/asked PATH=$bin LIBCLANG_PATH=$folder/nowhere "$setup" "$1" > "$folder/said" 2>&1
}
asked() { grep -q -e "--no-install-recommends $1\$" "$folder/asked"; }

ask build || fail 'a build needs nothing more'
[ ! -s "$folder/asked" ] || fail "for a build it installs $(cat "$folder/asked")"

ask test || fail 'what tests can do without is missing, and the tests do not begin'
for package in g++ pkg-config valgrind libclang1 libclang-common-77-dev; do
    asked "$package" || fail "$package was not asked for on its own"
done
[ "$(grep -c '^update' "$folder/asked")" = 1 ] || fail 'the lists are fetched more than once'
grep -q 'valgrind could not be installed' "$folder/said" || fail 'the failure was not told'
grep -q 'tests under valgrind are left out' "$folder/said" || fail 'what is left out was not told'

rm "$bin/cmake"
if ask build; then fail 'without cmake there is no build'; fi
asked cmake || fail 'cmake was not asked for'
