/* Parallel work runs on the threads that the host chose and nowhere else, as many at a time as
 * it allows, really at the same time, deaf to the host's signals. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum { TILES = 9, REGIONS = 2 * TILES };
static const size_t size = TILES * TILE;
static uint8_t *data;

/* A source that looks at who reads it. */
typedef struct watch {
    pthread_t caller;
    uint32_t wanted; /* readers that are to be inside at once; 0: nobody waits */
    atomic_uint inside, most, here, elsewhere, strangers, gave_up;
} watch;

/* Every asynchronous signal is blocked, and faults are not. */
static bool is_deaf(void)
{
    sigset_t mask;
    return pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGINT) == 1 &&
           sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGALRM) == 1 &&
           sigismember(&mask, SIGCHLD) == 1 && sigismember(&mask, SIGUSR1) == 1 &&
           sigismember(&mask, SIGSEGV) == 0 && sigismember(&mask, SIGBUS) == 0;
}

static int read_watched(void *user_data, uint64_t offset, void *buffer, size_t count)
{
    watch *self = (watch *)user_data;
    const unsigned now = atomic_fetch_add(&self->inside, 1) + 1;
    for (unsigned most = atomic_load(&self->most);
         now > most && !atomic_compare_exchange_weak(&self->most, &most, now);) {
    }
    if (pthread_equal(self->caller, pthread_self())) {
        atomic_fetch_add(&self->here, 1);
    } else {
        atomic_fetch_add(&self->elsewhere, 1);
        if (!is_deaf()) {
            atomic_fetch_add(&self->strangers, 1);
        }
    }
    /* A watchdog alone: where others come, they come long before it. */
    for (int i = 0; atomic_load(&self->most) < self->wanted; i++) {
        const struct timespec pause = {0, 1000000};
        (void)nanosleep(&pause, NULL);
        if (i == 60000) {
            atomic_fetch_add(&self->gave_up, 1);
            break;
        }
    }
    memcpy(buffer, data + offset, count);
    atomic_fetch_sub(&self->inside, 1);
    return 0;
}

static void look(watch *self, uint32_t wanted)
{
    self->caller = pthread_self();
    self->wanted = wanted;
    atomic_store(&self->most, 0);
    atomic_store(&self->here, 0);
    atomic_store(&self->elsewhere, 0);
    atomic_store(&self->strangers, 0);
    atomic_store(&self->gave_up, 0);
}

static void everything(const atlas_source *source, uint32_t type, const atlas_operation *operation)
{
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(type, source, NULL, operation, &projection));
    CHECK_OK(atlas_projection_verify(projection, operation));
    atlas_region regions[REGIONS];
    for (size_t i = 0; i < REGIONS; i++) {
        regions[i] = (atlas_region){i * (size / REGIONS), size / REGIONS};
    }
    atlas_reconstruction *rebuilt = NULL;
    CHECK_OK(atlas_reconstruction_create(NULL, &rebuilt));
    for (uint32_t strategy = 0; strategy <= ATLAS_PARALLEL_WORK_STEALING; strategy++) {
        atlas_shard *shards[REGIONS];
        atlas_extract_options options;
        atlas_extract_options_init(&options);
        options.strategy = strategy;
        options.chunk_size = 2;
        CHECK_OK(atlas_shard_extract_batch(projection, regions, REGIONS, &options, operation, shards));
        for (size_t i = 0; i < REGIONS; i++) {
            CHECK_OK(atlas_shard_verify(shards[i], NULL, operation));
            if (strategy == ATLAS_PARALLEL_WORK_STEALING) {
                CHECK_OK(atlas_reconstruction_add(rebuilt, shards[i], operation));
            }
            atlas_shard_destroy(shards[i]);
        }
    }
    atlas_projection *made = NULL;
    CHECK_OK(atlas_reconstruction_finish(rebuilt, operation, &made));
    atlas_projection_destroy(made);
    atlas_reconstruction_destroy(rebuilt);
    if (built_in(ATLAS_FEATURE_STREAMING)) {
        atlas_stream *stream = NULL;
        CHECK_OK(atlas_stream_open(type, source, NULL, NULL, operation, &stream));
        CHECK_OK(atlas_stream_finish(stream, &made));
        atlas_projection_destroy(made);
        atlas_stream_destroy(stream);
    }
    const atlas_delta delta = {ATLAS_CHANGE_INSERT, 5, 0, 0, "abc", 3};
    CHECK_OK(atlas_projection_apply(projection, &delta));
    CHECK_OK(atlas_projection_optimize(projection, operation));
    atlas_projection_destroy(projection);
}

/* First: the process has no other thread yet, and would have for ever once the library's pool ran. */
static void nothing_runs_outside_of_the_callers_pool(watch *self, const atlas_source *source)
{
    if (thread_count() == 0) {
        return; /* no /proc here */
    }
    CHECK_EQ(thread_count(), 1);
    const uint32_t types = small_run() ? 1 : 2;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        atlas_pool *pool = NULL;
        CHECK_OK(atlas_pool_create(threads, &pool));
        const size_t count = threads == 1 ? 1 : 1 + threads;
        CHECK_EQ(thread_count(), count);
        atlas_operation operation;
        atlas_operation_init(&operation);
        operation.pool = pool;
        for (uint32_t type = ATLAS_PROJECTION_LINEAR; type < types; type++) {
            look(self, 0);
            everything(source, type, &operation);
            CHECK_EQ(thread_count(), count);
            CHECK_EQ(atomic_load(&self->strangers), 0);
            CHECK(atomic_load(&self->most) <= threads); /* the calling thread among them */
            CHECK(threads > 1 || atomic_load(&self->elsewhere) == 0);
        }
        atlas_pool_destroy(pool);
        CHECK_EQ(thread_count(), 1);
    }
}

/* Two readers wait for each other inside of the source: that ends well only where both are there. */
static void strategies_are_parallel(watch *self, const atlas_source *source)
{
    look(self, 0);
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection));
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(4, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    atlas_region regions[REGIONS];
    for (size_t i = 0; i < REGIONS; i++) {
        regions[i] = (atlas_region){i * (size / REGIONS), size / REGIONS};
    }
    const atlas_region one = {100, size - 200}; /* all nine tiles */
    for (uint32_t strategy = 0; strategy <= ATLAS_PARALLEL_WORK_STEALING; strategy++) {
        for (uint32_t cap = 0; cap <= (small_run() ? 2U : 4U); cap++) {
            atlas_shard *shards[REGIONS];
            atlas_extract_options options;
            atlas_extract_options_init(&options);
            options.strategy = strategy;
            options.max_threads = cap;
            options.chunk_size = 4;
            const bool sequential = strategy == ATLAS_PARALLEL_SEQUENTIAL;
            const uint32_t most = sequential ? 1 : (cap == 0 ? 4 : cap);
            look(self, most < 2 ? most : 2);
            CHECK_OK(atlas_shard_extract_batch(projection, regions, REGIONS, &options, &operation, shards));
            for (size_t i = 0; i < REGIONS; i++) {
                atlas_shard_destroy(shards[i]);
            }
            CHECK_EQ(atomic_load(&self->gave_up), 0);
            CHECK(atomic_load(&self->most) <= most);
            CHECK(!sequential || atomic_load(&self->elsewhere) == 0);
            /* One region of more than 8 tiles is split inside, by CHUNKED too. */
            look(self, most < 2 ? most : 2);
            CHECK_OK(atlas_shard_extract_batch(projection, &one, 1, &options, &operation, shards));
            atlas_shard_destroy(shards[0]);
            CHECK_EQ(atomic_load(&self->gave_up), 0);
            CHECK(atomic_load(&self->most) <= most);
        }
    }
    atlas_pool_destroy(pool);
    atlas_projection_destroy(projection);
}

static void edit(atlas_projection *projection)
{
    const atlas_delta delta = {ATLAS_CHANGE_UPDATE, size / 2, 3, 0, "abc", 3};
    CHECK_OK(atlas_projection_apply(projection, &delta));
}

/* Work for one thread too, and the hashing of earlier edits: POOL leaves all of it to the pool,
 * SEQUENTIAL nothing, the others share it, and max_threads is kept by all. */
static void the_caller_reads_what_it_is_to_read(watch *self, const atlas_source *source)
{
    look(self, 0);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(3, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection));
    atlas_region regions[REGIONS];
    for (size_t i = 0; i < REGIONS; i++) {
        regions[i] = (atlas_region){i * (size / REGIONS), size / REGIONS};
    }
    static const size_t counts[] = {1, REGIONS};
    for (uint32_t strategy = 0; strategy <= ATLAS_PARALLEL_WORK_STEALING; strategy++) {
        for (uint32_t cap = small_run(); cap <= 1; cap++) {
            for (size_t i = 0; i < (small_run() ? 1U : 2U); i++) {
                atlas_extract_options options;
                atlas_extract_options_init(&options);
                options.strategy = strategy;
                options.max_threads = cap;
                edit(projection);
                edit(projection);
                atlas_shard *shards[REGIONS];
                look(self, 0);
                CHECK_OK(atlas_shard_extract_batch(projection, regions, counts[i], &options, &operation,
                                                   shards));
                for (size_t s = 0; s < counts[i]; s++) {
                    atlas_shard_destroy(shards[s]);
                }
                CHECK(atomic_load(&self->here) + atomic_load(&self->elsewhere) > 0);
                CHECK(atomic_load(&self->most) <= (cap == 0 ? 3 : 1));
                if (strategy == ATLAS_PARALLEL_SEQUENTIAL) {
                    CHECK_EQ(atomic_load(&self->elsewhere), 0);
                } else if (strategy == ATLAS_PARALLEL_POOL) {
                    CHECK_EQ(atomic_load(&self->here), 0);
                }
            }
        }
    }
    atlas_projection_destroy(projection);
    atlas_pool_destroy(pool);
}

int main(void)
{
    if (!built_in(ATLAS_FEATURE_PARALLEL)) {
        skip("the library was built without threads");
    }
    data = random_bytes(size, 31);
    watch self;
    memset(&self, 0, sizeof self);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(size, read_watched, NULL, &self, &source));
    nothing_runs_outside_of_the_callers_pool(&self, source);
    the_caller_reads_what_it_is_to_read(&self, source);
    strategies_are_parallel(&self, source);
    atlas_source_destroy(source);
    free(data);
    return 0;
}
