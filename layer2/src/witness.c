#include "witness.h"

#include <stdlib.h>

#include "error.h"

static atlas_error_t verify(const atlas_witness_t *witness, const void *base, size_t len)
{
    if (witness == NULL || base == NULL || len != witness->record.len) {
        return ATLAS_E_INVALID;
    }
    const atlas_l2_record now = atlas_l2_record_of(base, len);
    /* Witnesses are only made with a digest; equal residues alone must not verify the bytes. */
    return now.has_digest && atlas_l2_record_agree(&witness->record, &now) ? ATLAS_OK
                                                                           : ATLAS_E_WITNESS;
}

atlas_witness_t *atlas_witness_generate(const void *base, size_t len)
{
    atlas_witness_t *witness = NULL;
    if (base == NULL || len == 0) {
        atlas_l2_set_error(ATLAS_E_INVALID);
        return NULL;
    }
    atlas_l2_set_error(atlas_l2_witness_of(base, len, &witness));
    return witness;
}

bool atlas_witness_verify(const atlas_witness_t *witness, const void *base, size_t len)
{
    return atlas_l2_end(verify(witness, base, len));
}

void atlas_witness_destroy(atlas_witness_t *witness)
{
    free(witness);
    atlas_l2_set_error(ATLAS_OK);
}

atlas_error_t atlas_l2_witness_of(const void *base, size_t len, atlas_witness_t **witness)
{
    *witness = NULL;
    if (!atlas_l2_has_digest()) {
        return ATLAS_E_STATE;
    }
    const atlas_l2_record record = atlas_l2_record_of(base, len);
    *witness = atlas_l2_witness_from(&record);
    return *witness == NULL ? ATLAS_E_MEMORY : ATLAS_OK;
}

atlas_witness_t *atlas_l2_witness_from(const atlas_l2_record *record)
{
    atlas_witness_t *const witness = malloc(sizeof *witness);
    if (witness != NULL) {
        witness->record = *record;
    }
    return witness;
}
