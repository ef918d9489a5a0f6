/* OpenCL loaders that are missing, broken or without a device; drivers that fail; kernels that do not compile, or are
 * compiled once. The program has a dlopen of its own, which the library calls too: the loader is the one that a test
 * chooses. scripts/fake_opencl.c is in ATLAS_FAKE_OPENCL, the system's loader in ATLAS_REAL_OPENCL. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "check.h"

#include "opencl.h"

#include <pthread.h>
#include <stdatomic.h>

static const char *loader; /* opened in place of libOpenCL */
static atomic_uint asked;

/* Comes before that of the C library, for the library too. */
void *dlopen(const char *path, int mode);
void *dlopen(const char *path, int mode)
{
    void *(*next)(const char *, int) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "dlopen");
    memcpy(&next, &symbol, sizeof symbol);
    if (path != NULL && strstr(path, "libOpenCL.so") == path) {
        atomic_fetch_add(&asked, 1);
        path = loader != NULL ? loader : path;
    }
    return next(path, mode);
}

static opencl cl;
static void *fake;

static void *variable(const char *name)
{
    void *found = dlsym(fake, name);
    CHECK(found != NULL);
    return found;
}

static void set(const char *name, bool value) { atomic_store((atomic_bool *)variable(name), value); }

static int try_pool(const char *name, atlas_pool **pool)
{
    atlas_accelerator_options options;
    atlas_accelerator_options_init(&options);
    options.name = name;
    return (int)atlas_pool_create_accelerated(1, &options, pool);
}

/* Neither a plain pool nor a call opens a loader. */
static void nothing_else_opens_a_loader(void)
{
    char line[4096];
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(2, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    const size_t size = 5 * TILE;
    uint8_t *data = random_bytes(size, 3);
    atlas_source *source = borrowed(data, size);
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(0, source, NULL, &operation, &projection));
    CHECK_OK(atlas_projection_verify(projection, &operation));
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    atlas_pool_destroy(pool);
    free(data);
    CHECK_EQ(atomic_load(&asked), 0);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        CHECK(strstr(line, "libOpenCL") == NULL);
    }
    CHECK(maps == NULL || fclose(maps) == 0);
}

static void refused(const char *with)
{
    atlas_pool *pool = NULL;
    loader = with;
    CHECK_STATUS(try_pool("", &pool), ATLAS_STATUS_UNSUPPORTED);
    CHECK(pool == NULL);
}

static void a_loader_that_is_missing_or_broken_is_to_be_installed(void)
{
    const char *path = temp_path("empty");
    write_file(path, "", 0);
    /* No file, an empty one, and a library of something else. */
    const char *loaders[] = {"/nonexistent/libOpenCL.so.1", path, "libm.so.6"};
    for (size_t i = 0; i < 3; i++) {
        refused(loaders[i]);
        CHECK_SAYS("the OpenCL loader libOpenCL.so.1 cannot be used");
        CHECK_SAYS("install it (Debian: ocl-icd-libopencl1)");
    }
    CHECK(unlink(path) == 0);
}

static void a_loader_without_a_device_says_what_is_missing(void)
{
    set("fake_no_platforms", true);
    refused(loader);
    CHECK_SAYS("install the driver of the device");
    CHECK_SAYS("pocl-opencl-icd");
    set("fake_no_platforms", false);
}

static void a_driver_that_fails_hides_no_other(void)
{
    atlas_pool *pool = NULL;
    set("fake_broken_platform", true);
    CHECK_OK(try_pool("", &pool));
    atlas_pool_destroy(pool);
    pool = NULL;
    /* The names of the others are in the text. */
    CHECK_STATUS(try_pool("no device has this name", &pool), ATLAS_STATUS_UNSUPPORTED);
    CHECK_SAYS("all devices are: ");
    set("fake_broken_platform", false);
}

static void kernels_that_do_not_compile_are_unsupported(void)
{
    atlas_error_info error = {.struct_size = sizeof error};
    set("fake_wrong_kernels", true);
    refused(loader);
    CHECK_SAYS("compiling the kernels");
    CHECK_OK(atlas_last_error_get(&error));
    CHECK(error.os_error < 0);
    set("fake_wrong_kernels", false);
}

static void *make_pool(void *options)
{
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create_accelerated(1, (const atlas_accelerator_options *)options, &pool));
    return pool;
}

/* Once per device, by whatever context and thread. */
static void kernels_are_compiled_once(void)
{
    atomic_uint *compilations = (atomic_uint *)variable("fake_compilations");
    void *devices[2] = {NULL, NULL};
    int32_t status = -1;
    const uint32_t count = devices_of(&cl, devices);
    void *context = cl.create_context(NULL, count, devices, NULL, NULL, &status);
    CHECK(status == 0);
    for (uint32_t i = 0; i < count; i++) {
        atlas_accelerator_options options;
        pthread_t threads[2];
        atlas_accelerator_options_init(&options);
        options.cl_context = context;
        options.cl_device = devices[i];
        const unsigned before = atomic_load(compilations);
        for (int j = 0; j < 2; j++) {
            CHECK(pthread_create(&threads[j], NULL, make_pool, &options) == 0);
        }
        for (int j = 0; j < 2; j++) {
            void *pool = NULL;
            CHECK(pthread_join(threads[j], &pool) == 0);
            atlas_pool_destroy((atlas_pool *)pool);
        }
        atlas_pool_destroy((atlas_pool *)make_pool(&options));
        CHECK_EQ(atomic_load(compilations) - before, 1);
    }
    /* And the same device without a context of the program. */
    const unsigned before = atomic_load(compilations);
    atlas_pool *pool = NULL;
    CHECK_OK(try_pool("", &pool));
    atlas_pool_destroy(pool);
    CHECK_EQ(atomic_load(compilations), before);
    CHECK(cl.release_context(context) == 0);
    printf("%u devices\n", count);
}

/* All buffers of a pool together, however many threads use it. */
static void device_memory_stays_within_its_limit(void)
{
    atomic_ullong *allocated = (atomic_ullong *)variable("fake_allocated");
    const size_t size = 40 * TILE;
    uint8_t *data = random_bytes(size, 7);
    for (uint64_t limit = 2 * TILE; limit <= 32 * TILE; limit *= 4) {
        atlas_accelerator_options options;
        atlas_accelerator_info info = {.struct_size = sizeof info};
        atlas_operation operation;
        atlas_pool *pool = NULL;
        atlas_projection *projection = NULL;
        atlas_accelerator_options_init(&options);
        atlas_operation_init(&operation);
        options.name = "";
        options.memory_limit = limit;
        atomic_store(allocated, 0);
        CHECK_OK(atlas_pool_create_accelerated(4, &options, &pool));
        operation.pool = pool;
        atlas_source *source = borrowed(data, size);
        CHECK_OK(atlas_projection_create(0, source, NULL, &operation, &projection));
        CHECK_OK(atlas_projection_verify(projection, &operation));
        CHECK_OK(atlas_pool_get_accelerator(pool, &info));
        CHECK(info.bytes_hashed > 0);
        CHECK(atomic_load(allocated) > 0 && atomic_load(allocated) <= limit);
        atlas_projection_destroy(projection);
        atlas_source_destroy(source);
        atlas_pool_destroy(pool);
    }
    free(data);
}

int main(void)
{
    const char *path = getenv("ATLAS_FAKE_OPENCL"), *system = getenv("ATLAS_REAL_OPENCL");
    if (!built_in(ATLAS_FEATURE_OPENCL) || path == NULL || system == NULL) {
        skip("no accelerators, or no ATLAS_FAKE_OPENCL and ATLAS_REAL_OPENCL");
    }
    TEST(nothing_else_opens_a_loader);
    cl = open_opencl_of(system);
    TEST(a_loader_that_is_missing_or_broken_is_to_be_installed);
    CHECK(atomic_load(&asked) > 0);
    fake = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(fake != NULL);
    /* A loader that was opened stays. */
    loader = path;
    TEST(a_loader_without_a_device_says_what_is_missing);
    TEST(kernels_that_do_not_compile_are_unsupported);
    TEST(kernels_are_compiled_once);
    TEST(a_driver_that_fails_hides_no_other);
    TEST(device_memory_stays_within_its_limit);
    CHECK(atomic_load((atomic_int *)variable("fake_objects")) == 0);
    CHECK(cl.release_context(cl.context) == 0);
    return 0;
}
