#!/bin/sh
# uninstall.sh BUILD PREFIX: removes from PREFIX (below DESTDIR, if that is set) the files that
# `cmake --install BUILD --prefix PREFIX` puts there, and the folders of ours that are empty then.
#
# The files are found by an installation into a folder that is thrown away: CMake's own list,
# install_manifest.txt, is that of the last installation, wherever that went.
set -eu
build=$1 prefix=$2
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
[ -e "$build/lib/libatlas_manifold.a" ] || {
    echo "uninstall: nothing is built in $build, so that the names of the files are unknown: run make first" >&2
    exit 1
}

again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
DESTDIR=$again cmake --install "$build" --prefix "$prefix" > /dev/null
cd "$again"
find . ! -type d | while IFS= read -r file; do
    file=${DESTDIR-}${file#.}
    if [ -e "$file" ] || [ -L "$file" ]; then
        rm -- "$file"
        echo "removed $file"
    fi
done
# The deepest first; one that holds anything else stays.
find . -depth -type d -iname '*atlas*' | while IFS= read -r folder; do
    rmdir -- "${DESTDIR-}${folder#.}" 2> /dev/null || :
done
