#!/bin/bash
# setup.sh FOLDER    puts the peers that are no crates, and the data, into FOLDER, unless they are there:
#                    c-blosc2 and three data packages from PyPI, ISA-L and rdiff from Debian, b3sum from
#                    crates.io
# setup.sh FOLDER data   the data packages alone
set -euo pipefail
folder=$1
data=(de421==2008.1 iris-sample-data==2.5.2 timezonefinder==6.5.2)
mkdir -p "$folder"

packages=()
if [ "${2:-}" != data ]; then
    data+=(blosc2==4.14.1)
    [ -f /usr/include/isa-l/erasure_code.h ] || packages+=(libisal-dev)
    command -v rdiff > /dev/null || packages+=(rdiff)
fi
python3 -m pip --version > /dev/null 2>&1 || packages+=(python3-pip)
if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
        echo "install first: ${packages[*]}"
        exit 1
    fi
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

for package in "${data[@]}"; do
    [ -f "$folder/$package.done" ] && continue
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder/${package%%=*}" \
        "$package"
    touch "$folder/$package.done"
done
[ "${2:-}" = data ] || [ -x "$folder/bin/b3sum" ] || cargo install --quiet --locked --root "$folder" --version 1.8.7 b3sum
