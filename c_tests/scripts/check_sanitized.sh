#!/bin/sh
# check_sanitized.sh NM PROGRAM...: both sanitizers are in each program.
set -eu
nm=$1
shift
status=0
for program; do
    names=$("$nm" "$program")
    for name in __asan_init __ubsan_handle; do
        case $names in
            *"$name"*) ;;
            *) echo "$program has no $name"; status=1 ;;
        esac
    done
done
echo "$# programs looked at"
exit $status
