/* Operations: the rules of progress, cancellation at every call, memory limits, pools, nesting. */
#include "check.h"

#include <pthread.h>
#include <time.h>

enum { TILES = 3, REGIONS = 12 };
static const size_t size = TILES * TILE + 100;
static uint8_t *data;
static const atlas_projection *whole; /* of data */
static atlas_region regions[REGIONS];

typedef struct recorder {
    pthread_t caller;
    uint64_t calls;
    uint64_t cancel_at;    /* the number of the call that answers false; NONE: never */
    uint64_t largest_step; /* bytes between two calls */
    bool stopped, ended, wrong;
    atlas_progress last;
} recorder;

static bool record(const atlas_progress *progress, void *user_data)
{
    recorder *self = (recorder *)user_data;
    const atlas_progress *last = &self->last;
    const bool good =
        pthread_equal(self->caller, pthread_self()) && !self->stopped && !self->ended &&
        progress->struct_size == sizeof *progress && progress->reserved == 0 &&
        progress->bytes_done >= last->bytes_done && progress->chunks_done >= last->chunks_done &&
        progress->bytes_done <= progress->bytes_total &&
        progress->chunks_done <= progress->chunks_total &&
        (self->calls == 0 || (progress->bytes_total == last->bytes_total &&
                              progress->chunks_total == last->chunks_total));
    if (!good) {
        self->wrong = true;
        fprintf(stderr, "call %llu: %llu/%llu bytes %llu/%llu chunks, stopped %d ended %d\n",
                (unsigned long long)self->calls, (unsigned long long)progress->bytes_done,
                (unsigned long long)progress->bytes_total, (unsigned long long)progress->chunks_done,
                (unsigned long long)progress->chunks_total, self->stopped, self->ended);
    }
    const uint64_t step = progress->bytes_done - last->bytes_done;
    self->largest_step = step > self->largest_step ? step : self->largest_step;
    self->last = *progress;
    self->ended = progress->bytes_done == progress->bytes_total &&
                  progress->chunks_done == progress->chunks_total;
    self->stopped = self->calls++ == self->cancel_at;
    return !self->stopped;
}

static void recorder_init(recorder *self, uint64_t cancel_at)
{
    memset(self, 0, sizeof *self);
    self->caller = pthread_self();
    self->cancel_at = cancel_at;
}

/* ---- the long calls: each leaves nothing behind when it fails ------------------ */

typedef int (*long_call)(const atlas_operation *operation);

static int run_create(const atlas_operation *operation)
{
    atlas_source *source = borrowed(data, size);
    atlas_projection *made = (atlas_projection *)&source;
    const int status =
        (int)atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, operation, &made);
    CHECK((made != NULL) == (status == ATLAS_STATUS_OK));
    atlas_projection_destroy(made);
    atlas_source_destroy(source);
    return status;
}

static int run_create_from_file(const atlas_operation *operation)
{
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(temp_path("input.bin"), ATLAS_FILE_IO_READ, &source));
    atlas_projection *made = (atlas_projection *)&source;
    const int status =
        (int)atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, operation, &made);
    CHECK((made != NULL) == (status == ATLAS_STATUS_OK));
    atlas_projection_destroy(made);
    atlas_source_destroy(source);
    return status;
}

static int run_verify(const atlas_operation *operation)
{
    return (int)atlas_projection_verify(whole, operation);
}

static int run_write_file(const atlas_operation *operation)
{
    const char *path = temp_path("output.bin");
    const int status = (int)atlas_projection_write_file(whole, path, operation);
    CHECK(exists(path) == (status == ATLAS_STATUS_OK));
    if (status == ATLAS_STATUS_OK) {
        CHECK(file_is(path, data, size));
        CHECK(unlink(path) == 0);
    }
    CHECK_EQ(temp_names(), 1); /* input.bin */
    return status;
}

static bool accept(const atlas_damage *damage, void *user_data)
{
    (*(size_t *)user_data)++;
    return damage->repairable == 1;
}

static int run_find_damage(const atlas_operation *operation)
{
    size_t count = 0;
    const int status = (int)atlas_projection_find_damage(whole, NULL, 0, accept, &count, operation);
    CHECK_EQ(count, 0);
    return status;
}

/* All of the file is wrong. Whatever ends the call, each tile is right or as it was. */
static int run_repair_file(const atlas_operation *operation)
{
    const char *path = temp_path("repaired.bin");
    uint8_t *bytes = (uint8_t *)calloc(size, 1);
    CHECK(bytes != NULL);
    write_file(path, bytes, size);
    size_t count = 0;
    const int status = (int)atlas_projection_repair_file(whole, path, NULL, 0, accept, &count, operation);
    const size_t done = size < count * TILE ? size : count * TILE;
    CHECK(status != ATLAS_STATUS_OK || done == size);
    memcpy(bytes, data, done);
    CHECK(file_is(path, bytes, size));
    CHECK(unlink(path) == 0);
    free(bytes);
    return status;
}

static int run_extract(const atlas_operation *operation)
{
    const atlas_region region = {10, size - 20};
    atlas_shard *shard = (atlas_shard *)&region;
    const int status = (int)atlas_shard_extract(whole, &region, operation, &shard);
    CHECK((shard != NULL) == (status == ATLAS_STATUS_OK));
    atlas_shard_destroy(shard);
    return status;
}

static uint32_t batch_strategy;

static int run_batch(const atlas_operation *operation)
{
    atlas_shard *shards[REGIONS];
    memset(shards, 0xA5, sizeof shards);
    atlas_extract_options options;
    atlas_extract_options_init(&options);
    options.strategy = batch_strategy;
    options.chunk_size = 2;
    const int status = (int)atlas_shard_extract_batch(whole, regions, REGIONS, &options, operation,
                                                      shards);
    for (size_t i = 0; i < REGIONS; i++) {
        CHECK((shards[i] != NULL) == (status == ATLAS_STATUS_OK));
        atlas_shard_destroy(shards[i]);
    }
    return status;
}

static int run_shard_verify(const atlas_operation *operation)
{
    atlas_shard *shard = extracted(whole, 5, size - 5);
    const int status = (int)atlas_shard_verify(shard, NULL, operation);
    atlas_shard_destroy(shard);
    return status;
}

static int run_deserialize(const atlas_operation *operation)
{
    atlas_shard *shard = extracted(whole, TILE - 5, TILE + 10);
    atlas_buffer buffer = {NULL, 0};
    CHECK_OK(atlas_shard_serialize(shard, &buffer));
    atlas_shard *again = (atlas_shard *)&shard;
    const int status = (int)atlas_shard_deserialize(buffer.data, buffer.size, NULL, NULL, operation,
                                                    &again);
    CHECK((again != NULL) == (status == ATLAS_STATUS_OK));
    atlas_shard_destroy(again);
    atlas_buffer_free(&buffer);
    atlas_shard_destroy(shard);
    return status;
}

static int run_add(const atlas_operation *operation)
{
    atlas_shard *shard = extracted(whole, TILE - 5, TILE + 10);
    atlas_reconstruction *rebuilt = NULL;
    CHECK_OK(atlas_reconstruction_create(NULL, &rebuilt));
    const int status = (int)atlas_reconstruction_add(rebuilt, shard, operation);
    size_t count = 0;
    CHECK_OK(atlas_reconstruction_missing(rebuilt, NULL, &count));
    CHECK((count != 0) == (status == ATLAS_STATUS_OK));
    if (status != ATLAS_STATUS_OK) {
        CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
    }
    atlas_reconstruction_destroy(rebuilt);
    atlas_shard_destroy(shard);
    return status;
}

static int run_finish(const atlas_operation *operation)
{
    atlas_shard *shard = extracted(whole, 0, size);
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = temp_path("spooled.bin");
    atlas_reconstruction *rebuilt = NULL;
    CHECK_OK(atlas_reconstruction_create(&options, &rebuilt));
    CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
    atlas_projection *made = (atlas_projection *)&shard;
    const int status = (int)atlas_reconstruction_finish(rebuilt, operation, &made);
    CHECK((made != NULL) == (status == ATLAS_STATUS_OK));
    CHECK(exists(temp_path("spooled.bin")) == (status == ATLAS_STATUS_OK));
    if (status != ATLAS_STATUS_OK) {
        /* The context stays usable. */
        CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &made));
    }
    atlas_projection_destroy(made);
    atlas_reconstruction_destroy(rebuilt);
    CHECK(unlink(temp_path("spooled.bin")) == 0);
    CHECK_EQ(temp_names(), 1);
    atlas_shard_destroy(shard);
    return status;
}

/* The whole domain moved by a few bytes, so that all tiles are to be hashed. */
static atlas_projection *edited(void)
{
    atlas_projection *made = projected_bytes(data, size);
    const atlas_delta deltas[] = {
        {ATLAS_CHANGE_INSERT, 10, 0, 0, data, 7},
        {ATLAS_CHANGE_UPDATE, TILE + 1000, 9, 0, data, 9},
        {ATLAS_CHANGE_DELETE, 2 * TILE + 1000, 9, 0, NULL, 0},
    };
    CHECK_OK(atlas_projection_apply_batch(made, deltas, 3));
    return made;
}

static int run_root(const atlas_operation *operation)
{
    atlas_projection *made = edited();
    uint8_t root[32], again[32];
    const int status = (int)atlas_projection_root(made, operation, root);
    root_of(made, again);
    CHECK((memcmp(root, again, 32) == 0) == (status == ATLAS_STATUS_OK));
    atlas_projection_destroy(made);
    return status;
}

static int run_diff(const atlas_operation *operation)
{
    atlas_projection *made = edited();
    atlas_region list[2];
    size_t count = 2;
    const int status = (int)atlas_projection_diff(made, whole, operation, list, &count);
    CHECK_EQ(count, status == ATLAS_STATUS_OK ? 1 : 0);
    CHECK(status != ATLAS_STATUS_OK || list[0].offset == 0);
    atlas_projection_destroy(made);
    return status;
}

static int run_optimize(const atlas_operation *operation)
{
    atlas_projection *made = edited();
    const int status = (int)atlas_projection_optimize(made, operation);
    atlas_projection_info info;
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_projection_get_info(made, &info));
    CHECK((info.canonical == 1) == (status == ATLAS_STATUS_OK));
    CHECK_EQ(atlas_projection_history_len(made), status == ATLAS_STATUS_OK ? 0 : 3);
    atlas_projection_destroy(made);
    return status;
}

typedef struct named_call {
    const char *name;
    long_call call;
    bool by_tile; /* a call for each tile's worth of bytes is asked for */
} named_call;

static const named_call calls[] = {
    {"create", run_create, true},       {"create from a file", run_create_from_file, true},
    {"verify", run_verify, true},       {"write_file", run_write_file, true},
    {"find_damage", run_find_damage, true}, {"repair_file", run_repair_file, true},
    {"diff", run_diff, false},
    {"extract", run_extract, true},     {"extract_batch", run_batch, true},
    {"shard_verify", run_shard_verify, true}, {"deserialize", run_deserialize, true},
    {"add", run_add, true},             {"finish", run_finish, true},
    {"root", run_root, true},           {"optimize", run_optimize, true},
};

static void progress_keeps_its_rules(const named_call *one, const atlas_pool *pool)
{
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    operation.progress = record;
    recorder all;
    recorder_init(&all, NONE);
    operation.user_data = &all;
    CHECK_OK(one->call(&operation));
    CHECK(!all.wrong);
    CHECK(all.calls >= 1 && all.ended);
    CHECK(all.last.bytes_total > 0 && all.last.chunks_total > 0);
    if (one->by_tile) {
        CHECK(all.largest_step <= TILE);
    }
    for (uint64_t n = 0; n < all.calls + 1; n++) {
        recorder some;
        recorder_init(&some, n);
        operation.user_data = &some;
        const int status = one->call(&operation);
        CHECK(!some.wrong);
        if (some.stopped) {
            CHECK_EQ(status, ATLAS_STATUS_CANCELLED);
            CHECK_EQ(some.calls, n + 1);
        } else {
            CHECK_EQ(status, ATLAS_STATUS_OK);
            CHECK(some.ended);
        }
        CHECK(n < all.calls ? some.stopped : !some.stopped);
    }
}

static void every_long_call_reports_and_can_be_cancelled(void)
{
    static const uint32_t threads[] = {0, 1, 3};
    for (size_t p = 0; p < 3; p++) {
        atlas_pool *pool = NULL;
        if (p > 0) {
            CHECK_OK(atlas_pool_create(threads[p], &pool));
        }
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
            if (calls[i].call == run_batch) {
                for (batch_strategy = 0; batch_strategy <= 4; batch_strategy++) {
                    if (batch_strategy != ATLAS_PARALLEL_POOL || pool != NULL) {
                        progress_keeps_its_rules(&calls[i], pool);
                    }
                }
            } else {
                progress_keeps_its_rules(&calls[i], pool);
            }
        }
        atlas_pool_destroy(pool);
    }
}

/* An empty domain has one call, with nothing done of nothing. */
static void nothing_to_do_is_reported_once(void)
{
    atlas_source *source = borrowed(NULL, 0);
    recorder one;
    recorder_init(&one, NONE);
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = record;
    operation.user_data = &one;
    atlas_projection *made = NULL;
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &made));
    CHECK(one.calls == 1 && one.ended && !one.wrong);
    CHECK(one.last.bytes_done == 0 && one.last.bytes_total == 0);
    atlas_projection_destroy(made);
    atlas_source_destroy(source);
}

/* The same holds for a call on a projection whose tiles are all hashed: after an undo, or because it is
 * canonical. */
static void hashed_tiles_are_reported_once(void)
{
    static const uint8_t byte = 1;
    const atlas_delta insert = {ATLAS_CHANGE_INSERT, 5, 0, 0, &byte, 1};
    atlas_projection *made = projected_bytes(data, size);
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = record;
    for (int round = 0; round < 4; round++) {
        CHECK_OK(atlas_projection_apply(made, &insert));
        CHECK_OK(atlas_projection_rollback(made, 1));
        recorder one;
        recorder_init(&one, round < 2 ? 0 : NONE);
        operation.user_data = &one;
        uint8_t root[32];
        const atlas_status status = round % 2 == 0 ? atlas_projection_root(made, &operation, root)
                                                   : atlas_projection_optimize(made, &operation);
        CHECK_STATUS(status, round < 2 ? ATLAS_STATUS_CANCELLED : ATLAS_STATUS_OK);
        CHECK(one.calls == 1 && one.ended && !one.wrong);
    }
    atlas_projection_destroy(made);
}

static void memory_limits_are_answered_with_limit(void)
{
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(3, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    /* One worker's buffer and the result: fewer workers, and still no failure. */
    operation.memory_limit = TILE + 64 * 1024;
    CHECK_OK(run_create_from_file(&operation));
    operation.memory_limit = 3 * TILE;
    CHECK_OK(run_write_file(&operation));
    CHECK_OK(run_verify(&operation));
    CHECK_OK(run_find_damage(&operation));
    /* Everything together is less than twenty times the domain. */
    operation.memory_limit = 20 * size;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        batch_strategy = ATLAS_PARALLEL_DEFAULT;
        CHECK_OK(calls[i].call(&operation));
    }
    /* Results that are larger than the limit. */
    operation.memory_limit = 100000;
    CHECK_STATUS(run_create_from_file(&operation), ATLAS_STATUS_LIMIT);
    CHECK_STATUS(run_write_file(&operation), ATLAS_STATUS_LIMIT);
    CHECK_STATUS(run_repair_file(&operation), ATLAS_STATUS_LIMIT);
    CHECK_STATUS(run_extract(&operation), ATLAS_STATUS_LIMIT);
    CHECK_STATUS(run_batch(&operation), ATLAS_STATUS_LIMIT);
    CHECK_STATUS(run_deserialize(&operation), ATLAS_STATUS_LIMIT);
    CHECK_STATUS(run_add(&operation), ATLAS_STATUS_LIMIT);
    operation.memory_limit = 1;
    CHECK_STATUS(run_create(&operation), ATLAS_STATUS_LIMIT);
    CHECK_SAYS("memory_limit 1 ");
    CHECK_STATUS(run_create_from_file(&operation), ATLAS_STATUS_LIMIT);
    atlas_pool_destroy(pool);
}

/* ---- threads -------------------------------------------------------------------- */

typedef struct owner_check {
    pthread_t caller;
    bool elsewhere;
} owner_check;

static int read_here(void *user_data, uint64_t offset, void *buffer, size_t count)
{
    owner_check *self = (owner_check *)user_data;
    if (!pthread_equal(self->caller, pthread_self())) {
        self->elsewhere = true;
    }
    memcpy(buffer, data + offset, count);
    return 0;
}

static void a_pool_of_one_is_the_calling_thread(void)
{
    const size_t before = thread_count();
    owner_check self = {pthread_self(), false};
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(size, read_here, NULL, &self, &source));
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(1, &pool));
    CHECK_EQ(atlas_pool_threads(pool), 1);
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    atlas_projection *made = NULL;
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &made));
    CHECK_OK(atlas_projection_verify(made, &operation));
    atlas_shard *shards[REGIONS];
    for (uint32_t strategy = 0; strategy <= 4; strategy++) {
        atlas_extract_options options;
        atlas_extract_options_init(&options);
        options.strategy = strategy;
        CHECK_OK(
            atlas_shard_extract_batch(made, regions, REGIONS, &options, &operation, shards));
        for (size_t i = 0; i < REGIONS; i++) {
            CHECK_OK(atlas_shard_verify(shards[i], NULL, &operation));
            atlas_shard_destroy(shards[i]);
        }
    }
    /* SEQUENTIAL means the calling thread whatever the pool is. */
    atlas_extract_options options;
    atlas_extract_options_init(&options);
    options.strategy = ATLAS_PARALLEL_SEQUENTIAL;
    CHECK_OK(atlas_shard_extract_batch(made, regions, REGIONS, &options, NULL, shards));
    for (size_t i = 0; i < REGIONS; i++) {
        atlas_shard_destroy(shards[i]);
    }
    CHECK(!self.elsewhere);
    CHECK_EQ(thread_count(), before);
    atlas_projection_destroy(made);
    atlas_pool_destroy(pool);
    atlas_source_destroy(source);
}

/* Must run first: nothing parallel was called yet in this process. */
static void no_thread_starts_before_it_is_needed(void)
{
    if (thread_count() == 0) {
        return; /* no /proc here */
    }
    CHECK_EQ(thread_count(), 1);
    (void)atlas_manifold_version();
    atlas_source *source = borrowed(data, size);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(1, &pool));
    atlas_pool_destroy(pool);
    atlas_source_destroy(source);
    CHECK_EQ(thread_count(), 1);
    a_pool_of_one_is_the_calling_thread();
    CHECK_EQ(thread_count(), 1);
    CHECK_OK(atlas_pool_create(3, &pool));
    const bool parallel = built_in(ATLAS_FEATURE_PARALLEL);
    CHECK_EQ(atlas_pool_threads(pool), parallel ? 3 : 1);
    CHECK_EQ(thread_count(), parallel ? 4 : 1);
    atlas_pool_destroy(pool);
    CHECK_EQ(thread_count(), 1);
}

static void pools_have_sane_sizes(void)
{
    atlas_pool *pool = (atlas_pool *)data;
    CHECK_STATUS(atlas_pool_create(UINT32_MAX, &pool), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(pool == NULL);
    CHECK_SAYS("4294967295");
    CHECK_OK(atlas_pool_create(0, &pool));
    CHECK(atlas_pool_threads(pool) >= 1);
    atlas_pool_destroy(pool);
    CHECK_EQ(atlas_pool_threads(NULL), 0);
    atlas_pool_destroy(NULL);
}

typedef struct nested {
    const atlas_operation *operation; /* of the inner calls */
    uint64_t calls;
} nested;

static bool use_other_handles(const atlas_progress *progress, void *user_data)
{
    nested *self = (nested *)user_data;
    (void)progress;
    self->calls++;
    atlas_source *source = borrowed(data, 2 * TILE);
    atlas_projection *made = NULL;
    CHECK_OK(
        atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, self->operation, &made));
    atlas_shard *shards[REGIONS];
    CHECK_OK(atlas_shard_extract_batch(whole, regions, REGIONS, NULL, self->operation, shards));
    for (size_t i = 0; i < REGIONS; i++) {
        CHECK_OK(atlas_shard_verify(shards[i], NULL, self->operation));
        atlas_shard_destroy(shards[i]);
    }
    CHECK_OK(atlas_projection_verify(made, self->operation));
    atlas_projection_destroy(made);
    atlas_source_destroy(source);
    return true;
}

static void a_callback_may_use_other_handles(void)
{
    for (uint32_t threads = 0; threads <= 2; threads++) {
        atlas_pool *pool = NULL;
        if (threads > 0) {
            CHECK_OK(atlas_pool_create(threads, &pool));
        }
        atlas_operation inner;
        atlas_operation_init(&inner);
        inner.pool = pool;
        nested self = {&inner, 0};
        atlas_operation outer;
        atlas_operation_init(&outer);
        outer.pool = pool;
        outer.progress = use_other_handles;
        outer.user_data = &self;
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
            self.calls = 0;
            batch_strategy = ATLAS_PARALLEL_DEFAULT;
            CHECK_OK(calls[i].call(&outer));
            CHECK(self.calls >= 1);
        }
        atlas_pool_destroy(pool);
    }
}

/* A source's callback that runs on a worker may use the library too, on the same pool. */
static int read_nested(void *user_data, uint64_t offset, void *buffer, size_t count)
{
    const atlas_operation *operation = (const atlas_operation *)user_data;
    const atlas_region region = {offset, count};
    atlas_shard *shard = NULL;
    if (atlas_shard_extract(whole, &region, operation, &shard) != ATLAS_STATUS_OK ||
        atlas_projection_verify(whole, operation) != ATLAS_STATUS_OK) {
        return EIO;
    }
    const bool good = atlas_shard_read(shard, offset, buffer, count) == ATLAS_STATUS_OK;
    atlas_shard_destroy(shard);
    return good ? 0 : EIO;
}

static void a_source_may_be_another_projection(void)
{
    uint8_t wanted[32];
    root_of(whole, wanted);
    for (uint32_t threads = 0; threads <= 3; threads++) {
        atlas_pool *pool = NULL;
        if (threads > 0) {
            CHECK_OK(atlas_pool_create(threads, &pool));
        }
        atlas_operation operation;
        atlas_operation_init(&operation);
        operation.pool = pool;
        atlas_source *source = NULL;
        CHECK_OK(atlas_source_from_callback(size, read_nested, NULL, &operation, &source));
        atlas_projection *made = NULL;
        CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &made));
        uint8_t root[32];
        root_of(made, root);
        CHECK(memcmp(root, wanted, 32) == 0);
        atlas_projection_destroy(made);
        atlas_source_destroy(source);
        atlas_pool_destroy(pool);
    }
}

static void *call_all(void *argument)
{
    const atlas_pool *pool = (const atlas_pool *)argument;
    for (int round = 0; round < 4; round++) {
        recorder self;
        recorder_init(&self, round == 2 ? 1 : NONE);
        atlas_operation operation;
        atlas_operation_init(&operation);
        operation.pool = pool;
        operation.progress = record;
        operation.user_data = &self;
        CHECK_STATUS(run_create(&operation), round == 2 ? ATLAS_STATUS_CANCELLED : ATLAS_STATUS_OK);
        CHECK(!self.wrong);
        recorder_init(&self, NONE);
        CHECK_OK(run_extract(&operation));
        CHECK(!self.wrong && self.ended);
    }
    return NULL;
}

static void many_threads_call_at_a_time(void)
{
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(2, &pool));
    pthread_t threads[6];
    for (size_t i = 0; i < 6; i++) {
        CHECK(pthread_create(&threads[i], NULL, call_all, i % 2 == 0 ? pool : NULL) == 0);
    }
    for (size_t i = 0; i < 6; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    atlas_pool_destroy(pool);
}

/* ---- no lock is held during a callback -------------------------------------------- */

typedef struct peeker {
    atlas_reconstruction *rebuilt;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, done, late;
    pthread_t thread;
} peeker;

static void *peek(void *argument)
{
    peeker *self = (peeker *)argument;
    (void)atlas_reconstruction_is_complete(self->rebuilt);
    (void)pthread_mutex_lock(&self->lock);
    self->done = true;
    (void)pthread_cond_signal(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* Waits for another thread that reads the handle at work: under a lock neither would go on. */
static bool wait_for_a_reader(const atlas_progress *progress, void *user_data)
{
    peeker *self = (peeker *)user_data;
    (void)progress;
    if (self->started) {
        return true;
    }
    self->started = true;
    CHECK(pthread_create(&self->thread, NULL, peek, self) == 0);
    struct timespec until;
    CHECK(clock_gettime(CLOCK_REALTIME, &until) == 0);
    until.tv_sec += 5;
    (void)pthread_mutex_lock(&self->lock);
    while (!self->done && !self->late) {
        self->late = pthread_cond_timedwait(&self->changed, &self->lock, &until) == ETIMEDOUT;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return true;
}

static void no_lock_is_held_during_a_callback(void)
{
    peeker self;
    memset(&self, 0, sizeof self);
    CHECK(pthread_mutex_init(&self.lock, NULL) == 0 && pthread_cond_init(&self.changed, NULL) == 0);
    CHECK_OK(atlas_reconstruction_create(NULL, &self.rebuilt));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = wait_for_a_reader;
    operation.user_data = &self;
    atlas_shard *shard = extracted(whole, 0, size);
    CHECK_OK(atlas_reconstruction_add(self.rebuilt, shard, &operation));
    CHECK(self.started && pthread_join(self.thread, NULL) == 0);
    CHECK(!self.late);
    self.started = self.done = false;
    atlas_projection *made = NULL;
    CHECK_OK(atlas_reconstruction_finish(self.rebuilt, &operation, &made));
    CHECK(self.started && pthread_join(self.thread, NULL) == 0);
    CHECK(!self.late);
    atlas_projection_destroy(made);
    atlas_reconstruction_destroy(self.rebuilt);
    atlas_shard_destroy(shard);
}

typedef struct out_watcher {
    atlas_projection *made;
    uint64_t calls;
    bool wrong;
} out_watcher;

/* Looks at the variable that the call at work was given as out. */
static bool look_at_out(const atlas_progress *progress, void *user_data)
{
    out_watcher *self = (out_watcher *)user_data;
    (void)progress;
    self->calls++;
    self->wrong = self->wrong || self->made != NULL;
    return true;
}

static void callbacks_see_an_empty_out_parameter(void)
{
    out_watcher self = {(atlas_projection *)&data, 0, false};
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = look_at_out;
    operation.user_data = &self;
    atlas_source *source = borrowed(data, size);
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &self.made));
    CHECK(self.calls > 0 && !self.wrong && self.made != NULL);
    atlas_projection_destroy(self.made);
    atlas_source_destroy(source);
}

int main(void)
{
    data = random_bytes(size, 71);
    random_state random = {72};
    for (size_t i = 0; i < REGIONS; i++) {
        regions[i].offset = random_below(&random, size);
        regions[i].length = random_below(&random, size - regions[i].offset + 1);
        regions[i].length = i % 2 == 0 && regions[i].length > 9000 ? 9000 : regions[i].length;
    }
    TEST(no_thread_starts_before_it_is_needed);
    atlas_projection *projection = projected_bytes(data, size);
    whole = projection;
    write_file(temp_path("input.bin"), data, size);
    TEST(pools_have_sane_sizes);
    TEST(every_long_call_reports_and_can_be_cancelled);
    TEST(nothing_to_do_is_reported_once);
    TEST(hashed_tiles_are_reported_once);
    TEST(memory_limits_are_answered_with_limit);
    TEST(a_pool_of_one_is_the_calling_thread);
    TEST(a_callback_may_use_other_handles);
    TEST(a_source_may_be_another_projection);
    TEST(many_threads_call_at_a_time);
    TEST(no_lock_is_held_during_a_callback);
    TEST(callbacks_see_an_empty_out_parameter);
    atlas_projection_destroy(projection);
    free(data);
    return 0;
}
