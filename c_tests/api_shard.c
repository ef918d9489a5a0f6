/* Shards: regions, the one encoding, every kind of damage, limits, trust, batches. */
#include "check.h"

static const uint8_t key[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
                                17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};

static atlas_shard_info info_of(const atlas_shard *shard)
{
    atlas_shard_info info;
    memset(&info, 0xA5, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_shard_get_info(shard, &info));
    return info;
}

static atlas_buffer serialized(const atlas_shard *shard)
{
    atlas_buffer buffer = {NULL, 0};
    CHECK_OK(atlas_shard_serialize(shard, &buffer));
    CHECK(buffer.data != NULL && buffer.size > 24 + 32);
    return buffer;
}

static atlas_shard *deserialized(const void *data, size_t size, const atlas_verify_options *verify)
{
    atlas_shard *shard = NULL;
    CHECK_OK(atlas_shard_deserialize(data, size, NULL, verify, NULL, &shard));
    CHECK(shard != NULL);
    return shard;
}

static int refused(const void *data, size_t size, const atlas_verify_options *verify)
{
    atlas_shard *shard = (atlas_shard *)&size;
    const int status = (int)atlas_shard_deserialize(data, size, NULL, verify, NULL, &shard);
    CHECK(status != ATLAS_STATUS_OK);
    CHECK(shard == NULL);
    return status;
}

/* The digest at the end, made anew, as who tampers on purpose would. */
static void sign(uint8_t *data, size_t size) { atlas_digest256(data, size - 32, data + size - 32); }

static void check_shard(const atlas_shard *shard, const uint8_t *data, size_t size, size_t offset,
                        size_t length, const uint8_t root[32])
{
    const atlas_shard_info info = info_of(shard);
    CHECK_EQ(info.struct_size, sizeof info);
    CHECK_EQ(info.type, ATLAS_PROJECTION_LINEAR);
    CHECK_EQ(info.domain_size, size);
    CHECK_EQ(info.region.offset, offset);
    CHECK_EQ(info.region.length, length);
    CHECK_EQ(info.payload_size, length);
    CHECK_EQ(info.residue, residue_of(data + offset, length));
    CHECK_EQ(info.r96_data_classes, 0);
    CHECK_EQ(info.keyed, 0);
    CHECK(all_bytes(info.class_mask, sizeof info.class_mask, 0));
    CHECK(memcmp(info.root, root, 32) == 0);
    const uint8_t *bytes = NULL;
    size_t count = 99;
    CHECK_OK(atlas_shard_data(shard, &bytes, &count));
    CHECK_EQ(count, length);
    CHECK(length == 0 || memcmp(bytes, data + offset, length) == 0);
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.expected_root = root;
    CHECK_OK(atlas_shard_verify(shard, &verify, NULL));
}

static void check_reads(const atlas_shard *shard, const uint8_t *data, size_t offset, size_t length)
{
    uint8_t buffer[64];
    CHECK_OK(atlas_shard_read(shard, offset, buffer, 0));
    CHECK_OK(atlas_shard_read(shard, offset + length, NULL, 0));
    const size_t take = length < sizeof buffer ? length : sizeof buffer;
    CHECK_OK(atlas_shard_read(shard, offset + length - take, buffer, take));
    CHECK(memcmp(buffer, data + offset + length - take, take) == 0);
    CHECK_OK(atlas_shard_read(shard, offset, buffer, take));
    CHECK(memcmp(buffer, data + offset, take) == 0);
    CHECK_STATUS(atlas_shard_read(shard, offset + length, buffer, 1), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_EQ(last_error().offset, offset + length);
    CHECK_STATUS(atlas_shard_read(shard, UINT64_MAX, buffer, 2), ATLAS_STATUS_OUT_OF_RANGE);
    if (offset > 0) {
        /* The page around the region travels with it, and is no part of it. */
        CHECK_STATUS(atlas_shard_read(shard, offset - 1, buffer, 1), ATLAS_STATUS_OUT_OF_RANGE);
    }
}

static void regions_of_many_places_travel(void)
{
    const size_t size = 3 * TILE + 5000;
    uint8_t *data = random_bytes(size, 41);
    atlas_projection *projection = projected_bytes(data, size);
    uint8_t root[32];
    root_of(projection, root);
    const size_t fixed[][2] = {
        {0, 0},           {0, 1},        {0, PAGE},          {1, PAGE},       {size, 0},
        {size - 1, 1},    {TILE, TILE},  {TILE - 1, 2},      {0, size},       {PAGE - 1, 2},
        {PAGE, PAGE - 1}, {TILE + 5, 0}, {TILE - 1, TILE + 2}, {3 * TILE, 5000}, {3 * TILE + 4096, 904},
        {2 * TILE + 100, TILE}};
    const size_t fixed_count = sizeof fixed / sizeof fixed[0];
    random_state random = {42};
    for (size_t i = 0; i < fixed_count + (small_run() ? 10 : 120); i++) {
        size_t offset = 0;
        size_t length = 0;
        if (i < fixed_count) {
            offset = fixed[i][0];
            length = fixed[i][1];
        } else {
            offset = (size_t)random_below(&random, size + 1);
            length = (size_t)random_below(&random, i % 8 == 0 ? size : 20000);
            length = length > size - offset ? size - offset : length;
        }
        atlas_shard *shard = extracted(projection, offset, length);
        check_shard(shard, data, size, offset, length, root);
        check_reads(shard, data, offset, length);
        atlas_buffer buffer = serialized(shard);
        /* The disclosed bytes around the region are bounded. */
        CHECK(buffer.size >= length && buffer.size <= length + 2 * PAGE + 8192);
        atlas_shard *again = deserialized(buffer.data, buffer.size, NULL);
        check_shard(again, data, size, offset, length, root);
        check_reads(again, data, offset, length);
        atlas_buffer second = serialized(again);
        CHECK(second.size == buffer.size && memcmp(second.data, buffer.data, buffer.size) == 0);
        atlas_buffer_free(&second);
        atlas_buffer_free(&buffer);
        atlas_shard_destroy(again);
        atlas_shard_destroy(shard);
    }
    static const uint64_t outside[][2] = {{0, UINT64_MAX},
                                          {UINT64_MAX, 1},
                                          {UINT64_MAX, UINT64_MAX},
                                          {3 * TILE + 5001, 0},
                                          {3 * TILE + 5000, 1},
                                          {1, 3 * TILE + 5000}};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        const atlas_region region = {outside[i][0], outside[i][1]};
        atlas_shard *shard = (atlas_shard *)&region;
        CHECK_STATUS(atlas_shard_extract(projection, &region, NULL, &shard),
                     ATLAS_STATUS_OUT_OF_RANGE);
        CHECK(shard == NULL);
        CHECK_EQ(last_error().offset, region.offset);
        CHECK_EQ(last_error().length, region.length);
        CHECK_SAYS("3150728");
    }
    atlas_projection_destroy(projection);
    free(data);
}

static void a_shard_outlives_its_projection_and_its_encoding(void)
{
    uint8_t *data = random_bytes(50000, 43);
    uint8_t root[32];
    atlas_projection *projection = projected_bytes(data, 50000);
    root_of(projection, root);
    atlas_shard *shard = extracted(projection, 10000, 30000);
    atlas_projection_destroy(projection);
    atlas_buffer buffer = serialized(shard);
    atlas_shard *again = deserialized(buffer.data, buffer.size, NULL);
    memset(buffer.data, 0xFF, buffer.size);
    atlas_buffer_free(&buffer);
    check_shard(again, data, 50000, 10000, 30000, root);
    atlas_shard_destroy(shard);
    check_shard(again, data, 50000, 10000, 30000, root);
    atlas_shard_destroy(again);
    atlas_shard_destroy(NULL);
    free(data);
}

static void every_flipped_bit_and_every_cut_is_refused(size_t domain, size_t offset, size_t length,
                                                       size_t step)
{
    uint8_t *data = random_bytes(domain, 44);
    atlas_projection *projection = projected_bytes(data, domain);
    atlas_shard *shard = extracted(projection, offset, length);
    atlas_buffer buffer = serialized(shard);
    uint8_t *copy = (uint8_t *)malloc(buffer.size + 1);
    CHECK(copy != NULL);
    memcpy(copy, buffer.data, buffer.size);
    copy[buffer.size] = 0;
    for (size_t bit = 0; bit < 8 * buffer.size; bit += step) {
        copy[bit / 8] = (uint8_t)(copy[bit / 8] ^ 1U << bit % 8);
        const int status = refused(copy, buffer.size, NULL);
        CHECK(status == ATLAS_STATUS_FORMAT || status == ATLAS_STATUS_UNSUPPORTED);
        copy[bit / 8] = (uint8_t)(copy[bit / 8] ^ 1U << bit % 8);
    }
    for (size_t size = 0; size < buffer.size; size += (step + 7) / 8) {
        CHECK(refused(copy, size, NULL) == ATLAS_STATUS_FORMAT);
    }
    CHECK(refused(copy, buffer.size + 1, NULL) == ATLAS_STATUS_FORMAT);
    CHECK(refused(NULL, 0, NULL) == ATLAS_STATUS_FORMAT);
    atlas_shard_destroy(deserialized(copy, buffer.size, NULL));
    /* With a digest that fits again the proof still tells: nothing false gets a handle. */
    size_t accepted = 0;
    for (size_t byte = 0; byte < buffer.size - 32; byte += step) {
        copy[byte] = (uint8_t)(copy[byte] ^ 0x04);
        sign(copy, buffer.size);
        atlas_shard *found = NULL;
        if (atlas_shard_deserialize(copy, buffer.size, NULL, NULL, NULL, &found) ==
            ATLAS_STATUS_OK) {
            /* Only the region may say another place on the same pages. Its bytes are true ones. */
            const atlas_shard_info info = info_of(found);
            const uint8_t *bytes = NULL;
            size_t count = 0;
            CHECK_OK(atlas_shard_data(found, &bytes, &count));
            CHECK(info.region.offset + count <= domain);
            CHECK(memcmp(bytes, data + info.region.offset, count) == 0);
            CHECK(info.residue == residue_of(bytes, count));
            accepted++;
        }
        CHECK((found != NULL) == (last_error().status == ATLAS_STATUS_OK));
        atlas_shard_destroy(found);
        copy[byte] = (uint8_t)(copy[byte] ^ 0x04);
    }
    CHECK(accepted <= 16);
    /* A byte of the payload, which is the last record before the digest. */
    copy[buffer.size - 33] ^= 1;
    sign(copy, buffer.size);
    CHECK(length == 0 || refused(copy, buffer.size, NULL) == ATLAS_STATUS_WITNESS);
    free(copy);
    atlas_buffer_free(&buffer);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

static void lengths_that_lie_cost_nothing(void)
{
    uint8_t *data = random_bytes(20000, 45);
    atlas_projection *projection = projected_bytes(data, 20000);
    atlas_shard *shard = extracted(projection, 0, 20000);
    atlas_buffer buffer = serialized(shard);
    /* Every aligned and unaligned 8 bytes of the head as a huge number. */
    for (size_t at = 8; at < 360 && at + 8 < buffer.size - 32; at++) {
        uint8_t before[8];
        memcpy(before, buffer.data + at, 8);
        memset(buffer.data + at, 0xFF, 8);
        sign(buffer.data, buffer.size);
        (void)refused(buffer.data, buffer.size, NULL);
        buffer.data[at + 7] = 0x7F;
        sign(buffer.data, buffer.size);
        (void)refused(buffer.data, buffer.size, NULL);
        memcpy(buffer.data + at, before, 8);
    }
    sign(buffer.data, buffer.size);
    atlas_shard_destroy(deserialized(buffer.data, buffer.size, NULL));
    atlas_buffer_free(&buffer);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

static void limits_are_kept_exactly(void)
{
    uint8_t *data = random_bytes(2 * TILE, 46);
    atlas_projection *projection = projected_bytes(data, 2 * TILE);
    atlas_shard *shard = extracted(projection, 100, 10000);
    atlas_buffer buffer = serialized(shard);
    const size_t payload = 3 * PAGE;
    size_t proof = 0;
    /* TILES, PAGES and TREE together: the rest beside the fixed parts. */
    proof = buffer.size - 24 - 7 * 16 - (32 + 24 + 16) - payload - 32;
    atlas_limits limits;
    atlas_limits_init(&limits);
    limits.max_payload_size = payload;
    limits.max_proof_size = proof;
    atlas_shard *again = NULL;
    CHECK_OK(atlas_shard_deserialize(buffer.data, buffer.size, &limits, NULL, NULL, &again));
    atlas_shard_destroy(again);
    limits.max_payload_size = payload - 1;
    again = (atlas_shard *)&limits;
    CHECK_STATUS(atlas_shard_deserialize(buffer.data, buffer.size, &limits, NULL, NULL, &again),
                 ATLAS_STATUS_LIMIT);
    CHECK(again == NULL);
    CHECK_SAYS("12288");
    CHECK_SAYS("12287");
    limits.max_payload_size = payload;
    limits.max_proof_size = proof - 1;
    again = (atlas_shard *)&limits;
    CHECK_STATUS(atlas_shard_deserialize(buffer.data, buffer.size, &limits, NULL, NULL, &again),
                 ATLAS_STATUS_LIMIT);
    CHECK(again == NULL);
    atlas_buffer_free(&buffer);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

static void trust_is_a_root_and_a_key(void)
{
    uint8_t *data = random_bytes(TILE + 9, 47);
    atlas_source *source = borrowed(data, TILE + 9);
    atlas_projection *open = projected(source, NULL);
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    atlas_projection *keyed = projected(source, &options);
    uint8_t roots[2][32];
    root_of(open, roots[0]);
    root_of(keyed, roots[1]);
    uint8_t other_key[32];
    memcpy(other_key, key, 32);
    other_key[31] ^= 1;
    uint8_t other_root[32];
    memcpy(other_root, roots[0], 32);
    other_root[0] ^= 0x80;
    const uint8_t *const given_roots[] = {NULL, roots[0], roots[1], other_root};
    const uint8_t *const given_keys[] = {NULL, key, other_key};
    static const size_t lengths[] = {0, 1, 5000, TILE + 9};
    for (size_t which = 0; which < 2; which++) {
        for (size_t l = 0; l < 4; l++) {
            atlas_shard *shard = extracted(which == 0 ? open : keyed, 0, lengths[l]);
            CHECK_EQ(info_of(shard).keyed, which);
            atlas_buffer buffer = serialized(shard);
            for (size_t r = 0; r < 4; r++) {
                for (size_t k = 0; k < 3; k++) {
                    atlas_verify_options verify;
                    atlas_verify_options_init(&verify);
                    verify.expected_root = given_roots[r];
                    verify.key = given_keys[k];
                    const bool good = (r == 0 || r == which + 1) && k == which;
                    const int wanted = good ? ATLAS_STATUS_OK : ATLAS_STATUS_WITNESS;
                    CHECK_STATUS(atlas_shard_verify(shard, &verify, NULL), wanted);
                    atlas_shard *again = (atlas_shard *)&verify;
                    CHECK_STATUS(atlas_shard_deserialize(buffer.data, buffer.size, NULL, &verify,
                                                         NULL, &again),
                                 wanted);
                    CHECK((again != NULL) == good);
                    atlas_shard_destroy(again);
                }
            }
            CHECK_STATUS(atlas_shard_verify(shard, NULL, NULL),
                         which == 0 ? ATLAS_STATUS_OK : ATLAS_STATUS_WITNESS);
            atlas_buffer_free(&buffer);
            atlas_shard_destroy(shard);
        }
    }
    atlas_projection_destroy(keyed);
    atlas_projection_destroy(open);
    atlas_source_destroy(source);
    free(data);
}

enum { REGIONS = 60 };

static void make_regions(atlas_region *regions, size_t size, uint64_t seed)
{
    random_state random = {seed};
    for (size_t i = 0; i < REGIONS; i++) {
        regions[i].offset = random_below(&random, size);
        regions[i].length = random_below(&random, i % 20 == 0 ? size : 30000);
        if (regions[i].length > size - regions[i].offset) {
            regions[i].length = size - regions[i].offset;
        }
    }
    regions[7].length = 0;
    regions[8] = regions[9]; /* one twice */
    regions[10].offset = 0;
    regions[10].length = size;
}

static void check_batch(const atlas_projection *projection, const atlas_region *regions,
                        const atlas_buffer *wanted, const atlas_extract_options *options,
                        const atlas_operation *operation)
{
    atlas_shard *shards[REGIONS + 1];
    memset(shards, 0xA5, sizeof shards);
    atlas_shard *const canary = shards[REGIONS];
    CHECK_OK(atlas_shard_extract_batch(projection, regions, REGIONS, options, operation, shards));
    CHECK(shards[REGIONS] == canary);
    for (size_t i = 0; i < REGIONS; i++) {
        CHECK(shards[i] != NULL);
        atlas_buffer buffer = serialized(shards[i]);
        CHECK(buffer.size == wanted[i].size &&
              memcmp(buffer.data, wanted[i].data, buffer.size) == 0);
        atlas_buffer_free(&buffer);
        atlas_shard_destroy(shards[i]);
    }
}

static void every_strategy_gives_the_same_bytes(void)
{
    const size_t size = 4 * TILE + 4321;
    uint8_t *data = random_bytes(size, 48);
    atlas_projection *projection = projected_bytes(data, size);
    atlas_region regions[REGIONS];
    make_regions(regions, size, 49);
    atlas_buffer wanted[REGIONS];
    for (size_t i = 0; i < REGIONS; i++) {
        atlas_shard *shard = extracted(projection, regions[i].offset, regions[i].length);
        wanted[i] = serialized(shard);
        atlas_shard_destroy(shard);
    }
    check_batch(projection, regions, wanted, NULL, NULL);
    static const uint32_t pools[] = {1, 2, 3};
    static const uint32_t caps[] = {0, 1, 2, 5, UINT32_MAX};
    static const uint32_t chunks[] = {1, 7, REGIONS, UINT32_MAX};
    for (size_t p = 0; p <= sizeof pools / sizeof pools[0]; p++) {
        atlas_operation operation;
        atlas_operation_init(&operation);
        atlas_pool *pool = NULL;
        if (p > 0) {
            CHECK_OK(atlas_pool_create(pools[p - 1], &pool));
            operation.pool = pool;
        }
        for (uint32_t strategy = 0; strategy <= ATLAS_PARALLEL_WORK_STEALING; strategy++) {
            for (size_t i = 0; i < (small_run() ? 1 : 5); i++) {
                atlas_extract_options options;
                atlas_extract_options_init(&options);
                options.strategy = strategy;
                options.max_threads = caps[i];
                options.chunk_size = chunks[i % 4];
                if (strategy == ATLAS_PARALLEL_POOL && pool == NULL) {
                    atlas_shard *shards[REGIONS];
                    memset(shards, 0xA5, sizeof shards);
                    CHECK_STATUS(atlas_shard_extract_batch(projection, regions, REGIONS, &options,
                                                           &operation, shards),
                                 ATLAS_STATUS_INVALID_ARGUMENT);
                    CHECK(all_bytes(shards, sizeof shards, 0));
                    memset(shards, 0xA5, sizeof shards);
                    CHECK_STATUS(atlas_shard_extract_batch(projection, regions, REGIONS, &options,
                                                           NULL, shards),
                                 ATLAS_STATUS_INVALID_ARGUMENT);
                    CHECK(all_bytes(shards, sizeof shards, 0));
                    continue;
                }
                check_batch(projection, regions, wanted, &options, &operation);
            }
        }
        atlas_pool_destroy(pool);
    }
    for (size_t i = 0; i < REGIONS; i++) {
        atlas_buffer_free(&wanted[i]);
    }
    atlas_projection_destroy(projection);
    free(data);
}

static void expect_nothing(const atlas_projection *projection, const atlas_region *regions,
                           const atlas_extract_options *options, int wanted)
{
    atlas_shard *shards[REGIONS];
    memset(shards, 0xA5, sizeof shards);
    CHECK_STATUS(
        atlas_shard_extract_batch(projection, regions, REGIONS, options, NULL, shards), wanted);
    CHECK(all_bytes(shards, sizeof shards, 0));
}

static void a_batch_is_all_or_nothing(void)
{
    const size_t size = 3 * TILE;
    uint8_t *data = random_bytes(size, 50);
    atlas_projection *projection = projected_bytes(data, size);
    atlas_region regions[REGIONS];
    for (uint32_t strategy = 0; strategy <= ATLAS_PARALLEL_WORK_STEALING; strategy++) {
        if (strategy == ATLAS_PARALLEL_POOL) {
            continue;
        }
        atlas_extract_options options;
        atlas_extract_options_init(&options);
        options.strategy = strategy;
        options.chunk_size = 3;
        static const size_t bad[] = {0, 30, REGIONS - 1};
        for (size_t b = 0; b < 3; b++) {
            make_regions(regions, size, 51);
            regions[bad[b]].offset = size;
            regions[bad[b]].length = 1;
            expect_nothing(projection, regions, &options, ATLAS_STATUS_OUT_OF_RANGE);
            CHECK_EQ(last_error().index, bad[b]);
            CHECK_EQ(last_error().offset, size);
        }
        /* A source that changed: the first region that touches it is named. */
        for (size_t i = 0; i < REGIONS; i++) {
            regions[i].offset = i * 10000;
            regions[i].length = 10000;
        }
        regions[41].offset = 2 * TILE + 50;
        regions[50].offset = 2 * TILE + 5000;
        data[2 * TILE + 6000] ^= 1;
        expect_nothing(projection, regions, &options, ATLAS_STATUS_WITNESS);
        CHECK_EQ(last_error().index, 41);
        data[2 * TILE + 6000] ^= 1;
        atlas_shard *shards[REGIONS];
        CHECK_OK(
            atlas_shard_extract_batch(projection, regions, REGIONS, &options, NULL, shards));
        for (size_t i = 0; i < REGIONS; i++) {
            atlas_shard_destroy(shards[i]);
        }
    }
    atlas_projection_destroy(projection);
    free(data);
}

static void wrong_options_give_nothing(void)
{
    uint8_t *data = random_bytes(TILE, 52);
    atlas_projection *projection = projected_bytes(data, TILE);
    atlas_region regions[REGIONS];
    make_regions(regions, TILE, 53);
    static const uint32_t unknown[] = {5, 6, 255, 256, 0x80000000U, UINT32_MAX};
    atlas_extract_options options;
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        atlas_extract_options_init(&options);
        options.strategy = unknown[i];
        expect_nothing(projection, regions, &options, ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK_SAYS("strategy");
    }
    atlas_extract_options_init(&options);
    options.strategy = ATLAS_PARALLEL_CHUNKED;
    options.chunk_size = 0;
    expect_nothing(projection, regions, &options, ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("chunk_size is 0");
    /* chunk_size means nothing to the others. */
    options.strategy = ATLAS_PARALLEL_SEQUENTIAL;
    atlas_shard *shard = NULL;
    CHECK_OK(atlas_shard_extract_batch(projection, regions, 1, &options, NULL, &shard));
    atlas_shard_destroy(shard);
    /* An empty batch is a batch. */
    shard = (atlas_shard *)&shard;
    CHECK_OK(atlas_shard_extract_batch(projection, regions, 0, NULL, NULL, &shard));
    CHECK(shard == (atlas_shard *)&shard);
    CHECK_OK(atlas_shard_extract_batch(projection, NULL, 0, NULL, NULL, NULL));
    atlas_projection_destroy(projection);
    free(data);
}

static void a_page_shard_of_a_large_domain_is_small(void)
{
    const size_t size = small_run() ? 8 * TILE : 64 * TILE;
    uint8_t *data = random_bytes(size, 54);
    atlas_projection *projection = projected_bytes(data, size);
    static const size_t pages[] = {0, 1, 255, 256, 1000, 2047};
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        atlas_shard *shard = extracted(projection, pages[i] * PAGE, PAGE);
        atlas_buffer buffer = serialized(shard);
        CHECK(buffer.size < 8192);
        atlas_buffer_free(&buffer);
        atlas_shard_destroy(shard);
    }
    atlas_projection_destroy(projection);
    free(data);
}

static void a_projection_of_nothing_has_one_shard(void)
{
    atlas_projection *projection = projected_bytes(NULL, 0);
    uint8_t root[32];
    root_of(projection, root);
    atlas_shard *shard = extracted(projection, 0, 0);
    check_shard(shard, (const uint8_t *)"", 0, 0, 0, root);
    atlas_buffer buffer = serialized(shard);
    atlas_shard *again = deserialized(buffer.data, buffer.size, NULL);
    check_shard(again, (const uint8_t *)"", 0, 0, 0, root);
    atlas_shard_destroy(again);
    atlas_buffer_free(&buffer);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    every_flipped_bit_and_every_cut_is_refused(0, 0, 0, 1);
}

int main(void)
{
    const size_t step = small_run() ? 37 : 1;
    TEST(regions_of_many_places_travel);
    TEST(a_shard_outlives_its_projection_and_its_encoding);
    every_flipped_bit_and_every_cut_is_refused(300, 5, 100, step);
    every_flipped_bit_and_every_cut_is_refused(TILE + 8000, TILE - 10, 4000, small_run() ? 997 : 5);
    every_flipped_bit_and_every_cut_is_refused(2 * TILE, 9, 0, step);
    TEST(lengths_that_lie_cost_nothing);
    TEST(limits_are_kept_exactly);
    TEST(trust_is_a_root_and_a_key);
    TEST(every_strategy_gives_the_same_bytes);
    TEST(a_batch_is_all_or_nothing);
    TEST(wrong_options_give_nothing);
    TEST(a_page_shard_of_a_large_domain_is_small);
    TEST(a_projection_of_nothing_has_one_shard);
    return 0;
}
