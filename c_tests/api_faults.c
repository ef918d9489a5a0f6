/* Every allocation and every call for files that the library makes fails in turn, once and from then on: each public
 * function says so by its status, its handles stay usable, a second attempt gives the result, nothing leaks, and a
 * file has its old or its new bytes and nothing beside it.
 *
 *   api_faults [memory|files] [all]    all of them; without `all` a part that takes seconds
 *
 * The program's own malloc, open, pread and so on come before those of the C library. */
#define _GNU_SOURCE 1
#include "check.h"
#include "container.h"

#if !defined(__GLIBC__) || !defined(__x86_64__)
int main(void) { skip("the allocator of glibc is needed to stand behind this one"); }
#else

#include "behind.h"
#include <execinfo.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>

#define SIZE ((size_t)150000)
#define LARGE (TILE + (size_t)70000)

/* ---- failing functions -------------------------------------------------------------------- */

enum kind { MEMORY, OPEN, READ, WRITE, SYNC, CUT, LOOK, NAME, REMOVE, LOCK, MAP, ATTRIBUTE, KINDS };
static const char *const kind_names[KINDS] = {"memory", "open", "read", "write", "sync", "cut", "look",
                                              "name", "remove", "lock", "map", "attribute"};
enum { SHORT = -1, NOTHING = -2 };

/* One plan for the calls of a kind: those from number `first` on, counted from 1, up to `last` fail. */
static struct {
    enum kind kind;
    long first, last;
    int code;       /* an errno value, or SHORT or NOTHING of READ and WRITE */
    size_t least;   /* smaller allocations are left alone */
} plan;

static volatile bool armed;
static int suspended;
static volatile long seen, failed;

/* Report of a child, also of one that aborts. */
static struct told {
    long next, injected, errors, aborts;
    long statuses[16];
    size_t aborted_size;
    void *frames[24];
    int frame_count;
} *told;

static size_t failed_size;
static size_t largest; /* allocation of the call */
static long live;

static bool fails(enum kind kind, size_t size)
{
    if (armed && kind == MEMORY && size > largest) {
        largest = size;
    }
    if (!armed || plan.kind != kind || size < plan.least) {
        return false;
    }
    const long number = __atomic_add_fetch(&seen, 1, __ATOMIC_RELAXED);
    if (number < plan.first || number > plan.last) {
        return false;
    }
    failed_size = size;
    (void)__atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED);
    return true;
}

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *old);

static void *counted(void *made)
{
    if (made != NULL) {
        (void)__atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
    }
    return made;
}

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t size) { return fails(MEMORY, size) ? no_memory() : counted(__libc_malloc(size)); }

void *calloc(size_t count, size_t size)
{
    return fails(MEMORY, count * size) ? no_memory() : counted(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
    if (fails(MEMORY, size)) {
        return no_memory();
    }
    return old == NULL ? counted(__libc_realloc(old, size)) : __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
    return fails(MEMORY, size) ? no_memory() : counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = memalign(alignment, size);
    return *out == NULL ? ENOMEM : 0;
}

void free(void *old)
{
    if (old != NULL) {
        (void)__atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
    }
    __libc_free(old);
}

#define FAILING(type, kind, name, parameters, arguments)    \
    type name parameters                                    \
    {                                                       \
        BEHIND(name)                                        \
        if (fails(kind, SIZE_MAX)) {                        \
            errno = plan.code > 0 ? plan.code : EIO;        \
            return (type)-1;                                \
        }                                                   \
        return behind arguments;                            \
    }

#define OPENING(name, parameters, arguments)                \
    int name parameters                                     \
    {                                                       \
        BEHIND(name)                                        \
        va_list rest;                                       \
        va_start(rest, flags);                              \
        const unsigned mode = va_arg(rest, unsigned);       \
        va_end(rest);                                       \
        if (fails(OPEN, SIZE_MAX)) {                        \
            errno = plan.code > 0 ? plan.code : EIO;        \
            return -1;                                      \
        }                                                   \
        return behind arguments;                            \
    }

OPENING(open, (const char *path, int flags, ...), (path, flags, mode))
OPENING(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENING(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPENING(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

/* A transfer may also stop short, or at once as at the end of a file. */
#define MOVING(kind, name, memory)                                                 \
    ssize_t name(int file, memory *bytes, size_t size, __off64_t offset)           \
    {                                                                              \
        BEHIND(name)                                                               \
        if (!fails(kind, SIZE_MAX)) {                                              \
            return behind(file, bytes, size, offset);                              \
        }                                                                          \
        if (plan.code == SHORT && size > 1) {                                      \
            return behind(file, bytes, size / 2, offset);                          \
        }                                                                          \
        if (plan.code == NOTHING) {                                                \
            return 0;                                                              \
        }                                                                          \
        errno = plan.code > 0 ? plan.code : EIO;                                   \
        return -1;                                                                 \
    }

MOVING(READ, pread64, void)
MOVING(WRITE, pwrite64, const void)
FAILING(int, SYNC, fsync, (int file), (file))
FAILING(int, SYNC, fdatasync, (int file), (file))
FAILING(int, CUT, ftruncate64, (int file, __off64_t size), (file, size))
FAILING(int, LOOK, fstat64, (int file, struct stat64 *out), (file, out))
FAILING(int, LOOK, stat64, (const char *path, struct stat64 *out), (path, out))
FAILING(int, LOOK, statx, (int folder, const char *path, int flags, unsigned mask, struct statx *out),
        (folder, path, flags, mask, out))
FAILING(int, NAME, rename, (const char *from, const char *to), (from, to))
FAILING(int, NAME, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
FAILING(int, NAME, renameat2, (int a, const char *from, int b, const char *to, unsigned flags),
        (a, from, b, to, flags))
FAILING(int, NAME, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
FAILING(int, REMOVE, unlink, (const char *path), (path))
FAILING(int, REMOVE, unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
FAILING(int, ATTRIBUTE, fchmod, (int file, mode_t mode), (file, mode))
FAILING(int, ATTRIBUTE, fchown, (int file, uid_t owner, gid_t group), (file, owner, group))

ssize_t listxattr(const char *path, char *list, size_t size);
FAILING(ssize_t, ATTRIBUTE, listxattr, (const char *path, char *list, size_t size), (path, list, size))
ssize_t getxattr(const char *path, const char *name, void *value, size_t size);
FAILING(ssize_t, ATTRIBUTE, getxattr, (const char *path, const char *name, void *value, size_t size),
        (path, name, value, size))
int fsetxattr(int file, const char *name, const void *value, size_t size, int flags);
FAILING(int, ATTRIBUTE, fsetxattr, (int file, const char *name, const void *value, size_t size, int flags),
        (file, name, value, size, flags))
int fremovexattr(int file, const char *name);
FAILING(int, ATTRIBUTE, fremovexattr, (int file, const char *name), (file, name))

static int locking(__typeof__(&fcntl) behind, int file, int command, void *argument)
{
    if ((command == F_OFD_SETLK || command == F_SETLK) && fails(LOCK, SIZE_MAX)) {
        errno = plan.code > 0 ? plan.code : EIO;
        return -1;
    }
    return behind(file, command, argument);
}

int fcntl(int file, int command, ...)
{
    BEHIND(fcntl)
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return locking(behind, file, command, argument);
}

int fcntl64(int file, int command, ...)
{
    BEHIND(fcntl64)
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return locking(behind, file, command, argument);
}

void *mmap64(void *at, size_t size, int protection, int flags, int file, __off64_t offset)
{
    BEHIND(mmap64)
    if (file >= 0 && fails(MAP, SIZE_MAX)) {
        errno = plan.code > 0 ? plan.code : EIO;
        return MAP_FAILED;
    }
    return behind(at, size, protection, flags, file, offset);
}

/* ---- operations ----------------------------------------------------------------------------- */

static uint8_t *bytes;
static atlas_pool *one;
static atlas_operation operation;

/* A call of the library, in which things may fail. */
static atlas_status after(atlas_status status)
{
    armed = false;
    return status;
}
#define LIB(call) (armed = suspended == 0, after(call))
#define DESTROY(call) (armed = suspended == 0, (void)(call), armed = false)

/* True once a call has reported a damaged range that cannot be read: it may then lack more than it can rebuild. */
static bool unreadable;

static bool notes_unreadable(const atlas_damage *damage, void *user_data)
{
    (void)user_data;
    unreadable = unreadable || damage->kind == ATLAS_DAMAGE_UNREADABLE;
    return true;
}

static void refused(const char *file, int line, const char *what, atlas_status status)
{
    const bool right = plan.kind == MEMORY
                           ? status == ATLAS_STATUS_OUT_OF_MEMORY || status == ATLAS_STATUS_IO
                           : status == ATLAS_STATUS_IO || status == ATLAS_STATUS_OUT_OF_MEMORY ||
                                 (status == ATLAS_STATUS_UNSUPPORTED && plan.kind == LOCK) ||
                                 (status == ATLAS_STATUS_INCOMPLETE && plan.kind == READ && unreadable) ||
                                 /* A file that ends early is a damaged one. */
                                 (plan.code == NOTHING &&
                                  (status == ATLAS_STATUS_WITNESS || status == ATLAS_STATUS_FORMAT));
    told->statuses[status]++;
    told->errors++;
    if (suspended > 0 || failed == 0 || !right) {
        fprintf(stderr, "%s:%d: %s: %s, %s %ld..%ld, code %d\n    %s\n", file, line, what, status_text(status),
                kind_names[plan.kind], plan.first, plan.last, plan.code, atlas_last_error_message());
        _exit(2);
    }
}

/* Repeats the failed steps with nothing failing. */
#define TRY(attempt)                                              \
    do {                                                          \
        const atlas_status tried = (attempt);                     \
        if (tried != ATLAS_STATUS_OK) {                           \
            refused(__FILE__, __LINE__, #attempt, tried);         \
            suspended++;                                          \
            CHECK_OK(attempt);                                    \
            suspended--;                                          \
        }                                                         \
    } while (0)

static uint64_t sum;

static void add(const void *data, size_t size)
{
    const uint8_t *from = (const uint8_t *)data;
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ from[i]) * UINT64_C(0x100000001b3);
    }
}

static void add_root(const atlas_projection *projection)
{
    uint8_t root[32];
    TRY(LIB(atlas_projection_root(projection, &operation, root)));
    add(root, sizeof root);
}

static bool file_is_either(const char *path, const void *data, size_t size)
{
    return file_is(path, "old", 3) || file_is(path, data, size);
}

static bool mode_is(const char *path, mode_t mode)
{
    struct stat info;
    return stat(path, &info) == 0 && (info.st_mode & 07777) == mode;
}

static atlas_source *copied(size_t size)
{
    atlas_source *source = NULL;
    TRY(LIB(atlas_source_copy(bytes, size, &source)));
    return source;
}

static atlas_projection *made(uint32_t type, const atlas_source *source)
{
    atlas_projection *projection = NULL;
    TRY(LIB(atlas_projection_create(type, source, NULL, &operation, &projection)));
    return projection;
}

static atlas_projection *made_of_bytes(uint32_t type, size_t size)
{
    atlas_source *source = copied(size);
    atlas_projection *projection = made(type, source);
    DESTROY(atlas_source_destroy(source));
    return projection;
}

static int read_bytes(void *unused, uint64_t offset, void *buffer, size_t size)
{
    (void)unused;
    memcpy(buffer, bytes + offset, size);
    return 0;
}

static void sources(void)
{
    const char *path = temp_path("source");
    write_file(path, bytes, SIZE);
    atlas_source *all[5] = {NULL};
    TRY(LIB(atlas_source_copy(bytes, 70000, &all[0])));
    TRY(LIB(atlas_source_borrow(bytes, SIZE, NULL, NULL, &all[1])));
    TRY(LIB(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &all[2])));
    TRY(LIB(atlas_source_open_file(path, ATLAS_FILE_IO_MMAP, &all[3])));
    TRY(LIB(atlas_source_from_callback(SIZE, read_bytes, NULL, NULL, &all[4])));
    atlas_source *part = NULL, *whole = NULL;
    TRY(LIB(atlas_source_range(all[2], 5, SIZE - 9, &part)));
    TRY(LIB(atlas_source_concat((const atlas_source *const *)all, 5, &whole)));
    for (size_t i = 0; i < 7; i++) {
        const atlas_source *source = i < 5 ? all[i] : i == 5 ? part : whole;
        atlas_projection *projection = made(ATLAS_PROJECTION_LINEAR, source);
        uint8_t some[100];
        TRY(LIB(atlas_projection_read(projection, 60000, some, sizeof some)));
        add(some, sizeof some);
        add_root(projection);
        DESTROY(atlas_projection_destroy(projection));
    }
    for (size_t i = 0; i < 5; i++) {
        DESTROY(atlas_source_destroy(all[i]));
    }
    DESTROY(atlas_source_destroy(part));
    DESTROY(atlas_source_destroy(whole));
}

static void projections(void)
{
    const char *path = temp_path("written");
    for (uint32_t type = ATLAS_PROJECTION_LINEAR; type <= ATLAS_PROJECTION_R96_FOURIER; type++) {
        const size_t size = type == ATLAS_PROJECTION_LINEAR ? LARGE : SIZE;
        write_file(path, "old", 3);
        CHECK(chmod(path, 0640) == 0);
        atlas_projection *projection = made_of_bytes(type, size), *snapshot = NULL;
        TRY(LIB(atlas_projection_snapshot(projection, &snapshot)));
        TRY(LIB(atlas_projection_verify(snapshot, &operation)));
        const atlas_status status = LIB(atlas_projection_write_file(projection, path, &operation));
        CHECK(status == ATLAS_STATUS_OK ? file_is(path, bytes, size) : file_is_either(path, bytes, size));
        CHECK(mode_is(path, 0640));
        if (status != ATLAS_STATUS_OK) {
            refused(__FILE__, __LINE__, "atlas_projection_write_file", status);
            suspended++;
            CHECK_OK(LIB(atlas_projection_write_file(projection, path, &operation)));
            suspended--;
        }
        CHECK(file_is(path, bytes, size) && mode_is(path, 0640));
        atlas_tile_info tile = {.struct_size = (uint32_t)sizeof tile};
        TRY(LIB(atlas_projection_get_tile(projection, 0, &tile)));
        add(tile.witness, sizeof tile.witness);
        const atlas_transform_params plane = {2.0, 0.5, 1.0, 3.0};
        TRY(LIB(atlas_projection_transform(projection, &plane)));
        double bounds[4];
        TRY(LIB(atlas_projection_tile_bounds(projection, 0, bounds)));
        TRY(LIB(atlas_projection_find_damage(projection, NULL, 0, NULL, NULL, &operation)));
        add_root(snapshot);
        DESTROY(atlas_projection_destroy(snapshot));
        DESTROY(atlas_projection_destroy(projection));
    }
}

static void shards(void)
{
    for (uint32_t type = ATLAS_PROJECTION_LINEAR; type <= ATLAS_PROJECTION_R96_FOURIER; type++) {
        const bool linear = type == ATLAS_PROJECTION_LINEAR;
        const size_t size = linear ? LARGE : SIZE;
        atlas_projection *projection = made_of_bytes(type, size);
        const atlas_region regions[4] = {{0, 5000}, {4000, 60000}, {size - 30000, 30000}, {0, size}};
        atlas_shard *all[4] = {NULL}, *again = NULL;
        uint8_t classes[96];
        for (uint8_t i = 0; i < 96; i++) {
            classes[i] = i;
        }
        if (!linear) {
            atlas_shard *each[96] = {NULL};
            TRY(LIB(atlas_shard_extract_classes(projection, &regions[3], classes, 96, &operation, each)));
            for (size_t i = 0; i < 96; i++) {
                DESTROY(atlas_shard_destroy(each[i]));
            }
        }
        TRY(LIB(atlas_shard_extract(projection, &regions[0], &operation, &all[0])));
        DESTROY(atlas_shard_destroy(all[0]));
        TRY(LIB(atlas_shard_extract_batch(projection, regions, 4, NULL, &operation, all)));
        atlas_buffer buffer = {NULL, 0};
        TRY(LIB(atlas_shard_serialize(all[3], &buffer)));
        add(buffer.data, buffer.size);
        TRY(LIB(atlas_shard_deserialize(buffer.data, buffer.size, NULL, NULL, &operation, &again)));
        TRY(LIB(atlas_shard_verify(again, NULL, &operation)));
        DESTROY(atlas_buffer_free(&buffer));
        uint8_t some[100];
        TRY(LIB(atlas_shard_read(again, 50, some, sizeof some)));
        add(some, sizeof some);
        atlas_reconstruction_options options;
        atlas_reconstruction_options_init(&options);
        const char *path = temp_path("rebuilt");
        for (int spool = 0; spool < 2; spool++) {
            write_file(path, "old", 3);
            options.spool_path = spool == 1 ? path : NULL;
            atlas_reconstruction *rebuilt = NULL;
            atlas_projection *result = NULL;
            TRY(LIB(atlas_reconstruction_create(&options, &rebuilt)));
            TRY(LIB(atlas_reconstruction_add(rebuilt, all[1], &operation)));
            size_t count = 0;
            TRY(LIB(atlas_reconstruction_missing(rebuilt, NULL, &count)));
            TRY(LIB(atlas_reconstruction_add(rebuilt, again, &operation)));
            CHECK(file_is(path, "old", 3));
            const atlas_status status = LIB(atlas_reconstruction_finish(rebuilt, &operation, &result));
            CHECK(file_is_either(path, bytes, size));
            if (status != ATLAS_STATUS_OK) {
                refused(__FILE__, __LINE__, "atlas_reconstruction_finish", status);
                suspended++;
                CHECK_OK(LIB(atlas_reconstruction_finish(rebuilt, &operation, &result)));
                suspended--;
            }
            CHECK(spool == 0 || file_is(path, bytes, size));
            add_root(result);
            DESTROY(atlas_projection_destroy(result));
            DESTROY(atlas_reconstruction_destroy(rebuilt));
        }
        DESTROY(atlas_shard_destroy(again));
        for (size_t i = 0; i < 4; i++) {
            DESTROY(atlas_shard_destroy(all[i]));
        }
        DESTROY(atlas_projection_destroy(projection));
    }
}

static void compression(void)
{
    const size_t size = 20000;
    /* Random bytes would be stored as they are. */
    uint8_t *text = random_bytes(size, 8);
    for (size_t i = 0; i < size; i++) {
        text[i] = (uint8_t)('a' + text[i] % 8);
    }
    atlas_source *source = NULL;
    TRY(LIB(atlas_source_copy(text, size, &source)));
    free(text);
    atlas_projection *projection = made(ATLAS_PROJECTION_LINEAR, source);
    DESTROY(atlas_source_destroy(source));
    const atlas_region region = {0, size};
    atlas_shard *shard = NULL;
    TRY(LIB(atlas_shard_extract(projection, &region, &operation, &shard)));
    for (uint32_t algorithm = ATLAS_COMPRESSION_NONE; algorithm <= ATLAS_COMPRESSION_AUTO; algorithm++) {
        atlas_compression_config config;
        atlas_compression_config_init(&config);
        config.algorithm = algorithm;
        atlas_compressed_shard *compressed = NULL, *again = NULL, *batch[2] = {NULL};
        atlas_shard *back = NULL;
        TRY(LIB(atlas_shard_compress(shard, &config, &operation, &compressed)));
        atlas_buffer buffer = {NULL, 0};
        TRY(LIB(atlas_compressed_shard_serialize(compressed, &buffer)));
        TRY(LIB(atlas_compressed_shard_deserialize(buffer.data, buffer.size, NULL, &again)));
        DESTROY(atlas_buffer_free(&buffer));
        uint8_t some[100];
        TRY(LIB(atlas_compressed_shard_read(again, 900, some, sizeof some)));
        add(some, sizeof some);
        TRY(LIB(atlas_shard_decompress(again, NULL, &operation, &back)));
        atlas_compression_manager *manager = NULL;
        const atlas_shard *both[2] = {shard, back};
        TRY(LIB(atlas_compression_manager_create(&config, &manager)));
        TRY(LIB(atlas_compression_manager_compress_batch(manager, both, 2, &operation, batch)));
        atlas_shard *backs[2] = {NULL};
        TRY(LIB(atlas_compression_manager_decompress_batch(
            manager, (const atlas_compressed_shard *const *)batch, 2, NULL, &operation, backs)));
        DESTROY(atlas_shard_destroy(backs[0]));
        DESTROY(atlas_shard_destroy(backs[1]));
        DESTROY(atlas_compression_manager_destroy(manager));
        DESTROY(atlas_compressed_shard_destroy(batch[0]));
        DESTROY(atlas_compressed_shard_destroy(batch[1]));
        DESTROY(atlas_shard_destroy(back));
        DESTROY(atlas_compressed_shard_destroy(again));
        DESTROY(atlas_compressed_shard_destroy(compressed));
    }
    DESTROY(atlas_shard_destroy(shard));
    DESTROY(atlas_projection_destroy(projection));
}

static void edits(void)
{
    static const uint8_t put[40] = "forty bytes that are put in somewhere..";
    const char *path = temp_path("source");
    write_file(path, bytes, LARGE);
    for (uint32_t type = ATLAS_PROJECTION_LINEAR; type <= ATLAS_PROJECTION_R96_FOURIER; type++) {
        const size_t size = type == ATLAS_PROJECTION_LINEAR ? LARGE : SIZE;
        atlas_source *file = NULL, *source = NULL;
        TRY(LIB(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &file)));
        TRY(LIB(atlas_source_range(file, 0, size, &source)));
        atlas_projection *projection = made(type, source);
        const atlas_delta deltas[4] = {
            {.type = ATLAS_CHANGE_INSERT, .offset = 70000, .data = put, .data_size = sizeof put},
            {.type = ATLAS_CHANGE_UPDATE, .offset = 90000, .length = 10, .data = put, .data_size = sizeof put},
            {.type = ATLAS_CHANGE_DELETE, .offset = 20000, .length = 50},
            {.type = ATLAS_CHANGE_MOVE, .offset = 30000, .length = 500, .destination = 60000}};
        atlas_incremental_config config;
        atlas_incremental_config_init(&config);
        TRY(LIB(atlas_projection_configure_incremental(projection, &config)));
        for (size_t i = 0; i < 4; i++) {
            TRY(LIB(atlas_projection_apply(projection, &deltas[i])));
        }
        TRY(LIB(atlas_projection_apply_batch(projection, deltas, 4)));
        add_root(projection);
        TRY(LIB(atlas_projection_rollback(projection, 3)));
        add_root(projection);
        TRY(LIB(atlas_projection_insert_source(projection, 50000, source, &operation)));
        atlas_projection *snapshot = NULL;
        TRY(LIB(atlas_projection_snapshot(projection, &snapshot)));
        TRY(LIB(atlas_projection_optimize(projection, &operation)));
        atlas_region regions[16];
        size_t count = 16;
        TRY((count = 16, LIB(atlas_projection_diff(projection, snapshot, &operation, regions, &count))));
        add_root(projection);
        DESTROY(atlas_projection_destroy(snapshot));
        DESTROY(atlas_projection_destroy(projection));
        DESTROY(atlas_source_destroy(source));
        DESTROY(atlas_source_destroy(file));
    }
}

/* A stream that failed is over, so that it is begun again as a whole. */
static atlas_status streamed(const char *path, bool push, atlas_projection **result)
{
    atlas_stream *stream = NULL;
    atlas_source *source = NULL;
    atlas_status status =
        push ? LIB(atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, path, NULL, NULL, &operation, &stream))
             : LIB(atlas_source_open_file(temp_path("source"), ATLAS_FILE_IO_READ, &source));
    if (!push && status == ATLAS_STATUS_OK) {
        status = LIB(atlas_stream_open(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &operation, &stream));
    }
    for (size_t at = 0; push && status == ATLAS_STATUS_OK && at < LARGE; at += 300000) {
        status = LIB(atlas_stream_push(stream, bytes + at, LARGE - at < 300000 ? LARGE - at : 300000));
    }
    bool has_chunk = !push;
    while (status == ATLAS_STATUS_OK && has_chunk) {
        atlas_chunk chunk = {.struct_size = (uint32_t)sizeof chunk};
        status = LIB(atlas_stream_next(stream, &chunk, &has_chunk));
    }
    if (status == ATLAS_STATUS_OK) {
        status = LIB(atlas_stream_finish(stream, result));
    }
    DESTROY(atlas_stream_destroy(stream));
    DESTROY(atlas_source_destroy(source));
    return status;
}

static void streams(void)
{
    write_file(temp_path("source"), bytes, LARGE);
    const char *path = temp_path("pushed");
    for (int way = 0; way < 3; way++) {
        write_file(path, "old", 3);
        atlas_projection *result = NULL;
        TRY(streamed(way == 1 ? path : NULL, way < 2, &result));
        CHECK(way == 1 ? file_is(path, bytes, LARGE) : file_is(path, "old", 3));
        add_root(result);
        DESTROY(atlas_projection_destroy(result));
    }
    atlas_source *source = NULL;
    atlas_projection *result = NULL;
    TRY(LIB(atlas_source_open_file(temp_path("source"), ATLAS_FILE_IO_READ, &source)));
    TRY(LIB(atlas_stream_project(ATLAS_PROJECTION_R96_FOURIER, source, NULL, NULL, &operation, &result)));
    add_root(result);
    DESTROY(atlas_projection_destroy(result));
    DESTROY(atlas_source_destroy(source));
}

/* A writer that failed may be over too. */
static atlas_status contained(const char *path, const atlas_projection *projection)
{
    static const uint8_t id[16] = "sixteen bytes...";
    (void)unlink(path);
    atlas_container_create_options options;
    atlas_container_create_options_init(&options);
    options.id = id;
    atlas_commit_options commit;
    atlas_commit_options_init(&commit);
    commit.time = 5;
    commit.note = "note";
    commit.note_size = 4;
    atlas_container *container = NULL;
    uint64_t generation = 0;
    atlas_status status =
        LIB(atlas_container_create(path, ATLAS_PROJECTION_LINEAR, NULL, &options, &operation, &container));
    if (status == ATLAS_STATUS_OK) {
        status = LIB(atlas_container_commit(container, projection, &commit, &operation, &generation));
    }
    atlas_source *source = NULL;
    if (status == ATLAS_STATUS_OK) {
        status = LIB(atlas_source_copy(bytes, 90000, &source));
    }
    if (status == ATLAS_STATUS_OK) {
        status = LIB(atlas_container_import(container, source, NULL, 0, &commit, &operation, &generation));
    }
    DESTROY(atlas_source_destroy(source));
    DESTROY(atlas_container_destroy(container));
    return status;
}

/* To another file, or in place if that is NULL: a failed attempt leaves the container and nothing beside it. */
static atlas_status compacted(const char *path, const char *other)
{
    if (other != NULL) {
        (void)unlink(other);
    }
    const uint32_t mode = other != NULL ? ATLAS_CONTAINER_READ : ATLAS_CONTAINER_WRITE;
    atlas_container *container = NULL;
    atlas_status status = LIB(atlas_container_open(path, mode, NULL, NULL, &operation, &container));
    if (status == ATLAS_STATUS_OK) {
        status = LIB(atlas_container_compact(container, other, 0, &operation));
    }
    DESTROY(atlas_container_destroy(container));
    return status;
}

static void containers(void)
{
    const char *path = temp_path("container"), *other = temp_path("compacted");
    atlas_projection *projection = made_of_bytes(ATLAS_PROJECTION_LINEAR, SIZE), *snapshot = NULL;
    TRY(contained(path, projection));
    atlas_container *container = NULL;
    TRY(LIB(atlas_container_open(path, ATLAS_CONTAINER_READ, NULL, NULL, &operation, &container)));
    atlas_container_info info = {.struct_size = (uint32_t)sizeof info};
    TRY(LIB(atlas_container_get_info(container, &info)));
    for (uint64_t generation = 1; generation <= 2; generation++) {
        TRY(LIB(atlas_container_snapshot(container, generation, 1, &operation, &snapshot)));
        uint8_t some[5000];
        TRY(LIB(atlas_projection_read(snapshot, 70000, some, sizeof some)));
        add(some, sizeof some);
        add_root(snapshot);
        DESTROY(atlas_projection_destroy(snapshot));
    }
    uint64_t newest = 0;
    TRY(LIB(atlas_container_refresh(container, &operation, &newest)));
    TRY(LIB(atlas_container_find_damage(container, 0, NULL, NULL, &operation)));
    DESTROY(atlas_container_destroy(container));
    TRY(compacted(path, other));
    TRY(compacted(path, NULL));
    TRY(compacted(path, NULL));
    DESTROY(atlas_projection_destroy(projection));
    CHECK(unlink(other) == 0 || errno == ENOENT);
}

static atlas_status protected_by_parity(const char *path, const atlas_source *source)
{
    static const uint8_t id[16] = "sixteen bytes...";
    (void)unlink(path);
    atlas_parity_options options;
    atlas_parity_options_init(&options);
    options.id = id;
    return LIB(atlas_parity_create(source, path, &options, &operation));
}

/* Writes the file `data`, protects it, and opens its parity file. */
static atlas_parity *opened_parity(const char *path, const char *data)
{
    write_file(data, bytes, SIZE);
    atlas_source *source = NULL;
    TRY(LIB(atlas_source_open_file(data, ATLAS_FILE_IO_READ, &source)));
    TRY(protected_by_parity(path, source));
    DESTROY(atlas_source_destroy(source));
    atlas_parity *file = NULL;
    TRY(LIB(atlas_parity_open(path, NULL, &operation, &file)));
    return file;
}

static void parity(void)
{
    const char *path = temp_path("parity"), *data = temp_path("source"), *result = temp_path("repaired");
    atlas_source *source = NULL;
    atlas_parity *file = opened_parity(path, data);
    uint8_t *damaged = random_bytes(SIZE, 5);
    memcpy(damaged, bytes, SIZE);
    memset(damaged + 9000, 0xA5, 500);
    write_file(data, damaged, SIZE);
    TRY(LIB(atlas_source_open_file(data, ATLAS_FILE_IO_READ, &source)));
    atlas_parity_report report = {.struct_size = (uint32_t)sizeof report};
    unreadable = false;
    const atlas_status checked = LIB(atlas_parity_check(file, source, notes_unreadable, NULL, &operation, &report));
    if (checked != ATLAS_STATUS_OK && checked != ATLAS_STATUS_WITNESS) {
        refused(__FILE__, __LINE__, "atlas_parity_check", checked);
    }
    atlas_repair_options options;
    atlas_repair_options_init(&options);
    options.mode = ATLAS_REPAIR_NEW_FILE;
    options.other_path = result;
    /* A repair that cannot write anything reports no unit. */
    unreadable = true;
    TRY((unlink(result), LIB(atlas_parity_repair(file, data, &options, notes_unreadable, NULL, &operation, &report))));
    CHECK(file_is(result, bytes, SIZE));
    CHECK(unlink(result) == 0);
    /* Whatever fails, one of the two names leads to the damaged bytes. */
    options.mode = ATLAS_REPAIR_KEEP;
    const atlas_status kept =
        LIB(atlas_parity_repair(file, data, &options, notes_unreadable, NULL, &operation, &report));
    CHECK(file_is(exists(result) ? result : data, damaged, SIZE));
    if (kept != ATLAS_STATUS_OK) {
        refused(__FILE__, __LINE__, "atlas_parity_repair", kept);
        (void)unlink(result);
        write_file(data, damaged, SIZE);
        suspended++;
        CHECK_OK(LIB(atlas_parity_repair(file, data, &options, NULL, NULL, &operation, &report)));
        suspended--;
    }
    CHECK(file_is(result, damaged, SIZE) && file_is(data, bytes, SIZE) && unlink(result) == 0);
    free(damaged);
    write_file(result, "old", 3);
    TRY(LIB(atlas_parity_restore(file, source, result, &operation)));
    size_t size = 0;
    uint8_t *written = bytes_of_file(path, &size);
    CHECK(file_is(result, written, size));
    free(written);
    CHECK(unlink(result) == 0);
    DESTROY(atlas_source_destroy(source));
    DESTROY(atlas_parity_destroy(file));
    unreadable = false;
}

/* A source is changed and grows, its parity follows. */
static void parity_updates(void)
{
    static const uint8_t id[16] = "sixteen letters.";
    const char *path = temp_path("parity"), *data = temp_path("source");
    atlas_source *source = NULL;
    atlas_parity *file = opened_parity(path, data);
    atlas_parity_info info = {.struct_size = (uint32_t)sizeof info};
    TRY(LIB(atlas_parity_get_info(file, &info)));
    uint8_t *changed = random_bytes(SIZE + 5000, 6);
    memcpy(changed, bytes, SIZE);
    memset(changed + 9000, 0xA5, 500);
    write_file(data, changed, SIZE + 5000);
    TRY(LIB(atlas_source_open_file(data, ATLAS_FILE_IO_READ, &source)));
    const atlas_region region = {9000, 500};
    atlas_parity_options options;
    atlas_parity_options_init(&options);
    options.id = id;
    size_t size = 0, new_size = 0;
    uint8_t *old = bytes_of_file(path, &size);
    const atlas_status status = LIB(atlas_parity_update(file, source, &region, 1, path, &options, &operation));
    if (status != ATLAS_STATUS_OK) {
        refused(__FILE__, __LINE__, "atlas_parity_update", status);
        suspended++;
        /* The flush of the folder fails once the file has its name. */
        CHECK(plan.kind == SYNC || file_is(path, old, size));
        write_file(path, old, size);
        CHECK_OK(LIB(atlas_parity_update(file, source, &region, 1, path, &options, &operation)));
        suspended--;
    }
    uint8_t *new = bytes_of_file(path, &new_size);
    add(new, new_size);
    free(old);
    free(new);
    free(changed);
    DESTROY(atlas_source_destroy(source));
    DESTROY(atlas_parity_destroy(file));
}

static atlas_status outlined(const char *path, const atlas_source *base, atlas_container **container)
{
    static const uint8_t id[16] = "an outline's id.";
    (void)unlink(path);
    atlas_container_create_options options;
    atlas_container_create_options_init(&options);
    options.id = id;
    options.base = base;
    options.keep_chains = 1;
    atlas_commit_options commit;
    atlas_commit_options_init(&commit);
    commit.time = 5;
    commit.note = "note";
    commit.note_size = 4;
    atlas_status status =
        LIB(atlas_container_create(path, ATLAS_PROJECTION_LINEAR, NULL, &options, &operation, container));
    uint64_t generation = 0;
    if (status == ATLAS_STATUS_OK) {
        status = LIB(atlas_container_import(*container, base, NULL, 0, &commit, &operation, &generation));
    }
    if (status != ATLAS_STATUS_OK) {
        DESTROY(atlas_container_destroy(*container));
        *container = NULL;
    }
    return status;
}

static atlas_status joined_outlines(atlas_container *const parts[2], const char *path, const atlas_source *base,
                           atlas_container **whole)
{
    static const uint8_t id[16] = "the whole of two";
    (void)unlink(path);
    atlas_container_create_options options;
    atlas_container_create_options_init(&options);
    options.id = id;
    options.base = base;
    atlas_commit_options commit;
    atlas_commit_options_init(&commit);
    commit.time = 6;
    return LIB(atlas_container_merge((const atlas_container *const *)parts, 2, path, &options, &commit, &operation, whole));
}

/* Two outlines of a file are joined and find the damage of it, and a copy mends it in place. */
static void outlines(void)
{
    const char *data = temp_path("source"), *copy = temp_path("copy"), *joined = temp_path("joined");
    const char *paths[2] = {temp_path("first"), temp_path("second")};
    write_file(data, bytes, LARGE);
    write_file(copy, bytes, LARGE);
    atlas_source *source = NULL, *good = NULL, *ranges[2] = {NULL};
    const int file = open(data, O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    TRY(LIB(atlas_source_open_fd(file, ATLAS_FILE_IO_READ, &source)));
    CHECK(close(file) == 0);
    TRY(LIB(atlas_source_open_file(copy, ATLAS_FILE_IO_READ, &good)));
    TRY(LIB(atlas_source_range(source, 0, TILE, &ranges[0])));
    TRY(LIB(atlas_source_range(source, TILE, LARGE - TILE, &ranges[1])));
    atlas_container *parts[2] = {NULL}, *whole = NULL, *read = NULL;
    TRY(outlined(paths[0], ranges[0], &parts[0]));
    TRY(outlined(paths[1], ranges[1], &parts[1]));
    TRY(joined_outlines(parts, joined, source, &whole));
    DESTROY(atlas_container_destroy(parts[0]));
    DESTROY(atlas_container_destroy(parts[1]));
    DESTROY(atlas_container_destroy(whole));
    atlas_source *bytes_of_it = NULL;
    TRY(LIB(atlas_source_open_file(joined, ATLAS_FILE_IO_READ, &bytes_of_it)));
    TRY(LIB(atlas_container_open_source(bytes_of_it, NULL, NULL, &operation, &read)));
    atlas_generation_info info = {.struct_size = (uint32_t)sizeof info};
    TRY(LIB(atlas_container_get_generation(read, 1, &info)));
    add(info.root, sizeof info.root);
    char note[16];
    size_t note_size = sizeof note;
    TRY(LIB(atlas_container_get_note(read, 1, note, &note_size)));
    TRY(LIB(atlas_container_set_base(read, good)));
    atlas_projection *snapshot = NULL;
    TRY(LIB(atlas_container_snapshot(read, 1, 1, &operation, &snapshot)));
    uint8_t *damaged = random_bytes(LARGE, 7);
    memcpy(damaged, bytes, LARGE);
    memset(damaged + 9000, 0xA5, 500);
    memset(damaged + TILE + 100, 0x5A, 1);
    write_file(data, damaged, LARGE);
    free(damaged);
    unreadable = false;
    TRY(LIB(atlas_projection_repair_file(snapshot, data, NULL, 0, notes_unreadable, NULL, &operation)));
    CHECK(file_is(data, bytes, LARGE));
    DESTROY(atlas_projection_destroy(snapshot));
    DESTROY(atlas_container_destroy(read));
    DESTROY(atlas_source_destroy(bytes_of_it));
    DESTROY(atlas_source_destroy(ranges[0]));
    DESTROY(atlas_source_destroy(ranges[1]));
    DESTROY(atlas_source_destroy(good));
    DESTROY(atlas_source_destroy(source));
}

/* The number of iterations depends on the time, so that nothing but the names counts. */
static void benchmarks(void)
{
    static const uint64_t size = 5000;
    atlas_benchmark_config config;
    atlas_benchmark_config_init(&config);
    config.warmup_iterations = 0;
    config.iterations = 1;
    config.max_seconds = 1e-9;
    config.data_sizes = &size;
    config.data_size_count = 1;
    atlas_benchmark_report *report = NULL;
    const atlas_status status = LIB(atlas_benchmark_run(&config, &operation, &report));
    if (status == ATLAS_STATUS_UNSUPPORTED) {
        return;
    }
    if (status != ATLAS_STATUS_OK) {
        refused(__FILE__, __LINE__, "atlas_benchmark_run", status);
        suspended++;
        CHECK_OK(LIB(atlas_benchmark_run(&config, &operation, &report)));
        suspended--;
    }
    for (size_t i = 0; i < atlas_benchmark_report_count(report); i++) {
        atlas_benchmark_result result = {.struct_size = (uint32_t)sizeof result};
        TRY(LIB(atlas_benchmark_report_get(report, i, &result)));
        add(result.name, strlen(result.name));
    }
    atlas_buffer text = {NULL, 0};
    TRY(LIB(atlas_benchmark_report_format(report, ATLAS_REPORT_TEXT, &text)));
    DESTROY(atlas_buffer_free(&text));
    DESTROY(atlas_benchmark_report_destroy(report));
}

/* Failures are reported without any memory. */
static void errors(void)
{
    atlas_projection *projection = made_of_bytes(ATLAS_PROJECTION_LINEAR, 5000);
    uint8_t some[16];
    for (int i = 0; i < 20; i++) {
        armed = true;
        const atlas_status status = atlas_projection_read(projection, 5000 + (uint64_t)i, some, sizeof some);
        atlas_error_info info = {.struct_size = (uint32_t)sizeof info};
        CHECK(atlas_last_error_get(&info) == ATLAS_STATUS_OK);
        armed = false;
        CHECK(status == ATLAS_STATUS_OUT_OF_RANGE && info.status == ATLAS_STATUS_OUT_OF_RANGE);
        CHECK(atlas_last_error_message()[0] != '\0');
    }
    armed = true;
    CHECK(atlas_pool_create(5000, NULL) == ATLAS_STATUS_INVALID_ARGUMENT);
    armed = false;
    DESTROY(atlas_projection_destroy(projection));
}

static const struct scenario {
    const char *name;
    void (*run)(void);
} scenarios[] = {{"sources", sources},     {"projections", projections}, {"shards", shards},
                 {"compression", compression}, {"edits", edits},         {"streams", streams},
                 {"containers", containers},   {"outlines", outlines},
                 {"parity", parity},           {"parity updates", parity_updates},
                 {"benchmarks", benchmarks},   {"errors", errors}};

/* ---- the loops -------------------------------------------------------------------------------- */

static void aborted(int number)
{
    armed = false;
    told->aborts++;
    told->aborted_size = failed_size;
    told->frame_count = backtrace(told->frames, 24);
    (void)number;
    _exit(77);
}

static bool no_temporary_file(void)
{
    bool found = false;
    DIR *folder = opendir(temp_dir());
    CHECK(folder != NULL);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        found = found || strncmp(entry->d_name, ".atlas-", 7) == 0 || strstr(entry->d_name, ".compact") != NULL;
    }
    CHECK(closedir(folder) == 0);
    return !found;
}

static void run_once(const struct scenario *scenario)
{
    (void)each_name(temp_dir(), remove_path);
    sum = 0;
    scenario->run();
    armed = false;
    (void)atlas_manifold_trim();
}

static int loop(const struct scenario *scenario, bool for_ever, long step)
{
    /* All on this thread, so that the calls have one order. */
    CHECK_OK(atlas_pool_create(1, &one));
    atlas_operation_init(&operation);
    operation.pool = one;
    plan.first = LONG_MAX;
    run_once(scenario);
    run_once(scenario);
    const uint64_t wanted = sum;
    const long before = live;
    for (;;) {
        plan.first = told->next;
        plan.last = for_ever ? LONG_MAX : plan.first;
        told->next += step;
        seen = failed = 0;
        run_once(scenario);
        if (failed == 0) {
            atlas_pool_destroy(one);
            return 0;
        }
        told->injected += failed;
        plan.first = LONG_MAX;
        if (sum != wanted && told->statuses[0] == 0) {
            fprintf(stderr, "%s: another result after %s %ld\n", scenario->name, kind_names[plan.kind], told->next);
            return 3;
        }
        if (plan.kind != REMOVE && !no_temporary_file()) {
            fprintf(stderr, "%s: a temporary file after %s %ld, code %d\n", scenario->name, kind_names[plan.kind],
                    told->next, plan.code);
            return 4;
        }
        if (live > before) {
            run_once(scenario);
            if (live > before) {
                fprintf(stderr, "%s: %ld blocks more after %s %ld, code %d\n", scenario->name, live - before,
                        kind_names[plan.kind], told->next - step, plan.code);
                return 5;
            }
        }
    }
}

/* A memory limit is checked before the list of regions is made. */
static void limits_come_first(void)
{
    const size_t count = 200000;
    atlas_region *regions = (atlas_region *)calloc(count, sizeof *regions);
    atlas_shard **shards = (atlas_shard **)calloc(count, sizeof *shards);
    CHECK(regions != NULL && shards != NULL);
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    atlas_operation limited;
    atlas_operation_init(&limited);
    limited.memory_limit = 65536;
    plan.first = LONG_MAX;
    largest = 0;
    CHECK_STATUS(LIB(atlas_shard_extract_batch(projection, regions, count, NULL, &limited, shards)),
                 ATLAS_STATUS_LIMIT);
    CHECK(largest < limited.memory_limit);
    atlas_projection_destroy(projection);
    free(shards);
    free(regions);
}

static long total_injected, total_aborts;

static void inject(const struct scenario *scenario, bool for_ever, long step)
{
    const long injected = told->injected, aborts = told->aborts, errors_before = told->errors;
    told->next = 1;
    for (;;) {
        CHECK(fflush(NULL) == 0);
        const pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            (void)alarm(600);
            CHECK(signal(SIGABRT, aborted) != SIG_ERR);
            _exit(loop(scenario, for_ever, step));
        }
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            break;
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 77) {
            fprintf(stderr, "%s, %s, code %d, %s: number %ld: %s %d\n", scenario->name, kind_names[plan.kind],
                    plan.code, for_ever ? "for ever" : "once", told->next - step,
                    WIFEXITED(status) ? "exit" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
            exit(1);
        }
        told->injected++;
        if (getenv("ATLAS_FAULTS_TRACE") != NULL) {
            fprintf(stderr, "abort: %s number %ld of %zu bytes\n", scenario->name, told->next - step,
                    told->aborted_size);
            backtrace_symbols_fd(told->frames, told->frame_count, 2);
        }
    }
    printf("%s, %s%s, %s: %ld injected, %ld errors, %ld aborts\n", scenario->name, kind_names[plan.kind],
           plan.least > 0 ? " of 4 KiB" : "", for_ever ? "for ever" : "once", told->injected - injected,
           told->errors - errors_before, told->aborts - aborts);
    total_injected += told->injected - injected;
    total_aborts += told->aborts - aborts;
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    const char *part = getenv("ATLAS_FAULTS_ONLY");
    const bool all = argc > 2 && strcmp(argv[2], "all") == 0;
    const long step = all ? 1 : 17;
    void *frames[1];
    (void)backtrace(frames, 1);
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(told != MAP_FAILED);
    CHECK(setenv("RUST_BACKTRACE", "0", 1) == 0);
    bytes = random_bytes(LARGE, 1);
    CHECK(temp_names() == 0);
    limits_come_first();
    const size_t count = sizeof scenarios / sizeof scenarios[0];
    for (size_t i = 0; i < count; i++) {
        if (part != NULL && strcmp(part, scenarios[i].name) != 0) {
            continue;
        }
        if (strcmp(only, "files") != 0) {
            plan.kind = MEMORY;
            plan.code = ENOMEM;
            for (int least = 0; least < 2; least++) {
                plan.least = least == 0 ? 0 : 4096;
                inject(&scenarios[i], false, step);
                inject(&scenarios[i], true, step);
            }
            plan.least = 0;
        }
        if (strcmp(only, "memory") != 0) {
            static const int codes[] = {EIO, ENOSPC, EINTR, SHORT, NOTHING};
            for (size_t code = 0; code < 5; code++) {
                for (int kind = OPEN; kind < KINDS; kind++) {
                    plan.kind = (enum kind)kind;
                    plan.code = codes[code];
                    const bool transfer = kind == READ || kind == WRITE;
                    if (plan.code < 0 && !transfer) {
                        continue;
                    }
                    inject(&scenarios[i], false, all ? 1 : 5);
                    /* An interrupted call is repeated, without an end. */
                    if (plan.code != EINTR) {
                        inject(&scenarios[i], true, all ? 1 : 5);
                    }
                }
            }
        }
    }
    printf("%ld injected, %ld aborts\n", total_injected, total_aborts);
    free(bytes);
    return 0;
}
#endif
