/* The statuses of containers and parity files that other programs rarely produce: calls on damaged, forged and failing
 * containers, the limit of a domain's size, and parity files that were hurt beyond repair. */
#include "check.h"
#include "container.h"
#include "forge.h"

#define SIZE ((size_t)70000)

static uint8_t data[SIZE];

static bool stop(const atlas_progress *progress, void *user_data)
{
    (void)progress;
    (void)user_data;
    return false;
}

static atlas_operation stopping(void)
{
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = stop;
    return operation;
}

/* ---- containers in memory ------------------------------------------------------------ */

static bool reads_fail;

static int read_file(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    const forged *file = (const forged *)user_data;
    if (reads_fail) {
        return EIO;
    }
    memcpy(buffer, file->bytes + offset, size);
    return 0;
}

/* A container of `count` generations, each of other bytes. Release bytes with free(). */
static forged generations(uint64_t count)
{
    const char *path = temp_path("made.atlas");
    atlas_container_create_options options;
    atlas_container_create_options_init(&options);
    options.block_log2 = 12;
    atlas_container *container = created(path, ATLAS_PROJECTION_LINEAR, NULL, &options);
    for (uint64_t generation = 1; generation <= count; generation++) {
        CHECK_EQ(imported(container, data + generation, SIZE - 1000 * (size_t)generation), generation);
    }
    atlas_container_destroy(container);
    forged file = {NULL, 0};
    file.bytes = bytes_of_file(path, &file.size);
    CHECK(unlink(path) == 0);
    return file;
}

static atlas_container *opened_file(forged *file, const atlas_container_open_options *options)
{
    reads_fail = false;
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(file->size, read_file, NULL, file, &source));
    atlas_container *container = NULL;
    CHECK_OK(atlas_container_open_source(source, NULL, options, NULL, &container));
    atlas_source_destroy(source);
    return container;
}

static int open_status(const void *bytes, size_t size, const atlas_verify_options *verify,
                       const atlas_container_open_options *options, const atlas_operation *operation)
{
    atlas_container *container = NULL;
    atlas_source *source = borrowed(bytes, size);
    const int status = (int)atlas_container_open_source(source, verify, options, operation, &container);
    CHECK((container != NULL) == (status == ATLAS_STATUS_OK));
    atlas_container_destroy(container);
    atlas_source_destroy(source);
    return status;
}

static void openings(void)
{
    forged file = generations(2), empty = generations(0);
    CHECK_EQ(open_status(file.bytes, file.size, NULL, NULL, NULL), ATLAS_STATUS_OK);
    CHECK_EQ(open_status("no container", 12, NULL, NULL, NULL), ATLAS_STATUS_FORMAT);
    atlas_container_open_options options;
    atlas_container_open_options_init(&options);
    options.max_domain_size = 1000;
    CHECK_EQ(open_status(file.bytes, file.size, NULL, &options, NULL), ATLAS_STATUS_LIMIT);
    /* Only the root of the empty domain is work. */
    uint8_t root[32];
    atlas_projection *nothing = projected_bytes(data, 0);
    root_of(nothing, root);
    atlas_projection_destroy(nothing);
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.expected_root = root;
    atlas_operation operation = stopping();
    CHECK_EQ(open_status(empty.bytes, empty.size, &verify, NULL, NULL), ATLAS_STATUS_OK);
    CHECK_EQ(open_status(empty.bytes, empty.size, &verify, NULL, &operation), ATLAS_STATUS_CANCELLED);
    const char *path = temp_path("empty.atlas");
    write_file(path, empty.bytes, empty.size);
    atlas_container *container = NULL;
    CHECK_STATUS(atlas_container_open(path, ATLAS_CONTAINER_WRITE, &verify, NULL, &operation, &container),
                 ATLAS_STATUS_CANCELLED);
    CHECK_OK(atlas_container_open(path, ATLAS_CONTAINER_WRITE, &verify, NULL, NULL, &container));
    atlas_container_destroy(container);
    CHECK(unlink(path) == 0);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(file.size, read_file, NULL, &file, &source));
    reads_fail = true;
    CHECK_STATUS(atlas_container_open_source(source, NULL, NULL, NULL, &container), ATLAS_STATUS_IO);
    CHECK(container == NULL && last_error().os_error == EIO);
    atlas_source_destroy(source);
    free(empty.bytes);
    free(file.bytes);
}

static int generation_status(const atlas_container *container)
{
    atlas_generation_info info = {.struct_size = (uint32_t)sizeof info};
    size_t size = 0;
    const int status = (int)atlas_container_get_generation(container, 1, &info);
    CHECK_STATUS(atlas_container_get_note(container, 1, NULL, &size), status);
    atlas_projection *snapshot = NULL;
    CHECK_STATUS(atlas_container_snapshot(container, 1, 0, NULL, &snapshot), status);
    atlas_projection_destroy(snapshot);
    return status;
}

/* An old generation is read when it is asked for; the newest stays known. */
static void old_generations(void)
{
    forged file = generations(5);
    atlas_container *container = opened_file(&file, NULL);
    CHECK_EQ(generation_status(container), ATLAS_STATUS_OK);
    reads_fail = true;
    CHECK_EQ(generation_status(container), ATLAS_STATUS_IO);
    reads_fail = false;
    uint8_t *first = next_record(&file, 0, 'C');
    first[200] ^= 1;
    CHECK_EQ(generation_status(container), ATLAS_STATUS_WITNESS);
    first[200] ^= 1;
    atlas_container_destroy(container);

    first[364] = 1; /* reserved */
    seal_container(&file);
    container = opened_file(&file, NULL);
    CHECK_EQ(generation_status(container), ATLAS_STATUS_FORMAT);
    CHECK_EQ(generation_of(container, 0).generation, 5);
    atlas_container_destroy(container);
    free(file.bytes);
}

static void sizes_above_the_limit(void)
{
    forged file = generations(3); /* each smaller than the one before */
    atlas_container_open_options options;
    atlas_container_open_options_init(&options);
    options.max_domain_size = SIZE - 3000;
    atlas_container *container = opened_file(&file, &options);
    atlas_projection *snapshot = NULL;
    const char *path = temp_path("not-made.atlas");
    CHECK_STATUS(atlas_container_snapshot(container, 2, 0, NULL, &snapshot), ATLAS_STATUS_LIMIT);
    CHECK_STATUS(atlas_container_compact(container, path, 0, NULL), ATLAS_STATUS_LIMIT);
    CHECK(!exists(path));
    snapshot = snapshot_of(container, 3, true);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    free(file.bytes);
}

/* Its part grew above the limit of its handle after that was opened. */
static void a_part_that_grew_above_the_limit(void)
{
    const char *path = temp_path("grown.atlas"), *merged_path = temp_path("merged.atlas");
    atlas_container *writer = created(path, ATLAS_PROJECTION_LINEAR, NULL, NULL), *merged = NULL;
    CHECK_EQ(imported(writer, data, 1000), 1);
    atlas_container_open_options options;
    atlas_container_open_options_init(&options);
    options.max_domain_size = 1000;
    atlas_container *reader = NULL;
    CHECK_OK(atlas_container_open(path, ATLAS_CONTAINER_READ, NULL, &options, NULL, &reader));
    CHECK_EQ(imported(writer, data, 1001), 2);
    CHECK_OK(atlas_container_refresh(reader, NULL, NULL));
    const atlas_container *parts[1] = {reader};
    CHECK_STATUS(atlas_container_merge(parts, 1, merged_path, NULL, NULL, NULL, &merged), ATLAS_STATUS_LIMIT);
    CHECK(merged == NULL && !exists(merged_path));
    atlas_container_destroy(reader);
    atlas_container_destroy(writer);
    CHECK(unlink(path) == 0);
}

/* ---- forged containers --------------------------------------------------------------- */

static int compacted(const atlas_container *container)
{
    const char *path = temp_path("compacted.atlas");
    const int status = (int)atlas_container_compact((atlas_container *)(uintptr_t)container, path, 0, NULL);
    CHECK(exists(path) == (status == ATLAS_STATUS_OK));
    (void)unlink(path);
    return status;
}

static int merged(const atlas_container *container)
{
    const char *path = temp_path("merged.atlas");
    atlas_container *made = NULL;
    const int status = (int)atlas_container_merge(&container, 1, path, NULL, NULL, NULL, &made);
    CHECK(exists(path) == (status == ATLAS_STATUS_OK) && (made != NULL) == (status == ATLAS_STATUS_OK));
    atlas_container_destroy(made);
    (void)unlink(path);
    return status;
}

static int searched(const atlas_container *container)
{
    return (int)atlas_container_find_damage(container, 0, NULL, NULL, NULL);
}

static int taken(const atlas_container *container)
{
    atlas_projection *snapshot = NULL;
    const int status = (int)atlas_container_snapshot(container, 0, 0, NULL, &snapshot);
    atlas_projection_destroy(snapshot);
    return status;
}

static void reserved_bytes_of_a_leaf(const forged *file)
{
    next_record(file, 0, 'L')[36] = 1;
    seal_container(file);
}

static void a_flipped_bit_of_a_leaf(const forged *file) { next_record(file, 0, 'L')[50] ^= 1; }

static void another_residue(const forged *file)
{
    uint8_t *tile = next_record(file, 0, 'L') + 40;
    const uint32_t word = get_32(tile), residue = ((word >> 21 & 0x7F) + 1) % 96;
    put_number(tile, (word & ~((uint32_t)0x7F << 21)) | residue << 21, 4);
    next_record(file, 0, 'C')[296 + 12] = (uint8_t)residue;
    seal_container(file);
}

/* A generation of a STRICT container that does not sum to 0. */
static void a_strict_header(const forged *file)
{
    file->bytes[15] |= 2;
    seal_container(file);
}

static void changed_containers(void)
{
    enum { OK = ATLAS_STATUS_OK, CO = ATLAS_STATUS_CONSERVATION, WI = ATLAS_STATUS_WITNESS, FO = ATLAS_STATUS_FORMAT };
    static const struct {
        void (*change)(const forged *file);
        int snapshot, compact, merge, find_damage;
    } cases[] = {
        {seal_container, OK, OK, OK, OK},
        {reserved_bytes_of_a_leaf, OK, FO, FO, FO},
        {a_flipped_bit_of_a_leaf, OK, WI, WI, WI},
        {another_residue, OK, OK, OK, CO},
        {a_strict_header, CO, CO, CO, CO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        forged file = generations(1);
        cases[i].change(&file);
        atlas_container *container = opened_file(&file, NULL);
        CHECK_EQ(taken(container), cases[i].snapshot);
        CHECK_EQ(compacted(container), cases[i].compact);
        CHECK_EQ(merged(container), cases[i].merge);
        CHECK_EQ(searched(container), cases[i].find_damage);
        CHECK_EQ(generation_of(container, 0).generation, 1);
        atlas_container_destroy(container);
        free(file.bytes);
    }
}

/* Extraction leaves the sums to the reader of the shard. */
static void a_shard_with_another_residue(void)
{
    forged file = generations(1);
    another_residue(&file);
    atlas_container *container = opened_file(&file, NULL);
    atlas_projection *snapshot = snapshot_of(container, 0, false);
    atlas_shard *shard = extracted(snapshot, 0, SIZE - 1000);
    CHECK_STATUS(atlas_shard_verify(shard, NULL, NULL), ATLAS_STATUS_CONSERVATION);
    atlas_compressed_shard *compressed = NULL;
    if (built_in(ATLAS_FEATURE_COMPRESSION)) {
        CHECK_STATUS(atlas_shard_compress(shard, NULL, NULL, &compressed), ATLAS_STATUS_CONSERVATION);
        CHECK(compressed == NULL);
        const atlas_shard *shards[1] = {shard};
        atlas_compression_manager *manager = NULL;
        CHECK_OK(atlas_compression_manager_create(NULL, &manager));
        CHECK_STATUS(atlas_compression_manager_compress_batch(manager, shards, 1, NULL, &compressed),
                     ATLAS_STATUS_CONSERVATION);
        CHECK(compressed == NULL);
        atlas_compression_manager_destroy(manager);
    }
    atlas_shard_destroy(shard);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    free(file.bytes);
}

/* A tree that an edit made irregular is proved by all of its leaves, which can be cancelled. */
static void an_irregular_tree(void)
{
    enum { TILES = 33 };
    const char *path = temp_path("irregular.atlas");
    uint8_t *zeros = (uint8_t *)calloc(TILES, TILE), root[32];
    CHECK(zeros != NULL);
    atlas_container *container = created(path, ATLAS_PROJECTION_LINEAR, NULL, NULL);
    CHECK_EQ(imported(container, zeros, TILES * TILE), 1);
    atlas_projection *edited = snapshot_of(container, 0, false);
    for (size_t i = 0; i < 3; i++) {
        replace(edited, i * 5 * TILE + 9, 0, zeros, TILE);
    }
    CHECK_EQ(committed(container, edited), 2);
    root_of(edited, root);
    atlas_projection_destroy(edited);
    atlas_container_destroy(container);
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.expected_root = root;
    CHECK_OK(atlas_container_open(path, ATLAS_CONTAINER_READ, &verify, NULL, NULL, &container));
    atlas_operation operation = stopping();
    atlas_projection *snapshot = NULL;
    CHECK_STATUS(atlas_container_snapshot(container, 0, 0, &operation, &snapshot), ATLAS_STATUS_CANCELLED);
    CHECK(snapshot == NULL);
    snapshot = snapshot_of(container, 0, false);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    CHECK(unlink(path) == 0);
    free(zeros);
}

/* An import of regions takes the other tiles over from the newest generation. */
static void an_import_over_damage(void)
{
    static void (*const changes[])(const forged *file) = {reserved_bytes_of_a_leaf, a_flipped_bit_of_a_leaf};
    static const int statuses[] = {ATLAS_STATUS_FORMAT, ATLAS_STATUS_WITNESS};
    const char *path = temp_path("imported.atlas");
    const atlas_region region = {5, 5};
    atlas_source *source = borrowed(data, SIZE - 1000);
    for (size_t i = 0; i < 2; i++) {
        forged file = generations(1);
        changes[i](&file);
        write_file(path, file.bytes, file.size);
        atlas_container *container = opened(path, ATLAS_CONTAINER_WRITE);
        CHECK_STATUS(atlas_container_import(container, source, &region, 1, NULL, NULL, NULL), statuses[i]);
        CHECK_EQ(info_of(container).newest, 1);
        atlas_container_destroy(container);
        CHECK(unlink(path) == 0);
        free(file.bytes);
    }
    atlas_source_destroy(source);
}

static void refreshes(void)
{
    const char *path = temp_path("refreshed.atlas");
    forged file = generations(2);
    write_file(path, file.bytes, file.size);
    atlas_container *reader = opened(path, ATLAS_CONTAINER_READ);
    CHECK_OK(atlas_container_refresh(reader, NULL, NULL));
    const uint64_t second = (uint64_t)(after_record(&file, next_record(&file, 0, 'C'), 'C') - file.bytes);
    change_byte(path, second + 100);
    CHECK_STATUS(atlas_container_refresh(reader, NULL, NULL), ATLAS_STATUS_WITNESS);
    change_byte(path, second + 100);
    CHECK(truncate(path, 5000) == 0);
    CHECK_STATUS(atlas_container_refresh(reader, NULL, NULL), ATLAS_STATUS_FORMAT);
    CHECK_EQ(info_of(reader).newest, 2);
    atlas_container_destroy(reader);
    CHECK(unlink(path) == 0);
    free(file.bytes);
}

/* ---- parity files ----------------------------------------------------------------- */

enum { UNIT = 4096 };

/* After the first pass over the bytes a reader of them finds others. */
typedef struct changing {
    uint64_t read;
    bool changes;
} changing;

static int read_changing(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    changing *self = (changing *)user_data;
    memcpy(buffer, data + offset, size);
    if (self->changes && self->read >= SIZE) {
        ((uint8_t *)buffer)[0] ^= 1;
    }
    self->read += size;
    return 0;
}

static void parity_files(void)
{
    const char *path = temp_path("data.atp"), *target = temp_path("no/such/folder"), *restored = temp_path("again.atp");
    atlas_parity_options options;
    atlas_parity_options_init(&options);
    options.unit_size = UNIT;
    options.parity_columns = 1;
    options.rows = 2;
    atlas_source *source = borrowed(data, SIZE);
    CHECK_OK(atlas_parity_create(source, path, &options, NULL));
    atlas_parity *parity = NULL;
    CHECK_OK(atlas_parity_open(path, NULL, NULL, &parity));

    /* A target that cannot be made. */
    const atlas_region region = {0, 1};
    CHECK_STATUS(atlas_parity_restore(parity, source, target, NULL), ATLAS_STATUS_IO);
    CHECK_STATUS(atlas_parity_update(parity, source, &region, 1, target, NULL, NULL), ATLAS_STATUS_IO);

    /* Two units of a row are lost, and one parity unit cannot rebuild both. */
    uint8_t *bytes = random_bytes(SIZE, 9);
    atlas_source *other = borrowed(bytes, SIZE);
    atlas_parity_report report = {.struct_size = (uint32_t)sizeof report};
    CHECK_STATUS(atlas_parity_check(parity, other, NULL, NULL, NULL, &report), ATLAS_STATUS_INCOMPLETE);
    CHECK_EQ(report.data, ATLAS_PARITY_INCOMPLETE);
    atlas_source_destroy(other);

    /* A parity unit is damaged, so that its row is needed. */
    change_byte(path, UNIT + 5);
    CHECK_STATUS(atlas_parity_check(parity, source, NULL, NULL, NULL, NULL), ATLAS_STATUS_WITNESS);
    atlas_parity_destroy(parity);
    CHECK_OK(atlas_parity_open(path, NULL, NULL, &parity));
    other = borrowed(bytes, SIZE);
    CHECK_STATUS(atlas_parity_restore(parity, other, restored, NULL), ATLAS_STATUS_INCOMPLETE);
    CHECK(!exists(restored));
    atlas_source_destroy(other);
    changing reader = {0, true};
    CHECK_OK(atlas_source_from_callback(SIZE, read_changing, NULL, &reader, &other));
    CHECK_STATUS(atlas_parity_restore(parity, other, restored, NULL), ATLAS_STATUS_WITNESS);
    CHECK(!exists(restored));
    reader.changes = false;
    CHECK_OK(atlas_parity_restore(parity, other, restored, NULL));
    CHECK(unlink(restored) == 0);
    atlas_source_destroy(other);
    atlas_parity_destroy(parity);

    /* Without a head at either end the whole file is searched. */
    change_byte(path, 100);
    change_byte(path, size_of_file(path) - 100);
    atlas_operation operation = stopping();
    CHECK_STATUS(atlas_parity_open(path, NULL, &operation, &parity), ATLAS_STATUS_CANCELLED);
    CHECK(parity == NULL);
    CHECK_OK(atlas_parity_open(path, NULL, NULL, &parity)); /* by another block */
    atlas_parity_destroy(parity);
    atlas_source_destroy(source);
    CHECK(unlink(path) == 0);
    free(bytes);
}

int main(void)
{
    fill_random(data, SIZE, 4);
    if (built_in(ATLAS_FEATURE_CONTAINER)) {
        TEST(openings);
        TEST(old_generations);
        TEST(sizes_above_the_limit);
        TEST(a_part_that_grew_above_the_limit);
        TEST(changed_containers);
        TEST(a_shard_with_another_residue);
        TEST(an_irregular_tree);
        TEST(an_import_over_damage);
        TEST(refreshes);
    }
    if (built_in(ATLAS_FEATURE_PARITY)) {
        TEST(parity_files);
    }
    return 0;
}
