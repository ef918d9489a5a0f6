/* Eight threads that do everything at once with the same objects. Under ThreadSanitizer this
 * shows that the library needs no help from its callers. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "atlas_conservation.h"
#include "check.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN
#endif
#if defined(EXPECT_TSAN) && !defined(HAS_TSAN)
#error "this test was to be built with ThreadSanitizer"
#endif

#define THREADS 8
#define ROUNDS 50
#define SIZE 5000

static uint8_t region[SIZE];
static atlas_domain_t *domain;
static atlas_witness_t *witness;
static atomic_uint attaches;
static atomic_uint commits;
static atomic_bool start;

/* One domain per round: exactly one of the threads attaches, and exactly one commits. */
static void use_domain(void)
{
    if (atlas_domain_attach(domain, region, SIZE) == 0) {
        atomic_fetch_add(&attaches, 1);
    } else {
        CHECK(atlas_get_last_error() == ATLAS_E_STATE);
    }
    CHECK_GIVES(true, atlas_domain_verify(domain), ATLAS_OK);
    if (atlas_domain_commit(domain) == 0) {
        atomic_fetch_add(&commits, 1);
    } else {
        CHECK(atlas_get_last_error() == ATLAS_E_STATE);
    }
    CHECK_GIVES(true, atlas_domain_verify(domain), ATLAS_OK);
    if (atlas_budget_alloc(domain, 20)) {
        CHECK(atlas_budget_release(domain, 20));
    }
}

static void use_witnesses(void)
{
    CHECK_GIVES(true, atlas_witness_verify(witness, region, SIZE), ATLAS_OK);
    CHECK_GIVES(false, atlas_witness_verify(witness, region, SIZE - 1), ATLAS_E_INVALID);
    atlas_witness_t *const own = atlas_witness_generate(region, SIZE);
    CHECK(own != NULL && atlas_witness_verify(own, region, SIZE));
    atlas_witness_destroy(own);
}

static void use_sums_and_batches(void)
{
    CHECK_GIVES(0, atlas_conserved_sum(region, SIZE), ATLAS_OK);
    uint8_t sums[5]; /* four groups that are read in streams, and a fifth group alone */
    CHECK_GIVES(ATLAS_OK, atlas_conserved_sums(region, SIZE, 1024, sums), ATLAS_OK);
    CHECK((sums[0] + sums[1] + sums[2] + sums[3] + sums[4]) % 96 == 0);
    atlas_batch_buffer_t buffers[2] = {{region, SIZE, 0, {0}}, {NULL, SIZE, 0, {0}}};
    uint8_t *const results = atlas_batch_conserved_check(buffers, 2);
    CHECK(results != NULL && results[0] == 1 && results[1] == 0);
    free(results);
    atlas_batch_delta_t delta = {region, region + 1, SIZE - 1, 255, {0}};
    CHECK(atlas_batch_delta_compute(&delta, 1) == 0);
    CHECK(delta.delta == atlas_conserved_delta(region, region + 1, SIZE - 1));
    atlas_batch_witness_t made = {region, SIZE, NULL, 0, {0}};
    CHECK(atlas_batch_witness_generate(&made, 1) == 0 && made.status == 1);
    atlas_witness_destroy(made.witness);
    atlas_batch_stats_t stats;
    CHECK(atlas_batch_get_statistics(&stats) && stats.total_buffers >= 4);
}

static void *worker(void *unused)
{
    (void)unused;
    while (!atomic_load(&start)) {
        sched_yield();
    }
    CHECK(atlas_conservation_set_digest(check_digest) == ATLAS_OK);
    use_domain();
    use_sums_and_batches();
    if (witness != NULL) {
        use_witnesses();
    }
    return NULL;
}

static void round_of_threads(void)
{
    pthread_t threads[THREADS];
    domain = atlas_domain_create(SIZE, 95);
    CHECK(domain != NULL);
    atomic_store(&attaches, 0);
    atomic_store(&commits, 0);
    atomic_store(&start, false);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, worker, NULL) == 0);
    }
    atomic_store(&start, true);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(atomic_load(&attaches) == 1 && atomic_load(&commits) == 1);
    CHECK(atlas_budget_alloc(domain, 95));
    atlas_domain_destroy(domain);
}

int main(void)
{
    check_fill_conserved(region, SIZE, 9);
    round_of_threads(); /* the threads race to register the digest and to choose the path */
    witness = atlas_witness_generate(region, SIZE);
    CHECK(witness != NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        round_of_threads();
    }
    atlas_witness_destroy(witness);
    atlas_batch_stats_t stats;
    CHECK(atlas_batch_get_statistics(&stats));
    CHECK(stats.conserved_calls == (uint64_t)THREADS * (ROUNDS + 1));
    CHECK(stats.total_buffers == (uint64_t)THREADS * (ROUNDS + 1) * 4);
    return 0;
}
