#!/bin/sh
# check_setup.sh SETUP: the packages that setup.sh installs, and its output, on a machine that has a compiler,
# make, cmake and Rust and nothing else. The package manager here is a pretence, and so is make.
set -eu
setup=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "failed: $*"; cat "$folder/said"; exit 1; }

bin=$folder/bin
mkdir "$bin"
for tool in sh dirname sed tr cc cmake cargo rustc; do
    ln -s "$(command -v "$tool")" "$bin/$tool"
done
pretend() { printf '#!/bin/sh\n%s\n' "$2" > "$bin/$1"; chmod +x "$bin/$1"; }
# shellcheck disable=SC2016 # for the pretence
{
    pretend id 'echo "${USER_ID:-0}"'
    # Knows no package before the lists are fetched, where LISTS is a folder without any.
    pretend apt-cache '[ ! -d "${LISTS:-}" ] || [ -e "$LISTS/fetched" ] || exit 100
        case $1 in depends) echo libclang1; echo "  Depends: libclang1-77" ;; esac'
    # Knows no valgrind; records its arguments.
    pretend apt-get 'case "$*" in *--assume-no*) echo "Need to get 12 MB of archives."; exit 1 ;; esac
        echo "$*" >> "$ASKED"
        case "$1" in update) [ ! -d "${LISTS:-}" ] || echo > "$LISTS/fetched" ;; esac
        case "$*" in *valgrind*) exit 100 ;; esac'
    pretend make 'echo "make $*" >> "$ASKED"'
}

ask() {
    : > "$folder/asked"
    ASKED=$folder/asked PATH=$bin LIBCLANG_PATH=$folder/nowhere OCL_ICD_VENDORS=$folder/nowhere "$setup" "$@" > "$folder/said" 2>&1
}
asked() { grep -q -e "--no-install-recommends $1\$" "$folder/asked"; }
said() { grep -q -e "$1" "$folder/said" || fail "it does not say: $1"; }

# Nothing is missing: nothing is installed, and the target runs with its arguments.
ask demo 'FILE=a file' || fail 'a demonstration needs nothing more'
[ "$(cat "$folder/asked")" = 'make ready=: demo FILE=a file' ] || fail "for the demo it asks for $(cat "$folder/asked")"
ask install build || fail 'a build needs nothing more'
[ ! -s "$folder/asked" ] || fail "for a build it installs $(cat "$folder/asked")"

# Root: all at once, then each on its own, and what cannot be had is told.
ask test || fail 'what tests can do without is missing, and the tests do not begin'
asked 'g++ pkg-config valgrind ocl-icd-libopencl1 pocl-opencl-icd python3 python3-venv libclang1 libclang-common-77-dev' || fail 'the packages were not asked for together'
for package in g++ pkg-config valgrind ocl-icd-libopencl1 pocl-opencl-icd python3 python3-venv libclang1 libclang-common-77-dev; do
    asked "$package" || fail "$package was not asked for on its own"
done
[ "$(grep -c '^update' "$folder/asked")" = 1 ] || fail 'the lists are fetched more than once'
[ "$(tail -n 1 "$folder/asked")" = 'make ready=: test' ] || fail 'the tests do not run'
said 'Need to get 12 MB'
said 'valgrind could not be installed'
said 'tests under valgrind are left out'

# Looking installs nothing, not even as root.
ask check test || fail 'what tests can do without is missing, and that is an error'
[ ! -s "$folder/asked" ] || fail "while it looks it installs $(cat "$folder/asked")"

# Without package lists they are fetched before anything is asked for.
rm "$bin/cmake"
LISTS=$folder/lists
mkdir "$LISTS"
export LISTS
if ask build; then fail 'without cmake there is no build'; fi
[ "$(sed -n 1p "$folder/asked")" = 'update -qq' ] || fail 'it asks for packages before it has the lists'
asked cmake || fail 'cmake was not asked for'
if grep -q '^make' "$folder/asked"; then fail 'a build runs without cmake'; fi

# Without root: one line, which names all packages, and an error if a build is impossible.
USER_ID=1000
export USER_ID
if ask demo; then fail 'without cmake and without root there is a demonstration'; fi
[ ! -s "$folder/asked" ] || fail "without root it calls $(cat "$folder/asked")"
said "^    su - -c 'apt-get update && apt-get install -y --no-install-recommends cmake'\$"
pretend sudo ''
rm "$LISTS/fetched" 2> /dev/null || :
if ask test; then fail 'without cmake and without root there are tests'; fi
said "^    sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends cmake g++ pkg-config valgrind ocl-icd-libopencl1 pocl-opencl-icd python3 python3-venv libclang-dev'\$"
rm "$bin/cargo" "$bin/rustc"
if HOME=$folder CARGO_HOME=$folder ask demo; then fail 'there is a demonstration without cargo'; fi
said 'install-recommends cmake curl'
said 'it puts Rust into the home folder'
if grep -q 'not found' "$folder/said"; then fail 'it tries to fetch Rust without curl'; fi

# Help, and unknown commands.
ask --help || fail 'there is no help'
said './setup.sh demo'
if ask nonsense; then fail 'nonsense is understood'; fi
said "'nonsense' is not known; see ./setup.sh --help"
