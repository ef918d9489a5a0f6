/* An OpenCL that fails its n-th call, for every n (ATLAS_TEST_SMALL=1: every 37th): the right status, nothing hangs,
 * nothing leaks, and the pool goes on or refuses further work. Devices that compute something wrong. The loader is
 * scripts/fake_opencl.c, whose path is in ATLAS_FAKE_OPENCL; that of the system's is in ATLAS_REAL_OPENCL. */
#include "check.h"

#include "container.h"
#include "accelerator.h"
#include "opencl.h"

#include <stdatomic.h>

static atomic_uint *calls, *fails_at, *lie_at, *reads;
static atomic_bool *goes_on, *no_binary;
static atomic_int *code, *objects;
static uint8_t *data;
static const size_t size = 5 * TILE + 99;
static uint8_t root[32];
/* The context and the buffer of the test, by the system's loader. */
static opencl cl;
static void *buffer;

/* CL_OUT_OF_RESOURCES can be either. */
enum { LACK = -4, RESOURCES = -5, LOST = -36 };

/* A call of a pool with an accelerator may fail so. */
static void check_failure(int status, bool *refused)
{
    atlas_error_info error = {.struct_size = sizeof error};
    CHECK_OK(atlas_last_error_get(&error));
    if (atomic_load(code) == LACK || (atomic_load(code) == RESOURCES && !*refused && status == ATLAS_STATUS_OUT_OF_MEMORY)) {
        CHECK_STATUS(status, ATLAS_STATUS_OUT_OF_MEMORY);
    } else if (*refused) {
        CHECK_STATUS(status, ATLAS_STATUS_STATE);
        return;
    } else {
        CHECK_STATUS(status, ATLAS_STATUS_IO);
        *refused = true;
    }
    CHECK(error.os_error == atomic_load(code));
}

static void use(const atlas_pool *pool, const atlas_source *source)
{
    bool refused = false;
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    for (int i = 0; i < 2; i++) {
        atlas_projection *projection = NULL;
        uint8_t found[32];
        int status = (int)atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection);
        if (status == ATLAS_STATUS_OK) {
            CHECK(!refused);
            CHECK_OK(atlas_projection_root(projection, NULL, found));
            CHECK(memcmp(found, root, 32) == 0);
            status = (int)atlas_projection_verify(projection, &operation);
        }
        if (status != ATLAS_STATUS_OK) {
            check_failure(status, &refused);
        }
        atlas_projection_destroy(projection);
    }
}

/* Options for the device and the context of the test. */
static atlas_accelerator_options in_own_context(void)
{
    atlas_accelerator_options options;
    atlas_accelerator_options_init(&options);
    options.cl_context = cl.context;
    options.cl_device = cl.device;
    return options;
}

/* A pool from its creation to its end. With one thread its calls of OpenCL have one order. */
static void live_once(bool in_context, uint32_t threads)
{
    atlas_accelerator_options options;
    atlas_pool *pool = NULL;
    atlas_source *sources[2] = {borrowed(data, size), NULL};
    atlas_accelerator_options_init(&options);
    options.name = "";
    /* The self-test is a few batches. */
    options.memory_limit = 48 * TILE;
    if (in_context) {
        options.cl_context = cl.context;
        options.cl_device = cl.device;
    }
    int status = (int)atlas_pool_create_accelerated(threads, &options, &pool);
    if (status != ATLAS_STATUS_OK) {
        CHECK(pool == NULL);
        CHECK(status == ATLAS_STATUS_UNSUPPORTED || status == ATLAS_STATUS_OUT_OF_MEMORY ||
              (in_context && status == ATLAS_STATUS_INVALID_ARGUMENT));
    } else {
        use(pool, sources[0]);
        if (in_context) {
            status = (int)atlas_source_from_cl_mem(pool, buffer, 0, size, &sources[1]);
            if (status == ATLAS_STATUS_OK) {
                use(pool, sources[1]);
            } else {
                CHECK(status == ATLAS_STATUS_IO || status == ATLAS_STATUS_STATE || status == ATLAS_STATUS_OUT_OF_MEMORY);
            }
        }
    }
    atlas_source_destroy(sources[0]);
    atlas_source_destroy(sources[1]);
    atlas_pool_destroy(pool);
    CHECK(atomic_load(objects) == 0);
}

static void fail_at_every_call(bool in_context, uint32_t threads, int with, bool lost)
{
    unsigned last = 0;
    const unsigned step = small_run() ? 37 : 1;
    atomic_store(code, with);
    atomic_store(goes_on, lost);
    /* Number 0 is no call: all succeed, and are counted. */
    for (unsigned n = 0; n <= last; n += n == 0 ? 1 : step) {
        atomic_store(calls, 0);
        atomic_store(fails_at, n);
        (void)alarm(120); /* a hang ends the program */
        live_once(in_context, threads);
        last = n == 0 ? atomic_load(calls) : last;
    }
    (void)alarm(0);
    atomic_store(fails_at, 0);
    printf("%u calls of OpenCL failed with %d%s\n", last, with, lost ? " and those after them" : "");
    (void)fflush(stdout);
}

/* The first pools of the process, whose kernels are compiled from their source. */
static void a_call_of_a_pool_that_compiles_fails(void)
{
    atomic_store(no_binary, true);
    fail_at_every_call(false, 1, LOST, false);
    atomic_store(no_binary, false);
}

static void a_call_fails(void) { fail_at_every_call(false, 1, LOST, false); }

static void a_call_in_the_context_of_the_program_fails(void) { fail_at_every_call(true, 1, LOST, false); }

static void memory_runs_out(void) { fail_at_every_call(false, 1, LACK, false); }

static void resources_run_out(void) { fail_at_every_call(false, 1, RESOURCES, false); }

static void a_device_is_lost(void) { fail_at_every_call(true, 1, LOST, true); }

/* Threads share the lanes, and wait for each other's batches. */
static void a_call_of_one_of_several_threads_fails(void) { fail_at_every_call(true, 3, LOST, true); }

static void lie(bool now)
{
    atomic_store(reads, 0);
    atomic_store(lie_at, now);
}

/* A false digest at creation is a device that is none. */
static void a_device_that_lies_from_the_start_is_none(void)
{
    atlas_accelerator_options options;
    atlas_pool *pool = NULL;
    atlas_accelerator_options_init(&options);
    options.name = "";
    lie(true);
    CHECK_STATUS(atlas_pool_create_accelerated(1, &options, &pool), ATLAS_STATUS_UNSUPPORTED);
    CHECK_SAYS("self-test");
    lie(false);
    CHECK(atomic_load(objects) == 0);
}

/* Pushing, beside the calls of accelerator.h. */
enum { PUSH = CALLS };

static int call_of(int kind, atlas_projection *projection, const atlas_source *source, const atlas_operation *operation)
{
    /* Not the first tile. */
    const atlas_region region = {2 * TILE, 3 * TILE};
    if (kind != PUSH) {
        return shared_call(kind, projection, source, &region, operation);
    }
    atlas_projection *made = NULL;
    atlas_stream *stream = NULL;
    int status = (int)atlas_stream_open_push(0, NULL, NULL, NULL, operation, &stream);
    status = status == 0 ? (int)atlas_stream_push(stream, data, size) : status;
    status = status == 0 ? (int)atlas_stream_finish(stream, &made) : status;
    atlas_stream_destroy(stream);
    atlas_projection_destroy(made);
    return status;
}

/* A false digest in a call is INTERNAL with the tile, and the pool ends. */
static void a_lie_ends_the_call_and_the_pool(void)
{
    enter_folder();
    for (int kind = 0; kind <= PUSH; kind++) {
        if ((kind == STREAM || kind == PUSH) && !built_in(ATLAS_FEATURE_STREAMING)) {
            continue;
        }
        /* Bytes of the host, and in a buffer of the device, of which an import makes copies. */
        for (int on_device = 0; on_device < (kind == PUSH ? 1 : 2); on_device++) {
            const atlas_accelerator_options options = in_own_context();
            atlas_error_info error = {.struct_size = sizeof error};
            atlas_pool *pool = NULL;
            atlas_operation operation;
            atlas_source *source = NULL;
            atlas_projection *projection = NULL;
            atlas_operation_init(&operation);
            lie(false);
            CHECK_OK(atlas_pool_create_accelerated(1, &options, &pool));
            operation.pool = pool;
            if (on_device) {
                CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 0, size, &source));
            } else {
                source = borrowed(data, size);
            }
            CHECK_OK(atlas_projection_create(0, source, NULL, NULL, &projection));
            lie(true);
            CHECK_STATUS(call_of(kind, projection, source, &operation), ATLAS_STATUS_INTERNAL);
            CHECK_OK(atlas_last_error_get(&error));
            /* The first tile that the device had. */
            CHECK(kind == FIND_DAMAGE ? error.index >= 2 && error.index < 5 : error.index == 0);
            lie(false);
            CHECK_STATUS(call_of(kind, projection, source, &operation), ATLAS_STATUS_STATE);
            atlas_projection_destroy(projection);
            atlas_source_destroy(source);
            atlas_pool_destroy(pool);
            CHECK(atomic_load(objects) == 0);
        }
    }
    leave_folder();
}

/* The calls of OpenCL when a callback cancelled. */
static unsigned calls_before;

static bool cancel_at_once(const atlas_progress *progress, void *user_data)
{
    (void)progress, (void)user_data;
    calls_before = calls_before == 0 ? atomic_load(calls) : calls_before;
    return false;
}

/* A call that is cancelled ends with the batches of its threads, two each. */
static void a_cancelled_call_waits_for_its_batches_alone(void)
{
    enum { TILES = 24 };
    uint8_t *bytes = random_bytes(TILES * TILE, 41);
    void *large = new_buffer(&cl, CL_READ_ONLY, bytes, TILES * TILE);
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        atlas_accelerator_options options = in_own_context();
        atlas_operation operation;
        atlas_pool *pool = NULL;
        atlas_source *source = NULL;
        atlas_projection *projection = NULL;
        atlas_operation_init(&operation);
        /* Two lanes of a tile each. */
        options.memory_limit = 2 * TILE + TILE / 4;
        CHECK_OK(atlas_pool_create_accelerated(threads, &options, &pool));
        CHECK_OK(atlas_source_from_cl_mem(pool, large, 0, TILES * TILE, &source));
        operation.pool = pool;
        const unsigned start = atomic_load(calls);
        CHECK_OK(atlas_projection_create(0, source, NULL, &operation, &projection));
        atlas_projection_destroy(projection);
        const unsigned per_batch = (atomic_load(calls) - start) / TILES;
        CHECK(per_batch > 10);
        operation.progress = cancel_at_once;
        calls_before = 0;
        CHECK_STATUS(atlas_projection_create(0, source, NULL, &operation, &projection), ATLAS_STATUS_CANCELLED);
        CHECK(calls_before > 0 && atomic_load(calls) - calls_before <= (2 * threads + 1) * per_batch);
        atlas_source_destroy(source);
        atlas_pool_destroy(pool);
    }
    CHECK(cl.release_buffer(large) == 0);
    free(bytes);
    CHECK(atomic_load(objects) == 0);
}

static void *variable(void *library, const char *name)
{
    void *found = dlsym(library, name);
    CHECK(found != NULL);
    return found;
}

int main(void)
{
    const char *fake = getenv("ATLAS_FAKE_OPENCL"), *system = getenv("ATLAS_REAL_OPENCL");
    if (!built_in(ATLAS_FEATURE_OPENCL) || fake == NULL || system == NULL) {
        skip("no accelerators, or no ATLAS_FAKE_OPENCL and ATLAS_REAL_OPENCL");
    }
    /* The library finds this one by its soname. */
    void *library = dlopen(fake, RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL);
    calls = (atomic_uint *)variable(library, "fake_calls");
    fails_at = (atomic_uint *)variable(library, "fake_fails_at");
    lie_at = (atomic_uint *)variable(library, "fake_lie_at");
    reads = (atomic_uint *)variable(library, "fake_reads");
    no_binary = (atomic_bool *)variable(library, "fake_no_binary");
    goes_on = (atomic_bool *)variable(library, "fake_goes_on");
    code = (atomic_int *)variable(library, "fake_status");
    objects = (atomic_int *)variable(library, "fake_objects");
    cl = open_opencl_of(system);
    data = random_bytes(size, 36);
    buffer = new_buffer(&cl, CL_READ_ONLY, data, size);
    atlas_projection *projection = projected_bytes(data, size);
    CHECK_OK(atlas_projection_root(projection, NULL, root));
    atlas_projection_destroy(projection);
    TEST(a_call_of_a_pool_that_compiles_fails);
    TEST(a_device_that_lies_from_the_start_is_none);
    TEST(a_lie_ends_the_call_and_the_pool);
    TEST(a_cancelled_call_waits_for_its_batches_alone);
    TEST(a_call_fails);
    TEST(a_call_in_the_context_of_the_program_fails);
    TEST(memory_runs_out);
    TEST(resources_run_out);
    TEST(a_device_is_lost);
    TEST(a_call_of_one_of_several_threads_fails);
    CHECK(cl.release_buffer(buffer) == 0 && cl.release_context(cl.context) == 0);
    free(data);
    return 0;
}
