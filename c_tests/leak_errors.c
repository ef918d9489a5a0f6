/* The ways to fail, again and again: under valgrind nothing may be lost, and without it the memory
 * and the open files of the process must not grow. */
#include "check.h"

enum { REGIONS = 16 };
static const size_t size = 2 * TILE + 4000;
static uint8_t *data;
static uint64_t countdown;

static int read_or_fail(void *user_data, uint64_t offset, void *buffer, size_t count)
{
    (void)user_data;
    if (offset >= countdown) {
        return EIO;
    }
    memcpy(buffer, data + offset, count);
    return 0;
}

static bool stop_at(const atlas_progress *progress, void *user_data)
{
    (void)progress;
    return (*(int *)user_data)-- > 0;
}

static void failing_sources(const atlas_operation *operation)
{
    for (countdown = 0; countdown < size; countdown += TILE) {
        atlas_source *source = NULL;
        CHECK_OK(atlas_source_from_callback(size, read_or_fail, NULL, NULL, &source));
        atlas_projection *made = NULL;
        CHECK_STATUS(atlas_projection_create(0, source, NULL, operation, &made), ATLAS_STATUS_IO);
        atlas_source_destroy(source);
    }
    atlas_source *none = NULL;
    CHECK_STATUS(atlas_source_open_file(temp_path("none"), 0, &none), ATLAS_STATUS_IO);
    CHECK(atlas_source_open_file(temp_dir(), 0, &none) != ATLAS_STATUS_OK);
}

static void cancelled_calls(const atlas_projection *projection, atlas_operation *operation)
{
    atlas_region regions[REGIONS];
    for (size_t i = 0; i < REGIONS; i++) {
        regions[i].offset = i * 130000;
        regions[i].length = 129999;
    }
    operation->progress = stop_at;
    for (int calls = 0; calls < 2; calls++) {
        atlas_shard *shards[REGIONS];
        int left = calls;
        operation->user_data = &left;
        for (uint32_t strategy = 0; strategy <= 4; strategy++) {
            atlas_extract_options options;
            atlas_extract_options_init(&options);
            options.strategy = strategy == 2 ? 1 : strategy;
            options.chunk_size = 2;
            left = calls;
            CHECK_STATUS(atlas_shard_extract_batch(projection, regions, REGIONS, &options, operation,
                                                   shards),
                         ATLAS_STATUS_CANCELLED);
        }
        left = calls;
        CHECK_STATUS(atlas_projection_write_file(projection, temp_path("x"), operation),
                     ATLAS_STATUS_CANCELLED);
        left = calls;
        CHECK_STATUS(atlas_projection_verify(projection, operation), ATLAS_STATUS_CANCELLED);
    }
    operation->progress = NULL;
    regions[REGIONS - 1].offset = size;
    atlas_shard *shards[REGIONS];
    CHECK_STATUS(atlas_shard_extract_batch(projection, regions, REGIONS, NULL, operation, shards),
                 ATLAS_STATUS_OUT_OF_RANGE);
}

static void changed_bytes(const atlas_projection *projection, const atlas_operation *operation)
{
    const atlas_region regions[3] = {{0, TILE}, {TILE - 5, 10}, {10, size - 10}};
    atlas_shard *shards[3];
    data[TILE + 1] ^= 1;
    CHECK_STATUS(atlas_shard_extract_batch(projection, regions, 3, NULL, operation, shards),
                 ATLAS_STATUS_WITNESS);
    CHECK_STATUS(atlas_projection_verify(projection, operation), ATLAS_STATUS_WITNESS);
    CHECK_STATUS(atlas_projection_write_file(projection, temp_path("x"), operation),
                 ATLAS_STATUS_WITNESS);
    data[TILE + 1] ^= 1;
}

static void bad_shards(const atlas_projection *projection)
{
    atlas_shard *shard = extracted(projection, TILE - 100, 5000);
    atlas_buffer buffer = {NULL, 0};
    CHECK_OK(atlas_shard_serialize(shard, &buffer));
    atlas_shard_destroy(shard);
    for (size_t at = 0; at < buffer.size; at += buffer.size / 40) {
        buffer.data[at] ^= 8;
        CHECK(atlas_shard_deserialize(buffer.data, buffer.size, NULL, NULL, NULL, &shard) !=
              ATLAS_STATUS_OK);
        uint8_t digest[32];
        memcpy(digest, buffer.data + buffer.size - 32, 32);
        atlas_digest256(buffer.data, buffer.size - 32, buffer.data + buffer.size - 32);
        (void)atlas_shard_deserialize(buffer.data, buffer.size, NULL, NULL, NULL, &shard);
        atlas_shard_destroy(shard);
        memcpy(buffer.data + buffer.size - 32, digest, 32);
        buffer.data[at] ^= 8;
        CHECK(atlas_shard_deserialize(buffer.data, at, NULL, NULL, NULL, &shard) !=
              ATLAS_STATUS_OK);
    }
    atlas_limits limits;
    atlas_limits_init(&limits);
    limits.max_payload_size = 10;
    CHECK_STATUS(atlas_shard_deserialize(buffer.data, buffer.size, &limits, NULL, NULL, &shard),
                 ATLAS_STATUS_LIMIT);
    atlas_buffer_free(&buffer);
}

static void unfinished_reconstructions(const atlas_projection *projection,
                                       const atlas_projection *foreign)
{
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    for (int spool = 0; spool < 2; spool++) {
        options.spool_path = spool == 1 ? temp_path("spool") : NULL;
        atlas_reconstruction *rebuilt = NULL;
        CHECK_OK(atlas_reconstruction_create(&options, &rebuilt));
        atlas_shard *shard = extracted(projection, 5, TILE);
        atlas_shard *other = extracted(foreign, 5, TILE);
        CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
        CHECK_STATUS(atlas_reconstruction_add(rebuilt, other, NULL), ATLAS_STATUS_WITNESS);
        CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
        atlas_projection *made = NULL;
        CHECK_STATUS(atlas_reconstruction_finish(rebuilt, NULL, &made), ATLAS_STATUS_INCOMPLETE);
        atlas_shard_destroy(other);
        atlas_shard_destroy(shard);
        atlas_reconstruction_destroy(rebuilt);
    }
    options.spool_path = temp_path("no/folder");
    atlas_reconstruction *none = NULL;
    CHECK_STATUS(atlas_reconstruction_create(&options, &none), ATLAS_STATUS_IO);
}

/* Resident pages; 0 where the system does not tell. */
static size_t resident(void)
{
    unsigned long total = 0;
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) {
        return 0;
    }
    const int got = fscanf(file, "%lu %lu", &total, &pages);
    (void)fclose(file);
    return got == 2 ? pages : 0;
}

static void round_of_failures(const atlas_projection *projection, const atlas_projection *foreign,
                              const atlas_pool *pool)
{
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    failing_sources(&operation);
    cancelled_calls(projection, &operation);
    changed_bytes(projection, &operation);
    bad_shards(projection);
    unfinished_reconstructions(projection, foreign);
}

int main(void)
{
    data = random_bytes(size, 121);
    uint8_t *other = random_bytes(size, 122);
    atlas_projection *projection = projected_bytes(data, size);
    atlas_projection *foreign = projected_bytes(other, size);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(2, &pool));
    const int rounds = small_run() ? 2 : 60;
    size_t files = 0;
    size_t pages = 0;
    for (int i = 0; i < rounds; i++) {
        round_of_failures(projection, foreign, i % 3 == 0 ? NULL : pool);
        if (i == rounds / 2) {
            files = each_name("/proc/self/fd", NULL);
            pages = resident();
        }
    }
    CHECK_EQ(each_name("/proc/self/fd", NULL), files);
    CHECK(small_run() || resident() < pages + 8 * 1024 * 1024 / 4096);
    CHECK_EQ(temp_names(), 0);
    atlas_pool_destroy(pool);
    atlas_projection_destroy(foreign);
    atlas_projection_destroy(projection);
    free(other);
    free(data);
    return 0;
}
