/* Methods of reading files: AUTO maps those that nobody can shorten and reads their neighbours, and a source of a descriptor
 * neither uses nor moves its offset.
 *
 * /proc/self/maps lists the mappings. Immutable files need root and ext4, read-only file systems a namespace of
 * their own: where the system refuses them, that part is left out and says so.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create, unshare, O_PATH */
#endif
#include "check.h"

#ifdef __linux__

#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statfs.h>

static const size_t size = TILE + 5000;
static uint8_t *data;

static bool is_mapped(const char *name)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    char line[PATH_MAX + 200];
    bool found = false;
    while (fgets(line, sizeof line, maps) != NULL) {
        found = found || strstr(line, name) != NULL;
    }
    CHECK(fclose(maps) == 0);
    return found;
}

static void check_bytes(const atlas_source *source)
{
    CHECK_EQ(atlas_source_size(source), size);
    atlas_projection *projection = projected(source, NULL);
    uint8_t *found = (uint8_t *)malloc(size);
    CHECK(found != NULL);
    CHECK_OK(atlas_projection_read(projection, 0, found, size));
    CHECK(memcmp(found, data, size) == 0);
    CHECK_OK(atlas_projection_verify(projection, NULL));
    free(found);
    atlas_projection_destroy(projection);
}

/* Opens by path and by descriptor, and sees which way the file is read. */
static void check_auto(int fd, const char *path, const char *name, bool mapped)
{
    mapped = mapped && (atlas_manifold_features() & ATLAS_FEATURE_STREAMING) != 0;
    atlas_source *source = NULL;
    CHECK(!is_mapped(name));
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_AUTO, &source));
    CHECK(is_mapped(name) == mapped);
    check_bytes(source);
    atlas_source_destroy(source);
    CHECK(!is_mapped(name));
    CHECK_OK(atlas_source_open_fd(fd, ATLAS_FILE_IO_AUTO, &source));
    CHECK(is_mapped(name) == mapped);
    check_bytes(source);
    atlas_source_destroy(source);
    CHECK(!is_mapped(name));
    CHECK_OK(atlas_source_open_fd(fd, ATLAS_FILE_IO_READ, &source));
    CHECK(!is_mapped(name));
    check_bytes(source);
    atlas_source_destroy(source);
}

static void write_all(int fd)
{
    for (size_t done = 0; done < size;) {
        const ssize_t written = pwrite(fd, data + done, size - done, (off_t)done);
        CHECK(written > 0);
        done += (size_t)written;
    }
}

static void a_file_in_memory_is_mapped_if_it_is_sealed_against_shrinking(void)
{
    static const struct {
        int seals;
        bool mapped;
    } cases[] = {
        {0, false},
        {F_SEAL_GROW, false},
        {F_SEAL_WRITE | F_SEAL_GROW, false},
        {F_SEAL_SEAL, false},
        {F_SEAL_SHRINK, true},
        {F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int fd = memfd_create("atlas-sealed", MFD_ALLOW_SEALING | MFD_CLOEXEC);
        CHECK(fd >= 0);
        write_all(fd);
        CHECK(fcntl(fd, F_ADD_SEALS, cases[i].seals) == 0);
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        check_auto(fd, path, "memfd:atlas-sealed", cases[i].mapped);
        CHECK((ftruncate(fd, 1) != 0) == cases[i].mapped);
        CHECK(close(fd) == 0);
    }
}

static void a_file_that_could_shrink_is_read_and_its_end_is_an_error(void)
{
    const char *path = temp_path("plain-io.bin");
    write_file(path, data, size);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    check_auto(fd, path, "plain-io.bin", false);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_AUTO, &source));
    CHECK(truncate(path, 4096) == 0);
    atlas_projection *projection = NULL;
    CHECK_STATUS(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection),
                 ATLAS_STATUS_IO);
    atlas_source_destroy(source);
    CHECK(close(fd) == 0);
    CHECK(unlink(path) == 0);
}

static bool set_flags(int fd, int flags, bool set)
{
    int now = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &now) != 0) {
        return false;
    }
    now = set ? now | flags : now & ~flags;
    return ioctl(fd, FS_IOC_SETFLAGS, &now) == 0;
}

static void an_immutable_file_is_mapped_and_one_for_appending_is_read(void)
{
    const char *path = temp_path("fixed-io.bin");
    write_file(path, data, size);
    /* Open for writing from before: ext4 refuses it too. */
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    struct statfs system;
    CHECK(fstatfs(fd, &system) == 0);
    if (system.f_type != 0xef53 || !set_flags(fd, FS_APPEND_FL, true)) {
        printf("left out: immutable files need root and ext4\n");
    } else {
        check_auto(fd, path, "fixed-io.bin", false);
        CHECK(set_flags(fd, FS_APPEND_FL, false) && set_flags(fd, FS_IMMUTABLE_FL, true));
        check_auto(fd, path, "fixed-io.bin", true);
        CHECK(ftruncate(fd, 1) != 0);
        CHECK(set_flags(fd, FS_IMMUTABLE_FL, false));
        check_auto(fd, path, "fixed-io.bin", false);
    }
    CHECK(close(fd) == 0);
    CHECK(unlink(path) == 0);
}

/* In a child, whose mounts are gone with it: 0, or 77 if the system refuses them. */
static int read_only_systems(void)
{
    const char *inner = temp_path("system"), *view = temp_path("view");
    char path[PATH_MAX], seen[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/ro-io.bin", inner);
    (void)snprintf(seen, sizeof seen, "%s/ro-io.bin", view);
    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", inner, "tmpfs", 0, NULL) != 0) {
        return 77;
    }
    const int made = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(made >= 0);
    write_all(made);
    CHECK(close(made) == 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    check_auto(fd, path, "ro-io.bin", false);
    CHECK(close(fd) == 0);
    /* A view that is read-only of a file system that is not: the file can shrink. */
    CHECK(mount(inner, view, NULL, MS_BIND, NULL) == 0);
    CHECK(mount(NULL, view, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
    fd = open(seen, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    check_auto(fd, seen, "ro-io.bin", false);
    CHECK(close(fd) == 0);
    CHECK(mount(NULL, inner, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    CHECK(truncate(path, 1) != 0);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    check_auto(fd, path, "ro-io.bin", true);
    CHECK(close(fd) == 0);
    return 0;
}

static void a_file_on_a_read_only_file_system_is_mapped(void)
{
    const char *inner = temp_path("system"), *view = temp_path("view");
    CHECK(mkdir(inner, 0700) == 0 && mkdir(view, 0700) == 0);
    CHECK(fflush(stdout) == 0);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        const int result = read_only_systems();
        free(data);
        _exit(result);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        printf("left out: no file system can be mounted here\n");
    } else {
        CHECK_EQ(WEXITSTATUS(status), 0);
    }
    CHECK(rmdir(inner) == 0 && rmdir(view) == 0);
}

static void the_offset_of_a_descriptor_is_neither_used_nor_moved(void)
{
    const char *path = temp_path("sparse-io.bin");
    const off_t whole = (off_t)(8 * TILE);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, whole) == 0);
    CHECK(pwrite(fd, data, TILE, (off_t)(3 * TILE)) == (ssize_t)TILE);
    CHECK(lseek(fd, 1234, SEEK_SET) == 1234);
    uint8_t plain[32], root[32];
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    atlas_projection *projection = projected(source, NULL);
    root_of(projection, plain);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    static const uint32_t kinds[] = {ATLAS_FILE_IO_READ, ATLAS_FILE_IO_AUTO, ATLAS_FILE_IO_MMAP};
    const size_t count = (atlas_manifold_features() & ATLAS_FEATURE_STREAMING) != 0 ? 3 : 2;
    for (size_t i = 0; i < count; i++) {
        CHECK_OK(atlas_source_open_fd(fd, kinds[i], &source));
        projection = projected(source, NULL);
        root_of(projection, root);
        CHECK(memcmp(root, plain, 32) == 0);
        CHECK(lseek(fd, 0, SEEK_CUR) == 1234);
        atlas_projection_destroy(projection);
        atlas_source_destroy(source);
    }
    /* The duplicate lives on without the caller's descriptor and without a name. */
    CHECK_OK(atlas_source_open_fd(fd, ATLAS_FILE_IO_READ, &source));
    CHECK(close(fd) == 0 && unlink(path) == 0);
    projection = projected(source, NULL);
    root_of(projection, root);
    CHECK(memcmp(root, plain, 32) == 0);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
}

static void check_refused(int fd, uint32_t io, int status, int os_error, const char *says)
{
    atlas_source *source = (atlas_source *)&data;
    CHECK_STATUS(atlas_source_open_fd(fd, io, &source), status);
    CHECK(source == NULL);
    CHECK_EQ(last_error().os_error, os_error);
    CHECK(strstr(atlas_last_error_message(), says) != NULL);
}

static void descriptors_that_cannot_be_read_by_position_are_refused(void)
{
    const char *path = temp_path("refused-io.bin");
    write_file(path, data, size);
    check_refused(-1, ATLAS_FILE_IO_READ, ATLAS_STATUS_IO, EBADF, "file descriptor -1");
    check_refused(INT_MIN, ATLAS_FILE_IO_READ, ATLAS_STATUS_IO, EBADF, "file descriptor");
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    check_refused(fd, ATLAS_FILE_IO_READ, ATLAS_STATUS_INVALID_ARGUMENT, 0, "is not open for reading");
    CHECK(close(fd) == 0);
    check_refused(fd, ATLAS_FILE_IO_AUTO, ATLAS_STATUS_IO, EBADF, "duplicating file descriptor");
    fd = open(path, O_PATH | O_CLOEXEC);
    check_refused(fd, ATLAS_FILE_IO_READ, ATLAS_STATUS_INVALID_ARGUMENT, 0, "is not open for reading");
    CHECK(close(fd) == 0);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    check_refused(fd, 3, ATLAS_STATUS_INVALID_ARGUMENT, 0, "ATLAS_FILE_IO_AUTO (2)");
    check_refused(fd, UINT32_MAX, ATLAS_STATUS_INVALID_ARGUMENT, 0, "is not a known io");
    CHECK(close(fd) == 0);
    fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd >= 0) {
        check_refused(fd, ATLAS_FILE_IO_READ, ATLAS_STATUS_INVALID_ARGUMENT, 0, "O_DIRECT");
        CHECK(close(fd) == 0);
    }
    int ends[2];
    CHECK(pipe(ends) == 0);
    check_refused(ends[0], ATLAS_FILE_IO_READ, ATLAS_STATUS_INVALID_ARGUMENT, 0, "is not a regular file");
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    fd = open(temp_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check_refused(fd, ATLAS_FILE_IO_READ, ATLAS_STATUS_INVALID_ARGUMENT, 0, "is a directory");
    CHECK(close(fd) == 0);
    CHECK(unlink(path) == 0);
}

int main(void)
{
    data = random_bytes(size, 3);
    TEST(a_file_in_memory_is_mapped_if_it_is_sealed_against_shrinking);
    TEST(a_file_that_could_shrink_is_read_and_its_end_is_an_error);
    TEST(an_immutable_file_is_mapped_and_one_for_appending_is_read);
    TEST(a_file_on_a_read_only_file_system_is_mapped);
    TEST(the_offset_of_a_descriptor_is_neither_used_nor_moved);
    TEST(descriptors_that_cannot_be_read_by_position_are_refused);
    free(data);
    CHECK_EQ(temp_names(), 0);
    return 0;
}

#else

int main(void)
{
    return 0;
}

#endif
