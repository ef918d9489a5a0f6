/* Hostile compressed shards through the C API, where cargo-fuzz is not at hand: random edits of true
 * encodings, with size and digest made to fit afterwards, as an attacker would. Each is refused, or
 * gives exactly the shard (of perhaps another region over the same pages).
 *
 *     cc -O1 -std=c17 -Iinclude -Ic_tests fuzz/mutate_compressed.c -o mutate -latlas_manifold
 *     ./mutate [SEED [SECONDS]]
 */
#include "check.h"

#include <time.h>

enum { ALGORITHMS = 4, SEEDS = 4 * ALGORITHMS, ROOM = 1 << 20 };

static atlas_buffer compressed[SEEDS];
static atlas_buffer shards[SEEDS];

static void make_seed(size_t at)
{
    const size_t kind = at / ALGORITHMS;
    const size_t size = kind == 3 ? 9000 : 20000;
    uint8_t *data = random_bytes(size, kind + 1);
    for (size_t i = 0; i + 8 <= size; i += 8) {
        const double value = 1000.0 + (double)i / 3.0;
        const uint64_t number = i * 3;
        if (kind == 0) {
            memcpy(data + i, &value, 8);
        } else if (kind == 1) {
            memcpy(data + i, "a shard of a domain; " + i / 991 % 12, 8);
        } else if (kind == 2 && i < size / 2) {
            memcpy(data + i, &number, 8);
        }
    }
    atlas_projection *projection = projected_bytes(data, size);
    atlas_shard *shard = extracted(projection, kind * 1000, size - kind * 1500);
    atlas_compression_config config;
    atlas_compression_config_init(&config);
    static const uint32_t algorithms[] = {ATLAS_COMPRESSION_DEFLATE, ATLAS_COMPRESSION_CONSERVATION_AWARE,
                                          ATLAS_COMPRESSION_ZSTD, ATLAS_COMPRESSION_LZ4};
    config.algorithm = algorithms[at % ALGORITHMS];
    config.block_size = at % 2 == 0 ? 1048576 : 4096;
    if (config.algorithm >= ATLAS_COMPRESSION_ZSTD) {
        config.filter = kind == 1 ? ATLAS_FILTER_NONE : ATLAS_FILTER_PLANES;
    }
    config.max_compression_ratio = 1.0;
    atlas_compressed_shard *made = NULL;
    CHECK_OK(atlas_shard_compress(shard, &config, NULL, &made));
    CHECK_OK(atlas_compressed_shard_serialize(made, &compressed[at]));
    CHECK_OK(atlas_shard_serialize(shard, &shards[at]));
    atlas_compressed_shard_destroy(made);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

static size_t edit(random_state *random, uint8_t *bytes, size_t len)
{
    /* Half of the edits go where proof and heads are. */
    const size_t near = len < 700 ? len : 700;
    const size_t at = (size_t)random_below(random, random_next(random) % 2 == 0 ? len : near);
    switch (random_below(random, 6)) {
    case 0: bytes[at] ^= (uint8_t)(1U << random_below(random, 8)); break;
    case 1: bytes[at] = (uint8_t)random_next(random); break;
    case 2:
        memmove(bytes + at + 1, bytes + at, len - at);
        bytes[at] = (uint8_t)random_next(random);
        return len + 1;
    case 3: memmove(bytes + at, bytes + at + 1, len - at - 1); return len - 1;
    case 4: return random_below(random, 8) == 0 && at > 24 ? at : len;
    default:
        for (size_t i = at; i < len && i < at + 16; i++) {
            bytes[i] = (uint8_t)random_next(random);
        }
    }
    return len;
}

/* Returns the outcome: if it opened, and if it was the shard. */
static void try_one(const uint8_t *bytes, size_t size, size_t seed, const atlas_operation *operation,
                    uint64_t counts[2])
{
    atlas_compressed_shard *opened = NULL;
    int status = (int)atlas_compressed_shard_deserialize(bytes, size, NULL, &opened);
    CHECK(status != ATLAS_STATUS_INTERNAL);
    if (status != ATLAS_STATUS_OK) {
        return;
    }
    counts[0]++;
    atlas_compressed_info info;
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_compressed_shard_get_info(opened, &info));
    uint8_t part[3000];
    const size_t take = info.original_size < sizeof part ? (size_t)info.original_size : sizeof part;
    status = (int)atlas_compressed_shard_read(opened, info.original_size - take, part, take);
    CHECK(status != ATLAS_STATUS_INTERNAL);
    atlas_shard *shard = NULL;
    status = (int)atlas_shard_decompress(opened, NULL, operation, &shard);
    CHECK(status != ATLAS_STATUS_INTERNAL);
    if (status == ATLAS_STATUS_OK) {
        counts[1]++;
        atlas_buffer back = {NULL, 0};
        CHECK_OK(atlas_shard_serialize(shard, &back));
        CHECK_EQ(back.size, shards[seed].size);
        /* All but REGION, at 128, and the digest at the end. */
        CHECK(memcmp(back.data, shards[seed].data, 128) == 0);
        CHECK(memcmp(back.data + 144, shards[seed].data + 144, back.size - 176) == 0);
        atlas_buffer_free(&back);
        atlas_shard_destroy(shard);
    }
    atlas_compressed_shard_destroy(opened);
}

int main(int argc, char **argv)
{
    random_state random = {argc > 1 ? strtoull(argv[1], NULL, 10) : 1};
    const time_t end = time(NULL) + (argc > 2 ? atoi(argv[2]) : 60);
    atlas_pool *one = NULL;
    CHECK_OK(atlas_pool_create(1, &one));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = one;
    for (size_t i = 0; i < SEEDS; i++) {
        make_seed(i);
    }
    uint8_t *bytes = (uint8_t *)malloc(ROOM);
    CHECK(bytes != NULL);
    uint64_t runs = 0;
    uint64_t counts[2] = {0, 0};
    while (runs % 256 != 0 || time(NULL) < end) {
        const size_t seed = (size_t)random_below(&random, SEEDS);
        size_t len = compressed[seed].size - 32;
        memcpy(bytes, compressed[seed].data, len);
        for (uint64_t edits = 1 + random_below(&random, 4); edits > 0; edits--) {
            len = edit(&random, bytes, len);
        }
        const uint64_t total = len + 32;
        for (size_t i = 0; i < 8; i++) {
            bytes[16 + i] = (uint8_t)(total >> 8 * i);
        }
        atlas_digest256(bytes, len, bytes + len);
        try_one(bytes, len + 32, seed, &operation, counts);
        runs++;
    }
    printf("%llu encodings, %llu opened, %llu were the shard\n", (unsigned long long)runs,
           (unsigned long long)counts[0], (unsigned long long)counts[1]);
    return 0;
}
