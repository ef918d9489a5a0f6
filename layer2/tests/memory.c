/* If there is no memory, nothing changes, and the error is ATLAS_E_MEMORY. The library is compiled
 * into this test with `malloc` defined as `failing_malloc`. */
#undef malloc
#include <string.h>

#include "atlas_conservation.h"
#include "check.h"

#define SIZE 4096

static uint8_t region[SIZE];
static size_t allowed = SIZE_MAX; /* number of further calls that succeed */

void *failing_malloc(size_t size);

void *failing_malloc(size_t size)
{
    if (allowed == 0) {
        return NULL;
    }
    allowed--;
    return malloc(size);
}

static void what_is_made_is_not(void)
{
    allowed = 0;
    CHECK_GIVES(NULL, atlas_domain_create(SIZE, 1), ATLAS_E_MEMORY);
    CHECK_GIVES(NULL, atlas_witness_generate(region, SIZE), ATLAS_E_MEMORY);
    allowed = SIZE_MAX;
}

static void a_domain_stays_as_it_was(void)
{
    atlas_domain_t *const domain = atlas_domain_create(SIZE, 1);
    CHECK(domain != NULL);
    allowed = 0;
    CHECK_GIVES(-1, atlas_domain_attach(domain, region, SIZE), ATLAS_E_MEMORY);
    CHECK_GIVES(false, atlas_domain_verify(domain), ATLAS_E_STATE); /* no region is attached */
    allowed = SIZE_MAX;
    CHECK_GIVES(0, atlas_domain_attach(domain, region, SIZE), ATLAS_OK);
    allowed = 0;
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_MEMORY);
    CHECK_GIVES(true, atlas_domain_verify(domain), ATLAS_OK);
    allowed = SIZE_MAX;
    CHECK_GIVES(0, atlas_domain_commit(domain), ATLAS_OK); /* the domain was still open */
    atlas_domain_destroy(domain);
}

static void a_batch_counts_nothing(void)
{
    const atlas_batch_buffer_t buffer = {region, SIZE, 0, {0}};
    atlas_batch_reset_statistics();
    allowed = 0;
    CHECK_GIVES(NULL, atlas_batch_conserved_check(&buffer, 1), ATLAS_E_MEMORY);
    allowed = SIZE_MAX;
    atlas_batch_stats_t stats;
    CHECK(atlas_batch_get_statistics(&stats));
    CHECK(stats.conserved_calls == 0 && stats.total_buffers == 0);
}

static void an_item_without_memory_fails_alone(void)
{
    atlas_batch_witness_t items[3];
    memset(items, 0, sizeof items);
    for (size_t i = 0; i < 3; i++) {
        items[i].data = region;
        items[i].size = SIZE;
    }
    allowed = 1;
    CHECK_GIVES(0, atlas_batch_witness_generate(items, 3), ATLAS_OK);
    allowed = SIZE_MAX;
    CHECK(items[0].status == 1 && atlas_witness_verify(items[0].witness, region, SIZE));
    for (size_t i = 1; i < 3; i++) {
        CHECK(items[i].status == 0 && items[i].witness == NULL);
    }
    atlas_witness_destroy(items[0].witness);
}

int main(void)
{
    CHECK(atlas_conservation_set_digest(check_digest) == ATLAS_OK);
    check_fill_conserved(region, SIZE, 3);
    what_is_made_is_not();
    a_domain_stays_as_it_was();
    a_batch_counts_nothing();
    an_item_without_memory_fails_alone();
    return 0;
}
