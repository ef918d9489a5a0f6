#!/bin/bash
# Builds the reference into BUILD/docs: site/ for a browser, man/man3 for man.
#
#   scripts/docs.sh BUILD
#
# Doxygen makes the part of the C and C++ headers, and Sphinx the pages in docs/ and the Python package, which it imports.
# A warning of either is an error. No page loads anything from elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1
out=$build/docs
command -v doxygen > /dev/null || { echo 'doxygen is missing: apt-get install doxygen' >&2; exit 1; }

venv=$build/venv-docs
packages='sphinx myst-parser furo'
if ! "$venv/bin/python" -c 'import sphinx, myst_parser, furo' 2> /dev/null; then
    "${PYTHON:-python3}" -m venv "$venv"
    # shellcheck disable=SC2086 # a list of packages
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check $packages
fi

rm -rf "$out"
mkdir -p "$out/extra/c" "$out/doxygen"
headers=$(find include -name '*.h*' | sort | tr '\n' ' ')

# Each program of examples/, and each test that is plain C, is linked from the functions that it uses.
mkdir "$out/doxygen/examples"
{
    echo '/**'
    for program in examples/*.c examples/*.cpp c_tests/api_*.c; do
        sed -f docs/site/example.sed "$program" > "$out/doxygen/examples/${program##*/}"
        echo "\\example ${program##*/}"
    done
    echo '*/'
} > "$out/doxygen/examples.dox"

{
    cat docs/Doxyfile
    echo "PROJECT_NUMBER = $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
    echo "INPUT = $headers docs/site/main.dox $out/doxygen/examples.dox"
    echo "EXAMPLE_PATH = $out/doxygen/examples"
    echo "OUTPUT_DIRECTORY = $out/doxygen"
    echo "WARN_LOGFILE = $out/doxygen/warnings"
} > "$out/doxygen/Doxyfile"
doxygen "$out/doxygen/Doxyfile"
if [ -s "$out/doxygen/warnings" ]; then
    cat "$out/doxygen/warnings" >&2
    exit 1
fi

# Every function of the C header has an example.
page=$out/doxygen/html/atlas__manifold_8h.html
"$venv/bin/python" - "$page" c_tests/symbols.txt << 'END'
import re, sys
page = open(sys.argv[1], encoding="utf-8").read()
have = set()
for part in re.split(r'(?=<h2 class="memtitle">)', page):
    name = re.search(r"(atlas_\w+)\(\)</h2>", part)
    if name and 'class="section examples"' in part:
        have.add(name[1])
missing = [name for name in open(sys.argv[2]).read().split() if name not in have]
if missing:
    sys.exit("no example uses " + ", ".join(missing))
END

mv "$out/doxygen/html"/* "$out/extra/c/"
library=$(ls "$build"/lib/libatlas_manifold.so.[0-9]*.[0-9]*.[0-9]* | tail -n 1)
ATLAS_MANIFOLD_LIBRARY=${ATLAS_MANIFOLD_LIBRARY:-$PWD/$library} PYTHONPATH=python/src \
    "$venv/bin/python" -m sphinx -q -W --keep-going -b html -d "$out/doctrees" docs "$out/site"
# Manual pages of the C header alone: those of C++ would have names like error.3.
mkdir -p "$out/man/man3"
rm -f "$out"/doxygen/man/man3/atlas_v[0-9]*.3
mv "$out"/doxygen/man/man3/atlas_[a-z]*.3 "$out/man/man3/"

# Nothing is fetched from elsewhere: no script, style, font or picture with an address of a network.
if grep -rlE '<(script|link|img)[^>]+(src|href)="(https?:)?//' "$out/site" --include='*.html' ||
    grep -rlE '(@import|url\()[^;]*https?://' "$out/site" --include='*.css'; then
    echo 'these pages load something from a network' >&2
    exit 1
fi
echo "$out/site/index.html: $(find "$out/site" -name '*.html' | wc -l) pages; $out/man/man3: $(ls "$out/man/man3" | wc -l) manual pages"
