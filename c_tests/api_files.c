/* Files whose names, folders and locks change during a call, and systems that lack something: a closed standard stream,
 * files without names, /proc, the right to read a folder.
 *
 * The program's own openat, fcntl, fsync and syncfs come before those of the C library, also for the library. */
#define _GNU_SOURCE 1
#include "check.h"
#include "container.h"

#if !defined(__GLIBC__) || !defined(__x86_64__)
int main(void) { skip("the functions of glibc are needed to stand behind these"); }
#else

#include "behind.h"

#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>

#define SIZE ((size_t)70000)

static uint8_t *bytes;

/* ---- functions that fail, or let something happen -------------------------------- */

static volatile bool has_no_nameless_files, has_no_placeholders;
/* The call of this number fails, counted from 1. */
static volatile int failing_copy, failing_flush;
static volatile int system_flushes;
static void (*before_lock)(void);

int openat(int folder, const char *path, int flags, ...)
{
    BEHIND(openat)
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if (has_no_nameless_files && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return behind(folder, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    BEHIND(open)
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if (has_no_placeholders && strcmp(path, "/") == 0) {
        errno = EMFILE;
        return -1;
    }
    return behind(path, flags, mode);
}

int fcntl(int file, int command, ...)
{
    BEHIND(fcntl)
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (command == F_DUPFD_CLOEXEC && failing_copy > 0 && --failing_copy == 0) {
        errno = EMFILE;
        return -1;
    }
    if (before_lock != NULL && command == F_OFD_SETLK) {
        void (*then)(void) = before_lock;
        before_lock = NULL;
        then();
    }
    return behind(file, command, argument);
}

int fsync(int file)
{
    BEHIND(fsync)
    if (failing_flush > 0 && --failing_flush == 0) {
        errno = EIO;
        return -1;
    }
    return behind(file);
}

int syncfs(int file)
{
    BEHIND(syncfs)
    system_flushes++;
    return behind(file);
}

/* ---- children ------------------------------------------------------------------- */

#define EXPECT(expression)                                                       \
    do {                                                                         \
        if (!(expression)) {                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expression);     \
            fprintf(stderr, "last error: %s\n", atlas_last_error_message());     \
            return 1;                                                            \
        }                                                                        \
    } while (0)

#define NOT_POSSIBLE 77

/* Runs `body` in a child, whose rights and folders it may change. Returns false if the system does not allow it. */
static bool in_child(int (*body)(void))
{
    CHECK(fflush(NULL) == 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(body());
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == NOT_POSSIBLE);
    return WEXITSTATUS(status) == 0;
}

/* Makes the mounts of this child its own. */
static bool has_own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Gives up all rights, and the groups. */
static bool is_nobody(void) { return setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0; }

static void pass_on(const char *path) { CHECK_EQ(chmod(path, 0777), 0); }

/* ---- standard streams ------------------------------------------------------------ */

static atomic_bool is_over;
static atomic_long written;

/* A host that prints, and does not know that its stream is closed. */
static void *print(void *none)
{
    while (!atomic_load(&is_over)) {
        if (write(STDOUT_FILENO, "log line\n", 9) >= 0) {
            atomic_fetch_add(&written, 1);
        }
    }
    return none;
}

static int files_beside_a_closed_stream(void)
{
    const char *path = temp_path("beside");
    atlas_container_destroy(created(path, ATLAS_PROJECTION_LINEAR, NULL, NULL));
    size_t size = 0;
    uint8_t *before = bytes_of_file(path, &size);
    EXPECT(close(STDOUT_FILENO) == 0);
    pthread_t printer, other;
    EXPECT(pthread_create(&printer, NULL, print, NULL) == 0 && pthread_create(&other, NULL, print, NULL) == 0);
    for (int i = 0; i < (small_run() ? 50 : 2000); i++) {
        atlas_container *container = NULL;
        const atlas_container_mode mode = i % 2 ? ATLAS_CONTAINER_WRITE : ATLAS_CONTAINER_READ;
        EXPECT(atlas_container_open(path, mode, NULL, NULL, NULL, &container) == ATLAS_STATUS_OK);
        atlas_container_destroy(container);
        EXPECT(fcntl(STDOUT_FILENO, F_GETFD) == -1 && errno == EBADF);
    }
    atomic_store(&is_over, true);
    EXPECT(pthread_join(printer, NULL) == 0 && pthread_join(other, NULL) == 0);
    EXPECT(atomic_load(&written) == 0);
    EXPECT(file_is(path, before, size));
    free(before);
    return 0;
}

static void a_host_without_a_stream_writes_into_no_file(void) { CHECK(in_child(files_beside_a_closed_stream)); }

static void *open_again_and_again(void *path)
{
    while (!atomic_load(&is_over)) {
        atlas_source *source = NULL;
        CHECK_OK(atlas_source_open_file((const char *)path, ATLAS_FILE_IO_READ, &source));
        atlas_source_destroy(source);
    }
    return path;
}

static int children_of_a_process_without_a_stream(void)
{
    const char *path = temp_path("opened");
    write_file(path, bytes, SIZE);
    EXPECT(close(STDIN_FILENO) == 0);
    pthread_t opener;
    EXPECT(pthread_create(&opener, NULL, open_again_and_again, (void *)path) == 0);
    int wrong = 0;
    for (int i = 0; i < (small_run() ? 30 : 500); i++) {
        const pid_t pid = fork();
        if (pid == 0) {
            _exit(fcntl(STDIN_FILENO, F_GETFD) == -1 ? 0 : 1);
        }
        int status = 0;
        EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
        wrong += status != 0;
    }
    atomic_store(&is_over, true);
    EXPECT(pthread_join(opener, NULL) == 0);
    EXPECT(wrong == 0);
    return 0;
}

static void a_child_has_no_descriptor_that_its_parent_needed_for_a_moment(void)
{
    CHECK(in_child(children_of_a_process_without_a_stream));
}

static int a_name_without_a_descriptor(void)
{
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    const char *folder = temp_path("names"), *path = temp_path("names/out");
    EXPECT(mkdir(folder, 0700) == 0);
    EXPECT(close(STDIN_FILENO) == 0);
    has_no_nameless_files = has_no_placeholders = true;
    int failures = 0;
    for (int number = 1; number < 9; number++) {
        failing_copy = number;
        const atlas_status status = atlas_projection_write_file(projection, path, NULL);
        failures += failing_copy == 0;
        EXPECT(status == (failing_copy == 0 ? ATLAS_STATUS_IO : ATLAS_STATUS_OK));
        EXPECT(status == ATLAS_STATUS_OK || last_error().os_error == EMFILE);
        EXPECT(each_name(folder, NULL) == (exists(path) ? 1 : 0));
    }
    EXPECT(failures > 3 && failures < 8 && file_is(path, bytes, SIZE));
    atlas_projection_destroy(projection);
    return 0;
}

static void a_file_that_gets_no_descriptor_leaves_no_name(void) { CHECK(in_child(a_name_without_a_descriptor)); }

/* ---- rights --------------------------------------------------------------------- */

static int a_set_group_id_bit(void)
{
    const char *folder = temp_path("of a group"), *path = temp_path("of a group/file");
    pass_on(temp_dir());
    EXPECT(mkdir(folder, 0700) == 0);
    if (chown(folder, 65534, 54321) != 0 || chmod(folder, 02777) != 0) {
        return NOT_POSSIBLE;
    }
    write_file(path, "old", 3);
    EXPECT(chown(path, 65534, 54321) == 0 && chmod(path, 02755) == 0);
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    EXPECT(is_nobody());
    EXPECT(atlas_projection_write_file(projection, path, NULL) == ATLAS_STATUS_IO);
    EXPECT(last_error().os_error == EPERM && strstr(atlas_last_error_message(), "2755") != NULL);
    struct stat found;
    EXPECT(stat(path, &found) == 0 && (found.st_mode & 07777) == 02755 && file_is(path, "old", 3));
    EXPECT(each_name(folder, NULL) == 1);
    /* Without the file there is nothing to keep. */
    EXPECT(unlink(path) == 0 && atlas_projection_write_file(projection, path, NULL) == ATLAS_STATUS_OK);
    EXPECT(file_is(path, bytes, SIZE));
    atlas_projection_destroy(projection);
    return 0;
}

static void a_bit_that_cannot_be_kept_is_an_error(void)
{
    if (!in_child(a_set_group_id_bit)) {
        fprintf(stderr, "not tried: only root can give files away\n");
    }
}

static int a_folder_that_may_not_be_read(void)
{
    const char *folder = temp_path("dark"), *path = temp_path("dark/file");
    pass_on(temp_dir());
    EXPECT(mkdir(folder, 0700) == 0);
    if (chown(folder, 65534, 65534) != 0) {
        return NOT_POSSIBLE;
    }
    EXPECT(is_nobody() && chmod(folder, 0300) == 0);
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    EXPECT(atlas_projection_write_file(projection, path, NULL) == ATLAS_STATUS_OK);
    EXPECT(system_flushes == 1 && file_is(path, bytes, SIZE));
    atlas_projection_destroy(projection);
    return 0;
}

static void a_name_in_an_unreadable_folder_is_flushed_too(void)
{
    if (!in_child(a_folder_that_may_not_be_read)) {
        fprintf(stderr, "not tried: only root can give folders away\n");
    }
}

static int files_without_proc(void)
{
    if (!has_own_mounts() || mount("none", "/proc", "tmpfs", 0, NULL) != 0) {
        return NOT_POSSIBLE;
    }
    const char *path = temp_path("without proc");
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    EXPECT(atlas_projection_write_file(projection, path, NULL) == ATLAS_STATUS_OK);
    EXPECT(file_is(path, bytes, SIZE));
    write_file(path, "old", 3);
    EXPECT(chmod(path, 0640) == 0);
    EXPECT(atlas_projection_write_file(projection, path, NULL) == ATLAS_STATUS_OK);
    struct stat found;
    EXPECT(stat(path, &found) == 0 && (found.st_mode & 07777) == 0640 && file_is(path, bytes, SIZE));
    atlas_projection_destroy(projection);
    if (built_in(ATLAS_FEATURE_CONTAINER)) {
        const char *container = temp_path("container without proc");
        atlas_container_destroy(created(container, ATLAS_PROJECTION_LINEAR, NULL, NULL));
        atlas_container_destroy(opened(container, ATLAS_CONTAINER_WRITE));
    }
    return 0;
}

static void files_are_made_without_proc(void)
{
    if (!in_child(files_without_proc)) {
        fprintf(stderr, "not tried: only root can mount something\n");
    }
}

/* ---- names that change ----------------------------------------------------------- */

static void a_name_that_was_taken_away_is_an_error(void)
{
    const char *path = temp_path("spooled"), *other = temp_path("other");
    atlas_projection *projection = projected_bytes(bytes, SIZE), *whole = NULL;
    atlas_shard *shard = extracted(projection, 0, SIZE);
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = path;
    atlas_reconstruction *reconstruction = NULL;
    CHECK_OK(atlas_reconstruction_create(&options, &reconstruction));
    CHECK_OK(atlas_reconstruction_add(reconstruction, shard, NULL));
    /* The flush of the file succeeds, and that of the folder fails. */
    failing_flush = 2;
    CHECK_STATUS(atlas_reconstruction_finish(reconstruction, NULL, &whole), ATLAS_STATUS_IO);
    CHECK(file_is(path, bytes, SIZE));
    write_file(other, "somebody else's", 15);
    CHECK_EQ(rename(other, path), 0);
    CHECK_STATUS(atlas_reconstruction_finish(reconstruction, NULL, &whole), ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, ESTALE);
    CHECK_SAYS("spooled");
    CHECK(whole == NULL && file_is(path, "somebody else's", 15));
    atlas_reconstruction_destroy(reconstruction);
    CHECK(file_is(path, "somebody else's", 15));
    CHECK_EQ(unlink(path), 0);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
}

static atlas_shard *class_of(const atlas_projection *projection, uint8_t class)
{
    const atlas_region region = {.offset = 0, .length = SIZE};
    atlas_shard *shard = NULL;
    CHECK_OK(atlas_shard_extract_classes(projection, &region, &class, 1, NULL, &shard));
    return shard;
}

static void classes_wait_in_the_folder_that_was_named(void)
{
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.r96_data_classes = 2;
    atlas_source *source = borrowed(bytes, SIZE);
    atlas_projection *projection = NULL, *whole = NULL;
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_R96_FOURIER, source, &options, NULL, &projection));
    atlas_shard *first = class_of(projection, 3), *second = class_of(projection, 5);
    CHECK_EQ(mkdir(temp_path("first"), 0700), 0);
    atlas_reconstruction_options spool;
    atlas_reconstruction_options_init(&spool);
    spool.spool_path = temp_path("first/rebuilt");
    atlas_reconstruction *reconstruction = NULL;
    CHECK_OK(atlas_reconstruction_create(&spool, &reconstruction));
    CHECK_EQ(rename(temp_path("first"), temp_path("moved")), 0);
    CHECK_OK(atlas_reconstruction_add(reconstruction, first, NULL));
    CHECK_OK(atlas_reconstruction_add(reconstruction, second, NULL));
    CHECK_OK(atlas_reconstruction_finish(reconstruction, NULL, &whole));
    CHECK(file_is(temp_path("moved/rebuilt"), bytes, SIZE));
    CHECK_EQ(each_name(temp_path("moved"), NULL), 1);
    atlas_projection_destroy(whole);
    atlas_reconstruction_destroy(reconstruction);
    atlas_shard_destroy(first);
    atlas_shard_destroy(second);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
}

static void a_kept_file_is_the_damaged_one_and_no_link(void)
{
    if (!built_in(ATLAS_FEATURE_PARITY)) {
        return;
    }
    CHECK_EQ(mkdir(temp_path("links"), 0700), 0);
    CHECK_EQ(mkdir(temp_path("links/kept"), 0700), 0);
    const char *path = temp_path("links/file"), *kept = temp_path("links/kept/file");
    CHECK_EQ(symlink("../real", path), 0);
    const char *real = temp_path("real"), *parity_path = temp_path("real.atp");
    atlas_source *source = borrowed(bytes, SIZE);
    CHECK_OK(atlas_parity_create(source, parity_path, NULL, NULL));
    atlas_source_destroy(source);
    uint8_t *damaged = random_bytes(SIZE, 1);
    memcpy(damaged, bytes, SIZE);
    memset(damaged + 9000, 0xA5, 500);
    write_file(real, damaged, SIZE);
    atlas_parity *parity = NULL;
    CHECK_OK(atlas_parity_open(parity_path, NULL, NULL, &parity));
    atlas_repair_options options;
    atlas_repair_options_init(&options);
    options.mode = ATLAS_REPAIR_KEEP;
    options.other_path = kept;
    CHECK_OK(atlas_parity_repair(parity, path, &options, NULL, NULL, NULL, NULL));
    struct stat found;
    CHECK(lstat(kept, &found) == 0 && S_ISREG(found.st_mode));
    CHECK(file_is(path, bytes, SIZE) && file_is(kept, damaged, SIZE));
    atlas_parity_destroy(parity);
    free(damaged);
}

/* ---- locks ---------------------------------------------------------------------- */

static const char *locked_path;
static const char *own_path;

static void compact_elsewhere(void)
{
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execl(own_path, own_path, "compact", locked_path, (char *)NULL);
        _exit(1);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static void a_container_that_is_replaced_before_its_lock_is_opened_again(void)
{
    const char *path = temp_path("locked.atlas");
    atlas_container *container = created(path, ATLAS_PROJECTION_LINEAR, NULL, NULL);
    imported(container, bytes, SIZE);
    imported(container, bytes, SIZE - 1);
    atlas_container_destroy(container);
    locked_path = path;
    before_lock = compact_elsewhere;
    container = opened(path, ATLAS_CONTAINER_WRITE);
    CHECK(before_lock == NULL);
    /* It is the new file. */
    CHECK_EQ(info_of(container).oldest, 2);
    CHECK_EQ(imported(container, bytes, SIZE), 3);
    atlas_container_destroy(container);
}

static void a_compaction_leaves_a_container_with_its_temporary_name(void)
{
    const char *path = temp_path("compacted.atlas"), *beside = temp_path("compacted.atlas.compact");
    atlas_container *container = created(path, ATLAS_PROJECTION_LINEAR, NULL, NULL), *other = NULL;
    imported(container, bytes, SIZE);
    imported(container, bytes, SIZE - 1);
    const char *copy = temp_path("copied.atlas");
    CHECK_OK(atlas_container_compact(container, copy, 0, NULL));
    /* The name is refused by whichever way the container was opened. */
    CHECK_STATUS(atlas_container_compact(container, beside, 0, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    CHECK_OK(atlas_container_open_source(source, NULL, NULL, NULL, &other));
    CHECK_STATUS(atlas_container_compact(other, beside, 0, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    atlas_container_destroy(other);
    atlas_source_destroy(source);
    CHECK(!exists(beside));
    /* A file of this name that is open for writing is not a left-over. */
    CHECK_EQ(rename(copy, beside), 0);
    other = opened(beside, ATLAS_CONTAINER_WRITE);
    CHECK_STATUS(atlas_container_compact(container, NULL, 0, NULL), ATLAS_STATUS_STATE);
    CHECK_SAYS("compacted.atlas.compact");
    CHECK_EQ(imported(other, bytes, 5), 3);
    atlas_container_destroy(other);
    other = opened(beside, ATLAS_CONTAINER_READ);
    CHECK_EQ(info_of(other).newest, 3);
    atlas_container_destroy(other);
    CHECK_OK(atlas_container_compact(container, NULL, 0, NULL));
    CHECK(!exists(beside));
    CHECK_EQ(info_of(container).newest, 2);
    atlas_container_destroy(container);
}

/* ---- caches ---------------------------------------------------------------------- */

static bool agree(const atlas_damage *damage, void *none)
{
    (void)none;
    return damage->repairable;
}

/* A failed flush of a repair in place in `folder`, while another handle keeps the pages of the file. */
static int a_failed_flush_in(const char *folder)
{
    char path[PATH_MAX], parity_path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/file", folder);
    (void)snprintf(parity_path, sizeof parity_path, "%s/file.atp", folder);
    atlas_source *source = borrowed(bytes, SIZE);
    EXPECT(atlas_parity_create(source, parity_path, NULL, NULL) == ATLAS_STATUS_OK);
    atlas_source_destroy(source);
    write_file(path, bytes, SIZE);
    const int file = open(path, O_RDWR);
    EXPECT(file > 2 && pwrite(file, "damage", 6, 9000) == 6);
    void *pages = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, file, 0);
    EXPECT(pages != MAP_FAILED);
    /* The system keeps pages that a process has mapped and touched. */
    for (size_t at = 0; at < SIZE; at += PAGE) {
        EXPECT(((const volatile uint8_t *)pages)[at] == bytes[at] || at / PAGE == 9000 / PAGE);
    }
    atlas_parity *parity = NULL;
    EXPECT(atlas_parity_open(parity_path, NULL, NULL, &parity) == ATLAS_STATUS_OK);
    atlas_repair_options options;
    atlas_repair_options_init(&options);
    options.mode = ATLAS_REPAIR_IN_PLACE;
    failing_flush = 1;
    EXPECT(atlas_parity_repair(parity, path, &options, agree, NULL, NULL, NULL) == ATLAS_STATUS_IO);
    EXPECT(strstr(atlas_last_error_message(), "unmount the file system") != NULL);
    EXPECT(munmap(pages, SIZE) == 0 && close(file) == 0);
    atlas_parity_destroy(parity);
    return 0;
}

static int on_an_overlay(void)
{
    static const char *const names[4] = {"lower", "upper", "work", "overlay"};
    char options[4 * PATH_MAX];
    CHECK_EQ(mkdir(temp_path("layers"), 0700), 0);
    if (!has_own_mounts()) {
        return NOT_POSSIBLE;
    }
    /* A file system in memory has no cache that could be dropped. */
    char folder[PATH_MAX];
    for (int i = 0; i < 4; i++) {
        (void)snprintf(folder, sizeof folder, "layers/%s", names[i]);
        EXPECT(mkdir(temp_path(folder), 0700) == 0);
    }
    (void)snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", temp_path("layers/lower"),
                   temp_path("layers/upper"), temp_path("layers/work"));
    const char *overlay = temp_path("layers/overlay");
    if (mount("overlay", overlay, "overlay", 0, options) != 0) {
        return NOT_POSSIBLE;
    }
    const int outcome = a_failed_flush_in(overlay);
    EXPECT(umount(overlay) == 0);
    return outcome;
}

static void pages_that_an_overlay_hides_are_not_taken_for_gone(void)
{
    if (built_in(ATLAS_FEATURE_PARITY) && !in_child(on_an_overlay)) {
        fprintf(stderr, "not tried: only root can mount an overlay\n");
    }
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "compact") == 0) {
        atlas_container *container = opened(arguments[2], ATLAS_CONTAINER_WRITE);
        CHECK_OK(atlas_container_compact(container, NULL, 2, NULL));
        atlas_container_destroy(container);
        return 0;
    }
    own_path = "/proc/self/exe";
    bytes = random_bytes(SIZE, 3);
    TEST(a_child_has_no_descriptor_that_its_parent_needed_for_a_moment);
    TEST(a_file_that_gets_no_descriptor_leaves_no_name);
    TEST(a_bit_that_cannot_be_kept_is_an_error);
    TEST(a_name_in_an_unreadable_folder_is_flushed_too);
    TEST(files_are_made_without_proc);
    TEST(a_name_that_was_taken_away_is_an_error);
    TEST(classes_wait_in_the_folder_that_was_named);
    TEST(a_kept_file_is_the_damaged_one_and_no_link);
    TEST(pages_that_an_overlay_hides_are_not_taken_for_gone);
    if (built_in(ATLAS_FEATURE_CONTAINER)) {
        TEST(a_host_without_a_stream_writes_into_no_file);
        TEST(a_container_that_is_replaced_before_its_lock_is_opened_again);
        TEST(a_compaction_leaves_a_container_with_its_temporary_name);
    }
    free(bytes);
    return 0;
}
#endif
