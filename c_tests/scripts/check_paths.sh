#!/bin/sh
# check_paths.sh FILE FOLDER...: the file does not hold the path of one of the folders.
set -eu
file=$1
shift
status=0
for folder; do
    # The bytes around each place, up to a byte that no path has.
    if found=$(LC_ALL=C grep -aoE -m 5 "$(printf '%s' "$folder" | sed 's/[][\.*^$+?(){}|]/\\&/g')[[:graph:]]{0,120}" "$file"); then
        echo "$file names a folder of this machine, $folder:"
        printf '%s\n' "$found" | sort -u
        status=1
    fi
done
exit $status
