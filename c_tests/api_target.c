/* Files that the library writes: the standard streams of the host stay clear of it, only regular files are replaced,
 * and a file that replaces another one keeps that file's attributes. */
#define _GNU_SOURCE 1
#include "check.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef __linux__
#include <sys/xattr.h>
#endif

#define SIZE (3 * TILE + 77)

/* A child that reports by its exit status: its standard streams may be closed. */
static void in_child(int (*body)(int), int argument)
{
    CHECK(fflush(NULL) == 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(body(argument));
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

#define EXPECT(expression)  \
    do {                    \
        if (!(expression)) { \
            return __LINE__ % 250 + 1; \
        }                   \
    } while (0)

static uint8_t *bytes;

static int pushed_with_a_closed_stream(int closed)
{
    const char *path = temp_path("pushed");
    EXPECT(close(closed) == 0);
    atlas_stream *stream = NULL;
    EXPECT(atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, path, NULL, NULL, NULL, &stream) ==
           ATLAS_STATUS_OK);
    EXPECT(atlas_stream_push(stream, bytes, SIZE) == ATLAS_STATUS_OK);
    /* The host does not know that its stream is closed. */
    EXPECT(write(closed, "a line of the host's log\n", 25) < 0);
    atlas_projection *projection = NULL;
    EXPECT(atlas_stream_finish(stream, &projection) == ATLAS_STATUS_OK);
    EXPECT(file_is(path, bytes, SIZE));
    atlas_projection_destroy(projection);
    atlas_stream_destroy(stream);
    return 0;
}

static int rebuilt_with_a_closed_stream(int closed)
{
    const char *path = temp_path("rebuilt");
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    atlas_shard *shard = extracted(projection, 0, SIZE);
    EXPECT(close(closed) == 0);
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = path;
    atlas_reconstruction *rebuilt = NULL;
    EXPECT(atlas_reconstruction_create(&options, &rebuilt) == ATLAS_STATUS_OK);
    EXPECT(atlas_reconstruction_add(rebuilt, shard, NULL) == ATLAS_STATUS_OK);
    EXPECT(write(closed, "a line of the host's log\n", 25) < 0);
    atlas_projection *made = NULL;
    EXPECT(atlas_reconstruction_finish(rebuilt, NULL, &made) == ATLAS_STATUS_OK);
    EXPECT(file_is(path, bytes, SIZE));
    atlas_projection_destroy(made);
    atlas_reconstruction_destroy(rebuilt);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    return 0;
}

static int packed_with_a_closed_stream(int closed)
{
    const char *path = temp_path("packed");
    EXPECT(close(closed) == 0);
    atlas_container *container = NULL;
    EXPECT(atlas_container_create(path, ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, &container) ==
           ATLAS_STATUS_OK);
    EXPECT(write(closed, "a line of the host's log\n", 25) < 0);
    atlas_container_destroy(container);
    return 0;
}

/* A source of a descriptor searches holes through a descriptor of its own. */
static int opened_with_a_closed_stream(int closed)
{
    const char *path = temp_path("opened");
    write_file(path, bytes, SIZE);
    const int file = open(path, O_RDONLY);
    EXPECT(file > 2 && close(closed) == 0);
    atlas_source *source = NULL;
    EXPECT(atlas_source_open_fd(file, ATLAS_FILE_IO_READ, &source) == ATLAS_STATUS_OK);
    EXPECT(fcntl(closed, F_GETFD) < 0);
    atlas_source_destroy(source);
    EXPECT(close(file) == 0 && unlink(path) == 0);
    return 0;
}

static void standard_streams_are_not_files(void)
{
    for (int closed = 0; closed < 3; closed++) {
        if (built_in(ATLAS_FEATURE_STREAMING)) {
            in_child(pushed_with_a_closed_stream, closed);
        }
        in_child(rebuilt_with_a_closed_stream, closed);
        in_child(opened_with_a_closed_stream, closed);
        in_child(packed_with_a_closed_stream, closed);
        remove_path(temp_path("packed"));
    }
}

/* None of the calls that make a file takes `path`. */
static void is_no_target(const char *path)
{
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    CHECK_STATUS(atlas_projection_write_file(projection, path, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(strstr(atlas_last_error_message(), path) != NULL);
    atlas_stream *stream = NULL;
    CHECK_STATUS(atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, path, NULL, NULL, NULL, &stream),
                 built_in(ATLAS_FEATURE_STREAMING) ? ATLAS_STATUS_INVALID_ARGUMENT : ATLAS_STATUS_UNSUPPORTED);
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = path;
    atlas_reconstruction *rebuilt = NULL;
    CHECK_STATUS(atlas_reconstruction_create(&options, &rebuilt), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(stream == NULL && rebuilt == NULL);
    atlas_projection_destroy(projection);
}

static void only_files_are_replaced(void)
{
    struct stat info;
    const char *fifo = temp_path("fifo");
    CHECK(mkfifo(fifo, 0600) == 0);
    is_no_target(fifo);
    CHECK(lstat(fifo, &info) == 0 && S_ISFIFO(info.st_mode));

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *name = temp_path("socket");
    CHECK(strlen(name) < sizeof address.sun_path);
    memcpy(address.sun_path, name, strlen(name) + 1);
    const int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(listening >= 0 && bind(listening, (struct sockaddr *)&address, sizeof address) == 0);
    is_no_target(name);
    CHECK(lstat(name, &info) == 0 && S_ISSOCK(info.st_mode));
    CHECK(close(listening) == 0);

    /* A link is replaced, but not one to a device. */
    const char *link = temp_path("link");
    CHECK(symlink("/dev/null", link) == 0);
    is_no_target(link);
    CHECK(lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
    const char *folder = temp_path("folder");
    CHECK(mkdir(folder, 0700) == 0);
    is_no_target(folder);
    CHECK(unlink(fifo) == 0 && unlink(name) == 0 && unlink(link) == 0 && rmdir(folder) == 0);

    if (!built_in(ATLAS_FEATURE_STREAMING)) {
        return;
    }
    /* One that comes while the bytes are on their way is there in the end too. */
    const char *late = temp_path("late");
    atlas_stream *stream = NULL;
    CHECK_OK(atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, late, NULL, NULL, NULL, &stream));
    CHECK_OK(atlas_stream_push(stream, bytes, SIZE));
    CHECK(mkfifo(late, 0600) == 0);
    atlas_projection *projection = NULL;
    CHECK_STATUS(atlas_stream_finish(stream, &projection), ATLAS_STATUS_INVALID_ARGUMENT);
    atlas_stream_destroy(stream);
    CHECK(lstat(late, &info) == 0 && S_ISFIFO(info.st_mode));
    CHECK(unlink(late) == 0);
}

static void replace(const char *path)
{
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    CHECK_OK(atlas_projection_write_file(projection, path, NULL));
    CHECK(file_is(path, bytes, SIZE));
    atlas_projection_destroy(projection);
}

static void owner_and_mode_stay(void)
{
    struct stat info;
    const char *path = temp_path("owned");
    write_file(path, "old", 3);
    const bool root = geteuid() == 0;
    if (root) {
        CHECK(chown(path, 12345, 54321) == 0);
    }
    CHECK(chmod(path, 06751) == 0);
    replace(path);
    CHECK(stat(path, &info) == 0);
    CHECK_EQ(info.st_mode & 07777, 06751);
    CHECK(!root || (info.st_uid == 12345 && info.st_gid == 54321));
    CHECK(unlink(path) == 0);
}

#ifdef __linux__
/* An access list for getfacl's `user::rw-, user:1234:USER, group::GROUP, mask::MASK, other::---`. */
static size_t access_list(uint8_t *out, uint8_t user, uint8_t group, uint8_t mask)
{
    const struct {
        uint16_t tag, allowed;
        uint32_t id;
    } entries[] = {{1, 6, UINT32_MAX}, {2, user, 1234}, {4, group, UINT32_MAX}, {16, mask, UINT32_MAX},
                   {32, 0, UINT32_MAX}};
    const uint32_t version = 2;
    memcpy(out, &version, 4);
    for (size_t i = 0; i < 5; i++) {
        memcpy(out + 4 + 8 * i, &entries[i].tag, 2);
        memcpy(out + 6 + 8 * i, &entries[i].allowed, 2);
        memcpy(out + 8 + 8 * i, &entries[i].id, 4);
    }
    return 4 + 8 * 5;
}

static void lists_and_attributes_stay(void)
{
    uint8_t list[64], found[64], other[64];
    const char *path = temp_path("listed");
    write_file(path, "old", 3);
    /* The group may nothing; the mask, which chmod sees in its place, is rw-. */
    const size_t len = access_list(list, 6, 0, 6);
    if (setxattr(path, "system.posix_acl_access", list, len, 0) != 0) {
        CHECK(errno == EOPNOTSUPP);
        printf("no access lists here\n");
        return;
    }
    CHECK(setxattr(path, "user.origin", "far away", 8, 0) == 0 || errno == EOPNOTSUPP);
    const bool named = getxattr(path, "user.origin", found, sizeof found) == 8;
    replace(path);
    CHECK_EQ(getxattr(path, "system.posix_acl_access", found, sizeof found), len);
    CHECK(memcmp(found, list, len) == 0);
    CHECK(!named || (getxattr(path, "user.origin", found, sizeof found) == 8 && memcmp(found, "far away", 8) == 0));
    CHECK(unlink(path) == 0);

    /* A folder with a list for new files: a new file has it, and one that has none gets none. */
    const char *folder = temp_path("folder");
    CHECK(mkdir(folder, 0700) == 0);
    CHECK(setxattr(folder, "system.posix_acl_default", list, len, 0) == 0);
    char fresh[PATH_MAX + 400], plain[PATH_MAX + 400], usual[PATH_MAX + 400];
    (void)snprintf(fresh, sizeof fresh, "%s/fresh", folder);
    (void)snprintf(plain, sizeof plain, "%s/plain", folder);
    (void)snprintf(usual, sizeof usual, "%s/usual", folder);
    write_file(usual, "x", 1);
    write_file(plain, "x", 1);
    CHECK(removexattr(plain, "system.posix_acl_access") == 0 && chmod(plain, 0644) == 0);
    replace(fresh);
    replace(plain);
    const ssize_t wanted = getxattr(usual, "system.posix_acl_access", other, sizeof other);
    CHECK(wanted > 0 && getxattr(fresh, "system.posix_acl_access", found, sizeof found) == wanted);
    CHECK(memcmp(found, other, (size_t)wanted) == 0);
    CHECK(getxattr(plain, "system.posix_acl_access", found, sizeof found) < 0 && errno == ENODATA);
    struct stat info;
    CHECK(stat(plain, &info) == 0);
    CHECK_EQ(info.st_mode & 07777, 0644);
    remove_path(folder);

    /* A compaction in place replaces a file too. */
    path = temp_path("listed.atlas");
    atlas_container *container = NULL;
    atlas_source *source = borrowed(bytes, SIZE);
    CHECK_OK(atlas_container_create(path, ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, &container));
    CHECK_OK(atlas_container_import(container, source, NULL, 0, NULL, NULL, NULL));
    CHECK(setxattr(path, "system.posix_acl_access", list, len, 0) == 0);
    CHECK(!named || setxattr(path, "user.origin", "far away", 8, 0) == 0);
    CHECK_OK(atlas_container_compact(container, NULL, 0, NULL));
    CHECK_EQ(getxattr(path, "system.posix_acl_access", found, sizeof found), len);
    CHECK(memcmp(found, list, len) == 0);
    CHECK(!named || (getxattr(path, "user.origin", found, sizeof found) == 8 && memcmp(found, "far away", 8) == 0));
    atlas_container_destroy(container);
    atlas_source_destroy(source);
    CHECK(unlink(path) == 0);
}
#else
static void lists_and_attributes_stay(void) {}
#endif

/* The folder of the target is the one of the beginning, whatever its name is now. */
static void a_folder_may_be_renamed(void)
{
    if (!built_in(ATLAS_FEATURE_STREAMING)) {
        return;
    }
    char before[PATH_MAX], after[PATH_MAX], target[PATH_MAX + 8];
    CHECK(snprintf(before, sizeof before, "%s/before", temp_dir()) < PATH_MAX);
    CHECK(snprintf(after, sizeof after, "%s/after", temp_dir()) < PATH_MAX);
    (void)snprintf(target, sizeof target, "%s/out", before);
    CHECK(mkdir(before, 0700) == 0);
    atlas_stream *stream = NULL;
    CHECK_OK(atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, target, NULL, NULL, NULL, &stream));
    CHECK_OK(atlas_stream_push(stream, bytes, SIZE));
    CHECK(rename(before, after) == 0);
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_stream_finish(stream, &projection));
    (void)snprintf(target, sizeof target, "%s/out", after);
    CHECK(file_is(target, bytes, SIZE));
    atlas_projection_destroy(projection);
    atlas_stream_destroy(stream);
    remove_path(after);
}

/* A relative name needs no path to the working folder, and a path may be as long as the system takes. */
static int written_far_down(int unused)
{
    (void)unused;
    char name[201];
    memset(name, 'd', 200);
    name[200] = '\0';
    EXPECT(chdir(temp_dir()) == 0);
    const int top = open(".", O_RDONLY | O_DIRECTORY);
    for (size_t depth = 0; depth < 25; depth++) {
        EXPECT(mkdir(name, 0700) == 0 && chdir(name) == 0);
    }
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    EXPECT(atlas_projection_write_file(projection, "out", NULL) == ATLAS_STATUS_OK);
    EXPECT(file_is("out", bytes, SIZE));
    EXPECT(unlink("out") == 0);
    for (size_t depth = 0; depth < 25; depth++) {
        EXPECT(chdir("..") == 0 && rmdir(name) == 0);
    }
    /* The temporary name may not make it too long. */
    char path[PATH_MAX];
    size_t len = 0;
    while (len + 201 < PATH_MAX - 20) {
        memset(path + len, 'd', 200);
        path[len + 200] = '\0';
        EXPECT(mkdir(path, 0700) == 0);
        path[len + 200] = '/';
        len += 201;
    }
    while (len < PATH_MAX - 2 - 5) {
        path[len++] = 'x';
        path[len] = '\0';
        EXPECT(mkdir(path, 0700) == 0);
        path[len++] = '/';
    }
    memset(path + len, 'f', PATH_MAX - 1 - len);
    path[PATH_MAX - 1] = '\0';
    EXPECT(atlas_projection_write_file(projection, path, NULL) == ATLAS_STATUS_OK);
    EXPECT(file_is(path, bytes, SIZE));
    atlas_projection_destroy(projection);
    EXPECT(fchdir(top) == 0);
    return 0;
}

#ifdef __linux__
static volatile sig_atomic_t broken;
static int leased = -1;

static void give_up(int signal)
{
    (void)signal;
    broken = 1;
    (void)fcntl(leased, F_SETLEASE, F_UNLCK);
}

/* Another process that has a lease gives it up when it is asked to; an open waits for that. */
static void a_lease_is_waited_for(void)
{
    const char *path = temp_path("leased");
    write_file(path, bytes, SIZE);
    CHECK(signal(SIGIO, give_up) != SIG_ERR);
    leased = open(path, O_RDWR);
    if (fcntl(leased, F_SETLEASE, F_WRLCK) != 0) {
        printf("no leases here\n");
        return;
    }
    CHECK(fflush(NULL) == 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)close(leased);
        (void)signal(SIGIO, SIG_DFL);
        atlas_source *source = NULL;
        const atlas_status status = atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source);
        atlas_source_destroy(source);
        _exit(status == ATLAS_STATUS_OK ? 0 : 1);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) != pid) {
        CHECK(errno == EINTR);
    }
    CHECK(broken == 1);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK(close(leased) == 0 && unlink(path) == 0);
}

/* True if the file system of the folder knows files without names. */
static bool nameless_files(void)
{
    const int file = open(temp_dir(), O_TMPFILE | O_RDWR, 0600);
    return file >= 0 && close(file) == 0;
}

static void killed_writers_leave_nothing(void)
{
    if (!nameless_files() || !built_in(ATLAS_FEATURE_STREAMING)) {
        printf("no files without names here, or no streams\n");
        return;
    }
    int ready[2];
    CHECK(pipe(ready) == 0 && fflush(NULL) == 0);
    const size_t before = temp_names();
    const char *path = temp_path("killed");
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        atlas_stream *stream = NULL;
        CHECK_OK(atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, path, NULL, NULL, NULL, &stream));
        CHECK_OK(atlas_stream_push(stream, bytes, SIZE));
        CHECK(write(ready[1], "x", 1) == 1);
        pause();
        _exit(0);
    }
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    CHECK_EQ(temp_names(), before);
    CHECK(close(ready[0]) == 0 && close(ready[1]) == 0);
}
#else
static void a_lease_is_waited_for(void) {}
static void killed_writers_leave_nothing(void) {}
#endif

/* Files that say that they are empty and are not. */
static void sizes_that_are_no_sizes(void)
{
    if (!exists("/proc/self/status")) {
        printf("no /proc here\n");
        return;
    }
    atlas_source *source = NULL;
    CHECK_STATUS(atlas_source_open_file("/proc/self/status", ATLAS_FILE_IO_READ, &source),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(source == NULL);
    CHECK_SAYS("/proc/self/status");
    if (built_in(ATLAS_FEATURE_STREAMING)) {
        CHECK_STATUS(atlas_source_open_file("/proc/self/status", ATLAS_FILE_IO_MMAP, &source),
                     ATLAS_STATUS_INVALID_ARGUMENT);
    }
    const char *path = temp_path("empty");
    write_file(path, "", 0);
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    CHECK_EQ(atlas_source_size(source), 0);
    atlas_source_destroy(source);
    CHECK(unlink(path) == 0);
}

int main(int argc, char **argv)
{
    static void (*const parts[])(void) = {
        standard_streams_are_not_files, only_files_are_replaced,      owner_and_mode_stay,
        lists_and_attributes_stay,      a_folder_may_be_renamed,      a_lease_is_waited_for,
        killed_writers_leave_nothing,   sizes_that_are_no_sizes,
    };
    bytes = random_bytes(SIZE, 7);
    CHECK(temp_names() == 0);
    for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
        if (argc < 2 || strtoul(argv[1], NULL, 10) == part) {
            parts[part]();
        }
    }
    if (argc < 2 || strtoul(argv[1], NULL, 10) == 8) {
        in_child(written_far_down, 0);
    }
    free(bytes);
    return 0;
}
