/* Record that identifies some bytes. A witness has such a record, and a domain has that of its region. */
#ifndef ATLAS_L2_RECORD_H
#define ATLAS_L2_RECORD_H

#include "atlas_conservation.h"

#define ATLAS_L2_DIGEST_SIZE 32

typedef struct {
    size_t len;
    uint8_t residue;
    bool has_digest;
    uint8_t digest[ATLAS_L2_DIGEST_SIZE]; /* zeros if no digest was registered */
} atlas_l2_record;

/* Returns true if a digest is registered. After the first true the result is always true. */
bool atlas_l2_has_digest(void);

/* The record of `len` > 0 bytes, with their digest if one is registered. */
atlas_l2_record atlas_l2_record_of(const void *base, size_t len);

/* Returns true if two records can be of the same bytes: lengths and residues are equal, and the digests too
 * if both records have a digest. Digests are compared in constant time. */
bool atlas_l2_record_agree(const atlas_l2_record *a, const atlas_l2_record *b);

#endif
