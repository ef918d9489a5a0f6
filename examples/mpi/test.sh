#!/bin/sh
# Runs the outline of many processes with each MPI that was found, with 1, 2, 3 and 7 ranks.
#
#   examples/mpi/test.sh build
#
# The root is the same for every number of ranks, in a file and in memory. A rank that fails ends all, and leaves nothing.
set -eu
programs=$1/examples
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ran=0

fail() {
    echo "mpi: $*" >&2
    exit 1
}

# Prints the root.
roots() {
    flavour=$1
    shift
    for ranks in 1 2 3 7; do
        "mpirun.$flavour" $options -n "$ranks" "$programs/mpi_outline_$flavour" "$@" "$folder/made.atlas" |
            sed 's/ .*//'
        [ "$(ls "$folder")" = "$files" ] || fail "parts are left: $(ls "$folder")"
        rm "$folder/made.atlas"
    done | sort -u
}

for flavour in openmpi mpich; do
    program=$programs/mpi_outline_$flavour
    [ -x "$program" ] || continue
    command -v "mpirun.$flavour" > /dev/null || continue
    options=
    # Open MPI counts cores, and refuses root.
    [ $flavour = openmpi ] && options='--oversubscribe --allow-run-as-root'
    # 20 MiB and a part of one; less than one rank in seven has work in the second file.
    head -c 20972345 /dev/urandom > "$folder/data"
    files=$(printf 'data\nmade.atlas')
    [ "$(roots $flavour "$folder/data" | wc -l)" = 1 ] || fail "$flavour: the root depends on the ranks"
    head -c 3000000 /dev/zero > "$folder/data"
    [ "$(roots $flavour "$folder/data" | wc -l)" = 1 ] || fail "$flavour: the root depends on the ranks"
    [ "$(roots $flavour --memory 9876543 | wc -l)" = 1 ] || fail "$flavour: the root depends on the ranks"
    # A rank cannot write its part.
    echo mine > "$folder/made.atlas.part2"
    if "mpirun.$flavour" $options -n 3 "$program" "$folder/data" "$folder/made.atlas" > "$folder/log" 2>&1; then
        fail "$flavour: a rank failed and nobody said so"
    fi
    grep -q 'rank 2: .*made.atlas.part2' "$folder/log" || fail "$flavour: $(cat "$folder/log")"
    rm "$folder/log"
    [ "$(ls "$folder")" = "$(printf 'data\nmade.atlas.part2')" ] || fail "left: $(ls "$folder")"
    [ "$(cat "$folder/made.atlas.part2")" = mine ] || fail "$flavour: a file of somebody else's was removed"
    rm "$folder/data" "$folder/made.atlas.part2"
    echo "mpi: $flavour: one root for 1, 2, 3 and 7 ranks"
    ran=1
done
[ $ran = 1 ] || echo 'mpi: neither Open MPI nor MPICH is here: nothing was run'
