/* Outlines: the damage of a file that stays in place, and the differences of two of them. */
#include "check.h"

#include "container.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define GROUP ((uint64_t)16384)

/* An outline of the file at `file`, which it reads as its base. */
static atlas_container *outline_of(const char *name, const char *file, uint32_t io, uint32_t keep_chains)
{
    atlas_container_create_options create;
    atlas_container_create_options_init(&create);
    create.keep_chains = keep_chains;
    atlas_source *base = file_source(file, io);
    create.base = base;
    atlas_container *container = created(name, ATLAS_PROJECTION_LINEAR, NULL, &create);
    CHECK_OK(atlas_container_import(container, base, NULL, 0, NULL, NULL, NULL));
    atlas_source_destroy(base);
    return container;
}

static damages damages_of(const atlas_projection *projection, const atlas_region *regions, size_t count, int status)
{
    damages found;
    memset(&found, 0, sizeof found);
    CHECK_STATUS(atlas_projection_find_damage(projection, regions, count, on_damage, &found, NULL), status);
    CHECK_STATUS(atlas_projection_find_damage(projection, regions, count, NULL, NULL, NULL), status);
    return found;
}

static void check_one(const damages *found, size_t index, uint32_t kind, uint64_t offset, uint64_t length)
{
    CHECK(index < found->count);
    const atlas_damage *one = &found->all[index];
    CHECK_EQ(one->part, ATLAS_DAMAGE_DATA);
    CHECK_EQ(one->kind, kind);
    CHECK_EQ(one->offset, offset);
    CHECK_EQ(one->length, length);
    CHECK_EQ(one->index, offset / TILE);
    CHECK_EQ(one->generation, 1);
    CHECK_EQ(one->repairable, 0);
    CHECK_EQ(one->os_error, 0);
}

static void damage_has_a_place(uint32_t io, uint32_t keep_chains)
{
    const size_t size = 3 * TILE + 50000;
    const uint64_t unit = keep_chains ? GROUP : TILE;
    const char *file = temp_path("data.bin"), *name = temp_path("data.atlas");
    uint8_t *data = random_bytes(size, 31);
    write_file(file, data, size);
    atlas_container *container = outline_of(name, file, io, keep_chains);
    atlas_projection *snapshot = snapshot_of(container, 0, false);
    CHECK(damages_of(snapshot, NULL, 0, ATLAS_STATUS_OK).count == 0);
    change_byte(file, 5);
    change_byte(file, unit - 1);
    change_byte(file, TILE + 7 * GROUP);
    change_byte(file, 3 * TILE + 49999);
    const damages found = damages_of(snapshot, NULL, 0, ATLAS_STATUS_WITNESS);
    const uint64_t last = keep_chains ? 3 * TILE + 3 * GROUP : 3 * TILE;
    /* Without chaining values the first two tiles are one range. */
    CHECK_EQ(found.count, keep_chains ? 3 : 2);
    check_one(&found, 0, ATLAS_DAMAGE_DIFFERS, 0, keep_chains ? GROUP : 2 * TILE);
    if (keep_chains) {
        check_one(&found, 1, ATLAS_DAMAGE_DIFFERS, TILE + 7 * GROUP, GROUP);
    }
    check_one(&found, found.count - 1, ATLAS_DAMAGE_DIFFERS, last, size - last);
    CHECK_STATUS(atlas_projection_find_damage(snapshot, NULL, 0, NULL, NULL, NULL), ATLAS_STATUS_WITNESS);
    CHECK_EQ(last_error().index, 0);
    CHECK_EQ(last_error().offset, 0);
    /* Regions in any order select the tiles that they touch. */
    const atlas_region regions[] = {{3 * TILE + 1, 1}, {TILE, 1}, {2 * TILE, 0}, {TILE + 5, 7}};
    const damages some = damages_of(snapshot, regions, 4, ATLAS_STATUS_WITNESS);
    CHECK_EQ(some.count, 2);
    check_one(&some, 0, ATLAS_DAMAGE_DIFFERS, keep_chains ? TILE + 7 * GROUP : TILE, unit);
    check_one(&some, 1, ATLAS_DAMAGE_DIFFERS, last, size - last);
    const atlas_region whole_tile = {2 * TILE, TILE};
    CHECK(damages_of(snapshot, &whole_tile, 1, ATLAS_STATUS_OK).count == 0);
    CHECK(damages_of(snapshot, regions, 0, ATLAS_STATUS_OK).count == 0);
    const atlas_region outside = {size, 1};
    CHECK(damages_of(snapshot, &outside, 1, ATLAS_STATUS_OUT_OF_RANGE).count == 0);
    CHECK_EQ(last_error().offset, size);
    /* The callback ends it, and is not called again. */
    damages first;
    memset(&first, 0, sizeof first);
    first.stop_at = 1;
    CHECK_STATUS(atlas_projection_find_damage(snapshot, NULL, 0, on_damage, &first, NULL), ATLAS_STATUS_CANCELLED);
    CHECK_EQ(first.count, 1);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    CHECK(unlink(file) == 0 && unlink(name) == 0);
    free(data);
}

static void what_is_cut_off_is_missing(void)
{
    const size_t size = 2 * TILE + 50000;
    const char *file = temp_path("cut.bin"), *name = temp_path("cut.atlas");
    uint8_t *data = random_bytes(size, 32);
    write_file(file, data, size);
    atlas_container *container = outline_of(name, file, ATLAS_FILE_IO_READ, 1);
    atlas_projection *before = snapshot_of(container, 0, false);
    CHECK(truncate(file, (off_t)(TILE + GROUP + 1)) == 0);
    damages found = damages_of(before, NULL, 0, ATLAS_STATUS_WITNESS);
    CHECK_EQ(found.count, 1);
    check_one(&found, 0, ATLAS_DAMAGE_MISSING, TILE + GROUP, size - TILE - GROUP);
    /* The same of a base that is attached when it is short already, and none of a longer one. */
    atlas_source *base = file_source(file, ATLAS_FILE_IO_READ);
    CHECK_OK(atlas_container_set_base(container, base));
    atlas_source_destroy(base);
    atlas_projection *after = snapshot_of(container, 0, false);
    found = damages_of(after, NULL, 0, ATLAS_STATUS_WITNESS);
    CHECK_EQ(found.count, 1);
    check_one(&found, 0, ATLAS_DAMAGE_MISSING, TILE + GROUP, size - TILE - GROUP);
    atlas_projection_destroy(after);
    write_file(file, data, size);
    CHECK(truncate(file, (off_t)(size + 100000)) == 0);
    CHECK(damages_of(before, NULL, 0, ATLAS_STATUS_OK).count == 0);
    atlas_projection_destroy(before);
    /* No base: nothing is known of the bytes, and that is no damage. */
    CHECK_OK(atlas_container_set_base(container, NULL));
    after = snapshot_of(container, 0, false);
    CHECK(damages_of(after, NULL, 0, ATLAS_STATUS_INCOMPLETE).count == 0);
    atlas_projection_destroy(after);
    atlas_container_destroy(container);
    CHECK(unlink(file) == 0 && unlink(name) == 0);
    free(data);
}

static void a_damaged_record_leaves_bytes_unknown(void)
{
    const size_t size = 3 * TILE;
    const char *file = temp_path("data.bin"), *name = temp_path("data.atlas");
    uint8_t *data = random_bytes(size, 33);
    write_file(file, data, size);
    atlas_container_destroy(outline_of(name, file, ATLAS_FILE_IO_READ, 0));
    size_t length = 0;
    uint8_t *bytes = bytes_of_file(name, &length);
    size_t leaf = 0;
    while (leaf + 4 < length && memcmp(bytes + leaf, "ATLL", 4) != 0) {
        leaf += 8;
    }
    CHECK(leaf + 4 < length);
    change_byte(name, leaf + 50);
    atlas_container *container = opened(name, ATLAS_CONTAINER_READ);
    atlas_projection *snapshot = snapshot_of(container, 0, false);
    const damages found = damages_of(snapshot, NULL, 0, ATLAS_STATUS_WITNESS);
    CHECK_EQ(found.count, 2);
    CHECK_EQ(found.all[0].part, ATLAS_DAMAGE_RECORD);
    CHECK_EQ(found.all[0].offset, leaf);
    CHECK_EQ(found.all[0].generation, 1);
    CHECK_EQ(found.all[1].part, ATLAS_DAMAGE_DATA);
    CHECK_EQ(found.all[1].kind, ATLAS_DAMAGE_UNKNOWN);
    CHECK_EQ(found.all[1].offset, 0);
    CHECK_EQ(found.all[1].length, size);
    size_t count = 0;
    CHECK_STATUS(atlas_projection_diff(snapshot, snapshot, NULL, NULL, &count), ATLAS_STATUS_OK);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    CHECK(unlink(file) == 0 && unlink(name) == 0);
    free(bytes);
    free(data);
}

/* ---- differences ---------------------------------------------------------------------------------- */

static void differences_are_ranges(uint32_t keep_chains)
{
    const size_t size = 3 * TILE + 20000;
    const uint64_t unit = keep_chains ? GROUP : TILE;
    const char *file = temp_path("one.bin"), *name = temp_path("one.atlas");
    const char *other_file = temp_path("two.bin"), *other_name = temp_path("two.atlas");
    uint8_t *data = random_bytes(size + 5000, 34);
    write_file(file, data, size);
    atlas_container *one = outline_of(name, file, ATLAS_FILE_IO_READ, keep_chains);
    data[7] ^= 1;
    data[2 * TILE + 40000] ^= 1;
    write_file(other_file, data, size + 5000);
    atlas_container *two = outline_of(other_name, other_file, ATLAS_FILE_IO_READ, keep_chains);
    atlas_projection *a = snapshot_of(one, 0, false), *b = snapshot_of(two, 0, false);
    /* No payload is needed: neither file is there any more. */
    CHECK(truncate(file, 0) == 0 && truncate(other_file, 0) == 0);
    atlas_region regions[8];
    memset(regions, 0xA5, sizeof regions);
    size_t count = 8;
    CHECK_OK(atlas_projection_diff(b, a, NULL, regions, &count));
    CHECK_EQ(count, keep_chains ? 3 : 2);
    CHECK(regions[0].offset == 0 && regions[0].length == unit);
    const uint64_t second = keep_chains ? 2 * TILE + 2 * GROUP : 2 * TILE;
    const uint64_t tail = keep_chains ? 3 * TILE + GROUP : 3 * TILE;
    CHECK_EQ(regions[1].offset, second);
    if (keep_chains) {
        CHECK(regions[1].length == GROUP);
    }
    CHECK_EQ(regions[count - 1].offset + regions[count - 1].length, size + 5000);
    CHECK(keep_chains == 0 || regions[2].offset == tail);
    CHECK(all_bytes(&regions[count], sizeof regions[0], 0xA5));
    /* A short list is filled as far as it goes, and the number is the same. */
    memset(regions, 0xA5, sizeof regions);
    count = 1;
    CHECK_OK(atlas_projection_diff(b, a, NULL, regions, &count));
    CHECK_EQ(count, keep_chains ? 3 : 2);
    CHECK(regions[0].offset == 0 && all_bytes(&regions[1], sizeof regions[1], 0xA5));
    count = 0;
    CHECK_OK(atlas_projection_diff(a, b, NULL, NULL, &count));
    CHECK_EQ(count, keep_chains ? 3 : 2);
    count = 8;
    CHECK_OK(atlas_projection_diff(a, b, NULL, regions, &count));
    CHECK_EQ(regions[count - 1].offset + regions[count - 1].length, size);
    count = 8;
    CHECK_OK(atlas_projection_diff(a, a, NULL, regions, &count));
    CHECK_EQ(count, 0);
    /* Another type, K or key has no common witnesses. */
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    const uint8_t key[32] = {1};
    options.key = key;
    atlas_source *source = borrowed(data, 100);
    atlas_projection *keyed = projected(source, &options), *plain = projected(source, NULL);
    count = 8;
    CHECK_STATUS(atlas_projection_diff(keyed, plain, NULL, regions, &count), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_EQ(count, 0);
    count = 8;
    CHECK_OK(atlas_projection_diff(keyed, keyed, NULL, regions, &count));
    CHECK_EQ(count, 0);
    /* Edits are hashed first. */
    replace(plain, 50, 1, "!", 1);
    atlas_projection *again = projected(source, NULL);
    count = 8;
    CHECK_OK(atlas_projection_diff(plain, again, NULL, regions, &count));
    CHECK(count == 1 && regions[0].offset == 0 && regions[0].length == 100);
    atlas_projection_destroy(again);
    atlas_projection_destroy(keyed);
    atlas_projection_destroy(plain);
    atlas_source_destroy(source);
    atlas_projection_destroy(a);
    atlas_projection_destroy(b);
    atlas_container_destroy(one);
    atlas_container_destroy(two);
    CHECK(unlink(file) == 0 && unlink(name) == 0 && unlink(other_file) == 0 && unlink(other_name) == 0);
    free(data);
}

/* ---- repairs --------------------------------------------------------------------------------------- */

typedef struct copy {
    const uint8_t *data;
    size_t size;
    atomic_size_t calls, bytes;
    int fail_with;
    uint8_t flip;
} copy;

static int read_copy(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    copy *self = (copy *)user_data;
    CHECK(offset <= self->size && size <= self->size - offset);
    (void)atomic_fetch_add(&self->calls, 1);
    (void)atomic_fetch_add(&self->bytes, size);
    if (self->fail_with != 0) {
        return self->fail_with;
    }
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)buffer)[i] = (uint8_t)(self->data[offset + i] ^ self->flip);
    }
    return 0;
}

static void only_damaged_bytes_are_fetched(void)
{
    const size_t size = 4 * TILE + 30000;
    const char *file = temp_path("data.bin"), *name = temp_path("data.atlas");
    uint8_t *data = random_bytes(size + 10, 35);
    write_file(file, data, size);
    atlas_container *container = outline_of(name, file, ATLAS_FILE_IO_READ, 1);
    copy remote = {.data = data, .size = size};
    atlas_source *base = NULL;
    CHECK_OK(atlas_source_from_callback(size, read_copy, NULL, &remote, &base));
    CHECK_OK(atlas_container_set_base(container, base));
    atlas_source_destroy(base);
    atlas_projection *snapshot = snapshot_of(container, 0, false);
    damages told;

    /* A good file: nothing is fetched, nothing told, and more behind its end stays. */
    write_file(file, data, size + 10);
    memset(&told, 0, sizeof told);
    CHECK_OK(atlas_projection_repair_file(snapshot, file, NULL, 0, on_damage, &told, NULL));
    CHECK(told.count == 0 && atomic_load(&remote.calls) == 0);
    CHECK(file_is(file, data, size + 10));

    /* Two groups apart, and one whose file ends too early. */
    write_file(file, data, size - 1);
    change_byte(file, 3);
    change_byte(file, 2 * TILE + GROUP);
    CHECK_OK(atlas_projection_repair_file(snapshot, file, NULL, 0, on_damage, &told, NULL));
    CHECK_EQ(told.count, 3);
    CHECK_EQ(atomic_load(&remote.calls), 3);
    CHECK_EQ(atomic_load(&remote.bytes), 2 * GROUP + 30000 - GROUP);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(told.all[i].repairable, 1);
        CHECK_EQ(told.all[i].os_error, 0);
    }
    CHECK(told.all[0].offset == 0 && told.all[0].kind == ATLAS_DAMAGE_DIFFERS);
    CHECK(told.all[1].offset == 2 * TILE + GROUP && told.all[1].length == GROUP);
    CHECK(told.all[2].offset == 4 * TILE + GROUP && told.all[2].kind == ATLAS_DAMAGE_MISSING);
    CHECK(file_is(file, data, size));

    /* The owner refuses the first one. A region gives the ranges of its tile. */
    change_byte(file, 3);
    change_byte(file, 2 * GROUP);
    change_byte(file, 4 * TILE);
    memset(&told, 0, sizeof told);
    told.stop_at = 1;
    const atlas_region region = {TILE - 1, 1};
    CHECK_STATUS(atlas_projection_repair_file(snapshot, file, &region, 1, on_damage, &told, NULL),
                 ATLAS_STATUS_WITNESS);
    CHECK_SAYS("1 were refused");
    CHECK_EQ(told.count, 2);
    change_byte(file, 3);
    change_byte(file, 4 * TILE);
    CHECK(file_is(file, data, size));

    /* A base that fails, and one that lies. */
    change_byte(file, TILE + 5);
    remote.fail_with = ETIMEDOUT;
    memset(&told, 0, sizeof told);
    CHECK_STATUS(atlas_projection_repair_file(snapshot, file, NULL, 0, on_damage, &told, NULL), ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, ETIMEDOUT);
    CHECK_EQ(last_error().offset, TILE);
    CHECK(told.count == 1 && told.all[0].repairable == 0 && told.all[0].os_error == ETIMEDOUT);
    remote.fail_with = 0;
    remote.flip = 0xFF;
    memset(&told, 0, sizeof told);
    CHECK_STATUS(atlas_projection_repair_file(snapshot, file, NULL, 0, on_damage, &told, NULL), ATLAS_STATUS_WITNESS);
    CHECK(told.count == 1 && told.all[0].repairable == 0 && told.all[0].os_error == 0);
    change_byte(file, TILE + 5);
    CHECK(file_is(file, data, size));
    remote.flip = 0;

    /* Everything is gone. */
    CHECK(truncate(file, 0) == 0);
    memset(&told, 0, sizeof told);
    CHECK_OK(atlas_projection_repair_file(snapshot, file, NULL, 0, on_damage, &told, NULL));
    CHECK_EQ(told.count, 5);
    CHECK(file_is(file, data, size));
    atlas_projection_destroy(snapshot);

    /* No base: a good file is right, a bad one stays as it is. */
    CHECK_OK(atlas_container_set_base(container, NULL));
    snapshot = snapshot_of(container, 0, false);
    CHECK_OK(atlas_projection_repair_file(snapshot, file, NULL, 0, on_damage, &told, NULL));
    change_byte(file, 3);
    memset(&told, 0, sizeof told);
    CHECK_STATUS(atlas_projection_repair_file(snapshot, file, NULL, 0, on_damage, &told, NULL),
                 ATLAS_STATUS_INCOMPLETE);
    CHECK(told.count == 1 && told.all[0].repairable == 0);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    CHECK(unlink(file) == 0 && unlink(name) == 0);
    free(data);
}

static void what_is_not_to_be_written_is_refused(void)
{
    const size_t size = TILE + 9000;
    const char *file = temp_path("data.bin"), *name = temp_path("data.atlas");
    uint8_t *data = random_bytes(size, 36);
    write_file(file, data, size);
    atlas_container *container = outline_of(name, file, ATLAS_FILE_IO_READ, 0);
    atlas_projection *snapshot = snapshot_of(container, 0, false);
    damages told;
    memset(&told, 0, sizeof told);
    CHECK_STATUS(atlas_projection_repair_file(snapshot, name, NULL, 0, on_damage, &told, NULL),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("data.atlas");
    CHECK(atlas_projection_repair_file(snapshot, temp_dir(), NULL, 0, on_damage, &told, NULL) != ATLAS_STATUS_OK);
    CHECK_STATUS(atlas_projection_repair_file(snapshot, "/dev/null", NULL, 0, on_damage, &told, NULL),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_projection_repair_file(snapshot, temp_path("absent"), NULL, 0, on_damage, &told, NULL),
                 ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, ENOENT);
    const atlas_region outside = {0, size + 1};
    CHECK_STATUS(atlas_projection_repair_file(snapshot, file, &outside, 1, on_damage, &told, NULL),
                 ATLAS_STATUS_OUT_OF_RANGE);
    /* Bytes that lie in the file elsewhere would be lost with it. */
    atlas_source *whole = file_source(file, ATLAS_FILE_IO_READ), *shifted = NULL;
    CHECK_OK(atlas_source_range(whole, 100, size - 100, &shifted));
    atlas_projection *moved = projected(shifted, NULL);
    change_byte(file, 0);
    CHECK_STATUS(atlas_projection_repair_file(moved, file, NULL, 0, on_damage, &told, NULL),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_EQ(last_error().offset, 0);
    change_byte(file, 0);
    CHECK(file_is(file, data, size) && told.count == 0);
    /* At their own offset they do no harm. */
    CHECK_OK(atlas_projection_repair_file(snapshot, file, NULL, 0, on_damage, &told, NULL));
    atlas_projection_destroy(moved);
    atlas_source_destroy(shifted);
    atlas_source_destroy(whole);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    CHECK(unlink(file) == 0 && unlink(name) == 0);
    free(data);
}

/* A file that cannot become so long: the range that fits is written, and the one that does not is told. */
static void a_write_that_fails_is_told_and_the_rest_goes_on(void)
{
    const size_t size = 3 * TILE;
    const char *file = temp_path("full.bin");
    uint8_t *data = random_bytes(size, 37);
    atlas_source *source = borrowed(data, size);
    atlas_projection *projection = projected(source, NULL);
    write_file(file, data, TILE - 5);
    struct rlimit limit, before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit = before;
    limit.rlim_cur = 2 * TILE;
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0);
    damages told;
    memset(&told, 0, sizeof told);
    CHECK_STATUS(atlas_projection_repair_file(projection, file, NULL, 0, on_damage, &told, NULL), ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, EFBIG);
    CHECK_EQ(last_error().index, 2);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK_EQ(told.count, 3);
    CHECK(file_is(file, data, 2 * TILE));
    CHECK_OK(atlas_projection_repair_file(projection, file, NULL, 0, on_damage, &told, NULL));
    CHECK(told.count == 4 && file_is(file, data, size));
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    CHECK(unlink(file) == 0);
    free(data);
}

int main(void)
{
    const uint32_t io = built_in(ATLAS_FEATURE_STREAMING) ? ATLAS_FILE_IO_MMAP : ATLAS_FILE_IO_READ;
    for (uint32_t keep_chains = 0; keep_chains < 2; keep_chains++) {
        damage_has_a_place(ATLAS_FILE_IO_READ, keep_chains);
        damage_has_a_place(io, keep_chains);
        differences_are_ranges(keep_chains);
    }
    TEST(what_is_cut_off_is_missing);
    TEST(a_damaged_record_leaves_bytes_unknown);
    TEST(only_damaged_bytes_are_fetched);
    TEST(what_is_not_to_be_written_is_refused);
    TEST(a_write_that_fails_is_told_and_the_rest_goes_on);
    CHECK_EQ(temp_names(), 0);
    return 0;
}
