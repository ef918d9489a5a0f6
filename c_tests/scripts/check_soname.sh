#!/bin/sh
# check_soname.sh LIBRARY SONAME: the library carries that name, stays loaded once it is, and lies
# beside links that lead to it. CMake names the links and build.rs the soname, both from Cargo.toml.
set -eu
dynamic=$("${READELF:-readelf}" -d "$1")
case $dynamic in
    *"[$2]"*) ;;
    *) echo "soname $2 is not in:"; echo "$dynamic"; exit 1 ;;
esac
case $dynamic in
    *NODELETE*) ;;
    *) echo 'the library may be unloaded under its threads: no NODELETE flag'; exit 1 ;;
esac
folder=$(dirname "$1")
for link in "$2" libatlas_manifold.so; do
    if [ ! "$folder/$link" -ef "$1" ]; then
        echo "$folder/$link is not $1"
        exit 1
    fi
done
