/* One small call of each function that takes an operation or allocates: the tests of statuses run all of them with
 * the same operation. Include check.h and container.h before. */
#ifndef ATLAS_CALLS_TESTS_H
#define ATLAS_CALLS_TESTS_H

#define SIZE ((size_t)70000)

/* True during the call under test, and false while its arguments are made and its results destroyed. */
static volatile bool calling;

static inline atlas_status called(atlas_status status)
{
    calling = false;
    return status;
}

/* Cached buffers of earlier calls are released, so that the call allocates its own. */
#define CALL(call) (atlas_manifold_trim(), calling = true, called(call))

/* Checks that the handles of a failed call are usable: with nothing in its way the call succeeds. */
#define AGAIN(status, call)                \
    do {                                   \
        if ((status) != ATLAS_STATUS_OK) { \
            CHECK_OK(call);                \
        }                                  \
    } while (0)

/* The arguments of the calls. */
static struct {
    const uint8_t *data;
    atlas_source *source;                 /* of data */
    atlas_projection *linear, *r96;       /* of data */
    atlas_shard *shard, *r96_shard;       /* all of them */
    atlas_buffer encoding, compressed_encoding;
    atlas_compressed_shard *compressed;
    atlas_compression_manager *manager;
    atlas_container *container;           /* with data as its only generation */
    atlas_parity *parity;                 /* of a file with data */
    char file[PATH_MAX], container_file[PATH_MAX], parity_file[PATH_MAX], target[PATH_MAX];
} given;

static inline void name_file(char out[PATH_MAX], const char *name)
{
    CHECK(snprintf(out, PATH_MAX, "%s-%ld", temp_path(name), (long)getpid()) < PATH_MAX);
}

static inline void make_given(void)
{
    static uint8_t data[SIZE];
    static const uint8_t word[] = "bytes that can be compressed. ";
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = word[i % (sizeof word - 1)];
    }
    name_file(given.file, "data");
    name_file(given.container_file, "container");
    name_file(given.parity_file, "parity");
    name_file(given.target, "target");
    given.data = data;
    given.source = borrowed(data, SIZE);
    given.linear = projected(given.source, NULL);
    given.shard = extracted(given.linear, 0, SIZE);
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_R96_FOURIER, given.source, NULL, NULL, &given.r96));
    given.r96_shard = extracted(given.r96, 0, SIZE);
    CHECK_OK(atlas_shard_serialize(given.shard, &given.encoding));
    CHECK_OK(atlas_shard_compress(given.shard, NULL, NULL, &given.compressed));
    CHECK_OK(atlas_compressed_shard_serialize(given.compressed, &given.compressed_encoding));
    CHECK_OK(atlas_compression_manager_create(NULL, &given.manager));
    given.container = created(given.container_file, ATLAS_PROJECTION_LINEAR, NULL, NULL);
    CHECK_EQ(committed(given.container, given.linear), 1);
    write_file(given.file, data, SIZE);
    CHECK_OK(atlas_parity_create(given.source, given.parity_file, NULL, NULL));
    CHECK_OK(atlas_parity_open(given.parity_file, NULL, NULL, &given.parity));
}

static inline void destroy_given(void)
{
    atlas_parity_destroy(given.parity);
    atlas_container_destroy(given.container);
    atlas_compression_manager_destroy(given.manager);
    atlas_buffer_free(&given.compressed_encoding);
    atlas_compressed_shard_destroy(given.compressed);
    atlas_buffer_free(&given.encoding);
    atlas_shard_destroy(given.r96_shard);
    atlas_projection_destroy(given.r96);
    atlas_shard_destroy(given.shard);
    atlas_projection_destroy(given.linear);
    atlas_source_destroy(given.source);
    (void)unlink(given.file);
    (void)unlink(given.container_file);
    (void)unlink(given.parity_file);
}

/* ---- calls ------------------------------------------------------------------ */

/* A call that makes one object, `made`. */
#define MAKES(name, type, destroy, call)                                     \
    static inline atlas_status name(const atlas_operation *operation)        \
    {                                                                        \
        type *made = NULL;                                                   \
        (void)operation;                                                     \
        const atlas_status status = CALL(call);                              \
        CHECK((made != NULL) == (status == ATLAS_STATUS_OK));                \
        destroy(made);                                                       \
        return status;                                                       \
    }

/* A call on a new projection, `made`. */
#define CHANGES(name, make, call)                                            \
    static inline atlas_status name(const atlas_operation *operation)        \
    {                                                                        \
        atlas_projection *made = make;                                       \
        const atlas_status status = CALL(call);                              \
        operation = NULL;                                                    \
        (void)operation;                                                     \
        AGAIN(status, call);                                                 \
        atlas_projection_destroy(made);                                      \
        return status;                                                       \
    }

#include "calls_projections.h"
#include "calls_files.h"

/* ---- the table ---------------------------------------------------------------- */

/* Statuses that a call has by way of its operation: a pool from before a fork, a callback that returns false, and
 * a memory limit. */
enum { NO_OPERATION = 0, STATE = 1, CANCELLED = 2, LIMIT = 4, ALL = STATE | CANCELLED | LIMIT };

typedef struct named_call {
    const char *name;
    atlas_status (*call)(const atlas_operation *operation);
    unsigned statuses;
    uint64_t features; /* without which there is only UNSUPPORTED */
} named_call;

static const named_call calls[] = {
    {"pool_create", call_pool_create, NO_OPERATION, 0},
    {"source_copy", call_source_copy, NO_OPERATION, 0},
    {"source_borrow", call_source_borrow, NO_OPERATION, 0},
    {"source_open_file", call_source_open_file, NO_OPERATION, 0},
    {"source_open_fd", call_source_open_fd, NO_OPERATION, 0},
    {"source_from_callback", call_source_from_callback, NO_OPERATION, 0},
    {"source_range", call_source_range, NO_OPERATION, 0},
    {"source_concat", call_source_concat, NO_OPERATION, 0},
    {"projection_create", call_projection_create, ALL, 0},
    {"projection_get_info", call_projection_get_info, NO_OPERATION, 0},
    {"projection_root", call_projection_root, ALL, 0},
    {"projection_get_tile", call_projection_get_tile, NO_OPERATION, 0},
    {"projection_snapshot", call_projection_snapshot, NO_OPERATION, 0},
    {"projection_read", call_projection_read, NO_OPERATION, ATLAS_FEATURE_CONTAINER},
    {"projection_verify", call_projection_verify, STATE | CANCELLED, 0},
    {"projection_write_file", call_projection_write_file, ALL, 0},
    {"projection_transform", call_projection_transform, NO_OPERATION, 0},
    {"projection_tile_bounds", call_projection_tile_bounds, NO_OPERATION, 0},
    {"projection_tile_at", call_projection_tile_at, NO_OPERATION, 0},
    {"shard_extract", call_shard_extract, ALL, 0},
    {"shard_extract_batch", call_shard_extract_batch, ALL, 0},
    {"shard_extract_classes", call_shard_extract_classes, ALL, 0},
    {"shard_read", call_shard_read, NO_OPERATION, 0},
    {"shard_verify", call_shard_verify, ALL, 0},
    {"shard_serialize", call_shard_serialize, NO_OPERATION, 0},
    {"shard_deserialize", call_shard_deserialize, ALL, 0},
    {"reconstruction_create", call_reconstruction_create, NO_OPERATION, 0},
    {"reconstruction_add", call_reconstruction_add, ALL, 0},
    {"reconstruction_missing", call_reconstruction_missing, NO_OPERATION, 0},
    {"reconstruction_finish", call_reconstruction_finish, ALL, 0},
    {"stream_project", call_stream_project, ALL, ATLAS_FEATURE_STREAMING},
    {"stream_open", call_stream_open, STATE | LIMIT, ATLAS_FEATURE_STREAMING},
    {"stream_open_push", call_stream_open_push, STATE | LIMIT, ATLAS_FEATURE_STREAMING},
    {"stream_push", call_stream_push, STATE | LIMIT, ATLAS_FEATURE_STREAMING},
    {"stream_next", call_stream_next, ALL, ATLAS_FEATURE_STREAMING},
    {"stream_finish", call_stream_finish, ALL, ATLAS_FEATURE_STREAMING},
    {"projection_apply", call_projection_apply, NO_OPERATION, 0},
    {"projection_apply_batch", call_projection_apply_batch, NO_OPERATION, 0},
    {"projection_rollback", call_projection_rollback, NO_OPERATION, 0},
    {"projection_optimize", call_projection_optimize, ALL, 0},
    {"projection_insert_source", call_projection_insert_source, ALL, 0},
    {"shard_compress", call_shard_compress, ALL, ATLAS_FEATURE_COMPRESSION},
    {"shard_decompress", call_shard_decompress, ALL, ATLAS_FEATURE_COMPRESSION},
    {"compressed_shard_read", call_compressed_shard_read, NO_OPERATION, ATLAS_FEATURE_COMPRESSION},
    {"compressed_shard_serialize", call_compressed_shard_serialize, NO_OPERATION, ATLAS_FEATURE_COMPRESSION},
    {"compressed_shard_deserialize", call_compressed_shard_deserialize, NO_OPERATION, ATLAS_FEATURE_COMPRESSION},
    {"compression_manager_create", call_manager_create, NO_OPERATION, ATLAS_FEATURE_COMPRESSION},
    {"compression_manager_compress_batch", call_manager_compress, ALL, ATLAS_FEATURE_COMPRESSION},
    {"compression_manager_decompress_batch", call_manager_decompress, ALL, ATLAS_FEATURE_COMPRESSION},
    {"container_create", call_container_create, STATE, ATLAS_FEATURE_CONTAINER},
    {"container_open", call_container_open, STATE | LIMIT, ATLAS_FEATURE_CONTAINER},
    {"container_open_source", call_container_open_source, STATE | LIMIT, ATLAS_FEATURE_CONTAINER},
    {"container_get_info", call_container_get_info, NO_OPERATION, ATLAS_FEATURE_CONTAINER},
    {"container_get_generation", call_container_get_generation, NO_OPERATION, ATLAS_FEATURE_CONTAINER},
    {"container_get_note", call_container_get_note, NO_OPERATION, ATLAS_FEATURE_CONTAINER},
    {"container_snapshot", call_container_snapshot, STATE, ATLAS_FEATURE_CONTAINER},
    {"container_commit", call_container_commit, ALL, ATLAS_FEATURE_CONTAINER},
    {"container_import", call_container_import, ALL, ATLAS_FEATURE_CONTAINER},
    {"container_set_base", call_container_set_base, NO_OPERATION, ATLAS_FEATURE_CONTAINER},
    {"container_refresh", call_container_refresh, STATE | LIMIT, ATLAS_FEATURE_CONTAINER},
    {"container_compact", call_container_compact, ALL, ATLAS_FEATURE_CONTAINER},
    {"container_find_damage", call_container_find_damage, ALL, ATLAS_FEATURE_CONTAINER},
    {"container_merge", call_container_merge, ALL, ATLAS_FEATURE_CONTAINER},
    {"projection_find_damage", call_projection_find_damage, STATE | CANCELLED, 0},
    {"projection_repair_file", call_projection_repair_file, ALL, 0},
    {"projection_diff", call_projection_diff, ALL, 0},
    {"parity_create", call_parity_create, ALL, ATLAS_FEATURE_PARITY},
    {"parity_open", call_parity_open, STATE, ATLAS_FEATURE_PARITY},
    {"parity_check", call_parity_check, ALL, ATLAS_FEATURE_PARITY},
    {"parity_repair", call_parity_repair, ALL, ATLAS_FEATURE_PARITY},
    {"parity_restore", call_parity_restore, ALL, ATLAS_FEATURE_PARITY},
    {"parity_update", call_parity_update, ALL, ATLAS_FEATURE_PARITY},
    {"benchmark_run", call_benchmark_run, ALL, ATLAS_FEATURE_BENCHMARKS},
};

enum { CALLS = sizeof calls / sizeof calls[0] };

#endif
