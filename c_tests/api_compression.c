/* Compression: configurations, exact round trips, parts, damage, storing, batches, statistics. */
#include "check.h"

#include <pthread.h>

static const uint8_t key[32] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 10, 11, 12, 13, 14, 15, 16,
                                17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};

static atlas_compressed_info info_of(const atlas_compressed_shard *compressed)
{
    atlas_compressed_info info;
    memset(&info, 0xA5, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_compressed_shard_get_info(compressed, &info));
    return info;
}

static atlas_compressed_info info_of_bytes(const atlas_buffer *bytes)
{
    atlas_compressed_shard *compressed = NULL;
    CHECK_OK(atlas_compressed_shard_deserialize(bytes->data, bytes->size, NULL, &compressed));
    const atlas_compressed_info info = info_of(compressed);
    atlas_compressed_shard_destroy(compressed);
    return info;
}

static atlas_compression_stats stats_of(const atlas_compression_manager *manager)
{
    atlas_compression_stats stats;
    memset(&stats, 0xA5, sizeof stats);
    stats.struct_size = (uint32_t)sizeof stats;
    CHECK_OK(atlas_compression_manager_get_stats(manager, &stats));
    return stats;
}

static atlas_compression_config defaults(void)
{
    atlas_compression_config config;
    memset(&config, 0xA5, sizeof config);
    atlas_compression_config_init(&config);
    return config;
}

static atlas_compressed_shard *compressed_with(const atlas_shard *shard,
                                               const atlas_compression_config *config)
{
    atlas_compressed_shard *compressed = NULL;
    CHECK_OK(atlas_shard_compress(shard, config, NULL, &compressed));
    CHECK(compressed != NULL);
    return compressed;
}

static bool same_shards(const atlas_shard *left, const atlas_shard *right)
{
    atlas_buffer a = {NULL, 0};
    atlas_buffer b = {NULL, 0};
    CHECK_OK(atlas_shard_serialize(left, &a));
    CHECK_OK(atlas_shard_serialize(right, &b));
    const bool same = a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
    atlas_buffer_free(&a);
    atlas_buffer_free(&b);
    return same;
}

/* Columns of numbers, lines of text, noise, or zeros. */
static uint8_t *bytes_of(unsigned kind, size_t size)
{
    uint8_t *data = random_bytes(size, 7 + kind);
    if (kind == 0) {
        memset(data, 0, size);
    } else if (kind == 1) {
        for (size_t i = 0; i < size; i++) {
            data[i] = (uint8_t)"a shard of the domain is verified alone\n"[(i + i / 997) % 40];
        }
    } else if (kind == 2) {
        for (size_t i = 0; i + 8 <= size; i += 8) {
            const double value = 1000.0 + (double)(i * i % 1000003) / 3.0;
            memcpy(data + i, &value, 8);
        }
    }
    return data;
}

static void defaults_are_those_of_the_header(void)
{
    const atlas_compression_config config = defaults();
    CHECK_EQ(config.struct_size, sizeof config);
    CHECK_EQ(config.algorithm, ATLAS_COMPRESSION_CONSERVATION_AWARE);
    CHECK_EQ(config.level, ATLAS_COMPRESSION_LEVEL_BALANCED);
    CHECK_EQ(config.min_size_threshold, 1024);
    CHECK(config.max_compression_ratio > 0.89 && config.max_compression_ratio < 0.91);
    CHECK_EQ(config.preserve_conservation, 1);
    CHECK_EQ(config.verify_integrity, 1);
    CHECK_EQ(config.block_size, 131072);
    CHECK_EQ(config.filter, ATLAS_FILTER_AUTO);
    CHECK_EQ(config.target, ATLAS_TARGET_BALANCED);
    CHECK_EQ(config.has_codec_level, 0);
    CHECK_EQ(config.codec_level, 0);
    atlas_compression_config_init(NULL);
    CHECK((atlas_manifold_features() & ATLAS_FEATURE_COMPRESSION) != 0);
}

static void wrong_configurations_are_refused(const atlas_shard *shard)
{
    for (unsigned wrong = 0; wrong < 18; wrong++) {
        atlas_compression_config config = defaults();
        switch (wrong) {
        case 0: config.algorithm = 6; break;
        case 1: config.algorithm = UINT32_MAX; break;
        case 2: config.level = 10; break;
        case 3: config.level = 256; break;
        case 4: config.block_size = 4095; break;
        case 5: config.block_size = 1048577; break;
        case 6: config.max_compression_ratio = -1.0; break;
        case 7: config.struct_size = 0; break;
        case 8: config.filter = ATLAS_FILTER_NONE; break;
        case 9: config.filter = 3; break;
        case 10: config.target = 3; break;
        case 11: config.algorithm = ATLAS_COMPRESSION_DEFLATE, config.filter = ATLAS_FILTER_PLANES; break;
        case 12: config.has_codec_level = 1; break; /* 0 of DEFLATE */
        case 13: config.has_codec_level = 1, config.codec_level = 10; break;
        case 14:
            config.algorithm = ATLAS_COMPRESSION_AUTO;
            config.has_codec_level = 1, config.codec_level = 1;
            break;
        case 15:
            config.algorithm = ATLAS_COMPRESSION_ZSTD;
            config.has_codec_level = 1, config.codec_level = 20;
            break;
        case 16:
            config.algorithm = ATLAS_COMPRESSION_LZ4;
            config.has_codec_level = 1, config.codec_level = 2;
            break;
        default: config.struct_size = (uint32_t)sizeof config - 1; break;
        }
        atlas_compressed_shard *compressed = (atlas_compressed_shard *)&config;
        CHECK_STATUS(atlas_shard_compress(shard, &config, NULL, &compressed),
                     ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK(compressed == NULL);
        atlas_compression_manager *manager = (atlas_compression_manager *)&config;
        CHECK_STATUS(atlas_compression_manager_create(&config, &manager),
                     ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK(manager == NULL);
    }
    /* An older caller, who knows two fields. */
    atlas_compression_config old = defaults();
    old.struct_size = 8;
    old.algorithm = ATLAS_COMPRESSION_DEFLATE;
    old.level = 77;
    atlas_compressed_shard *compressed = compressed_with(shard, &old);
    CHECK_EQ(info_of(compressed).level, 6);
    atlas_compressed_shard_destroy(compressed);
}

static void check_reads(const atlas_compressed_shard *compressed, const uint8_t *data, size_t size)
{
    uint8_t buffer[5000];
    random_state random = {size};
    for (size_t i = 0; i < 20; i++) {
        const size_t offset = (size_t)random_below(&random, size + 1);
        size_t take = (size_t)random_below(&random, sizeof buffer);
        take = take > size - offset ? size - offset : take;
        memset(buffer, 0xEE, sizeof buffer);
        CHECK_OK(atlas_compressed_shard_read(compressed, offset, buffer, take));
        CHECK(memcmp(buffer, data + offset, take) == 0);
        CHECK(all_bytes(buffer + take, sizeof buffer - take, 0xEE));
    }
    CHECK_OK(atlas_compressed_shard_read(compressed, size, NULL, 0));
    CHECK_STATUS(atlas_compressed_shard_read(compressed, size, buffer, 1), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_EQ(last_error().offset, size);
    CHECK_STATUS(atlas_compressed_shard_read(compressed, UINT64_MAX, buffer, 2),
                 ATLAS_STATUS_OUT_OF_RANGE);
}

static bool is_built_in(uint32_t algorithm)
{
    const uint64_t features = atlas_manifold_features();
    return (algorithm != ATLAS_COMPRESSION_ZSTD || (features & ATLAS_FEATURE_ZSTD) != 0) &&
           (algorithm != ATLAS_COMPRESSION_LZ4 || (features & ATLAS_FEATURE_LZ4) != 0);
}

/* A codec that is not built in is so for compression, for a manager and for bytes that name it. */
static void what_is_not_built_in_is_unsupported(void)
{
    const size_t size = 5000;
    uint8_t *data = bytes_of(1, size);
    atlas_projection *projection = projected_bytes(data, size);
    atlas_shard *shard = extracted(projection, 0, size);
    for (uint32_t algorithm = ATLAS_COMPRESSION_ZSTD; algorithm <= ATLAS_COMPRESSION_LZ4; algorithm++) {
        if (is_built_in(algorithm)) {
            continue;
        }
        atlas_compression_config config = defaults();
        config.algorithm = algorithm;
        atlas_compressed_shard *compressed = NULL;
        CHECK_STATUS(atlas_shard_compress(shard, &config, NULL, &compressed), ATLAS_STATUS_UNSUPPORTED);
        atlas_compression_manager *manager = NULL;
        CHECK_STATUS(atlas_compression_manager_create(&config, &manager), ATLAS_STATUS_UNSUPPORTED);
        CHECK(compressed == NULL && manager == NULL);
        CHECK_OK(atlas_shard_compress(shard, NULL, NULL, &compressed));
        atlas_buffer bytes = {NULL, 0};
        CHECK_OK(atlas_compressed_shard_serialize(compressed, &bytes));
        atlas_compressed_shard_destroy(compressed);
        /* The value of COMPRESSION is before DATA, which is before the digest. */
        const size_t blocks = bytes.size - 32 - 16 - (size_t)info_of_bytes(&bytes).compressed_size + 12;
        bytes.data[blocks - 12 - 16] = (uint8_t)algorithm;
        atlas_digest256(bytes.data, bytes.size - 32, bytes.data + bytes.size - 32);
        CHECK_STATUS(atlas_compressed_shard_deserialize(bytes.data, bytes.size, NULL, &compressed),
                     ATLAS_STATUS_UNSUPPORTED);
        atlas_buffer_free(&bytes);
    }
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

/* Levels of the codec, filters and targets, as the info tells of them. */
static void codecs_take_their_own_levels_and_filters(void)
{
    const size_t size = 300000;
    static const struct {
        int32_t own;
        uint32_t level;
    } levels[] = {{-7, 1}, {0, 3}, {1, 1}, {4, 3}, {6, 4}, {9, 6}, {11, 7}, {19, 9}};
    for (unsigned kind = 1; kind < 3; kind++) {
        uint8_t *data = bytes_of(kind, size);
        atlas_projection *projection = projected_bytes(data, size);
        atlas_shard *shard = extracted(projection, 0, size);
        for (size_t i = 0; is_built_in(ATLAS_COMPRESSION_ZSTD) && i < sizeof levels / sizeof levels[0]; i++) {
            atlas_compression_config config = defaults();
            config.algorithm = ATLAS_COMPRESSION_ZSTD;
            config.level = 77; /* does not count */
            config.has_codec_level = 1;
            config.codec_level = levels[i].own;
            config.max_compression_ratio = 1.0;
            atlas_compressed_shard *compressed = compressed_with(shard, &config);
            CHECK_EQ(info_of(compressed).algorithm, ATLAS_COMPRESSION_ZSTD);
            CHECK_EQ(info_of(compressed).level, levels[i].level);
            check_reads(compressed, data, size);
            atlas_compressed_shard_destroy(compressed);
        }
        for (uint32_t algorithm = ATLAS_COMPRESSION_ZSTD; algorithm <= ATLAS_COMPRESSION_AUTO; algorithm++) {
            for (uint32_t filter = 0; is_built_in(algorithm) && filter < 3; filter++) {
                atlas_compression_config config = defaults();
                config.algorithm = algorithm;
                config.filter = filter;
                config.max_compression_ratio = 1.0;
                atlas_compressed_shard *compressed = NULL;
                const atlas_status status = atlas_shard_compress(shard, &config, NULL, &compressed);
                if (algorithm == ATLAS_COMPRESSION_AUTO && filter != ATLAS_FILTER_AUTO &&
                    !is_built_in(ATLAS_COMPRESSION_ZSTD) && !is_built_in(ATLAS_COMPRESSION_LZ4)) {
                    CHECK_EQ(status, ATLAS_STATUS_UNSUPPORTED);
                    continue;
                }
                CHECK_OK(status);
                const atlas_compressed_info info = info_of(compressed);
                CHECK(info.algorithm != ATLAS_COMPRESSION_AUTO);
                CHECK_EQ(info.reserved, 0);
                /* Doubles have planes of stride 8 or none, text has none. */
                const bool planes = (info.filters & ~1u) != 0;
                CHECK(info.filters != 0 && info.filters < 256);
                CHECK(!planes || (kind == 2 && filter != ATLAS_FILTER_NONE));
                if (kind == 2 && filter != ATLAS_FILTER_NONE) {
                    CHECK((info.filters & 8u) != 0);
                }
                check_reads(compressed, data, size);
                atlas_compressed_shard_destroy(compressed);
            }
        }
        for (uint32_t target = 0; target < 3; target++) {
            atlas_compression_config config = defaults();
            config.algorithm = ATLAS_COMPRESSION_AUTO;
            config.target = target;
            atlas_compressed_shard *compressed = compressed_with(shard, &config);
            const uint32_t chosen = info_of(compressed).algorithm;
            if (target == ATLAS_TARGET_FASTEST_READ && is_built_in(ATLAS_COMPRESSION_LZ4)) {
                CHECK_EQ(chosen, ATLAS_COMPRESSION_LZ4);
            }
            if (target == ATLAS_TARGET_SMALLEST && is_built_in(ATLAS_COMPRESSION_ZSTD)) {
                CHECK(chosen != ATLAS_COMPRESSION_LZ4);
            }
            check_reads(compressed, data, size);
            atlas_compressed_shard_destroy(compressed);
        }
        atlas_shard_destroy(shard);
        atlas_projection_destroy(projection);
        free(data);
    }
}

static void every_algorithm_gives_back_exactly_the_shard(void)
{
    const size_t sizes[] = {0, 1, 1023, 1024, 4097, 131071, 131073, TILE + 4099};
    for (size_t at = 0; at < sizeof sizes / sizeof sizes[0]; at++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            const size_t size = sizes[at];
            if (small_run() && size > 4097 && kind != 2) {
                continue;
            }
            uint8_t *data = bytes_of(kind, size);
            atlas_projection *projection = projected_bytes(data, size);
            atlas_shard *shard = extracted(projection, 0, size);
            for (uint32_t algorithm = 0; algorithm <= ATLAS_COMPRESSION_LZ4; algorithm++) {
                if (!is_built_in(algorithm)) {
                    continue;
                }
                atlas_compression_config config = defaults();
                config.algorithm = algorithm;
                config.block_size = kind % 2 == 0 ? 131072 : 5000;
                atlas_compressed_shard *compressed = compressed_with(shard, &config);
                const atlas_compressed_info info = info_of(compressed);
                CHECK_EQ(info.original_size, size);
                CHECK_EQ(info.residue, residue_of(data, size));
                CHECK(info.algorithm == algorithm || info.algorithm == ATLAS_COMPRESSION_NONE);
                if (algorithm == ATLAS_COMPRESSION_NONE || size < 1024 || kind == 3) {
                    CHECK_EQ(info.algorithm, ATLAS_COMPRESSION_NONE);
                    CHECK(info.compressed_size <= size + 64 * (size / TILE + 1));
                } else {
                    CHECK_EQ(info.algorithm, algorithm);
                    CHECK_EQ(info.level, 6);
                    CHECK(info.compressed_size * 10 <= size * 9);
                }
                check_reads(compressed, data, size);
                atlas_buffer bytes = {NULL, 0};
                CHECK_OK(atlas_compressed_shard_serialize(compressed, &bytes));
                atlas_compressed_shard *arrived = NULL;
                CHECK_OK(atlas_compressed_shard_deserialize(bytes.data, bytes.size, NULL, &arrived));
                atlas_buffer_free(&bytes);
                check_reads(arrived, data, size);
                atlas_shard *back = NULL;
                CHECK_OK(atlas_shard_decompress(arrived, NULL, NULL, &back));
                CHECK(same_shards(shard, back));
                atlas_shard_destroy(back);
                CHECK_OK(atlas_shard_decompress(compressed, NULL, NULL, &back));
                CHECK(same_shards(shard, back));
                atlas_shard_destroy(back);
                atlas_compressed_shard_destroy(arrived);
                atlas_compressed_shard_destroy(compressed);
            }
            atlas_shard_destroy(shard);
            atlas_projection_destroy(projection);
            free(data);
        }
    }
}

static void damage_and_limits_are_refused(void)
{
    /* Another region over the same pages is another shard, and a true one. Before the value of REGION are
     * the header, ROOT and DOMAIN. */
    enum { REGION = 24 + (16 + 32) + (16 + 24) + 16 };
    const size_t size = 20000;
    uint8_t *data = bytes_of(2, size);
    atlas_projection *projection = projected_bytes(data, size);
    atlas_shard *shard = extracted(projection, 5000, 3000);
    atlas_compressed_shard *compressed = compressed_with(shard, NULL);
    atlas_buffer bytes = {NULL, 0};
    CHECK_OK(atlas_compressed_shard_serialize(compressed, &bytes));
    atlas_compressed_shard *arrived = NULL;
    for (size_t i = 0; i < bytes.size; i += small_run() ? 37 : 1) {
        bytes.data[i] ^= 0x40;
        CHECK(atlas_compressed_shard_deserialize(bytes.data, bytes.size, NULL, &arrived) != 0);
        CHECK(arrived == NULL);
        /* With a digest that fits, as who tampers on purpose would: an error, or the shard. */
        if (i + 32 < bytes.size && (i < REGION || i >= REGION + 16)) {
            uint8_t digest[32];
            memcpy(digest, bytes.data + bytes.size - 32, 32);
            atlas_digest256(bytes.data, bytes.size - 32, bytes.data + bytes.size - 32);
            if (atlas_compressed_shard_deserialize(bytes.data, bytes.size, NULL, &arrived) == 0) {
                atlas_shard *back = NULL;
                if (atlas_shard_decompress(arrived, NULL, NULL, &back) == 0) {
                    CHECK(same_shards(shard, back));
                    atlas_shard_destroy(back);
                } else {
                    CHECK(back == NULL);
                }
                atlas_compressed_shard_destroy(arrived);
            }
            memcpy(bytes.data + bytes.size - 32, digest, 32);
        }
        bytes.data[i] ^= 0x40;
        CHECK_STATUS(atlas_compressed_shard_deserialize(bytes.data, i, NULL, &arrived),
                     ATLAS_STATUS_FORMAT);
    }
    atlas_limits limits;
    atlas_limits_init(&limits);
    limits.max_payload_size = 4095;
    CHECK_STATUS(atlas_compressed_shard_deserialize(bytes.data, bytes.size, &limits, &arrived),
                 ATLAS_STATUS_LIMIT);
    CHECK(arrived == NULL);
    /* The two kinds are told apart. */
    atlas_shard *wrong = NULL;
    CHECK_STATUS(atlas_shard_deserialize(bytes.data, bytes.size, NULL, NULL, NULL, &wrong),
                 ATLAS_STATUS_UNSUPPORTED);
    atlas_buffer_free(&bytes);
    uint8_t root[32] = {1};
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.expected_root = root;
    CHECK_STATUS(atlas_shard_decompress(compressed, &verify, NULL, &wrong), ATLAS_STATUS_WITNESS);
    root_of(projection, root);
    CHECK_OK(atlas_shard_decompress(compressed, &verify, NULL, &wrong));
    atlas_shard_destroy(wrong);
    verify.key = key;
    CHECK_STATUS(atlas_shard_decompress(compressed, &verify, NULL, &wrong), ATLAS_STATUS_WITNESS);
    CHECK(wrong == NULL);
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.memory_limit = 100;
    CHECK_STATUS(atlas_shard_decompress(compressed, NULL, &operation, &wrong), ATLAS_STATUS_LIMIT);
    wrong_configurations_are_refused(shard);
    atlas_compressed_shard_destroy(compressed);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

static void keyed_shards_need_their_key(void)
{
    const size_t size = 50000;
    uint8_t *data = bytes_of(1, size);
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    atlas_source *source = borrowed(data, size);
    atlas_projection *projection = projected(source, &options);
    atlas_source_destroy(source);
    atlas_shard *shard = extracted(projection, 0, size);
    atlas_compressed_shard *compressed = compressed_with(shard, NULL);
    atlas_shard *back = NULL;
    CHECK_STATUS(atlas_shard_decompress(compressed, NULL, NULL, &back), ATLAS_STATUS_WITNESS);
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.key = key;
    CHECK_OK(atlas_shard_decompress(compressed, &verify, NULL, &back));
    CHECK(same_shards(shard, back));
    atlas_shard_destroy(back);
    atlas_compressed_shard_destroy(compressed);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

static bool stop_at_once(const atlas_progress *progress, void *user_data)
{
    (void)progress;
    ++*(unsigned *)user_data;
    return false;
}

static void batches_are_all_or_nothing_and_counted(void)
{
    enum { COUNT = 6 };
    const size_t size = small_run() ? 40000 : 700000;
    atlas_shard *shards[COUNT] = {NULL};
    atlas_compressed_shard *compressed[COUNT] = {NULL};
    atlas_shard *back[COUNT] = {NULL};
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t *data = bytes_of(i % 4, size);
        atlas_projection *projection = projected_bytes(data, size);
        shards[i] = extracted(projection, 0, i == 5 ? 100 : size);
        atlas_projection_destroy(projection);
        free(data);
    }
    atlas_compression_manager *manager = NULL;
    CHECK_OK(atlas_compression_manager_create(NULL, &manager));
    CHECK_EQ(stats_of(manager).compression_operations, 0);
    CHECK(stats_of(manager).average_ratio > 0.99 && stats_of(manager).average_ratio < 1.01);
    atlas_operation operation;
    atlas_operation_init(&operation);
    unsigned calls = 0;
    operation.progress = stop_at_once;
    operation.user_data = &calls;
    CHECK_STATUS(atlas_compression_manager_compress_batch(
                     manager, (const atlas_shard *const *)shards, COUNT, &operation, compressed),
                 ATLAS_STATUS_CANCELLED);
    CHECK_EQ(calls, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK(compressed[i] == NULL);
    }
    CHECK_EQ(stats_of(manager).compression_operations, 0);
    CHECK_OK(atlas_compression_manager_compress_batch(manager, (const atlas_shard *const *)shards,
                                                      COUNT, NULL, compressed));
    const atlas_compression_stats stats = stats_of(manager);
    CHECK_EQ(stats.compression_operations, COUNT);
    CHECK_EQ(stats.shards_compressed, 4);
    CHECK_EQ(stats.shards_stored, 2);
    CHECK_EQ(stats.original_bytes, 5 * size + 100);
    CHECK_EQ(stats.saved_bytes, stats.original_bytes - stats.compressed_bytes);
    CHECK(stats.average_ratio < 0.9);
    /* Alone and on one thread the bytes are the same. */
    atlas_pool *one = NULL;
    CHECK_OK(atlas_pool_create(1, &one));
    atlas_operation_init(&operation);
    operation.pool = one;
    for (unsigned i = 0; i < COUNT; i++) {
        atlas_compressed_shard *alone = NULL;
        CHECK_OK(atlas_shard_compress(shards[i], NULL, &operation, &alone));
        atlas_buffer a = {NULL, 0};
        atlas_buffer b = {NULL, 0};
        CHECK_OK(atlas_compressed_shard_serialize(alone, &a));
        CHECK_OK(atlas_compressed_shard_serialize(compressed[i], &b));
        CHECK(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
        atlas_buffer_free(&a);
        atlas_buffer_free(&b);
        atlas_compressed_shard_destroy(alone);
    }
    CHECK_OK(atlas_compression_manager_decompress_batch(
        manager, (const atlas_compressed_shard *const *)compressed, COUNT, NULL, NULL, back));
    CHECK_EQ(stats_of(manager).decompression_operations, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK(same_shards(shards[i], back[i]));
        atlas_shard_destroy(back[i]);
    }
    /* One that is NULL, and a root that only some have. */
    atlas_compressed_shard *missing = compressed[3];
    compressed[3] = NULL;
    CHECK_STATUS(atlas_compression_manager_decompress_batch(
                     manager, (const atlas_compressed_shard *const *)compressed, COUNT, NULL, NULL, back),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_EQ(last_error().index, 3);
    compressed[3] = missing;
    atlas_shard_info info;
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_shard_get_info(shards[0], &info));
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.expected_root = info.root;
    CHECK_STATUS(
        atlas_compression_manager_decompress_batch(
            manager, (const atlas_compressed_shard *const *)compressed, COUNT, &verify, NULL, back),
        ATLAS_STATUS_WITNESS);
    CHECK_EQ(last_error().index, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK(back[i] == NULL);
    }
    CHECK_OK(atlas_compression_manager_compress_batch(manager, NULL, 0, NULL, NULL));
    for (unsigned i = 0; i < COUNT; i++) {
        atlas_compressed_shard_destroy(compressed[i]);
        atlas_shard_destroy(shards[i]);
    }
    atlas_pool_destroy(one);
    atlas_compression_manager_destroy(manager);
    atlas_compression_manager_destroy(NULL);
    atlas_compressed_shard_destroy(NULL);
}

enum { THREADS = 4, ROUNDS = 5, EACH = 3 };

typedef struct shared_manager {
    atlas_compression_manager *manager;
    atlas_shard *shards[EACH];
} shared_manager;

static void *work_with_a_manager(void *argument)
{
    const shared_manager *shared = argument;
    for (unsigned round = 0; round < ROUNDS; round++) {
        atlas_compressed_shard *compressed[EACH] = {NULL};
        atlas_shard *back[EACH] = {NULL};
        CHECK_OK(atlas_compression_manager_compress_batch(
            shared->manager, (const atlas_shard *const *)shared->shards, EACH, NULL, compressed));
        CHECK_OK(atlas_compression_manager_decompress_batch(
            shared->manager, (const atlas_compressed_shard *const *)compressed, EACH, NULL, NULL, back));
        CHECK(stats_of(shared->manager).decompression_operations >= EACH * (round + 1));
        for (unsigned i = 0; i < EACH; i++) {
            CHECK(same_shards(shared->shards[i], back[i]));
            atlas_shard_destroy(back[i]);
            atlas_compressed_shard_destroy(compressed[i]);
        }
    }
    return NULL;
}

static void a_manager_is_used_from_several_threads_at_once(void)
{
    const size_t size = small_run() ? 9000 : 300000;
    shared_manager shared = {NULL, {NULL}};
    CHECK_OK(atlas_compression_manager_create(NULL, &shared.manager));
    for (unsigned i = 0; i < EACH; i++) {
        uint8_t *data = bytes_of(i + 1, size);
        atlas_projection *projection = projected_bytes(data, size);
        shared.shards[i] = extracted(projection, 0, size);
        atlas_projection_destroy(projection);
        free(data);
    }
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, work_with_a_manager, &shared), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    const atlas_compression_stats stats = stats_of(shared.manager);
    CHECK_EQ(stats.compression_operations, THREADS * ROUNDS * EACH);
    CHECK_EQ(stats.decompression_operations, THREADS * ROUNDS * EACH);
    CHECK_EQ(stats.original_bytes, THREADS * ROUNDS * EACH * size);
    for (unsigned i = 0; i < EACH; i++) {
        atlas_shard_destroy(shared.shards[i]);
    }
    atlas_compression_manager_destroy(shared.manager);
}

int main(void)
{
    if ((atlas_manifold_features() & ATLAS_FEATURE_COMPRESSION) == 0) {
        skip("compression is not built in");
    }
    TEST(defaults_are_those_of_the_header);
    TEST(every_algorithm_gives_back_exactly_the_shard);
    TEST(what_is_not_built_in_is_unsupported);
    TEST(codecs_take_their_own_levels_and_filters);
    TEST(damage_and_limits_are_refused);
    TEST(keyed_shards_need_their_key);
    TEST(batches_are_all_or_nothing_and_counted);
    TEST(a_manager_is_used_from_several_threads_at_once);
    return 0;
}
