/* Streaming, compression, parity and incremental updates with every pointer NULL in turn, as null_all.c does
 * for the core, of the parts built in: a refusal that names it, out-parameters emptied, nothing changed. */
#include "check.h"

static uint8_t data[100] = {1, 2, 3};
static int somewhere;

/* Something that is not NULL, so that it shows when it is not set. */
#define JUNK(type) ((type *)(void *)&somewhere)

#define REFUSED(call)                                      \
    do {                                                   \
        CHECK_STATUS(call, ATLAS_STATUS_INVALID_ARGUMENT); \
        CHECK_SAYS("NULL");                                \
    } while (0)

static void incremental(atlas_projection *projection, const atlas_source *source)
{
    const atlas_delta delta = {.type = ATLAS_CHANGE_INSERT, .data = "x", .data_size = 1};
    const atlas_delta dataless = {.type = ATLAS_CHANGE_INSERT, .data_size = 1};
    atlas_incremental_stats stats = {.struct_size = sizeof stats, .total_updates = 77};
    atlas_projection_info before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
    CHECK_OK(atlas_projection_get_info(projection, &before));

    atlas_incremental_config_init(NULL);
    REFUSED(atlas_projection_configure_incremental(NULL, NULL));
    REFUSED(atlas_projection_apply(NULL, &delta));
    REFUSED(atlas_projection_apply(projection, NULL));
    REFUSED(atlas_projection_apply(projection, &dataless));
    REFUSED(atlas_projection_apply_batch(NULL, &delta, 1));
    REFUSED(atlas_projection_apply_batch(projection, NULL, 1));
    REFUSED(atlas_projection_insert_source(NULL, 0, source, NULL));
    REFUSED(atlas_projection_insert_source(projection, 0, NULL, NULL));
    REFUSED(atlas_projection_rollback(NULL, 1));
    REFUSED(atlas_projection_get_incremental_stats(projection, NULL));
    REFUSED(atlas_projection_get_incremental_stats(NULL, &stats));
    CHECK(stats.total_updates == 0);
    REFUSED(atlas_projection_optimize(NULL, NULL));
    CHECK(atlas_projection_history_len(NULL) == 0);

    CHECK(atlas_projection_history_len(projection) == 0);
    CHECK_OK(atlas_projection_get_info(projection, &after));
    CHECK(after.domain_size == before.domain_size && after.residue == before.residue);
    CHECK_OK(atlas_projection_apply_batch(projection, NULL, 0));
}

static void streaming(const atlas_source *source)
{
    atlas_stream *stream = JUNK(atlas_stream);
    atlas_projection *projection = JUNK(atlas_projection);
    atlas_chunk chunk = {.struct_size = sizeof chunk, .size = 77};
    atlas_progress progress = {.struct_size = sizeof progress, .bytes_done = 77};
    bool has_chunk = true;

    atlas_stream_config_init(NULL);
    atlas_stream_destroy(NULL);
    REFUSED(atlas_stream_project(ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, NULL, &projection));
    CHECK(projection == NULL);
    REFUSED(atlas_stream_project(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, NULL, NULL));
    REFUSED(atlas_stream_open(ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, NULL, &stream));
    CHECK(stream == NULL);
    REFUSED(atlas_stream_open(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, NULL, NULL));
    REFUSED(atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, NULL, NULL));
    REFUSED(atlas_stream_push(NULL, data, 1));
    REFUSED(atlas_stream_next(NULL, &chunk, &has_chunk));
    CHECK(chunk.size == 0 && !has_chunk);
    REFUSED(atlas_stream_get_progress(NULL, &progress));
    CHECK(progress.bytes_done == 0);
    CHECK(!atlas_stream_is_complete(NULL));
    projection = JUNK(atlas_projection);
    REFUSED(atlas_stream_finish(NULL, &projection));
    CHECK(projection == NULL);

    CHECK_OK(atlas_stream_open(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, NULL, &stream));
    has_chunk = true;
    REFUSED(atlas_stream_next(stream, NULL, &has_chunk));
    CHECK(!has_chunk);
    REFUSED(atlas_stream_next(stream, &chunk, NULL));
    REFUSED(atlas_stream_get_progress(stream, NULL));
    REFUSED(atlas_stream_finish(stream, NULL));
    atlas_stream_destroy(stream);

    CHECK_OK(atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, NULL, &stream));
    REFUSED(atlas_stream_push(stream, NULL, 1));
    atlas_stream_destroy(stream);
}

static void compression(const atlas_shard *shard)
{
    atlas_compressed_shard *compressed = NULL, *packed = JUNK(atlas_compressed_shard);
    atlas_shard *plain = JUNK(atlas_shard);
    atlas_compression_manager *manager = JUNK(atlas_compression_manager);
    atlas_compressed_info info = {.struct_size = sizeof info, .original_size = 77};
    atlas_compression_stats stats = {.struct_size = sizeof stats, .original_bytes = 77};
    atlas_buffer buffer = {data, sizeof data};
    const atlas_shard *shards[] = {shard, NULL};
    const atlas_compressed_shard *some[] = {NULL};
    atlas_compressed_shard *packed_out[] = {JUNK(atlas_compressed_shard), JUNK(atlas_compressed_shard)};
    atlas_shard *plain_out[] = {JUNK(atlas_shard)};

    atlas_compression_config_init(NULL);
    atlas_compressed_shard_destroy(NULL);
    atlas_compression_manager_destroy(NULL);
    CHECK_OK(atlas_shard_compress(shard, NULL, NULL, &compressed));
    REFUSED(atlas_shard_compress(NULL, NULL, NULL, &packed));
    CHECK(packed == NULL);
    REFUSED(atlas_shard_compress(shard, NULL, NULL, NULL));
    REFUSED(atlas_shard_decompress(NULL, NULL, NULL, &plain));
    CHECK(plain == NULL);
    REFUSED(atlas_shard_decompress(compressed, NULL, NULL, NULL));
    REFUSED(atlas_compressed_shard_read(NULL, 0, data, 1));
    REFUSED(atlas_compressed_shard_read(compressed, 0, NULL, 1));
    CHECK_OK(atlas_compressed_shard_read(compressed, 0, NULL, 0));
    REFUSED(atlas_compressed_shard_get_info(NULL, &info));
    CHECK(info.original_size == 0);
    REFUSED(atlas_compressed_shard_get_info(compressed, NULL));
    REFUSED(atlas_compressed_shard_serialize(NULL, &buffer));
    CHECK(buffer.data == NULL && buffer.size == 0);
    REFUSED(atlas_compressed_shard_serialize(compressed, NULL));
    packed = JUNK(atlas_compressed_shard);
    REFUSED(atlas_compressed_shard_deserialize(NULL, 10, NULL, &packed));
    CHECK(packed == NULL);
    REFUSED(atlas_compressed_shard_deserialize(data, 10, NULL, NULL));

    REFUSED(atlas_compression_manager_create(NULL, NULL));
    CHECK_OK(atlas_compression_manager_create(NULL, &manager));
    REFUSED(atlas_compression_manager_compress_batch(manager, shards, 2, NULL, packed_out));
    CHECK(packed_out[0] == NULL && packed_out[1] == NULL);
    REFUSED(atlas_compression_manager_compress_batch(manager, NULL, 1, NULL, packed_out));
    REFUSED(atlas_compression_manager_compress_batch(manager, shards, 1, NULL, NULL));
    REFUSED(atlas_compression_manager_compress_batch(NULL, shards, 1, NULL, packed_out));
    CHECK_OK(atlas_compression_manager_compress_batch(manager, NULL, 0, NULL, NULL));
    REFUSED(atlas_compression_manager_decompress_batch(manager, some, 1, NULL, NULL, plain_out));
    CHECK(plain_out[0] == NULL);
    REFUSED(atlas_compression_manager_decompress_batch(manager, NULL, 1, NULL, NULL, plain_out));
    REFUSED(atlas_compression_manager_decompress_batch(NULL, some, 1, NULL, NULL, plain_out));
    REFUSED(atlas_compression_manager_get_stats(manager, NULL));
    REFUSED(atlas_compression_manager_get_stats(NULL, &stats));
    CHECK(stats.original_bytes == 0);
    CHECK_OK(atlas_compression_manager_get_stats(manager, &stats));
    CHECK(stats.shards_compressed == 0 && stats.shards_stored == 0);
    atlas_compression_manager_destroy(manager);
    atlas_compressed_shard_destroy(compressed);
}

static void parities(const atlas_source *source)
{
    atlas_parity *parity = JUNK(atlas_parity);
    atlas_parity_info info = {.struct_size = sizeof info, .rows = 77};
    atlas_parity_report report = {.struct_size = sizeof report, .size = 77};
    const char *atp = temp_path("null.atp"), *other = temp_path("other.atp");
    atlas_repair_options options;

    atlas_parity_options_init(NULL);
    atlas_repair_options_init(NULL);
    atlas_parity_destroy(NULL);
    REFUSED(atlas_parity_create(NULL, atp, NULL, NULL));
    REFUSED(atlas_parity_create(source, NULL, NULL, NULL));
    CHECK_OK(atlas_parity_create(source, atp, NULL, NULL));
    REFUSED(atlas_parity_open(NULL, NULL, NULL, &parity));
    CHECK(parity == NULL);
    REFUSED(atlas_parity_open(atp, NULL, NULL, NULL));
    CHECK_OK(atlas_parity_open(atp, NULL, NULL, &parity));
    REFUSED(atlas_parity_get_info(NULL, &info));
    CHECK(info.rows == 0);
    REFUSED(atlas_parity_get_info(parity, NULL));
    REFUSED(atlas_parity_check(NULL, source, NULL, NULL, NULL, &report));
    CHECK(report.size == 0);
    REFUSED(atlas_parity_check(parity, NULL, NULL, NULL, NULL, NULL));
    CHECK_OK(atlas_parity_check(parity, source, NULL, NULL, NULL, NULL));
    atlas_repair_options_init(&options);
    report.size = 77;
    REFUSED(atlas_parity_repair(NULL, other, &options, NULL, NULL, NULL, &report));
    CHECK(report.size == 0);
    options.other_path = other;
    REFUSED(atlas_parity_repair(NULL, other, &options, NULL, NULL, NULL, NULL));
    REFUSED(atlas_parity_repair(parity, NULL, &options, NULL, NULL, NULL, NULL));
    REFUSED(atlas_parity_repair(parity, atp, NULL, NULL, NULL, NULL, NULL)); /* other_path is NULL */
    REFUSED(atlas_parity_restore(NULL, source, other, NULL));
    REFUSED(atlas_parity_restore(parity, NULL, other, NULL));
    REFUSED(atlas_parity_restore(parity, source, NULL, NULL));
    REFUSED(atlas_parity_update(NULL, source, NULL, 0, other, NULL, NULL));
    REFUSED(atlas_parity_update(parity, NULL, NULL, 0, other, NULL, NULL));
    REFUSED(atlas_parity_update(parity, source, NULL, 0, NULL, NULL, NULL));
    CHECK(!exists(other));
    CHECK_OK(atlas_parity_update(parity, source, NULL, 1, other, NULL, NULL));
    CHECK(exists(other));
    atlas_parity_destroy(parity);
}

int main(void)
{
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;
    atlas_shard *shard = NULL;
    const atlas_region all = {0, sizeof data};
    CHECK_OK(atlas_source_copy(data, sizeof data, &source));
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection));
    CHECK_OK(atlas_shard_extract(projection, &all, NULL, &shard));
    if (built_in(ATLAS_FEATURE_STREAMING)) {
        streaming(source);
    }
    if (built_in(ATLAS_FEATURE_COMPRESSION)) {
        compression(shard);
    }
    if (built_in(ATLAS_FEATURE_PARITY)) {
        parities(source);
    }
    incremental(projection, source);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    return 0;
}
