#!/bin/sh
# Runs the tests of the Python package.
#
#   python/test.sh source    on the package in src/ and the library in build/lib, with the Python of build/venv, or
#                            python3 if it has pytest; without any the tests are left out
#   python/test.sh cost      the package's times beside ctypes and C, in the same way
#   python/test.sh wheel     the wheel in build/wheel, installed for every Python of this machine from 3.9 on, each in an
#                            environment of its own in build/; PYTHONS names others
#   python/test.sh ready     status 0 if the first two have their requirements
#   python/test.sh setup     makes build/venv with the requirements of the tests, from PyPI
set -eu
cd "$(dirname "$0")/.."
root=$PWD
packages='pytest hypothesis numpy'

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2> /dev/null; }
can_test() { "$1" -c 'import pytest, hypothesis, numpy' 2> /dev/null; }

# The first Python with the requirements of the tests.
find_python() {
    for python in build/venv/bin/python python3; do
        if command -v "$python" > /dev/null && new_enough "$python" && can_test "$python"; then
            echo "$python"
            return
        fi
    done
    return 1
}

# All of pyenv, and those on PATH, each version once.
all_pythons() {
    for python in ${PYTHONS:-"${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python python3 python3.9 python3.10 python3.11 \
        python3.12 python3.13 python3.14}; do
        command -v "$python" > /dev/null && new_enough "$python" || continue
        echo "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') $(command -v "$python")"
    done | sort -t . -k 1,1n -k 2,2n -u
}

case ${1:-source} in
    ready) find_python > /dev/null ;;
    setup)
        for python in "${PYTHON:-python3}" python3; do
            command -v "$python" > /dev/null && new_enough "$python" || continue
            [ -x build/venv/bin/python ] || "$python" -m venv build/venv
            # shellcheck disable=SC2086 # a list of packages
            build/venv/bin/python -m pip install --quiet --disable-pip-version-check $packages mypy
            exit
        done
        echo 'There is no Python 3.9 or newer.' >&2
        exit 1
        ;;
    source | cost)
        if ! python=$(find_python); then
            echo 'Python tests are left out: there is no Python from 3.9 on with pytest, hypothesis and numpy.' \
                'python/test.sh setup puts them into build/venv.'
            exit
        fi
        case $python in build/*) python=$root/$python ;; esac
        library=$(echo "$root"/build/lib/libatlas_manifold.so.[0-9]*.[0-9]*.[0-9]* | tr ' ' '\n' | tail -n 1)
        export ATLAS_MANIFOLD_LIBRARY="${ATLAS_MANIFOLD_LIBRARY:-$library}" PYTHONPATH="$root/python/src"
        [ ! -x build/bin/atlasm ] || export ATLAS_MANIFOLD_COMMAND="${ATLAS_MANIFOLD_COMMAND:-$root/build/bin/atlasm}"
        cd python
        if [ "${1:-source}" = cost ]; then set -- -m cost -q; else set -- -q; fi
        exec "$python" -m pytest -p no:cacheprovider "$@"
        ;;
    wheel)
        wheel=$(ls build/wheel/*.whl)
        unset ATLAS_MANIFOLD_LIBRARY ATLAS_MANIFOLD_COMMAND PYTHONPATH
        all_pythons | while read -r version python; do
            echo "== Python $version"
            folder=build/venv-$version
            [ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
            # shellcheck disable=SC2086 # a list of packages
            "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --prefer-binary $packages
            "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"
            # Not in the folder of the source, whose package must not be found.
            (cd python/tests && "$root/$folder/bin/python" -m pytest -q -p no:cacheprovider -c ../pyproject.toml .)
        done
        ;;
    *)
        sed -n '2,11p' "$0"
        exit 2
        ;;
esac
