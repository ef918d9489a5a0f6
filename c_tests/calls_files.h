/* Calls of compression, containers, outlines, parity files and the benchmark: parts of calls.h. */
#ifndef ATLAS_CALLS_FILES_TESTS_H
#define ATLAS_CALLS_FILES_TESTS_H

MAKES(call_shard_compress, atlas_compressed_shard, atlas_compressed_shard_destroy,
      atlas_shard_compress(given.shard, NULL, operation, &made))

MAKES(call_shard_decompress, atlas_shard, atlas_shard_destroy,
      atlas_shard_decompress(given.compressed, NULL, operation, &made))

static inline atlas_status call_compressed_shard_read(const atlas_operation *operation)
{
    (void)operation;
    uint8_t some[100];
    atlas_compressed_shard *read = NULL;
    CHECK_OK(atlas_compressed_shard_deserialize(given.compressed_encoding.data, given.compressed_encoding.size, NULL,
                                                &read));
    const atlas_status status = CALL(atlas_compressed_shard_read(read, 900, some, sizeof some));
    AGAIN(status, atlas_compressed_shard_read(read, 900, some, sizeof some));
    CHECK(memcmp(some, given.data + 900, sizeof some) == 0);
    atlas_compressed_shard_destroy(read);
    return status;
}

static inline atlas_status call_compressed_shard_serialize(const atlas_operation *operation)
{
    (void)operation;
    atlas_buffer buffer = {NULL, 0};
    const atlas_status status = CALL(atlas_compressed_shard_serialize(given.compressed, &buffer));
    atlas_buffer_free(&buffer);
    return status;
}

MAKES(call_compressed_shard_deserialize, atlas_compressed_shard, atlas_compressed_shard_destroy,
      atlas_compressed_shard_deserialize( given.compressed_encoding.data, given.compressed_encoding.size, NULL,
      &made))

MAKES(call_manager_create, atlas_compression_manager, atlas_compression_manager_destroy,
      atlas_compression_manager_create(NULL, &made))

static inline atlas_status call_manager_compress(const atlas_operation *operation)
{
    const atlas_shard *shards[2] = {given.shard, given.shard};
    atlas_compressed_shard *compressed[2] = {NULL, NULL};
    const atlas_status status =
        CALL(atlas_compression_manager_compress_batch(given.manager, shards, 2, operation, compressed));
    for (size_t i = 0; i < 2; i++) {
        CHECK((compressed[i] != NULL) == (status == ATLAS_STATUS_OK));
        atlas_compressed_shard_destroy(compressed[i]);
    }
    return status;
}

static inline atlas_status call_manager_decompress(const atlas_operation *operation)
{
    const atlas_compressed_shard *compressed[2] = {given.compressed, given.compressed};
    atlas_shard *shards[2] = {NULL, NULL};
    const atlas_status status = CALL(
        atlas_compression_manager_decompress_batch(given.manager, compressed, 2, NULL, operation, shards));
    for (size_t i = 0; i < 2; i++) {
        CHECK((shards[i] != NULL) == (status == ATLAS_STATUS_OK));
        atlas_shard_destroy(shards[i]);
    }
    return status;
}

static inline atlas_status call_container_create(const atlas_operation *operation)
{
    atlas_container *container = NULL;
    const atlas_status status = CALL(
        atlas_container_create(given.target, ATLAS_PROJECTION_LINEAR, NULL, NULL, operation, &container));
    CHECK(exists(given.target) == (status == ATLAS_STATUS_OK));
    atlas_container_destroy(container);
    (void)unlink(given.target);
    return status;
}

MAKES(call_container_open, atlas_container, atlas_container_destroy,
      atlas_container_open(given.container_file, ATLAS_CONTAINER_READ, NULL, NULL, operation, &made))

static inline atlas_status call_container_open_source(const atlas_operation *operation)
{
    atlas_source *source = file_source(given.container_file, ATLAS_FILE_IO_READ);
    atlas_container *container = NULL;
    const atlas_status status = CALL(atlas_container_open_source(source, NULL, NULL, operation, &container));
    atlas_container_destroy(container);
    atlas_source_destroy(source);
    return status;
}

static inline atlas_status call_container_get_info(const atlas_operation *operation)
{
    (void)operation;
    atlas_container_info info = {.struct_size = (uint32_t)sizeof info};
    return CALL(atlas_container_get_info(given.container, &info));
}

static inline atlas_status call_container_get_generation(const atlas_operation *operation)
{
    (void)operation;
    atlas_generation_info info = {.struct_size = (uint32_t)sizeof info};
    const atlas_status status = CALL(atlas_container_get_generation(given.container, 1, &info));
    AGAIN(status, atlas_container_get_generation(given.container, 1, &info));
    return status;
}

static inline atlas_status call_container_get_note(const atlas_operation *operation)
{
    (void)operation;
    size_t size = 0;
    const atlas_status status = CALL(atlas_container_get_note(given.container, 1, NULL, &size));
    AGAIN(status, atlas_container_get_note(given.container, 1, NULL, &size));
    return status;
}

static inline atlas_status call_container_snapshot(const atlas_operation *operation)
{
    atlas_projection *snapshot = NULL;
    const atlas_status status = CALL(atlas_container_snapshot(given.container, 1, 1, operation, &snapshot));
    AGAIN(status, atlas_container_snapshot(given.container, 1, 1, NULL, &snapshot));
    atlas_projection_destroy(snapshot);
    return status;
}

/* A container of its own for each call that adds a generation, so that it has as many each time. */
static inline atlas_container *new_container(void)
{
    atlas_container *container = created(given.target, ATLAS_PROJECTION_LINEAR, NULL, NULL);
    CHECK_EQ(committed(container, given.linear), 1);
    return container;
}

static inline void destroy_new(atlas_container *container)
{
    atlas_container_destroy(container);
    CHECK(unlink(given.target) == 0);
}

static inline atlas_status call_container_commit(const atlas_operation *operation)
{
    atlas_container *container = new_container();
    atlas_projection *made = edited_given();
    const atlas_status status = CALL(atlas_container_commit(container, made, NULL, operation, NULL));
    AGAIN(status, atlas_container_commit(container, made, NULL, NULL, NULL));
    CHECK_EQ(info_of(container).newest, 2);
    atlas_projection_destroy(made);
    destroy_new(container);
    return status;
}

static inline atlas_status call_container_import(const atlas_operation *operation)
{
    atlas_container *container = new_container();
    const atlas_status status =
        CALL(atlas_container_import(container, given.source, NULL, 0, NULL, operation, NULL));
    AGAIN(status, atlas_container_import(container, given.source, NULL, 0, NULL, NULL, NULL));
    CHECK_EQ(info_of(container).newest, 2);
    destroy_new(container);
    return status;
}

static inline atlas_status call_container_set_base(const atlas_operation *operation)
{
    (void)operation;
    return CALL(atlas_container_set_base(given.container, NULL));
}

static inline atlas_status call_container_refresh(const atlas_operation *operation)
{
    atlas_container *container = new_container(), *reader = opened(given.target, ATLAS_CONTAINER_READ);
    CHECK_EQ(committed(container, given.linear), 2);
    const atlas_status status = CALL(atlas_container_refresh(reader, operation, NULL));
    AGAIN(status, atlas_container_refresh(reader, NULL, NULL));
    CHECK_EQ(info_of(reader).newest, 2);
    atlas_container_destroy(reader);
    destroy_new(container);
    return status;
}

static inline atlas_status call_container_compact(const atlas_operation *operation)
{
    const atlas_status status = CALL(atlas_container_compact(given.container, given.target, 0, operation));
    CHECK(exists(given.target) == (status == ATLAS_STATUS_OK));
    AGAIN(status, atlas_container_compact(given.container, given.target, 0, NULL));
    CHECK(unlink(given.target) == 0);
    return status;
}

static inline atlas_status call_container_find_damage(const atlas_operation *operation)
{
    const atlas_status status = CALL(atlas_container_find_damage(given.container, 0, NULL, NULL, operation));
    AGAIN(status, atlas_container_find_damage(given.container, 0, NULL, NULL, NULL));
    return status;
}

static inline atlas_status call_container_merge(const atlas_operation *operation)
{
    const atlas_container *parts[1] = {given.container};
    atlas_container *merged = NULL;
    const atlas_status status =
        CALL(atlas_container_merge(parts, 1, given.target, NULL, NULL, operation, &merged));
    CHECK(exists(given.target) == (status == ATLAS_STATUS_OK));
    AGAIN(status, atlas_container_merge(parts, 1, given.target, NULL, NULL, NULL, &merged));
    atlas_container_destroy(merged);
    CHECK(unlink(given.target) == 0);
    return status;
}

static inline bool accept_damage(const atlas_damage *damage, void *user_data)
{
    (void)damage;
    (void)user_data;
    return true;
}

static inline atlas_status call_projection_find_damage(const atlas_operation *operation)
{
    return CALL(atlas_projection_find_damage(given.linear, NULL, 0, NULL, NULL, operation));
}

static inline atlas_status call_projection_repair_file(const atlas_operation *operation)
{
    write_file(given.target, "other", 5);
    const atlas_status status = CALL(
        atlas_projection_repair_file(given.linear, given.target, NULL, 0, accept_damage, NULL, operation));
    AGAIN(status, atlas_projection_repair_file(given.linear, given.target, NULL, 0, accept_damage, NULL, NULL));
    CHECK(file_is(given.target, given.data, SIZE));
    CHECK(unlink(given.target) == 0);
    return status;
}

static inline atlas_status call_projection_diff(const atlas_operation *operation)
{
    atlas_region regions[4];
    size_t count = 4;
    atlas_projection *made = edited_given();
    const atlas_status status = CALL(atlas_projection_diff(made, given.linear, operation, regions, &count));
    count = 4;
    AGAIN(status, atlas_projection_diff(made, given.linear, NULL, regions, &count));
    atlas_projection_destroy(made);
    return status;
}

static inline atlas_status call_parity_create(const atlas_operation *operation)
{
    const atlas_status status = CALL(atlas_parity_create(given.source, given.target, NULL, operation));
    CHECK(exists(given.target) == (status == ATLAS_STATUS_OK));
    (void)unlink(given.target);
    return status;
}

MAKES(call_parity_open, atlas_parity, atlas_parity_destroy,
      atlas_parity_open(given.parity_file, NULL, operation, &made))

static inline atlas_status call_parity_check(const atlas_operation *operation)
{
    const atlas_status status =
        CALL(atlas_parity_check(given.parity, given.source, NULL, NULL, operation, NULL));
    AGAIN(status, atlas_parity_check(given.parity, given.source, NULL, NULL, NULL, NULL));
    return status;
}

static inline atlas_status call_parity_repair(const atlas_operation *operation)
{
    atlas_repair_options options;
    atlas_repair_options_init(&options);
    options.mode = ATLAS_REPAIR_NEW_FILE;
    options.other_path = given.target;
    change_byte(given.file, 9000);
    const atlas_status status =
        CALL(atlas_parity_repair(given.parity, given.file, &options, NULL, NULL, operation, NULL));
    CHECK(exists(given.target) == (status == ATLAS_STATUS_OK));
    AGAIN(status, atlas_parity_repair(given.parity, given.file, &options, NULL, NULL, NULL, NULL));
    CHECK(file_is(given.target, given.data, SIZE));
    CHECK(unlink(given.target) == 0);
    change_byte(given.file, 9000);
    return status;
}

static inline atlas_status call_parity_restore(const atlas_operation *operation)
{
    const atlas_status status = CALL(atlas_parity_restore(given.parity, given.source, given.target, operation));
    CHECK(exists(given.target) == (status == ATLAS_STATUS_OK));
    AGAIN(status, atlas_parity_restore(given.parity, given.source, given.target, NULL));
    CHECK(unlink(given.target) == 0);
    return status;
}

static inline atlas_status call_parity_update(const atlas_operation *operation)
{
    const atlas_region region = {5, 9000};
    const atlas_status status =
        CALL(atlas_parity_update(given.parity, given.source, &region, 1, given.target, NULL, operation));
    CHECK(exists(given.target) == (status == ATLAS_STATUS_OK));
    AGAIN(status, atlas_parity_update(given.parity, given.source, &region, 1, given.target, NULL, NULL));
    CHECK(unlink(given.target) == 0);
    return status;
}

static inline atlas_status call_benchmark_run(const atlas_operation *operation)
{
    static const uint64_t sizes[1] = {4096};
    atlas_benchmark_config config;
    atlas_benchmark_config_init(&config);
    config.data_sizes = sizes;
    config.data_size_count = 1;
    config.iterations = 1;
    config.warmup_iterations = 0;
    atlas_benchmark_report *report = NULL;
    const atlas_status status = CALL(atlas_benchmark_run(&config, operation, &report));
    atlas_benchmark_report_destroy(report);
    return status;
}

#endif
