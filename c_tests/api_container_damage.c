/* Outlines over a file that changes, and containers that are damaged: found, never believed. */
#include "check.h"

#include "container.h"

/* ---- outlines -------------------------------------------------------------------------------------- */

/* The index of the tile that has the byte at `at`. */
static uint64_t tile_with(const atlas_container *container, uint64_t generation, uint64_t at)
{
    atlas_projection *snapshot = snapshot_of(container, generation, false);
    atlas_tile_info info = {.struct_size = sizeof info};
    uint64_t tile = 0;
    for (CHECK_OK(atlas_projection_get_tile(snapshot, 0, &info)); info.offset + info.length <= at; tile++) {
        CHECK_OK(atlas_projection_get_tile(snapshot, tile + 1, &info));
    }
    atlas_projection_destroy(snapshot);
    return tile;
}

/* The one damage that there is: a range of the domain, with the byte at `at`. */
static void check_damaged(const atlas_container *container, uint64_t from, int status, uint32_t damage_kind,
                          uint64_t generation, uint64_t at)
{
    damages found;
    memset(&found, 0, sizeof found);
    CHECK_STATUS(atlas_container_find_damage(container, from, on_damage, &found, NULL), status);
    CHECK_EQ(found.count, 1);
    const atlas_damage *one = &found.all[0];
    CHECK_EQ(one->part, ATLAS_DAMAGE_DATA);
    CHECK_EQ(one->kind, damage_kind);
    CHECK_EQ(one->generation, generation);
    CHECK_EQ(one->index, tile_with(container, generation, at));
    CHECK(one->offset <= at && at - one->offset < one->length && one->length <= TILE);
    CHECK_EQ(one->repairable, 0);
    CHECK_EQ(one->os_error, 0);
    CHECK_STATUS(atlas_container_find_damage(container, from, NULL, NULL, NULL), status);
}

static void outlines(uint32_t keep_chains)
{
    const size_t size = 3 * TILE + 1001;
    const char *path = temp_path("outline.atlas"), *file = temp_path("base.bin"), *moved = temp_path("moved.bin");
    uint8_t *data = random_bytes(size + 10, 17), byte = 0, *edited = random_bytes(size + 10, 17);
    memmove(edited + TILE + 15, data + TILE + 5, size - TILE - 5);
    memset(edited + TILE + 5, 'x', 10);
    write_file(file, data, size);
    atlas_container_create_options create;
    atlas_container_create_options_init(&create);
    create.block_log2 = 12;
    create.keep_chains = keep_chains;
    const uint32_t io = built_in(ATLAS_FEATURE_STREAMING) ? ATLAS_FILE_IO_MMAP : ATLAS_FILE_IO_READ;
    atlas_source *base = file_source(file, ATLAS_FILE_IO_READ), *same = file_source(file, io);
    create.base = base;
    atlas_container *container = created(path, 0, NULL, &create);
    atlas_source_destroy(base);
    CHECK_OK(atlas_container_import(container, same, NULL, 0, NULL, NULL, NULL));
    atlas_source_destroy(same);
    CHECK_EQ(info_of(container).base_size, size);
    CHECK(size_of_file(path) < 32768);
    check_generation(container, 1, data, size);
    atlas_projection *snapshot = snapshot_of(container, 0, true);
    replace(snapshot, TILE + 5, 0, "xxxxxxxxxx", 10);
    CHECK_EQ(committed(container, snapshot), 2);
    atlas_projection_destroy(snapshot);
    CHECK(size_of_file(path) < 65536);
    check_generation(container, 2, edited, size + 10);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    atlas_container_destroy(container);

    /* Without its base an outline has digests, and the bytes that were edited. */
    container = opened(path, ATLAS_CONTAINER_WRITE);
    atlas_projection *without = snapshot_of(container, 0, false);
    uint8_t found[10], root[32];
    root_of(without, root);
    CHECK(memcmp(root, generation_of(container, 2).root, 32) == 0);
    CHECK_STATUS(atlas_projection_read(without, 0, &byte, 1), ATLAS_STATUS_INCOMPLETE);
    CHECK_SAYS("base");
    CHECK_OK(atlas_projection_read(without, TILE + 5, found, 10));
    CHECK(memcmp(found, "xxxxxxxxxx", 10) == 0);
    CHECK_STATUS(atlas_container_find_damage(container, 0, NULL, NULL, NULL), ATLAS_STATUS_INCOMPLETE);
    CHECK(rename(file, moved) == 0);
    base = file_source(moved, ATLAS_FILE_IO_READ);
    CHECK_OK(atlas_container_set_base(container, base));
    atlas_source_destroy(base);
    CHECK_STATUS(atlas_projection_read(without, 0, &byte, 1), ATLAS_STATUS_INCOMPLETE);
    atlas_projection_destroy(without);
    check_generation(container, 1, data, size);
    check_generation(container, 2, edited, size + 10);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));

    /* A base that changed is found and never believed. */
    change_byte(moved, 2 * TILE + 77);
    snapshot = snapshot_of(container, 2, true);
    CHECK_STATUS(atlas_projection_read(snapshot, 2 * TILE + 87, &byte, 1), ATLAS_STATUS_WITNESS);
    CHECK_OK(atlas_projection_read(snapshot, 5, &byte, 1));
    CHECK_EQ(byte, data[5]);
    check_damaged(container, 0, ATLAS_STATUS_WITNESS, ATLAS_DAMAGE_DIFFERS, 1, 2 * TILE + 77);
    check_damaged(container, 2, ATLAS_STATUS_WITNESS, ATLAS_DAMAGE_DIFFERS, 2, 2 * TILE + 87);
    /* Its new bytes are a generation of their own; the old ones are gone. */
    data[2 * TILE + 77] ^= 1;
    base = file_source(moved, ATLAS_FILE_IO_READ);
    CHECK_OK(atlas_container_import(container, base, NULL, 0, NULL, NULL, NULL));
    atlas_source_destroy(base);
    check_generation(container, 3, data, size);
    CHECK_OK(atlas_container_find_damage(container, 3, NULL, NULL, NULL));
    CHECK_STATUS(atlas_container_find_damage(container, 2, NULL, NULL, NULL), ATLAS_STATUS_WITNESS);
    change_byte(moved, 2 * TILE + 77);
    data[2 * TILE + 77] ^= 1;
    check_damaged(container, 0, ATLAS_STATUS_WITNESS, ATLAS_DAMAGE_DIFFERS, 3, 2 * TILE + 77);
    check_bytes(snapshot, edited, size + 10);
    atlas_projection_destroy(snapshot);
    CHECK_OK(atlas_container_compact(container, NULL, 2, NULL));
    CHECK(size_of_file(path) < 65536);
    check_generation(container, 2, edited, size + 10);

    /* A base that is shorter lacks its end. */
    base = file_source(moved, ATLAS_FILE_IO_READ);
    CHECK_OK(atlas_container_import(container, base, NULL, 0, NULL, NULL, NULL));
    atlas_source_destroy(base);
    CHECK_OK(atlas_container_compact(container, NULL, 4, NULL));
    check_generation(container, 4, data, size);
    CHECK(truncate(moved, (off_t)(3 * TILE)) == 0);
    base = file_source(moved, ATLAS_FILE_IO_READ);
    CHECK_OK(atlas_container_set_base(container, base));
    atlas_source_destroy(base);
    snapshot = snapshot_of(container, 4, true);
    CHECK_STATUS(atlas_projection_read(snapshot, 3 * TILE, &byte, 1), ATLAS_STATUS_INCOMPLETE);
    CHECK_OK(atlas_projection_read(snapshot, 3 * TILE - 1, &byte, 1));
    CHECK_EQ(byte, data[3 * TILE - 1]);
    atlas_projection_destroy(snapshot);
    check_damaged(container, 0, ATLAS_STATUS_INCOMPLETE, ATLAS_DAMAGE_MISSING, 4, 3 * TILE);
    CHECK_OK(atlas_container_set_base(container, NULL));
    atlas_container_destroy(container);
    free(data);
    free(edited);
    CHECK(unlink(path) == 0 && unlink(moved) == 0);
    CHECK_EQ(temp_names(), 0);
}

/* ---- damage ------------------------------------------------------------------------------------------------ */

/* The offset in the file of these bytes, which are there once. */
static uint64_t place_of(const char *path, const uint8_t *bytes, size_t size)
{
    size_t length = 0, place = 0, count = 0;
    uint8_t *file = bytes_of_file(path, &length);
    for (size_t i = 0; i + size <= length; i++) {
        if (memcmp(file + i, bytes, size) == 0) {
            place = i;
            count++;
        }
    }
    CHECK_EQ(count, 1);
    free(file);
    return place;
}

static void damage_is_found(void)
{
    const char *path = temp_path("damaged.atlas");
    const size_t size = 3 * TILE + 9;
    uint8_t *data = random_bytes(size, 24), byte = 0;
    atlas_container *container = created(path, 0, NULL, NULL);
    CHECK_EQ(imported(container, data, size), 1);
    atlas_projection *snapshot = snapshot_of(container, 0, true);
    replace(snapshot, 10, 1, "z", 1);
    CHECK_EQ(committed(container, snapshot), 2);
    atlas_projection_destroy(snapshot);
    const uint64_t length = size_of_file(path);
    const uint64_t payload = place_of(path, data + TILE, 64);
    atlas_container_destroy(container);
    container = opened(path, ATLAS_CONTAINER_READ);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    change_byte(path, payload);
    check_damaged(container, 0, ATLAS_STATUS_WITNESS, ATLAS_DAMAGE_DIFFERS, 1, TILE);
    check_damaged(container, 2, ATLAS_STATUS_WITNESS, ATLAS_DAMAGE_DIFFERS, 2, TILE);
    snapshot = snapshot_of(container, 2, true);
    CHECK_STATUS(atlas_projection_read(snapshot, TILE, &byte, 1), ATLAS_STATUS_WITNESS);
    CHECK_OK(atlas_projection_read(snapshot, 10, &byte, 1));
    CHECK_EQ(byte, 'z');
    atlas_projection_destroy(snapshot);
    /* The callback ends the search. */
    change_byte(path, payload + TILE + 5);
    damages found;
    memset(&found, 0, sizeof found);
    CHECK_STATUS(atlas_container_find_damage(container, 0, on_damage, &found, NULL), ATLAS_STATUS_WITNESS);
    CHECK_EQ(found.count, 1); /* neighbours are one */
    CHECK_EQ(found.all[0].length, 2 * TILE);
    found.count = 0;
    found.stop_at = 1;
    CHECK_STATUS(atlas_container_find_damage(container, 0, on_damage, &found, NULL), ATLAS_STATUS_CANCELLED);
    CHECK_EQ(found.count, 1);
    change_byte(path, payload);
    change_byte(path, payload + TILE + 5);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    /* The header is read by each search, whatever it was when the container was opened. */
    change_byte(path, 100);
    CHECK_STATUS(atlas_container_find_damage(container, 0, NULL, NULL, NULL), ATLAS_STATUS_WITNESS);
    atlas_container_destroy(container);
    container = opened(path, ATLAS_CONTAINER_READ);
    change_byte(path, 100);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    atlas_container_destroy(container);

    /* Each block of the last batch, one bit at a time: it opens no more, or the damage is found. */
    const uint64_t end = info_of(container = opened(path, ATLAS_CONTAINER_READ)).file_size;
    CHECK_EQ(end, length);
    atlas_container_destroy(container);
    size_t refused = 0, reported = 0;
    for (uint64_t at = 8; at < end; at += at < end - 20480 ? 61441 : 251) {
        change_byte(path, at);
        container = NULL;
        const int status = (int)atlas_container_open(path, ATLAS_CONTAINER_READ, NULL, NULL, NULL, &container);
        if (status != ATLAS_STATUS_OK) {
            CHECK(container == NULL);
            CHECK(status == ATLAS_STATUS_WITNESS || status == ATLAS_STATUS_FORMAT);
            refused++;
        } else {
            memset(&found, 0, sizeof found);
            const int search = (int)atlas_container_find_damage(container, 0, on_damage, &found, NULL);
            CHECK(search == ATLAS_STATUS_WITNESS || search == ATLAS_STATUS_FORMAT || search == ATLAS_STATUS_OK);
            /* Slots are hints, and bytes after one have no meaning. */
            const uint64_t block = info_of(container).block_size;
            CHECK((search == ATLAS_STATUS_OK) == (at >= block && at < 3 * block));
            reported += search != ATLAS_STATUS_OK;
            atlas_container_destroy(container);
        }
        change_byte(path, at);
    }
    CHECK(reported > 0 && refused + reported > 20);
    container = opened(path, ATLAS_CONTAINER_READ);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    atlas_container_destroy(container);
    free(data);
    CHECK(unlink(path) == 0);
}

/* A generation that was durable and is damaged is refused, and left out by recovery. */
static void recovery_opens_the_generation_before(void)
{
    const char *path = temp_path("lost.atlas");
    uint8_t *data = random_bytes(5000, 25);
    atlas_container *container = created(path, 0, NULL, NULL);
    CHECK_EQ(imported(container, data, 5000), 1);
    const uint64_t end = info_of(container).file_size;
    data[0]++;
    CHECK_EQ(imported(container, data, 5000), 2);
    atlas_container_destroy(container);
    change_byte(path, end + 100);
    for (uint32_t mode = ATLAS_CONTAINER_READ; mode <= ATLAS_CONTAINER_WRITE; mode++) {
        not_opened(path, mode, NULL, NULL, ATLAS_STATUS_WITNESS);
        CHECK_SAYS("2");
        atlas_container_open_options open;
        atlas_container_open_options_init(&open);
        open.recover = 1;
        CHECK_OK(atlas_container_open(path, mode, NULL, &open, NULL, &container));
        CHECK_EQ(info_of(container).newest, 1);
        CHECK_EQ(info_of(container).lost, 2);
        data[0]--;
        check_generation(container, 1, data, 5000);
        data[0]++;
        if (mode == ATLAS_CONTAINER_WRITE) {
            CHECK_EQ(size_of_file(path), end);
            CHECK_EQ(imported(container, data, 5000), 3); /* the lost number is not given again */
            CHECK_EQ(generation_of(container, 3).previous, 1);
        }
        atlas_container_destroy(container);
    }
    container = opened(path, ATLAS_CONTAINER_READ);
    CHECK_EQ(info_of(container).newest, 3);
    check_generation(container, 3, data, 5000);
    atlas_container_destroy(container);
    free(data);
    CHECK(unlink(path) == 0);
}

int main(void)
{
    outlines(0);
    outlines(1);
    TEST(damage_is_found);
    TEST(recovery_opens_the_generation_before);
    CHECK_EQ(temp_names(), 0);
    return 0;
}
