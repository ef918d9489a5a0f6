/* A process without a digest, which registers a digest only at its very end. */
#include <string.h>

#include "atlas_conservation.h"
#include "check.h"

static void witnesses_need_a_digest(void)
{
    const uint8_t byte = 1;
    atlas_batch_witness_t item;
    memset(&item, 0xee, sizeof item);
    item.data = &byte;
    item.size = 1;
    const atlas_batch_witness_t before = item;
    atlas_batch_reset_statistics();
    CHECK_GIVES(NULL, atlas_witness_generate(&byte, 1), ATLAS_E_STATE);
    CHECK_GIVES(NULL, atlas_witness_generate(NULL, 1), ATLAS_E_INVALID);
    CHECK_GIVES(-1, atlas_batch_witness_generate(&item, 1), ATLAS_E_STATE);
    CHECK(memcmp(&item, &before, sizeof item) == 0);
    atlas_batch_stats_t stats;
    CHECK(atlas_batch_get_statistics(&stats));
    CHECK(stats.witness_calls == 0 && stats.total_buffers == 0);
}

static void domains_verify_by_residue_and_do_not_commit(void)
{
    uint8_t data[4] = {90, 3, 2, 1};
    atlas_domain_t *const domain = atlas_domain_create(sizeof data, 0);
    CHECK(domain != NULL);
    CHECK_GIVES(0, atlas_domain_attach(domain, data, sizeof data), ATLAS_OK);
    CHECK_GIVES(true, atlas_domain_verify(domain), ATLAS_OK);
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_STATE);
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_STATE);
    data[0] = 91;
    CHECK_GIVES(false, atlas_domain_verify(domain), ATLAS_E_CONSERVATION);
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_CONSERVATION);
    data[0] = 90;

    /* A digest is registered now: the attachment has no digest to compare with, but commit makes a digest. */
    CHECK(atlas_conservation_set_digest(check_digest) == ATLAS_OK);
    CHECK_GIVES(0, atlas_domain_commit(domain), ATLAS_OK);
    data[1] = 2;
    data[2] = 3;
    CHECK_GIVES(false, atlas_domain_verify(domain), ATLAS_E_WITNESS);
    atlas_domain_destroy(domain);
}

/* If a region was attached without a digest, a change of its residue to 0 is still detected as a change. */
static void a_changed_residue_is_a_change(void)
{
    uint8_t byte = 1;
    atlas_domain_t *const domain = atlas_domain_create(1, 0);
    CHECK(domain != NULL);
    CHECK_GIVES(0, atlas_domain_attach(domain, &byte, 1), ATLAS_OK);
    byte = 96;
    CHECK_GIVES(false, atlas_domain_verify(domain), ATLAS_E_WITNESS);
    atlas_domain_destroy(domain);
}

int main(void)
{
    witnesses_need_a_digest();
    a_changed_residue_is_a_change();
    domains_verify_by_residue_and_do_not_commit();
    return 0;
}
