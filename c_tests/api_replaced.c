/* A file that is replaced while the system refuses a call: it never comes out with wider permissions or another owner,
 * and the bytes of a damaged file are never lost.
 *
 * The program's own fstat, fsync and so on come before those of the C library, also for the library. */
#define _GNU_SOURCE 1
#include "check.h"
#include "container.h"

#if !defined(__GLIBC__) || !defined(__x86_64__)
int main(void) { skip("the functions of glibc are needed to stand behind these"); }
#else

#include "behind.h"

#include <sys/xattr.h>

#define SIZE ((size_t)70000)

/* ---- functions that fail -------------------------------------------------------- */

enum kind { LOOK, LIST, GET, SET, CLEAR, OWNER, MODE, FLUSH, RENAME, KINDS };
static const char *const kind_names[KINDS] = {"a stat",  "listxattr", "getxattr", "fsetxattr", "fremovexattr",
                                              "fchown", "fchmod",    "fsync",    "a rename"};

/* Call number `nth` of this kind fails, counted from 1. */
static volatile bool armed;
static enum kind failing;
static long nth, seen;

static bool fails(enum kind kind)
{
    if (!armed || kind != failing || ++seen != nth) {
        return false;
    }
    errno = EIO;
    return true;
}

#define FAILING(type, kind, name, parameters, arguments)         \
    type name parameters                                         \
    {                                                            \
        BEHIND(name)                                             \
        return fails(kind) ? (type)-1 : behind arguments;        \
    }

FAILING(int, LOOK, fstat64, (int file, struct stat64 *out), (file, out))
FAILING(int, LOOK, stat64, (const char *path, struct stat64 *out), (path, out))
FAILING(int, LOOK, lstat64, (const char *path, struct stat64 *out), (path, out))
FAILING(int, LOOK, statx, (int folder, const char *path, int flags, unsigned mask, struct statx *out),
        (folder, path, flags, mask, out))
FAILING(ssize_t, LIST, listxattr, (const char *path, char *list, size_t size), (path, list, size))
FAILING(ssize_t, GET, getxattr, (const char *path, const char *name, void *value, size_t size),
        (path, name, value, size))
FAILING(int, SET, fsetxattr, (int file, const char *name, const void *value, size_t size, int flags),
        (file, name, value, size, flags))
FAILING(int, CLEAR, fremovexattr, (int file, const char *name), (file, name))
FAILING(int, OWNER, fchown, (int file, uid_t owner, gid_t group), (file, owner, group))
FAILING(int, MODE, fchmod, (int file, mode_t mode), (file, mode))
FAILING(int, FLUSH, fsync, (int file), (file))
FAILING(int, RENAME, rename, (const char *from, const char *to), (from, to))
FAILING(int, RENAME, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
FAILING(int, RENAME, renameat2, (int a, const char *from, int b, const char *to, unsigned flags),
        (a, from, b, to, flags))

static atlas_status after(atlas_status status)
{
    armed = false;
    return status;
}
#define LIB(call) (seen = 0, armed = true, after(call))

/* ---- attributes ----------------------------------------------------------------- */

static uint8_t *bytes;
static atlas_projection *projection;
static atlas_shard *shard;
static atlas_parity *parity;
static atlas_source *source;
static uint8_t *parity_bytes;
static size_t parity_size;

static atlas_status written(const char *path) { return LIB(atlas_projection_write_file(projection, path, NULL)); }

static atlas_status rebuilt(const char *path)
{
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = path;
    atlas_reconstruction *reconstruction = NULL;
    atlas_projection *whole = NULL;
    CHECK_OK(atlas_reconstruction_create(&options, &reconstruction));
    CHECK_OK(atlas_reconstruction_add(reconstruction, shard, NULL));
    const atlas_status status = LIB(atlas_reconstruction_finish(reconstruction, NULL, &whole));
    atlas_projection_destroy(whole);
    atlas_reconstruction_destroy(reconstruction);
    return status;
}

static atlas_status restored(const char *path) { return LIB(atlas_parity_restore(parity, source, path, NULL)); }

static struct stat look_at(const char *path)
{
    struct stat found;
    CHECK(stat(path, &found) == 0);
    return found;
}

static void write_old(const char *path, mode_t mode)
{
    (void)unlink(path);
    write_file(path, "old", 3);
    if (geteuid() == 0) {
        CHECK_EQ(chown(path, 12345, 54321), 0);
    }
    CHECK(chmod(path, mode) == 0);
    CHECK(setxattr(path, "user.origin", "far away", 8, 0) == 0 || errno == EOPNOTSUPP);
}

/* Lets each call of a kind fail in turn, and returns how many there are. */
static long fail_each(atlas_status (*make)(const char *), enum kind kind, mode_t mode, const void *new, size_t size)
{
    const char *path = temp_path("replaced");
    failing = kind;
    for (nth = 1;; nth++) {
        write_old(path, mode);
        const struct stat before = look_at(path);
        const size_t names = temp_names();
        const atlas_status status = make(path);
        const bool has_failed = seen >= nth;
        const struct stat now = look_at(path);
        const bool is_new = file_is(path, new, size);
        const bool is_right = now.st_mode == before.st_mode && now.st_uid == before.st_uid &&
                              now.st_gid == before.st_gid && temp_names() == names &&
                              (is_new || file_is(path, "old", 3));
        if (!is_right) {
            fprintf(stderr, "%s number %ld fails: mode %o, owner %u:%u, %zu names, status %d\n", kind_names[kind], nth,
                    (unsigned)now.st_mode, (unsigned)now.st_uid, (unsigned)now.st_gid, temp_names() - names, status);
        }
        CHECK(is_right);
        if (status == ATLAS_STATUS_OK) {
            CHECK(is_new);
        } else {
            CHECK(has_failed);
            CHECK_STATUS(status, ATLAS_STATUS_IO);
            CHECK_EQ(last_error().os_error, EIO);
        }
        if (!has_failed) {
            return nth - 1;
        }
        /* A stat may serve a hint, and the flush of the folder comes after the name. */
        if (kind != LOOK) {
            CHECK(status != ATLAS_STATUS_OK);
            CHECK(!is_new || kind == FLUSH);
        }
    }
}

static void fail_all(atlas_status (*make)(const char *), const void *new, size_t size)
{
    const char *probe = temp_path("probe");
    write_old(probe, 0600);
    const bool named = getxattr(probe, "user.origin", NULL, 0) == 8;
    CHECK_EQ(unlink(probe), 0);
    static const mode_t modes[2] = {0600, 0640};
    for (size_t i = 0; i < 2; i++) {
        for (int kind = 0; kind < KINDS; kind++) {
            const long calls = fail_each(make, (enum kind)kind, modes[i], new, size);
            const bool is_called = kind == GET || kind == SET ? named
                                   : kind == OWNER            ? geteuid() == 0
                                                              : kind != MODE || modes[i] != 0600;
            if ((calls > 0) != is_called) {
                fprintf(stderr, "%s was called %ld times\n", kind_names[kind], calls);
            }
            CHECK((calls > 0) == is_called);
        }
    }
}

static void a_private_file_stays_private(void)
{
    fail_all(written, bytes, SIZE);
    fail_all(rebuilt, bytes, SIZE);
    if (built_in(ATLAS_FEATURE_PARITY)) {
        fail_all(restored, parity_bytes, parity_size);
    }
}

/* ---- damaged files that are kept -------------------------------------------------- */

static void a_damaged_file_is_kept(void)
{
    if (!built_in(ATLAS_FEATURE_PARITY)) {
        return;
    }
    const char *path = temp_path("damaged"), *folder = temp_path("folder"), *kept = temp_path("folder/kept");
    uint8_t *damaged = random_bytes(SIZE, 1);
    memcpy(damaged, bytes, SIZE);
    memset(damaged + 9000, 0xA5, 500);
    CHECK_EQ(mkdir(folder, 0700), 0);
    atlas_repair_options options;
    atlas_repair_options_init(&options);
    options.mode = ATLAS_REPAIR_KEEP;
    options.other_path = kept;
    for (int kind = 0; kind < KINDS; kind++) {
        failing = (enum kind)kind;
        bool has_failed = true;
        long failures = 0;
        for (nth = 1; has_failed; nth++) {
            write_file(path, damaged, SIZE);
            const atlas_status status = LIB(atlas_parity_repair(parity, path, &options, NULL, NULL, NULL, NULL));
            has_failed = seen >= nth;
            failures += status != ATLAS_STATUS_OK;
            const bool is_kept = exists(kept);
            const bool is_right = is_kept ? file_is(kept, damaged, SIZE) && file_is(path, bytes, SIZE)
                                          : file_is(path, damaged, SIZE) && status != ATLAS_STATUS_OK;
            if (!is_right) {
                fprintf(stderr, "%s number %ld failed, and the damaged file is %s\n", kind_names[kind], nth,
                        is_kept || file_is(path, damaged, SIZE) ? "there" : "lost");
            }
            CHECK(is_right);
            CHECK_STATUS(status, status == ATLAS_STATUS_OK ? ATLAS_STATUS_OK : ATLAS_STATUS_IO);
            CHECK(has_failed || status == ATLAS_STATUS_OK);
            (void)unlink(kept);
            (void)unlink(path);
        }
        /* The flushes: of the file, of the folder of the kept name, and of the folder of the file. */
        CHECK(kind != FLUSH || failures == 3);
        CHECK(kind != RENAME || failures == 1);
    }
    CHECK_EQ(rmdir(folder), 0);
    free(damaged);
}

int main(void)
{
    bytes = random_bytes(SIZE, 3);
    source = borrowed(bytes, SIZE);
    projection = projected(source, NULL);
    shard = extracted(projection, 0, SIZE);
    if (built_in(ATLAS_FEATURE_PARITY)) {
        const char *path = temp_path("parity");
        CHECK_OK(atlas_parity_create(source, path, NULL, NULL));
        CHECK_OK(atlas_parity_open(path, NULL, NULL, &parity));
        parity_bytes = bytes_of_file(path, &parity_size);
    }
    TEST(a_private_file_stays_private);
    TEST(a_damaged_file_is_kept);
    free(parity_bytes);
    atlas_parity_destroy(parity);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    free(bytes);
    return 0;
}
#endif
