#!/bin/sh
# check_abi_gate.sh HEADER: abi.sh refuses breaking changes and unlisted ones, in changed copies of the header.
set -eu
abi=$(dirname "$0")/abi.sh
header=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/abi"
"$abi" release "$header" "$work/abi" > "$work/said"
if grep -q '^skipped: ' "$work/said"; then
    cat "$work/said"
    exit
fi

# try WHAT WANTED-TEXT SED-PROGRAM: the header that sed makes is refused with this text.
try() {
    sed "$3" "$header" > "$work/changed.h"
    if cmp -s "$header" "$work/changed.h"; then echo "failed: $1: nothing was changed"; exit 1; fi
    if "$abi" check "$work/changed.h" "$work/abi" > "$work/said" 2>&1; then
        echo "failed: not refused: $1"
        exit 1
    fi
    grep -qF -e "$2" "$work/said" || { cat "$work/said"; echo "failed: $1: it does not say: $2"; exit 1; }
}

try 'a function is gone' 'gone or changed: function void atlas_manifold_trim(void)' 's/atlas_manifold_trim(void);/atlas_manifold_trimmed(void);/'
try 'a parameter has another type' 'gone or changed: function enum atlas_status atlas_pool_create(' 's/atlas_pool_create(uint32_t threads/atlas_pool_create(uint64_t threads/'
try 'a value is another one' 'gone or changed: value atlas_status ATLAS_STATUS_LIMIT = 13' 's/ATLAS_STATUS_LIMIT = 13/ATLAS_STATUS_LIMIT = 15/'
try 'a macro is another one' 'gone or changed: macro ATLAS_FEATURE_LZ4 = 128' 's/ATLAS_FEATURE_LZ4 128/ATLAS_FEATURE_LZ4 256/'
try 'a field has another type' 'gone or changed: field atlas_region.length at 8: uint64_t length' '/^typedef struct atlas_region {/,/^}/s/uint64_t length/int64_t length/'
try 'a field has another name' 'gone or changed: field atlas_limits.max_proof_size' 's/uint64_t max_proof_size;/uint64_t max_proofs;/'
try 'a field is in another place' 'gone or changed: field atlas_progress.bytes_done at 8' 's/uint64_t bytes_done;/uint64_t first; uint64_t bytes_done;/'
try 'a struct without a size grows' 'gone or changed: struct atlas_region size 16' 's/^} atlas_region;/uint64_t more; } atlas_region;/'
try 'a callback has another type' 'gone or changed: type void (*atlas_release_fn)(void *)' 's/(\*atlas_release_fn)(void \*user_data)/(*atlas_release_fn)(void *user_data, int again)/'
try 'a new function is not listed' 'function int atlas_new(void)' 's/^typedef struct atlas_buffer {/int atlas_new(void); &/'
try 'a new field is not listed' 'field atlas_limits.more at 24: uint64_t more' 's/^} atlas_limits;/uint64_t more; } atlas_limits;/'

# Listed, the last one passes. Other names of parameters and other comments always pass.
"$abi" update "$work/changed.h" "$work/abi" > "$work/said"
"$abi" check "$work/changed.h" "$work/abi" > "$work/said"
grep -qx 'struct atlas_limits size 32' "$work/abi/added.txt"
: > "$work/abi/added.txt"
sed 's/uint32_t threads, struct/uint32_t count, struct/; s/^ \* Success\./ * It succeeded./' "$header" > "$work/changed.h"
"$abi" check "$work/changed.h" "$work/abi"
