/* Each call in each state of a domain. */
#include <string.h>

#include "atlas_conservation.h"
#include "check.h"

#define SIZE 4096

static uint8_t region[SIZE];

static atlas_domain_t *empty_domain(void)
{
    atlas_domain_t *const domain = atlas_domain_create(SIZE, 10);
    CHECK(domain != NULL && atlas_get_last_error() == ATLAS_OK);
    return domain;
}

static atlas_domain_t *attached_domain(void)
{
    atlas_domain_t *const domain = empty_domain();
    check_fill_conserved(region, SIZE, 11);
    CHECK_GIVES(0, atlas_domain_attach(domain, region, SIZE), ATLAS_OK);
    return domain;
}

static atlas_domain_t *committed_domain(void)
{
    atlas_domain_t *const domain = attached_domain();
    CHECK_GIVES(0, atlas_domain_commit(domain), ATLAS_OK);
    return domain;
}

static void creation_checks_its_arguments(void)
{
    CHECK_GIVES(NULL, atlas_domain_create(0, 0), ATLAS_E_INVALID);
    for (unsigned budget = 0; budget < 256; budget++) {
        atlas_domain_t *const domain = atlas_domain_create(1, (uint8_t)budget);
        CHECK((domain != NULL) == (budget < 96));
        CHECK(atlas_get_last_error() == (budget < 96 ? ATLAS_OK : ATLAS_E_INVALID));
        atlas_domain_destroy(domain);
    }
    atlas_domain_t *const huge = atlas_domain_create(SIZE_MAX, 0);
    CHECK(huge != NULL);
    atlas_domain_destroy(huge);
}

static void null_domains_are_refused(void)
{
    CHECK_GIVES(-1, atlas_domain_attach(NULL, region, SIZE), ATLAS_E_INVALID);
    CHECK_GIVES(false, atlas_domain_verify(NULL), ATLAS_E_INVALID);
    CHECK_GIVES(-1, atlas_domain_commit(NULL), ATLAS_E_INVALID);
    CHECK_GIVES(false, atlas_budget_alloc(NULL, 0), ATLAS_E_INVALID);
    CHECK_GIVES(false, atlas_budget_release(NULL, 0), ATLAS_E_INVALID);
    atlas_domain_destroy(NULL);
    CHECK(atlas_get_last_error() == ATLAS_OK);
}

static void an_empty_domain_only_attaches(void)
{
    atlas_domain_t *const domain = empty_domain();
    CHECK_GIVES(false, atlas_domain_verify(domain), ATLAS_E_STATE);
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_STATE);
    CHECK_GIVES(-1, atlas_domain_attach(domain, NULL, SIZE), ATLAS_E_INVALID);
    CHECK_GIVES(-1, atlas_domain_attach(domain, region, 0), ATLAS_E_INVALID);
    CHECK_GIVES(-1, atlas_domain_attach(domain, region, SIZE + 1), ATLAS_E_INVALID);
    memset(region, 0, SIZE);
    CHECK_GIVES(0, atlas_domain_attach(domain, region, 1), ATLAS_OK);
    CHECK_GIVES(true, atlas_domain_verify(domain), ATLAS_OK);
    region[1] = 1; /* this byte is not part of the region */
    CHECK_GIVES(true, atlas_domain_verify(domain), ATLAS_OK);
    atlas_domain_destroy(domain);
}

static void an_attached_domain_commits_once(void)
{
    atlas_domain_t *const domain = attached_domain();
    CHECK_GIVES(-1, atlas_domain_attach(domain, region, SIZE), ATLAS_E_STATE);
    CHECK_GIVES(true, atlas_domain_verify(domain), ATLAS_OK);
    CHECK_GIVES(0, atlas_domain_commit(domain), ATLAS_OK);
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_STATE);
    CHECK_GIVES(-1, atlas_domain_attach(domain, region, SIZE), ATLAS_E_STATE);
    CHECK_GIVES(true, atlas_domain_verify(domain), ATLAS_OK);
    atlas_domain_destroy(domain);
}

/* Makes two changes: the first breaks conservation, and the second keeps the sum, so that only a digest detects
 * the change. */
static void changes_are_seen(atlas_domain_t *domain)
{
    region[5] ^= 1;
    CHECK_GIVES(false, atlas_domain_verify(domain), ATLAS_E_CONSERVATION);
    region[5] ^= 1;
    CHECK_GIVES(true, atlas_domain_verify(domain), ATLAS_OK);
    region[6] = 7;
    region[7] = 9;
    region[SIZE - 1] = 0;
    region[SIZE - 1] = (uint8_t)((96 - check_residue(region, SIZE)) % 96);
    CHECK_GIVES(false, atlas_domain_verify(domain), ATLAS_E_WITNESS);
}

static void verify_sees_changes_in_every_state(void)
{
    atlas_domain_t *domain = attached_domain();
    changes_are_seen(domain);
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_WITNESS);
    atlas_domain_destroy(domain);
    domain = committed_domain();
    changes_are_seen(domain);
    atlas_domain_destroy(domain);
}

static void a_failed_commit_leaves_the_domain_open(void)
{
    atlas_domain_t *const domain = attached_domain();
    region[0] ^= 1;
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_CONSERVATION);
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_CONSERVATION);
    region[0] ^= 1;
    CHECK_GIVES(0, atlas_domain_commit(domain), ATLAS_OK);
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_STATE);
    atlas_domain_destroy(domain);
}

static void what_is_not_conserved_attaches_but_does_not_commit(void)
{
    atlas_domain_t *const domain = empty_domain();
    memset(region, 0, SIZE);
    region[0] = 1;
    CHECK_GIVES(0, atlas_domain_attach(domain, region, SIZE), ATLAS_OK);
    CHECK_GIVES(false, atlas_domain_verify(domain), ATLAS_E_CONSERVATION);
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_CONSERVATION);
    region[0] = 0; /* the bytes are conserved now, but differ from the attached bytes */
    CHECK_GIVES(false, atlas_domain_verify(domain), ATLAS_E_WITNESS);
    CHECK_GIVES(-1, atlas_domain_commit(domain), ATLAS_E_WITNESS);
    atlas_domain_destroy(domain);
}

int main(void)
{
    CHECK(atlas_conservation_set_digest(check_digest) == ATLAS_OK);
    creation_checks_its_arguments();
    null_domains_are_refused();
    an_empty_domain_only_attaches();
    an_attached_domain_commits_once();
    verify_sees_changes_in_every_state();
    a_failed_commit_leaves_the_domain_open();
    what_is_not_conserved_attaches_but_does_not_commit();
    return 0;
}
