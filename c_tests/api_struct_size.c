/* struct_size: every older size, every size that cannot be, newer ones, and not a byte beyond. */
#include "check.h"

enum { ROOM = 256, MAX_FIELDS = 16 };

static uint8_t data[3 * 4096];
static uint8_t wrong_root[32];
static uint8_t key[32];
static atlas_source *source;
static atlas_projection *projection;
static atlas_shard *shard;
static atlas_buffer encoded;
static atlas_compressed_shard *compressed;
static atlas_compression_manager *manager;
static atlas_stream *stream;
static atlas_parity *parity;
static char new_path[PATH_MAX + 300]; /* of a repaired file */
static atlas_container *container; /* writes; has one generation */
static char container_path[PATH_MAX];

#define END(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))
#define START(type, field) offsetof(type, field)
#define FIELD(type, field) {START(type, field), END(type, field)}

typedef struct field {
    size_t start, end;
} field;

typedef enum place { AT_END, INSIDE, PADDING } place;

static place place_of(const field *fields, size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (size == fields[i].end) {
            return AT_END;
        }
        if (size > fields[i].start && size < fields[i].end) {
            return INSIDE;
        }
    }
    return PADDING;
}

/* ---- structs that the caller fills ---------------------------------------------- */

typedef struct input {
    const char *name;
    uint64_t feature; /* without which there is no such call */
    size_t size;
    int (*use)(const void *options); /* a call that is OK with the defaults */
    /* Values other than the defaults in the bytes from `from` on, at each of which the call must
     * fail; so that a field that is wrongly read, or wrongly ignored, shows. */
    void (*spoil)(void *options);
    size_t spoiled_at; /* the end of the first field that spoil changed */
    size_t count;
    field fields[MAX_FIELDS];
} input;

static int use_options(const void *options)
{
    atlas_projection *made = NULL;
    const int status = (int)atlas_projection_create(
        0, source, (const atlas_projection_options *)options, NULL, &made);
    CHECK((made != NULL) == (status == 0));
    atlas_projection_destroy(made);
    return status;
}

static int use_operation(const void *options)
{
    return (int)atlas_projection_verify(projection, (const atlas_operation *)options);
}

static int use_extract(const void *options)
{
    const atlas_region region = {1, 2};
    atlas_shard *made = NULL;
    const int status = (int)atlas_shard_extract_batch(
        projection, &region, 1, (const atlas_extract_options *)options, NULL, &made);
    CHECK((made != NULL) == (status == 0));
    atlas_shard_destroy(made);
    return status;
}

static int use_verify(const void *options)
{
    return (int)atlas_shard_verify(shard, (const atlas_verify_options *)options, NULL);
}

static int use_verify_in_deserialize(const void *options)
{
    atlas_shard *made = NULL;
    const int status =
        (int)atlas_shard_deserialize(encoded.data, encoded.size, NULL,
                                     (const atlas_verify_options *)options, NULL, &made);
    CHECK((made != NULL) == (status == 0));
    atlas_shard_destroy(made);
    return status;
}

static int use_limits(const void *options)
{
    atlas_shard *made = NULL;
    const int status = (int)atlas_shard_deserialize(
        encoded.data, encoded.size, (const atlas_limits *)options, NULL, NULL, &made);
    CHECK((made != NULL) == (status == 0));
    atlas_shard_destroy(made);
    return status;
}

static int use_rebuild(const void *options)
{
    atlas_reconstruction *made = NULL;
    const int status = (int)atlas_reconstruction_create(
        (const atlas_reconstruction_options *)options, &made);
    CHECK((made != NULL) == (status == 0));
    const int added = made == NULL ? status : (int)atlas_reconstruction_add(made, shard, NULL);
    atlas_reconstruction_destroy(made);
    return added;
}

static int use_stream(const void *config)
{
    atlas_projection *made = NULL;
    const int status = (int)atlas_stream_project(0, source, NULL, (const atlas_stream_config *)config,
                                                 NULL, &made);
    CHECK((made != NULL) == (status == 0));
    atlas_projection_destroy(made);
    return status;
}

static int use_compression(const void *config)
{
    atlas_compressed_shard *made = NULL;
    const int status =
        (int)atlas_shard_compress(shard, (const atlas_compression_config *)config, NULL, &made);
    CHECK((made != NULL) == (status == 0));
    atlas_compressed_shard_destroy(made);
    return status;
}

/* Every value is fine: the effect of each is checked afterwards. */
static int use_incremental(const void *config)
{
    const atlas_delta delta = {.type = ATLAS_CHANGE_INSERT, .offset = 1, .data = "x", .data_size = 1};
    atlas_projection *other = NULL;
    CHECK_OK(atlas_projection_snapshot(projection, &other));
    int status = (int)atlas_projection_configure_incremental(
        other, (const atlas_incremental_config *)config);
    if (status == 0) {
        CHECK_OK(atlas_projection_apply(other, &delta));
        status = atlas_projection_history_len(other) == 1 ? 0 : -1;
    }
    atlas_projection_destroy(other);
    return status;
}

static int use_parity(const void *options)
{
    const char *path = temp_path("used.atp");
    const int status = (int)atlas_parity_create(source, path, (const atlas_parity_options *)options, NULL);
    CHECK(exists(path) == (status == 0));
    (void)unlink(path);
    return status;
}

/* Without a name there is no repair: the default is a new file, and here it gets one. */
static int use_repair(const void *options)
{
    uint32_t size = 0;
    memcpy(&size, options, sizeof size);
    const char *data_path = temp_path("repaired"), *other = new_path;
    write_file(data_path, data, sizeof data);
    const int status = (int)atlas_parity_repair(parity, data_path, (const atlas_repair_options *)options, NULL, NULL,
                                                NULL, NULL);
    CHECK(exists(other) == (status == 0));
    (void)unlink(other);
    (void)unlink(data_path);
    /* Sizes without the field for a name are accepted, and then the name is missing. */
    const bool nameless = size == END(atlas_repair_options, struct_size) || size == END(atlas_repair_options, mode);
    return nameless && status == ATLAS_STATUS_INVALID_ARGUMENT
            && strstr(atlas_last_error_message(), "other_path") != NULL
        ? 0
        : status;
}

static int use_create(const void *options)
{
    const char *path = temp_path("made.atlas");
    atlas_container *made = NULL;
    const int status = (int)atlas_container_create(
        path, 0, NULL, (const atlas_container_create_options *)options, NULL, &made);
    CHECK((made != NULL) == (status == 0));
    atlas_container_destroy(made);
    CHECK((unlink(path) == 0) == (status == 0));
    return status;
}

static int use_open(const void *options)
{
    atlas_container *made = NULL;
    const int status =
        (int)atlas_container_open(container_path, ATLAS_CONTAINER_READ, NULL,
                                  (const atlas_container_open_options *)options, NULL, &made);
    CHECK((made != NULL) == (status == 0));
    atlas_container_destroy(made);
    return status;
}

static int use_commit(const void *options)
{
    uint64_t generation = 0;
    const int status = (int)atlas_container_commit(
        container, projection, (const atlas_commit_options *)options, NULL, &generation);
    CHECK((generation != 0) == (status == 0));
    return status;
}

static bool stop(const atlas_progress *progress, void *user_data)
{
    (void)progress;
    (void)user_data;
    return false;
}

static void spoil_options(void *options)
{
    ((atlas_projection_options *)options)->r96_data_classes = 0;
}
static void spoil_operation(void *options) { ((atlas_operation *)options)->progress = stop; }
static void spoil_extract(void *options) { ((atlas_extract_options *)options)->strategy = 2; }
static void spoil_verify(void *options)
{
    ((atlas_verify_options *)options)->expected_root = wrong_root;
}
static void spoil_verify_key(void *options) { ((atlas_verify_options *)options)->key = key; }
static void spoil_limits(void *options) { ((atlas_limits *)options)->max_payload_size = 1; }
static void spoil_limits_proof(void *options) { ((atlas_limits *)options)->max_proof_size = 1; }
static void spoil_rebuild(void *options)
{
    ((atlas_reconstruction_options *)options)->expected_root = wrong_root;
}
static void spoil_stream(void *config) { ((atlas_stream_config *)config)->chunk_size = 1; }
static void spoil_stream_io(void *config) { ((atlas_stream_config *)config)->io_buffer_size = 1; }
static void spoil_compression(void *config) { ((atlas_compression_config *)config)->level = 10; }
static void spoil_compression_target(void *config)
{
    ((atlas_compression_config *)config)->target = 3;
}
static void spoil_compression_codec_level(void *config)
{
    /* 0, which DEFLATE does not have. */
    ((atlas_compression_config *)config)->has_codec_level = 1;
}
static void spoil_compression_block(void *config)
{
    ((atlas_compression_config *)config)->block_size = 1;
}
static void spoil_incremental(void *config)
{
    ((atlas_incremental_config *)config)->enable_rollback = 0;
}
static void spoil_incremental_count(void *config)
{
    ((atlas_incremental_config *)config)->max_deltas = 0;
}
static void spoil_rebuild_size(void *options)
{
    ((atlas_reconstruction_options *)options)->max_domain_size = 1;
}

static void spoil_parity(void *options) { ((atlas_parity_options *)options)->unit_size = 1; }
static void spoil_parity_reserved(void *options) { ((atlas_parity_options *)options)->reserved = 1; }
static void spoil_repair(void *options) { ((atlas_repair_options *)options)->reserved = 1; }

#define PARITY                                                                                         \
    9, {FIELD(atlas_parity_options, struct_size), FIELD(atlas_parity_options, unit_size),              \
        FIELD(atlas_parity_options, parity_columns), FIELD(atlas_parity_options, redundancy),          \
        FIELD(atlas_parity_options, rows), FIELD(atlas_parity_options, key),                           \
        FIELD(atlas_parity_options, id), FIELD(atlas_parity_options, store_root),                      \
        FIELD(atlas_parity_options, reserved)}
#define REPAIR                                                                                         \
    5, {FIELD(atlas_repair_options, struct_size), FIELD(atlas_repair_options, mode),                   \
        FIELD(atlas_repair_options, other_path), FIELD(atlas_repair_options, partial),                 \
        FIELD(atlas_repair_options, reserved)}
/* Compression that is not built in is refused too. */
static void spoil_create_compression(void *options)
{
    static atlas_compression_config config;
    config.struct_size = (uint32_t)sizeof config;
    config.level = 10;
    ((atlas_container_create_options *)options)->compression = &config;
}
static void spoil_create(void *options)
{
    ((atlas_container_create_options *)options)->block_log2 = 11;
}
static void spoil_open_history(void *options)
{
    ((atlas_container_open_options *)options)->expected_history = wrong_root;
}
static void spoil_open(void *options)
{
    ((atlas_container_open_options *)options)->max_domain_size = 1;
}
static void spoil_commit(void *options) { ((atlas_commit_options *)options)->expected = NONE; }
static void spoil_commit_note(void *options) { ((atlas_commit_options *)options)->note_size = 1; }

#define OPTIONS                                                                                    \
    4, {FIELD(atlas_projection_options, struct_size), FIELD(atlas_projection_options, conservation), \
        FIELD(atlas_projection_options, r96_data_classes), FIELD(atlas_projection_options, key)}
#define OPERATION                                                                      \
    5, {FIELD(atlas_operation, struct_size), FIELD(atlas_operation, pool),             \
        FIELD(atlas_operation, progress), FIELD(atlas_operation, user_data),           \
        FIELD(atlas_operation, memory_limit)}
#define EXTRACT                                                                                \
    4, {FIELD(atlas_extract_options, struct_size), FIELD(atlas_extract_options, strategy),     \
        FIELD(atlas_extract_options, max_threads), FIELD(atlas_extract_options, chunk_size)}
#define VERIFY                                                                                \
    3, {FIELD(atlas_verify_options, struct_size), FIELD(atlas_verify_options, expected_root), \
        FIELD(atlas_verify_options, key)}
#define LIMITS                                                                        \
    3, {FIELD(atlas_limits, struct_size), FIELD(atlas_limits, max_payload_size),      \
        FIELD(atlas_limits, max_proof_size)}
#define REBUILD                                              \
    5, {FIELD(atlas_reconstruction_options, struct_size),    \
        FIELD(atlas_reconstruction_options, expected_root),  \
        FIELD(atlas_reconstruction_options, key),            \
        FIELD(atlas_reconstruction_options, spool_path),     \
        FIELD(atlas_reconstruction_options, max_domain_size)}

#define STREAM                                                                                     \
    6, {FIELD(atlas_stream_config, struct_size), FIELD(atlas_stream_config, chunk_size),           \
        FIELD(atlas_stream_config, parallel_chunks), FIELD(atlas_stream_config, prefetch_chunks),  \
        FIELD(atlas_stream_config, chunk_overlap), FIELD(atlas_stream_config, io_buffer_size)}
#define COMPRESSION                                                 \
    12, {FIELD(atlas_compression_config, struct_size),              \
        FIELD(atlas_compression_config, algorithm),                 \
        FIELD(atlas_compression_config, level),                     \
        FIELD(atlas_compression_config, min_size_threshold),        \
        FIELD(atlas_compression_config, max_compression_ratio),     \
        FIELD(atlas_compression_config, preserve_conservation),     \
        FIELD(atlas_compression_config, verify_integrity),          \
        FIELD(atlas_compression_config, block_size),                \
        FIELD(atlas_compression_config, filter),                    \
        FIELD(atlas_compression_config, target),                    \
        FIELD(atlas_compression_config, has_codec_level),           \
        FIELD(atlas_compression_config, codec_level)}
#define INCREMENTAL                                                 \
    4, {FIELD(atlas_incremental_config, struct_size),               \
        FIELD(atlas_incremental_config, validate_conservation),     \
        FIELD(atlas_incremental_config, enable_rollback),           \
        FIELD(atlas_incremental_config, max_deltas)}
#define CREATE                                                    \
    8, {FIELD(atlas_container_create_options, struct_size),       \
        FIELD(atlas_container_create_options, block_log2),        \
        FIELD(atlas_container_create_options, keep_chains),       \
        FIELD(atlas_container_create_options, reserved),          \
        FIELD(atlas_container_create_options, id),                \
        FIELD(atlas_container_create_options, base),              \
        FIELD(atlas_container_create_options, compression),       \
        FIELD(atlas_container_create_options, cache_size)}
#define OPEN                                                      \
    7, {FIELD(atlas_container_open_options, struct_size),         \
        FIELD(atlas_container_open_options, recover),             \
        FIELD(atlas_container_open_options, base),                \
        FIELD(atlas_container_open_options, expected_history),    \
        FIELD(atlas_container_open_options, compression),         \
        FIELD(atlas_container_open_options, cache_size),          \
        FIELD(atlas_container_open_options, max_domain_size)}
#define COMMIT                                                                                  \
    6, {FIELD(atlas_commit_options, struct_size), FIELD(atlas_commit_options, reserved),        \
        FIELD(atlas_commit_options, expected), FIELD(atlas_commit_options, time),               \
        FIELD(atlas_commit_options, note), FIELD(atlas_commit_options, note_size)}

static const input inputs[] = {
    {"atlas_parity_options", ATLAS_FEATURE_PARITY, sizeof(atlas_parity_options), use_parity, spoil_parity,
     END(atlas_parity_options, unit_size), PARITY},
    {"atlas_parity_options", ATLAS_FEATURE_PARITY, sizeof(atlas_parity_options), use_parity,
     spoil_parity_reserved, END(atlas_parity_options, reserved), PARITY},
    {"atlas_repair_options", ATLAS_FEATURE_PARITY, sizeof(atlas_repair_options), use_repair, spoil_repair,
     END(atlas_repair_options, reserved), REPAIR},
    {"atlas_container_create_options", 0, sizeof(atlas_container_create_options), use_create,
     spoil_create, END(atlas_container_create_options, block_log2), CREATE},
    {"atlas_container_create_options", 0, sizeof(atlas_container_create_options), use_create,
     spoil_create_compression, END(atlas_container_create_options, compression), CREATE},
    {"atlas_container_open_options", 0, sizeof(atlas_container_open_options), use_open,
     spoil_open_history, END(atlas_container_open_options, expected_history), OPEN},
    {"atlas_container_open_options", 0, sizeof(atlas_container_open_options), use_open, spoil_open,
     END(atlas_container_open_options, max_domain_size), OPEN},
    {"atlas_commit_options", 0, sizeof(atlas_commit_options), use_commit, spoil_commit,
     END(atlas_commit_options, expected), COMMIT},
    {"atlas_commit_options", 0, sizeof(atlas_commit_options), use_commit, spoil_commit_note,
     END(atlas_commit_options, note_size), COMMIT},
    {"atlas_stream_config", ATLAS_FEATURE_STREAMING, sizeof(atlas_stream_config), use_stream,
     spoil_stream, END(atlas_stream_config, chunk_size), STREAM},
    {"atlas_stream_config", ATLAS_FEATURE_STREAMING, sizeof(atlas_stream_config), use_stream,
     spoil_stream_io, END(atlas_stream_config, io_buffer_size), STREAM},
    {"atlas_compression_config", ATLAS_FEATURE_COMPRESSION, sizeof(atlas_compression_config),
     use_compression, spoil_compression, END(atlas_compression_config, level), COMPRESSION},
    {"atlas_compression_config", ATLAS_FEATURE_COMPRESSION, sizeof(atlas_compression_config),
     use_compression, spoil_compression_block, END(atlas_compression_config, block_size),
     COMPRESSION},
    {"atlas_compression_config", ATLAS_FEATURE_COMPRESSION, sizeof(atlas_compression_config),
     use_compression, spoil_compression_target, END(atlas_compression_config, target), COMPRESSION},
    {"atlas_compression_config", ATLAS_FEATURE_COMPRESSION, sizeof(atlas_compression_config),
     use_compression, spoil_compression_codec_level, END(atlas_compression_config, has_codec_level),
     COMPRESSION},
    {"atlas_incremental_config", 0, sizeof(atlas_incremental_config), use_incremental,
     spoil_incremental, END(atlas_incremental_config, enable_rollback), INCREMENTAL},
    {"atlas_incremental_config", 0, sizeof(atlas_incremental_config), use_incremental,
     spoil_incremental_count, END(atlas_incremental_config, max_deltas), INCREMENTAL},
    {"atlas_projection_options", 0, sizeof(atlas_projection_options), use_options, spoil_options,
     END(atlas_projection_options, r96_data_classes), OPTIONS},
    {"atlas_operation", 0, sizeof(atlas_operation), use_operation, spoil_operation,
     END(atlas_operation, progress), OPERATION},
    {"atlas_extract_options", 0, sizeof(atlas_extract_options), use_extract, spoil_extract,
     END(atlas_extract_options, strategy), EXTRACT},
    {"atlas_verify_options", 0, sizeof(atlas_verify_options), use_verify, spoil_verify,
     END(atlas_verify_options, expected_root), VERIFY},
    {"atlas_verify_options", 0, sizeof(atlas_verify_options), use_verify_in_deserialize,
     spoil_verify_key, END(atlas_verify_options, key), VERIFY},
    {"atlas_limits", 0, sizeof(atlas_limits), use_limits, spoil_limits,
     END(atlas_limits, max_payload_size), LIMITS},
    {"atlas_limits", 0, sizeof(atlas_limits), use_limits, spoil_limits_proof,
     END(atlas_limits, max_proof_size), LIMITS},
    {"atlas_reconstruction_options", 0, sizeof(atlas_reconstruction_options), use_rebuild,
     spoil_rebuild, END(atlas_reconstruction_options, expected_root), REBUILD},
    {"atlas_reconstruction_options", 0, sizeof(atlas_reconstruction_options), use_rebuild,
     spoil_rebuild_size, END(atlas_reconstruction_options, max_domain_size), REBUILD},
};

static void init(const input *one, void *options)
{
    if (one->use == use_options) {
        atlas_projection_options_init((atlas_projection_options *)options);
    } else if (one->use == use_operation) {
        atlas_operation_init((atlas_operation *)options);
    } else if (one->use == use_extract) {
        atlas_extract_options_init((atlas_extract_options *)options);
    } else if (one->use == use_limits) {
        atlas_limits_init((atlas_limits *)options);
    } else if (one->use == use_stream) {
        atlas_stream_config_init((atlas_stream_config *)options);
    } else if (one->use == use_compression) {
        atlas_compression_config_init((atlas_compression_config *)options);
    } else if (one->use == use_incremental) {
        atlas_incremental_config_init((atlas_incremental_config *)options);
    } else if (one->use == use_parity) {
        atlas_parity_options_init((atlas_parity_options *)options);
    } else if (one->use == use_repair) {
        atlas_repair_options_init((atlas_repair_options *)options);
        ((atlas_repair_options *)options)->other_path = new_path;
    } else if (one->use == use_rebuild) {
        atlas_reconstruction_options_init((atlas_reconstruction_options *)options);
    } else if (one->use == use_create) {
        atlas_container_create_options_init((atlas_container_create_options *)options);
    } else if (one->use == use_open) {
        atlas_container_open_options_init((atlas_container_open_options *)options);
    } else if (one->use == use_commit) {
        atlas_commit_options_init((atlas_commit_options *)options);
    } else {
        atlas_verify_options_init((atlas_verify_options *)options);
    }
}

/* Exactly `size` bytes on the heap, so that valgrind sees a read behind them. */
static int use_copy(const input *one, const void *options, size_t size)
{
    uint8_t *copy = (uint8_t *)malloc(size < 4 ? 4 : size);
    CHECK(copy != NULL);
    memcpy(copy, options, size < 4 ? 4 : size);
    const uint32_t said = (uint32_t)size;
    memcpy(copy, &said, 4);
    const int status = one->use(copy);
    free(copy);
    return status;
}

static void inputs_of_every_size(const input *one)
{
    _Alignas(16) uint8_t plain[ROOM];
    _Alignas(16) uint8_t spoiled[ROOM];
    memset(plain, 0, sizeof plain);
    memset(spoiled, 0, sizeof spoiled);
    init(one, plain);
    init(one, spoiled);
    one->spoil(spoiled);
    CHECK_EQ(one->fields[one->count - 1].end, one->size);
    for (size_t size = 0; size <= one->size; size++) {
        switch (place_of(one->fields, one->count, size)) {
        case AT_END:
            CHECK_OK(use_copy(one, plain, size));
            if (size < one->spoiled_at) {
                CHECK_OK(use_copy(one, spoiled, size)); /* the default counts */
            } else {
                CHECK(use_copy(one, spoiled, size) != ATLAS_STATUS_OK);
            }
            break;
        case INSIDE:
            CHECK_STATUS(use_copy(one, plain, size), ATLAS_STATUS_INVALID_ARGUMENT);
            CHECK_SAYS("struct_size");
            CHECK(strstr(atlas_last_error_message(), one->name) != NULL);
            break;
        case PADDING: /* 0, or behind a field that the next one is aligned after */
            if (size == 0) {
                CHECK_STATUS(use_copy(one, plain, size), ATLAS_STATUS_INVALID_ARGUMENT);
            }
            break;
        }
    }
    for (size_t size = one->size + 1; size <= one->size + 64; size++) {
        CHECK_OK(use_copy(one, plain, size));
        CHECK(use_copy(one, spoiled, size) != ATLAS_STATUS_OK);
        for (size_t at = one->size; at < size; at += 1 + (size - one->size) / 7) {
            plain[at] = 1;
            CHECK_STATUS(use_copy(one, plain, size), ATLAS_STATUS_INVALID_ARGUMENT);
            CHECK_SAYS("struct_size");
            plain[at] = 0;
        }
    }
}

/* ---- structs that the library fills ------------------------------------------------ */

typedef struct output {
    const char *name;
    uint64_t feature;
    size_t size;
    int (*fill)(void *info);
    size_t count;
    field fields[MAX_FIELDS];
} output;

static int fill_error(void *info)
{
    uint8_t byte;
    const atlas_region region = {5, UINT64_MAX};
    atlas_shard *made = NULL;
    CHECK(atlas_projection_read(projection, 77777, &byte, 1) != ATLAS_STATUS_OK);
    CHECK(atlas_shard_extract_batch(projection, &region, 1, NULL, NULL, &made) != ATLAS_STATUS_OK);
    return (int)atlas_last_error_get((atlas_error_info *)info);
}

static int fill_projection(void *info)
{
    return (int)atlas_projection_get_info(projection, (atlas_projection_info *)info);
}

static int fill_tile(void *info)
{
    return (int)atlas_projection_get_tile(projection, 0, (atlas_tile_info *)info);
}

static int fill_shard(void *info)
{
    return (int)atlas_shard_get_info(shard, (atlas_shard_info *)info);
}

/* Addresses differ from call to call: each is looked at here and taken out. */
static void take_out_address(void *info, size_t start)
{
    uint32_t size = 0;
    memcpy(&size, info, 4);
    if (size >= start + sizeof(void *)) {
        static const uint8_t none[sizeof(void *)];
        CHECK(memcmp((uint8_t *)info + start, none, sizeof none) != 0);
        memset((uint8_t *)info + start, 0, sizeof none);
    }
}

static int fill_chunk(void *info)
{
    atlas_stream *opened = NULL;
    bool has_chunk = false;
    CHECK_OK(atlas_stream_open(0, source, NULL, NULL, NULL, &opened));
    const int status = (int)atlas_stream_next(opened, (atlas_chunk *)info, &has_chunk);
    CHECK(has_chunk == (status == 0));
    if (status == 0) {
        take_out_address(info, offsetof(atlas_chunk, data));
        take_out_address(info, offsetof(atlas_chunk, overlap));
    }
    atlas_stream_destroy(opened);
    return status;
}

static int fill_progress(void *info)
{
    return (int)atlas_stream_get_progress(stream, (atlas_progress *)info);
}

static int fill_compressed(void *info)
{
    return (int)atlas_compressed_shard_get_info(compressed, (atlas_compressed_info *)info);
}

static int fill_compression_stats(void *info)
{
    return (int)atlas_compression_manager_get_stats(manager, (atlas_compression_stats *)info);
}

static int fill_incremental_stats(void *info)
{
    return (int)atlas_projection_get_incremental_stats(projection, (atlas_incremental_stats *)info);
}

static int fill_parity_info(void *info)
{
    return (int)atlas_parity_get_info(parity, (atlas_parity_info *)info);
}

static int fill_parity_report(void *report)
{
    return (int)atlas_parity_check(parity, source, NULL, NULL, NULL, (atlas_parity_report *)report);
}

static int fill_container(void *info)
{
    return (int)atlas_container_get_info(container, (atlas_container_info *)info);
}

static int fill_generation(void *info)
{
    return (int)atlas_container_get_generation(container, 0, (atlas_generation_info *)info);
}

static const output outputs[] = {
    {"atlas_parity_info",
     ATLAS_FEATURE_PARITY,
     sizeof(atlas_parity_info),
     fill_parity_info,
     12,
     {FIELD(atlas_parity_info, struct_size), FIELD(atlas_parity_info, unit_size),
      FIELD(atlas_parity_info, protected_size), FIELD(atlas_parity_info, parity_size),
      FIELD(atlas_parity_info, rows), FIELD(atlas_parity_info, data_columns),
      FIELD(atlas_parity_info, parity_columns), FIELD(atlas_parity_info, burst_size),
      FIELD(atlas_parity_info, keyed), FIELD(atlas_parity_info, has_root),
      FIELD(atlas_parity_info, root), FIELD(atlas_parity_info, id)}},
    {"atlas_parity_report",
     ATLAS_FEATURE_PARITY,
     sizeof(atlas_parity_report),
     fill_parity_report,
     12,
     {FIELD(atlas_parity_report, struct_size), FIELD(atlas_parity_report, data),
      FIELD(atlas_parity_report, parity), FIELD(atlas_parity_report, reserved),
      FIELD(atlas_parity_report, size), FIELD(atlas_parity_report, bad_units),
      FIELD(atlas_parity_report, unknown_units), FIELD(atlas_parity_report, bad_parity_units),
      FIELD(atlas_parity_report, bad_blocks), FIELD(atlas_parity_report, damaged_rows),
      FIELD(atlas_parity_report, lost_rows), FIELD(atlas_parity_report, repaired_units)}},
    {"atlas_container_info",
     0,
     sizeof(atlas_container_info),
     fill_container,
     15,
     {FIELD(atlas_container_info, struct_size), FIELD(atlas_container_info, type),
      FIELD(atlas_container_info, r96_data_classes), FIELD(atlas_container_info, keyed),
      FIELD(atlas_container_info, conservation), FIELD(atlas_container_info, writable),
      FIELD(atlas_container_info, keeps_chains), FIELD(atlas_container_info, block_size),
      FIELD(atlas_container_info, newest), FIELD(atlas_container_info, oldest),
      FIELD(atlas_container_info, generation_count), FIELD(atlas_container_info, lost),
      FIELD(atlas_container_info, file_size), FIELD(atlas_container_info, base_size),
      FIELD(atlas_container_info, id)}},
    {"atlas_generation_info",
     0,
     sizeof(atlas_generation_info),
     fill_generation,
     10,
     {FIELD(atlas_generation_info, struct_size), FIELD(atlas_generation_info, residue),
      FIELD(atlas_generation_info, generation), FIELD(atlas_generation_info, previous),
      FIELD(atlas_generation_info, time), FIELD(atlas_generation_info, domain_size),
      FIELD(atlas_generation_info, tile_count), FIELD(atlas_generation_info, note_size),
      FIELD(atlas_generation_info, root), FIELD(atlas_generation_info, history)}},
    {"atlas_chunk",
     ATLAS_FEATURE_STREAMING,
     sizeof(atlas_chunk),
     fill_chunk,
     8,
     {FIELD(atlas_chunk, struct_size), FIELD(atlas_chunk, residue), FIELD(atlas_chunk, id),
      FIELD(atlas_chunk, offset), FIELD(atlas_chunk, data), FIELD(atlas_chunk, size),
      FIELD(atlas_chunk, overlap), FIELD(atlas_chunk, overlap_size)}},
    {"atlas_progress",
     ATLAS_FEATURE_STREAMING,
     sizeof(atlas_progress),
     fill_progress,
     6,
     {FIELD(atlas_progress, struct_size), FIELD(atlas_progress, reserved),
      FIELD(atlas_progress, bytes_done), FIELD(atlas_progress, bytes_total),
      FIELD(atlas_progress, chunks_done), FIELD(atlas_progress, chunks_total)}},
    {"atlas_compressed_info",
     ATLAS_FEATURE_COMPRESSION,
     sizeof(atlas_compressed_info),
     fill_compressed,
     8,
     {FIELD(atlas_compressed_info, struct_size), FIELD(atlas_compressed_info, algorithm),
      FIELD(atlas_compressed_info, level), FIELD(atlas_compressed_info, residue),
      FIELD(atlas_compressed_info, original_size), FIELD(atlas_compressed_info, compressed_size),
      FIELD(atlas_compressed_info, filters), FIELD(atlas_compressed_info, reserved)}},
    {"atlas_compression_stats",
     ATLAS_FEATURE_COMPRESSION,
     sizeof(atlas_compression_stats),
     fill_compression_stats,
     9,
     {FIELD(atlas_compression_stats, struct_size),
      FIELD(atlas_compression_stats, compression_operations),
      FIELD(atlas_compression_stats, decompression_operations),
      FIELD(atlas_compression_stats, shards_compressed),
      FIELD(atlas_compression_stats, shards_stored),
      FIELD(atlas_compression_stats, original_bytes),
      FIELD(atlas_compression_stats, compressed_bytes),
      FIELD(atlas_compression_stats, saved_bytes),
      FIELD(atlas_compression_stats, average_ratio)}},
    {"atlas_incremental_stats",
     0,
     sizeof(atlas_incremental_stats),
     fill_incremental_stats,
     10,
     {FIELD(atlas_incremental_stats, struct_size), FIELD(atlas_incremental_stats, total_updates),
      FIELD(atlas_incremental_stats, insert_operations),
      FIELD(atlas_incremental_stats, update_operations),
      FIELD(atlas_incremental_stats, delete_operations),
      FIELD(atlas_incremental_stats, move_operations), FIELD(atlas_incremental_stats, rollbacks),
      FIELD(atlas_incremental_stats, bytes_modified),
      FIELD(atlas_incremental_stats, conservation_violations),
      FIELD(atlas_incremental_stats, avg_update_time_ns)}},
    {"atlas_error_info",
     0,
     sizeof(atlas_error_info),
     fill_error,
     7,
     {FIELD(atlas_error_info, struct_size), FIELD(atlas_error_info, status),
      FIELD(atlas_error_info, os_error), FIELD(atlas_error_info, reserved),
      FIELD(atlas_error_info, index), FIELD(atlas_error_info, offset),
      FIELD(atlas_error_info, length)}},
    {"atlas_projection_info",
     0,
     sizeof(atlas_projection_info),
     fill_projection,
     13,
     {FIELD(atlas_projection_info, struct_size), FIELD(atlas_projection_info, type),
      FIELD(atlas_projection_info, domain_size), FIELD(atlas_projection_info, page_count),
      FIELD(atlas_projection_info, tile_count), FIELD(atlas_projection_info, residue),
      FIELD(atlas_projection_info, correction), FIELD(atlas_projection_info, width),
      FIELD(atlas_projection_info, height), FIELD(atlas_projection_info, r96_data_classes),
      FIELD(atlas_projection_info, keyed), FIELD(atlas_projection_info, canonical),
      FIELD(atlas_projection_info, reserved)}},
    {"atlas_tile_info",
     0,
     sizeof(atlas_tile_info),
     fill_tile,
     5,
     {FIELD(atlas_tile_info, struct_size), FIELD(atlas_tile_info, residue),
      FIELD(atlas_tile_info, offset), FIELD(atlas_tile_info, length),
      FIELD(atlas_tile_info, witness)}},
    {"atlas_shard_info",
     0,
     sizeof(atlas_shard_info),
     fill_shard,
     10,
     {FIELD(atlas_shard_info, struct_size), FIELD(atlas_shard_info, type),
      FIELD(atlas_shard_info, domain_size), FIELD(atlas_shard_info, region),
      FIELD(atlas_shard_info, payload_size), FIELD(atlas_shard_info, residue),
      FIELD(atlas_shard_info, r96_data_classes), FIELD(atlas_shard_info, keyed),
      FIELD(atlas_shard_info, class_mask), FIELD(atlas_shard_info, root)}},
};

static void set_size(uint8_t *info, size_t size)
{
    const uint32_t said = (uint32_t)size;
    memcpy(info, &said, 4);
}

static void outputs_of_every_size(const output *one)
{
    _Alignas(16) uint8_t full[ROOM];
    _Alignas(16) uint8_t info[ROOM];
    memset(full, 0xA5, sizeof full);
    set_size(full, one->size);
    CHECK_OK(one->fill(full));
    CHECK(all_bytes(full + one->size, ROOM - one->size, 0xA5));
    CHECK(!all_bytes(full + one->size - 8, 8, 0xA5));
    CHECK_EQ(one->fields[one->count - 1].end, one->size);
    for (size_t size = 0; size <= one->size + 40; size++) {
        memset(info, 0xA5, sizeof info);
        set_size(info, size);
        const size_t known = size < one->size ? size : one->size;
        const size_t edge = size < 4 ? 4 : size;
        const place where = place_of(one->fields, one->count, size);
        const int status = one->fill(info);
        uint32_t said = 0;
        memcpy(&said, info, 4);
        CHECK_EQ(said, size);
        CHECK(all_bytes(info + edge, ROOM - edge, 0xA5));
        if (size > one->size || where == AT_END) {
            CHECK_OK(status);
            CHECK(memcmp(info + 4, full + 4, known - 4) == 0);
        } else if (where == INSIDE || size == 0) {
            CHECK_STATUS(status, ATLAS_STATUS_INVALID_ARGUMENT);
        }
    }
}

/* A failed call clears the struct: zeros, up to struct_size. */
static void outputs_are_zeroed_on_failure(void)
{
    _Alignas(16) uint8_t info[ROOM];
    static const size_t offered[] = {8, 24, sizeof(atlas_tile_info)};
    for (size_t i = 0; i < 3; i++) {
        memset(info, 0xA5, sizeof info);
        set_size(info, offered[i]);
        CHECK_STATUS(atlas_projection_get_tile(projection, 99, (atlas_tile_info *)(void *)info),
                     ATLAS_STATUS_OUT_OF_RANGE);
        CHECK(all_bytes(info + 4, offered[i] - 4, 0));
        CHECK(all_bytes(info + offered[i], ROOM - offered[i], 0xA5));
    }
    memset(info, 0xA5, sizeof info);
    set_size(info, sizeof(atlas_projection_info));
    CHECK_STATUS(atlas_projection_get_info(NULL, (atlas_projection_info *)(void *)info),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(all_bytes(info + 4, sizeof(atlas_projection_info) - 4, 0));
    memset(info, 0xA5, sizeof info);
    set_size(info, sizeof(atlas_shard_info));
    CHECK_STATUS(atlas_shard_get_info(NULL, (atlas_shard_info *)(void *)info),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(all_bytes(info + 4, sizeof(atlas_shard_info) - 4, 0));
}

static bool is_usable(const char *name, uint64_t feature)
{
    const bool of_container = strncmp(name, "atlas_container_", 16) == 0 || strncmp(name, "atlas_generation_", 17) == 0 ||
                              strcmp(name, "atlas_commit_options") == 0;
    return (feature == 0 || built_in(feature)) && (WRITES_CONTAINERS || !of_container);
}

int main(void)
{
    fill_random(data, sizeof data, 91);
    source = borrowed(data, sizeof data);
    projection = projected(source, NULL);
    shard = extracted(projection, 3, 5000);
    CHECK_OK(atlas_shard_serialize(shard, &encoded));
    if (built_in(ATLAS_FEATURE_COMPRESSION)) {
        const atlas_shard *const one = shard;
        CHECK_OK(atlas_compression_manager_create(NULL, &manager));
        CHECK_OK(atlas_compression_manager_compress_batch(manager, &one, 1, NULL, &compressed));
    }
    if (built_in(ATLAS_FEATURE_STREAMING)) {
        CHECK_OK(atlas_stream_open(0, source, NULL, NULL, NULL, &stream));
    }
    if (built_in(ATLAS_FEATURE_PARITY)) {
        (void)snprintf(new_path, sizeof new_path, "%s", temp_path("new"));
        CHECK_OK(atlas_parity_create(source, temp_path("sizes.atp"), NULL, NULL));
        CHECK_OK(atlas_parity_open(temp_path("sizes.atp"), NULL, NULL, &parity));
    }
    (void)snprintf(container_path, sizeof container_path, "%s", temp_path("sizes.atlas"));
    if (WRITES_CONTAINERS) {
        CHECK_OK(atlas_container_create(container_path, 0, NULL, NULL, NULL, &container));
        CHECK_OK(atlas_container_commit(container, projection, NULL, NULL, NULL));
    }
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        if (is_usable(inputs[i].name, inputs[i].feature)) {
            inputs_of_every_size(&inputs[i]);
        }
    }
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        if (is_usable(outputs[i].name, outputs[i].feature)) {
            outputs_of_every_size(&outputs[i]);
        }
    }
    outputs_are_zeroed_on_failure();
    atlas_parity_destroy(parity);
    atlas_container_destroy(container);
    atlas_stream_destroy(stream);
    atlas_compressed_shard_destroy(compressed);
    atlas_compression_manager_destroy(manager);
    atlas_buffer_free(&encoded);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    return 0;
}
