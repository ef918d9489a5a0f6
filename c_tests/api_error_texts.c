/* Error texts: each says what was wrong, where, with the value and the limit, and what to do. */
#include "check.h"

enum { SIZE = 3 * 1048576 + 77 };
static uint8_t *data;
static atlas_source *bytes;
static atlas_projection *whole;

static void says(int status, int wanted, const char *text, int line)
{
    check_status(__FILE__, line, text, status, wanted);
    if (strstr(atlas_last_error_message(), text) == NULL) {
        check_failed(__FILE__, line, text);
    }
}

#define SAYS(call, status, text) says((int)(call), (int)(status), text, __LINE__)

static void append_hex(char *text, size_t room, const uint8_t digest[32])
{
    for (size_t i = 0; i < 32; i++) {
        const size_t len = strlen(text);
        (void)snprintf(text + len, room - len, "%02x", digest[i]);
    }
}

static void roots_are_shown(void)
{
    atlas_shard *shard = extracted(whole, 5, 100);
    uint8_t root[32], other[32];
    root_of(whole, root);
    memcpy(other, root, 32);
    other[31] ^= 1;
    atlas_verify_options options;
    atlas_verify_options_init(&options);
    options.expected_root = other;
    char text[300] = "the shard belongs to the root ";
    append_hex(text, sizeof text, root);
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), " instead of the expected ");
    append_hex(text, sizeof text, other);
    SAYS(atlas_shard_verify(shard, &options, NULL), ATLAS_STATUS_WITNESS, text);
    atlas_shard_destroy(shard);
}

static void keys_and_damage_are_told_apart(void)
{
    uint8_t key[32] = {7};
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    atlas_projection *keyed = projected(bytes, &options);
    atlas_shard *shard = extracted(keyed, 0, 5000);
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.key = key;
    CHECK_OK(atlas_shard_verify(shard, &verify, NULL));
    key[0] ^= 1;
    SAYS(atlas_shard_verify(shard, &verify, NULL), ATLAS_STATUS_WITNESS,
         "damaged, or made with another key: the shard's bytes and proof do not lead to its root");
    atlas_shard_destroy(shard);
    atlas_projection_destroy(keyed);
}

static void what_is_no_shard_is_described(void)
{
    static const uint8_t zip[100] = {0x50, 0x4b, 0x03, 0x04};
    atlas_shard *shard = NULL;
    atlas_compressed_shard *compressed = NULL;
    const bool compression = built_in(ATLAS_FEATURE_COMPRESSION);
    const char *const text = "not an atlas shard: the file begins with 50 4b 03 04";
    SAYS(atlas_shard_deserialize(zip, sizeof zip, NULL, NULL, NULL, &shard), ATLAS_STATUS_FORMAT, text);
    SAYS(atlas_shard_deserialize(zip, 4, NULL, NULL, NULL, &shard), ATLAS_STATUS_FORMAT, text);
    if (compression) {
        SAYS(atlas_compressed_shard_deserialize(zip, sizeof zip, NULL, &compressed), ATLAS_STATUS_FORMAT,
             text);
    }
    SAYS(atlas_shard_deserialize(NULL, 0, NULL, NULL, NULL, &shard), ATLAS_STATUS_FORMAT,
         "truncated: the shard has 0 bytes, fewer than the 56 bytes of the smallest shard");

    atlas_shard *made = extracted(whole, 0, SIZE);
    atlas_buffer encoded = {NULL, 0};
    CHECK_OK(atlas_shard_serialize(made, &encoded));
    char expected[200];
    (void)snprintf(expected, sizeof expected, "truncated: the header of the shard states %zu bytes, and there are %zu",
                   encoded.size, encoded.size - 1);
    SAYS(atlas_shard_deserialize(encoded.data, encoded.size - 1, NULL, NULL, NULL, &shard), ATLAS_STATUS_FORMAT,
         expected);
    encoded.data[encoded.size / 2] ^= 1;
    SAYS(atlas_shard_deserialize(encoded.data, encoded.size, NULL, NULL, NULL, &shard), ATLAS_STATUS_FORMAT,
         "damaged: the digest at the end of the shard does not match the bytes before it");
    encoded.data[encoded.size / 2] ^= 1;
    uint8_t *longer = (uint8_t *)malloc(encoded.size + 1);
    CHECK(longer != NULL);
    memcpy(longer, encoded.data, encoded.size);
    longer[encoded.size] = 0;
    (void)snprintf(expected, sizeof expected, "too long: the header of the shard states %zu bytes, and there are %zu",
                   encoded.size, encoded.size + 1);
    SAYS(atlas_shard_deserialize(longer, encoded.size + 1, NULL, NULL, NULL, &shard), ATLAS_STATUS_FORMAT, expected);
    free(longer);
    atlas_buffer_free(&encoded);
    atlas_shard_destroy(made);
}

static void structs_say_how_to_fill_them(void)
{
    atlas_projection_options options;
    memset(&options, 0, sizeof options);
    atlas_projection *made = NULL;
    SAYS(atlas_projection_create(0, bytes, &options, NULL, &made), ATLAS_STATUS_INVALID_ARGUMENT,
         "fill the struct with atlas_projection_options_init() first");
    atlas_projection_info info;
    memset(&info, 0, sizeof info);
    SAYS(atlas_projection_get_info(whole, &info), ATLAS_STATUS_INVALID_ARGUMENT,
         "set struct_size to sizeof(atlas_projection_info) first");
}

static void unknown_values_come_with_the_known_ones(void)
{
    atlas_source *source = NULL;
    SAYS(atlas_source_open_file("x", 7, &source), ATLAS_STATUS_INVALID_ARGUMENT,
         "7 is not a known io: there are ATLAS_FILE_IO_READ (0), ATLAS_FILE_IO_MMAP (1), ATLAS_FILE_IO_AUTO (2)");
    atlas_projection *made = NULL;
    SAYS(atlas_projection_create(9, bytes, NULL, NULL, &made), ATLAS_STATUS_INVALID_ARGUMENT,
         "9 is not a known projection type: there are ATLAS_PROJECTION_LINEAR (0), "
         "ATLAS_PROJECTION_R96_FOURIER (1)");
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.conservation = 2;
    SAYS(atlas_projection_create(0, bytes, &options, NULL, &made), ATLAS_STATUS_INVALID_ARGUMENT,
         "2 is not a known conservation policy: there are ATLAS_CONSERVATION_TRACK (0), "
         "ATLAS_CONSERVATION_STRICT (1)");
    atlas_delta delta;
    memset(&delta, 0, sizeof delta);
    delta.type = 12;
    SAYS(atlas_projection_apply(whole, &delta), ATLAS_STATUS_INVALID_ARGUMENT,
         "12 is not a known delta type: there are ATLAS_CHANGE_INSERT (0), ATLAS_CHANGE_UPDATE (1), "
         "ATLAS_CHANGE_DELETE (2), ATLAS_CHANGE_MOVE (3)");
    atlas_extract_options extract;
    atlas_extract_options_init(&extract);
    extract.strategy = 5;
    const atlas_region region = {0, 1};
    atlas_shard *shard = NULL;
    SAYS(atlas_shard_extract_batch(whole, &region, 1, &extract, NULL, &shard),
         ATLAS_STATUS_INVALID_ARGUMENT,
         "5 is not a known parallel strategy: there are ATLAS_PARALLEL_SEQUENTIAL (0), "
         "ATLAS_PARALLEL_DEFAULT (1), ATLAS_PARALLEL_POOL (2), ATLAS_PARALLEL_CHUNKED (3), "
         "ATLAS_PARALLEL_WORK_STEALING (4)");
    if (built_in(ATLAS_FEATURE_COMPRESSION)) {
        atlas_compression_config config;
        atlas_compression_config_init(&config);
        atlas_compression_manager *manager = NULL;
        config.algorithm = 6;
        SAYS(atlas_compression_manager_create(&config, &manager), ATLAS_STATUS_INVALID_ARGUMENT,
             "6 is not a known compression algorithm: there are ATLAS_COMPRESSION_NONE (0), "
             "ATLAS_COMPRESSION_DEFLATE (1), ATLAS_COMPRESSION_CONSERVATION_AWARE (2), "
             "ATLAS_COMPRESSION_ZSTD (3), ATLAS_COMPRESSION_LZ4 (4), ATLAS_COMPRESSION_AUTO (5)");
        config.algorithm = 2;
        config.level = 300;
        SAYS(atlas_compression_manager_create(&config, &manager), ATLAS_STATUS_INVALID_ARGUMENT,
             "level 300 is outside 0..=9");
    }
}

static void changes_name_what_they_bring(void)
{
    atlas_delta delta;
    memset(&delta, 0, sizeof delta);
    delta.type = ATLAS_CHANGE_INSERT;
    delta.offset = SIZE + 1;
    delta.data = data;
    delta.data_size = 1;
    char text[200];
    (void)snprintf(text, sizeof text, "insert of 1 bytes at offset %d: the offset is outside 0..=%d",
                   SIZE + 1, SIZE);
    SAYS(atlas_projection_apply(whole, &delta), ATLAS_STATUS_OUT_OF_RANGE, text);
    CHECK_EQ(last_error().length, 1);
    CHECK_EQ(last_error().offset, SIZE + 1);
    delta.offset = 0;
    delta.data = NULL;
    delta.data_size = 5;
    SAYS(atlas_projection_apply(whole, &delta), ATLAS_STATUS_INVALID_ARGUMENT,
         "data is NULL and must have 5 bytes");
    SAYS(atlas_projection_apply_batch(whole, NULL, 2), ATLAS_STATUS_INVALID_ARGUMENT,
         "deltas is NULL and must have 2 entries");
}

static void sums_say_what_to_add(void)
{
    static const uint8_t unbalanced[2] = {48, 47};
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.conservation = ATLAS_CONSERVATION_STRICT;
    atlas_source *source = borrowed(unbalanced, sizeof unbalanced);
    atlas_projection *made = NULL;
    SAYS(atlas_projection_create(0, source, &options, NULL, &made), ATLAS_STATUS_CONSERVATION,
         "the domain sums to 95 mod 96 and STRICT requires 0: add bytes that sum to 1");
    atlas_source_destroy(source);
}

static void files_say_what_they_are(void)
{
    atlas_source *source = NULL;
    char text[PATH_MAX + 500];
    (void)snprintf(text, sizeof text, "%s is a directory", temp_dir());
    SAYS(atlas_source_open_file(temp_dir(), 0, &source), ATLAS_STATUS_INVALID_ARGUMENT, text);
    SAYS(atlas_projection_write_file(whole, temp_dir(), NULL), ATLAS_STATUS_INVALID_ARGUMENT, text);
    SAYS(atlas_source_open_file("/dev/null", 0, &source), ATLAS_STATUS_INVALID_ARGUMENT,
         "/dev/null is not a regular file: read it through a source with a callback, or push it into a "
         "stream");
    SAYS(atlas_projection_write_file(whole, "no-such-directory/..", NULL), ATLAS_STATUS_INVALID_ARGUMENT,
         "no-such-directory/.. does not end in the name of a file");
}

static void changed_files_are_named(void)
{
    const char *path = temp_path("changing.bin");
    write_file(path, data, SIZE);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    atlas_projection *projection = projected(source, NULL);
    const int file = open(path, O_WRONLY);
    const uint8_t other = (uint8_t)(data[TILE + 9] ^ 1);
    CHECK(file >= 0 && pwrite(file, &other, 1, (off_t)TILE + 9) == 1);
    char text[PATH_MAX + 500];
    (void)snprintf(text, sizeof text,
                   "the source changed: the digest of tile 1 of %s differs from the projected digest", path);
    SAYS(atlas_projection_verify(projection, NULL), ATLAS_STATUS_WITNESS, text);
    const atlas_region region = {TILE, 100};
    atlas_shard *shard = NULL;
    SAYS(atlas_shard_extract(projection, &region, NULL, &shard), ATLAS_STATUS_WITNESS, text);
    /* An edit reads the rest of the tile. */
    atlas_delta delta;
    memset(&delta, 0, sizeof delta);
    delta.type = ATLAS_CHANGE_DELETE;
    delta.offset = TILE + 1;
    delta.length = 1;
    if (atlas_projection_apply(projection, &delta) == ATLAS_STATUS_OK) {
        uint8_t root[32];
        CHECK_STATUS(atlas_projection_root(projection, NULL, root), ATLAS_STATUS_WITNESS);
    }
    (void)snprintf(text, sizeof text, " of %s differs from the projected ", path);
    CHECK(strstr(atlas_last_error_message(), "the source changed: the ") != NULL);
    CHECK(strstr(atlas_last_error_message(), text) != NULL);

    CHECK(ftruncate(file, 100) == 0 && close(file) == 0);
    (void)snprintf(text, sizeof text,
                   "reading 131072 bytes at offset 0 of %s: the file has 100 bytes now and had %d when it "
                   "was opened",
                   path, SIZE);
    atlas_projection_destroy(projection);
    SAYS(atlas_projection_create(0, source, NULL, NULL, &projection), ATLAS_STATUS_IO, text);
    atlas_source_destroy(source);
    CHECK(unlink(path) == 0);
}

int main(void)
{
    data = random_bytes(SIZE, 91);
    bytes = borrowed(data, SIZE);
    whole = projected(bytes, NULL);
    TEST(roots_are_shown);
    TEST(keys_and_damage_are_told_apart);
    TEST(what_is_no_shard_is_described);
    TEST(structs_say_how_to_fill_them);
    TEST(unknown_values_come_with_the_known_ones);
    TEST(changes_name_what_they_bring);
    TEST(sums_say_what_to_add);
    TEST(files_say_what_they_are);
    TEST(changed_files_are_named);
    atlas_projection_destroy(whole);
    atlas_source_destroy(bytes);
    free(data);
    return 0;
}
