/* OUT_OF_MEMORY of calls with long lists: each allocation that is too large for the reserve of the library fails in turn.
 * The call succeeds without it or reports it, and succeeds when it is tried again.
 *
 * The program's own malloc comes before that of the C library, also for the library, and so does its fsync, which does
 * nothing, because the tests make thousands of commits. */
#define _GNU_SOURCE 1
#include "check.h"

#if !defined(__GLIBC__) || !defined(__x86_64__)
int main(void) { skip("the allocator of glibc is needed to stand behind this one"); }
#else

#include "container.h"

#include <signal.h>

/* True during the call under test. Only its allocations of these sizes count. */
static volatile bool calling;
static volatile size_t smallest, largest;
/* Counted allocations until one fails. */
static volatile long until;
static volatile long failures;

/* Larger than any block of the reserve. */
enum { LARGE = 16 * 1024 + 1 };

static bool fails(size_t size)
{
    if (!calling || size < smallest || size > largest || __atomic_sub_fetch(&until, 1, __ATOMIC_RELAXED) != 0) {
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

void *malloc(size_t size) { return fails(size) ? NULL : __libc_malloc(size); }

void *calloc(size_t count, size_t size) { return fails(count * size) ? NULL : __libc_calloc(count, size); }

void *realloc(void *old, size_t size) { return fails(size) ? NULL : __libc_realloc(old, size); }

void *memalign(size_t alignment, size_t size) { return fails(size) ? NULL : __libc_memalign(alignment, size); }

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = memalign(alignment, size);
    return *out == NULL ? ENOMEM : 0;
}

int fsync(int file)
{
    (void)file;
    return 0;
}

int fdatasync(int file) { return fsync(file); }

/* All on this thread, so that the allocations have an order. */
static atlas_operation operation;

static const char *now;
static long count_now;

/* Names the call that aborts the process. */
static void aborted(int number)
{
    calling = false;
    (void)signal(number, SIG_DFL);
    fprintf(stderr, "aborted in %s at its large allocation number %ld\n", now, count_now);
}

/* Calls `call` until none of its large allocations failed, each time with other preparations by `make`. `wanted` is the
 * status of the call with memory. */
static void each_large_fails(const char *name, void (*make)(void), atlas_status (*call)(void), void (*unmake)(void),
                             atlas_status wanted)
{
    now = name;
    for (long number = 1, failed = 1; failed > 0; number++) {
        make();
        (void)atlas_manifold_trim();
        count_now = until = number;
        failures = 0;
        calling = true;
        const atlas_status status = call();
        calling = false;
        failed = failures;
        if (failed == 0 || status != ATLAS_STATUS_OUT_OF_MEMORY) {
            CHECK_STATUS(status, wanted);
        } else {
            CHECK_STATUS(call(), wanted);
        }
        unmake();
    }
}

static void begin(size_t from, size_t to)
{
    smallest = from;
    largest = to;
    atlas_operation_init(&operation);
    atlas_pool *one = NULL;
    CHECK_OK(atlas_pool_create(1, &one));
    operation.pool = one;
}

static void end(void) { atlas_pool_destroy((atlas_pool *)(uintptr_t)operation.pool); }

/* ---- histories --------------------------------------------------------------------------------------- */

enum { DELTAS = 2500 };
static atlas_delta deltas[DELTAS];
static atlas_projection *edited;
static uint64_t history;

static uint64_t size_of_edited(void)
{
    atlas_projection_info info = {.struct_size = sizeof info};
    CHECK_OK(atlas_projection_get_info(edited, &info));
    return info.domain_size;
}

static void make_edited(void)
{
    static const uint8_t data[100];
    for (size_t i = 0; i < DELTAS; i++) {
        deltas[i] = (atlas_delta){.type = ATLAS_CHANGE_INSERT, .offset = i, .data = data, .data_size = 1};
    }
    edited = projected_bytes(data, sizeof data);
    atlas_incremental_config config;
    atlas_incremental_config_init(&config);
    config.max_deltas = history;
    CHECK_OK(atlas_projection_configure_incremental(edited, &config));
    CHECK_OK(atlas_projection_apply_batch(edited, deltas, DELTAS));
    CHECK_EQ(size_of_edited(), 100 + DELTAS);
}

static void unmake_edited(void) { atlas_projection_destroy(edited); }

static atlas_status call_rollback(void)
{
    const atlas_status status = atlas_projection_rollback(edited, DELTAS - 1);
    CHECK_EQ(size_of_edited(), status == ATLAS_STATUS_OK ? 101 : 100 + DELTAS);
    return status;
}

static atlas_status call_configure(void)
{
    atlas_incremental_config config;
    atlas_incremental_config_init(&config);
    config.max_deltas = 1;
    const atlas_status status = atlas_projection_configure_incremental(edited, &config);
    CHECK_EQ(size_of_edited(), 100 + DELTAS);
    return status;
}

static atlas_status call_optimize(void)
{
    const atlas_status status = atlas_projection_optimize(edited, &operation);
    CHECK_EQ(size_of_edited(), 100 + DELTAS);
    return status;
}

static atlas_status call_apply_batch(void)
{
    const atlas_status status = atlas_projection_apply_batch(edited, deltas, DELTAS);
    CHECK_EQ(size_of_edited(), status == ATLAS_STATUS_OK ? 100 + 2 * DELTAS : 100 + DELTAS);
    return status;
}

static void histories(void)
{
    begin(LARGE, SIZE_MAX);
    history = DELTAS;
    each_large_fails("atlas_projection_rollback", make_edited, call_rollback, unmake_edited, ATLAS_STATUS_OK);
    each_large_fails("atlas_projection_configure_incremental", make_edited, call_configure, unmake_edited,
                     ATLAS_STATUS_OK);
    each_large_fails("atlas_projection_optimize", make_edited, call_optimize, unmake_edited, ATLAS_STATUS_OK);
    each_large_fails("atlas_projection_apply_batch", make_edited, call_apply_batch, unmake_edited, ATLAS_STATUS_OK);
    end();
}

int main(void)
{
    CHECK(setenv("RUST_BACKTRACE", "0", 1) == 0);
    CHECK(signal(SIGABRT, aborted) != SIG_ERR);
    TEST(histories);
    return 0;
}
#endif
