#!/bin/sh
# check_instructions.sh VALGRIND C-PROGRAM CPP-PROGRAM: projecting, extracting and verifying through atlas_manifold.hpp
# executes at most 1 % more instructions than through atlas_manifold.h. Callgrind counts both.
set -eu
valgrind=$1 c=$2 cpp=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# count PROGRAM FUNCTION: instructions inside the function and all that it calls.
count() {
    "$valgrind" --tool=callgrind --callgrind-out-file="$work/out" --collect-atstart=no --toggle-collect="$2" \
        "$1" > "$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
    awk '$1 == "totals:" || $1 == "summary:" { n = $2 } END { print n + 0 }' "$work/out"
}

for what in project extract verify; do
    of_c=$(count "$c" "count_$what")
    of_cpp=$(count "$cpp" "count_$what")
    awk -v what="$what" -v c="$of_c" -v cpp="$of_cpp" 'BEGIN {
        printf "%-8s C %d, C++ %d instructions: %+.3f %%\n", what, c, cpp, (cpp / c - 1) * 100
        exit !(c > 100000 && cpp <= c * 1.01)
    }' || { echo "failed: $what: more than 1 %, or nothing was counted"; failed=1; }
done
exit $failed
