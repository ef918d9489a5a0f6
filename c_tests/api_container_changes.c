/* Changes of a container: calls that are cancelled or find no room, compaction, and sources that are inserted into
 * a committed projection. */
#include "check.h"

#include "container.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

/* ---- calls that end before they are done --------------------------------------------------------------- */

typedef struct recorder {
    pthread_t caller;
    uint64_t calls, cancel_at; /* NONE: never */
    bool stopped, wrong;
    atlas_progress last;
} recorder;

static bool record(const atlas_progress *progress, void *user_data)
{
    recorder *self = (recorder *)user_data;
    self->wrong = self->wrong || self->stopped || !pthread_equal(self->caller, pthread_self()) ||
                  progress->bytes_done < self->last.bytes_done ||
                  progress->chunks_done < self->last.chunks_done ||
                  progress->bytes_done > progress->bytes_total ||
                  progress->chunks_done > progress->chunks_total;
    self->last = *progress;
    self->stopped = self->calls++ == self->cancel_at;
    return !self->stopped;
}

static uint8_t *long_data; /* 3 MiB, of which the container has another middle */
static atlas_container *long_container;
static atlas_source *long_source;
static atlas_projection *long_projection;
static char long_target[PATH_MAX];

static int long_commit(const atlas_operation *operation)
{
    uint64_t generation = 7;
    const int status =
        (int)atlas_container_commit(long_container, long_projection, NULL, operation, &generation);
    CHECK((generation != 0) == (status == 0));
    return status;
}

static int long_import(const atlas_operation *operation)
{
    uint64_t generation = 7;
    const int status =
        (int)atlas_container_import(long_container, long_source, NULL, 0, NULL, operation, &generation);
    CHECK((generation != 0) == (status == 0));
    return status;
}

static int long_compact_to(const atlas_operation *operation)
{
    const int status = (int)atlas_container_compact(long_container, long_target, 0, operation);
    CHECK(exists(long_target) == (status == 0));
    if (status == 0) {
        atlas_container *made = opened(long_target, ATLAS_CONTAINER_READ);
        CHECK_EQ(info_of(made).newest, info_of(long_container).newest);
        CHECK_OK(atlas_container_find_damage(made, 0, NULL, NULL, NULL));
        atlas_container_destroy(made);
        CHECK(unlink(long_target) == 0);
    }
    return status;
}

static int long_compact(const atlas_operation *operation)
{
    const int status = (int)atlas_container_compact(long_container, NULL, 0, operation);
    CHECK_EQ(temp_names(), 1);
    return status;
}

static int long_find_damage(const atlas_operation *operation)
{
    return (int)atlas_container_find_damage(long_container, 0, NULL, NULL, operation);
}

static void a_cancelled_call_changes_nothing(void)
{
    int (*const calls[])(const atlas_operation *) = {long_commit, long_import, long_compact_to, long_compact,
                                                    long_find_damage};
    const size_t size = 3 * TILE + 5;
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_path("cancelled.atlas"));
    (void)snprintf(long_target, sizeof long_target, "%s", temp_path("target.atlas"));
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        uint8_t *data = random_bytes(size, 18);
        long_data = random_bytes(size, 19);
        long_container = created(path, 0, NULL, NULL);
        CHECK_EQ(imported(long_container, data, size), 1);
        uint64_t count = 1;
        for (uint64_t at = 0; at < count && at < 12; at++) {
            long_data[TILE + at]++;
            long_source = borrowed(long_data, size);
            long_projection = projected(long_source, NULL);
            size_t length = 0;
            uint8_t *before = bytes_of_file(path, &length);
            const uint64_t newest = info_of(long_container).newest;
            recorder self;
            atlas_operation operation;
            atlas_operation_init(&operation);
            operation.progress = record;
            operation.user_data = &self;
            memset(&self, 0, sizeof self);
            self.caller = pthread_self();
            self.cancel_at = at;
            CHECK_STATUS(calls[i](&operation), ATLAS_STATUS_CANCELLED);
            CHECK_EQ(self.calls, at + 1);
            CHECK(!self.wrong);
            CHECK(file_is(path, before, length)); /* bytes beyond its end are cut */
            CHECK_EQ(info_of(long_container).newest, newest);
            /* The handle goes on, and the file opens as it was. */
            atlas_container *reader = opened(path, ATLAS_CONTAINER_READ);
            CHECK_EQ(info_of(reader).newest, newest);
            atlas_container_destroy(reader);
            memset(&self, 0, sizeof self);
            self.caller = pthread_self();
            self.cancel_at = NONE;
            CHECK_OK(calls[i](&operation));
            CHECK(!self.wrong);
            CHECK_EQ(self.last.bytes_done, self.last.bytes_total);
            CHECK_EQ(self.last.chunks_done, self.last.chunks_total);
            CHECK(self.last.bytes_total > 0);
            count = self.calls;
            if (i < 2) {
                CHECK_EQ(info_of(long_container).newest, newest + 1);
                check_generation(long_container, 0, long_data, size);
            }
            check_generation(long_container, 1, data, size);
            atlas_projection_destroy(long_projection);
            atlas_source_destroy(long_source);
            free(before);
        }
        atlas_container_destroy(long_container);
        free(data);
        free(long_data);
        CHECK(unlink(path) == 0);
    }
}

/* A file that may not grow stands for a full disk. */
static void a_write_that_fails_commits_nothing(void)
{
    const char *path = temp_path("full.atlas"), *copy = temp_path("copy.atlas");
    const size_t size = 2 * TILE + 100;
    uint8_t *data = random_bytes(size, 20), *other = random_bytes(size, 21);
    atlas_container *container = created(path, 0, NULL, NULL);
    CHECK_EQ(imported(container, data, size), 1);
    atlas_source *source = borrowed(other, size);
    atlas_projection *large = projected(source, NULL), *small = snapshot_of(container, 0, true);
    replace(small, 5, 1, "y", 1);
    struct rlimit limit, low;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    const uint64_t length = size_of_file(path);
    const uint64_t rooms[] = {0, 1, 4096, 40000, TILE, 2 * TILE};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        low = limit;
        low.rlim_cur = length + rooms[i];
        CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
        uint64_t generation = 7;
        CHECK_STATUS(atlas_container_commit(container, large, NULL, NULL, &generation), ATLAS_STATUS_IO);
        CHECK_EQ(last_error().os_error, EFBIG);
        CHECK_SAYS("full.atlas");
        CHECK_EQ(generation, 0);
        CHECK_STATUS(atlas_container_import(container, source, NULL, 0, NULL, NULL, NULL), ATLAS_STATUS_IO);
        if (rooms[i] < 4096) {
            CHECK_STATUS(atlas_container_commit(container, small, NULL, NULL, NULL), ATLAS_STATUS_IO);
        }
        CHECK_EQ(size_of_file(path), length);
        CHECK_EQ(info_of(container).newest, 1);
        low.rlim_cur = 20000;
        CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
        CHECK_STATUS(atlas_container_compact(container, copy, 0, NULL), ATLAS_STATUS_IO);
        CHECK_STATUS(atlas_container_compact(container, NULL, 0, NULL), ATLAS_STATUS_IO);
        CHECK_EQ(temp_names(), 1);
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        check_generation(container, 1, data, size);
    }
    /* With room again the same handle goes on. */
    CHECK_EQ(committed(container, small), 2);
    CHECK_EQ(committed(container, large), 3);
    check_generation(container, 3, other, size);
    data[5] = 'y';
    check_generation(container, 2, data, size);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    atlas_projection_destroy(small);
    atlas_projection_destroy(large);
    atlas_source_destroy(source);
    atlas_container_destroy(container);
    free(data);
    free(other);
    CHECK(unlink(path) == 0);
}

/* ---- compaction ------------------------------------------------------------------------------------------- */

static bool file_has(const char *path, const void *bytes, size_t size)
{
    size_t length = 0;
    uint8_t *file = bytes_of_file(path, &length);
    bool found = false;
    for (size_t i = 0; !found && i + size <= length; i++) {
        found = memcmp(file + i, bytes, size) == 0;
    }
    free(file);
    return found;
}

static void compaction_drops_generations(void)
{
    char path[PATH_MAX], copy[PATH_MAX], name[PATH_MAX + 100];
    (void)snprintf(path, sizeof path, "%s", temp_path("compacted.atlas"));
    (void)snprintf(copy, sizeof copy, "%s", temp_path("copy.atlas"));
    uint8_t *data = random_bytes(70000, 22);
    uint8_t secret[64];
    fill_random(secret, sizeof secret, 23);
    atlas_container *container = created(path, 0, NULL, NULL);
    atlas_generation_info before[8];
    for (uint64_t i = 1; i <= 7; i++) {
        atlas_commit_options options;
        atlas_commit_options_init(&options);
        options.time = (int64_t)i;
        options.note = &i;
        options.note_size = sizeof i;
        memcpy(data + 100, secret, i == 3 ? sizeof secret : 0);
        data[100] = (uint8_t)(i == 3 ? secret[0] : i);
        memset(data + 101, 0, i == 3 ? 0 : sizeof secret - 1);
        atlas_source *source = borrowed(data, 70000);
        CHECK_OK(atlas_container_import(container, source, NULL, 0, &options, NULL, NULL));
        atlas_source_destroy(source);
        before[i] = generation_of(container, i);
    }
    CHECK(file_has(path, secret, sizeof secret));
    CHECK_STATUS(atlas_container_compact(container, copy, 8, NULL), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_STATUS(atlas_container_compact(container, NULL, NONE, NULL), ATLAS_STATUS_OUT_OF_RANGE);
    (void)snprintf(name, sizeof name, "%s.compact", path);
    CHECK_STATUS(atlas_container_compact(container, name, 0, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    /* Other paths to it are refused too, or a later compaction in place would remove it as its own
     * left-over. */
    CHECK(symlink(temp_dir(), copy) == 0);
    (void)snprintf(name, sizeof name, "%s/compacted.atlas.compact", copy);
    CHECK_STATUS(atlas_container_compact(container, name, 0, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(unlink(copy) == 0);
    CHECK_STATUS(atlas_container_compact(container, path, 0, NULL), ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, EEXIST);
    /* A file of that name beside it is somebody's, a second name too. */
    (void)snprintf(name, sizeof name, "%s.compact", path);
    write_file(name, "mine", 4);
    CHECK_STATUS(atlas_container_compact(container, NULL, 0, NULL), ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, EEXIST);
    CHECK(file_is(name, "mine", 4) && unlink(name) == 0);
    /* The file of a compaction that died at its beginning belongs to no process. */
    static const uint8_t zeros[3 * 4096];
    for (size_t size = 0; size <= sizeof zeros; size += sizeof zeros) {
        write_file(name, zeros, size);
        CHECK_OK(atlas_container_compact(container, NULL, 0, NULL));
        CHECK(!exists(name));
    }
    CHECK(link(path, copy) == 0);
    CHECK_STATUS(atlas_container_compact(container, NULL, 0, NULL), ATLAS_STATUS_UNSUPPORTED);
    CHECK(unlink(copy) == 0);
    CHECK_EQ(temp_names(), 1);

    CHECK(chmod(path, 0640) == 0);
    CHECK_OK(atlas_container_compact(container, copy, 4, NULL));
    CHECK_OK(atlas_container_compact(container, NULL, 5, NULL));
    CHECK_EQ(temp_names(), 2);
    struct stat mode;
    CHECK(stat(path, &mode) == 0 && (mode.st_mode & 07777) == 0640);
    CHECK(!file_has(path, secret, sizeof secret));
    CHECK(!file_has(copy, secret, sizeof secret));
    atlas_container *other = opened(copy, ATLAS_CONTAINER_WRITE);
    for (int i = 0; i < 2; i++) {
        const atlas_container *one = i == 0 ? container : other;
        const uint64_t oldest = i == 0 ? 5 : 4;
        CHECK_EQ(info_of(one).oldest, oldest);
        CHECK_EQ(info_of(one).newest, 7);
        CHECK_EQ(info_of(one).generation_count, 8 - oldest);
        CHECK(memcmp(info_of(container).id, info_of(other).id, 16) == 0);
        for (uint64_t number = 1; number <= 7; number++) {
            atlas_generation_info after;
            memset(&after, 0xA5, sizeof after);
            after.struct_size = (uint32_t)sizeof after;
            if (number < oldest) {
                CHECK_STATUS(atlas_container_get_generation(one, number, &after), ATLAS_STATUS_OUT_OF_RANGE);
                continue;
            }
            CHECK_OK(atlas_container_get_generation(one, number, &after));
            before[number].previous = number == oldest ? 0 : number - 1;
            CHECK(memcmp(&after, &before[number], sizeof after) == 0);
            uint64_t note = 0;
            size_t size = sizeof note;
            CHECK_OK(atlas_container_get_note(one, number, &note, &size));
            CHECK_EQ(note, number);
            data[100] = (uint8_t)number;
            check_generation(one, number, data, 70000);
        }
        CHECK_OK(atlas_container_find_damage(one, 0, NULL, NULL, NULL));
    }
    CHECK_EQ(imported(container, data, 70000), 8);
    CHECK_EQ(imported(other, data, 70000), 8);
    /* Time and note are in the history, which is why it differs from that of other commits. */
    CHECK(memcmp(generation_of(container, 8).history, generation_of(other, 8).history, 32) == 0);
    atlas_container_destroy(other);
    atlas_container_destroy(container);
    free(data);
    CHECK(unlink(path) == 0 && unlink(copy) == 0);
}

/* A file that has taken the container's name meanwhile is not replaced. */
static void compaction_replaces_no_other_file(void)
{
    char path[PATH_MAX], moved[PATH_MAX], before[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_path("named.atlas"));
    (void)snprintf(moved, sizeof moved, "%s", temp_path("moved.atlas"));
    uint8_t *data = random_bytes(70000, 24);
    atlas_container *container = created(path, 0, NULL, NULL);
    CHECK_EQ(imported(container, data, 70000), 1);
    CHECK(rename(path, moved) == 0);
    CHECK_STATUS(atlas_container_compact(container, NULL, 0, NULL), ATLAS_STATUS_STATE);
    CHECK_SAYS("renamed, replaced or removed");
    write_file(path, "mine", 4);
    CHECK_STATUS(atlas_container_compact(container, NULL, 0, NULL), ATLAS_STATUS_STATE);
    CHECK(file_is(path, "mine", 4) && unlink(path) == 0);
    CHECK_EQ(temp_names(), 1);
    CHECK(rename(moved, path) == 0);
    CHECK_OK(atlas_container_compact(container, NULL, 0, NULL));
    atlas_container_destroy(container);

    /* A relative path leads elsewhere once the process has changed its folder. */
    CHECK(getcwd(before, sizeof before) != NULL && chdir(temp_dir()) == 0);
    container = opened("named.atlas", ATLAS_CONTAINER_WRITE);
    CHECK(mkdir("other", 0700) == 0 && chdir("other") == 0);
    write_file("named.atlas", "mine", 4);
    CHECK_STATUS(atlas_container_compact(container, NULL, 0, NULL), ATLAS_STATUS_STATE);
    CHECK(file_is("named.atlas", "mine", 4) && unlink("named.atlas") == 0 && !exists("named.atlas.compact"));
    CHECK(chdir("..") == 0 && rmdir("other") == 0);
    CHECK_OK(atlas_container_compact(container, NULL, 0, NULL));
    check_generation(container, 1, data, 70000);
    atlas_container_destroy(container);
    CHECK(chdir(before) == 0);
    CHECK(unlink(path) == 0);
    free(data);
}

static bool has_no_name(const atlas_progress *progress, void *path)
{
    CHECK(!exists((const char *)path) && progress->bytes_done <= progress->bytes_total);
    return true;
}

/* A process that is killed in a compaction or a merge leaves no file that opens. */
static void a_file_is_named_once_it_is_complete(void)
{
    char path[PATH_MAX], target[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_path("whole.atlas"));
    (void)snprintf(target, sizeof target, "%s", temp_path("target.atlas"));
    uint8_t *data = random_bytes(2 * TILE, 25);
    atlas_container *container = created(path, 0, NULL, NULL), *merged = NULL;
    for (uint64_t i = 1; i <= 3; i++) {
        data[0] = (uint8_t)i;
        CHECK_EQ(imported(container, data, 2 * TILE), i);
    }
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = has_no_name;
    operation.user_data = target;
    CHECK_OK(atlas_container_compact(container, target, 0, &operation));
    CHECK(exists(target) && unlink(target) == 0);
    const atlas_container *parts[2] = {container, container};
    CHECK_OK(atlas_container_merge(parts, 2, target, NULL, NULL, &operation, &merged));
    CHECK(exists(target));
    /* The handle of a merge writes, and no other. */
    atlas_container *second = NULL;
    CHECK_STATUS(atlas_container_open(target, ATLAS_CONTAINER_WRITE, NULL, NULL, NULL, &second), ATLAS_STATUS_STATE);
    CHECK_EQ(imported(merged, data, TILE), 2);
    atlas_container_destroy(merged);
    merged = opened(target, ATLAS_CONTAINER_WRITE);
    CHECK_EQ(info_of(merged).newest, 2);
    atlas_container_destroy(merged);
    atlas_container_destroy(container);
    CHECK(unlink(path) == 0 && unlink(target) == 0);
    free(data);
}

/* ---- a source that is inserted --------------------------------------------------------------------------- */

static void insert_into(uint8_t *data, size_t size, size_t offset, const uint8_t *bytes, size_t count)
{
    memmove(data + offset + count, data + offset, size - offset);
    memcpy(data + offset, bytes, count);
}

static void sources_are_inserted(void)
{
    static const size_t sizes[] = {0, 1, 4097, TILE + 1, 2 * TILE + 5000};
    const char *path = temp_path("inserted.atlas");
    const size_t size = TILE + 777;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const size_t count = sizes[i], offsets[] = {0, 1, TILE, size};
        uint8_t *bytes = random_bytes(count, 26);
        for (size_t j = 0; j < sizeof offsets / sizeof offsets[0]; j++) {
            uint8_t *data = random_bytes(size + count, 27), root[32], before[32];
            atlas_projection *projection = projected_bytes(data, size);
            uint8_t *model = random_bytes(size + count, 27);
            insert_into(model, size, offsets[j], bytes, count);
            atlas_source *source = NULL;
            CHECK_OK(atlas_source_copy(bytes, count, &source));
            root_of(projection, before);
            CHECK_STATUS(atlas_projection_insert_source(projection, size + 1, source, NULL),
                         ATLAS_STATUS_OUT_OF_RANGE);
            CHECK_OK(atlas_projection_insert_source(projection, offsets[j], source, NULL));
            atlas_source_destroy(source); /* it is held */
            check_bytes(projection, model, size + count);
            CHECK_OK(atlas_projection_verify(projection, NULL));
            CHECK_EQ(atlas_projection_history_len(projection), 1);
            atlas_container *container = created(path, 0, NULL, NULL);
            CHECK_EQ(committed(container, projection), 1);
            check_generation(container, 1, model, size + count);
            CHECK_OK(atlas_projection_rollback(projection, 1));
            root_of(projection, root);
            CHECK(memcmp(root, before, 32) == 0);
            check_bytes(projection, data, size);
            atlas_container_destroy(container);
            atlas_projection_destroy(projection);
            CHECK(unlink(path) == 0);
            free(model);
            free(data);
        }
        free(bytes);
    }
}

/* A refused or cancelled insertion changes nothing; a changed source is found at the commit. */
static void insertions_that_fail(void)
{
    const char *path = temp_path("inserted.atlas"), *file = temp_path("inserted.bin");
    const size_t size = 2 * TILE + 96;
    uint8_t *data = random_bytes(size, 28);
    balance(data, size);
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.conservation = ATLAS_CONSERVATION_STRICT;
    atlas_source *source = borrowed(data, size);
    atlas_projection *projection = projected(source, &options);
    CHECK_OK(atlas_projection_insert_source(projection, 7, source, NULL));
    atlas_source_destroy(source);
    source = borrowed(data, size - 1 - (data[size - 1] == 0));
    CHECK_STATUS(atlas_projection_insert_source(projection, 7, source, NULL), ATLAS_STATUS_CONSERVATION);
    atlas_source_destroy(source);
    CHECK_EQ(atlas_projection_history_len(projection), 1);
    atlas_projection_destroy(projection);

    write_file(file, data, size);
    source = file_source(file, ATLAS_FILE_IO_READ);
    projection = projected_bytes(data, 5000);
    recorder self;
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = record;
    operation.user_data = &self;
    memset(&self, 0, sizeof self);
    self.caller = pthread_self();
    CHECK_STATUS(atlas_projection_insert_source(projection, 0, source, &operation), ATLAS_STATUS_CANCELLED);
    check_bytes(projection, data, 5000);
    CHECK_EQ(atlas_projection_history_len(projection), 0);
    memset(&self, 0, sizeof self);
    self.caller = pthread_self();
    self.cancel_at = NONE;
    CHECK_OK(atlas_projection_insert_source(projection, 5000, source, &operation));
    CHECK(!self.wrong && self.last.bytes_done == size && self.last.bytes_total == size);

    /* Bytes of the base are not stored, wherever they are inserted. */
    atlas_container_create_options create;
    atlas_container_create_options_init(&create);
    create.block_log2 = 12;
    create.base = source;
    atlas_container *container = created(path, 0, NULL, &create);
    CHECK_EQ(committed(container, projection), 1);
    CHECK(size_of_file(path) < 32768);
    uint8_t *model = random_bytes(size + 5000, 1);
    memcpy(model, data, 5000);
    memcpy(model + 5000, data, size);
    check_generation(container, 1, model, size + 5000);
    CHECK_EQ(info_of(container).base_size, size);
    atlas_container_destroy(container);
    CHECK(unlink(path) == 0);

    container = created(path, 0, NULL, NULL);
    change_byte(file, TILE + 5);
    CHECK_STATUS(atlas_container_commit(container, projection, NULL, NULL, NULL), ATLAS_STATUS_WITNESS);
    CHECK_EQ(info_of(container).newest, 0);
    CHECK_EQ(info_of(container).file_size, size_of_file(path));
    change_byte(file, TILE + 5);
    CHECK_EQ(committed(container, projection), 1);
    CHECK(size_of_file(path) > size);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    CHECK(unlink(file) == 0);
    check_generation(container, 1, model, size + 5000);
    atlas_container_destroy(container);
    free(model);
    free(data);
    CHECK(unlink(path) == 0);
}

/* ---- imports of changed regions ---------------------------------------------------------------------------- */

typedef struct counted_bytes {
    const uint8_t *bytes;
    pthread_mutex_t lock;
    uint64_t reads[64]; /* per tile */
} counted_bytes;

static int read_counted(void *user_data, uint64_t offset, void *buffer, size_t count)
{
    counted_bytes *self = (counted_bytes *)user_data;
    CHECK(count <= TILE && offset / TILE == (offset + count - 1) / TILE);
    CHECK(pthread_mutex_lock(&self->lock) == 0);
    self->reads[offset / TILE]++;
    CHECK(pthread_mutex_unlock(&self->lock) == 0);
    memcpy(buffer, self->bytes + offset, count);
    return 0;
}

/* The tiles that were read since the last call, as bits; each was read once. */
static uint64_t tiles_read(counted_bytes *self)
{
    uint64_t tiles = 0;
    for (size_t i = 0; i < 64; i++) {
        CHECK(self->reads[i] <= 1);
        tiles |= self->reads[i] << i;
        self->reads[i] = 0;
    }
    return tiles;
}

static atlas_source *counted_source(counted_bytes *self, size_t size)
{
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(size, read_counted, NULL, self, &source));
    return source;
}

static void regions_are_imported(void)
{
    static const struct {
        size_t size;
        atlas_region regions[3];
        size_t count;
        uint64_t read;
    } steps[] = {
        {40 * TILE + 5, {{0, 0}}, 0, 0x1ffffffffff}, /* there is no generation yet */
        {40 * TILE + 5, {{0, 0}}, 0, 0},
        {40 * TILE + 5, {{TILE - 1, 2}, {39 * TILE + 7, 1}, {TILE, 0}}, 3, 0x8000000003},
        {40 * TILE + 5, {{40 * TILE + 4, 1}, {40 * TILE, 5}}, 2, 0x10000000000},
        {41 * TILE, {{5 * TILE, TILE}}, 1, 0x10000000020},
        {43 * TILE, {{0, 0}}, 0, 0x60000000000},
        {33 * TILE + 9, {{0, 1}}, 1, 0x200000001},
        {33 * TILE, {{0, 0}}, 0, 0},
        {0, {{0, 0}}, 0, 0},
        {3, {{0, 3}, {1, 1}, {3, 0}}, 3, 1},
    };
    const char *path = temp_path("regions.atlas");
    uint8_t *data = random_bytes(43 * TILE, 30);
    counted_bytes counted = {.bytes = data, .lock = PTHREAD_MUTEX_INITIALIZER};
    for (int outline = 0; outline < 2; outline++) {
        atlas_container *container = created(path, 0, NULL, NULL);
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            for (size_t j = 0; j < steps[i].count; j++) {
                for (uint64_t at = 0; at < steps[i].regions[j].length; at++) {
                    data[steps[i].regions[j].offset + at] ^= (uint8_t)(i + 1);
                }
            }
            atlas_source *source = counted_source(&counted, steps[i].size);
            CHECK_OK(atlas_container_set_base(container, outline ? source : NULL));
            uint64_t generation = 0;
            CHECK_OK(atlas_container_import(container, source, steps[i].regions, steps[i].count, NULL, NULL,
                                            &generation));
            CHECK_EQ(tiles_read(&counted), steps[i].read);
            CHECK_EQ(generation, i + 1);
            check_generation(container, 0, data, steps[i].size);
            memset(counted.reads, 0, sizeof counted.reads);
            atlas_source_destroy(source);
        }
        /* Regions of a source that are none, or not there; a list without its regions. */
        atlas_source *source = counted_source(&counted, 3);
        const atlas_region outside[] = {{0, 1}, {2, 2}}, far = {UINT64_MAX, 2};
        CHECK_STATUS(atlas_container_import(container, source, outside, 2, NULL, NULL, NULL),
                     ATLAS_STATUS_OUT_OF_RANGE);
        CHECK_EQ(last_error().index, 1);
        CHECK_STATUS(atlas_container_import(container, source, &far, 1, NULL, NULL, NULL),
                     ATLAS_STATUS_OUT_OF_RANGE);
        CHECK_STATUS(atlas_container_import(container, source, NULL, 1, NULL, NULL, NULL),
                     ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK_EQ(tiles_read(&counted), 0);
        CHECK_EQ(info_of(container).newest, sizeof steps / sizeof steps[0]);
        atlas_source_destroy(source);
        /* A wrong claim keeps the old witness. */
        source = counted_source(&counted, 2 * TILE);
        CHECK_OK(atlas_container_set_base(container, source));
        CHECK_OK(atlas_container_import(container, source, NULL, 0, NULL, NULL, NULL));
        data[5] ^= 1;
        data[TILE] ^= 1;
        const atlas_region second = {TILE, 1};
        CHECK_OK(atlas_container_import(container, source, &second, 1, NULL, NULL, NULL));
        CHECK_STATUS(atlas_container_find_damage(container, info_of(container).newest, NULL, NULL, NULL),
                     ATLAS_STATUS_WITNESS);
        data[5] ^= 1;
        CHECK_OK(atlas_container_find_damage(container, info_of(container).newest, NULL, NULL, NULL));
        memset(counted.reads, 0, sizeof counted.reads);
        /* An edit that changes the length leaves tiles that no import makes. */
        atlas_projection *snapshot = snapshot_of(container, 0, false);
        replace(snapshot, 7, 1, "", 0);
        committed(container, snapshot);
        atlas_projection_destroy(snapshot);
        CHECK_STATUS(atlas_container_import(container, source, &second, 1, NULL, NULL, NULL),
                     ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK_SAYS("import the whole source");
        memset(counted.reads, 0, sizeof counted.reads);
        atlas_source_destroy(source);
        atlas_container_destroy(container);
        CHECK(unlink(path) == 0);
    }
    free(data);
}

int main(void)
{
    TEST(a_cancelled_call_changes_nothing);
    TEST(a_write_that_fails_commits_nothing);
    TEST(compaction_drops_generations);
    TEST(compaction_replaces_no_other_file);
    TEST(a_file_is_named_once_it_is_complete);
    TEST(sources_are_inserted);
    TEST(insertions_that_fail);
    TEST(regions_are_imported);
    CHECK_EQ(temp_names(), 0);
    return 0;
}
