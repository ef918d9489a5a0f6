/* The statuses of damaged and forged bytes: CONSERVATION, WITNESS, FORMAT, IO and INCOMPLETE of shards,
 * compressed shards, containers, and the calls on a container's snapshot. Files that nothing but their maker can write
 * are forged (forge.h). */
#include "check.h"
#include "container.h"
#include "forge.h"

#define SIZE ((size_t)70000)

static uint8_t data[SIZE];

/* ---- shards --------------------------------------------------------------------- */

/* Returns the encoding of a shard with all of a domain of `size` bytes. */
static atlas_buffer encoded(uint32_t type, size_t size)
{
    atlas_source *source = borrowed(data, size);
    atlas_projection *projection = NULL;
    atlas_buffer encoding = {NULL, 0};
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    /* Half of the classes contradict the other half if one of them is changed. */
    options.r96_data_classes = 48;
    CHECK_OK(atlas_projection_create(type, source, &options, NULL, &projection));
    atlas_shard *shard = extracted(projection, 0, size);
    CHECK_OK(atlas_shard_serialize(shard, &encoding));
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    return encoding;
}

static void another_residue(const atlas_buffer *encoding)
{
    uint8_t *residue = record_of(encoding, 4) + 12;
    *residue = (uint8_t)((*residue + 1) % 96);
}

static void a_residue_of_a_linear_shard(void)
{
    atlas_buffer encoding = encoded(ATLAS_PROJECTION_LINEAR, 100);
    another_residue(&encoding);
    seal_shard(&encoding);
    atlas_shard *shard = NULL;
    CHECK_STATUS(atlas_shard_deserialize(encoding.data, encoding.size, NULL, NULL, NULL, &shard),
                 ATLAS_STATUS_CONSERVATION);
    CHECK(shard == NULL);
    atlas_buffer_free(&encoding);
}

/* A field above 12,288, and a class that contradicts the others. */
static void not_a_field(const atlas_buffer *encoding) { memset(record_of(encoding, 7), 0xFF, 2); }

static void another_class(const atlas_buffer *encoding) { record_of(encoding, 7)[224] ^= 1; }

/* A shard of classes proves them and not that they decode: only its maker can make such a shard. */
static void classes_that_do_not_decode(void)
{
    static const struct {
        void (*change)(const atlas_buffer *encoding);
        int read, add;
    } cases[] = {
        {another_residue, ATLAS_STATUS_OK, ATLAS_STATUS_CONSERVATION},
        {not_a_field, ATLAS_STATUS_FORMAT, ATLAS_STATUS_FORMAT},
        {another_class, ATLAS_STATUS_WITNESS, ATLAS_STATUS_WITNESS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        atlas_buffer encoding = encoded(ATLAS_PROJECTION_R96_FOURIER, 100);
        atlas_buffer right = encoded(ATLAS_PROJECTION_R96_FOURIER, 100);
        cases[i].change(&encoding);
        seal_shard(&encoding);
        atlas_shard *shard = NULL, *good = NULL;
        CHECK_OK(atlas_shard_deserialize(encoding.data, encoding.size, NULL, NULL, NULL, &shard));
        CHECK_OK(atlas_shard_deserialize(right.data, right.size, NULL, NULL, NULL, &good));
        uint8_t some[10];
        CHECK_STATUS(atlas_shard_read(shard, 0, some, sizeof some), cases[i].read);
        atlas_reconstruction *rebuilt = NULL;
        CHECK_OK(atlas_reconstruction_create(NULL, &rebuilt));
        CHECK_STATUS(atlas_reconstruction_add(rebuilt, shard, NULL), cases[i].add);
        CHECK_OK(atlas_reconstruction_add(rebuilt, good, NULL));
        CHECK(atlas_reconstruction_is_complete(rebuilt));
        atlas_reconstruction_destroy(rebuilt);
        atlas_shard_destroy(good);
        atlas_shard_destroy(shard);
        atlas_buffer_free(&right);
        atlas_buffer_free(&encoding);
    }
}

static void another_digest_of_a_block(const atlas_buffer *encoding) { record_of(encoding, 16)[20] ^= 1; }

static void another_residue_of_a_block(const atlas_buffer *encoding)
{
    uint8_t *word = record_of(encoding, 16) + 16;
    put_number(word, get_32(word) ^ (uint32_t)1 << 24, 4);
}

static void no_stream(const atlas_buffer *encoding) { memset(record_of(encoding, 17), 0xFF, 8); }

static void blocks_that_do_not_decode(void)
{
    static const struct {
        void (*change)(const atlas_buffer *encoding);
        int status;
    } cases[] = {
        {another_digest_of_a_block, ATLAS_STATUS_WITNESS},
        {another_residue_of_a_block, ATLAS_STATUS_CONSERVATION},
        {no_stream, ATLAS_STATUS_FORMAT},
    };
    static const uint8_t zeros[100000];
    atlas_projection *projection = projected_bytes(zeros, sizeof zeros);
    atlas_shard *shard = extracted(projection, 0, sizeof zeros);
    atlas_compressed_shard *good = NULL;
    atlas_compression_manager *manager = NULL;
    CHECK_OK(atlas_compression_manager_create(NULL, &manager));
    CHECK_OK(atlas_shard_compress(shard, NULL, NULL, &good));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        atlas_buffer encoding = {NULL, 0};
        CHECK_OK(atlas_compressed_shard_serialize(good, &encoding));
        cases[i].change(&encoding);
        atlas_digest256(encoding.data, encoding.size - 32, encoding.data + encoding.size - 32);
        atlas_compressed_shard *bad = NULL;
        CHECK_OK(atlas_compressed_shard_deserialize(encoding.data, encoding.size, NULL, &bad));
        uint8_t some[10];
        CHECK_STATUS(atlas_compressed_shard_read(bad, 0, some, sizeof some), cases[i].status);
        const atlas_compressed_shard *batch[2] = {good, bad};
        atlas_shard *shards[2] = {shard, shard};
        CHECK_STATUS(atlas_compression_manager_decompress_batch(manager, batch, 2, NULL, NULL, shards),
                     cases[i].status);
        CHECK_EQ(last_error().index, 1);
        CHECK(shards[0] == NULL && shards[1] == NULL);
        CHECK_STATUS(atlas_shard_decompress(bad, NULL, NULL, &shards[0]), cases[i].status);
        CHECK_OK(atlas_compression_manager_decompress_batch(manager, batch, 1, NULL, NULL, shards));
        atlas_shard_destroy(shards[0]);
        atlas_compressed_shard_destroy(bad);
        atlas_buffer_free(&encoding);
    }
    atlas_compression_manager_destroy(manager);
    atlas_compressed_shard_destroy(good);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
}

/* ---- snapshots ------------------------------------------------------------------- */

/* Two generations: data, and data with bytes put in at 30,000, so that the second has one tile of several spans. */
static forged made;
static bool reads_fail;

static int read_made(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    (void)user_data;
    if (reads_fail) {
        return EIO;
    }
    memcpy(buffer, made.bytes + offset, size);
    return 0;
}

static void make_container(uint32_t type, bool outline)
{
    const char *path = temp_path("made.atlas");
    atlas_source *source = borrowed(data, SIZE);
    atlas_container_create_options options;
    atlas_container_create_options_init(&options);
    options.block_log2 = 12;
    options.base = outline ? source : NULL;
    atlas_container *container = created(path, type, NULL, &options);
    CHECK_OK(atlas_container_import(container, source, NULL, 0, NULL, NULL, NULL));
    atlas_projection *edited = snapshot_of(container, 0, false);
    replace(edited, 30000, 0, data, 100);
    CHECK_EQ(committed(container, edited), 2);
    atlas_projection_destroy(edited);
    atlas_container_destroy(container);
    atlas_source_destroy(source);
    made.bytes = bytes_of_file(path, &made.size);
    CHECK(unlink(path) == 0);
    reads_fail = false;
}

static uint8_t *newest_of(char kind)
{
    uint8_t *newest = NULL;
    for (uint8_t *at = next_record(&made, 0, kind); at != NULL; at = after_record(&made, at, kind)) {
        newest = at;
    }
    CHECK(newest != NULL);
    return newest;
}

enum damage { INTACT, RESIDUE, RECORD_FORMAT, RECORD_WITNESS, BYTES_WITNESS, FAILING, NO_BASE, DAMAGES };

static void damage(enum damage how)
{
    uint8_t *const tile = newest_of('L') + 40, *const spans = newest_of('T');
    if (how == RESIDUE) {
        const uint32_t word = get_32(tile), residue = ((word >> 21 & 0x7F) + 1) % 96;
        put_number(tile, (word & ~((uint32_t)0x7F << 21)) | residue << 21, 4);
        newest_of('C')[296 + 12] = (uint8_t)residue;
        seal_container(&made);
    } else if (how == RECORD_FORMAT) {
        spans[38] |= 0x40;
        seal_container(&made);
    } else if (how == RECORD_WITNESS) {
        spans[48] ^= 1;
    }
}

/* Opens it without its base. */
static atlas_container *open_made(void)
{
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(made.size, read_made, NULL, NULL, &source));
    atlas_container *container = NULL;
    CHECK_OK(atlas_container_open_source(source, NULL, NULL, NULL, &container));
    atlas_source_destroy(source);
    return container;
}

static int use_root(atlas_projection *projection)
{
    uint8_t root[32];
    return (int)atlas_projection_root(projection, NULL, root);
}

static int use_get_tile(atlas_projection *projection)
{
    atlas_tile_info info = {.struct_size = (uint32_t)sizeof info};
    return (int)atlas_projection_get_tile(projection, 0, &info);
}

static int use_read(atlas_projection *projection)
{
    uint8_t some[100];
    return (int)atlas_projection_read(projection, 1000, some, sizeof some);
}

static int use_verify(atlas_projection *projection) { return (int)atlas_projection_verify(projection, NULL); }

static int use_write_file(atlas_projection *projection)
{
    const char *path = temp_path("written");
    const int status = (int)atlas_projection_write_file(projection, path, NULL);
    CHECK(exists(path) == (status == ATLAS_STATUS_OK));
    (void)unlink(path);
    return status;
}

static int use_extract(atlas_projection *projection)
{
    const atlas_region region = {0, SIZE};
    atlas_shard *shard = NULL;
    const int status = (int)atlas_shard_extract(projection, &region, NULL, &shard);
    atlas_shard_destroy(shard);
    return status;
}

static int use_extract_batch(atlas_projection *projection)
{
    const atlas_region regions[2] = {{5, 0}, {0, SIZE}};
    atlas_shard *shards[2] = {NULL, NULL};
    const int status = (int)atlas_shard_extract_batch(projection, regions, 2, NULL, NULL, shards);
    for (size_t i = 0; i < 2; i++) {
        CHECK((shards[i] != NULL) == (status == ATLAS_STATUS_OK));
        atlas_shard_destroy(shards[i]);
    }
    return status;
}

static int use_extract_classes(atlas_projection *projection)
{
    static const uint8_t classes[2] = {7, 70};
    atlas_shard *shards[2] = {NULL, NULL};
    const int status = (int)atlas_shard_extract_classes(projection, NULL, classes, 2, NULL, shards);
    for (size_t i = 0; i < 2; i++) {
        CHECK((shards[i] != NULL) == (status == ATLAS_STATUS_OK));
        atlas_shard_destroy(shards[i]);
    }
    return status;
}

static int use_find_damage(atlas_projection *projection)
{
    damages found = {.count = 0};
    const int status = (int)atlas_projection_find_damage(projection, NULL, 0, on_damage, &found, NULL);
    CHECK((found.count > 0) == (status == ATLAS_STATUS_WITNESS || status == ATLAS_STATUS_CONSERVATION));
    return status;
}

static int use_repair_file(atlas_projection *projection)
{
    damages found = {.count = 0};
    const char *path = temp_path("repaired");
    write_file(path, "other", 5);
    const int status = (int)atlas_projection_repair_file(projection, path, NULL, 0, on_damage, &found, NULL);
    CHECK(unlink(path) == 0);
    return status;
}

static int use_diff(atlas_projection *projection)
{
    atlas_region regions[4];
    size_t count = 4;
    atlas_projection *other = projected_bytes(data, SIZE - 5);
    const int status = (int)atlas_projection_diff(projection, other, NULL, regions, &count);
    atlas_projection_destroy(other);
    return status;
}

static const atlas_delta update = {
    .type = ATLAS_CHANGE_UPDATE, .offset = 5, .length = 5, .data = data, .data_size = 5};

static int use_apply(atlas_projection *projection) { return (int)atlas_projection_apply(projection, &update); }

static int use_apply_batch(atlas_projection *projection)
{
    return (int)atlas_projection_apply_batch(projection, &update, 1);
}

static int use_optimize(atlas_projection *projection) { return (int)atlas_projection_optimize(projection, NULL); }

static int use_insert_source(atlas_projection *projection)
{
    atlas_source *source = borrowed(data, 10);
    const int status = (int)atlas_projection_insert_source(projection, 5, source, NULL);
    atlas_source_destroy(source);
    return status;
}

static int use_commit(atlas_projection *projection)
{
    const char *path = temp_path("committed.atlas");
    atlas_container *container = created(path, ATLAS_PROJECTION_LINEAR, NULL, NULL);
    const int status = (int)atlas_container_commit(container, projection, NULL, NULL, NULL);
    CHECK_EQ(info_of(container).newest, status == ATLAS_STATUS_OK ? 1 : 0);
    atlas_container_destroy(container);
    CHECK(unlink(path) == 0);
    return status;
}

enum { OK = ATLAS_STATUS_OK, CO = ATLAS_STATUS_CONSERVATION, WI = ATLAS_STATUS_WITNESS, FO = ATLAS_STATUS_FORMAT,
       IO = ATLAS_STATUS_IO, IN = ATLAS_STATUS_INCOMPLETE };

/* The status for each kind of damage, in the order of `damage`. `edited`: of a snapshot with bytes appended, whose
 * tile is not hashed yet. */
static const struct {
    const char *name;
    int (*use)(atlas_projection *projection);
    bool edited;
    int statuses[DAMAGES];
} uses[] = {
    {"root", use_root, true, {OK, CO, FO, WI, WI, IO, IN}},
    {"get_tile", use_get_tile, true, {OK, CO, FO, WI, WI, IO, IN}},
    {"read", use_read, false, {OK, CO, FO, WI, WI, IO, IN}},
    {"verify", use_verify, false, {OK, CO, FO, WI, WI, IO, IN}},
    {"write_file", use_write_file, false, {OK, CO, FO, WI, WI, IO, IN}},
    {"extract", use_extract, false, {OK, OK, FO, WI, WI, IO, IN}},
    {"extract", use_extract, true, {OK, CO, FO, WI, WI, IO, IN}},
    {"extract_batch", use_extract_batch, false, {OK, OK, FO, WI, WI, IO, IN}},
    {"extract_batch", use_extract_batch, true, {OK, CO, FO, WI, WI, IO, IN}},
    {"extract_classes", use_extract_classes, false, {OK, OK, FO, WI, WI, IO, IN}},
    {"extract_classes", use_extract_classes, true, {OK, CO, FO, WI, WI, IO, IN}},
    {"find_damage", use_find_damage, false, {OK, CO, WI, WI, WI, WI, IN}},
    {"repair_file", use_repair_file, false, {OK, OK, WI, WI, WI, IO, IN}},
    {"diff", use_diff, true, {OK, CO, FO, WI, WI, IO, IN}},
    {"apply", use_apply, false, {OK, CO, FO, WI, WI, IO, IN}},
    {"apply_batch", use_apply_batch, false, {OK, CO, FO, WI, WI, IO, IN}},
    {"optimize", use_optimize, true, {OK, CO, FO, WI, WI, IO, IN}},
    {"insert_source", use_insert_source, false, {OK, CO, FO, WI, WI, IO, IN}},
    {"commit", use_commit, true, {OK, CO, FO, WI, WI, IO, IN}},
};

static void calls_on_a_damaged_snapshot(void)
{
    int wrong = 0;
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        for (enum damage how = INTACT; how < DAMAGES; how++) {
            make_container(uses[i].use == use_extract_classes ? ATLAS_PROJECTION_R96_FOURIER : ATLAS_PROJECTION_LINEAR,
                           how == NO_BASE);
            damage(how);
            atlas_container *container = open_made();
            atlas_projection *snapshot = snapshot_of(container, 0, true);
            if (uses[i].edited) {
                replace(snapshot, SIZE + 100, 0, data, 5);
            }
            if (how == BYTES_WITNESS) {
                made.bytes[get_64(newest_of('T') + 40) + 5] ^= 1;
            }
            reads_fail = how == FAILING;
            const int status = uses[i].use(snapshot);
            if (status != uses[i].statuses[how]) {
                fprintf(stderr, "%s, edited %d, damage %d: %s instead of %s\n    %s\n", uses[i].name, uses[i].edited,
                        (int)how, status_text(status), status_text(uses[i].statuses[how]), atlas_last_error_message());
                wrong++;
            }
            atlas_projection_destroy(snapshot);
            atlas_container_destroy(container);
            free(made.bytes);
        }
    }
    CHECK_EQ(wrong, 0);
}

int main(void)
{
    fill_random(data, SIZE, 3);
    TEST(a_residue_of_a_linear_shard);
    TEST(classes_that_do_not_decode);
    if (built_in(ATLAS_FEATURE_COMPRESSION)) {
        TEST(blocks_that_do_not_decode);
    }
    if (built_in(ATLAS_FEATURE_CONTAINER)) {
        TEST(calls_on_a_damaged_snapshot);
    }
    return 0;
}
