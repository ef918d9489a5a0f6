/* A domain has no state variable. Its state follows from two pointers: the attachment, and the
 * witness of the commit. Each pointer changes once, by compare-exchange, from NULL to an immutable
 * object. Therefore other threads never see an intermediate state, and no lock is needed. */
#include <stdatomic.h>
#include <stdlib.h>

#include "error.h"
#include "witness.h"

#define BUDGET_MODULUS 96u

typedef struct {
    const void *base;
    atlas_l2_record record; /* record of the region at the time of its attachment */
} attachment;

struct atlas_domain {
    size_t bytes;
    _Atomic(attachment *) attached;
    _Atomic(atlas_witness_t *) witness;
    atomic_uint budget;
};

static atlas_error_t attach(atlas_domain_t *domain, const void *base, size_t len);
static atlas_error_t verify(const atlas_domain_t *domain, atlas_l2_record *now);
static atlas_error_t commit(atlas_domain_t *domain);

atlas_domain_t *atlas_domain_create(size_t bytes, uint8_t budget_class)
{
    if (bytes == 0 || budget_class >= BUDGET_MODULUS) {
        atlas_l2_set_error(ATLAS_E_INVALID);
        return NULL;
    }
    atlas_domain_t *const domain = malloc(sizeof *domain);
    if (domain == NULL) {
        atlas_l2_set_error(ATLAS_E_MEMORY);
        return NULL;
    }
    domain->bytes = bytes;
    atomic_init(&domain->attached, NULL);
    atomic_init(&domain->witness, NULL);
    atomic_init(&domain->budget, budget_class);
    atlas_l2_set_error(ATLAS_OK);
    return domain;
}

int atlas_domain_attach(atlas_domain_t *domain, void *base, size_t len)
{
    if (domain == NULL || base == NULL || len == 0 || len > domain->bytes) {
        return atlas_l2_end_int(ATLAS_E_INVALID);
    }
    return atlas_l2_end_int(attach(domain, base, len));
}

bool atlas_domain_verify(const atlas_domain_t *domain)
{
    atlas_l2_record now;
    return atlas_l2_end(domain == NULL ? ATLAS_E_INVALID : verify(domain, &now));
}

int atlas_domain_commit(atlas_domain_t *domain)
{
    return atlas_l2_end_int(domain == NULL ? ATLAS_E_INVALID : commit(domain));
}

void atlas_domain_destroy(atlas_domain_t *domain)
{
    if (domain != NULL) {
        free(atomic_load_explicit(&domain->attached, memory_order_acquire));
        atlas_witness_destroy(atomic_load_explicit(&domain->witness, memory_order_acquire));
        free(domain);
    }
    atlas_l2_set_error(ATLAS_OK);
}

bool atlas_budget_alloc(atlas_domain_t *domain, uint8_t amount)
{
    if (domain == NULL || amount >= BUDGET_MODULUS) {
        return atlas_l2_end(ATLAS_E_INVALID);
    }
    unsigned budget = atomic_load_explicit(&domain->budget, memory_order_relaxed);
    do {
        if (amount > budget) {
            return atlas_l2_end(ATLAS_E_BUDGET);
        }
    } while (!atomic_compare_exchange_weak_explicit(&domain->budget, &budget, budget - amount,
                                                    memory_order_acq_rel, memory_order_relaxed));
    return atlas_l2_end(ATLAS_OK);
}

bool atlas_budget_release(atlas_domain_t *domain, uint8_t amount)
{
    if (domain == NULL || amount >= BUDGET_MODULUS) {
        return atlas_l2_end(ATLAS_E_INVALID);
    }
    unsigned budget = atomic_load_explicit(&domain->budget, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(
        &domain->budget, &budget, (budget + amount) % BUDGET_MODULUS, memory_order_acq_rel,
        memory_order_relaxed)) {
    }
    return atlas_l2_end(ATLAS_OK);
}

static atlas_error_t attach(atlas_domain_t *domain, const void *base, size_t len)
{
    if (atomic_load_explicit(&domain->attached, memory_order_acquire) != NULL) {
        return ATLAS_E_STATE;
    }
    attachment *const fresh = malloc(sizeof *fresh);
    if (fresh == NULL) {
        return ATLAS_E_MEMORY;
    }
    fresh->base = base;
    fresh->record = atlas_l2_record_of(base, len);
    attachment *none = NULL;
    if (!atomic_compare_exchange_strong_explicit(&domain->attached, &none, fresh,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        free(fresh);
        return ATLAS_E_STATE;
    }
    return ATLAS_OK;
}

/* Fills in `now`, the record of the region's present bytes, if a region is attached. */
static atlas_error_t verify(const atlas_domain_t *domain, atlas_l2_record *now)
{
    const attachment *const region =
        atomic_load_explicit(&domain->attached, memory_order_acquire);
    if (region == NULL) {
        return ATLAS_E_STATE;
    }
    *now = atlas_l2_record_of(region->base, region->record.len);
    if (now->residue != 0) {
        return ATLAS_E_CONSERVATION;
    }
    const atlas_witness_t *const witness =
        atomic_load_explicit(&domain->witness, memory_order_acquire);
    if (!atlas_l2_record_agree(&region->record, now) ||
        (witness != NULL && !atlas_l2_record_agree(&witness->record, now))) {
        return ATLAS_E_WITNESS;
    }
    return ATLAS_OK;
}

static atlas_error_t commit(atlas_domain_t *domain)
{
    if (atomic_load_explicit(&domain->witness, memory_order_acquire) != NULL) {
        return ATLAS_E_STATE;
    }
    atlas_l2_record now;
    const atlas_error_t error = verify(domain, &now);
    if (error != ATLAS_OK) {
        return error;
    }
    if (!now.has_digest) {
        return ATLAS_E_STATE;
    }
    atlas_witness_t *const fresh = atlas_l2_witness_from(&now);
    if (fresh == NULL) {
        return ATLAS_E_MEMORY;
    }
    atlas_witness_t *none = NULL;
    if (!atomic_compare_exchange_strong_explicit(&domain->witness, &none, fresh,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        free(fresh);
        return ATLAS_E_STATE;
    }
    return ATLAS_OK;
}
