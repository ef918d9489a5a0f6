/* Containers in several processes: writers that are killed, readers beside them, a second writer, copies that are made
 * while a writer commits, and a disk that is full.
 *
 *     api_container_processes_shared [ROUNDS]
 *
 * Each round kills a writer, 30 times by default; ATLAS_CONTAINER_ROUNDS is another number. The writer tells each
 * generation through a pipe once its commit returned: after the kill the newest generation is that one or the next,
 * and all its bytes are those that everybody can make anew from its number. The children are this program, started
 * with the name of their part.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* unshare */
#endif
#include "check.h"

#include "container.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <time.h>

enum { KEPT = 12, BIG = 1300000, ROOM_SIZE = 4 << 20 };
static const size_t start_size = 600001;
static const char *program;

/* ---- the bytes of each generation ------------------------------------------------------------ */

typedef struct model {
    uint64_t generation;
    size_t size;
    uint8_t *bytes; /* of ROOM_SIZE */
} model;

typedef struct edit {
    size_t offset, length, size;
    uint8_t *bytes; /* the caller's */
} edit;

/* The edit that makes a generation from the one before: some small ones, now and then a large one, back and forth. */
static edit edit_of(uint64_t generation, size_t before)
{
    random_state random = {generation};
    edit made = {.offset = random_below(&random, before), .length = 0, .size = 0, .bytes = NULL};
    if (generation % 8 == 2) {
        made.size = BIG;
    } else if (before > 2 * start_size) {
        made.offset = random_below(&random, before - BIG);
        made.length = generation % 8 == 6 ? BIG : 17;
        made.size = generation % 8 == 6 ? 0 : 17;
    } else {
        made.size = 1 + random_below(&random, 5000);
        made.length = made.size < before - made.offset ? made.size : before - made.offset;
    }
    made.bytes = random_bytes(made.size, generation);
    return made;
}

static void model_init(model *self)
{
    self->generation = 1;
    self->size = start_size;
    self->bytes = random_bytes(ROOM_SIZE, 1);
}

/* The model of the next generation. */
static void model_step(model *self)
{
    self->generation++;
    const edit next = edit_of(self->generation, self->size);
    CHECK(self->size + next.size <= ROOM_SIZE);
    memmove(self->bytes + next.offset + next.size, self->bytes + next.offset + next.length,
            self->size - next.offset - next.length);
    memcpy(self->bytes + next.offset, next.bytes, next.size);
    self->size = self->size + next.size - next.length;
    free(next.bytes);
}

/* The note of a generation is the digest of its bytes, by which a reader that has no model knows them. */
static void check_against_note(const atlas_container *container, uint64_t generation, uint8_t *room)
{
    uint8_t note[32], digest[32];
    size_t size = sizeof note;
    CHECK_OK(atlas_container_get_note(container, generation, note, &size));
    CHECK_EQ(size, 32);
    const atlas_generation_info info = generation_of(container, generation);
    CHECK(info.domain_size <= ROOM_SIZE);
    atlas_projection *snapshot = snapshot_of(container, generation, true);
    CHECK_OK(atlas_projection_read(snapshot, 0, room, (size_t)info.domain_size));
    atlas_projection_destroy(snapshot);
    atlas_digest256(room, (size_t)info.domain_size, digest);
    CHECK(memcmp(digest, note, 32) == 0);
}

/* ---- the children ------------------------------------------------------------------------------ */

static void commit_model(atlas_container *container, const atlas_projection *projection, const model *now)
{
    uint8_t digest[32];
    uint64_t generation = 0;
    atlas_commit_options options;
    atlas_commit_options_init(&options);
    atlas_digest256(now->bytes, now->size, digest);
    options.note = digest;
    options.note_size = sizeof digest;
    options.expected = now->generation - 1;
    CHECK_OK(atlas_container_commit(container, projection, &options, NULL, &generation));
    CHECK_EQ(generation, now->generation);
}

static void tell(uint64_t number) { CHECK(write(STDOUT_FILENO, &number, sizeof number) == sizeof number); }

/* Goes on from the generation that it finds until it is killed: edits, commits, tells; compacts now and then. */
static void write_until_killed(const char *path)
{
    atlas_container *container = opened(path, ATLAS_CONTAINER_WRITE);
    model now;
    model_init(&now);
    now.generation = info_of(container).newest;
    now.size = (size_t)generation_of(container, 0).domain_size;
    atlas_projection *projection = snapshot_of(container, 0, true);
    CHECK_OK(atlas_projection_read(projection, 0, now.bytes, now.size));
    tell(now.generation);
    for (;;) {
        const edit next = edit_of(now.generation + 1, now.size);
        replace(projection, next.offset, next.length, next.bytes, next.size);
        free(next.bytes);
        model_step(&now);
        commit_model(container, projection, &now);
        tell(now.generation);
        if (now.generation % KEPT == 0) {
            CHECK_OK(atlas_container_compact(container, NULL, now.generation - KEPT, NULL));
            atlas_projection_destroy(projection);
            projection = snapshot_of(container, 0, true);
        }
    }
}

/* Opens, reads and looks for more until its input ends. */
static void read_until_told(const char *path)
{
    uint8_t *room = random_bytes(ROOM_SIZE, 1);
    uint64_t last = 0, opened_files = 0, stop = 0;
    CHECK(fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) == 0);
    while (read(STDIN_FILENO, &stop, 1) != 0) {
        atlas_container *container = opened(path, ATLAS_CONTAINER_READ);
        for (int i = 0; i < 3; i++) {
            const atlas_container_info info = info_of(container);
            /* Commits that no slot confirms yet cannot be read behind the page cache each time. */
            CHECK(info.newest + (i == 0 ? 1 : 0) >= last);
            last = info.newest;
            check_against_note(container, last, room);
            check_against_note(container, info.oldest + (last + opened_files) % info.generation_count, room);
            uint64_t newest = 0;
            const int status = (int)atlas_container_refresh(container, NULL, &newest);
            if (status == ATLAS_STATUS_STATE) {
                /* Compaction dropped the generation that this handle was at. */
                atlas_container *now = opened(path, ATLAS_CONTAINER_READ);
                CHECK(info_of(now).oldest > last);
                atlas_container_destroy(now);
                break;
            }
            CHECK_STATUS(status, ATLAS_STATUS_OK);
            CHECK_EQ(newest, info_of(container).newest);
        }
        atlas_container_destroy(container);
        opened_files++;
    }
    free(room);
    CHECK(opened_files > 0);
}

/* Commits to a file system of 3 MiB until it is full, in a name space of its own. Ends with 77 if it gets none. */
static void fill_a_disk(const char *folder)
{
    char path[PATH_MAX];
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("atlas-test", folder, "tmpfs", 0, "size=3m") != 0) {
        _exit(77);
    }
    (void)snprintf(path, sizeof path, "%s/full.atlas", folder);
    model now;
    model_init(&now);
    atlas_container *container = created(path, 0, NULL, NULL);
    atlas_projection *projection = projected_bytes(now.bytes, now.size);
    CHECK_EQ(committed(container, projection), 1);
    atlas_projection_destroy(projection); /* it borrows the bytes, which the model changes */
    projection = snapshot_of(container, 0, true);
    int status = ATLAS_STATUS_OK;
    for (int i = 0; i < 1000 && status == ATLAS_STATUS_OK; i++) {
        const edit next = edit_of(now.generation + 1, now.size);
        replace(projection, next.offset, next.length, next.bytes, next.size);
        free(next.bytes);
        status = (int)atlas_container_commit(container, projection, NULL, NULL, NULL);
        if (status == ATLAS_STATUS_OK) {
            model_step(&now);
        }
    }
    CHECK_STATUS(status, ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, ENOSPC);
    CHECK(now.generation > 2);
    CHECK_EQ(info_of(container).newest, now.generation);
    CHECK_EQ(info_of(container).file_size, size_of_file(path));
    uint8_t *found = random_bytes(ROOM_SIZE, 1);
    atlas_projection *kept = snapshot_of(container, 0, true);
    CHECK_OK(atlas_projection_read(kept, 0, found, now.size));
    CHECK(memcmp(found, now.bytes, now.size) == 0);
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    /* There is no room for a compacted file either; the container stays. */
    CHECK_STATUS(atlas_container_compact(container, NULL, 0, NULL), ATLAS_STATUS_IO);
    CHECK_EQ(each_name(folder, NULL), 1);
    atlas_container_destroy(container);
    container = opened(path, ATLAS_CONTAINER_WRITE);
    CHECK_EQ(info_of(container).newest, now.generation);
    atlas_projection *again = snapshot_of(container, 0, true);
    CHECK_OK(atlas_projection_read(again, 0, found, now.size));
    CHECK(memcmp(found, now.bytes, now.size) == 0);
    atlas_projection_destroy(again);
    atlas_projection_destroy(kept);
    atlas_projection_destroy(projection);
    atlas_container_destroy(container);
    free(found);
    free(now.bytes);
}

/* ---- the parent -------------------------------------------------------------------------------- */

typedef struct child {
    pid_t pid;
    int end; /* of the pipe to it or from it */
} child;

/* Starts this program for a part. Its standard input or output is a pipe whose other end is kept. */
static child started(const char *part, const char *path, bool is_input)
{
    int ends[2];
    child made;
    CHECK(pipe(ends) == 0 && fflush(NULL) == 0);
    const int kept = is_input ? 1 : 0, given = 1 - kept;
    /* No later child keeps a pipe of this one open. */
    CHECK(fcntl(ends[kept], F_SETFD, FD_CLOEXEC) == 0);
    made.pid = fork();
    CHECK(made.pid >= 0);
    if (made.pid == 0) {
        if (dup2(ends[given], is_input ? STDIN_FILENO : STDOUT_FILENO) >= 0) {
            (void)close(ends[given]);
            (void)execl(program, program, part, path, (char *)NULL);
        }
        _exit(126);
    }
    CHECK(close(ends[given]) == 0);
    made.end = ends[kept];
    return made;
}

static int ended(pid_t pid)
{
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The last number that the writer told; `last` if it told none. Until its end, or for one number. */
static uint64_t told(const child *writer, uint64_t last, bool all)
{
    uint64_t number = last;
    ssize_t got = sizeof number;
    while (got == (ssize_t)sizeof number) {
        last = number;
        got = read(writer->end, &number, sizeof number);
        if (!all) {
            CHECK(got == (ssize_t)sizeof number);
            return number;
        }
    }
    CHECK(got == 0);
    return last;
}

static void sleep_microseconds(uint64_t time)
{
    (void)nanosleep(&(struct timespec){0, (long)(1000 * time)}, NULL);
}

static void killed(child *writer)
{
    int status = 0;
    CHECK(kill(writer->pid, SIGKILL) == 0);
    CHECK(waitpid(writer->pid, &status, 0) == writer->pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* A copy that is made by reading the file from its beginning to its end, whatever is written meanwhile. */
static void copy_file(const char *from, const char *to)
{
    uint8_t buffer[65536];
    const int input = open(from, O_RDONLY), output = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(input >= 0 && output >= 0);
    ssize_t got = 0;
    while ((got = read(input, buffer, sizeof buffer)) > 0) {
        CHECK(write(output, buffer, (size_t)got) == got);
    }
    CHECK(got == 0 && close(input) == 0 && close(output) == 0);
}

/* All generations that a file has are whole, the newest by the model too. Returns its number. */
static uint64_t check_file(const char *path, uint32_t mode, model *known, uint64_t least, uint64_t most,
                           uint8_t *room)
{
    atlas_container *container = opened(path, mode);
    const atlas_container_info info = info_of(container);
    CHECK(info.newest >= least);
    CHECK(info.newest <= most);
    CHECK_EQ(info.lost, 0);
    for (uint64_t number = info.oldest; number <= info.newest; number++) {
        check_against_note(container, number, room);
    }
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    if (known != NULL) {
        while (known->generation < info.newest) {
            model_step(known);
        }
        CHECK_EQ(known->generation, info.newest);
        CHECK_EQ(generation_of(container, 0).domain_size, known->size);
        atlas_projection *snapshot = snapshot_of(container, 0, true);
        CHECK_OK(atlas_projection_read(snapshot, 0, room, known->size));
        CHECK(memcmp(room, known->bytes, known->size) == 0);
        atlas_projection_destroy(snapshot);
    }
    atlas_container_destroy(container);
    return info.newest;
}

static void writers_are_killed(uint64_t rounds)
{
    char path[PATH_MAX], copy[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_path("killed.atlas"));
    (void)snprintf(copy, sizeof copy, "%s", temp_path("copy.atlas"));
    uint8_t *room = random_bytes(ROOM_SIZE, 1);
    random_state random = {77};
    model now;
    model_init(&now);
    atlas_container *container = created(path, 0, NULL, NULL), *second = NULL;
    atlas_projection *projection = projected_bytes(now.bytes, now.size);
    commit_model(container, projection, &now);
    atlas_projection_destroy(projection);
    atlas_container_destroy(container);
    const child readers[2] = {started("reader", path, true), started("reader", path, true)};
    uint64_t acknowledged = 1, later = 0, unseen = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        child writer = started("writer", path, false);
        /* Some are killed while they open. */
        if (round % 5 == 4) {
            sleep_microseconds(random_below(&random, 20000));
        } else {
            acknowledged = told(&writer, 0, false);
            CHECK(acknowledged >= now.generation && acknowledged <= now.generation + unseen);
            if (round % 5 == 0) {
                CHECK_STATUS(atlas_container_open(path, ATLAS_CONTAINER_WRITE, NULL, NULL, NULL, &second),
                             ATLAS_STATUS_STATE);
                CHECK_EQ(last_error().os_error, EAGAIN);
                CHECK(second == NULL);
            } else if (round % 5 == 1) {
                copy_file(path, copy);
                (void)check_file(copy, ATLAS_CONTAINER_READ, NULL, acknowledged, NONE, room);
                (void)check_file(copy, ATLAS_CONTAINER_WRITE, NULL, acknowledged, NONE, room);
                CHECK(unlink(copy) == 0);
            }
            for (uint64_t more = random_below(&random, 8); more > 0; more--) {
                acknowledged = told(&writer, 0, false);
            }
            sleep_microseconds(random_below(&random, 1 + random_below(&random, 30000)));
        }
        killed(&writer);
        acknowledged = told(&writer, acknowledged, true);
        CHECK(close(writer.end) == 0);
        /* By a reader or by the next writer, which cuts off what nobody acknowledged. */
        const uint32_t mode = round % 2 == 0 ? ATLAS_CONTAINER_READ : ATLAS_CONTAINER_WRITE;
        const uint64_t found = check_file(path, mode, &now, acknowledged, acknowledged + 1, room);
        later += found > acknowledged;
        /* A reader that cannot drop the page cache, which others read too, stays at the generation of a slot. */
        unseen = mode == ATLAS_CONTAINER_READ && found == acknowledged ? 1 : 0;
        acknowledged = found;
    }
    for (int i = 0; i < 2; i++) {
        CHECK(close(readers[i].end) == 0);
        CHECK_EQ(ended(readers[i].pid), 0);
    }
    printf("%llu kills, %llu generations, %llu of them committed and not yet told\n", (unsigned long long)rounds,
           (unsigned long long)now.generation, (unsigned long long)later);
    CHECK(now.generation > rounds);
    /* The next compaction removes the file of an interrupted one. */
    container = opened(path, ATLAS_CONTAINER_WRITE);
    CHECK_OK(atlas_container_compact(container, NULL, 0, NULL));
    atlas_container_destroy(container);
    CHECK_EQ(temp_names(), 1);
    CHECK(unlink(path) == 0);
    free(now.bytes);
    free(room);
}

static void a_disk_is_full(void)
{
    const char *folder = temp_path("disk");
    CHECK(mkdir(folder, 0700) == 0);
    child filler = started("full", folder, true);
    const int status = ended(filler.pid);
    CHECK(close(filler.end) == 0);
    if (status == 77) {
        printf("no tmpfs could be mounted for a full disk\n");
    } else {
        CHECK_EQ(status, 0);
    }
    CHECK(rmdir(folder) == 0);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3) {
        if (strcmp(argv[1], "writer") == 0) {
            write_until_killed(argv[2]);
        } else if (strcmp(argv[1], "reader") == 0) {
            read_until_told(argv[2]);
        } else {
            fill_a_disk(argv[2]);
        }
        return 0;
    }
    const char *asked = argc == 2 ? argv[1] : getenv("ATLAS_CONTAINER_ROUNDS");
    const uint64_t rounds = asked != NULL ? strtoull(asked, NULL, 10) : small_run() ? 5 : 30;
    CHECK(rounds > 0);
    writers_are_killed(rounds);
    a_disk_is_full();
    CHECK_EQ(temp_names(), 0);
    return 0;
}
