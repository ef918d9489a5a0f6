/* Every function with every pointer NULL in turn: the documented answer, out-parameters emptied,
 * and no crash. */
#include "check.h"

static const uint8_t data[100] = {1, 2, 3};
static atlas_source *source;
static atlas_projection *projection;
static atlas_shard *shard;
static atlas_container *container;
static int releases;

/* Something that is not NULL, so that it shows when it is not set. */
#define JUNK(type) ((type *)(void *)&releases)

#define REFUSED(call)                                        \
    do {                                                     \
        CHECK_STATUS(call, ATLAS_STATUS_INVALID_ARGUMENT);   \
        CHECK_SAYS("NULL");                                  \
        CHECK_EQ(last_error().status, ATLAS_STATUS_INVALID_ARGUMENT); \
    } while (0)

static void on_release(void *user_data)
{
    (void)user_data;
    releases++;
}

static int read_zeros(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    (void)user_data;
    (void)offset;
    memset(buffer, 0, size);
    return 0;
}

static void void_functions_do_nothing(void)
{
    atlas_buffer_free(NULL);
    atlas_pool_destroy(NULL);
    atlas_source_destroy(NULL);
    atlas_projection_destroy(NULL);
    atlas_shard_destroy(NULL);
    atlas_reconstruction_destroy(NULL);
    atlas_operation_init(NULL);
    atlas_projection_options_init(NULL);
    atlas_extract_options_init(NULL);
    atlas_verify_options_init(NULL);
    atlas_limits_init(NULL);
    atlas_reconstruction_options_init(NULL);
    atlas_container_destroy(NULL);
    atlas_container_create_options_init(NULL);
    atlas_container_open_options_init(NULL);
    atlas_commit_options_init(NULL);
    uint8_t digest[32];
    atlas_digest256(NULL, 0, digest);
    atlas_digest256(data, 5, NULL);
    atlas_digest256(NULL, 0, NULL);
    atlas_accelerator_options_init(NULL);
    CHECK(atlas_pool_threads(NULL) == 0);
    CHECK(atlas_source_size(NULL) == 0);
    CHECK(!atlas_reconstruction_is_complete(NULL));
}

static void errors_and_pools(void)
{
    CHECK_STATUS(atlas_last_error_get(NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    REFUSED(atlas_pool_create(1, NULL));
    REFUSED(atlas_pool_create(2, NULL));
    atlas_pool *pool = NULL;
    atlas_source *out = JUNK(atlas_source);
    atlas_accelerator_info info = {.struct_size = sizeof info, .compute_units = 77};
    CHECK_OK(atlas_pool_create(1, &pool));
    REFUSED(atlas_pool_create_accelerated(1, NULL, NULL));
    REFUSED(atlas_pool_get_accelerator(pool, NULL));
    REFUSED(atlas_pool_get_accelerator(NULL, &info));
    CHECK(info.compute_units == 0);
    REFUSED(atlas_source_from_cl_mem(NULL, &info, 0, 1, &out));
    CHECK(out == NULL);
    REFUSED(atlas_source_from_cl_mem(pool, &info, 0, 1, NULL));
    atlas_pool_destroy(pool);
}

static void sources(void)
{
    atlas_source *out = JUNK(atlas_source);
    REFUSED(atlas_source_copy(NULL, 5, &out));
    CHECK(out == NULL);
    REFUSED(atlas_source_copy(data, 5, NULL));
    REFUSED(atlas_source_copy(NULL, 0, NULL));
    out = JUNK(atlas_source);
    REFUSED(atlas_source_borrow(NULL, 5, on_release, NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_source_borrow(data, 5, on_release, NULL, NULL));
    out = JUNK(atlas_source);
    REFUSED(atlas_source_open_file(NULL, ATLAS_FILE_IO_READ, &out));
    CHECK(out == NULL);
    out = JUNK(atlas_source);
    REFUSED(atlas_source_open_file(NULL, ATLAS_FILE_IO_MMAP, &out));
    CHECK(out == NULL);
    REFUSED(atlas_source_open_file("x", ATLAS_FILE_IO_READ, NULL));
    REFUSED(atlas_source_open_fd(0, ATLAS_FILE_IO_READ, NULL));
    out = JUNK(atlas_source);
    REFUSED(atlas_source_from_callback(5, NULL, on_release, NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_source_from_callback(5, read_zeros, on_release, NULL, NULL));
    CHECK(releases == 0);
    /* release and user_data may be NULL. */
    CHECK_OK(atlas_source_from_callback(5, read_zeros, NULL, NULL, &out));
    atlas_source_destroy(out);
    out = JUNK(atlas_source);
    REFUSED(atlas_source_range(NULL, 0, 0, &out));
    CHECK(out == NULL);
    REFUSED(atlas_source_range(source, 0, 0, NULL));
    const atlas_source *const none[1] = {NULL};
    out = JUNK(atlas_source);
    REFUSED(atlas_source_concat(NULL, 1, &out));
    CHECK(out == NULL);
    out = JUNK(atlas_source);
    REFUSED(atlas_source_concat(none, 1, &out));
    CHECK(out == NULL);
    REFUSED(atlas_source_concat(none, 0, NULL));
}

static bool on_damage(const atlas_damage *damage, void *user_data)
{
    (void)user_data;
    return damage != NULL;
}

static void projections(void)
{
    atlas_projection *out = JUNK(atlas_projection);
    REFUSED(atlas_projection_create(ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, NULL));
    atlas_projection_info info;
    info.struct_size = (uint32_t)sizeof info;
    info.domain_size = 7;
    REFUSED(atlas_projection_get_info(NULL, &info));
    CHECK(info.domain_size == 0);
    REFUSED(atlas_projection_get_info(projection, NULL));
    uint8_t root[32];
    memset(root, 0xA5, sizeof root);
    REFUSED(atlas_projection_root(NULL, NULL, root));
    CHECK(all_bytes(root, sizeof root, 0));
    REFUSED(atlas_projection_root(projection, NULL, NULL));
    atlas_tile_info tile;
    memset(&tile, 0xA5, sizeof tile);
    tile.struct_size = (uint32_t)sizeof tile;
    REFUSED(atlas_projection_get_tile(NULL, 0, &tile));
    CHECK(tile.length == 0 && all_bytes(tile.witness, 32, 0));
    REFUSED(atlas_projection_get_tile(projection, 0, NULL));
    out = JUNK(atlas_projection);
    REFUSED(atlas_projection_snapshot(NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_projection_snapshot(projection, NULL));
    uint8_t bytes[5];
    REFUSED(atlas_projection_read(NULL, 0, bytes, 5));
    REFUSED(atlas_projection_read(NULL, 0, NULL, 0));
    REFUSED(atlas_projection_read(projection, 0, NULL, 5));
    CHECK_OK(atlas_projection_read(projection, 0, NULL, 0));
    REFUSED(atlas_projection_verify(NULL, NULL));
    REFUSED(atlas_projection_find_damage(NULL, NULL, 0, on_damage, NULL, NULL));
    CHECK_OK(atlas_projection_find_damage(projection, NULL, 0, NULL, NULL, NULL));
    REFUSED(atlas_projection_repair_file(NULL, temp_path("x"), NULL, 0, on_damage, NULL, NULL));
    REFUSED(atlas_projection_repair_file(projection, NULL, NULL, 0, on_damage, NULL, NULL));
    REFUSED(atlas_projection_repair_file(projection, temp_path("x"), NULL, 0, NULL, NULL, NULL));
    size_t count = 7;
    REFUSED(atlas_projection_diff(NULL, projection, NULL, NULL, &count));
    CHECK(count == 0);
    count = 0;
    REFUSED(atlas_projection_diff(projection, NULL, NULL, NULL, &count));
    REFUSED(atlas_projection_diff(projection, projection, NULL, NULL, NULL));
    count = 7;
    REFUSED(atlas_projection_diff(projection, projection, NULL, NULL, &count));
    CHECK(count == 0);
    CHECK_OK(atlas_projection_diff(projection, projection, NULL, NULL, &count));
    REFUSED(atlas_projection_write_file(NULL, temp_path("x"), NULL));
    REFUSED(atlas_projection_write_file(projection, NULL, NULL));
    CHECK_EQ(temp_names(), 0);
}

static void transforms(void)
{
    const atlas_transform_params params = {1, 0, 0, 0};
    REFUSED(atlas_projection_transform(NULL, &params));
    REFUSED(atlas_projection_transform(projection, NULL));
    double bounds[4] = {7, 7, 7, 7};
    REFUSED(atlas_projection_tile_bounds(NULL, 0, bounds));
    for (size_t i = 0; i < 4; i++) {
        CHECK(bounds[i] < 0.5);
    }
    REFUSED(atlas_projection_tile_bounds(projection, 0, NULL));
    uint64_t tile = 7;
    REFUSED(atlas_projection_tile_at(NULL, 0, 0, &tile));
    CHECK(tile == 0);
    REFUSED(atlas_projection_tile_at(projection, 0, 0, NULL));
}

static void shards(void)
{
    const atlas_region region = {0, 10};
    atlas_shard *out = JUNK(atlas_shard);
    REFUSED(atlas_shard_extract(NULL, &region, NULL, &out));
    CHECK(out == NULL);
    out = JUNK(atlas_shard);
    REFUSED(atlas_shard_extract(projection, NULL, NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_shard_extract(projection, &region, NULL, NULL));
    const atlas_region two[2] = {{0, 10}, {5, 5}};
    atlas_shard *outs[2] = {JUNK(atlas_shard), JUNK(atlas_shard)};
    REFUSED(atlas_shard_extract_batch(NULL, two, 2, NULL, NULL, outs));
    CHECK(outs[0] == NULL && outs[1] == NULL);
    outs[0] = outs[1] = JUNK(atlas_shard);
    REFUSED(atlas_shard_extract_batch(projection, NULL, 2, NULL, NULL, outs));
    CHECK(outs[0] == NULL && outs[1] == NULL);
    REFUSED(atlas_shard_extract_batch(projection, two, 2, NULL, NULL, NULL));
    REFUSED(atlas_shard_extract_batch(NULL, NULL, 0, NULL, NULL, NULL));
    atlas_shard_info info;
    memset(&info, 0xA5, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    REFUSED(atlas_shard_get_info(NULL, &info));
    CHECK(info.payload_size == 0 && all_bytes(info.root, 32, 0));
    REFUSED(atlas_shard_get_info(shard, NULL));
    const uint8_t *bytes = data;
    size_t size = 7;
    REFUSED(atlas_shard_data(NULL, &bytes, &size));
    CHECK(bytes == NULL && size == 0);
    size = 7;
    REFUSED(atlas_shard_data(shard, NULL, &size));
    CHECK(size == 0);
    bytes = data;
    REFUSED(atlas_shard_data(shard, &bytes, NULL));
    CHECK(bytes == NULL);
    uint8_t buffer[5];
    REFUSED(atlas_shard_read(NULL, 0, buffer, 5));
    REFUSED(atlas_shard_read(shard, 10, NULL, 5));
    CHECK_OK(atlas_shard_read(shard, 10, NULL, 0));
    REFUSED(atlas_shard_verify(NULL, NULL, NULL));
    CHECK_OK(atlas_shard_verify(shard, NULL, NULL));
}

static void serialised_shards(void)
{
    atlas_buffer buffer = {JUNK(uint8_t), 7};
    REFUSED(atlas_shard_serialize(NULL, &buffer));
    CHECK(buffer.data == NULL && buffer.size == 0);
    REFUSED(atlas_shard_serialize(shard, NULL));
    CHECK_OK(atlas_shard_serialize(shard, &buffer));
    atlas_shard *out = JUNK(atlas_shard);
    REFUSED(atlas_shard_deserialize(NULL, 5, NULL, NULL, NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_shard_deserialize(buffer.data, buffer.size, NULL, NULL, NULL, NULL));
    out = JUNK(atlas_shard);
    CHECK_STATUS(atlas_shard_deserialize(NULL, 0, NULL, NULL, NULL, &out), ATLAS_STATUS_FORMAT);
    CHECK(out == NULL);
    atlas_buffer_free(&buffer);
}

static void reconstructions(void)
{
    atlas_reconstruction *rebuilt = NULL;
    REFUSED(atlas_reconstruction_create(NULL, NULL));
    CHECK_OK(atlas_reconstruction_create(NULL, &rebuilt));
    REFUSED(atlas_reconstruction_add(NULL, shard, NULL));
    REFUSED(atlas_reconstruction_add(rebuilt, NULL, NULL));
    CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
    atlas_region regions[2];
    size_t count = 2;
    REFUSED(atlas_reconstruction_missing(NULL, regions, &count));
    CHECK(count == 0);
    count = 2;
    REFUSED(atlas_reconstruction_missing(rebuilt, NULL, &count));
    CHECK(count == 0);
    REFUSED(atlas_reconstruction_missing(rebuilt, regions, NULL));
    count = 0;
    CHECK_OK(atlas_reconstruction_missing(rebuilt, NULL, &count));
    atlas_projection *out = JUNK(atlas_projection);
    REFUSED(atlas_reconstruction_finish(NULL, NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_reconstruction_finish(rebuilt, NULL, NULL));
    /* The refusal did not finish it. */
    CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &out));
    atlas_projection_destroy(out);
    atlas_reconstruction_destroy(rebuilt);
}

static void opened_containers(const char *path)
{
    atlas_container *out = JUNK(atlas_container);
    REFUSED(atlas_container_create(NULL, ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_container_create(temp_path("x"), ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, NULL));
    CHECK(!exists(temp_path("x")));
    out = JUNK(atlas_container);
    REFUSED(atlas_container_open(NULL, ATLAS_CONTAINER_READ, NULL, NULL, NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_container_open(path, ATLAS_CONTAINER_READ, NULL, NULL, NULL, NULL));
    out = JUNK(atlas_container);
    REFUSED(atlas_container_open_source(NULL, NULL, NULL, NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_container_open_source(source, NULL, NULL, NULL, NULL));
}

static void getters_of_containers(void)
{
    atlas_container_info info;
    memset(&info, 0xA5, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    REFUSED(atlas_container_get_info(NULL, &info));
    CHECK(info.newest == 0 && all_bytes(info.id, sizeof info.id, 0));
    REFUSED(atlas_container_get_info(container, NULL));
    atlas_generation_info generation;
    memset(&generation, 0xA5, sizeof generation);
    generation.struct_size = (uint32_t)sizeof generation;
    REFUSED(atlas_container_get_generation(NULL, 0, &generation));
    CHECK(generation.generation == 0 && all_bytes(generation.root, 64, 0));
    REFUSED(atlas_container_get_generation(container, 0, NULL));
    uint8_t note[5];
    size_t size = sizeof note;
    REFUSED(atlas_container_get_note(NULL, 0, note, &size));
    CHECK(size == 0);
    REFUSED(atlas_container_get_note(container, 0, note, NULL));
    size = sizeof note;
    REFUSED(atlas_container_get_note(container, 0, NULL, &size));
    CHECK(size == 0);
    CHECK_OK(atlas_container_get_note(container, 0, NULL, &size));
    CHECK(size == 4);
}

/* Nothing was committed by a refusal. */
static void changed_containers(void)
{
    uint64_t generation = 7;
    REFUSED(atlas_container_commit(NULL, projection, NULL, NULL, &generation));
    CHECK(generation == 0);
    generation = 7;
    REFUSED(atlas_container_commit(container, NULL, NULL, NULL, &generation));
    CHECK(generation == 0);
    atlas_commit_options options;
    atlas_commit_options_init(&options);
    options.note_size = 1;
    REFUSED(atlas_container_commit(container, projection, &options, NULL, NULL));
    generation = 7;
    REFUSED(atlas_container_import(NULL, source, NULL, 0, NULL, NULL, &generation));
    CHECK(generation == 0);
    generation = 7;
    REFUSED(atlas_container_import(container, NULL, NULL, 0, NULL, NULL, &generation));
    CHECK(generation == 0);
    generation = 7;
    REFUSED(atlas_container_refresh(NULL, NULL, &generation));
    CHECK(generation == 0);
    REFUSED(atlas_container_set_base(NULL, source));
    REFUSED(atlas_container_compact(NULL, temp_path("x"), 0, NULL));
    CHECK(!exists(temp_path("x")));
    REFUSED(atlas_container_compact(NULL, NULL, 0, NULL));
    REFUSED(atlas_container_find_damage(NULL, 0, NULL, NULL, NULL));
    const atlas_container *const parts[] = {container, NULL};
    atlas_container *merged = JUNK(atlas_container);
    REFUSED(atlas_container_merge(NULL, 1, temp_path("x"), NULL, NULL, NULL, &merged));
    CHECK(merged == NULL);
    merged = JUNK(atlas_container);
    REFUSED(atlas_container_merge(parts, 2, temp_path("x"), NULL, NULL, NULL, &merged));
    CHECK(merged == NULL);
    merged = JUNK(atlas_container);
    REFUSED(atlas_container_merge(parts, 1, NULL, NULL, NULL, NULL, &merged));
    CHECK(merged == NULL);
    REFUSED(atlas_container_merge(parts, 1, temp_path("x"), NULL, NULL, NULL, NULL));
    CHECK(!exists(temp_path("x")));
    CHECK_OK(atlas_container_refresh(container, NULL, &generation));
    CHECK(generation == 1);
    /* No base, no callback, in place: NULL means something here. */
    CHECK_OK(atlas_container_set_base(container, NULL));
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    CHECK_OK(atlas_container_compact(container, NULL, 0, NULL));
    CHECK_OK(atlas_container_refresh(container, NULL, NULL));
    CHECK_OK(atlas_container_commit(container, projection, NULL, NULL, NULL));
    CHECK_OK(atlas_container_import(container, source, NULL, 0, NULL, NULL, NULL));
}

static void containers(void)
{
    const char *path = temp_path("null.atlas");
    atlas_commit_options options;
    atlas_commit_options_init(&options);
    options.note = "note";
    options.note_size = 4;
    CHECK_OK(atlas_container_create(path, ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, &container));
    CHECK_OK(atlas_container_commit(container, projection, &options, NULL, NULL));
    opened_containers(path);
    getters_of_containers();
    atlas_projection *out = JUNK(atlas_projection);
    REFUSED(atlas_container_snapshot(NULL, 0, 0, NULL, &out));
    CHECK(out == NULL);
    REFUSED(atlas_container_snapshot(container, 0, 0, NULL, NULL));
    changed_containers();
    atlas_container_destroy(container);
    CHECK_EQ(temp_names(), 1);
}

int main(void)
{
    source = borrowed(data, sizeof data);
    projection = projected(source, NULL);
    shard = extracted(projection, 0, sizeof data);
    TEST(void_functions_do_nothing);
    TEST(errors_and_pools);
    TEST(sources);
    TEST(projections);
    TEST(transforms);
    TEST(shards);
    TEST(serialised_shards);
    TEST(reconstructions);
    if (WRITES_CONTAINERS) {
        TEST(containers);
    }
    CHECK(releases == 0);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    return 0;
}
