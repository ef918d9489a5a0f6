/* Sources: every kind gives the same bytes, releases once, and fails with a place and a number. */
#include "check.h"

#include <pthread.h>

typedef struct released {
    int count;
} released;

static void on_release(void *user_data) { ((released *)user_data)->count++; }

typedef struct reader {
    const uint8_t *data;
    size_t size;
    int fail_with;            /* an errno value, from `fail_from` on */
    uint64_t fail_from;
    pthread_mutex_t lock;
    uint64_t calls;
    bool outside;             /* asked for bytes that are not there */
    released gone;
} reader;

static int read_from(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    reader *self = (reader *)user_data;
    (void)pthread_mutex_lock(&self->lock);
    self->calls++;
    if (offset > self->size || size > self->size - offset || size == 0) {
        self->outside = true;
    }
    const bool outside = self->outside;
    const int failure = offset + size > self->fail_from ? self->fail_with : 0;
    (void)pthread_mutex_unlock(&self->lock);
    if (outside || failure != 0) {
        return failure != 0 ? failure : EINVAL;
    }
    memcpy(buffer, self->data + offset, size);
    return 0;
}

static void reader_gone(void *user_data) { ((reader *)user_data)->gone.count++; }

static void reader_init(reader *self, const uint8_t *data, size_t size)
{
    memset(self, 0, sizeof *self);
    self->data = data;
    self->size = size;
    CHECK(pthread_mutex_init(&self->lock, NULL) == 0);
}

static void check_source(const atlas_source *source, const uint8_t *data, size_t size)
{
    CHECK_EQ(atlas_source_size(source), size);
    atlas_projection *projection = projected(source, NULL);
    uint8_t *found = (uint8_t *)malloc(size + 1);
    CHECK(found != NULL);
    found[size] = 0x77;
    CHECK_OK(atlas_projection_read(projection, 0, found, size));
    CHECK(memcmp(found, data, size) == 0 && found[size] == 0x77);
    CHECK_OK(atlas_projection_verify(projection, NULL));
    uint8_t root[32];
    uint8_t wanted[32];
    root_of(projection, root);
    atlas_projection *plain = projected_bytes(data, size);
    root_of(plain, wanted);
    CHECK(memcmp(root, wanted, 32) == 0);
    atlas_projection_destroy(plain);
    atlas_projection_destroy(projection);
    free(found);
}

static void every_kind_gives_the_same_bytes(size_t size)
{
    uint8_t *data = random_bytes(size, 11);
    const char *path = temp_path("ä漢.bin");
    write_file(path, data, size);
    atlas_source *source = NULL;

    uint8_t *passing = random_bytes(size, 11);
    CHECK_OK(atlas_source_copy(passing, size, &source));
    memset(passing, 0, size);
    free(passing);
    check_source(source, data, size);
    atlas_source_destroy(source);

    CHECK_OK(atlas_source_borrow(data, size, NULL, NULL, &source));
    check_source(source, data, size);
    atlas_source_destroy(source);

    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    check_source(source, data, size);
    atlas_source_destroy(source);

    source = NULL;
    const atlas_status mapped = atlas_source_open_file(path, ATLAS_FILE_IO_MMAP, &source);
    if ((atlas_manifold_features() & ATLAS_FEATURE_STREAMING) != 0 || mapped == ATLAS_STATUS_OK) {
        CHECK_OK(mapped);
        check_source(source, data, size);
        atlas_source_destroy(source);
    } else {
        CHECK_STATUS(mapped, ATLAS_STATUS_UNSUPPORTED);
        CHECK(source == NULL);
    }

    reader self;
    reader_init(&self, data, size);
    CHECK_OK(atlas_source_from_callback(size, read_from, reader_gone, &self, &source));
    check_source(source, data, size);
    CHECK(self.gone.count == 0);
    atlas_source_destroy(source);
    CHECK(self.gone.count == 1);
    CHECK(!self.outside);
    CHECK(size == 0 ? self.calls == 0 : self.calls >= 1);

    CHECK(unlink(path) == 0);
    free(data);
}

static void empty_sources_need_no_memory(void)
{
    static const char *const wanted =
        "e9359e6df92127c1e351f990d7eff1be990d8b736bf1d260563e133316a721c9";
    atlas_source *source = NULL;
    uint8_t root[32];
    CHECK_OK(atlas_source_copy(NULL, 0, &source));
    CHECK_EQ(atlas_source_size(source), 0);
    atlas_projection *projection = projected(source, NULL);
    root_of(projection, root);
    CHECK(digest_is(root, wanted));
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    released count = {0};
    CHECK_OK(atlas_source_borrow(NULL, 0, on_release, &count, &source));
    projection = projected(source, NULL);
    root_of(projection, root);
    CHECK(digest_is(root, wanted));
    atlas_projection_destroy(projection);
    CHECK(count.count == 0);
    atlas_source_destroy(source);
    CHECK(count.count == 1);
}

static void a_release_comes_once_with_the_last_object(void)
{
    uint8_t *data = random_bytes(TILE + 5, 3);
    released count = {0};
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_borrow(data, TILE + 5, on_release, &count, &source));
    atlas_projection *first = projected(source, NULL);
    atlas_projection *second = projected(source, NULL);
    atlas_source_destroy(source);
    CHECK(count.count == 0);
    atlas_projection *snapshot = NULL;
    CHECK_OK(atlas_projection_snapshot(first, &snapshot));
    atlas_projection_destroy(first);
    CHECK(count.count == 0);
    atlas_shard *shard = extracted(second, 17, 40);
    atlas_projection_destroy(second);
    CHECK(count.count == 0);
    uint8_t byte = 0;
    CHECK_OK(atlas_projection_read(snapshot, TILE, &byte, 1));
    CHECK(byte == data[TILE]);
    atlas_projection_destroy(snapshot);
    CHECK(count.count == 1);
    /* A shard owns its bytes: the memory may go. */
    uint8_t wanted[40];
    memcpy(wanted, data + 17, sizeof wanted);
    memset(data, 0xFF, TILE + 5);
    free(data);
    const uint8_t *bytes = NULL;
    size_t size = 0;
    CHECK_OK(atlas_shard_data(shard, &bytes, &size));
    CHECK(size == sizeof wanted && memcmp(bytes, wanted, size) == 0);
    CHECK_OK(atlas_shard_verify(shard, NULL, NULL));
    atlas_shard_destroy(shard);
    CHECK(count.count == 1);
}

static void a_source_that_nobody_reads_is_released_at_once(void)
{
    const uint8_t byte = 1;
    released count = {0};
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_borrow(&byte, 1, on_release, &count, &source));
    atlas_source_destroy(source);
    CHECK(count.count == 1);
    atlas_source_destroy(NULL);
}

static void a_failed_projection_does_not_keep_its_source(void)
{
    uint8_t *data = random_bytes(3 * TILE, 4);
    reader self;
    reader_init(&self, data, 3 * TILE);
    self.fail_with = EIO;
    self.fail_from = 2 * TILE + 10;
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(3 * TILE, read_from, reader_gone, &self, &source));
    atlas_projection *projection = (atlas_projection *)&self;
    CHECK_STATUS(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection),
                 ATLAS_STATUS_IO);
    CHECK(projection == NULL);
    const atlas_error_info info = last_error();
    CHECK_EQ(info.status, ATLAS_STATUS_IO);
    CHECK_EQ(info.os_error, EIO);
    CHECK_EQ(info.index, 2);
    CHECK(info.offset >= 2 * TILE && info.offset < 3 * TILE);
    CHECK(self.gone.count == 0);
    atlas_source_destroy(source);
    CHECK(self.gone.count == 1);
    free(data);
}

static void the_number_of_a_callback_comes_through(void)
{
    static const int codes[] = {EIO, ENOSPC, EACCES, ETIMEDOUT};
    uint8_t *data = random_bytes(10000, 5);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        reader self;
        reader_init(&self, data, 10000);
        atlas_source *source = NULL;
        CHECK_OK(atlas_source_from_callback(10000, read_from, NULL, &self, &source));
        atlas_projection *projection = projected(source, NULL);
        atlas_source_destroy(source);
        self.fail_with = codes[i];
        uint8_t buffer[100];
        CHECK_STATUS(atlas_projection_read(projection, 9000, buffer, 100), ATLAS_STATUS_IO);
        CHECK_EQ(last_error().os_error, codes[i]);
        CHECK_EQ(last_error().offset, 9000);
        CHECK_EQ(last_error().length, 100);
        CHECK_SAYS("9000");
        CHECK_STATUS(atlas_projection_verify(projection, NULL), ATLAS_STATUS_IO);
        CHECK_EQ(last_error().os_error, codes[i]);
        atlas_shard *shard = NULL;
        const atlas_region region = {1, 2};
        CHECK_STATUS(atlas_shard_extract(projection, &region, NULL, &shard), ATLAS_STATUS_IO);
        CHECK_EQ(last_error().os_error, codes[i]);
        CHECK(shard == NULL);
        /* The next try may succeed: nothing is broken by it. */
        self.fail_with = 0;
        CHECK_OK(atlas_projection_verify(projection, NULL));
        CHECK(last_error().os_error == 0);
        atlas_projection_destroy(projection);
    }
    free(data);
}

static void missing_files_and_folders_are_told_with_their_path(void)
{
    atlas_source *source = (atlas_source *)&source;
    CHECK_STATUS(atlas_source_open_file(temp_path("absent.bin"), ATLAS_FILE_IO_READ, &source),
                 ATLAS_STATUS_IO);
    CHECK(source == NULL);
    CHECK_EQ(last_error().os_error, ENOENT);
    CHECK_SAYS("absent.bin");
    CHECK(atlas_source_open_file(temp_path("absent.bin"), ATLAS_FILE_IO_MMAP, &source) !=
          ATLAS_STATUS_OK);
    CHECK(source == NULL);
    source = (atlas_source *)&source;
    CHECK(atlas_source_open_file(temp_dir(), ATLAS_FILE_IO_READ, &source) != ATLAS_STATUS_OK);
    CHECK(source == NULL);
    CHECK(strstr(atlas_last_error_message(), temp_dir()) != NULL);
    CHECK(last_error().status == ATLAS_STATUS_IO ||
          last_error().status == ATLAS_STATUS_INVALID_ARGUMENT);
    source = (atlas_source *)&source;
    CHECK(atlas_source_open_file("", ATLAS_FILE_IO_READ, &source) != ATLAS_STATUS_OK);
    CHECK(source == NULL);
    write_file(temp_path("there.bin"), "x", 1);
    static const uint32_t kinds[] = {3, 4, 255, 256, 0x80000000U, UINT32_MAX};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        source = (atlas_source *)&source;
        CHECK_STATUS(atlas_source_open_file(temp_path("there.bin"), kinds[i], &source),
                     ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK(source == NULL);
    }
    CHECK(unlink(temp_path("there.bin")) == 0);
}

static void a_file_that_shrinks_is_an_error_and_its_growth_is_not_seen(void)
{
    const size_t size = 2 * TILE;
    uint8_t *data = random_bytes(size, 6);
    const char *path = temp_path("shrinks.bin");
    write_file(path, data, size);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    atlas_projection *projection = projected(source, NULL);
    CHECK(truncate(path, (off_t)(TILE + 1000)) == 0);
    CHECK_STATUS(atlas_projection_verify(projection, NULL), ATLAS_STATUS_IO);
    CHECK_SAYS("shrinks.bin");
    CHECK_EQ(last_error().index, 1);
    uint8_t buffer[2000];
    CHECK_STATUS(atlas_projection_read(projection, TILE, buffer, 2000), ATLAS_STATUS_IO);
    CHECK_OK(atlas_projection_read(projection, TILE, buffer, 1000));
    CHECK(memcmp(buffer, data + TILE, 1000) == 0);
    /* A source that is opened before the file shrinks cannot be projected. */
    atlas_projection *late = (atlas_projection *)&size;
    CHECK_STATUS(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &late),
                 ATLAS_STATUS_IO);
    CHECK(late == NULL);
    /* The old size again, with other bytes: that is a changed source. */
    CHECK(truncate(path, (off_t)size) == 0);
    CHECK_STATUS(atlas_projection_verify(projection, NULL), ATLAS_STATUS_WITNESS);
    CHECK_EQ(last_error().index, 1);
    write_file(path, data, size);
    CHECK(truncate(path, (off_t)(size + 500)) == 0);
    CHECK_OK(atlas_projection_verify(projection, NULL));
    CHECK_EQ(atlas_source_size(source), size);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    CHECK(unlink(path) == 0);
    free(data);
}

/* A file may be unlinked and the source still reads it, as the descriptor is open. */
static void a_file_without_a_name_is_still_read(void)
{
    uint8_t *data = random_bytes(5000, 7);
    const char *path = temp_path("goes.bin");
    write_file(path, data, 5000);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    CHECK(unlink(path) == 0);
    check_source(source, data, 5000);
    atlas_source_destroy(source);
    free(data);
}

static void a_source_of_any_size_is_only_a_number(void)
{
    reader self;
    reader_init(&self, NULL, 0);
    self.fail_with = EIO;
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(UINT64_C(1) << 40, read_from, reader_gone, &self, &source));
    CHECK_EQ(atlas_source_size(source), UINT64_C(1) << 40);
    CHECK(self.calls == 0);
    atlas_source_destroy(source);
    CHECK(self.gone.count == 1);
}

/* A shard of a file that is cut out, memory, a callback and the file again: their bytes, released once. */
static void parts_are_the_bytes_that_they_are_made_of(void)
{
    const size_t size = TILE + 5000;
    uint8_t *data = random_bytes(size, 8);
    const char *path = temp_path("parts.bin");
    write_file(path, data, size);
    reader self;
    reader_init(&self, data, size);
    released count = {0};
    atlas_source *file = NULL, *memory = NULL, *callback = NULL, *part = NULL, *whole = NULL, *inner = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &file));
    CHECK_OK(atlas_source_borrow(data, size, on_release, &count, &memory));
    CHECK_OK(atlas_source_from_callback(size, read_from, reader_gone, &self, &callback));
    CHECK_OK(atlas_source_range(file, 4096, TILE, &part));
    check_source(part, data + 4096, TILE);
    const atlas_source *const all[] = {part, memory, part, callback};
    CHECK_OK(atlas_source_concat(all, 4, &whole));
    CHECK_EQ(atlas_source_size(whole), 2 * TILE + 2 * size);
    uint8_t *wanted = (uint8_t *)malloc(2 * TILE + 2 * size);
    CHECK(wanted != NULL);
    memcpy(wanted, data + 4096, TILE);
    memcpy(wanted + TILE, data, size);
    memcpy(wanted + TILE + size, data + 4096, TILE);
    memcpy(wanted + 2 * TILE + size, data, size);
    /* The parts are held: their handles may go. */
    atlas_source_destroy(file);
    atlas_source_destroy(memory);
    atlas_source_destroy(callback);
    atlas_source_destroy(part);
    CHECK(count.count == 0 && self.gone.count == 0);
    check_source(whole, wanted, 2 * TILE + 2 * size);
    /* A range over the edges of parts, of a source of parts. */
    CHECK_OK(atlas_source_range(whole, TILE - 7, size + 100, &inner));
    check_source(inner, wanted + TILE - 7, size + 100);
    atlas_source_destroy(whole);
    check_source(inner, wanted + TILE - 7, size + 100);
    CHECK(count.count == 0 && self.gone.count == 1);
    atlas_source_destroy(inner);
    CHECK(count.count == 1 && self.gone.count == 1 && !self.outside);
    CHECK(unlink(path) == 0);
    free(wanted);
    free(data);
}

static void parts_have_ends_and_places(void)
{
    uint8_t *data = random_bytes(10000, 9);
    reader self;
    reader_init(&self, data, 10000);
    atlas_source *callback = NULL, *part = (atlas_source *)&self, *whole = NULL;
    CHECK_OK(atlas_source_from_callback(10000, read_from, NULL, &self, &callback));
    static const atlas_region outside[] = {
        {10001, 0}, {0, 10001}, {9999, 2}, {UINT64_MAX, 1}, {1, UINT64_MAX}, {UINT64_MAX, UINT64_MAX}};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        part = (atlas_source *)&self;
        CHECK_STATUS(atlas_source_range(callback, outside[i].offset, outside[i].length, &part),
                     ATLAS_STATUS_OUT_OF_RANGE);
        CHECK(part == NULL);
        CHECK_EQ(last_error().offset, outside[i].offset);
        CHECK_EQ(last_error().length, outside[i].length);
    }
    CHECK_OK(atlas_source_range(callback, 10000, 0, &part));
    CHECK_EQ(atlas_source_size(part), 0);
    check_source(part, data, 0);
    const atlas_source *const empties[] = {part, part, part};
    CHECK_OK(atlas_source_concat(empties, 3, &whole));
    check_source(whole, data, 0);
    atlas_source_destroy(whole);
    atlas_source_destroy(part);
    CHECK_OK(atlas_source_concat(NULL, 0, &whole));
    CHECK_EQ(atlas_source_size(whole), 0);
    atlas_source_destroy(whole);

    /* A failure is told by its place in the whole, and the callback is asked for its own. */
    CHECK_OK(atlas_source_range(callback, 1000, 9000, &part));
    const atlas_source *const twice[] = {part, part};
    CHECK_OK(atlas_source_concat(twice, 2, &whole));
    atlas_projection *projection = projected(whole, NULL);
    self.fail_with = EIO;
    self.fail_from = 2000;
    uint8_t buffer[100];
    CHECK_OK(atlas_projection_read(projection, 9000, buffer, 100));
    CHECK(memcmp(buffer, data + 1000, 100) == 0);
    CHECK_STATUS(atlas_projection_read(projection, 9950, buffer, 100), ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, EIO);
    CHECK_EQ(last_error().offset, 9950);
    CHECK_EQ(last_error().length, 100);
    CHECK(!self.outside);
    atlas_projection_destroy(projection);
    atlas_source_destroy(whole);
    atlas_source_destroy(part);

    /* More bytes than a 64-bit number can count. */
    atlas_source *huge = NULL;
    CHECK_OK(atlas_source_from_callback(UINT64_MAX, read_from, NULL, &self, &huge));
    const atlas_source *const too_many[] = {huge, callback};
    whole = (atlas_source *)&self;
    CHECK_STATUS(atlas_source_concat(too_many, 2, &whole), ATLAS_STATUS_LIMIT);
    CHECK(whole == NULL);
    const atlas_source *const with_null[] = {callback, callback, NULL};
    whole = (atlas_source *)&self;
    CHECK_STATUS(atlas_source_concat(with_null, 3, &whole), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("sources[2] is NULL");
    CHECK_EQ(last_error().index, 2);
    CHECK(whole == NULL);
    atlas_source_destroy(huge);
    atlas_source_destroy(callback);
    free(data);
}

int main(void)
{
    static const size_t sizes[] = {0, 1, 4097, TILE + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        every_kind_gives_the_same_bytes(sizes[i]);
    }
    TEST(empty_sources_need_no_memory);
    TEST(a_release_comes_once_with_the_last_object);
    TEST(a_source_that_nobody_reads_is_released_at_once);
    TEST(a_failed_projection_does_not_keep_its_source);
    TEST(the_number_of_a_callback_comes_through);
    TEST(missing_files_and_folders_are_told_with_their_path);
    TEST(a_file_that_shrinks_is_an_error_and_its_growth_is_not_seen);
    TEST(a_file_without_a_name_is_still_read);
    TEST(a_source_of_any_size_is_only_a_number);
    TEST(parts_are_the_bytes_that_they_are_made_of);
    TEST(parts_have_ends_and_places);
    CHECK_EQ(temp_names(), 0);
    return 0;
}
