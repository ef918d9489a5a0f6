/* OUT_OF_MEMORY of every function: allocations of a call fail in turn, once and with all after it, each of the first 32 and
 * then in growing steps. The call succeeds without it or reports it, and its handles are usable afterwards.
 *
 * The program's own malloc comes before that of the C library, also for the library. api_faults.c does the same for
 * longer stretches of work, and takes minutes. */
#define _GNU_SOURCE 1
#include "check.h"

#if !defined(__GLIBC__) || !defined(__x86_64__)
int main(void) { skip("the allocator of glibc is needed to stand behind this one"); }
#else

#include "container.h"
#include "calls.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

/* Allocations of the call until one fails, and whether those after it fail too. */
static volatile long until;
static volatile bool for_ever;
static volatile long failures;

static bool fails(void)
{
    if (!calling) {
        return false;
    }
    const long left = __atomic_sub_fetch(&until, 1, __ATOMIC_RELAXED);
    if (left > 0 || (left < 0 && !for_ever)) {
        return false;
    }
    (void)__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
    errno = ENOMEM;
    return true;
}

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }

void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }

void *realloc(void *old, size_t size) { return fails() ? NULL : __libc_realloc(old, size); }

void *memalign(size_t alignment, size_t size) { return fails() ? NULL : __libc_memalign(alignment, size); }

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = memalign(alignment, size);
    return *out == NULL ? ENOMEM : 0;
}

static const named_call *now;

/* Names the call that aborts the process. */
static void aborted(int number)
{
    calling = false;
    (void)signal(number, SIG_DFL);
    if (now != NULL) {
        fprintf(stderr, "aborted in %s\n", now->name);
    }
}

/* The library has a reserve for small blocks, and leaves half of it to those that cannot fail. Handles in the other
 * half let the small allocations that can fail do so. */
static atlas_source *held[4096];
static size_t held_count;

static void use_the_reserve(void)
{
    atlas_status status = ATLAS_STATUS_OK;
    for_ever = true;
    while (status == ATLAS_STATUS_OK) {
        CHECK(held_count < sizeof held / sizeof held[0]);
        until = 1;
        status = CALL(atlas_source_borrow(given.data, SIZE, NULL, NULL, &held[held_count]));
        held_count += status == ATLAS_STATUS_OK;
    }
    CHECK_STATUS(status, ATLAS_STATUS_OUT_OF_MEMORY);
}

static void give_the_reserve_back(void)
{
    while (held_count > 0) {
        atlas_source_destroy(held[--held_count]);
    }
}

/* The functions that allocate nothing, or only memory that cannot fail or can be done without. */
static bool needs_no_memory(const named_call *call)
{
    static const char *const names[] = {
        "projection_get_info",  "projection_transform",     "projection_tile_bounds",   "projection_tile_at",
        "projection_rollback",  "projection_find_damage",   "reconstruction_missing",   "container_get_info",
        "container_get_note",   "container_get_generation", "container_set_base",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(call->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Lets the allocations of a call fail one by one, and returns how often the call reported that. */
static long fail_each(const named_call *call, const atlas_operation *operation)
{
    long reported = 0;
    /* A benchmark has thousands, and some of them are enough. */
    for (long number = 1;; number += 1 + number / (small_run() ? 4 : 32)) {
        until = number;
        failures = 0;
        const atlas_status status = call->call(operation);
        if (failures == 0) {
            CHECK_OK(status);
            return reported;
        }
        if (status != ATLAS_STATUS_OK) {
            CHECK_STATUS(status, ATLAS_STATUS_OUT_OF_MEMORY);
            reported++;
        }
    }
}

static void each_allocation_fails(void)
{
    atlas_operation operation;
    atlas_operation_init(&operation);
    atlas_pool *one = NULL;
    /* All on this thread, so that the allocations have an order. */
    CHECK_OK(atlas_pool_create(1, &one));
    operation.pool = one;
    make_given();
    use_the_reserve();
    for (size_t i = 0; i < CALLS; i++) {
        now = &calls[i];
        if (now->features != 0 && !built_in(now->features)) {
            continue;
        }
        long reported = 0;
        for (int round = 0; round < 2; round++) {
            for_ever = round == 1;
            reported += fail_each(now, &operation);
        }
        if ((reported > 0) == needs_no_memory(now)) {
            fprintf(stderr, "%s reported a lack of memory %ld times\n", now->name, reported);
        }
        CHECK((reported > 0) != needs_no_memory(now));
    }
    /* The memory of a handle comes first, before any device is looked for. */
    atlas_pool *pool = one;
    atlas_source *source = given.source;
    until = 1;
    CHECK_STATUS(CALL(atlas_pool_create_accelerated(1, NULL, &pool)), ATLAS_STATUS_OUT_OF_MEMORY);
    until = 1;
    CHECK_STATUS(CALL(atlas_source_from_cl_mem(one, &pool, 0, 1, &source)), ATLAS_STATUS_OUT_OF_MEMORY);
    CHECK(pool == NULL && source == NULL);
    give_the_reserve_back();
    destroy_given();
    atlas_pool_destroy(one);
}

/* The system starts no thread. */
static volatile bool no_threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    static __typeof__(&pthread_create) behind;
    if (behind == NULL) {
        *(void **)(void *)&behind = dlsym(RTLD_NEXT, "pthread_create");
    }
    return no_threads ? EAGAIN : behind(thread, attributes, start, argument);
}

static void no_thread_can_be_started(void)
{
    atlas_pool *pool = NULL;
    no_threads = true;
    CHECK_STATUS(atlas_pool_create(3, &pool), built_in(ATLAS_FEATURE_PARALLEL) ? ATLAS_STATUS_OUT_OF_MEMORY
                                                                               : ATLAS_STATUS_OK);
    CHECK((pool == NULL) == built_in(ATLAS_FEATURE_PARALLEL));
    no_threads = false;
    atlas_pool_destroy(pool);
    CHECK_OK(atlas_pool_create(3, &pool));
    atlas_pool_destroy(pool);
}

int main(void)
{
    CHECK(setenv("RUST_BACKTRACE", "0", 1) == 0);
    CHECK(signal(SIGABRT, aborted) != SIG_ERR);
    TEST(no_thread_can_be_started);
    TEST(each_allocation_fails);
    return 0;
}
#endif
