/* Reconstruction: any order, missing regions, refusals, files that appear complete. */
#include "check.h"

static const uint8_t key[32] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6,
                                7, 8, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4};

static atlas_reconstruction *created(const atlas_reconstruction_options *options)
{
    atlas_reconstruction *rebuilt = NULL;
    CHECK_OK(atlas_reconstruction_create(options, &rebuilt));
    CHECK(rebuilt != NULL);
    return rebuilt;
}

static size_t missing_count(const atlas_reconstruction *rebuilt)
{
    size_t count = 0;
    CHECK_OK(atlas_reconstruction_missing(rebuilt, NULL, &count));
    return count;
}

static void add_region(atlas_reconstruction *rebuilt, const atlas_projection *projection,
                       uint64_t offset, uint64_t length)
{
    atlas_shard *shard = extracted(projection, offset, length);
    CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
    atlas_shard_destroy(shard);
}

static void check_projection(const atlas_projection *projection, const uint8_t *data, size_t size,
                             const uint8_t root[32])
{
    uint8_t found[32];
    root_of(projection, found);
    CHECK(memcmp(found, root, 32) == 0);
    atlas_projection_info info;
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_projection_get_info(projection, &info));
    CHECK_EQ(info.domain_size, size);
    CHECK_EQ(info.residue, residue_of(data, size));
    CHECK_EQ(info.canonical, 1);
    uint8_t *bytes = (uint8_t *)malloc(size + 1);
    CHECK(bytes != NULL);
    CHECK_OK(atlas_projection_read(projection, 0, bytes, size));
    CHECK(memcmp(bytes, data, size) == 0);
    free(bytes);
    CHECK_OK(atlas_projection_verify(projection, NULL));
}

static void shuffle(atlas_region *regions, size_t count, uint64_t seed)
{
    random_state random = {seed};
    for (size_t i = count; i > 1; i--) {
        const size_t other = (size_t)random_below(&random, i);
        const atlas_region saved = regions[i - 1];
        regions[i - 1] = regions[other];
        regions[other] = saved;
    }
}

/* Regions that cover the domain, with overlaps, duplicates and empty ones. */
static size_t covering(atlas_region *regions, size_t capacity, size_t size, uint64_t seed)
{
    random_state random = {seed};
    size_t count = 0;
    for (size_t offset = 0; offset < size && count + 8 < capacity;) {
        size_t length = 1 + (size_t)random_below(&random, size / 8 + 2);
        if (count + 9 == capacity || length > size - offset) {
            length = size - offset;
        }
        regions[count].offset = offset;
        regions[count++].length = length;
        offset += length;
    }
    const size_t pieces = count;
    for (size_t i = 0; i < 4 && pieces > 0; i++) {
        regions[count++] = regions[random_below(&random, pieces)];
        regions[count].offset = random_below(&random, size);
        regions[count].length = random_below(&random, size - regions[count].offset + 1);
        count++;
    }
    return count;
}

static void any_order_rebuilds_the_domain(size_t size, bool spool)
{
    uint8_t *data = random_bytes(size, 61 + size);
    atlas_projection *projection = projected_bytes(data, size);
    uint8_t root[32];
    root_of(projection, root);
    atlas_region regions[64];
    const size_t count = covering(regions, 64, size, 62);
    for (uint64_t round = 0; round < 3; round++) {
        shuffle(regions, count, round);
        atlas_reconstruction_options options;
        atlas_reconstruction_options_init(&options);
        const char *path = temp_path("rebuilt.bin");
        uint8_t wanted[32];
        memcpy(wanted, root, 32);
        options.spool_path = spool ? path : NULL;
        options.expected_root = round == 1 ? wanted : NULL;
        atlas_reconstruction *rebuilt = created(&options);
        memset(wanted, 0, 32);
        CHECK(!atlas_reconstruction_is_complete(rebuilt));
        CHECK_EQ(missing_count(rebuilt), 0);
        if (size == 0) {
            add_region(rebuilt, projection, 0, 0);
        }
        for (size_t i = 0; i < count; i++) {
            add_region(rebuilt, projection, regions[i].offset, regions[i].length);
            CHECK(atlas_reconstruction_is_complete(rebuilt) == (missing_count(rebuilt) == 0));
        }
        CHECK(atlas_reconstruction_is_complete(rebuilt));
        CHECK(!exists(path));
        /* A spool has a name only if the file system knows no files without names. */
        CHECK(temp_names() <= (spool ? 1 : 0));
        atlas_projection *result = NULL;
        CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &result));
        CHECK(exists(path) == spool);
        CHECK(!spool || file_is(path, data, size));
        check_projection(result, data, size, root);
        atlas_projection *again = (atlas_projection *)&result;
        CHECK_STATUS(atlas_reconstruction_finish(rebuilt, NULL, &again), ATLAS_STATUS_STATE);
        CHECK(again == NULL);
        atlas_shard *late = extracted(projection, 0, size);
        CHECK_STATUS(atlas_reconstruction_add(rebuilt, late, NULL), ATLAS_STATUS_STATE);
        atlas_shard_destroy(late);
        CHECK(atlas_reconstruction_is_complete(rebuilt));
        atlas_reconstruction_destroy(rebuilt);
        CHECK(exists(path) == spool);
        CHECK_EQ(temp_names(), spool ? 1 : 0);
        check_projection(result, data, size, root);
        atlas_projection_destroy(result);
        if (spool) {
            CHECK(unlink(path) == 0);
        }
    }
    atlas_projection_destroy(projection);
    free(data);
}

static void what_is_missing_is_told(void)
{
    const size_t size = 2 * TILE;
    uint8_t *data = random_bytes(size, 63);
    atlas_projection *projection = projected_bytes(data, size);
    atlas_reconstruction *rebuilt = created(NULL);
    atlas_projection *result = (atlas_projection *)data;
    CHECK_STATUS(atlas_reconstruction_finish(rebuilt, NULL, &result), ATLAS_STATUS_INCOMPLETE);
    CHECK(result == NULL);
    /* A shard that proves the root alone tells the size. */
    add_region(rebuilt, projection, 77, 0);
    atlas_region found[4];
    memset(found, 0xA5, sizeof found);
    size_t count = 4;
    CHECK_OK(atlas_reconstruction_missing(rebuilt, found, &count));
    CHECK(count == 1 && found[0].offset == 0 && found[0].length == size);
    add_region(rebuilt, projection, 3 * PAGE, PAGE);
    add_region(rebuilt, projection, PAGE, PAGE);
    add_region(rebuilt, projection, 2 * PAGE, PAGE);
    add_region(rebuilt, projection, TILE - PAGE, 2 * PAGE);
    memset(found, 0xA5, sizeof found);
    count = 4;
    CHECK_OK(atlas_reconstruction_missing(rebuilt, found, &count));
    CHECK_EQ(count, 3);
    CHECK(found[0].offset == 0 && found[0].length == PAGE);
    CHECK(found[1].offset == 4 * PAGE && found[1].length == TILE - 5 * PAGE);
    CHECK(found[2].offset == TILE + PAGE && found[2].length == TILE - PAGE);
    CHECK(all_bytes(&found[3], sizeof found[3], 0xA5));
    for (size_t capacity = 0; capacity <= 3; capacity++) {
        memset(found, 0xA5, sizeof found);
        count = capacity;
        CHECK_OK(atlas_reconstruction_missing(rebuilt, capacity == 0 ? NULL : found, &count));
        CHECK_EQ(count, 3);
        CHECK(capacity == 0 || found[0].offset == 0);
        CHECK(all_bytes(&found[capacity], (4 - capacity) * sizeof found[0], 0xA5));
    }
    result = (atlas_projection *)data;
    CHECK_STATUS(atlas_reconstruction_finish(rebuilt, NULL, &result), ATLAS_STATUS_INCOMPLETE);
    CHECK(result == NULL);
    CHECK_SAYS("2076672"); /* all but the five pages */
    CHECK_SAYS("2097152");
    CHECK_EQ(last_error().offset, 0);
    CHECK_EQ(last_error().length, PAGE);
    /* Still usable. */
    add_region(rebuilt, projection, 0, size);
    uint8_t root[32];
    root_of(projection, root);
    CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &result));
    check_projection(result, data, size, root);
    atlas_projection_destroy(result);
    atlas_reconstruction_destroy(rebuilt);
    atlas_projection_destroy(projection);
    free(data);
}

static void check_refused(atlas_reconstruction *rebuilt, const atlas_projection *foreign,
                          uint64_t offset, uint64_t length, int wanted)
{
    atlas_region before[8];
    atlas_region after[8];
    size_t count = 8;
    CHECK_OK(atlas_reconstruction_missing(rebuilt, before, &count));
    atlas_shard *shard = extracted(foreign, offset, length);
    CHECK_STATUS(atlas_reconstruction_add(rebuilt, shard, NULL), wanted);
    atlas_shard_destroy(shard);
    size_t now = 8;
    CHECK_OK(atlas_reconstruction_missing(rebuilt, after, &now));
    CHECK(now == count && memcmp(before, after, count * sizeof before[0]) == 0);
}

static void foreign_shards_do_no_harm(void)
{
    const size_t size = TILE + 50000;
    uint8_t *data = random_bytes(size, 64);
    uint8_t *other = random_bytes(size, 65);
    atlas_projection *projection = projected_bytes(data, size);
    atlas_projection *foreign = projected_bytes(other, size);
    atlas_projection *shorter = projected_bytes(data, size - 1);
    atlas_source *source = borrowed(data, size);
    atlas_projection_options with_key;
    atlas_projection_options_init(&with_key);
    with_key.key = key;
    atlas_projection *keyed = projected(source, &with_key);
    uint8_t root[32];
    root_of(projection, root);

    atlas_reconstruction *rebuilt = created(NULL);
    add_region(rebuilt, projection, 5000, 100000);
    check_refused(rebuilt, foreign, 0, size, ATLAS_STATUS_WITNESS);
    check_refused(rebuilt, foreign, 5000, 10, ATLAS_STATUS_WITNESS);
    check_refused(rebuilt, foreign, 0, 0, ATLAS_STATUS_WITNESS);
    check_refused(rebuilt, shorter, 0, 100, ATLAS_STATUS_WITNESS);
    check_refused(rebuilt, keyed, 0, 100, ATLAS_STATUS_WITNESS);
    add_region(rebuilt, projection, 0, 6000);
    add_region(rebuilt, projection, 100000, size - 100000);
    CHECK(atlas_reconstruction_is_complete(rebuilt));
    check_refused(rebuilt, foreign, 0, size, ATLAS_STATUS_WITNESS);
    atlas_projection *result = NULL;
    CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &result));
    check_projection(result, data, size, root);
    atlas_projection_destroy(result);
    atlas_reconstruction_destroy(rebuilt);

    /* With an expected root the first shard is held to it as well, and a key to be needed. */
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.expected_root = root;
    rebuilt = created(&options);
    check_refused(rebuilt, foreign, 0, size, ATLAS_STATUS_WITNESS);
    CHECK(!atlas_reconstruction_is_complete(rebuilt));
    add_region(rebuilt, projection, 0, size);
    CHECK(atlas_reconstruction_is_complete(rebuilt));
    atlas_reconstruction_destroy(rebuilt);
    options.expected_root = NULL;
    options.key = key;
    rebuilt = created(&options);
    check_refused(rebuilt, projection, 0, size, ATLAS_STATUS_WITNESS);
    add_region(rebuilt, keyed, 0, size);
    CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &result));
    root_of(keyed, root);
    check_projection(result, data, size, root);
    atlas_projection_destroy(result);
    atlas_reconstruction_destroy(rebuilt);
    uint8_t wrong[32] = {0};
    options.key = wrong;
    rebuilt = created(&options);
    check_refused(rebuilt, keyed, 0, size, ATLAS_STATUS_WITNESS);
    atlas_reconstruction_destroy(rebuilt);
    rebuilt = created(NULL);
    check_refused(rebuilt, keyed, 0, size, ATLAS_STATUS_WITNESS);
    atlas_reconstruction_destroy(rebuilt);

    atlas_projection_destroy(keyed);
    atlas_source_destroy(source);
    atlas_projection_destroy(shorter);
    atlas_projection_destroy(foreign);
    atlas_projection_destroy(projection);
    free(other);
    free(data);
}

/* The same root with another story of its tiles cannot be made without breaking the digest, but for
 * the residue of a tile that no shard has whole: that one is in the leaf too. So a lie is WITNESS. */
static void a_lie_about_a_tile_is_refused(void)
{
    const size_t size = 2 * TILE;
    uint8_t *data = random_bytes(size, 66);
    atlas_projection *projection = projected_bytes(data, size);
    atlas_shard *shard = extracted(projection, 0, 100);
    atlas_buffer buffer = {NULL, 0};
    CHECK_OK(atlas_shard_serialize(shard, &buffer));
    /* TILES: behind 24 bytes, and records of 32, 24 and 16 bytes with 16 more each. */
    const size_t tiles = 24 + (16 + 32) + (16 + 24) + (16 + 16) + 16;
    CHECK(all_bytes(buffer.data + tiles, 8, 0));
    CHECK(buffer.data[tiles + 8] == 0 && buffer.data[tiles + 10] == 0x10); /* 1 MiB */
    CHECK(buffer.data[tiles + 12] == residue_of(data, TILE));
    buffer.data[tiles + 12] = (uint8_t)((buffer.data[tiles + 12] + 1) % 96);
    atlas_digest256(buffer.data, buffer.size - 32, buffer.data + buffer.size - 32);
    atlas_shard *lie = NULL;
    CHECK_STATUS(atlas_shard_deserialize(buffer.data, buffer.size, NULL, NULL, NULL, &lie),
                 ATLAS_STATUS_WITNESS);
    CHECK(lie == NULL);
    atlas_buffer_free(&buffer);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

static void a_domain_that_is_too_large_is_refused(void)
{
    uint8_t *data = random_bytes(50000, 67);
    atlas_projection *projection = projected_bytes(data, 50000);
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.max_domain_size = 49999;
    atlas_reconstruction *rebuilt = created(&options);
    atlas_shard *shard = extracted(projection, 0, 1);
    CHECK_STATUS(atlas_reconstruction_add(rebuilt, shard, NULL), ATLAS_STATUS_LIMIT);
    CHECK_SAYS("50000");
    CHECK_SAYS("49999");
    CHECK_EQ(missing_count(rebuilt), 0);
    atlas_reconstruction_destroy(rebuilt);
    options.max_domain_size = 50000;
    rebuilt = created(&options);
    CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
    atlas_reconstruction_destroy(rebuilt);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    free(data);
}

static void a_spool_leaves_nothing_behind(void)
{
    uint8_t *data = random_bytes(2 * TILE, 68);
    atlas_projection *projection = projected_bytes(data, 2 * TILE);
    const char *path = temp_path("ä漢 spool.bin");
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = path;
    CHECK_EQ(temp_names(), 0);
    atlas_reconstruction *rebuilt = created(&options);
    CHECK(temp_names() <= 1);
    add_region(rebuilt, projection, 0, TILE);
    CHECK(!exists(path));
    CHECK(temp_names() <= 1);
    atlas_reconstruction_destroy(rebuilt);
    CHECK_EQ(temp_names(), 0);
    /* An older file stays until the end. */
    write_file(path, "old", 3);
    rebuilt = created(&options);
    add_region(rebuilt, projection, 0, TILE);
    atlas_projection *result = NULL;
    CHECK_STATUS(atlas_reconstruction_finish(rebuilt, NULL, &result), ATLAS_STATUS_INCOMPLETE);
    CHECK(file_is(path, "old", 3));
    add_region(rebuilt, projection, TILE, TILE);
    CHECK(file_is(path, "old", 3));
    CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &result));
    CHECK(file_is(path, data, 2 * TILE));
    CHECK_EQ(temp_names(), 1);
    atlas_reconstruction_destroy(rebuilt);
    CHECK_OK(atlas_projection_verify(result, NULL));
    atlas_projection_destroy(result);
    CHECK(unlink(path) == 0);
    options.spool_path = temp_path("no/such/folder");
    rebuilt = (atlas_reconstruction *)&options;
    CHECK_STATUS(atlas_reconstruction_create(&options, &rebuilt), ATLAS_STATUS_IO);
    CHECK(rebuilt == NULL);
    CHECK_EQ(last_error().os_error, FOLDER_MISSING);
    atlas_projection_destroy(projection);
    free(data);
}

/* A change of the spool file in between is found by the check of the whole domain. */
static char spool_file[PATH_MAX + 300];

static void note_path(const char *path) { (void)snprintf(spool_file, sizeof spool_file, "%s", path); }

/* Opens the spool, which may have no name: then by the descriptor of the library, whose link is in the folder. */
static int open_spool(void)
{
    if (each_name(temp_dir(), note_path) == 1) {
        return open(spool_file, O_WRONLY);
    }
    for (int fd = 3; fd < 256; fd++) {
        char link[64];
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        const ssize_t len = readlink(link, spool_file, sizeof spool_file - 1);
        spool_file[len > 0 ? len : 0] = '\0';
        if (strncmp(spool_file, temp_dir(), strlen(temp_dir())) == 0 && strstr(spool_file, " (deleted)") != NULL) {
            return open(link, O_WRONLY);
        }
    }
    return -1;
}

static void a_changed_spool_is_found_at_the_end(void)
{
    uint8_t *data = random_bytes(TILE + 100, 69);
    atlas_projection *projection = projected_bytes(data, TILE + 100);
    const char *path = temp_path("out.bin");
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = path;
    atlas_reconstruction *rebuilt = created(&options);
    add_region(rebuilt, projection, 0, TILE + 100);
    const int file = open_spool();
    CHECK(file >= 0);
    const uint8_t wrong = (uint8_t)(data[TILE] ^ 1);
    CHECK(pwrite(file, &wrong, 1, (off_t)TILE) == 1);
    atlas_projection *result = (atlas_projection *)data;
    CHECK_STATUS(atlas_reconstruction_finish(rebuilt, NULL, &result), ATLAS_STATUS_WITNESS);
    CHECK(result == NULL);
    CHECK(!exists(path));
    CHECK(pwrite(file, data + TILE, 1, (off_t)TILE) == 1);
    CHECK(close(file) == 0);
    CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &result));
    CHECK(file_is(path, data, TILE + 100));
    atlas_projection_destroy(result);
    atlas_reconstruction_destroy(rebuilt);
    CHECK(unlink(path) == 0);
    atlas_projection_destroy(projection);
    free(data);
}

int main(void)
{
    static const size_t sizes[] = {0, 1, 4096, 100001, TILE + 1, 3 * TILE + 777};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        any_order_rebuilds_the_domain(sizes[i], false);
        any_order_rebuilds_the_domain(sizes[i], true);
    }
    TEST(what_is_missing_is_told);
    TEST(foreign_shards_do_no_harm);
    TEST(a_lie_about_a_tile_is_refused);
    TEST(a_domain_that_is_too_large_is_refused);
    TEST(a_spool_leaves_nothing_behind);
    TEST(a_changed_spool_is_found_at_the_end);
    atlas_reconstruction_destroy(NULL);
    CHECK_EQ(temp_names(), 0);
    return 0;
}
