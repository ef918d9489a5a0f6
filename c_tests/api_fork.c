/* fork: the child has threads of its own on demand, the caller's pool says STATE there, and the
 * parent goes on. Every child has an alarm, since a failure here is a hang. */
#include "check.h"

#include "container.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { REGIONS = 24 };
static const size_t size = 6 * TILE + 5;
static uint8_t *data;
static atlas_projection *projection;
static atlas_region regions[REGIONS];
static uint8_t root[32], r96_root[32];

/* The same domain as R96, or the beginning of it where everything is slow. */
static bool transform(const atlas_operation *operation, uint8_t *found)
{
    atlas_source *source = borrowed(data, small_run() ? TILE + 5 : size);
    atlas_projection *made = NULL;
    const bool good =
        atlas_projection_create(ATLAS_PROJECTION_R96_FOURIER, source, NULL, operation, &made) ==
            ATLAS_STATUS_OK &&
        atlas_projection_root(made, operation, found) == ATLAS_STATUS_OK;
    atlas_projection_destroy(made);
    atlas_source_destroy(source);
    return good;
}

/* Work that wakes every thread of the pool. */
static bool work(const atlas_pool *pool)
{
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    atlas_source *source = borrowed(data, size);
    atlas_projection *made = NULL;
    atlas_shard *shards[REGIONS];
    uint8_t found[32];
    bool good =
        atlas_projection_create(0, source, NULL, &operation, &made) == ATLAS_STATUS_OK &&
        atlas_projection_root(made, &operation, found) == ATLAS_STATUS_OK &&
        memcmp(found, root, 32) == 0 && transform(&operation, found) &&
        memcmp(found, r96_root, 32) == 0 &&
        atlas_projection_verify(made, &operation) == ATLAS_STATUS_OK &&
        atlas_shard_extract_batch(made, regions, REGIONS, NULL, &operation, shards) ==
            ATLAS_STATUS_OK;
    for (size_t i = 0; good && i < REGIONS; i++) {
        const uint8_t *bytes = NULL;
        size_t count = 0;
        good = atlas_shard_data(shards[i], &bytes, &count) == ATLAS_STATUS_OK &&
               count == regions[i].length && memcmp(bytes, data + regions[i].offset, count) == 0;
        atlas_shard_destroy(shards[i]);
    }
    atlas_projection_destroy(made);
    atlas_source_destroy(source);
    return good;
}

/* A pool of one thread, which never had a thread, is from before the fork all the same. */
static atlas_pool *one_thread;

static int child(atlas_pool *pool)
{
    (void)alarm(60);
    /* The parent's handles are here too, and nobody was inside of them. */
    atlas_shard *shards[REGIONS];
    if (!work(NULL) || atlas_projection_verify(projection, NULL) != ATLAS_STATUS_OK) {
        return 1;
    }
    /* Its threads are its own: fork left it one. */
    if (built_in(ATLAS_FEATURE_PARALLEL) && thread_count() == 1 && sysconf(_SC_NPROCESSORS_ONLN) > 1) {
        return 10;
    }
    if (pool != NULL) {
        atlas_operation operation;
        atlas_operation_init(&operation);
        operation.pool = pool;
        if (atlas_projection_verify(projection, &operation) != ATLAS_STATUS_STATE) {
            return 2;
        }
        size_t count = 0;
        if (atlas_projection_find_damage(projection, NULL, 0, NULL, NULL, &operation) != ATLAS_STATUS_STATE ||
            atlas_projection_diff(projection, projection, &operation, NULL, &count) != ATLAS_STATUS_STATE) {
            return 12;
        }
        memset(shards, 0xA5, sizeof shards);
        if (atlas_shard_extract_batch(projection, regions, REGIONS, NULL, &operation, shards) !=
                ATLAS_STATUS_STATE ||
            !all_bytes(shards, sizeof shards, 0) || last_error().status != ATLAS_STATUS_STATE) {
            return 3;
        }
        const atlas_region region = {0, 100};
        atlas_shard *shard = NULL;
        if (atlas_shard_extract(projection, &region, &operation, &shard) != ATLAS_STATUS_STATE) {
            return 4;
        }
        atlas_pool_destroy(pool);
    }
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = one_thread;
    if (built_in(ATLAS_FEATURE_PARALLEL) &&
        atlas_projection_verify(projection, &operation) != ATLAS_STATUS_STATE) {
        return 11;
    }
    atlas_pool_destroy(one_thread);
    atlas_pool *own = NULL;
    if (atlas_pool_create(2, &own) != ATLAS_STATUS_OK || !work(own)) {
        return 5;
    }
    atlas_pool_destroy(own);
    if (!work(NULL)) {
        return 6;
    }
    atlas_projection_destroy(projection);
    return 0;
}

static void wait_for(pid_t pid)
{
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(!(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM));
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static void fork_once(atlas_pool *pool)
{
    CHECK(fflush(NULL) == 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(child(built_in(ATLAS_FEATURE_PARALLEL) ? pool : NULL)); /* or no thread is left behind */
    }
    wait_for(pid);
}

/* A child of a child has to notice a second time. */
static void fork_twice(void)
{
    CHECK(fflush(NULL) == 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)alarm(60);
        atlas_pool *pool = NULL;
        if (!work(NULL) || atlas_pool_create(2, &pool) != ATLAS_STATUS_OK || !work(pool)) {
            _exit(7);
        }
        const pid_t second = fork();
        if (second == 0) {
            _exit(child(built_in(ATLAS_FEATURE_PARALLEL) ? pool : NULL));
        }
        int status = 0;
        if (waitpid(second, &status, 0) != second || !WIFEXITED(status)) {
            _exit(8);
        }
        atlas_pool_destroy(pool);
        _exit(work(NULL) ? WEXITSTATUS(status) : 9);
    }
    wait_for(pid);
}

/* A child with the process id of `dead`, whose copy of the pool has threads nowhere: 0 if it noticed. */
static int child_with_the_id_of(pid_t dead, atlas_pool *pool)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        FILE *last = fopen("/proc/sys/kernel/ns_last_pid", "w");
        if (last == NULL) {
            return 77; /* the system lets nobody choose */
        }
        const bool chosen = fprintf(last, "%ld", (long)dead - 1) > 0;
        if (fclose(last) != 0 || !chosen) {
            return 77;
        }
        const pid_t pid = fork();
        if (pid == 0) {
            (void)alarm(60);
            if (getpid() != dead) {
                _exit(78);
            }
            atlas_operation operation;
            atlas_operation_init(&operation);
            operation.pool = pool;
            if (atlas_projection_verify(projection, &operation) != ATLAS_STATUS_STATE) {
                _exit(14);
            }
            atlas_pool_destroy(pool);
            _exit(work(NULL) ? 0 : 15);
        }
        int status = 0;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
            return 16;
        }
        if (WEXITSTATUS(status) != 78) {
            return WEXITSTATUS(status);
        }
    }
    return 77; /* another process took the number each time */
}

/* A grandchild that has its dead grandparent's process id must not take the threads of that one's pools
 * for its own. */
static void a_process_id_comes_again(void)
{
    int result[2];
    CHECK(pipe(result) == 0 && fflush(NULL) == 0);
    const pid_t first = fork();
    CHECK(first >= 0);
    if (first == 0) {
        (void)alarm(60);
        atlas_pool *pool = NULL;
        if (!work(NULL) || atlas_pool_create(3, &pool) != ATLAS_STATUS_OK || !work(pool)) {
            _exit(7);
        }
        const pid_t dead = getpid(), second = fork();
        if (second == 0) {
            (void)alarm(120);
            while (kill(dead, 0) == 0) {
                (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
            }
            const unsigned char found = (unsigned char)child_with_the_id_of(dead, pool);
            _exit(write(result[1], &found, 1) == 1 ? 0 : 1);
        }
        _exit(second > 0 ? 0 : 8);
    }
    wait_for(first);
    CHECK(close(result[1]) == 0);
    unsigned char found = 99;
    CHECK(read(result[0], &found, 1) == 1);
    CHECK(close(result[0]) == 0);
    if (found == 77) {
        printf("no process id could be had again\n");
    } else {
        CHECK_EQ(found, 0);
    }
}

/* Other threads are inside of the library at the fork, with handles of their own. */
typedef struct busy {
    pthread_mutex_t lock;
    bool stop, failed;
} busy;

static void *keep_busy(void *argument)
{
    busy *self = (busy *)argument;
    for (bool stop = false; !stop;) {
        const bool good = work(NULL);
        (void)pthread_mutex_lock(&self->lock);
        self->failed = self->failed || !good;
        stop = self->stop;
        (void)pthread_mutex_unlock(&self->lock);
    }
    return NULL;
}

static void fork_while_others_work(void)
{
    busy self;
    memset(&self, 0, sizeof self);
    CHECK(pthread_mutex_init(&self.lock, NULL) == 0);
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, keep_busy, &self) == 0);
    }
    for (int i = 0; i < (small_run() ? 2 : 10); i++) {
        fork_once(NULL);
    }
    (void)pthread_mutex_lock(&self.lock);
    self.stop = true;
    (void)pthread_mutex_unlock(&self.lock);
    for (size_t i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(!self.failed);
}

/* A file under construction belongs to the process that began it: the child neither writes to it nor names
 * it. */
static int child_of_files(atlas_stream *stream, atlas_reconstruction *rebuilt, const atlas_shard *shard)
{
    (void)alarm(60);
    atlas_projection *made = NULL;
    if (atlas_reconstruction_add(rebuilt, shard, NULL) != ATLAS_STATUS_STATE ||
        atlas_reconstruction_finish(rebuilt, NULL, &made) == ATLAS_STATUS_OK || made != NULL) {
        return 12;
    }
    /* The first bytes wait for a chunk, wherever that goes. */
    if (stream != NULL && (atlas_stream_push(stream, data, 100) != ATLAS_STATUS_OK ||
                           atlas_stream_finish(stream, &made) != ATLAS_STATUS_STATE || made != NULL)) {
        return 13;
    }
    atlas_stream_destroy(stream);
    atlas_reconstruction_destroy(rebuilt);
    return 0;
}

static void fork_with_files(void)
{
    const char *streamed = temp_path("fork-streamed.bin"), *rebuilt_path = temp_path("fork-rebuilt.bin");
    const atlas_region halves[2] = {{0, 3 * TILE}, {3 * TILE, size - 3 * TILE}};
    atlas_shard *shards[2];
    CHECK_OK(atlas_shard_extract_batch(projection, halves, 2, NULL, NULL, shards));
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = rebuilt_path;
    atlas_reconstruction *rebuilt = NULL;
    CHECK_OK(atlas_reconstruction_create(&options, &rebuilt));
    CHECK_OK(atlas_reconstruction_add(rebuilt, shards[1], NULL));
    atlas_stream *stream = NULL;
    if (built_in(ATLAS_FEATURE_STREAMING)) {
        CHECK_OK(atlas_stream_open_push(0, streamed, NULL, NULL, NULL, &stream));
        CHECK_OK(atlas_stream_push(stream, data, TILE + 7));
    }
    CHECK(fflush(NULL) == 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(child_of_files(stream, rebuilt, shards[0]));
    }
    wait_for(pid);
    uint8_t found[32];
    atlas_projection *made = NULL;
    CHECK_OK(atlas_reconstruction_add(rebuilt, shards[0], NULL));
    CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &made));
    root_of(made, found);
    CHECK(memcmp(found, root, 32) == 0);
    atlas_projection_destroy(made);
    atlas_reconstruction_destroy(rebuilt);
    if (stream != NULL) {
        CHECK_OK(atlas_stream_push(stream, data + TILE + 7, size - TILE - 7));
        CHECK_OK(atlas_stream_finish(stream, &made));
        root_of(made, found);
        CHECK(memcmp(found, root, 32) == 0);
        atlas_projection_destroy(made);
        atlas_stream_destroy(stream);
    }
    atlas_shard_destroy(shards[0]);
    atlas_shard_destroy(shards[1]);
    CHECK_EQ(temp_names(), stream != NULL ? 2 : 1);
}

/* In a child a container of the parent can be destroyed, and its snapshots read: nothing else. */
static int child_of_a_container(atlas_container *container, atlas_projection *snapshot, const char *path)
{
    (void)alarm(60);
    uint8_t found[1000];
    uint64_t number = 7;
    atlas_projection *made = snapshot;
    atlas_container *other = container;
    const char *target = temp_path("fork-target.atlas");
    atlas_source *source = borrowed(data, 1000);
    if (atlas_projection_read(snapshot, TILE - 500, found, 1000) != ATLAS_STATUS_OK ||
        memcmp(found, data + TILE - 500, 1000) != 0 ||
        atlas_projection_verify(snapshot, NULL) != ATLAS_STATUS_OK) {
        return 20;
    }
    atlas_container_info info = {.struct_size = (uint32_t)sizeof info};
    atlas_generation_info generation = {.struct_size = (uint32_t)sizeof generation};
    size_t note = 0;
    if (atlas_container_get_info(container, &info) != ATLAS_STATUS_STATE ||
        atlas_container_get_generation(container, 1, &generation) != ATLAS_STATUS_STATE ||
        atlas_container_get_note(container, 1, NULL, &note) != ATLAS_STATUS_STATE) {
        return 25;
    }
    if (atlas_container_commit(container, snapshot, NULL, NULL, &number) != ATLAS_STATUS_STATE || number != 0 ||
        strstr(atlas_last_error_message(), "fork") == NULL ||
        atlas_container_import(container, source, NULL, 0, NULL, NULL, NULL) != ATLAS_STATUS_STATE ||
        atlas_container_refresh(container, NULL, NULL) != ATLAS_STATUS_STATE ||
        atlas_container_set_base(container, source) != ATLAS_STATUS_STATE ||
        atlas_container_compact(container, NULL, 0, NULL) != ATLAS_STATUS_STATE ||
        atlas_container_compact(container, target, 0, NULL) != ATLAS_STATUS_STATE || exists(target) ||
        atlas_container_find_damage(container, 0, NULL, NULL, NULL) != ATLAS_STATUS_STATE ||
        atlas_container_snapshot(container, 0, 0, NULL, &made) != ATLAS_STATUS_STATE || made != NULL) {
        return 21;
    }
    /* A handle of its own reads; the parent's lock is the parent's. */
    if (atlas_container_open(path, ATLAS_CONTAINER_WRITE, NULL, NULL, NULL, &other) != ATLAS_STATUS_STATE ||
        other != NULL ||
        atlas_container_open(path, ATLAS_CONTAINER_READ, NULL, NULL, NULL, &other) != ATLAS_STATUS_OK ||
        atlas_container_find_damage(other, 0, NULL, NULL, NULL) != ATLAS_STATUS_OK) {
        return 22;
    }
    atlas_container_destroy(other);
    atlas_container_destroy(container);
    if (atlas_projection_read(snapshot, 0, found, 1000) != ATLAS_STATUS_OK || memcmp(found, data, 1000) != 0) {
        return 23;
    }
    atlas_projection_destroy(snapshot);
    /* That the child closed unlocked nothing. */
    if (atlas_container_open(path, ATLAS_CONTAINER_WRITE, NULL, NULL, NULL, &other) != ATLAS_STATUS_STATE) {
        return 24;
    }
    atlas_source_destroy(source);
    return 0;
}

static void fork_with_a_container(void)
{
    const char *path = temp_path("fork.atlas");
    atlas_container *container = created(path, 0, NULL, NULL);
    CHECK_EQ(committed(container, projection), 1);
    atlas_projection *snapshot = snapshot_of(container, 0, true);
    CHECK(fflush(NULL) == 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(child_of_a_container(container, snapshot, path));
    }
    wait_for(pid);
    atlas_container *other = NULL;
    CHECK_STATUS(atlas_container_open(path, ATLAS_CONTAINER_WRITE, NULL, NULL, NULL, &other), ATLAS_STATUS_STATE);
    replace(snapshot, 5, 1, "x", 1);
    CHECK_EQ(committed(container, snapshot), 2);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);

    /* A process that ends without destroy leaves the lock to a child that lives on. */
    int held[2];
    CHECK(pipe(held) == 0);
    const pid_t parent = fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        (void)alarm(60);
        (void)opened(path, ATLAS_CONTAINER_WRITE);
        if (fork() == 0) {
            (void)alarm(60);
            (void)close(held[1]);
            unsigned char byte = 0;
            _exit(read(held[0], &byte, 1) == 0 ? 0 : 1); /* until this program closes its end */
        }
        _exit(0);
    }
    wait_for(parent);
    CHECK_STATUS(atlas_container_open(path, ATLAS_CONTAINER_WRITE, NULL, NULL, NULL, &other), ATLAS_STATUS_STATE);
    CHECK_EQ(last_error().os_error, EAGAIN);
    CHECK(close(held[0]) == 0 && close(held[1]) == 0);
    int status = ATLAS_STATUS_STATE;
    for (int i = 0; i < 3000 && status == ATLAS_STATUS_STATE; i++) {
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
        status = (int)atlas_container_open(path, ATLAS_CONTAINER_WRITE, NULL, NULL, NULL, &other);
    }
    CHECK_STATUS(status, ATLAS_STATUS_OK);
    CHECK_EQ(info_of(other).newest, 2);
    atlas_container_destroy(other);
    CHECK(unlink(path) == 0);
}

int main(void)
{
    (void)alarm(300);
    data = random_bytes(size, 101);
    random_state random = {102};
    for (size_t i = 0; i < REGIONS; i++) {
        regions[i].offset = random_below(&random, size - 300000);
        regions[i].length = 1 + random_below(&random, 300000);
    }
    projection = projected_bytes(data, size);
    root_of(projection, root);
    CHECK(transform(NULL, r96_root));
    CHECK(work(NULL));
    CHECK_OK(atlas_pool_create(1, &one_thread));
    fork_once(NULL);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(3, &pool));
    fork_once(pool); /* whose threads have not worked yet */
    CHECK(work(pool));
    fork_once(pool);
    TEST(fork_twice);
    if (built_in(ATLAS_FEATURE_PARALLEL)) {
        TEST(a_process_id_comes_again);
    }
    TEST(fork_with_files);
    TEST(fork_with_a_container);
    CHECK(work(pool) && work(NULL));
    TEST(fork_while_others_work);
    CHECK(work(pool) && work(NULL) && work(one_thread));
    atlas_pool_destroy(one_thread);
    atlas_pool_destroy(pool);
    CHECK(work(NULL));
    atlas_projection_destroy(projection);
    free(data);
    return 0;
}
