/* Figures of an OpenCL device beside those of the processor. The device is the first one of the first platform.
 *
 *   accelerator kernels KERNELS MIB       kernels.cl alone: time by the device's clock, beside the device's memory and
 *                                         beside the arithmetic of BLAKE3 without loads
 *   accelerator library MIB FILE          projection of a buffer on the device, of memory of the host and of FILE, which
 *                                         is written, beside the processor; all roots are compared
 *   accelerator buffer MIB                projection of a buffer on the device alone
 *   accelerator copy KERNELS MIB          tiles copied to the device, from any memory of the host and through two
 *                                         tiles of memory that the driver pins
 *
 * Medians of 9 in alternating runs, with the least and the most. */
#include "../c_tests/check.h"

#include "../c_tests/opencl.h"

#include <time.h>

enum { RUNS = 9, TILE_CHUNKS = 1024, TILE_GROUPS = 64, TILE_RESULT = 96, JOINED = 8 };
enum { CL_PROFILING = 2, CL_EVENT_START = 0x1282, CL_EVENT_END = 0x1283 };
enum { CL_ALLOC_HOST = 16 };
enum { CL_BUILD_LOG = 0x1183, CL_DEVICE_NAME = 0x102B, CL_DRIVER_VERSION = 0x102D };
enum { CL_COMPUTE_UNITS = 0x1002, CL_CLOCK_MHZ = 0x100C };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int ascending(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts the times and returns the median speed in GB/s. */
static double report(const char *what, double bytes, double times[RUNS])
{
    qsort(times, RUNS, sizeof *times, ascending);
    const double median = bytes / times[RUNS / 2] / 1e9;
    printf("%-58s %9.2f GB/s (%.2f to %.2f)\n", what, median, bytes / times[RUNS - 1] / 1e9, bytes / times[0] / 1e9);
    return median;
}

/* ---- the kernels alone ---- */

/* The device's memory read once, and the compressions of a chunk on what lies in registers. */
static const char extra[] =
    "KERNEL void fill(GLOBAL uint *out) {\n"
    "    uint x = ITEM * 2654435761u + 1u;\n"
    "    for (uint i = 0u; i < 4u; i++) { x ^= x << 13u; x ^= x >> 17u; x ^= x << 5u; out[4u * ITEM + i] = x; }\n"
    "}\n"
    "KERNEL void load(GLOBAL const uint4 *in, uint items, GLOBAL uint *out) {\n"
    "    uint total = 0u;\n"
    "    for (uint i = 0u; i < 64u; i++) { uint4 v = in[(size_t)i * items + ITEM]; total += v.x ^ v.y ^ v.z ^ v.w; }\n"
    "    out[ITEM] = total;\n"
    "}\n"
    "KERNEL void arithmetic(uint seed, GLOBAL uint *out) {\n"
    "    uint h[8], m[16];\n"
    "    for (uint i = 0u; i < 8u; i++) h[i] = seed + i;\n"
    "    for (uint i = 0u; i < 16u; i++) m[i] = ITEM * 16u + i;\n"
    "    for (uint block = 0u; block < 16u; block++) compress(h, m, ITEM, 64u, seed);\n"
    "    out[ITEM] = h[0] ^ h[1] ^ h[2] ^ h[3] ^ h[4] ^ h[5] ^ h[6] ^ h[7];\n"
    "}\n";

typedef struct device {
    opencl cl;
    void *queue, *program;
    void *(*create_kernel)(void *, const char *, int32_t *);
    int32_t (*set_arg)(void *, uint32_t, size_t, const void *);
    int32_t (*enqueue)(void *, void *, uint32_t, const size_t *, const size_t *, const size_t *, uint32_t, const void *,
                       void **);
    int32_t (*finish)(void *);
    int32_t (*profile)(void *, uint32_t, size_t, void *, size_t *);
    int32_t (*release_event)(void *);
} device;

static char *text_of(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 20);
    CHECK(file != NULL && text != NULL);
    CHECK(fread(text, 1, (1 << 20) - sizeof extra, file) > 0 && fclose(file) == 0);
    return text;
}

static device open_device(const char *kernels)
{
    device on = {.cl = open_opencl()};
    void *(*create_queue)(void *, void *, uint64_t, int32_t *) = NULL;
    void *(*create_program)(void *, uint32_t, const char **, const size_t *, int32_t *) = NULL;
    int32_t (*build)(void *, uint32_t, void *const *, const char *, void *, void *) = NULL;
    int32_t (*build_info)(void *, void *, uint32_t, size_t, void *, size_t *) = NULL;
    int32_t (*device_info)(void *, uint32_t, size_t, void *, size_t *) = NULL;
    LOOK_UP(on.cl.library, create_queue, "clCreateCommandQueue");
    LOOK_UP(on.cl.library, create_program, "clCreateProgramWithSource");
    LOOK_UP(on.cl.library, build, "clBuildProgram");
    LOOK_UP(on.cl.library, build_info, "clGetProgramBuildInfo");
    LOOK_UP(on.cl.library, device_info, "clGetDeviceInfo");
    LOOK_UP(on.cl.library, on.create_kernel, "clCreateKernel");
    LOOK_UP(on.cl.library, on.set_arg, "clSetKernelArg");
    LOOK_UP(on.cl.library, on.enqueue, "clEnqueueNDRangeKernel");
    LOOK_UP(on.cl.library, on.finish, "clFinish");
    LOOK_UP(on.cl.library, on.profile, "clGetEventProfilingInfo");
    LOOK_UP(on.cl.library, on.release_event, "clReleaseEvent");
    char name[256] = "", driver[256] = "", *text = text_of(kernels);
    uint32_t units = 0, clock = 0;
    CHECK(device_info(on.cl.device, CL_DEVICE_NAME, sizeof name, name, NULL) == 0);
    CHECK(device_info(on.cl.device, CL_DRIVER_VERSION, sizeof driver, driver, NULL) == 0);
    CHECK(device_info(on.cl.device, CL_COMPUTE_UNITS, sizeof units, &units, NULL) == 0);
    CHECK(device_info(on.cl.device, CL_CLOCK_MHZ, sizeof clock, &clock, NULL) == 0);
    printf("%s, driver %s, %u compute units, at most %u MHz\n", name, driver, units, clock);
    /* A queue in order, which takes times. */
    int32_t status = -1;
    on.queue = create_queue(on.cl.context, on.cl.device, CL_PROFILING, &status);
    CHECK(status == 0);
    const char *const whole = strcat(text, extra);
    const char *texts[1] = {whole};
    on.program = create_program(on.cl.context, 1, texts, NULL, &status);
    CHECK(status == 0);
    const double start = now();
    if (build(on.program, 1, &on.cl.device, "-cl-std=CL1.2", NULL, NULL) != 0) {
        static char log[1 << 16];
        build_info(on.program, on.cl.device, CL_BUILD_LOG, sizeof log, log, NULL);
        printf("%s\n", log);
        CHECK(false);
    }
    printf("compiled in %.3f s\n", now() - start);
    free(text);
    return on;
}

/* An argument: a buffer or a value. */
typedef struct argument {
    const void *value;
    size_t size;
} argument;

#define ARG(name) \
    (argument) { &(name), sizeof(name) }

/* Runs a kernel, and returns its seconds by the device's clock. */
static double run(const device *on, const char *name, size_t items, size_t group, const argument *arguments, uint32_t count)
{
    int32_t status = -1;
    void *kernel = on->create_kernel(on->program, name, &status), *event = NULL;
    CHECK(status == 0);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(on->set_arg(kernel, i, arguments[i].size, arguments[i].value) == 0);
    }
    CHECK(on->enqueue(on->queue, kernel, 1, NULL, &items, &group, 0, NULL, &event) == 0 && on->finish(on->queue) == 0);
    uint64_t start = 0, end = 0;
    CHECK(on->profile(event, CL_EVENT_START, sizeof start, &start, NULL) == 0);
    CHECK(on->profile(event, CL_EVENT_END, sizeof end, &end, NULL) == 0);
    on->release_event(event);
    return 1e-9 * (double)(end - start);
}

static void kernels(const char *path, uint32_t tiles)
{
    const device on = open_device(path);
    const size_t bytes = tiles * TILE;
    const char *const chosen = getenv("GROUP");
    const size_t group = chosen != NULL ? (size_t)atoi(chosen) : 64;
    void *data = new_buffer(&on.cl, 1, NULL, bytes), *values = new_buffer(&on.cl, 1, NULL, bytes / 32);
    void *nodes = new_buffer(&on.cl, 1, NULL, (size_t)tiles * TILE_GROUPS * 32);
    void *above = new_buffer(&on.cl, 1, NULL, (size_t)tiles * TILE_GROUPS / JOINED * 32);
    void *sums = new_buffer(&on.cl, 1, NULL, (size_t)tiles * TILE_CHUNKS * 4);
    void *results = new_buffer(&on.cl, 1, NULL, (size_t)tiles * TILE_RESULT);
    struct {
        uint64_t offset, len;
    } *places = calloc(tiles, sizeof *places);
    for (uint32_t tile = 0; tile < tiles; tile++) {
        places[tile].offset = tile * TILE, places[tile].len = TILE;
    }
    void *at = new_buffer(&on.cl, CL_READ_ONLY, places, tiles * sizeof *places);
    const uint32_t key[8] = {1, 2, 3, 4, 5, 6, 7, 8}, width = TILE_CHUNKS, groups = TILE_GROUPS, mode = 0;
    run(&on, "fill", bytes / 16, group, &ARG(data), 1);
    double times[5][RUNS];
    for (int i = 0; i < RUNS; i++) {
        const uint32_t items = (uint32_t)(bytes / 16 / 64);
        const argument loads[] = {ARG(data), ARG(items), ARG(values)};
        times[0][i] = run(&on, "load", items, group, loads, 3);
        const argument compressions[] = {ARG(items), ARG(sums)};
        times[1][i] = run(&on, "arithmetic", (size_t)tiles * width, group, compressions, 2);
        const argument chunks[] = {ARG(data), ARG(at), ARG(tiles), ARG(width), ARG(key), ARG(mode), ARG(values), ARG(sums), ARG(results)};
        times[2][i] = run(&on, "chunks", (size_t)tiles * width, group, chunks, 9);
        const argument in_groups[] = {ARG(at), ARG(tiles), ARG(groups), ARG(width), ARG(key),
                                      ARG(mode), ARG(values), ARG(sums), ARG(nodes), ARG(results)};
        times[3][i] = run(&on, "groups", (size_t)tiles * groups, group, in_groups, 10);
        /* The rest of the tree. */
        const uint32_t sizes[2] = {TILE_CHUNKS / TILE_GROUPS, TILE_CHUNKS / TILE_GROUPS * JOINED};
        const uint32_t eighth = groups / JOINED, one = 1;
        const argument lower[] = {ARG(at), ARG(tiles), ARG(sizes[0]), ARG(groups), ARG(eighth),
                                  ARG(key), ARG(mode), ARG(nodes), ARG(above), ARG(results)};
        const argument upper[] = {ARG(at), ARG(tiles), ARG(sizes[1]), ARG(eighth), ARG(one),
                                  ARG(key), ARG(mode), ARG(above), ARG(nodes), ARG(results)};
        times[4][i] = run(&on, "parents", (size_t)tiles * eighth, group, lower, 10);
        times[4][i] += run(&on, "parents", (tiles + group - 1) / group * group, group, upper, 10);
    }
    double all[RUNS];
    for (int i = 0; i < RUNS; i++) {
        all[i] = times[2][i] + times[3][i] + times[4][i];
    }
    report("reading the device's memory", (double)bytes, times[0]);
    const double bound = report("BLAKE3's compressions of chunks, in registers", (double)bytes, times[1]);
    report("kernel chunks", (double)bytes, times[2]);
    report("kernel groups", (double)bytes, times[3]);
    report("kernel parents, twice", (double)bytes, times[4]);
    printf("all kernels: %.2f of the compressions in registers\n", report("all kernels", (double)bytes, all) / bound);
}

/* Times of the host, since the thread that copies does nothing else. */
static void copies(const char *path, uint32_t tiles)
{
    const device on = open_device(path);
    int32_t (*write)(void *, void *, uint32_t, size_t, size_t, const void *, uint32_t, const void *, void **) = NULL;
    void *(*map)(void *, void *, uint32_t, uint64_t, size_t, size_t, uint32_t, const void *, void **, int32_t *) = NULL;
    int32_t (*wait)(uint32_t, void *const *) = NULL;
    LOOK_UP(on.cl.library, write, "clEnqueueWriteBuffer");
    LOOK_UP(on.cl.library, map, "clEnqueueMapBuffer");
    LOOK_UP(on.cl.library, wait, "clWaitForEvents");
    const size_t size = tiles * TILE;
    uint8_t *data = random_bytes(size, 3), *copy = malloc(TILE);
    void *to = new_buffer(&on.cl, CL_READ_ONLY, NULL, size);
    void *pinned = new_buffer(&on.cl, 1 | CL_ALLOC_HOST, NULL, 2 * TILE);
    int32_t status = -1;
    uint8_t *staging = map(on.queue, pinned, 1, 2, 0, 2 * TILE, 0, NULL, NULL, &status);
    CHECK(status == 0 && staging != NULL && copy != NULL);
    double times[3][RUNS];
    for (int i = -1; i < RUNS; i++) {
        double at[4];
        at[0] = now();
        for (size_t tile = 0; tile < tiles; tile++) {
            memcpy(copy, data + tile * TILE, TILE);
            CHECK(copy[tile % TILE] == data[tile * TILE + tile % TILE]);
        }
        at[1] = now();
        for (size_t tile = 0; tile < tiles; tile++) {
            CHECK(write(on.queue, to, 1, tile * TILE, TILE, data + tile * TILE, 0, NULL, NULL) == 0);
        }
        at[2] = now();
        void *events[2] = {NULL, NULL};
        for (size_t tile = 0; tile < tiles; tile++) {
            void **event = &events[tile % 2];
            if (*event != NULL) {
                CHECK(wait(1, event) == 0 && on.release_event(*event) == 0);
            }
            uint8_t *half = staging + tile % 2 * TILE;
            memcpy(half, data + tile * TILE, TILE);
            CHECK(write(on.queue, to, 0, tile * TILE, TILE, half, 0, NULL, event) == 0);
        }
        CHECK(on.finish(on.queue) == 0 && on.release_event(events[0]) == 0 && on.release_event(events[1]) == 0);
        at[3] = now();
        for (int k = 0; k < 3 && i >= 0; k++) {
            times[k][i] = at[k + 1] - at[k];
        }
    }
    report("copy of a tile in memory of the host", (double)size, times[0]);
    report("copy to the device", (double)size, times[1]);
    report("copy to the device through pinned memory", (double)size, times[2]);
}

/* ---- the library ---- */

static double projected_in(const atlas_source *source, const atlas_pool *pool, uint8_t root[32])
{
    atlas_operation operation;
    atlas_projection *projection = NULL;
    atlas_operation_init(&operation);
    operation.pool = pool;
    const double start = now();
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection));
    const double time = now() - start;
    CHECK_OK(atlas_projection_root(projection, &operation, root));
    atlas_projection_destroy(projection);
    return time;
}

static uint64_t hashed_by(const atlas_pool *pool)
{
    atlas_accelerator_info info = {.struct_size = sizeof info};
    CHECK_OK(atlas_pool_get_accelerator(pool, &info));
    return info.bytes_hashed;
}

/* The buffer, and beside it the sources, unless they are NULL. Its root is `expected`. */
static void threads(uint32_t count, const opencl *cl, atlas_source *const sources[2], void *buffer, size_t size,
                    const uint8_t expected[32])
{
    static const char *const names[] = {"buffer on the device", "processor, memory", "processor, file", "shared, memory",
                                        "shared, file"};
    atlas_pool *plain = NULL, *pool = NULL;
    atlas_accelerator_options options;
    atlas_source *on_device = NULL;
    atlas_accelerator_options_init(&options);
    options.cl_context = cl->context, options.cl_device = cl->device;
    CHECK_OK(atlas_pool_create(count, &plain));
    const double start = now();
    CHECK_OK(atlas_pool_create_accelerated(count, &options, &pool));
    printf("%u threads: pool made in %.3f s\n", count, now() - start);
    CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 0, size, &on_device));
    const struct {
        const atlas_source *source;
        const atlas_pool *pool;
    } cases[] = {{on_device, pool}, {sources[0], plain}, {sources[1], plain}, {sources[0], pool}, {sources[1], pool}};
    enum { CASES = sizeof cases / sizeof *cases };
    double times[CASES][RUNS], shares[CASES][RUNS];
    const int last = sources[0] != NULL ? CASES : 1;
    uint8_t root[32];
    for (int i = -1; i < RUNS; i++) {
        for (int k = 0; k < last; k++) {
            const uint64_t before = hashed_by(pool);
            const double time = projected_in(cases[k].source, cases[k].pool, root);
            CHECK(memcmp(root, expected, 32) == 0);
            /* The first run warms up. */
            if (i >= 0) {
                times[k][i] = time, shares[k][i] = (double)(hashed_by(pool) - before) / (double)size;
            }
        }
    }
    for (int k = 0; k < last; k++) {
        char what[80];
        qsort(shares[k], RUNS, sizeof(double), ascending);
        snprintf(what, sizeof what, "%2u threads, %s, %.3f by the device", count, names[k], shares[k][RUNS / 2]);
        report(what, (double)size, times[k]);
    }
    atlas_source_destroy(on_device);
    atlas_pool_destroy(pool);
    atlas_pool_destroy(plain);
}

/* With NULL as `path`, the buffer alone. */
static void library(size_t size, const char *path)
{
    const opencl cl = open_opencl();
    uint8_t *data = random_bytes(size, 1), expected[32];
    void *buffer = new_buffer(&cl, CL_READ_ONLY, data, size);
    atlas_source *sources[2] = {borrowed(data, size), NULL}, *const none[2] = {NULL, NULL};
    projected_in(sources[0], NULL, expected);
    if (path != NULL) {
        write_file(path, data, size);
        CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &sources[1]));
    }
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    for (uint32_t count = 1; count <= (uint32_t)cores; count *= count < 4 ? 2 : 4) {
        threads(count, &cl, path != NULL ? sources : none, buffer, size, expected);
    }
    atlas_source_destroy(sources[0]);
    atlas_source_destroy(sources[1]);
    cl.release_buffer(buffer);
    if (path != NULL) {
        unlink(path);
    }
    free(data);
}

int main(int count, char **arguments)
{
    if (count == 4 && strcmp(arguments[1], "kernels") == 0) {
        kernels(arguments[2], (uint32_t)atoi(arguments[3]));
    } else if (count == 4 && strcmp(arguments[1], "library") == 0) {
        library((size_t)atoi(arguments[2]) * TILE, arguments[3]);
    } else if (count == 4 && strcmp(arguments[1], "copy") == 0) {
        copies(arguments[2], (uint32_t)atoi(arguments[3]));
    } else if (count == 3 && strcmp(arguments[1], "buffer") == 0) {
        library((size_t)atoi(arguments[2]) * TILE, NULL);
    } else {
        printf("usage: accelerator kernels KERNELS MIB | library MIB FILE | buffer MIB | copy KERNELS MIB\n");
        return 2;
    }
    return 0;
}
