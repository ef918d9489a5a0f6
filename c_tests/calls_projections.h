/* Calls of pools, sources, projections, shards, reconstructions, streams and edits: parts of calls.h. */
#ifndef ATLAS_CALLS_PROJECTIONS_TESTS_H
#define ATLAS_CALLS_PROJECTIONS_TESTS_H

MAKES(call_pool_create, atlas_pool, atlas_pool_destroy,
      atlas_pool_create(1, &made))

MAKES(call_source_copy, atlas_source, atlas_source_destroy,
      atlas_source_copy(given.data, SIZE, &made))

MAKES(call_source_borrow, atlas_source, atlas_source_destroy,
      atlas_source_borrow(given.data, SIZE, NULL, NULL, &made))

MAKES(call_source_open_file, atlas_source, atlas_source_destroy,
      atlas_source_open_file(given.file, ATLAS_FILE_IO_READ, &made))

static inline atlas_status call_source_open_fd(const atlas_operation *operation)
{
    (void)operation;
    const int file = open(given.file, O_RDONLY);
    CHECK(file >= 0);
    atlas_source *source = NULL;
    const atlas_status status = CALL(atlas_source_open_fd(file, ATLAS_FILE_IO_READ, &source));
    atlas_source_destroy(source);
    CHECK(close(file) == 0);
    return status;
}

static inline int read_given(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    (void)user_data;
    memcpy(buffer, given.data + offset, size);
    return 0;
}

MAKES(call_source_from_callback, atlas_source, atlas_source_destroy,
      atlas_source_from_callback(SIZE, read_given, NULL, NULL, &made))

MAKES(call_source_range, atlas_source, atlas_source_destroy,
      atlas_source_range(given.source, 5, 900, &made))

static inline atlas_status call_source_concat(const atlas_operation *operation)
{
    (void)operation;
    const atlas_source *parts[2] = {given.source, given.source};
    atlas_source *source = NULL;
    const atlas_status status = CALL(atlas_source_concat(parts, 2, &source));
    atlas_source_destroy(source);
    return status;
}

MAKES(call_projection_create, atlas_projection, atlas_projection_destroy,
      atlas_projection_create(ATLAS_PROJECTION_LINEAR, given.source, NULL, operation, &made))

/* A projection with an edited tile that is not hashed yet. */
static inline atlas_projection *edited_given(void)
{
    atlas_projection *made = projected(given.source, NULL);
    replace(made, 100, 5, "other", 5);
    return made;
}

static inline atlas_status call_projection_root(const atlas_operation *operation)
{
    uint8_t root[32];
    atlas_projection *made = edited_given();
    const atlas_status status = CALL(atlas_projection_root(made, operation, root));
    AGAIN(status, atlas_projection_root(made, NULL, root));
    atlas_projection_destroy(made);
    return status;
}

static inline atlas_status call_projection_get_tile(const atlas_operation *operation)
{
    (void)operation;
    atlas_tile_info info = {.struct_size = (uint32_t)sizeof info};
    atlas_projection *made = edited_given();
    const atlas_status status = CALL(atlas_projection_get_tile(made, 0, &info));
    AGAIN(status, atlas_projection_get_tile(made, 0, &info));
    atlas_projection_destroy(made);
    return status;
}

MAKES(call_projection_snapshot, atlas_projection, atlas_projection_destroy,
      atlas_projection_snapshot(given.linear, &made))

/* A snapshot of the container, whose nodes are not loaded yet. */
static inline atlas_projection *snapshot_of_given(void)
{
    atlas_container *container = opened(given.container_file, ATLAS_CONTAINER_READ);
    atlas_projection *snapshot = snapshot_of(container, 0, true);
    atlas_container_destroy(container);
    return snapshot;
}

static inline atlas_status call_projection_read(const atlas_operation *operation)
{
    (void)operation;
    uint8_t some[100];
    atlas_projection *snapshot = snapshot_of_given();
    const atlas_status status = CALL(atlas_projection_read(snapshot, 60000, some, sizeof some));
    AGAIN(status, atlas_projection_read(snapshot, 60000, some, sizeof some));
    CHECK(memcmp(some, given.data + 60000, sizeof some) == 0);
    atlas_projection_destroy(snapshot);
    return status;
}

static inline atlas_status call_projection_get_info(const atlas_operation *operation)
{
    (void)operation;
    atlas_projection_info info = {.struct_size = (uint32_t)sizeof info};
    atlas_projection *snapshot = snapshot_of_given();
    const atlas_status status = CALL(atlas_projection_get_info(snapshot, &info));
    atlas_projection_destroy(snapshot);
    return status;
}

static inline atlas_status call_projection_verify(const atlas_operation *operation)
{
    return CALL(atlas_projection_verify(given.linear, operation));
}

static inline atlas_status call_projection_write_file(const atlas_operation *operation)
{
    const atlas_status status = CALL(atlas_projection_write_file(given.linear, given.target, operation));
    CHECK(exists(given.target) == (status == ATLAS_STATUS_OK));
    (void)unlink(given.target);
    return status;
}

static inline atlas_status call_projection_transform(const atlas_operation *operation)
{
    (void)operation;
    const atlas_transform_params plane = {2.0, 0.5, 1.0, 3.0};
    atlas_projection *made = edited_given();
    const atlas_status status = CALL(atlas_projection_transform(made, &plane));
    AGAIN(status, atlas_projection_transform(made, &plane));
    atlas_projection_destroy(made);
    return status;
}

static inline atlas_status call_projection_tile_bounds(const atlas_operation *operation)
{
    (void)operation;
    double bounds[4];
    atlas_projection *snapshot = snapshot_of_given();
    const atlas_status status = CALL(atlas_projection_tile_bounds(snapshot, 0, bounds));
    AGAIN(status, atlas_projection_tile_bounds(snapshot, 0, bounds));
    atlas_projection_destroy(snapshot);
    return status;
}

static inline atlas_status call_projection_tile_at(const atlas_operation *operation)
{
    (void)operation;
    uint64_t tile = 0;
    atlas_projection *snapshot = snapshot_of_given();
    const atlas_status status = CALL(atlas_projection_tile_at(snapshot, 0.0, 0.0, &tile));
    AGAIN(status, atlas_projection_tile_at(snapshot, 0.0, 0.0, &tile));
    atlas_projection_destroy(snapshot);
    return status;
}

static inline atlas_status call_shard_extract(const atlas_operation *operation)
{
    const atlas_region region = {100, 60000};
    atlas_shard *shard = NULL;
    const atlas_status status = CALL(atlas_shard_extract(given.linear, &region, operation, &shard));
    atlas_shard_destroy(shard);
    return status;
}

static inline atlas_status call_shard_extract_batch(const atlas_operation *operation)
{
    const atlas_region regions[3] = {{100, 60000}, {5, 5}, {200, 40000}};
    atlas_shard *shards[3] = {NULL, NULL, NULL};
    const atlas_status status = CALL(atlas_shard_extract_batch(given.linear, regions, 3, NULL, operation, shards));
    for (size_t i = 0; i < 3; i++) {
        CHECK((shards[i] != NULL) == (status == ATLAS_STATUS_OK));
        atlas_shard_destroy(shards[i]);
    }
    return status;
}

static inline atlas_status call_shard_extract_classes(const atlas_operation *operation)
{
    static const uint8_t classes[2] = {3, 90};
    atlas_shard *shards[2] = {NULL, NULL};
    const atlas_status status = CALL(atlas_shard_extract_classes(given.r96, NULL, classes, 2, operation, shards));
    for (size_t i = 0; i < 2; i++) {
        CHECK((shards[i] != NULL) == (status == ATLAS_STATUS_OK));
        atlas_shard_destroy(shards[i]);
    }
    return status;
}

static inline atlas_status call_shard_read(const atlas_operation *operation)
{
    (void)operation;
    uint8_t some[100];
    const atlas_status status = CALL(atlas_shard_read(given.r96_shard, 50, some, sizeof some));
    AGAIN(status, atlas_shard_read(given.r96_shard, 50, some, sizeof some));
    CHECK(memcmp(some, given.data + 50, sizeof some) == 0);
    return status;
}

static inline atlas_status call_shard_verify(const atlas_operation *operation)
{
    return CALL(atlas_shard_verify(given.shard, NULL, operation));
}

static inline atlas_status call_shard_serialize(const atlas_operation *operation)
{
    (void)operation;
    atlas_buffer buffer = {NULL, 0};
    const atlas_status status = CALL(atlas_shard_serialize(given.shard, &buffer));
    atlas_buffer_free(&buffer);
    return status;
}

MAKES(call_shard_deserialize, atlas_shard, atlas_shard_destroy,
      atlas_shard_deserialize(given.encoding.data, given.encoding.size, NULL, NULL, operation, &made))

static inline atlas_status call_reconstruction_create(const atlas_operation *operation)
{
    (void)operation;
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = given.target;
    atlas_reconstruction *rebuilt = NULL;
    const atlas_status status = CALL(atlas_reconstruction_create(&options, &rebuilt));
    atlas_reconstruction_destroy(rebuilt);
    return status;
}

static inline atlas_reconstruction *rebuilding(void)
{
    atlas_reconstruction *rebuilt = NULL;
    CHECK_OK(atlas_reconstruction_create(NULL, &rebuilt));
    return rebuilt;
}

static inline atlas_status call_reconstruction_add(const atlas_operation *operation)
{
    atlas_reconstruction *rebuilt = rebuilding();
    const atlas_status status = CALL(atlas_reconstruction_add(rebuilt, given.r96_shard, operation));
    AGAIN(status, atlas_reconstruction_add(rebuilt, given.r96_shard, NULL));
    CHECK(atlas_reconstruction_is_complete(rebuilt));
    atlas_reconstruction_destroy(rebuilt);
    return status;
}

static inline atlas_status call_reconstruction_missing(const atlas_operation *operation)
{
    (void)operation;
    atlas_region regions[4];
    size_t count = 4;
    atlas_reconstruction *rebuilt = rebuilding();
    atlas_shard *shard = extracted(given.linear, 5000, 5000);
    CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
    const atlas_status status = CALL(atlas_reconstruction_missing(rebuilt, regions, &count));
    count = 4;
    AGAIN(status, atlas_reconstruction_missing(rebuilt, regions, &count));
    atlas_shard_destroy(shard);
    atlas_reconstruction_destroy(rebuilt);
    return status;
}

static inline atlas_status call_reconstruction_finish(const atlas_operation *operation)
{
    atlas_reconstruction *rebuilt = rebuilding();
    CHECK_OK(atlas_reconstruction_add(rebuilt, given.shard, NULL));
    atlas_projection *made = NULL;
    const atlas_status status = CALL(atlas_reconstruction_finish(rebuilt, operation, &made));
    AGAIN(status, atlas_reconstruction_finish(rebuilt, NULL, &made));
    atlas_projection_destroy(made);
    atlas_reconstruction_destroy(rebuilt);
    return status;
}

MAKES(call_stream_project, atlas_projection, atlas_projection_destroy,
      atlas_stream_project(ATLAS_PROJECTION_LINEAR, given.source, NULL, NULL, operation, &made))

MAKES(call_stream_open, atlas_stream, atlas_stream_destroy,
      atlas_stream_open(ATLAS_PROJECTION_LINEAR, given.source, NULL, NULL, operation, &made))

MAKES(call_stream_open_push, atlas_stream, atlas_stream_destroy,
      atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, given.target, NULL, NULL, operation, &made))

/* The operation of a stream is that of its opening. If it forbids that, there is no stream. */
static inline atlas_status call_stream_push(const atlas_operation *operation)
{
    atlas_stream *stream = NULL;
    atlas_status status = atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, operation, &stream);
    for (int i = 0; i < 20 && status == ATLAS_STATUS_OK; i++) {
        status = CALL(atlas_stream_push(stream, given.data, SIZE));
    }
    atlas_stream_destroy(stream);
    return status;
}

static inline atlas_status call_stream_next(const atlas_operation *operation)
{
    atlas_chunk chunk = {.struct_size = (uint32_t)sizeof chunk};
    bool has_chunk = false;
    atlas_stream *stream = NULL;
    atlas_status status =
        atlas_stream_open(ATLAS_PROJECTION_LINEAR, given.source, NULL, NULL, operation, &stream);
    if (status == ATLAS_STATUS_OK) {
        status = CALL(atlas_stream_next(stream, &chunk, &has_chunk));
    }
    atlas_stream_destroy(stream);
    return status;
}

static inline atlas_status call_stream_finish(const atlas_operation *operation)
{
    atlas_projection *made = NULL;
    atlas_stream *stream = NULL;
    atlas_status status =
        atlas_stream_open(ATLAS_PROJECTION_LINEAR, given.source, NULL, NULL, operation, &stream);
    if (status == ATLAS_STATUS_OK) {
        status = CALL(atlas_stream_finish(stream, &made));
    }
    atlas_projection_destroy(made);
    atlas_stream_destroy(stream);
    return status;
}

static const atlas_delta given_delta = {
    .type = ATLAS_CHANGE_UPDATE, .offset = 9, .length = 5, .data = "other", .data_size = 5};

CHANGES(call_projection_apply, projected(given.source, NULL),
        atlas_projection_apply(made, &given_delta))

CHANGES(call_projection_apply_batch, projected(given.source, NULL),
        atlas_projection_apply_batch(made, &given_delta, 1))

CHANGES(call_projection_rollback, edited_given(),
        atlas_projection_rollback(made, 1))

CHANGES(call_projection_optimize, edited_given(),
        atlas_projection_optimize(made, operation))

CHANGES(call_projection_insert_source, projected(given.source, NULL),
        atlas_projection_insert_source(made, 7, given.source, operation))

#endif
