#!/bin/sh
# Runs the outline of many processes with Dask: four workers, and some of them killed.
#
# distributed comes from PyPI into build/venv-dask; without it the test is left out.
set -eu
cd "$(dirname "$0")/../.."
python=$PWD/build/venv-dask/bin/python
if ! "$python" -c 'import distributed, numpy' 2> /dev/null; then
    python3 -m venv build/venv-dask && "$python" -m pip install --quiet --disable-pip-version-check distributed numpy || {
        echo 'examples/python is left out: distributed could not be installed'
        exit
    }
fi
library=$(echo "$PWD"/build/lib/libatlas_manifold.so.[0-9]*.[0-9]*.[0-9]* | tr ' ' '\n' | tail -n 1)
export ATLAS_MANIFOLD_LIBRARY="${ATLAS_MANIFOLD_LIBRARY:-$library}" PYTHONPATH="$PWD/python/src:$PWD/examples/python"
exec "$python" examples/python/test_outline.py
