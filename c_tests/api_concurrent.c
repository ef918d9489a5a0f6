/* Many threads at one projection: reads, extractions and checks, compared with the bytes. */
#include "check.h"

#include <pthread.h>

enum { THREADS = 8 };
static const size_t size = 4 * TILE + 999;
static uint8_t *data;
static uint8_t root[32];

typedef struct worker {
    pthread_t thread;
    uint64_t seed;
    const atlas_projection *projection;
    const atlas_pool *pool;
    atlas_reconstruction *rebuilt;
} worker;

static atlas_region random_region(random_state *random)
{
    atlas_region region = {random_below(random, size), random_below(random, 40000)};
    if (region.length > size - region.offset) {
        region.length = size - region.offset;
    }
    return region;
}

static void check_shard(const atlas_shard *shard, const atlas_region *region)
{
    const uint8_t *bytes = NULL;
    size_t count = 0;
    CHECK_OK(atlas_shard_data(shard, &bytes, &count));
    CHECK(count == region->length && memcmp(bytes, data + region->offset, count) == 0);
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.expected_root = root;
    CHECK_OK(atlas_shard_verify(shard, &verify, NULL));
}

static void *work(void *argument)
{
    worker *self = (worker *)argument;
    random_state random = {self->seed};
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = self->pool;
    static const int rounds[] = {60, 6};
    uint8_t *buffer = random_bytes(40000, 1);
    for (int i = 0; i < rounds[small_run()]; i++) {
        const atlas_region region = random_region(&random);
        CHECK_OK(
            atlas_projection_read(self->projection, region.offset, buffer, (size_t)region.length));
        CHECK(memcmp(buffer, data + region.offset, (size_t)region.length) == 0);
        atlas_shard *shard = NULL;
        CHECK_OK(atlas_shard_extract(self->projection, &region, &operation, &shard));
        check_shard(shard, &region);
        CHECK_OK(atlas_reconstruction_add(self->rebuilt, shard, &operation));
        size_t count = 0;
        CHECK_OK(atlas_reconstruction_missing(self->rebuilt, NULL, &count));
        CHECK(atlas_reconstruction_is_complete(self->rebuilt) == false || count == 0);
        atlas_shard_destroy(shard);
        if (i % 10 == (int)(self->seed % 10)) {
            CHECK_OK(atlas_projection_verify(self->projection, &operation));
            atlas_projection *snapshot = NULL;
            CHECK_OK(atlas_projection_snapshot(self->projection, &snapshot));
            uint8_t found[32];
            CHECK_OK(atlas_projection_root(snapshot, &operation, found));
            CHECK(memcmp(found, root, 32) == 0);
            atlas_projection_destroy(snapshot);
            atlas_region regions[10];
            atlas_shard *shards[10];
            for (size_t r = 0; r < 10; r++) {
                regions[r] = random_region(&random);
            }
            atlas_extract_options options;
            atlas_extract_options_init(&options);
            options.strategy = (uint32_t)(i / 10 % 5);
            if (options.strategy == ATLAS_PARALLEL_POOL && self->pool == NULL) {
                options.strategy = ATLAS_PARALLEL_DEFAULT;
            }
            CHECK_OK(atlas_shard_extract_batch(self->projection, regions, 10, &options, &operation,
                                               shards));
            for (size_t r = 0; r < 10; r++) {
                check_shard(shards[r], &regions[r]);
                atlas_shard_destroy(shards[r]);
            }
            /* A failure of one thread is nobody else's. */
            CHECK_STATUS(atlas_projection_read(self->projection, size + self->seed, buffer, 1),
                         ATLAS_STATUS_OUT_OF_RANGE);
            CHECK_EQ(last_error().offset, size + self->seed);
        }
    }
    free(buffer);
    return NULL;
}

/* Someone moves the plane while others look: never half a map. */
static void *move_plane(void *argument)
{
    atlas_projection *projection = (atlas_projection *)argument;
    for (int i = 0; i < 2000; i++) {
        const double shift = i % 2 == 0 ? 1024 : -1024;
        const atlas_transform_params params = {1, 0, shift, shift};
        CHECK_OK(atlas_projection_transform(projection, &params));
    }
    return NULL;
}

static void *watch_plane(void *argument)
{
    const atlas_projection *projection = (const atlas_projection *)argument;
    for (int i = 0; i < 2000; i++) {
        double bounds[4];
        CHECK_OK(atlas_projection_tile_bounds(projection, 0, bounds));
        CHECK(bounds[0] - bounds[1] < 0.5 && bounds[1] - bounds[0] < 0.5);
        CHECK(bounds[0] < 0.5 || bounds[0] > 1023.5);
    }
    return NULL;
}

int main(void)
{
    data = random_bytes(size, 111);
    atlas_projection *projection = projected_bytes(data, size);
    root_of(projection, root);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(2, &pool));
    atlas_reconstruction *rebuilt = NULL;
    CHECK_OK(atlas_reconstruction_create(NULL, &rebuilt));
    worker workers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].seed = 200 + i;
        workers[i].projection = projection;
        workers[i].pool = i % 2 == 0 ? pool : NULL;
        workers[i].rebuilt = rebuilt;
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
    }
    pthread_t mover;
    pthread_t watchers[2];
    CHECK(pthread_create(&mover, NULL, move_plane, projection) == 0);
    for (size_t i = 0; i < 2; i++) {
        CHECK(pthread_create(&watchers[i], NULL, watch_plane, projection) == 0);
    }
    for (size_t i = 0; i < 2; i++) {
        CHECK(pthread_join(watchers[i], NULL) == 0);
    }
    CHECK(pthread_join(mover, NULL) == 0);
    atlas_shard *rest = extracted(projection, 0, size);
    CHECK_OK(atlas_reconstruction_add(rebuilt, rest, NULL));
    atlas_shard_destroy(rest);
    atlas_projection *made = NULL;
    CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &made));
    uint8_t found[32];
    root_of(made, found);
    CHECK(memcmp(found, root, 32) == 0);
    CHECK_OK(atlas_projection_verify(made, NULL));
    atlas_projection_destroy(made);
    atlas_reconstruction_destroy(rebuilt);
    atlas_pool_destroy(pool);
    atlas_projection_destroy(projection);
    free(data);
    return 0;
}
