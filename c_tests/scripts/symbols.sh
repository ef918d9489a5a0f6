#!/bin/sh
# Prints the names of the functions that a C header declares, one a line, sorted.
#
#   c_tests/scripts/symbols.sh include/atlas_manifold.h > c_tests/symbols.txt
#
# The preprocessor takes the comments away; the rest is cut into declarations. Types, and inline
# functions, which no library exports, are left out.
set -eu
export LC_ALL=C
${CC:-cc} -E -P "$1" | tr '\n' ' ' | tr ';{}' '\n\n\n' |
    sed -n -e 's/__attribute__ *(([^()]*\(([^()]*)\)*[^()]*))//g' -e '/typedef/d' -e '/inline/d' \
        -e 's/^[^(]*[^a-zA-Z0-9_(]\(atlas_[a-z0-9_]*\) *(.*/\1/p' | sort -u
