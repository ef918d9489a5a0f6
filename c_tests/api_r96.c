/* R96_FOURIER: classes and regions as shards, any K of them rebuild, and every refusal. */
#include "check.h"

enum { ALL = 96 };

static void all_classes(uint8_t classes[ALL])
{
    for (unsigned i = 0; i < ALL; i++) {
        classes[i] = (uint8_t)i;
    }
}

static atlas_projection *project(const uint8_t *data, size_t size, uint32_t k, const uint8_t *key)
{
    atlas_projection_options options;
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;
    atlas_projection_options_init(&options);
    options.r96_data_classes = k;
    options.key = key;
    CHECK_OK(atlas_source_borrow(data, size, NULL, NULL, &source));
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_R96_FOURIER, source, &options, NULL, &projection));
    atlas_source_destroy(source);
    return projection;
}

static atlas_shard_info info_of(const atlas_shard *shard)
{
    atlas_shard_info info;
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_shard_get_info(shard, &info));
    return info;
}

static void properties(void)
{
    uint8_t *data = random_bytes(TILE + 5, 1);
    atlas_projection *projection = project(data, TILE + 5, 64, NULL);
    atlas_projection_info info;
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_projection_get_info(projection, &info));
    CHECK_EQ(info.type, ATLAS_PROJECTION_R96_FOURIER);
    CHECK_EQ(info.r96_data_classes, 64);
    CHECK_EQ(info.tile_count, 2);
    CHECK_EQ(info.residue, residue_of(data, TILE + 5));

    /* A region is rounded out to tiles, with all classes, and can be read. */
    const atlas_region region = {TILE, 1};
    atlas_shard *shard = NULL;
    CHECK_OK(atlas_shard_extract(projection, &region, NULL, &shard));
    atlas_shard_info found = info_of(shard);
    CHECK_EQ(found.type, ATLAS_PROJECTION_R96_FOURIER);
    CHECK_EQ(found.region.offset, TILE);
    CHECK_EQ(found.region.length, 5);
    CHECK_EQ(found.payload_size, 96 * 224);
    CHECK_EQ(found.residue, 0);
    CHECK_EQ(found.r96_data_classes, 64);
    for (unsigned i = 0; i < 12; i++) {
        CHECK_EQ(found.class_mask[i], 0xFF);
    }
    uint8_t five[5];
    CHECK_OK(atlas_shard_read(shard, TILE, five, 5));
    CHECK(memcmp(five, data + TILE, 5) == 0);
    CHECK_STATUS(atlas_shard_read(shard, TILE - 1, five, 1), ATLAS_STATUS_OUT_OF_RANGE);
    const uint8_t *payload = NULL;
    size_t size = 0;
    CHECK_OK(atlas_shard_data(shard, &payload, &size));
    CHECK_EQ(size, 96 * 224);
    atlas_shard *one = NULL;
    const uint8_t class_41 = 41;
    CHECK_OK(atlas_shard_extract_classes(projection, &region, &class_41, 1, NULL, &one));
    const uint8_t *mine = NULL;
    CHECK_OK(atlas_shard_data(one, &mine, &size));
    CHECK_EQ(size, 224);
    CHECK(memcmp(mine, payload + 41 * 224, 224) == 0);
    found = info_of(one);
    CHECK_EQ(found.class_mask[5], 2);
    CHECK_STATUS(atlas_shard_read(one, TILE, five, 5), ATLAS_STATUS_INCOMPLETE);
    CHECK_SAYS("1 of 64");
    atlas_shard_destroy(one);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

static void any_k_rebuild(uint32_t k, size_t size, const uint8_t *key)
{
    uint8_t *data = random_bytes(size, k);
    atlas_projection *projection = project(data, size, k, key);
    uint8_t root[32], classes[ALL];
    atlas_shard *shards[ALL];
    all_classes(classes);
    CHECK_OK(atlas_projection_root(projection, NULL, root));
    CHECK_OK(atlas_shard_extract_classes(projection, NULL, classes, ALL, NULL, shards));

    atlas_reconstruction_options options;
    atlas_reconstruction *reconstruction = NULL;
    atlas_projection *rebuilt = NULL;
    atlas_reconstruction_options_init(&options);
    options.expected_root = root;
    options.key = key;
    CHECK_OK(atlas_reconstruction_create(&options, &reconstruction));
    CHECK_EQ(atlas_reconstruction_classes_needed(reconstruction), 0);
    atlas_verify_options trust;
    atlas_verify_options_init(&trust);
    trust.expected_root = root;
    trust.key = key;
    for (uint32_t i = 0; i < k; i++) {
        /* The last ones first, each from its bytes, and twice. */
        atlas_buffer encoded;
        atlas_shard *arrived = NULL;
        CHECK_OK(atlas_shard_serialize(shards[95 - i], &encoded));
        CHECK_OK(atlas_shard_deserialize(encoded.data, encoded.size, NULL, &trust, NULL, &arrived));
        CHECK_OK(atlas_reconstruction_add(reconstruction, arrived, NULL));
        CHECK_OK(atlas_reconstruction_add(reconstruction, arrived, NULL));
        CHECK_EQ(atlas_reconstruction_classes_needed(reconstruction), k - 1 - i);
        CHECK_EQ(atlas_reconstruction_is_complete(reconstruction), i + 1 == k);
        if (i + 1 < k) {
            atlas_region missing;
            size_t count = 1;
            CHECK_OK(atlas_reconstruction_missing(reconstruction, &missing, &count));
            CHECK_EQ(count, 1);
            CHECK_EQ(missing.length, size);
            CHECK_STATUS(atlas_reconstruction_finish(reconstruction, NULL, &rebuilt), ATLAS_STATUS_INCOMPLETE);
        }
        atlas_shard_destroy(arrived);
        atlas_buffer_free(&encoded);
    }
    CHECK_OK(atlas_reconstruction_finish(reconstruction, NULL, &rebuilt));
    uint8_t *found = (uint8_t *)malloc(size + 1);
    CHECK(found != NULL);
    CHECK_OK(atlas_projection_read(rebuilt, 0, found, size));
    CHECK(memcmp(found, data, size) == 0);
    free(found);
    for (unsigned i = 0; i < ALL; i++) {
        atlas_shard_destroy(shards[i]);
    }
    atlas_projection_destroy(rebuilt);
    atlas_reconstruction_destroy(reconstruction);
    atlas_projection_destroy(projection);
    free(data);
}

static void refusals(void)
{
    uint8_t *data = random_bytes(1000, 7);
    atlas_projection *projection = project(data, 1000, 96, NULL);
    atlas_shard *out[3] = {NULL, NULL, NULL};
    const uint8_t wrong[] = {4, 96, 4};
    const atlas_region outside = {1, 1000};
    memset(out, 0xFF, sizeof out);
    CHECK_STATUS(atlas_shard_extract_classes(projection, NULL, wrong, 2, NULL, out),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("class 96");
    CHECK(out[0] == NULL && out[1] == NULL);
    const uint8_t twice[] = {4, 5, 4};
    CHECK_STATUS(atlas_shard_extract_classes(projection, NULL, twice, 3, NULL, out),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(out[0] == NULL && out[1] == NULL && out[2] == NULL);
    CHECK_STATUS(atlas_shard_extract_classes(projection, &outside, twice, 2, NULL, out),
                 ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_OK(atlas_shard_extract_classes(projection, NULL, NULL, 0, NULL, NULL));
    CHECK_STATUS(atlas_shard_extract_classes(NULL, NULL, twice, 2, NULL, out), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_shard_extract_classes(projection, NULL, NULL, 2, NULL, out),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_shard_extract_classes(projection, NULL, twice, 2, NULL, NULL),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_EQ(atlas_reconstruction_classes_needed(NULL), 0);

    /* Classes of another projection. */
    atlas_projection *other = project(data, 999, 96, NULL);
    atlas_reconstruction *reconstruction = NULL;
    CHECK_OK(atlas_reconstruction_create(NULL, &reconstruction));
    CHECK_OK(atlas_shard_extract_classes(projection, NULL, twice, 2, NULL, out));
    CHECK_OK(atlas_reconstruction_add(reconstruction, out[0], NULL));
    atlas_shard *foreign = NULL;
    CHECK_OK(atlas_shard_extract_classes(other, NULL, twice, 1, NULL, &foreign));
    CHECK_STATUS(atlas_reconstruction_add(reconstruction, foreign, NULL), ATLAS_STATUS_WITNESS);
    CHECK_EQ(atlas_reconstruction_classes_needed(reconstruction), 95);
    atlas_shard_destroy(foreign);
    atlas_shard_destroy(out[0]);
    atlas_shard_destroy(out[1]);
    atlas_reconstruction_destroy(reconstruction);
    atlas_projection_destroy(other);

    /* A LINEAR projection has no classes. */
    atlas_source *source = NULL;
    atlas_projection *linear = NULL;
    CHECK_OK(atlas_source_copy(data, 1000, &source));
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &linear));
    CHECK_STATUS(atlas_shard_extract_classes(linear, NULL, twice, 1, NULL, out), ATLAS_STATUS_INVALID_ARGUMENT);
    atlas_projection_destroy(linear);
    atlas_source_destroy(source);
    atlas_projection_destroy(projection);
    free(data);
}

/* In little memory: LIMIT, or the same as ever. */
static void memory_limits(void)
{
    const size_t size = 2 * TILE + 1;
    uint8_t *data = random_bytes(size, 3);
    atlas_projection *projection = project(data, size, 2, NULL);
    atlas_operation operation;
    atlas_shard *shard = NULL;
    const uint8_t class_7 = 7;
    atlas_operation_init(&operation);
    operation.memory_limit = 1 << 20;
    CHECK_STATUS(atlas_shard_extract_classes(projection, NULL, &class_7, 1, &operation, &shard),
                 ATLAS_STATUS_LIMIT);
    CHECK(shard == NULL);
    /* One class of K = 2 is half the domain, and a worker's buffers do not grow with 1/K. */
    operation.memory_limit = 5 << 20;
    CHECK_OK(atlas_shard_extract_classes(projection, NULL, &class_7, 1, &operation, &shard));
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

int main(void)
{
    static const uint8_t key[32] = {1, 2, 3};
    TEST(properties);
    any_k_rebuild(64, 30001, NULL);
    any_k_rebuild(1, 500, NULL);
    any_k_rebuild(96, 20000, key);
    if (!small_run()) {
        any_k_rebuild(33, TILE + 1, NULL);
        any_k_rebuild(64, 2 * TILE + 12345, key);
    }
    TEST(refusals);
    TEST(memory_limits);
    return 0;
}
