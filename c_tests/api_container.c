/* Containers: generations of every kind and size, refusals, expectations of a file, notes, compression. */
#include "check.h"

#include "container.h"

static const uint8_t key[32] = {1, 2, 3}, other_key[32] = {1, 2, 4};

/* ---- kinds and sizes ------------------------------------------------------------------------ */

typedef struct kind {
    uint32_t type, data_classes, keep_chains, block_log2;
    bool keyed, strict;
} kind;

static const kind kinds[] = {
    {ATLAS_PROJECTION_LINEAR, 0, 0, 0, false, false},
    {ATLAS_PROJECTION_LINEAR, 0, 1, 12, true, false},
    {ATLAS_PROJECTION_R96_FOURIER, 64, 0, 16, false, true},
    {ATLAS_PROJECTION_R96_FOURIER, 96, 0, 13, true, false},
};

static void options_of(const kind *one, atlas_projection_options *options,
                       atlas_container_create_options *create)
{
    atlas_projection_options_init(options);
    atlas_container_create_options_init(create);
    if (one->data_classes > 0) {
        options->r96_data_classes = one->data_classes;
    }
    options->key = one->keyed ? key : NULL;
    options->conservation = one->strict ? ATLAS_CONSERVATION_STRICT : ATLAS_CONSERVATION_TRACK;
    create->keep_chains = one->keep_chains;
    create->block_log2 = one->block_log2;
}

static void check_info(const atlas_container *container, const kind *one, bool writes, uint64_t newest)
{
    const atlas_container_info info = info_of(container);
    CHECK_EQ(info.type, one->type);
    CHECK_EQ(info.r96_data_classes, one->data_classes);
    CHECK_EQ(info.keyed, one->keyed);
    CHECK_EQ(info.conservation, one->strict ? ATLAS_CONSERVATION_STRICT : ATLAS_CONSERVATION_TRACK);
    CHECK_EQ(info.writable, writes);
    CHECK_EQ(info.keeps_chains, one->keep_chains);
    CHECK(one->block_log2 == 0 || info.block_size == UINT32_C(1) << one->block_log2);
    CHECK(info.block_size >= 4096 && info.block_size <= 65536);
    CHECK_EQ(info.newest, newest);
    CHECK_EQ(info.oldest, newest == 0 ? 0 : 1);
    CHECK_EQ(info.generation_count, newest);
    CHECK_EQ(info.lost, 0);
    CHECK_EQ(info.base_size, 0);
    CHECK(!all_bytes(info.id, 16, 0));
}

static atlas_container *opened_kind(const char *path, const kind *one)
{
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.key = one->keyed ? key : NULL;
    atlas_container *container = NULL;
    CHECK_OK(atlas_container_open(path, ATLAS_CONTAINER_WRITE, &verify, NULL, NULL, &container));
    return container;
}

/* Three generations: projected, edited, and the first again; written, reopened, compacted. */
static void generations_of(const kind *one, size_t size)
{
    const char *path = temp_path("sizes.atlas"), *copy = temp_path("copy.atlas");
    uint8_t *first = random_bytes(size, size + 1);
    uint8_t *second = random_bytes(size + 192, size + 1);
    if (one->strict) {
        balance(first, size);
        memcpy(second, first, size);
    }
    /* 192 bytes before the middle, each 96 of which sum to nothing. */
    memmove(second + size / 2 + 192, second + size / 2, size - size / 2);
    memset(second + size / 2, 7, 192);
    atlas_projection_options options;
    atlas_container_create_options create;
    options_of(one, &options, &create);
    atlas_container *container = created(path, one->type, &options, &create);
    check_info(container, one, true, 0);
    atlas_projection *empty = snapshot_of(container, 0, true);
    check_bytes(empty, first, 0);
    atlas_projection_destroy(empty);
    atlas_source *source = borrowed(first, size);
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(one->type, source, &options, NULL, &projection));
    CHECK_EQ(committed(container, projection), 1);
    replace(projection, size / 2, 0, second + size / 2, 192);
    CHECK_EQ(committed(container, projection), 2);
    atlas_container_destroy(container);

    container = opened_kind(path, one);
    check_info(container, one, true, 2);
    atlas_projection *old = snapshot_of(container, 1, true);
    CHECK_EQ(committed(container, old), 3);
    const uint64_t length = info_of(container).file_size;
    CHECK_EQ(imported(container, second, size + 192), 4);
    CHECK_OK(atlas_container_compact(container, copy, 2, NULL));
    for (int round = 0; round < 3; round++) {
        check_info(container, one, true, 4);
        check_generation(container, 1, first, size);
        check_generation(container, 2, second, size + 192);
        check_generation(container, 3, first, size);
        check_generation(container, 4, second, size + 192);
        const atlas_generation_info one_info = generation_of(container, 1), info = generation_of(container, 3);
        CHECK(memcmp(one_info.root, info.root, 32) == 0 && memcmp(one_info.history, info.history, 32) != 0);
        CHECK_EQ(info.generation, 3);
        CHECK_EQ(info.previous, 2);
        CHECK_EQ(one_info.previous, 0);
        CHECK_EQ(info.time, 0);
        CHECK_EQ(info.tile_count, (size + TILE - 1) / TILE);
        CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
        CHECK_EQ(info_of(container).file_size, size_of_file(path));
        if (round == 0) {
            CHECK_OK(atlas_container_compact(container, NULL, 0, NULL));
            CHECK(size == 0 || info_of(container).file_size <= length + size + 20 * 65536);
        } else if (round == 1) {
            atlas_container_destroy(container);
            container = opened_kind(path, one);
        }
    }
    atlas_container_destroy(container);
    /* Both snapshots outlive their handle. */
    check_bytes(old, first, size);
    check_bytes(projection, second, size + 192);
    container = opened_kind(copy, one);
    CHECK_EQ(info_of(container).oldest, 2);
    CHECK_EQ(info_of(container).generation_count, 3);
    check_generation(container, 2, second, size + 192);
    check_generation(container, 3, first, size);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    atlas_container_destroy(container);
    atlas_projection_destroy(old);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    free(first);
    free(second);
    CHECK(unlink(path) == 0 && unlink(copy) == 0);
    CHECK_EQ(temp_names(), 0);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void an_empty_container_has_no_generation(void)
{
    const char *path = temp_path("empty.atlas");
    atlas_container *container = created(path, 0, NULL, NULL);
    uint64_t newest = 7;
    for (int round = 0; round < 2; round++) {
        atlas_generation_info info;
        info.struct_size = (uint32_t)sizeof info;
        CHECK_STATUS(atlas_container_get_generation(container, 0, &info), ATLAS_STATUS_OUT_OF_RANGE);
        CHECK_STATUS(atlas_container_get_generation(container, 1, &info), ATLAS_STATUS_OUT_OF_RANGE);
        size_t size = 0;
        CHECK_STATUS(atlas_container_get_note(container, 0, NULL, &size), ATLAS_STATUS_OUT_OF_RANGE);
        CHECK_OK(atlas_container_refresh(container, NULL, &newest));
        CHECK_EQ(newest, 0);
        CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
        CHECK_OK(atlas_container_compact(container, NULL, 0, NULL));
        CHECK_EQ(info_of(container).file_size, 3 * (uint64_t)info_of(container).block_size);
        CHECK_EQ(size_of_file(path), info_of(container).file_size);
        atlas_container_destroy(container);
        container = opened(path, ATLAS_CONTAINER_WRITE);
    }
    atlas_projection *empty = snapshot_of(container, 0, true);
    CHECK_EQ(committed(container, empty), 1);
    check_generation(container, 1, NULL, 0);
    atlas_projection_destroy(empty);
    atlas_container_destroy(container);
    CHECK(unlink(path) == 0);
}

/* A failure with its status leaves no handle and no new file. */
static void not_created(const char *path, uint32_t type, const atlas_projection_options *options,
                        const atlas_container_create_options *create, int status)
{
    atlas_container *container = (atlas_container *)(void *)&status;
    CHECK_STATUS(atlas_container_create(path, type, options, create, NULL, &container), status);
    CHECK(container == NULL);
}

static void refused_creations(void)
{
    const char *path = temp_path("refused.atlas");
    atlas_projection_options options;
    atlas_container_create_options create;
    atlas_projection_options_init(&options);
    atlas_container_create_options_init(&create);
    not_created(path, 7, NULL, NULL, ATLAS_STATUS_INVALID_ARGUMENT);
    for (uint32_t log2 = 1; log2 < 70; log2++) {
        create.block_log2 = log2;
        if (log2 < 12 || log2 > 16) {
            not_created(path, 0, NULL, &create, ATLAS_STATUS_INVALID_ARGUMENT);
            CHECK_SAYS("12..=16");
        }
    }
    create.block_log2 = 0;
    create.reserved = 1;
    not_created(path, 0, NULL, &create, ATLAS_STATUS_INVALID_ARGUMENT);
    create.reserved = 0;
    create.keep_chains = 1;
    not_created(path, ATLAS_PROJECTION_R96_FOURIER, NULL, &create, ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("LINEAR");
    create.keep_chains = 0;
    options.r96_data_classes = 97;
    not_created(path, ATLAS_PROJECTION_R96_FOURIER, &options, NULL, ATLAS_STATUS_INVALID_ARGUMENT);
    atlas_compression_config config;
    memset(&config, 0, sizeof config);
    config.struct_size = (uint32_t)sizeof config;
    config.level = 99;
    create.compression = &config;
    not_created(path, 0, NULL, &create,
                built_in(ATLAS_FEATURE_COMPRESSION) ? ATLAS_STATUS_INVALID_ARGUMENT : ATLAS_STATUS_UNSUPPORTED);
    CHECK_EQ(temp_names(), 0);
    not_created(temp_path("no-folder/x.atlas"), 0, NULL, NULL, ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, ENOENT);

    write_file(path, "mine", 4);
    not_created(path, 0, NULL, NULL, ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, EEXIST);
    CHECK_SAYS("refused.atlas");
    CHECK(file_is(path, "mine", 4));
    CHECK(unlink(path) == 0);
}

static void refused_openings(void)
{
    const char *path = temp_path("other.bin");
    not_opened(path, ATLAS_CONTAINER_READ, NULL, NULL, ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, ENOENT);
    not_opened(temp_dir(), ATLAS_CONTAINER_READ, NULL, NULL, ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("regular file");
    uint8_t *bytes = random_bytes(30000, 3);
    for (size_t size = 0; size <= 30000; size += size == 0 ? 1 : 29999) {
        write_file(path, bytes, size);
        not_opened(path, ATLAS_CONTAINER_READ, NULL, NULL, ATLAS_STATUS_FORMAT);
        not_opened(path, ATLAS_CONTAINER_WRITE, NULL, NULL, ATLAS_STATUS_FORMAT);
        CHECK(file_is(path, bytes, size));
    }
    CHECK(unlink(path) == 0);
    atlas_container_destroy(created(path, 0, NULL, NULL));
    not_opened(path, 2, NULL, NULL, ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(unlink(path) == 0);
    free(bytes);
}

/* The caller's knowledge of the file: the key, the root, the history, a limit. */
static void what_is_expected_is_checked(void)
{
    const char *path = temp_path("known.atlas");
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    uint8_t *data = random_bytes(2 * TILE + 5, 11);
    atlas_container *container = created(path, 0, &options, NULL);
    for (uint64_t i = 1; i <= 3; i++) {
        data[0] = (uint8_t)i;
        CHECK_EQ(imported(container, data, 2 * TILE + 5), i);
    }
    const atlas_generation_info first = generation_of(container, 1), newest = generation_of(container, 3);
    atlas_container_destroy(container);
    atlas_verify_options verify;
    atlas_container_open_options open;
    for (uint32_t mode = ATLAS_CONTAINER_READ; mode <= ATLAS_CONTAINER_WRITE; mode++) {
        atlas_verify_options_init(&verify);
        atlas_container_open_options_init(&open);
        not_opened(path, mode, NULL, NULL, ATLAS_STATUS_WITNESS);
        verify.key = other_key;
        not_opened(path, mode, &verify, NULL, ATLAS_STATUS_WITNESS);
        verify.key = key;
        verify.expected_root = first.root;
        not_opened(path, mode, &verify, NULL, ATLAS_STATUS_WITNESS);
        CHECK_SAYS("root");
        verify.expected_root = newest.root;
        open.expected_history = newest.root;
        not_opened(path, mode, &verify, &open, ATLAS_STATUS_WITNESS);
        CHECK_SAYS("history");
        open.expected_history = first.history;
        open.max_domain_size = 2 * TILE + 4;
        not_opened(path, mode, &verify, &open, ATLAS_STATUS_LIMIT);
        CHECK_SAYS("max_domain_size");
        open.max_domain_size = 2 * TILE + 5;
        CHECK_OK(atlas_container_open(path, mode, &verify, &open, NULL, &container));
        check_generation(container, 0, data, 2 * TILE + 5);
        atlas_container_destroy(container);
        open.expected_history = newest.history;
        CHECK_OK(atlas_container_open(path, mode, &verify, &open, NULL, &container));
        atlas_container_destroy(container);
    }
    /* The same of memory. */
    size_t size = 0;
    uint8_t *file = bytes_of_file(path, &size);
    atlas_source *source = borrowed(file, size);
    container = (atlas_container *)(void *)&size;
    CHECK_STATUS(atlas_container_open_source(source, NULL, NULL, NULL, &container), ATLAS_STATUS_WITNESS);
    CHECK(container == NULL);
    CHECK_OK(atlas_container_open_source(source, &verify, &open, NULL, &container));
    atlas_source_destroy(source);
    CHECK_EQ(info_of(container).writable, 0);
    check_generation(container, 3, data, 2 * TILE + 5);
    data[0] = 1;
    check_generation(container, 1, data, 2 * TILE + 5);
    uint64_t found = 0;
    CHECK_OK(atlas_container_refresh(container, NULL, &found));
    CHECK_EQ(found, 3);
    atlas_projection *snapshot = snapshot_of(container, 1, false);
    CHECK_STATUS(atlas_container_commit(container, snapshot, NULL, NULL, NULL), ATLAS_STATUS_STATE);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    free(file);
    free(data);
    CHECK(unlink(path) == 0);
}

static void one_handle_writes(void)
{
    const char *path = temp_path("locked.atlas"), *copy = temp_path("copy.atlas");
    uint8_t *data = random_bytes(5000, 12);
    atlas_container *writer = created(path, 0, NULL, NULL);
    CHECK_EQ(imported(writer, data, 5000), 1);
    not_opened(path, ATLAS_CONTAINER_WRITE, NULL, NULL, ATLAS_STATUS_STATE);
    CHECK_EQ(last_error().os_error, EAGAIN);
    atlas_container *reader = opened(path, ATLAS_CONTAINER_READ);
    CHECK_EQ(info_of(reader).writable, 0);
    atlas_projection *snapshot = snapshot_of(reader, 0, true), *kept = snapshot_of(writer, 0, true);
    atlas_source *source = borrowed(data, 5000);
    uint64_t generation = 7;
    CHECK_STATUS(atlas_container_commit(reader, snapshot, NULL, NULL, &generation), ATLAS_STATUS_STATE);
    CHECK_EQ(generation, 0);
    CHECK_SAYS("WRITE");
    CHECK_STATUS(atlas_container_import(reader, source, NULL, 0, NULL, NULL, NULL), ATLAS_STATUS_STATE);
    CHECK_STATUS(atlas_container_compact(reader, NULL, 0, NULL), ATLAS_STATUS_STATE);
    CHECK_OK(atlas_container_compact(reader, copy, 0, NULL));
    CHECK_OK(atlas_container_set_base(reader, source));
    atlas_source_destroy(source);
    /* The reader sees the commit after it was told to look. */
    data[7] ^= 1;
    CHECK_EQ(imported(writer, data, 5000), 2);
    CHECK_EQ(info_of(reader).newest, 1);
    CHECK_OK(atlas_container_refresh(reader, NULL, &generation));
    CHECK_EQ(generation, 2);
    check_generation(reader, 2, data, 5000);
    /* The lock ends with the handle, whatever snapshots live on. */
    atlas_container_destroy(writer);
    writer = opened(path, ATLAS_CONTAINER_WRITE);
    not_opened(path, ATLAS_CONTAINER_WRITE, NULL, NULL, ATLAS_STATUS_STATE);
    CHECK_OK(atlas_container_find_damage(reader, 0, NULL, NULL, NULL));
    /* In place the lock goes to the new file, and so does the reader. */
    CHECK_OK(atlas_container_compact(writer, NULL, 2, NULL));
    not_opened(path, ATLAS_CONTAINER_WRITE, NULL, NULL, ATLAS_STATUS_STATE);
    CHECK_EQ(last_error().os_error, EAGAIN);
    check_generation(reader, 2, data, 5000);
    CHECK_EQ(info_of(reader).oldest, 1);
    CHECK_OK(atlas_container_refresh(reader, NULL, NULL));
    CHECK_EQ(info_of(reader).oldest, 2);
    check_generation(reader, 2, data, 5000);
    data[7] ^= 1;
    check_bytes(kept, data, 5000);
    check_bytes(snapshot, data, 5000);
    /* Another container of that name is not the reader's. */
    CHECK(rename(copy, path) == 0);
    CHECK_STATUS(atlas_container_refresh(reader, NULL, &generation), ATLAS_STATUS_STATE);
    CHECK_EQ(generation, 0);
    CHECK_SAYS("open it again");
    atlas_projection_destroy(snapshot);
    atlas_projection_destroy(kept);
    atlas_container_destroy(reader);
    atlas_container_destroy(writer);
    free(data);
    CHECK(unlink(path) == 0);
    CHECK_EQ(temp_names(), 0);
}

static void a_commit_of_another_kind_is_refused(void)
{
    uint8_t *data = random_bytes(5000, 13);
    atlas_source *source = borrowed(data, 5000);
    const char *const words[] = {NULL, "key", "type", "type"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *path = temp_path("kind.atlas");
        atlas_projection_options options;
        atlas_container_create_options create;
        options_of(&kinds[i], &options, &create);
        atlas_container *container = created(path, kinds[i].type, &options, &create);
        for (size_t j = 0; j < sizeof kinds / sizeof kinds[0]; j++) {
            atlas_projection *projection = NULL;
            options_of(&kinds[j], &options, &create);
            options.conservation = ATLAS_CONSERVATION_TRACK; /* or these bytes are none */
            CHECK_OK(atlas_projection_create(kinds[j].type, source, &options, NULL, &projection));
            const uint64_t before = info_of(container).newest;
            uint64_t generation = 7;
            if (i != j || kinds[i].strict) {
                CHECK_STATUS(atlas_container_commit(container, projection, NULL, NULL, &generation),
                             ATLAS_STATUS_INVALID_ARGUMENT);
                CHECK_EQ(generation, 0);
                CHECK(i > 0 || strstr(atlas_last_error_message(), words[j]) != NULL);
                if (i == j) {
                    CHECK_SAYS("policy");
                } else if (i == 2 && j == 3) {
                    CHECK_SAYS("K");
                }
                CHECK_EQ(info_of(container).newest, before);
            } else {
                CHECK_OK(atlas_container_commit(container, projection, NULL, NULL, &generation));
                CHECK_EQ(generation, before + 1);
            }
            atlas_projection_destroy(projection);
        }
        atlas_container_destroy(container);
        CHECK(unlink(path) == 0);
    }
    atlas_source_destroy(source);
    free(data);
}

static void strict_containers_stay_balanced(void)
{
    const char *path = temp_path("strict.atlas");
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.conservation = ATLAS_CONSERVATION_STRICT;
    uint8_t *data = random_bytes(TILE + 9, 14);
    balance(data, TILE + 9);
    atlas_container *container = created(path, 0, &options, NULL);
    CHECK_EQ(imported(container, data, TILE + 9), 1);
    const uint64_t length = size_of_file(path);
    data[3]++;
    atlas_source *source = borrowed(data, TILE + 9);
    CHECK_STATUS(atlas_container_import(container, source, NULL, 0, NULL, NULL, NULL), ATLAS_STATUS_CONSERVATION);
    atlas_source_destroy(source);
    CHECK_EQ(info_of(container).newest, 1);
    CHECK_EQ(size_of_file(path), length);
    data[3]--;
    atlas_projection *snapshot = snapshot_of(container, 0, true);
    const atlas_delta unbalanced = {.type = ATLAS_CHANGE_INSERT, .data = "x", .data_size = 1};
    CHECK_STATUS(atlas_projection_apply(snapshot, &unbalanced), ATLAS_STATUS_CONSERVATION);
    CHECK_EQ(committed(container, snapshot), 2);
    check_generation(container, 2, data, TILE + 9);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    free(data);
    CHECK(unlink(path) == 0);
}

/* ---- fields of a commit besides the tree --------------------------------------------------------- */

static void notes_times_and_expectations(void)
{
    const char *path = temp_path("notes.atlas");
    uint8_t note[1025], found[1025];
    fill_random(note, sizeof note, 15);
    note[3] = 0;
    atlas_container *container = created(path, 0, NULL, NULL);
    atlas_projection *empty = snapshot_of(container, 0, false);
    atlas_commit_options options;
    atlas_commit_options_init(&options);
    options.note = note;
    options.note_size = 1025;
    CHECK_STATUS(atlas_container_commit(container, empty, &options, NULL, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("1024");
    options.note_size = SIZE_MAX;
    CHECK_STATUS(atlas_container_commit(container, empty, &options, NULL, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    options.note_size = 0;
    options.reserved = 1;
    CHECK_STATUS(atlas_container_commit(container, empty, &options, NULL, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    options.reserved = 0;
    options.expected = 1;
    CHECK_STATUS(atlas_container_commit(container, empty, &options, NULL, NULL), ATLAS_STATUS_CONFLICT);
    CHECK_EQ(info_of(container).newest, 0);
    static const size_t sizes[] = {1024, 0, 1, 7, 1023};
    static const int64_t times[] = {INT64_MIN, 0, INT64_MAX, -1, 1};
    for (uint64_t i = 0; i < 5; i++) {
        uint64_t generation = 0;
        options.expected = i;
        options.time = times[i];
        options.note_size = sizes[i];
        CHECK_OK(atlas_container_commit(container, empty, &options, NULL, &generation));
        CHECK_EQ(generation, i + 1);
    }
    options.expected = 4;
    CHECK_STATUS(atlas_container_commit(container, empty, &options, NULL, NULL), ATLAS_STATUS_CONFLICT);
    CHECK_SAYS("5");
    atlas_source *source = borrowed(note, 5);
    CHECK_STATUS(atlas_container_import(container, source, NULL, 0, &options, NULL, NULL), ATLAS_STATUS_CONFLICT);
    atlas_source_destroy(source);
    CHECK_EQ(info_of(container).newest, 5);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 5; i++) {
            CHECK_EQ((uint64_t)generation_of(container, i + 1).time, (uint64_t)times[i]);
            CHECK_EQ(generation_of(container, i + 1).note_size, sizes[i]);
            for (size_t capacity = 0; capacity <= 1025; capacity = 2 * capacity + 1) {
                size_t size = capacity;
                memset(found, 0xA5, sizeof found);
                CHECK_OK(atlas_container_get_note(container, i + 1, capacity > 0 ? found : NULL, &size));
                const size_t fits = sizes[i] < capacity ? sizes[i] : capacity;
                CHECK_EQ(size, sizes[i]);
                CHECK(memcmp(found, note, fits) == 0);
                CHECK(all_bytes(found + fits, sizeof found - fits, 0xA5));
            }
        }
        size_t size = 4;
        CHECK_STATUS(atlas_container_get_note(container, 6, found, &size), ATLAS_STATUS_OUT_OF_RANGE);
        CHECK_EQ(size, 0);
        atlas_generation_info info;
        info.struct_size = (uint32_t)sizeof info;
        CHECK_STATUS(atlas_container_get_generation(container, 6, &info), ATLAS_STATUS_OUT_OF_RANGE);
        CHECK_STATUS(atlas_container_get_generation(container, NONE, &info), ATLAS_STATUS_OUT_OF_RANGE);
        atlas_projection *none = empty;
        CHECK_STATUS(atlas_container_snapshot(container, 6, 0, NULL, &none), ATLAS_STATUS_OUT_OF_RANGE);
        CHECK(none == NULL);
        CHECK_OK(atlas_container_compact(container, NULL, 0, NULL));
    }
    atlas_projection_destroy(empty);
    atlas_container_destroy(container);
    CHECK(unlink(path) == 0);
}

/* A creator who names the id gets the same file every time. */
static void the_same_id_makes_the_same_file(void)
{
    const char *paths[2] = {temp_path("left.atlas"), temp_path("right.atlas")};
    uint8_t *data = random_bytes(TILE + 70000, 16);
    for (int i = 0; i < 2; i++) {
        atlas_container_create_options create;
        atlas_container_create_options_init(&create);
        create.block_log2 = 12;
        create.id = key;
        atlas_container *container = created(paths[i], 0, NULL, &create);
        CHECK(memcmp(info_of(container).id, key, 16) == 0);
        CHECK_EQ(info_of(container).block_size, 4096);
        CHECK_EQ(imported(container, data, TILE + 70000), 1);
        atlas_container_destroy(container);
    }
    size_t size = 0;
    uint8_t *left = bytes_of_file(paths[0], &size);
    CHECK(file_is(paths[1], left, size));
    free(left);
    free(data);
    CHECK(unlink(paths[0]) == 0 && unlink(paths[1]) == 0);
}

/* ---- compression ------------------------------------------------------------------------------------------- */

static void payload_is_compressed(void)
{
    const char *path = temp_path("compressed.atlas");
    const size_t size = 2 * TILE + 4321;
    uint8_t *data = random_bytes(size, 29);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i / 50 % 7 + (i % 97 == 0 ? data[i] : 0));
    }
    atlas_compression_config config;
    memset(&config, 0, sizeof config);
    atlas_container_create_options create;
    atlas_container_create_options_init(&create);
    atlas_compression_config_init(&config);
    create.compression = &config;
    atlas_container *container = created(path, 0, NULL, &create);
    CHECK_EQ(imported(container, data, size), 1);
    CHECK(size_of_file(path) < size / 3);
    check_generation(container, 1, data, size);
    atlas_projection *snapshot = snapshot_of(container, 0, true);
    uint8_t *zeros = (uint8_t *)calloc(1, TILE);
    CHECK(zeros != NULL);
    replace(snapshot, 1000, TILE, zeros, TILE);
    memset(data + 1000, 0, TILE);
    CHECK_EQ(committed(container, snapshot), 2);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    container = opened(path, ATLAS_CONTAINER_WRITE); /* a later handle stores plain bytes */
    check_generation(container, 2, data, size);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    CHECK_OK(atlas_container_compact(container, NULL, 2, NULL));
    check_generation(container, 2, data, size);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    atlas_container_destroy(container);
    free(zeros);
    free(data);
    CHECK(unlink(path) == 0);
}

int main(void)
{
    const size_t sizes[] = {0, 1, 4097, TILE, TILE + 1, 2 * TILE + 70001};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            if (!small_run() || j % 3 == 2) {
                generations_of(&kinds[i], sizes[j]);
            }
        }
    }
    TEST(an_empty_container_has_no_generation);
    TEST(refused_creations);
    TEST(refused_openings);
    TEST(what_is_expected_is_checked);
    TEST(one_handle_writes);
    TEST(a_commit_of_another_kind_is_refused);
    TEST(strict_containers_stay_balanced);
    TEST(notes_times_and_expectations);
    TEST(the_same_id_makes_the_same_file);
    if (built_in(ATLAS_FEATURE_COMPRESSION)) {
        TEST(payload_is_compressed);
    }
    CHECK_EQ(temp_names(), 0);
    return 0;
}
