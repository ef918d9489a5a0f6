/* Witnesses that are made from an existing record. */
#ifndef ATLAS_L2_WITNESS_H
#define ATLAS_L2_WITNESS_H

#include "record.h"

struct atlas_witness {
    atlas_l2_record record; /* always has a digest, and never changes */
};

/* Makes the witness of `len` > 0 bytes. Returns ATLAS_OK, ATLAS_E_STATE or ATLAS_E_MEMORY; after a
 * failure *witness is NULL. Does not set the last error. */
atlas_error_t atlas_l2_witness_of(const void *base, size_t len, atlas_witness_t **witness);

/* Makes a witness from a record that has a digest. Returns NULL if there is no memory. */
atlas_witness_t *atlas_l2_witness_from(const atlas_l2_record *record);

#endif
