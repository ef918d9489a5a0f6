#include "record.h"

#include <stdatomic.h>
#include <string.h>

#include "error.h"
#include "sum.h"

static _Atomic(atlas_digest_fn) registered;

/* Stored with release and loaded with acquire, so that every thread that calls the digest sees all writes
 * of the host program from before it registered the digest. */
atlas_error_t atlas_conservation_set_digest(atlas_digest_fn digest)
{
    if (digest == NULL) {
        return atlas_l2_set_error(ATLAS_E_INVALID);
    }
    atlas_digest_fn current = NULL;
    const bool first = atomic_compare_exchange_strong_explicit(
        &registered, &current, digest, memory_order_acq_rel, memory_order_acquire);
    return atlas_l2_set_error(first || current == digest ? ATLAS_OK : ATLAS_E_STATE);
}

bool atlas_l2_has_digest(void)
{
    return atomic_load_explicit(&registered, memory_order_acquire) != NULL;
}

/* The sum is computed first: it brings the bytes into the cache for the slower digest. */
atlas_l2_record atlas_l2_record_of(const void *base, size_t len)
{
    const atlas_digest_fn digest = atomic_load_explicit(&registered, memory_order_acquire);
    atlas_l2_record record;
    memset(&record, 0, sizeof record);
    record.len = len;
    record.residue = atlas_l2_residue(base, len);
    record.has_digest = digest != NULL;
    if (digest != NULL) {
        digest(base, len, record.digest);
    }
    return record;
}

/* Compares in constant time: always reads all bytes. `volatile` prevents the compiler from leaving the
 * loop early. */
static bool digests_equal(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < ATLAS_L2_DIGEST_SIZE; i++) {
        difference = (uint8_t)(difference | (a[i] ^ b[i]));
    }
    return difference == 0;
}

bool atlas_l2_record_agree(const atlas_l2_record *a, const atlas_l2_record *b)
{
    if (a->len != b->len || a->residue != b->residue) {
        return false;
    }
    return !a->has_digest || !b->has_digest || digests_equal(a->digest, b->digest);
}
