/* More than 4 GiB: a sparse file of 5 GiB, with a few bytes that are not zero. */
#include "check.h"

static const uint64_t size = UINT64_C(5) * 1024 * 1024 * 1024 + 12345;

typedef struct mark {
    uint64_t offset;
    const char *text;
} mark;

static const mark marks[] = {
    {0, "first"},
    {UINT64_C(0xFFFFFFFF) - 2, "across 2^32"},
    {UINT64_C(0x100000000) + 5000, "behind 4 GiB"},
    {UINT64_C(0x100000000) + UINT64_C(0x80000000) / 4, "far"},
    {UINT64_C(5) * 1024 * 1024 * 1024 + 12345 - 4, "last"},
};
enum { MARKS = sizeof marks / sizeof marks[0] };

static void make_file(const char *path)
{
    const int file = open(path, O_CREAT | O_RDWR | O_EXCL, 0600);
    CHECK(file >= 0);
    if (ftruncate(file, (off_t)size) != 0) {
        skip("this file system has no file of 5 GiB");
    }
    for (size_t i = 0; i < MARKS; i++) {
        const size_t length = strlen(marks[i].text);
        CHECK(pwrite(file, marks[i].text, length, (off_t)marks[i].offset) == (ssize_t)length);
    }
    struct stat info;
    CHECK(fsync(file) == 0 && fstat(file, &info) == 0);
    CHECK((uint64_t)info.st_size == size);
    CHECK(close(file) == 0);
    if ((uint64_t)info.st_blocks * 512 > UINT64_C(64) * 1024 * 1024) {
        skip("this file system has no sparse files");
    }
}

static uint32_t residue_of_marks(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < MARKS; i++) {
        for (const char *at = marks[i].text; *at != '\0'; at++) {
            sum += (uint8_t)*at;
        }
    }
    return (uint32_t)(sum % 96);
}

typedef struct steps {
    uint64_t last, total;
} steps;

static bool count_steps(const atlas_progress *progress, void *user_data)
{
    steps *self = (steps *)user_data;
    CHECK(progress->bytes_done >= self->last);
    self->last = progress->bytes_done;
    self->total = progress->bytes_total;
    return true;
}

static void check_marks(const atlas_projection *projection, const uint8_t root[32])
{
    uint8_t page[4096];
    for (size_t i = 0; i < MARKS; i++) {
        const size_t length = strlen(marks[i].text);
        char found[32] = "";
        CHECK_OK(atlas_projection_read(projection, marks[i].offset, found, length));
        CHECK(memcmp(found, marks[i].text, length) == 0);
        const uint64_t offset = marks[i].offset / PAGE * PAGE;
        const uint64_t rest = size - offset;
        atlas_shard *shard = extracted(projection, offset, rest < PAGE ? rest : PAGE);
        atlas_buffer buffer = {NULL, 0};
        CHECK_OK(atlas_shard_serialize(shard, &buffer));
        CHECK(buffer.size < 8192);
        atlas_shard_destroy(shard);
        atlas_verify_options verify;
        atlas_verify_options_init(&verify);
        verify.expected_root = root;
        CHECK_OK(atlas_shard_deserialize(buffer.data, buffer.size, NULL, &verify, NULL, &shard));
        atlas_buffer_free(&buffer);
        CHECK_OK(atlas_shard_verify(shard, &verify, NULL));
        atlas_shard_info info;
        info.struct_size = (uint32_t)sizeof info;
        CHECK_OK(atlas_shard_get_info(shard, &info));
        CHECK_EQ(info.domain_size, size);
        CHECK_EQ(info.region.offset, offset);
        const uint64_t end = info.region.offset + info.region.length;
        const uint64_t shown = end - marks[i].offset < length ? end - marks[i].offset : length;
        memset(page, 0, sizeof page);
        CHECK_OK(atlas_shard_read(shard, marks[i].offset, page, (size_t)shown));
        CHECK(memcmp(page, marks[i].text, (size_t)shown) == 0);
        atlas_shard_destroy(shard);
    }
}

static void check_geometry(const atlas_projection *projection)
{
    atlas_projection_info info;
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_projection_get_info(projection, &info));
    CHECK_EQ(info.domain_size, size);
    CHECK_EQ(info.page_count, size / PAGE + 1);
    CHECK_EQ(info.tile_count, 5121);
    CHECK_EQ(info.width, 72); /* 71 * 71 = 5041 */
    CHECK_EQ(info.residue, residue_of_marks());
    atlas_tile_info tile;
    tile.struct_size = (uint32_t)sizeof tile;
    CHECK_OK(atlas_projection_get_tile(projection, 5120, &tile));
    CHECK_EQ(tile.offset, UINT64_C(5) * 1024 * 1024 * 1024);
    CHECK_EQ(tile.length, 12345);
    double bounds[4];
    CHECK_OK(atlas_projection_tile_bounds(projection, 5120, bounds));
    uint64_t found = 0;
    CHECK_OK(atlas_projection_tile_at(projection, bounds[0] + 0.5, bounds[1] + 0.5, &found));
    CHECK_EQ(found, 5120);
    uint8_t byte = 0;
    CHECK_STATUS(atlas_projection_read(projection, size, &byte, 1), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_SAYS("5368721465");
    CHECK_OK(atlas_projection_read(projection, size - 1, &byte, 1));
    CHECK(byte == 't');
}

/* A shard of one page is enough to know how much is missing of it all. */
static void check_missing(const atlas_projection *projection)
{
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    atlas_reconstruction *rebuilt = NULL;
    CHECK_OK(atlas_reconstruction_create(&options, &rebuilt));
    const uint64_t offset = UINT64_C(0x100000000) + PAGE;
    atlas_shard *shard = extracted(projection, offset, PAGE);
    CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
    atlas_shard_destroy(shard);
    atlas_region missing[2];
    size_t count = 2;
    CHECK_OK(atlas_reconstruction_missing(rebuilt, missing, &count));
    CHECK_EQ(count, 2);
    CHECK(missing[0].offset == 0 && missing[0].length == offset);
    CHECK(missing[1].offset == offset + PAGE && missing[1].length == size - offset - PAGE);
    atlas_projection *made = NULL;
    CHECK_STATUS(atlas_reconstruction_finish(rebuilt, NULL, &made), ATLAS_STATUS_INCOMPLETE);
    atlas_reconstruction_destroy(rebuilt);
}

/* The whole file, with its holes. */
static void check_file(const char *path)
{
    const int file = open(path, O_RDONLY);
    CHECK(file >= 0);
    struct stat info;
    CHECK(fstat(file, &info) == 0);
    CHECK_EQ(info.st_size, size);
    CHECK((uint64_t)info.st_blocks * 512 < UINT64_C(64) * 1024 * 1024);
    for (size_t i = 0; i < MARKS; i++) {
        const size_t length = strlen(marks[i].text);
        char found[32] = "";
        CHECK(pread(file, found, length, (off_t)marks[i].offset) == (ssize_t)length);
        CHECK(memcmp(found, marks[i].text, length) == 0);
    }
    CHECK(close(file) == 0);
}

/* All of it from shards, the last ones first, into a spool file. */
static void check_rebuilt(const atlas_projection *projection, const uint8_t root[32])
{
    const char *path = temp_path("rebuilt.bin");
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = path;
    options.expected_root = root;
    atlas_reconstruction *rebuilt = NULL;
    CHECK_OK(atlas_reconstruction_create(&options, &rebuilt));
    const uint64_t each = UINT64_C(96) * 1024 * 1024 + 777;
    for (uint64_t end = size; end > 0;) {
        const uint64_t start = end > each ? end - each : 0;
        atlas_shard *shard = extracted(projection, start, end - start);
        CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
        atlas_shard_destroy(shard);
        end = start;
    }
    CHECK(atlas_reconstruction_is_complete(rebuilt));
    atlas_projection *made = NULL;
    CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &made));
    uint8_t found[32];
    root_of(made, found);
    CHECK(memcmp(found, root, sizeof found) == 0);
    check_geometry(made);
    check_file(path);
    atlas_projection_destroy(made);
    atlas_reconstruction_destroy(rebuilt);
    CHECK(unlink(path) == 0);
}

int main(void)
{
    if (small_run()) {
        skip("hashing 5 GiB is too much for ATLAS_TEST_SMALL");
    }
    if (sizeof(off_t) < 8) {
        skip("file offsets have less than 64 bits");
    }
    const char *path = temp_path("large.bin");
    make_file(path);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    CHECK_EQ(atlas_source_size(source), size);
    steps seen = {0, 0};
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = count_steps;
    operation.user_data = &seen;
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection));
    CHECK(seen.last == size && seen.total == size);
    atlas_source_destroy(source);
    uint8_t root[32];
    root_of(projection, root);
    check_geometry(projection);
    check_marks(projection, root);
    check_missing(projection);
    CHECK_OK(atlas_projection_verify(projection, NULL));
    const char *copy = temp_path("copy.bin");
    CHECK_OK(atlas_projection_write_file(projection, copy, NULL));
    check_file(copy);
    CHECK(unlink(copy) == 0);
    check_rebuilt(projection, root);
    /* A change far behind 4 GiB is found at its offset. */
    const int file = open(path, O_WRONLY);
    CHECK(file >= 0 && pwrite(file, "x", 1, (off_t)(size - 1)) == 1 && close(file) == 0);
    atlas_shard *shard = NULL;
    const atlas_region region = {size - 10, 10};
    CHECK_STATUS(atlas_shard_extract(projection, &region, NULL, &shard), ATLAS_STATUS_WITNESS);
    CHECK(shard == NULL);
    atlas_projection_destroy(projection);
    return 0;
}
