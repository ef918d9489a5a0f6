#include "error.h"
#include "sum.h"

#define WINDOW_MAX ((size_t)1 << 20)

static atlas_error_t check(const void *data, size_t len, size_t max)
{
    if (data == NULL || len == 0 || len > max) {
        return ATLAS_E_INVALID;
    }
    return atlas_l2_residue(data, len) == 0 ? ATLAS_OK : ATLAS_E_CONSERVATION;
}

uint32_t atlas_conserved_sum(const void *data, size_t len)
{
    if (data == NULL && len > 0) {
        atlas_l2_set_error(ATLAS_E_INVALID);
        return 0;
    }
    atlas_l2_set_error(ATLAS_OK);
    return atlas_l2_residue(data, len);
}

atlas_error_t atlas_conserved_sums(const void *data, size_t len, size_t group, uint8_t *sums)
{
    if (group == 0 || (len > 0 && (data == NULL || sums == NULL))) {
        return atlas_l2_set_error(ATLAS_E_INVALID);
    }
    if (len > 0) {
        atlas_l2_residues(data, len, group, sums);
    }
    return atlas_l2_set_error(ATLAS_OK);
}

bool atlas_conserved_check(const void *data, size_t len)
{
    return atlas_l2_end(check(data, len, SIZE_MAX));
}

bool atlas_conserved_window_check(const void *data, size_t len)
{
    return atlas_l2_end(check(data, len, WINDOW_MAX));
}

uint8_t atlas_conserved_delta(const void *before, const void *after, size_t len)
{
    if (before == NULL || after == NULL || len == 0) {
        atlas_l2_set_error(ATLAS_E_INVALID);
        return UINT8_MAX;
    }
    atlas_l2_set_error(ATLAS_OK);
    return atlas_l2_delta(before, after, len);
}
