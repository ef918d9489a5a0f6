/* Callbacks that take their time, call the library themselves, fork, or end their thread: no call waits without need, and
 * the process lives on. */
#define _GNU_SOURCE 1
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define SIZE (6 * TILE)

static uint8_t *bytes;

static double seconds(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void nap(long milliseconds)
{
    const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* A hang is a failure with a line, and not the end of the time that the whole test has. */
static void in_child(const char *name, int (*body)(void))
{
    CHECK(fflush(NULL) == 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)alarm(small_run() ? 200 : 30);
        _exit(body());
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "%s: %s %d\n", name, WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        exit(1);
    }
}

/* ---- a callback that holds a lock and calls the library ---------------------------------------- */

static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool holds_lock;
static atlas_pool *other_pool;
static atlas_shard *some_shard;

/* The host's lock is not recursive: it is a hang if this is called again on the stack of a call that it made. */
static int read_under_a_lock(void *pool, uint64_t offset, void *buffer, size_t size)
{
    (void)pool;
    if (holds_lock) {
        _exit(3);
    }
    CHECK(pthread_mutex_lock(&host_lock) == 0);
    holds_lock = true;
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = other_pool;
    CHECK_OK(atlas_shard_verify(some_shard, NULL, &operation));
    holds_lock = false;
    CHECK(pthread_mutex_unlock(&host_lock) == 0);
    memcpy(buffer, bytes + offset, size);
    return 0;
}

static atlas_pool *shared_pool;

/* More calls on one pool than it has threads, so that some of their work waits for one. */
static void *create_on_the_shared_pool(void *unused)
{
    (void)unused;
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = shared_pool;
    for (int again = 0; again < 5; again++) {
        atlas_source *source = NULL;
        atlas_projection *made = NULL;
        CHECK_OK(atlas_source_from_callback(SIZE, read_under_a_lock, NULL, NULL, &source));
        CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &made));
        atlas_projection_destroy(made);
        atlas_source_destroy(source);
    }
    return NULL;
}

static int calls_with_another_pool(void)
{
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    some_shard = extracted(projection, 0, SIZE);
    CHECK_OK(atlas_pool_create(2, &shared_pool));
    for (int round = 0; round < 2; round++) {
        /* The library's own pool in the second round. */
        if (round == 0) {
            CHECK_OK(atlas_pool_create(2, &other_pool));
        }
        pthread_t threads[4];
        for (size_t i = 0; i < 4; i++) {
            CHECK(pthread_create(&threads[i], NULL, create_on_the_shared_pool, NULL) == 0);
        }
        for (size_t i = 0; i < 4; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
        }
        atlas_pool_destroy(other_pool);
        other_pool = NULL;
    }
    atlas_pool_destroy(shared_pool);
    atlas_shard_destroy(some_shard);
    atlas_projection_destroy(projection);
    return 0;
}

/* ---- callbacks that wait for a call of another thread ------------------------------------------ */

static pthread_mutex_t verified_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t verified_now = PTHREAD_COND_INITIALIZER;
static bool verified;

static int read_when_verified(void *unused, uint64_t offset, void *buffer, size_t size)
{
    (void)unused;
    CHECK(pthread_mutex_lock(&verified_lock) == 0);
    while (!verified) {
        CHECK(pthread_cond_wait(&verified_now, &verified_lock) == 0);
    }
    CHECK(pthread_mutex_unlock(&verified_lock) == 0);
    memcpy(buffer, bytes + offset, size);
    return 0;
}

static int read_slowly(void *unused, uint64_t offset, void *buffer, size_t size)
{
    (void)unused;
    nap(1500);
    memcpy(buffer, bytes + offset, size);
    return 0;
}

static void *create(void *read_at)
{
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(SIZE, *(atlas_read_at_fn *)read_at, NULL, NULL, &source));
    atlas_projection *projection = projected(source, NULL);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    return NULL;
}

static double verify_beside(atlas_read_at_fn read_at)
{
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    atlas_shard *shard = extracted(projection, 0, SIZE);
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, create, &read_at) == 0);
    }
    nap(300);
    const double begun = seconds();
    CHECK_OK(atlas_shard_verify(shard, NULL, NULL));
    const double took = seconds() - begun;
    CHECK(pthread_mutex_lock(&verified_lock) == 0);
    verified = true;
    CHECK(pthread_cond_broadcast(&verified_now) == 0 && pthread_mutex_unlock(&verified_lock) == 0);
    for (size_t i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    return took;
}

static int waits_for_no_callback(void)
{
    (void)verify_beside(read_when_verified);
    return 0;
}

static int is_not_slowed_by_callbacks(void)
{
    const double took = verify_beside(read_slowly);
    if (took > 1.0 && !small_run()) {
        fprintf(stderr, "a verification beside two slow sources took %.2f s\n", took);
        return 1;
    }
    return 0;
}

/* ---- fork in a callback ------------------------------------------------------------------------ */

static pid_t forked = -1;
static int child_waits[2] = {-1, -1}; /* A pipe: the child continues once it has a byte. */

static bool fork_once(const atlas_progress *progress, void *unused)
{
    (void)progress;
    (void)unused;
    if (forked == -1) {
        forked = fork();
        CHECK(forked >= 0);
        if (forked == 0) {
            (void)alarm(20);
            char byte;
            CHECK(child_waits[0] < 0 || read(child_waits[0], &byte, 1) == 1);
        }
    }
    return true;
}

static int forks_in_progress(void)
{
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = fork_once;
    atlas_source *source = borrowed(bytes, SIZE);
    atlas_projection *projection = NULL;
    const atlas_status status =
        atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection);
    if (forked == 0) {
        /* The call is the parent's. */
        const bool told = status == ATLAS_STATUS_STATE && projection == NULL;
        atlas_projection *fresh = projected_bytes(bytes, SIZE);
        atlas_projection_destroy(fresh);
        _exit(told ? 0 : 1);
    }
    CHECK_STATUS(status, ATLAS_STATUS_OK);
    int ended = 0;
    CHECK(waitpid(forked, &ended, 0) == forked);
    CHECK(WIFEXITED(ended));
    CHECK_EQ(WEXITSTATUS(ended), 0);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    return 0;
}

static pthread_t caller;

static int read_and_fork(void *unused, uint64_t offset, void *buffer, size_t size)
{
    (void)unused;
    memcpy(buffer, bytes + offset, size);
    /* The other threads have earlier tasks by then, and not yet their results. */
    nap(pthread_equal(caller, pthread_self()) ? 20 : 100);
    if (pthread_equal(caller, pthread_self()) && offset != 0) {
        (void)fork_once(NULL, NULL);
    }
    return 0;
}

static int wait_for_the_child(void)
{
    int ended = 0;
    CHECK(forked > 0 && waitpid(forked, &ended, 0) == forked);
    if (!WIFEXITED(ended) || WEXITSTATUS(ended) != 0) {
        fprintf(stderr, "the child ended with %s %d\n", WIFEXITED(ended) ? "status" : "signal",
                WIFEXITED(ended) ? WEXITSTATUS(ended) : WTERMSIG(ended));
        return 1;
    }
    return 0;
}

static int forks_in_a_read(void)
{
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        atlas_operation operation;
        atlas_operation_init(&operation);
        atlas_pool *pool = NULL;
        CHECK_OK(atlas_pool_create(threads, &pool));
        operation.pool = pool;
        atlas_source *source = NULL;
        atlas_projection *projection = NULL;
        CHECK_OK(atlas_source_from_callback(SIZE, read_and_fork, NULL, NULL, &source));
        forked = -1;
        caller = pthread_self();
        const atlas_status status =
            atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection);
        if (forked == 0) {
            _exit(status == ATLAS_STATUS_STATE && projection == NULL ? 0 : 1);
        }
        CHECK_STATUS(status, ATLAS_STATUS_OK);
        /* On some runs the threads of the pool read all of it. */
        if (forked > 0 && wait_for_the_child() != 0) {
            return 1;
        }
        atlas_projection_destroy(projection);
        atlas_source_destroy(source);
        atlas_pool_destroy(pool);
    }
    return 0;
}

/* The child's answer, false, must not make it undo the work of the parent. */
static bool fork_and_cancel(const atlas_progress *progress, void *unused)
{
    return fork_once(progress, unused) && forked != 0;
}

static int forks_in_calls_on_files(void)
{
    const char *path = temp_path("forked.atlas"), *target = temp_path("target.atlas");
    atlas_operation operation;
    atlas_operation_init(&operation);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(1, &pool));
    operation.pool = pool;
    atlas_source *source = borrowed(bytes, SIZE);
    atlas_container *container = NULL, *made = NULL;
    CHECK_OK(atlas_container_create(path, ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL, &container));
    CHECK_OK(atlas_container_import(container, source, NULL, 0, NULL, NULL, NULL));
    bytes[0]++;
    atlas_projection *projection = projected(source, NULL);
    const atlas_container *parts[1] = {container};
    for (int step = 0; step < 10; step++) {
        forked = -1;
        operation.progress = step % 2 == 0 ? fork_and_cancel : fork_once;
        atlas_status status = ATLAS_STATUS_OK;
        switch (step / 2) {
        case 0: status = atlas_container_commit(container, projection, NULL, &operation, NULL); break;
        case 1: status = atlas_container_import(container, source, NULL, 0, NULL, &operation, NULL); break;
        case 2:
            CHECK(pipe(child_waits) == 0);
            status = atlas_container_compact(container, target, 0, &operation);
            if (forked == 0) {
                break;
            }
            /* The child has the new file open, and not its lock. */
            CHECK_STATUS(status, ATLAS_STATUS_OK);
            CHECK_OK(atlas_container_open(target, ATLAS_CONTAINER_WRITE, NULL, NULL, NULL, &made));
            atlas_container_destroy(made);
            made = NULL;
            CHECK(write(child_waits[1], "x", 1) == 1 && close(child_waits[0]) == 0 && close(child_waits[1]) == 0);
            child_waits[0] = -1;
            break;
        case 3: status = atlas_container_compact(container, NULL, 0, &operation); break;
        default: status = atlas_container_merge(parts, 1, target, NULL, NULL, &operation, &made);
        }
        if (forked == 0) {
            atlas_container_destroy(container);
            _exit(status == ATLAS_STATUS_STATE && made == NULL ? 0 : 1);
        }
        CHECK_STATUS(status, ATLAS_STATUS_OK);
        if (wait_for_the_child() != 0) {
            fprintf(stderr, "in step %d\n", step);
            return 1;
        }
        if (step / 2 == 2 || step / 2 == 4) {
            atlas_container_destroy(made);
            made = NULL;
            CHECK_OK(atlas_container_open(target, ATLAS_CONTAINER_READ, NULL, NULL, NULL, &made));
            CHECK_OK(atlas_container_find_damage(made, 0, NULL, NULL, NULL));
            atlas_container_destroy(made);
            made = NULL;
            CHECK(unlink(target) == 0);
        }
        CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
        /* The lock is still the parent's. */
        CHECK_STATUS(atlas_container_open(path, ATLAS_CONTAINER_WRITE, NULL, NULL, NULL, &made), ATLAS_STATUS_STATE);
        CHECK_EQ(temp_names(), 1);
    }
    atlas_container_destroy(container);
    CHECK_OK(atlas_container_open(path, ATLAS_CONTAINER_WRITE, NULL, NULL, NULL, &container));
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, NULL));
    atlas_container_destroy(container);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    atlas_pool_destroy(pool);
    CHECK(unlink(path) == 0);
    return 0;
}

/* ---- callbacks that end their thread ------------------------------------------------------------ */

static int read_and_exit(void *unused, uint64_t offset, void *buffer, size_t size)
{
    (void)unused;
    (void)offset;
    (void)buffer;
    (void)size;
    pthread_exit(NULL);
}

static bool report_and_exit(const atlas_progress *progress, void *unused)
{
    (void)progress;
    (void)unused;
    pthread_exit(NULL);
}

static void release_and_exit(void *count)
{
    (*(int *)count)++;
    pthread_exit(NULL);
}

static void *end_in_callbacks(void *count)
{
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_source_from_callback(SIZE, read_and_exit, release_and_exit, count, &source));
    CHECK_STATUS(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection),
                 ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, ECANCELED);
    atlas_source_destroy(source);
    CHECK_EQ(*(int *)count, 1);
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = report_and_exit;
    source = borrowed(bytes, SIZE);
    CHECK_STATUS(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection),
                 ATLAS_STATUS_CANCELLED);
    atlas_source_destroy(source);
    (*(int *)count)++;
    return NULL;
}

static int exits_are_stopped(void)
{
    for (int i = 0; i < 3; i++) {
        int count = 0;
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, end_in_callbacks, &count) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK_EQ(count, 2);
    }
    return 0;
}

static volatile bool reading;

static int read_and_wait(void *unused, uint64_t offset, void *buffer, size_t size)
{
    (void)unused;
    reading = true;
    nap(300);
    memcpy(buffer, bytes + offset, size);
    return 0;
}

static void *create_and_sleep(void *done)
{
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(SIZE, read_and_wait, NULL, NULL, &source));
    atlas_projection *projection = projected(source, NULL);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    *(bool *)done = true;
    for (;;) {
        pause();
    }
    return NULL;
}

static void *cancelled_at_any_time(void *unused)
{
    (void)unused;
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    for (;;) {
        uint8_t root[32];
        (void)atlas_projection_root(projection, NULL, root);
        (void)atlas_projection_verify(projection, NULL);
        (void)atlas_projection_write_file(projection, temp_path("written"), NULL);
        pthread_testcancel();
    }
    return NULL;
}

static int cancellations_wait_for_the_end(void)
{
    bool done = false;
    pthread_t thread;
    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, create_and_sleep, &done) == 0);
    while (!reading) {
        nap(1);
    }
    CHECK(pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && done);
    for (long i = 1; i < 10; i++) {
        CHECK(pthread_create(&thread, NULL, cancelled_at_any_time, NULL) == 0);
        nap(10 * i);
        CHECK(pthread_cancel(thread) == 0);
        CHECK(pthread_join(thread, &result) == 0);
        CHECK(result == PTHREAD_CANCELED);
    }
    return 0;
}

/* ---- threads that are bound to a core ------------------------------------------------------------ */

#ifdef __linux__
static int one_bound_thread_does_not_decide(void)
{
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    const int cores = CPU_COUNT(&all);
    CPU_ZERO(&one);
    for (size_t core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; core++) {
        if (CPU_ISSET(core, &all)) {
            CPU_SET(core, &one);
        }
    }
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(0, &pool));
    CHECK_EQ(atlas_pool_threads(pool), 1);
    atlas_pool_destroy(pool);
    atlas_projection *projection = projected_bytes(bytes, SIZE);
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
    nap(1100);
    CHECK_OK(atlas_pool_create(0, &pool));
    CHECK_EQ(atlas_pool_threads(pool), built_in(ATLAS_FEATURE_PARALLEL) ? cores : 1);
    atlas_pool_destroy(pool);
    CHECK_OK(atlas_projection_verify(projection, NULL));
    const size_t threads = thread_count();
    CHECK(cores == 1 || threads == 0 || !built_in(ATLAS_FEATURE_PARALLEL) || threads == (size_t)cores + 1);
    atlas_projection_destroy(projection);
    return 0;
}
#endif

static const struct {
    const char *name;
    int (*body)(void);
} parts[] = {
    {"a callback that calls with another pool", calls_with_another_pool},
    {"a call beside callbacks that wait for it", waits_for_no_callback},
    {"a call beside slow callbacks", is_not_slowed_by_callbacks},
    {"fork in a progress callback", forks_in_progress},
    {"fork in a read callback", forks_in_a_read},
    {"fork in a call that writes a file", forks_in_calls_on_files},
    {"pthread_exit in callbacks", exits_are_stopped},
    {"pthread_cancel of threads in calls", cancellations_wait_for_the_end},
#ifdef __linux__
    {"threads that are bound to a core", one_bound_thread_does_not_decide},
#endif
};

int main(int argc, char **argv)
{
    bytes = random_bytes(SIZE, 3);
    CHECK(temp_names() == 0);
    for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
        if (argc < 2 || strtoul(argv[1], NULL, 10) == part) {
            in_child(parts[part].name, parts[part].body);
        }
    }
    free(bytes);
    return 0;
}
