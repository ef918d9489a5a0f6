/* Budgets: the arithmetic, and eight threads that share one. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdatomic.h>

#include "atlas_conservation.h"
#include "check.h"

#define THREADS 8
#define ROUNDS 20000
#define BUDGET 95

/* Measures the budget by taking the whole budget in steps of 1. */
static unsigned drain(atlas_domain_t *domain)
{
    unsigned total = 0;
    while (atlas_budget_alloc(domain, 1)) {
        total++;
    }
    CHECK(atlas_get_last_error() == ATLAS_E_BUDGET);
    return total;
}

static void allocation_is_all_or_nothing(void)
{
    for (unsigned budget = 0; budget < 96; budget++) {
        for (unsigned amount = 0; amount < 256; amount++) {
            atlas_domain_t *const domain = atlas_domain_create(1, (uint8_t)budget);
            const bool fits = amount <= budget;
            const atlas_error_t refusal = amount > 95 ? ATLAS_E_INVALID : ATLAS_E_BUDGET;
            CHECK_GIVES(fits, atlas_budget_alloc(domain, (uint8_t)amount),
                        fits ? ATLAS_OK : refusal);
            CHECK(drain(domain) == (fits ? budget - amount : budget));
            atlas_domain_destroy(domain);
        }
    }
}

static void release_wraps_at_96(void)
{
    for (unsigned budget = 0; budget < 96; budget++) {
        for (unsigned amount = 0; amount < 256; amount++) {
            atlas_domain_t *const domain = atlas_domain_create(1, (uint8_t)budget);
            const bool valid = amount <= 95;
            CHECK_GIVES(valid, atlas_budget_release(domain, (uint8_t)amount),
                        valid ? ATLAS_OK : ATLAS_E_INVALID);
            CHECK(drain(domain) == (valid ? (budget + amount) % 96 : budget));
            atlas_domain_destroy(domain);
        }
    }
}

static atlas_domain_t *shared;
static atomic_uint held;
static atomic_uint successes;

/* Releases only its own allocations, so that the budget never wraps. `held` is raised after the
 * allocation and lowered before the release: `held` can be too small, but never too large. */
static void *borrower(void *argument)
{
    uint64_t state = (uint64_t)(uintptr_t)argument;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const uint8_t amount = (uint8_t)(check_random_byte(&state) % 60 + 1);
        if (atlas_budget_alloc(shared, amount)) {
            CHECK(atomic_fetch_add(&held, amount) + amount <= BUDGET);
            atomic_fetch_add(&successes, 1);
            atomic_fetch_sub(&held, amount);
            CHECK_GIVES(true, atlas_budget_release(shared, amount), ATLAS_OK);
        } else {
            CHECK(atlas_get_last_error() == ATLAS_E_BUDGET);
        }
    }
    return NULL;
}

/* Takes 1 at a time until the budget is empty. */
static void *taker(void *argument)
{
    unsigned *const taken = argument;
    *taken = drain(shared);
    return NULL;
}

static void threads_never_hold_more_than_there_is(void)
{
    pthread_t threads[THREADS];
    shared = atlas_domain_create(1, BUDGET);
    CHECK(shared != NULL);
    for (uintptr_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, borrower, (void *)(i + 1)) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(atomic_load(&successes) > 0 && atomic_load(&held) == 0);
    CHECK(drain(shared) == BUDGET);
    atlas_domain_destroy(shared);
}

static void threads_take_no_more_than_there_is(void)
{
    for (unsigned round = 0; round < 200; round++) {
        pthread_t threads[THREADS];
        unsigned taken[THREADS];
        unsigned total = 0;
        shared = atlas_domain_create(1, BUDGET);
        CHECK(shared != NULL);
        for (size_t i = 0; i < THREADS; i++) {
            CHECK(pthread_create(&threads[i], NULL, taker, &taken[i]) == 0);
        }
        for (size_t i = 0; i < THREADS; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
            total += taken[i];
        }
        CHECK(total == BUDGET);
        atlas_domain_destroy(shared);
    }
}

int main(void)
{
    allocation_is_all_or_nothing();
    release_wraps_at_96();
    threads_never_hold_more_than_there_is();
    threads_take_no_more_than_there_is();
    return 0;
}
