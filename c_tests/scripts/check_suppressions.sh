#!/bin/sh
# check_suppressions.sh VALGRIND SUPPRESSIONS PROOF PROGRAM...: with the suppressions PROOF has no leak and
# without them it has; a leak of its own is reported with them. Nor has PROGRAM, with its arguments, a leak.
set -eu
valgrind=$1 suppressions=$2 proof=$3
shift 3
fail() { echo "failed: $*"; exit 1; }
run() {
    status=0
    "$valgrind" --quiet --leak-check=full --error-exitcode=9 "$@" || status=$?
}

run "--suppressions=$suppressions" "$proof"
[ $status = 0 ] || fail "the suppressions leave something: status $status"
run "$proof" 2> /dev/null
[ $status = 9 ] || fail "there is nothing to suppress: status $status"
for kind in definite possible; do
    run "--suppressions=$suppressions" "$proof" $kind 2> /dev/null
    [ $status = 9 ] || fail "a $kind leak of a program is suppressed too: status $status"
done
run "--suppressions=$suppressions" "$@"
[ $status = 0 ] || fail "the suppressions leave something in $*: status $status"
