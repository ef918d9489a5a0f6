/* Projections: the numbers of every size, golden roots, reads, snapshots, verification, files. */
#include "check.h"

static const uint8_t key[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/* Made by an independent implementation: SplitMix64 bytes of `seed`, first and last tile. */
typedef struct golden {
    size_t size;
    uint64_t seed;
    bool keyed;
    uint32_t residue;
    const char *root, *first, *last;
} golden;

static const golden goldens[] = {
    {0, 7, false, 0, "e9359e6df92127c1e351f990d7eff1be990d8b736bf1d260563e133316a721c9", NULL, NULL},
    {1, 7, false, 23, "031b794622ee7850643ff44550e4e099446e83a424fa5cb8a245ab141150e527",
     "4c0a97785475625533086ce19aaa07b0b152488313dde58240d0713f6a2f2d4e",
     "4c0a97785475625533086ce19aaa07b0b152488313dde58240d0713f6a2f2d4e"},
    {4096, 7, false, 68, "072b7771a60309bcdf1a23fde3d3a4d23b5fac87f10d7e8f61d5c35dc35aff81",
     "0a284e0e50051d7af4db6d92653f5890149b22a12954db50b3f1c7a936a4d91d",
     "0a284e0e50051d7af4db6d92653f5890149b22a12954db50b3f1c7a936a4d91d"},
    {1048575, 7, false, 33, "e6720829586157f57ecff4a1f87efba273734b585b526694f7e223263294251a",
     "7d1f11e039f731c787fd6ff3344ad169201e4edf8224bfd05bfe9d52e84939c3",
     "7d1f11e039f731c787fd6ff3344ad169201e4edf8224bfd05bfe9d52e84939c3"},
    {1048576, 7, false, 88, "72aaa735369776377c15439447d0e82c5ae38b5eedc8e8e61e98348d6f907cc0",
     "bf05c5014b5802fb7a154fdc61284180ba19bbda2d85a25e814850e59a81a456",
     "bf05c5014b5802fb7a154fdc61284180ba19bbda2d85a25e814850e59a81a456"},
    {1048577, 7, false, 94, "6122de56d4c42109ff1ad4aff4979f3c11883980da703ab9a0e66ee4e8af28b4",
     "bf05c5014b5802fb7a154fdc61284180ba19bbda2d85a25e814850e59a81a456",
     "9ab388bedc43eaf44150107d17ad090f6b1c34610f5740778ddb95d9f06576ee"},
    {2097152, 7, false, 77, "7a5a4eb730a8dd031608a22db012c4a0c57c1e492dbccb2ead79205d1f9de975",
     "bf05c5014b5802fb7a154fdc61284180ba19bbda2d85a25e814850e59a81a456",
     "fa53bee637a359c27a358f23d48f05a2a956ba563b62fcc544ee1f6f33029e78"},
    {5255225, 7, false, 18, "2b07a525789d713929ff618edee72ed9234106901dcd8b929f844f774d53648e",
     "bf05c5014b5802fb7a154fdc61284180ba19bbda2d85a25e814850e59a81a456",
     "76ca3cd78f563ba1d759ce40e06fecd97bc873194bdd3d2e6e9ad928370a00a1"},
    {3000000, 8, true, 40, "063a137bbf8f5c18f99da8a6c0e0aeb269c7de3ded90f200d2f690443ccf3428",
     "5a9a9d09be92b21af69c110929c620b4ba8b2cc26321ec8f23d3b3e37993b0d0",
     "31a8f4a262e8e1a1eb9e690816b99e8c03d9a364dcd2ea35c3895fac3e409650"},
};

static atlas_projection_info info_of(const atlas_projection *projection)
{
    atlas_projection_info info;
    memset(&info, 0xA5, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_projection_get_info(projection, &info));
    CHECK_EQ(info.struct_size, sizeof info);
    return info;
}

static atlas_tile_info tile_of(const atlas_projection *projection, uint64_t tile)
{
    atlas_tile_info info;
    memset(&info, 0xA5, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_projection_get_tile(projection, tile, &info));
    return info;
}

static void check_numbers_of(const atlas_projection *projection, const uint8_t *data, size_t size,
                             bool keyed)
{
    const atlas_projection_info info = info_of(projection);
    const uint64_t tiles = (size + TILE - 1) / TILE;
    uint32_t width = 0;
    while ((uint64_t)width * width < tiles) {
        width++;
    }
    CHECK_EQ(info.type, ATLAS_PROJECTION_LINEAR);
    CHECK_EQ(info.domain_size, size);
    CHECK_EQ(info.page_count, (size + PAGE - 1) / PAGE);
    CHECK_EQ(info.tile_count, tiles);
    CHECK_EQ(info.residue, residue_of(data, size));
    CHECK_EQ(info.correction, (96 - info.residue) % 96);
    CHECK_EQ(info.width, width);
    CHECK_EQ(info.height, width);
    CHECK_EQ(info.r96_data_classes, 0);
    CHECK_EQ(info.keyed, keyed ? 1 : 0);
    CHECK_EQ(info.canonical, 1);
    CHECK_EQ(info.reserved, 0);
    for (uint64_t i = 0; i < tiles; i++) {
        const atlas_tile_info tile = tile_of(projection, i);
        const size_t offset = (size_t)i * TILE;
        const size_t length = size - offset < TILE ? size - offset : TILE;
        CHECK_EQ(tile.offset, offset);
        CHECK_EQ(tile.length, length);
        CHECK_EQ(tile.residue, residue_of(data + offset, length));
        uint8_t digest[32];
        atlas_digest256(data + offset, length, digest);
        CHECK((memcmp(tile.witness, digest, 32) == 0) == !keyed);
    }
    atlas_tile_info none;
    memset(&none, 0xA5, sizeof none);
    none.struct_size = (uint32_t)sizeof none;
    CHECK_STATUS(atlas_projection_get_tile(projection, tiles, &none), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_EQ(last_error().index, tiles);
    CHECK_STATUS(atlas_projection_get_tile(projection, UINT64_MAX, &none), ATLAS_STATUS_OUT_OF_RANGE);
}

static void golden_roots(void)
{
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
        const golden *one = &goldens[i];
        if (small_run() && one->size > 3 * TILE) {
            continue;
        }
        uint8_t *data = random_bytes(one->size, one->seed);
        atlas_source *source = borrowed(data, one->size);
        atlas_projection_options options;
        atlas_projection_options_init(&options);
        uint8_t copied_key[32];
        memcpy(copied_key, key, 32);
        options.key = one->keyed ? copied_key : NULL;
        atlas_projection *projection = projected(source, &options);
        memset(copied_key, 0, 32);
        atlas_source_destroy(source);
        uint8_t root[32];
        root_of(projection, root);
        CHECK(digest_is(root, one->root));
        CHECK_EQ(info_of(projection).residue, one->residue);
        CHECK_EQ(residue_of(data, one->size), one->residue);
        if (one->first != NULL) {
            const uint64_t tiles = info_of(projection).tile_count;
            CHECK(digest_is(tile_of(projection, 0).witness, one->first));
            CHECK(digest_is(tile_of(projection, tiles - 1).witness, one->last));
        }
        check_numbers_of(projection, data, one->size, one->keyed);
        CHECK_OK(atlas_projection_verify(projection, NULL));
        atlas_projection_destroy(projection);
        free(data);
    }
}

static int read_memory(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    memcpy(buffer, (const uint8_t *)user_data + offset, size);
    return 0;
}

static void check_root_on_every_pool(const atlas_source *source, const uint8_t wanted[32],
                                     const uint8_t *data, size_t size)
{
    static const uint32_t threads[] = {1, 2, 4, 0};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        atlas_pool *pool = NULL;
        CHECK_OK(atlas_pool_create(threads[i], &pool));
        CHECK(threads[i] == 0 ? atlas_pool_threads(pool) >= 1
                              : atlas_pool_threads(pool) == (built_in(ATLAS_FEATURE_PARALLEL) ? threads[i] : 1));
        atlas_operation operation;
        atlas_operation_init(&operation);
        operation.pool = pool;
        atlas_projection *projection = NULL;
        CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation,
                                         &projection));
        uint8_t root[32];
        CHECK_OK(atlas_projection_root(projection, &operation, root));
        CHECK(memcmp(root, wanted, 32) == 0);
        CHECK_OK(atlas_projection_verify(projection, &operation));
        atlas_pool_destroy(pool);
        if (i == 0) {
            check_numbers_of(projection, data, size, false);
        }
        atlas_projection_destroy(projection);
    }
}

static void the_root_depends_on_the_bytes_alone(size_t size)
{
    uint8_t *data = random_bytes(size, 21);
    const char *path = temp_path("root.bin");
    write_file(path, data, size);
    atlas_source *sources[5] = {NULL, NULL, NULL, NULL, NULL};
    CHECK_OK(atlas_source_copy(data, size, &sources[0]));
    CHECK_OK(atlas_source_borrow(data, size, NULL, NULL, &sources[1]));
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &sources[2]));
    CHECK_OK(atlas_source_from_callback(size, read_memory, NULL, data, &sources[3]));
    if ((atlas_manifold_features() & ATLAS_FEATURE_STREAMING) != 0) {
        CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_MMAP, &sources[4]));
    }
    uint8_t wanted[32];
    atlas_projection *plain = projected(sources[0], NULL);
    root_of(plain, wanted);
    atlas_projection_destroy(plain);
    for (size_t i = 0; i < 5; i++) {
        if (sources[i] != NULL) {
            check_root_on_every_pool(sources[i], wanted, data, size);
        }
        atlas_source_destroy(sources[i]);
    }
    /* Any other byte, size or key is another root. */
    uint8_t other[32];
    if (size > 0) {
        data[size - 1] ^= 1;
        atlas_projection *changed = projected_bytes(data, size);
        root_of(changed, other);
        CHECK(memcmp(other, wanted, 32) != 0);
        atlas_projection_destroy(changed);
        changed = projected_bytes(data, size - 1);
        root_of(changed, other);
        CHECK(memcmp(other, wanted, 32) != 0);
        atlas_projection_destroy(changed);
        data[size - 1] ^= 1;
    }
    atlas_source *source = borrowed(data, size);
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    atlas_projection *keyed = projected(source, &options);
    root_of(keyed, other);
    CHECK(memcmp(other, wanted, 32) != 0);
    atlas_projection_destroy(keyed);
    atlas_source_destroy(source);
    CHECK(unlink(path) == 0);
    free(data);
}

static void strict_asks_for_a_sum_of_zero(void)
{
    uint8_t data[200];
    memset(data, 1, sizeof data);
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.conservation = ATLAS_CONSERVATION_STRICT;
    atlas_source *balanced = borrowed(data, 192);
    atlas_projection *projection = projected(balanced, &options);
    CHECK_EQ(info_of(projection).residue, 0);
    CHECK_EQ(info_of(projection).correction, 0);
    uint8_t strict_root[32];
    uint8_t track_root[32];
    root_of(projection, strict_root);
    atlas_projection_destroy(projection);
    /* The root does not commit to the policy. */
    projection = projected(balanced, NULL);
    root_of(projection, track_root);
    CHECK(memcmp(strict_root, track_root, 32) == 0);
    atlas_projection_destroy(projection);
    atlas_source_destroy(balanced);

    atlas_source *unbalanced = borrowed(data, 191);
    projection = (atlas_projection *)data;
    CHECK_STATUS(atlas_projection_create(ATLAS_PROJECTION_LINEAR, unbalanced, &options, NULL,
                                         &projection),
                 ATLAS_STATUS_CONSERVATION);
    CHECK(projection == NULL);
    CHECK_SAYS("95");
    options.conservation = ATLAS_CONSERVATION_TRACK;
    projection = projected(unbalanced, &options);
    CHECK_EQ(info_of(projection).residue, 95);
    CHECK_EQ(info_of(projection).correction, 1);
    atlas_projection_destroy(projection);
    atlas_source_destroy(unbalanced);
}

static void unknown_values_are_refused(void)
{
    const uint8_t data[3] = {1, 2, 3};
    atlas_source *source = borrowed(data, 3);
    static const uint32_t unknown[] = {2, 7, 255, 256, 0x10000, 0x80000000U, UINT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        atlas_projection *projection = (atlas_projection *)&source;
        CHECK_STATUS(atlas_projection_create(unknown[i], source, NULL, NULL, &projection),
                     ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK(projection == NULL);
        atlas_projection_options options;
        atlas_projection_options_init(&options);
        options.conservation = unknown[i];
        projection = (atlas_projection *)&source;
        CHECK_STATUS(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, &options, NULL,
                                             &projection),
                     ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK(projection == NULL);
    }
    static const uint32_t classes[] = {0, 97, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        atlas_projection_options options;
        atlas_projection_options_init(&options);
        options.r96_data_classes = classes[i];
        atlas_projection *projection = (atlas_projection *)&source;
        CHECK_STATUS(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, &options, NULL,
                                             &projection),
                     ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK(projection == NULL);
    }
    atlas_source_destroy(source);
}

static void reads_give_the_bytes_or_an_error(void)
{
    const size_t size = 2 * TILE + 777;
    uint8_t *data = random_bytes(size, 22);
    uint8_t *buffer = random_bytes(size, 23);
    atlas_projection *projection = projected_bytes(data, size);
    random_state random = {24};
    for (int i = 0; i < 300; i++) {
        const size_t offset = (size_t)random_below(&random, size + 1);
        size_t length = (size_t)random_below(&random, i % 10 == 0 ? size : 9000);
        length = length > size - offset ? size - offset : length;
        buffer[length] = 0x5A;
        CHECK_OK(atlas_projection_read(projection, offset, buffer, length));
        CHECK(memcmp(buffer, data + offset, length) == 0);
        CHECK(buffer[length] == 0x5A);
    }
    CHECK_OK(atlas_projection_read(projection, 0, buffer, size));
    CHECK(memcmp(buffer, data, size) == 0);
    CHECK_OK(atlas_projection_read(projection, size, buffer, 0));
    CHECK_OK(atlas_projection_read(projection, 5, NULL, 0));
    static const struct {
        uint64_t offset;
        size_t length;
    } outside[] = {{2 * TILE + 777, 1}, {2 * TILE + 778, 0}, {0, 2 * TILE + 778}, {UINT64_MAX, 1},
                   {UINT64_MAX, 0},     {2 * TILE, 778},     {UINT64_MAX - 3, 4}};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        CHECK_STATUS(atlas_projection_read(projection, outside[i].offset, buffer, outside[i].length),
                     ATLAS_STATUS_OUT_OF_RANGE);
        CHECK_EQ(last_error().offset, outside[i].offset);
        CHECK_EQ(last_error().length, outside[i].length);
        CHECK_SAYS("2097929");
    }
    atlas_projection_destroy(projection);
    free(buffer);
    free(data);
}

static void verify_finds_what_changed_under_it(void)
{
    const size_t size = 3 * TILE + 99;
    uint8_t *data = random_bytes(size, 25);
    atlas_projection *projection = projected_bytes(data, size);
    CHECK_OK(atlas_projection_verify(projection, NULL));
    static const size_t places[] = {0, TILE - 1, TILE, 2 * TILE + 12345, 3 * TILE + 98};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        data[places[i]] ^= 0x10;
        CHECK_STATUS(atlas_projection_verify(projection, NULL), ATLAS_STATUS_WITNESS);
        const atlas_error_info info = last_error();
        CHECK_EQ(info.index, places[i] / TILE);
        CHECK_EQ(info.offset, places[i] / TILE * TILE);
        CHECK_EQ(info.length, info.index == 3 ? 99 : TILE);
        /* Extraction from that page refuses, elsewhere it goes on. */
        const atlas_region there = {places[i], 1};
        atlas_shard *shard = NULL;
        CHECK_STATUS(atlas_shard_extract(projection, &there, NULL, &shard), ATLAS_STATUS_WITNESS);
        CHECK(shard == NULL);
        const size_t other = places[i] / TILE == 1 ? 0 : TILE;
        atlas_shard_destroy(extracted(projection, other, 100));
        CHECK_STATUS(atlas_projection_write_file(projection, temp_path("changed.bin"), NULL),
                     ATLAS_STATUS_WITNESS);
        CHECK_EQ(temp_names(), 0);
        /* read does not verify: it returns the present bytes. */
        uint8_t now = 0;
        CHECK_OK(atlas_projection_read(projection, places[i], &now, 1));
        CHECK(now == data[places[i]]);
        data[places[i]] ^= 0x10;
    }
    CHECK_OK(atlas_projection_verify(projection, NULL));
    /* Two tiles that differ: the first is named. A swap keeps the residue and is found too. */
    data[TILE] ^= 1;
    data[2 * TILE] ^= 1;
    CHECK_STATUS(atlas_projection_verify(projection, NULL), ATLAS_STATUS_WITNESS);
    CHECK_EQ(last_error().index, 1);
    data[TILE] ^= 1;
    data[2 * TILE] ^= 1;
    data[10] = 1;
    data[20] = 2;
    atlas_projection *fresh = projected_bytes(data, size);
    data[10] = 2;
    data[20] = 1;
    CHECK_STATUS(atlas_projection_verify(fresh, NULL), ATLAS_STATUS_WITNESS);
    CHECK_EQ(last_error().index, 0);
    atlas_projection_destroy(fresh);
    atlas_projection_destroy(projection);
    free(data);
}

static void a_snapshot_lives_on_its_own(void)
{
    uint8_t *data = random_bytes(TILE + 1, 26);
    atlas_projection *projection = projected_bytes(data, TILE + 1);
    atlas_projection *snapshot = NULL;
    CHECK_OK(atlas_projection_snapshot(projection, &snapshot));
    CHECK(snapshot != NULL && snapshot != projection);
    uint8_t root[32];
    uint8_t again[32];
    root_of(projection, root);
    atlas_projection_destroy(projection);
    root_of(snapshot, again);
    CHECK(memcmp(root, again, 32) == 0);
    check_numbers_of(snapshot, data, TILE + 1, false);
    CHECK_OK(atlas_projection_verify(snapshot, NULL));
    atlas_projection_destroy(snapshot);
    free(data);
}

static void files_are_written_whole_or_not_at_all(size_t size)
{
    uint8_t *data = random_bytes(size, 27);
    atlas_projection *projection = projected_bytes(data, size);
    const char *path = temp_path("out ä漢.bin");
    CHECK_OK(atlas_projection_write_file(projection, path, NULL));
    CHECK(file_is(path, data, size));
    CHECK_EQ(temp_names(), 1);
    /* Over an older file too, and the result projects to the same root. */
    write_file(path, "old", 3);
    CHECK_OK(atlas_projection_write_file(projection, path, NULL));
    CHECK(file_is(path, data, size));
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    atlas_projection *again = projected(source, NULL);
    uint8_t root[32];
    uint8_t other[32];
    root_of(projection, root);
    root_of(again, other);
    CHECK(memcmp(root, other, 32) == 0);
    /* Onto the file that it reads from. */
    if (REPLACES_OPEN_FILES) {
        CHECK_OK(atlas_projection_write_file(again, path, NULL));
    }
    CHECK(file_is(path, data, size));
    atlas_projection_destroy(again);
    atlas_source_destroy(source);
    CHECK_EQ(temp_names(), 1);
    CHECK(unlink(path) == 0);
    atlas_projection_destroy(projection);
    free(data);
}

static void a_failed_write_keeps_the_old_file(void)
{
    uint8_t *data = random_bytes(TILE + 7, 28);
    atlas_projection *projection = projected_bytes(data, TILE + 7);
    const char *path = temp_path("kept.bin");
    write_file(path, "old", 3);
    data[TILE] ^= 1;
    CHECK_STATUS(atlas_projection_write_file(projection, path, NULL), ATLAS_STATUS_WITNESS);
    CHECK(file_is(path, "old", 3));
    CHECK_EQ(temp_names(), 1);
    data[TILE] ^= 1;
    CHECK_STATUS(atlas_projection_write_file(projection, temp_path("no/such/folder.bin"), NULL),
                 ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, FOLDER_MISSING);
    CHECK_SAYS("no/such");
    CHECK(atlas_projection_write_file(projection, temp_dir(), NULL) != ATLAS_STATUS_OK);
    CHECK(atlas_projection_write_file(projection, "", NULL) != ATLAS_STATUS_OK);
    CHECK_EQ(temp_names(), 1);
    CHECK_OK(atlas_projection_write_file(projection, path, NULL));
    CHECK(file_is(path, data, TILE + 7));
    CHECK(unlink(path) == 0);
    atlas_projection_destroy(projection);
    free(data);
}

int main(void)
{
    static const size_t sizes[] = {0,        1,        4095,         4096,           4097,
                                   TILE - 1, TILE,     TILE + 1,     2 * TILE,       5 * TILE + 12345};
    TEST(golden_roots);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (!small_run() || sizes[i] <= TILE + 1) {
            the_root_depends_on_the_bytes_alone(sizes[i]);
        }
        if (sizes[i] % 2 == 1 || sizes[i] == 0) {
            files_are_written_whole_or_not_at_all(sizes[i]);
        }
    }
    TEST(strict_asks_for_a_sum_of_zero);
    TEST(unknown_values_are_refused);
    TEST(reads_give_the_bytes_or_an_error);
    TEST(verify_finds_what_changed_under_it);
    TEST(a_snapshot_lives_on_its_own);
    TEST(a_failed_write_keeps_the_old_file);
    CHECK_EQ(temp_names(), 0);
    return 0;
}
