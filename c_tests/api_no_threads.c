/* The system starts no thread: a call on the library's own pool does its work on the calling thread.
 *
 * The program's own pthread_create comes before that of the C library, also for the library. */
#define _GNU_SOURCE 1
#include "check.h"

#ifndef __GLIBC__
int main(void) { skip("a function of glibc is needed to stand behind this one"); }
#else

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>

static volatile bool no_threads;
static volatile long refused_threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    static __typeof__(&pthread_create) behind;
    if (behind == NULL) {
        *(void **)(void *)&behind = dlsym(RTLD_NEXT, "pthread_create");
    }
    if (no_threads) {
        (void)__atomic_add_fetch(&refused_threads, 1, __ATOMIC_RELAXED);
        return EAGAIN;
    }
    return behind(thread, attributes, start, argument);
}

static pthread_t caller;

static int read_on_the_caller(void *data, uint64_t offset, void *buffer, size_t size)
{
    CHECK(pthread_equal(caller, pthread_self()) != 0);
    memcpy(buffer, (const uint8_t *)data + offset, size);
    return 0;
}

static bool progress_on_the_caller(const atlas_progress *progress, void *user_data)
{
    (void)progress;
    (void)user_data;
    CHECK(pthread_equal(caller, pthread_self()) != 0);
    return true;
}

/* A call on the library's own pool does its work itself if there is room for no thread. */
static void without_threads_the_calling_thread_works(void)
{
    const size_t size = 8 * TILE + 5, threads = thread_count();
    uint8_t *data = random_bytes(size, 9), root[32], wanted[32];
    caller = pthread_self();
    no_threads = true;
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = progress_on_the_caller;
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(size, read_on_the_caller, NULL, data, &source));
    for (int round = 0; round < 2; round++) {
        atlas_projection *projection = NULL;
        CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection));
        CHECK_OK(atlas_projection_root(projection, &operation, root));
        CHECK_OK(atlas_projection_verify(projection, &operation));
        const atlas_region region = {5, size - 9};
        atlas_shard *shard = NULL;
        CHECK_OK(atlas_shard_extract(projection, &region, NULL, &shard));
        CHECK_OK(atlas_shard_verify(shard, NULL, NULL));
        atlas_shard_destroy(shard);
        atlas_projection_destroy(projection);
    }
    CHECK_EQ(thread_count(), threads);
    cpu_set_t cores;
    CHECK_EQ(sched_getaffinity(0, sizeof cores, &cores), 0);
    CHECK((refused_threads > 0) == (built_in(ATLAS_FEATURE_PARALLEL) && CPU_COUNT(&cores) > 1));
    no_threads = false;
    atlas_source_destroy(source);
    atlas_projection *projection = projected_bytes(data, size);
    CHECK_OK(atlas_projection_root(projection, NULL, wanted));
    CHECK(memcmp(root, wanted, 32) == 0);
    atlas_projection_destroy(projection);
    free(data);
}

int main(void)
{
    TEST(without_threads_the_calling_thread_works);
    return 0;
}
#endif
