/* Common parts of the C tests: checks that print place, expression and the library's last error,
 * reproducible random bytes, and a temporary folder that is removed at exit.
 *
 * A failed check ends the program with status 1. Before that, a second process runs the tests of TEST that
 * come after the failed test, so that one failure does not hide another. Include this file before all other
 * headers, because it defines _XOPEN_SOURCE.
 */
#ifndef ATLAS_CHECK_H
#define ATLAS_CHECK_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include "atlas_manifold.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#ifdef _WIN32
#include "mingw.h"
#else
#include <sys/wait.h>

/* The system's number for a file that is there already. */
#define FILE_EXISTS EEXIST
/* Its number for a file in a folder that is missing. */
#define FOLDER_MISSING ENOENT
enum { WRITES_CONTAINERS = true, REPLACES_OPEN_FILES = true };
#endif

#define PAGE ((size_t)4096)
#define TILE ((size_t)1048576)
#define NONE UINT64_MAX

static inline const char *status_text(int status) { return atlas_status_name((int32_t)status); }

/* ---- tests by name ------------------------------------------------------------ */

/* Name of the running test, and the process that runs it: a forked child does not run the others. */
static const char *test_name;
static pid_t test_process;

/* Names of the failed tests, each between commas. */
#define FAILED_TESTS "ATLAS_TEST_FAILED"

static inline bool has_failed(const char *name)
{
    char between[128];
    const char *failed = getenv(FAILED_TESTS);
    (void)snprintf(between, sizeof between, ",%s,", name);
    return failed != NULL && strstr(failed, between) != NULL;
}

/* Runs the program again without the failed tests, and waits until it ends. On other systems than Linux
 * this function does nothing.
 *
 * A jump out of the failed test would be shorter, but a check may fail inside a callback of the library. */
static inline void run_other_tests(void)
{
#ifndef _WIN32
    static char failed[4096], line[4096];
    char *arguments[16];
    size_t count = 0;
    const char *before = getenv(FAILED_TESTS);
    if (test_name == NULL || test_process != getpid()) {
        return;
    }
    FILE *file = fopen("/proc/self/cmdline", "r");
    if (file == NULL) {
        return;
    }
    size_t size = fread(line, 1, sizeof line - 1, file);
    (void)fclose(file);
    /* The arguments are separated by zero bytes. */
    for (size_t at = 0; at < size && count < 15; at += strlen(line + at) + 1) {
        arguments[count++] = line + at;
    }
    arguments[count] = NULL;
    (void)snprintf(failed, sizeof failed, "%s%s,", before != NULL ? before : ",", test_name);
    (void)setenv(FAILED_TESTS, failed, 1);
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)execv("/proc/self/exe", arguments);
        _exit(1);
    }
    if (child > 0) {
        (void)waitpid(child, NULL, 0);
    }
#endif
}

static inline void run_test(const char *name, void (*test)(void))
{
    if (!has_failed(name)) {
        test_name = name;
        test_process = getpid();
        test();
        test_name = NULL;
    }
}

/* Runs the function `name`. If a check fails in it, the tests after it still run. */
#define TEST(name) run_test(#name, name)

/* ---- checks ------------------------------------------------------------------- */

static inline void check_failed(const char *file, int line, const char *what)
{
    char message[512];
    (void)snprintf(message, sizeof message, "%s", atlas_last_error_message());
    fprintf(stderr, "%s:%d: %s%sfailed: %s\n    last error: %s\n", file, line,
            test_name != NULL ? test_name : "", test_name != NULL ? ": " : "", what, message);
    run_other_tests();
    exit(1);
}

static inline void check_status(const char *file, int line, const char *what, int status, int wanted)
{
    if (status != wanted) {
        char text[512];
        (void)snprintf(text, sizeof text, "%s\n    gave %s (%d) where %s (%d) must come", what,
                       status_text(status), status, status_text(wanted), wanted);
        check_failed(file, line, text);
    }
}

static inline void check_numbers(const char *file, int line, const char *what, uint64_t left,
                                 uint64_t right)
{
    if (left != right) {
        char text[512];
        (void)snprintf(text, sizeof text, "%s\n    %llu and %llu", what, (unsigned long long)left,
                       (unsigned long long)right);
        check_failed(file, line, text);
    }
}

#define CHECK(expression) \
    ((expression) ? (void)0 : check_failed(__FILE__, __LINE__, #expression))
#define CHECK_STATUS(call, wanted) \
    check_status(__FILE__, __LINE__, #call, (int)(call), (int)(wanted))
#define CHECK_OK(call) CHECK_STATUS(call, ATLAS_STATUS_OK)
#define CHECK_EQ(left, right) \
    check_numbers(__FILE__, __LINE__, #left " == " #right, (uint64_t)(left), (uint64_t)(right))
/* Checks that the text of the last error contains `part`. */
#define CHECK_SAYS(part) \
    (strstr(atlas_last_error_message(), (part)) != NULL \
         ? (void)0                                      \
         : check_failed(__FILE__, __LINE__, "the message has no \"" part "\""))

/* ---- how much ----------------------------------------------------------------- */

/* ATLAS_TEST_SMALL=1 asks for less work, for valgrind and emulators. */
static inline bool small_run(void)
{
    const char *value = getenv("ATLAS_TEST_SMALL");
    return value != NULL && value[0] != '\0' && value[0] != '0';
}

/* Returns true if the library was built with the feature of this ATLAS_FEATURE_ bit. */
static inline bool built_in(uint64_t feature) { return (atlas_manifold_features() & feature) != 0; }

/* Prints the reason on stdout and ends the program with status 0: a skipped test is not a failure. */
static inline void skip(const char *why)
{
    printf("skipped: %s\n", why);
    exit(0);
}

/* ---- bytes ------------------------------------------------------------------ */

typedef struct random_state {
    uint64_t state;
} random_state;

static inline uint64_t random_next(random_state *random)
{
    random->state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = random->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static inline uint64_t random_below(random_state *random, uint64_t limit)
{
    return random_next(random) % limit;
}

/* Fills `data` with the SplitMix64 stream of `seed`: eight bytes per step, the least significant first. */
static inline void fill_random(uint8_t *data, size_t size, uint64_t seed)
{
    random_state random = {seed};
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = (i % 8 == 0) ? random_next(&random) : value >> 8;
        data[i] = (uint8_t)(value & 0xFFU);
    }
}

/* Returns `size` random bytes, never NULL, also for size 0. Release them with free(). */
static inline uint8_t *random_bytes(size_t size, uint64_t seed)
{
    uint8_t *data = (uint8_t *)malloc(size + 1);
    CHECK(data != NULL);
    fill_random(data, size, seed);
    return data;
}

static inline uint32_t residue_of(const uint8_t *data, size_t size)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum += data[i];
    }
    return (uint32_t)(sum % 96);
}

static inline bool all_bytes(const void *data, size_t size, uint8_t value)
{
    const uint8_t *bytes = (const uint8_t *)data;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != value) {
            return false;
        }
    }
    return true;
}

static inline bool digest_is(const uint8_t digest[32], const char *hex)
{
    char text[65];
    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    return strcmp(text, hex) == 0;
}

/* ---- handles ---------------------------------------------------------------- */

static inline atlas_source *borrowed(const void *data, size_t size)
{
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_borrow(data, size, NULL, NULL, &source));
    CHECK(source != NULL);
    return source;
}

/* Returns a LINEAR projection of the source, which remains the caller's. */
static inline atlas_projection *projected(const atlas_source *source,
                                          const atlas_projection_options *options)
{
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, options, NULL, &projection));
    CHECK(projection != NULL);
    return projection;
}

/* Returns a LINEAR projection of memory, which must outlive the projection. */
static inline atlas_projection *projected_bytes(const void *data, size_t size)
{
    atlas_source *source = borrowed(data, size);
    atlas_projection *projection = projected(source, NULL);
    atlas_source_destroy(source);
    return projection;
}

static inline void root_of(const atlas_projection *projection, uint8_t root[32])
{
    memset(root, 0, 32);
    CHECK_OK(atlas_projection_root(projection, NULL, root));
}

static inline atlas_shard *extracted(const atlas_projection *projection, uint64_t offset,
                                     uint64_t length)
{
    const atlas_region region = {offset, length};
    atlas_shard *shard = NULL;
    CHECK_OK(atlas_shard_extract(projection, &region, NULL, &shard));
    CHECK(shard != NULL);
    return shard;
}

static inline atlas_error_info last_error(void)
{
    atlas_error_info info;
    memset(&info, 0xA5, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    CHECK(atlas_last_error_get(&info) == ATLAS_STATUS_OK);
    return info;
}

/* ---- files -------------------------------------------------------------------- */

typedef struct temp_folder {
    char path[PATH_MAX];
    pid_t owner;
} temp_folder;

static inline temp_folder *temp_state(void)
{
    static temp_folder folder;
    return &folder;
}

/* Calls `then`, if not NULL, with the path of every name in the folder; returns the number of names. */
static inline size_t each_name(const char *folder, void (*then)(const char *path))
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return 0;
    }
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        count++;
        if (then != NULL) {
            char path[PATH_MAX + 300];
            (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            then(path);
        }
    }
    (void)closedir(dir);
    return count;
}

static inline void remove_path(const char *path)
{
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        (void)chmod(path, 0700);
        (void)each_name(path, remove_path);
        (void)rmdir(path);
    } else {
        (void)unlink(path);
    }
}

static inline void temp_remove(void)
{
    if (temp_state()->owner == getpid()) {
        remove_path(temp_state()->path);
    }
}

/* Returns a temporary folder of this process, below TMPDIR, which is removed at exit. */
static inline const char *temp_dir(void)
{
    temp_folder *folder = temp_state();
    if (folder->owner == 0) {
        const char *base = getenv("TMPDIR");
        (void)snprintf(folder->path, sizeof folder->path, "%s/atlas-test-XXXXXX",
                       base != NULL && base[0] != '\0' ? base : "/tmp");
        CHECK(mkdtemp(folder->path) != NULL);
        folder->owner = getpid();
        CHECK(atexit(temp_remove) == 0);
    }
    return folder->path;
}

/* Returns the path of a name in the temporary folder. The path is valid for the next 7 calls. */
static inline const char *temp_path(const char *name)
{
    static char paths[8][PATH_MAX + 300];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", temp_dir(), name);
    return path;
}

static inline size_t temp_names(void) { return each_name(temp_dir(), NULL); }

static inline bool exists(const char *path) { return access(path, F_OK) == 0; }

static inline void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(fwrite(data, 1, size, file) == size);
    CHECK(fclose(file) == 0);
}

static inline bool file_is(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    uint8_t *found = (uint8_t *)malloc(size + 2);
    CHECK(found != NULL);
    const size_t got = fread(found, 1, size + 1, file);
    const bool same = got == size && memcmp(found, data, size) == 0;
    free(found);
    (void)fclose(file);
    return same;
}

/* The number of threads of this process, or 0 if the system has no /proc. Wine shows Linux's, with threads of its own. */
static inline size_t thread_count(void)
{
#ifdef _WIN32
    return 0;
#else
    return each_name("/proc/self/task", NULL);
#endif
}

#endif
