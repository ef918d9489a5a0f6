#!/bin/sh
# check_interrupt.sh CLASSES: the example ends by the signal that interrupts it, and leaves no folder behind.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "failed: $*"; cat "$folder/said"; exit 1; }
mkdir "$folder/tmp"
# Large enough to be at work when the folder is there, and no longer.
dd if=/dev/zero of="$folder/file" bs=1048576 count=64 2> "$folder/said"

interrupt() {
    TMPDIR=$folder/tmp "$1" "$folder/file" > "$folder/said" 2>&1 &
    program=$!
    tries=0
    while [ -z "$(find "$folder/tmp" -path "$2")" ]; do
        kill -0 $program 2> /dev/null && [ $tries -lt 2400 ] || fail "$2 did not appear"
        tries=$((tries + 1))
        sleep 0.05
    done
    kill "-$3" $program
    status=0
    wait $program || status=$?
    [ $status = $((128 + $4)) ] || fail "after $3 the status is $status and not $((128 + $4))"
    [ -z "$(ls "$folder/tmp")" ] || fail "after $3 it leaves $(ls "$folder/tmp")"
    grep -q interrupted "$folder/said" || fail "it does not say that it was interrupted"
}

# As soon as the folder is there, and once shards are in it.
interrupt "$1" '*/atlas-classes-*' INT 2
interrupt "$1" '*/class-03' TERM 15
