/* Witnesses that are made from a record which is there already. */
#ifndef ATLAS_L2_WITNESS_H
#define ATLAS_L2_WITNESS_H

#include "record.h"

struct atlas_witness {
    atlas_l2_record record; /* has a digest, always; never changes */
};

/* Makes the witness of `len` > 0 bytes. ATLAS_E_STATE or ATLAS_E_MEMORY, and then *witness is
 * NULL. Leaves the last error alone. */
atlas_error_t atlas_l2_witness_of(const void *base, size_t len, atlas_witness_t **witness);

/* The same from a record with a digest. NULL where memory does not suffice. */
atlas_witness_t *atlas_l2_witness_from(const atlas_l2_record *record);

#endif
