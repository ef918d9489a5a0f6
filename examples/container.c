/* An outline of a file in a container: it is edited, survives a crash, and is rolled back.
 *
 *     container FILE
 *
 * The container lies in a temporary folder that is removed at the end, and stores digests and edits: the file is its
 * base, which is read and never written. The crash is a child process that ends without closing anything. Ends with 0
 * only if everything was as it must be. C11 and POSIX.
 */
#define _XOPEN_SOURCE 700

#include <atlas_manifold.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char text[] = "inserted before the crash";
static char folder[4096], path[sizeof folder + 16];

/* atexit calls it; the child that crashes does not. */
static void remove_folder(void)
{
    (void)unlink(path);
    (void)rmdir(folder);
}

static void give_up(const char *what)
{
    fprintf(stderr, "container: %s\n", what);
    exit(1);
}

static void must(const char *what, atlas_status status)
{
    if (status != ATLAS_STATUS_OK) {
        fprintf(stderr, "container: %s: %s: %s\n", what, atlas_status_name((int32_t)status),
                atlas_last_error_message());
        exit(1);
    }
}

/* The handle that writes: one at a time, in any process. */
static atlas_container *open_for_writing(const atlas_source *base)
{
    atlas_container *container = NULL;
    atlas_container_open_options options;
    atlas_container_open_options_init(&options);
    options.base = base;
    must("opening", atlas_container_open(path, ATLAS_CONTAINER_WRITE, NULL, &options, NULL, &container));
    return container;
}

static void show(const atlas_container *container, const char *what)
{
    atlas_container_info info = {.struct_size = sizeof info};
    atlas_generation_info newest = {.struct_size = sizeof newest};
    must("info", atlas_container_get_info(container, &info));
    must("info", atlas_container_get_generation(container, 0, &newest));
    printf("%-12s generation %llu, root %02x%02x%02x%02x..., %llu bytes in a file of %llu\n", what,
           (unsigned long long)newest.generation, newest.root[0], newest.root[1], newest.root[2], newest.root[3],
           (unsigned long long)newest.domain_size, (unsigned long long)info.file_size);
}

/* Projects the file and stores its digests: generation 1. */
static void make_outline(const atlas_source *file)
{
    atlas_container *container = NULL;
    atlas_container_create_options options;
    atlas_container_create_options_init(&options);
    options.base = file;
    must("creating", atlas_container_create(path, ATLAS_PROJECTION_LINEAR, NULL, &options, NULL, &container));
    must("importing", atlas_container_import(container, file, NULL, 0, NULL, NULL, NULL));
    show(container, "outline");
    atlas_container_destroy(container);
}

/* Commits one edit, makes another, and is gone before that is committed. */
static void edit_and_crash(const atlas_source *file, uint64_t middle)
{
    atlas_projection *projection = NULL;
    atlas_container *container = open_for_writing(file);
    const atlas_delta first = {
        .type = ATLAS_CHANGE_INSERT, .offset = middle, .data = text, .data_size = sizeof text - 1};
    const atlas_delta second = {.type = ATLAS_CHANGE_DELETE, .offset = 0, .length = middle};
    must("snapshot", atlas_container_snapshot(container, 0, 1, NULL, &projection));
    must("editing", atlas_projection_apply(projection, &first));
    must("committing", atlas_container_commit(container, projection, NULL, NULL, NULL));
    show(container, "edited");
    must("editing", atlas_projection_apply(projection, &second));
    printf("%-12s with an edit that is not committed\n", "crash");
    (void)fflush(stdout);
    _exit(0);
}

/* The newest generation is the edited one, and its bytes are there. */
static void find_the_edit(const atlas_container *container, uint64_t middle)
{
    char found[sizeof text] = "";
    atlas_projection *projection = NULL;
    must("snapshot", atlas_container_snapshot(container, 0, 1, NULL, &projection));
    must("reading", atlas_projection_read(projection, middle, found, sizeof text - 1));
    atlas_projection_destroy(projection);
    if (strcmp(found, text) != 0) {
        give_up("the edit is gone");
    }
    show(container, "reopened");
}

/* Rolling back commits the old generation again: nothing is lost, the edited one either. */
static void roll_back(atlas_container *container)
{
    atlas_projection *first = NULL;
    atlas_generation_info then = {.struct_size = sizeof then}, now = {.struct_size = sizeof now};
    must("snapshot", atlas_container_snapshot(container, 1, 1, NULL, &first));
    must("committing", atlas_container_commit(container, first, NULL, NULL, NULL));
    must("verifying", atlas_projection_verify(first, NULL));
    atlas_projection_destroy(first);
    must("info", atlas_container_get_generation(container, 1, &then));
    must("info", atlas_container_get_generation(container, 0, &now));
    if (now.generation != 3 || memcmp(then.root, now.root, sizeof now.root) != 0) {
        give_up("the root is not that of the first generation");
    }
    show(container, "rolled back");
}

int main(int argc, char **argv)
{
    atlas_source *file = NULL;
    if (argc != 2) {
        give_up("usage: container FILE");
    }
    const char *base = getenv("TMPDIR");
    const int length =
        snprintf(folder, sizeof folder, "%s/atlas-container-XXXXXX", base != NULL ? base : "/tmp");
    if (length >= (int)sizeof folder || mkdtemp(folder) == NULL || atexit(remove_folder) != 0) {
        give_up("there is no temporary folder");
    }
    (void)snprintf(path, sizeof path, "%s/file.atlas", folder);
    must("opening the file", atlas_source_open_file(argv[1], ATLAS_FILE_IO_READ, &file));
    const uint64_t middle = atlas_source_size(file) / 2;
    make_outline(file);

    int status = 1;
    (void)fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        edit_and_crash(file, middle);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        give_up("the child failed");
    }
    atlas_container *container = open_for_writing(file);
    find_the_edit(container, middle);
    roll_back(container);
    atlas_container_destroy(container);
    atlas_source_destroy(file);
    return 0;
}
