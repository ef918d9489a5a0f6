/* Merges of containers: outlines of consecutive parts of one file, payload that is copied, and parts that do not fit. */
#include "check.h"

#include "container.h"

#include <pthread.h>

static const uint8_t ID[16] = "merged container";

typedef struct counter {
    const uint8_t *bytes;
    pthread_mutex_t lock;
    uint64_t reads;
} counter;

static int read_counted(void *user_data, uint64_t offset, void *buffer, size_t count)
{
    counter *self = (counter *)user_data;
    CHECK(pthread_mutex_lock(&self->lock) == 0);
    self->reads++;
    CHECK(pthread_mutex_unlock(&self->lock) == 0);
    memcpy(buffer, self->bytes + offset, count);
    return 0;
}

static atlas_container_create_options create_options(uint32_t keep_chains, const atlas_source *base)
{
    atlas_container_create_options create;
    atlas_container_create_options_init(&create);
    create.id = ID;
    create.block_log2 = 12;
    create.keep_chains = keep_chains;
    create.base = base;
    return create;
}

static atlas_commit_options commit_options(void)
{
    atlas_commit_options commit;
    atlas_commit_options_init(&commit);
    commit.time = -5;
    commit.note = "noted";
    commit.note_size = 5;
    return commit;
}

static atlas_container *outline_of(const char *path, const atlas_source *base, uint32_t keep_chains)
{
    const atlas_container_create_options create = create_options(keep_chains, base);
    const atlas_commit_options commit = commit_options();
    atlas_container *container = created(path, ATLAS_PROJECTION_LINEAR, NULL, &create);
    CHECK_OK(atlas_container_import(container, base, NULL, 0, &commit, NULL, NULL));
    return container;
}

enum { PARTS = 5 };

static void outlines_are_merged(uint32_t keep_chains)
{
    static const size_t cuts[PARTS + 1] = {0, 2 * TILE, 2 * TILE, 35 * TILE, 36 * TILE, 37 * TILE + 999};
    const size_t size = cuts[PARTS];
    char whole_path[PATH_MAX], merged_path[PATH_MAX], part_path[PARTS][PATH_MAX];
    (void)snprintf(whole_path, sizeof whole_path, "%s", temp_path("whole.atlas"));
    (void)snprintf(merged_path, sizeof merged_path, "%s", temp_path("merged.atlas"));
    uint8_t *data = random_bytes(size, 40);
    counter counted = {.bytes = data, .lock = PTHREAD_MUTEX_INITIALIZER};
    atlas_source *source = NULL, *ranges[PARTS], *joined = NULL;
    CHECK_OK(atlas_source_from_callback(size, read_counted, NULL, &counted, &source));
    atlas_container *parts[PARTS], *whole = outline_of(whole_path, source, keep_chains), *merged = NULL;
    for (size_t i = 0; i < PARTS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "part%u.atlas", (unsigned)i);
        (void)snprintf(part_path[i], PATH_MAX, "%s", temp_path(name));
        CHECK_OK(atlas_source_range(source, cuts[i], cuts[i + 1] - cuts[i], &ranges[i]));
        atlas_container_destroy(outline_of(part_path[i], ranges[i], keep_chains));
        /* Parts need no base attached, and only read. */
        parts[i] = opened(part_path[i], ATLAS_CONTAINER_READ);
    }
    CHECK_OK(atlas_source_concat((const atlas_source *const *)ranges, PARTS, &joined));
    counted.reads = 0;
    const atlas_container_create_options create = create_options(0, joined);
    const atlas_commit_options commit = commit_options();
    CHECK_OK(atlas_container_merge((const atlas_container *const *)parts, PARTS, merged_path, &create, &commit, NULL,
                                   &merged));
    CHECK_EQ(counted.reads, 0);
    size_t length = 0;
    uint8_t *bytes = bytes_of_file(whole_path, &length);
    CHECK(file_is(merged_path, bytes, length));
    free(bytes);
    CHECK_EQ(info_of(merged).base_size, size);
    CHECK_EQ(info_of(merged).keeps_chains, keep_chains);
    CHECK_EQ(info_of(merged).writable, 1);
    check_generation(merged, 1, data, size);
    /* The handle is the writer's. */
    atlas_projection *snapshot = snapshot_of(merged, 0, true);
    replace(snapshot, 36 * TILE + 5, 4, "merge", 5);
    CHECK_EQ(committed(merged, snapshot), 2);
    atlas_projection_destroy(snapshot);
    check_generation(merged, 1, data, size);
    CHECK_OK(atlas_container_find_damage(merged, 0, NULL, NULL, NULL));
    not_opened(merged_path, ATLAS_CONTAINER_WRITE, NULL, NULL, ATLAS_STATUS_STATE);
    atlas_container_destroy(merged);

    /* A base of another size, a file that is there, too few parts, and a part in the middle that is not full. */
    atlas_container_create_options wrong = create_options(0, ranges[0]);
    bytes = bytes_of_file(merged_path, &length);
    const atlas_container *const *all = (const atlas_container *const *)parts;
    CHECK_STATUS(atlas_container_merge(all, PARTS, merged_path, &create, &commit, NULL, &merged), ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, EEXIST);
    CHECK(merged == NULL && file_is(merged_path, bytes, length));
    CHECK(unlink(merged_path) == 0);
    free(bytes);
    CHECK_STATUS(atlas_container_merge(all, PARTS, merged_path, &wrong, &commit, NULL, &merged),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("concatenate");
    CHECK_STATUS(atlas_container_merge(all, 0, merged_path, NULL, NULL, NULL, &merged), ATLAS_STATUS_INVALID_ARGUMENT);
    const atlas_container *swapped[] = {parts[0], parts[4], parts[0]};
    CHECK_STATUS(atlas_container_merge(swapped, 3, merged_path, NULL, NULL, NULL, &merged),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_EQ(last_error().index, 1);
    CHECK_SAYS("1 MiB");
    swapped[1] = NULL;
    CHECK_STATUS(atlas_container_merge(swapped, 3, merged_path, NULL, NULL, NULL, &merged),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_EQ(last_error().index, 1);
    wrong = create_options(1, NULL);
    CHECK_STATUS(atlas_container_merge(swapped, 1, merged_path, &wrong, NULL, NULL, &merged),
                 keep_chains ? ATLAS_STATUS_OK : ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK((merged != NULL) == (keep_chains != 0) && exists(merged_path) == (keep_chains != 0));
    atlas_container_destroy(merged);
    if (keep_chains) {
        CHECK(unlink(merged_path) == 0);
    }
    atlas_commit_options expecting = commit_options();
    expecting.expected = 1;
    CHECK_STATUS(atlas_container_merge(swapped, 1, merged_path, NULL, &expecting, NULL, &merged),
                 ATLAS_STATUS_CONFLICT);
    /* The same part may come twice, and all options may be left out. */
    swapped[1] = parts[0];
    CHECK_OK(atlas_container_merge(swapped, 2, merged_path, NULL, NULL, NULL, &merged));
    CHECK_EQ(generation_of(merged, 0).domain_size, 4 * TILE);
    CHECK_EQ(info_of(merged).base_size, 4 * TILE);
    CHECK_STATUS(atlas_container_find_damage(merged, 0, NULL, NULL, NULL), ATLAS_STATUS_INCOMPLETE);
    atlas_container_destroy(merged);
    CHECK(unlink(merged_path) == 0);
    /* A part that is damaged. */
    change_byte(part_path[2], 3 * 4096 + (keep_chains ? 2000 : 600));
    CHECK_STATUS(atlas_container_merge(all, PARTS, merged_path, NULL, NULL, NULL, &merged), ATLAS_STATUS_WITNESS);
    CHECK_EQ(last_error().index, 2);
    CHECK(merged == NULL && !exists(merged_path));

    atlas_source_destroy(joined);
    for (size_t i = 0; i < PARTS; i++) {
        atlas_container_destroy(parts[i]);
        atlas_source_destroy(ranges[i]);
        CHECK(unlink(part_path[i]) == 0);
    }
    atlas_container_destroy(whole);
    atlas_source_destroy(source);
    CHECK(unlink(whole_path) == 0);
    free(data);
}

/* Payload in the parts is copied; compressed payload is not, and parts may be of any type. */
static void payload_is_merged(void)
{
    char one[PATH_MAX], two[PATH_MAX], merged_path[PATH_MAX];
    (void)snprintf(one, sizeof one, "%s", temp_path("one.atlas"));
    (void)snprintf(two, sizeof two, "%s", temp_path("two.atlas"));
    (void)snprintf(merged_path, sizeof merged_path, "%s", temp_path("merged.atlas"));
    const size_t first = 2 * TILE, second = TILE + 4321;
    for (uint32_t type = 0; type < 2; type++) {
        uint8_t *data = random_bytes(first + second, 41);
        memset(data + TILE, 0, TILE);
        memset(data + first + 10, 'a', TILE);
        atlas_container_create_options create;
        atlas_container_create_options_init(&create);
        atlas_compression_config config;
        atlas_compression_config_init(&config);
        create.compression = built_in(ATLAS_FEATURE_COMPRESSION) ? &config : NULL;
        atlas_container *a = created(one, type, NULL, &create), *b = created(two, type, NULL, &create), *merged = NULL;
        CHECK_EQ(imported(a, data, first), 1);
        CHECK_EQ(imported(b, data + first, second), 1);
        const atlas_container *const parts[] = {a, b};
        CHECK_OK(atlas_container_merge(parts, 2, merged_path, NULL, NULL, NULL, &merged));
        check_generation(merged, 1, data, first + second);
        CHECK_OK(atlas_container_find_damage(merged, 0, NULL, NULL, NULL));
        CHECK_EQ(info_of(merged).type, type);
        atlas_container_destroy(merged);
        atlas_container_destroy(a);
        atlas_container_destroy(b);
        CHECK(unlink(one) == 0 && unlink(two) == 0 && unlink(merged_path) == 0);
        free(data);
    }
}

int main(void)
{
    outlines_are_merged(0);
    outlines_are_merged(1);
    payload_is_merged();
    CHECK_EQ(temp_names(), 0);
    return 0;
}
