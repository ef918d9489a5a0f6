/* Pools with an OpenCL device: the results of the processor, from memory, files, callbacks and buffers of the device;
 * every wrong argument; a fork. Needs any device, such as pocl's. */
#include "check.h"

#include "container.h"
#include "accelerator.h"
#include "opencl.h"

#include <pthread.h>
#include <stdatomic.h>

static opencl cl;
static uint8_t *data;
static size_t size;
static uint8_t key[32];

/* A pool of the context of this test. */
static atlas_pool *new_pool(uint32_t threads)
{
    atlas_accelerator_options options;
    atlas_pool *pool = NULL;
    atlas_accelerator_options_init(&options);
    options.cl_context = cl.context;
    options.cl_device = cl.device;
    CHECK_OK(atlas_pool_create_accelerated(threads, &options, &pool));
    CHECK(pool != NULL);
    return pool;
}

static uint64_t hashed_by(const atlas_pool *pool)
{
    atlas_accelerator_info info = {.struct_size = sizeof info};
    CHECK_OK(atlas_pool_get_accelerator(pool, &info));
    return info.bytes_hashed;
}

static atlas_operation on(const atlas_pool *pool)
{
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    return operation;
}

/* Root, residue and witnesses are those of the processor, and the source passes verify(). */
static void compare(const atlas_source *source, const uint8_t *bytes, size_t count, const atlas_pool *pool,
                    const atlas_projection_options *options, atlas_projection_type type)
{
    atlas_operation operation = on(pool);
    atlas_source *memory = borrowed(bytes, count);
    atlas_projection *expected = NULL, *found = NULL;
    atlas_projection_info left = {.struct_size = sizeof left}, right = {.struct_size = sizeof right};
    uint8_t roots[2][32];
    CHECK_OK(atlas_projection_create(type, memory, options, NULL, &expected));
    CHECK_OK(atlas_projection_create(type, source, options, &operation, &found));
    CHECK_OK(atlas_projection_root(expected, NULL, roots[0]));
    CHECK_OK(atlas_projection_root(found, &operation, roots[1]));
    CHECK(memcmp(roots[0], roots[1], 32) == 0);
    CHECK_OK(atlas_projection_get_info(expected, &left));
    CHECK_OK(atlas_projection_get_info(found, &right));
    CHECK_EQ(left.residue, right.residue);
    CHECK_OK(atlas_projection_verify(found, &operation));
    CHECK_OK(atlas_projection_find_damage(found, NULL, 0, NULL, NULL, &operation));
    /* The residues of the groups, which an edit in the middle needs. */
    if (count > 40000) {
        const atlas_delta delta = {.type = ATLAS_CHANGE_INSERT, .offset = 20001, .data = "edit", .data_size = 4};
        CHECK_OK(atlas_projection_apply(expected, &delta));
        CHECK_OK(atlas_projection_apply(found, &delta));
        CHECK_OK(atlas_projection_root(expected, NULL, roots[0]));
        CHECK_OK(atlas_projection_root(found, &operation, roots[1]));
        CHECK(memcmp(roots[0], roots[1], 32) == 0);
    }
    atlas_projection_destroy(found);
    atlas_projection_destroy(expected);
    atlas_source_destroy(memory);
}

static int read_data(void *user_data, uint64_t offset, void *buffer, size_t count)
{
    memcpy(buffer, (const uint8_t *)user_data + offset, count);
    return 0;
}

/* From memory, a callback and a buffer of the device, at a start that is no multiple of four. */
static void compare_sources(const atlas_pool *pool, size_t start, size_t count, const atlas_projection_options *options)
{
    atlas_source *sources[3] = {NULL, NULL, NULL};
    void *buffer = new_buffer(&cl, CL_READ_ONLY, data, size);
    sources[0] = borrowed(data + start, count);
    CHECK_OK(atlas_source_from_callback(count, read_data, NULL, data + start, &sources[1]));
    CHECK_OK(atlas_source_from_cl_mem(pool, buffer, start, count, &sources[2]));
    /* The source keeps it. */
    CHECK(cl.release_buffer(buffer) == 0);
    for (size_t i = 0; i < 3; i++) {
        const uint64_t before = hashed_by(pool);
        compare(sources[i], data + start, count, pool, options, ATLAS_PROJECTION_LINEAR);
        /* A buffer is all hashed there, few tiles of the host are not. */
        if (i == 2) {
            CHECK(hashed_by(pool) - before >= count);
        } else if (count <= 3 * TILE) {
            CHECK_EQ(hashed_by(pool), before);
        }
        atlas_source_destroy(sources[i]);
    }
}

static void results_are_those_of_the_processor(void)
{
    static const size_t counts[] = {1,     63,    64,     65,     1023,   1024,     1025,      4095,     4096,
                                    4097,  16383, 16384,  16385,  100001, 1048575,  1048576,   1048577,  3145727,
                                    3145728, 3145729};
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    for (uint32_t threads = 1; threads <= 2; threads++) {
        atlas_pool *pool = new_pool(threads);
        CHECK_EQ(atlas_pool_threads(pool), built_in(ATLAS_FEATURE_PARALLEL) ? threads : 1);
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i += small_run() ? 6 : 1) {
            compare_sources(pool, i % 5, counts[i], i % 2 == 0 ? NULL : &options);
        }
        compare_sources(pool, 3, size - 3, NULL);
        compare_sources(pool, 0, size, &options);
        random_state random = {threads};
        for (int i = 0; i < (small_run() ? 1 : 6); i++) {
            const size_t start = random_below(&random, 100), count = 1 + random_below(&random, 9 * TILE);
            compare_sources(pool, start, count < size - start ? count : size - start, i % 2 == 0 ? &options : NULL);
        }
        atlas_pool_destroy(pool);
    }
}

/* Bytes of the host are shared by every call that says so: seen with pools that have measured nothing yet. */
static void bytes_of_the_host_are_shared(void)
{
    for (int i = 0; i < 3; i++) {
        atlas_pool *pool = new_pool(2);
        const atlas_operation operation = on(pool);
        atlas_source *source = borrowed(data, size), *from = source;
        atlas_projection *projection = NULL;
        if (i == 1) {
            CHECK_OK(atlas_source_from_callback(size, read_data, NULL, data, &from));
        }
        CHECK_OK(atlas_projection_create(0, from, NULL, i < 2 ? &operation : NULL, &projection));
        if (i == 2) {
            CHECK_OK(atlas_projection_verify(projection, &operation));
        }
        CHECK(hashed_by(pool) > 0);
        atlas_projection_destroy(projection);
        if (from != source) {
            atlas_source_destroy(from);
        }
        atlas_source_destroy(source);
        atlas_pool_destroy(pool);
    }
}

/* The root of a projection, which is destroyed. */
static void take_root(atlas_projection *projection, uint8_t root[32])
{
    CHECK_OK(atlas_projection_root(projection, NULL, root));
    atlas_projection_destroy(projection);
}

/* The bytes of two files are the same. Both are removed. */
static void same_files(const char *const paths[2])
{
    FILE *files[2] = {fopen(paths[0], "rb"), fopen(paths[1], "rb")};
    CHECK(files[0] != NULL && files[1] != NULL);
    static uint8_t parts[2][65536];
    size_t found = 0;
    do {
        found = fread(parts[0], 1, sizeof parts[0], files[0]);
        CHECK_EQ(fread(parts[1], 1, sizeof parts[1], files[1]), found);
        CHECK(memcmp(parts[0], parts[1], found) == 0);
    } while (found > 0);
    for (int i = 0; i < 2; i++) {
        CHECK(fclose(files[i]) == 0 && unlink(paths[i]) == 0);
    }
}

/* A shard of both projections is the same bytes. */
static void compare_shards(const atlas_projection *left, const atlas_projection *right, const atlas_operation *operation)
{
    atlas_projection_info info = {.struct_size = sizeof info};
    CHECK_OK(atlas_projection_get_info(left, &info));
    const uint64_t half = info.domain_size / 2;
    const atlas_region regions[] = {{0, 1}, {half, info.domain_size - half}};
    const atlas_projection *projections[2] = {left, right};
    atlas_buffer bytes[2];
    for (int i = 0; i < 2; i++) {
        atlas_shard *shard = NULL;
        CHECK_OK(atlas_shard_extract_batch(projections[i], regions, 2, NULL, i == 0 ? NULL : operation, &shard));
        CHECK_OK(atlas_shard_serialize(shard, &bytes[i]));
        atlas_shard_destroy(shard);
    }
    CHECK(bytes[0].size == bytes[1].size && memcmp(bytes[0].data, bytes[1].data, bytes[0].size) == 0);
    atlas_buffer_free(&bytes[0]);
    atlas_buffer_free(&bytes[1]);
}

/* Shards, streams and containers of a pool with a device and of one without are the same. */
static void compare_makings(const atlas_source *source, const atlas_pool *pool, const atlas_projection_options *options)
{
    static const uint8_t id[16] = {3}; /* chosen at random otherwise */
    static const char *const paths[2] = {"processor.atlas", "device.atlas"};
    const atlas_operation operation = on(pool);
    const atlas_projection_type linear = ATLAS_PROJECTION_LINEAR;
    atlas_projection *projections[2] = {NULL, NULL};
    uint8_t roots[2][32];
    for (int i = 0; i < 2; i++) {
        CHECK_OK(atlas_projection_create(linear, source, options, i == 0 ? NULL : &operation, &projections[i]));
    }
    compare_shards(projections[0], projections[1], &operation);
    atlas_projection_destroy(projections[1]);
    take_root(projections[0], roots[0]);
    if (built_in(ATLAS_FEATURE_STREAMING)) {
        CHECK_OK(atlas_stream_project(linear, source, options, NULL, &operation, &projections[1]));
        take_root(projections[1], roots[1]);
        CHECK(memcmp(roots[0], roots[1], 32) == 0);
    }
    for (int i = 0; i < 2; i++) {
        atlas_container_create_options create;
        atlas_container_create_options_init(&create);
        create.id = id;
        create.keep_chains = options != NULL;
        atlas_container *container = created(paths[i], linear, options, &create);
        uint64_t generation = 0;
        CHECK_OK(atlas_container_import(container, source, NULL, 0, NULL, i == 0 ? NULL : &operation, &generation));
        projections[i] = snapshot_of(container, 0, true);
        CHECK_OK(atlas_projection_find_damage(projections[i], NULL, 0, NULL, NULL, &operation));
        CHECK_OK(atlas_projection_verify(projections[i], &operation));
        take_root(projections[i], roots[1]);
        CHECK(memcmp(roots[0], roots[1], 32) == 0);
        atlas_container_destroy(container);
    }
    same_files(paths);
}

static void files_streams_and_containers_are_the_same(void)
{
    static const size_t counts[] = {1, 4095, 4097, TILE, 4 * TILE, 5 * TILE + 1};
    atlas_projection_options keyed;
    atlas_projection_options_init(&keyed);
    keyed.key = key;
    enter_folder();
    for (size_t i = 0; i < sizeof counts / sizeof counts[0] + 2; i++) {
        const size_t count = i < sizeof counts / sizeof counts[0] ? counts[i] : size;
        atlas_pool *pool = new_pool(1 + (uint32_t)i % 2);
        atlas_source *sources[3] = {NULL, NULL, NULL};
        write_file("data", data, count);
        CHECK_OK(atlas_source_open_file("data", ATLAS_FILE_IO_READ, &sources[0]));
        if (built_in(ATLAS_FEATURE_STREAMING)) {
            CHECK_OK(atlas_source_open_file("data", ATLAS_FILE_IO_MMAP, &sources[1]));
        }
        void *buffer = new_buffer(&cl, 0, data, count);
        CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 0, count, &sources[2]));
        CHECK(cl.release_buffer(buffer) == 0);
        for (int j = 0; j < 3; j++) {
            if (sources[j] != NULL) {
                compare(sources[j], data, count, pool, i % 2 == 0 ? NULL : &keyed, ATLAS_PROJECTION_LINEAR);
                compare_makings(sources[j], pool, i % 2 == 0 ? NULL : &keyed);
                atlas_source_destroy(sources[j]);
            }
        }
        CHECK(unlink("data") == 0);
        atlas_pool_destroy(pool);
    }
    leave_folder();
    /* The transform stays on the processor. */
    atlas_pool *pool = new_pool(2);
    atlas_source *part = borrowed(data, 5 * TILE + 5);
    compare(part, data, 5 * TILE + 5, pool, NULL, ATLAS_PROJECTION_R96_FOURIER);
    atlas_source_destroy(part);
    CHECK_EQ(hashed_by(pool), 0);
    atlas_pool_destroy(pool);
}

/* Pieces of memory and of buffers in one source, tiles across their edges among them. */
static void sequences_are_the_same(void)
{
    atlas_pool *pool = new_pool(2);
    void *buffer = new_buffer(&cl, 0, data, size);
    atlas_source *parts[3] = {NULL, NULL, NULL}, *all = NULL, *range = NULL;
    const size_t ends[4] = {0, 3 * TILE, 5 * TILE + 7, 8 * TILE};
    CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 0, ends[1], &parts[0]));
    parts[1] = borrowed(data + ends[1], ends[2] - ends[1]);
    CHECK_OK(atlas_source_from_cl_mem(pool, buffer, ends[2], ends[3] - ends[2], &parts[2]));
    CHECK_OK(atlas_source_concat((const atlas_source *const *)parts, 3, &all));
    compare(all, data, ends[3], pool, NULL, ATLAS_PROJECTION_LINEAR);
    /* A range of a buffer is hashed there. */
    const uint64_t hashed = hashed_by(pool);
    const atlas_operation operation = on(pool);
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_source_range(parts[0], 11, 2 * TILE, &range));
    CHECK_OK(atlas_projection_create(0, range, NULL, &operation, &projection));
    CHECK_EQ(hashed_by(pool) - hashed, 2 * TILE);
    atlas_projection_destroy(projection);
    for (int i = 0; i < 3; i++) {
        atlas_source_destroy(parts[i]);
    }
    atlas_source_destroy(range);
    atlas_source_destroy(all);
    CHECK(cl.release_buffer(buffer) == 0);
    atlas_pool_destroy(pool);
}

static atomic_bool writing;

static void *write_again_and_again(void *path)
{
    FILE *file = fopen((const char *)path, "r+b");
    CHECK(file != NULL);
    for (uint8_t i = 0; atomic_load(&writing); i++) {
        CHECK(fseek(file, 300 + i, SEEK_SET) == 0 && fputc(i, file) == i && fflush(file) == 0);
    }
    CHECK(fclose(file) == 0);
    return NULL;
}

/* A file that is written during calls is no fault of the device. */
static void a_mapped_file_may_change(void)
{
    if (!built_in(ATLAS_FEATURE_STREAMING)) {
        return;
    }
    atlas_pool *pool = new_pool(2);
    const atlas_operation operation = on(pool);
    atlas_source *source = NULL;
    atlas_projection *projection = NULL, *again = NULL;
    pthread_t writer;
    enter_folder();
    write_file("data", data, size);
    CHECK_OK(atlas_source_open_file("data", ATLAS_FILE_IO_MMAP, &source));
    CHECK_OK(atlas_projection_create(0, source, NULL, &operation, &projection));
    atomic_store(&writing, true);
    char path[] = "data";
    CHECK(pthread_create(&writer, NULL, write_again_and_again, path) == 0);
    for (int i = 0; i < 10; i++) {
        const int status = (int)atlas_projection_verify(projection, &operation);
        CHECK(status == ATLAS_STATUS_OK || status == ATLAS_STATUS_WITNESS);
        CHECK_OK(atlas_projection_create(0, source, NULL, &operation, &again));
        atlas_projection_destroy(again);
    }
    atomic_store(&writing, false);
    CHECK(pthread_join(writer, NULL) == 0);
    CHECK(hashed_by(pool) > 0);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    CHECK(unlink("data") == 0);
    leave_folder();
    atlas_pool_destroy(pool);
}

/* Damage is found whether the device sees it or not. */
static void damage_is_found(void)
{
    atlas_pool *pool = new_pool(2);
    const atlas_operation operation = on(pool);
    uint8_t *bytes = (uint8_t *)malloc(size);
    CHECK(bytes != NULL);
    memcpy(bytes, data, size);
    atlas_source *source = borrowed(bytes, size);
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection));
    for (size_t tile = 0; tile < size / TILE; tile++) {
        atlas_error_info error = {.struct_size = sizeof error};
        bytes[tile * TILE + 77] ^= 1;
        CHECK_STATUS(atlas_projection_verify(projection, &operation), ATLAS_STATUS_WITNESS);
        CHECK_OK(atlas_last_error_get(&error));
        CHECK_EQ(error.index, tile);
        CHECK_STATUS(atlas_projection_find_damage(projection, NULL, 0, NULL, NULL, &operation), ATLAS_STATUS_WITNESS);
        bytes[tile * TILE + 77] ^= 1;
    }
    CHECK_OK(atlas_projection_verify(projection, &operation));
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    free(bytes);
    atlas_pool_destroy(pool);
}

/* Edits that bring whole tiles, which the device shares, between edits of parts of tiles. */
static void new_tiles_of_edits_are_shared(void)
{
    atlas_projection_options keyed;
    atlas_projection_options_init(&keyed);
    keyed.key = key;
    for (int with_key = 0; with_key < 2; with_key++) {
        atlas_pool *pool = new_pool(2);
        const atlas_operation operation = on(pool);
        atlas_source *source = borrowed(data, 3 * TILE + 7);
        atlas_projection *projections[2] = {NULL, NULL};
        const uint64_t before = hashed_by(pool);
        uint8_t roots[2][32];
        for (int i = 0; i < 2; i++) {
            CHECK_OK(atlas_projection_create(0, source, with_key ? &keyed : NULL, NULL, &projections[i]));
            /* New tiles in a tile and at the end, a part of one, and then parts of tiles that are new. */
            const atlas_delta deltas[] = {
                {.type = ATLAS_CHANGE_INSERT, .offset = TILE + 5, .data = data + 11, .data_size = 9 * TILE + 3},
                {.type = ATLAS_CHANGE_INSERT, .offset = 12 * TILE + 10, .data = data + 4, .data_size = 6 * TILE},
                {.type = ATLAS_CHANGE_INSERT, .offset = 77, .data = data, .data_size = 1000},
            };
            for (size_t edit = 0; edit < sizeof deltas / sizeof deltas[0]; edit++) {
                CHECK_OK(atlas_projection_apply(projections[i], &deltas[edit]));
            }
            CHECK_OK(atlas_projection_root(projections[i], i == 0 ? NULL : &operation, roots[i]));
            const atlas_delta part = {.type = ATLAS_CHANGE_INSERT, .offset = 5 * TILE, .data = data, .data_size = 20000};
            CHECK_OK(atlas_projection_apply(projections[i], &part));
        }
        CHECK(memcmp(roots[0], roots[1], 32) == 0);
        CHECK(hashed_by(pool) > before);
        for (int i = 0; i < 2; i++) {
            CHECK_OK(atlas_projection_root(projections[i], i == 0 ? NULL : &operation, roots[i]));
            CHECK_OK(atlas_projection_verify(projections[i], &operation));
            atlas_projection_destroy(projections[i]);
        }
        CHECK(memcmp(roots[0], roots[1], 32) == 0);
        atlas_source_destroy(source);
        atlas_pool_destroy(pool);
    }
}

/* Everything that is not hashed on the device reads copies, also of a buffer that the host may not read. */
static void buffers_are_read_by_copies(void)
{
    static const uint64_t flags[] = {0, CL_READ_ONLY, CL_NO_ACCESS};
    const size_t count = 3 * TILE + 17;
    atlas_pool *pool = new_pool(2);
    const atlas_operation operation = on(pool);
    for (size_t i = 0; i < 3; i++) {
        void *buffer = new_buffer(&cl, flags[i], data, size);
        atlas_source *source = NULL, *range = NULL;
        atlas_projection *projection = NULL;
        CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 5, count, &source));
        CHECK(cl.release_buffer(buffer) == 0);
        CHECK_EQ(atlas_source_size(source), count);
        /* Without a pool of the context the processor hashes. */
        const uint64_t before = hashed_by(pool);
        compare(source, data + 5, count, NULL, NULL, ATLAS_PROJECTION_LINEAR);
        CHECK_EQ(hashed_by(pool), before);
        CHECK_OK(atlas_source_range(source, TILE + 3, TILE, &range));
        compare(range, data + 8 + TILE, TILE, pool, NULL, ATLAS_PROJECTION_LINEAR);
        CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection));
        const atlas_region region = {TILE - 9, TILE + 20};
        atlas_shard *shard = NULL;
        const uint8_t *bytes = NULL;
        size_t length = 0;
        CHECK_OK(atlas_shard_extract_batch(projection, &region, 1, NULL, &operation, &shard));
        CHECK_OK(atlas_shard_data(shard, &bytes, &length));
        CHECK(length == region.length && memcmp(bytes, data + 5 + region.offset, length) == 0);
        atlas_shard_destroy(shard);
        atlas_projection_destroy(projection);
        atlas_source_destroy(range);
        atlas_source_destroy(source);
    }
    atlas_pool_destroy(pool);
}

/* A source outlives pool, context and every reference of its owner. */
static void a_source_keeps_its_buffer(void)
{
    opencl own = cl;
    own.context = new_context(&cl);
    atlas_accelerator_options options;
    atlas_accelerator_options_init(&options);
    options.cl_context = own.context;
    options.cl_device = own.device;
    atlas_pool *pool = NULL;
    atlas_source *source = NULL;
    CHECK_OK(atlas_pool_create_accelerated(1, &options, &pool));
    void *buffer = new_buffer(&own, 0, data, TILE + 1);
    CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 0, TILE + 1, &source));
    CHECK(own.release_buffer(buffer) == 0 && own.release_context(own.context) == 0);
    atlas_pool_destroy(pool);
    compare(source, data, TILE + 1, NULL, NULL, ATLAS_PROJECTION_LINEAR);
    atlas_source_destroy(source);
}

static void wrong_arguments_are_refused(void)
{
    atlas_pool *pool = new_pool(1), *plain = NULL, *none = NULL;
    atlas_source *source = NULL;
    atlas_accelerator_info info = {.struct_size = sizeof info};
    atlas_accelerator_options options;
    opencl other = cl;
    other.context = new_context(&cl);
    void *buffer = new_buffer(&cl, 0, data, 1000), *foreign = new_buffer(&other, 0, data, 1000);
    void *write_only = new_buffer(&cl, CL_WRITE_ONLY, NULL, 1000);
    CHECK_OK(atlas_pool_create(1, &plain));
#define REFUSED(status, pool_, buffer_, offset, count)                                                     \
    do {                                                                                                   \
        CHECK_STATUS(atlas_source_from_cl_mem(pool_, buffer_, offset, count, &source), ATLAS_STATUS_##status); \
        CHECK(source == NULL);                                                                             \
    } while (0)
    REFUSED(INVALID_ARGUMENT, NULL, buffer, 0, 1);
    REFUSED(INVALID_ARGUMENT, plain, buffer, 0, 1);
    REFUSED(INVALID_ARGUMENT, pool, NULL, 0, 1);
    REFUSED(INVALID_ARGUMENT, pool, foreign, 0, 1);
    REFUSED(INVALID_ARGUMENT, pool, write_only, 0, 1);
    REFUSED(OUT_OF_RANGE, pool, buffer, 0, 1001);
    REFUSED(OUT_OF_RANGE, pool, buffer, 1001, 0);
    REFUSED(OUT_OF_RANGE, pool, buffer, UINT64_MAX, 2);
    CHECK_STATUS(atlas_source_from_cl_mem(pool, buffer, 0, 1, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_pool_get_accelerator(NULL, &info), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_pool_get_accelerator(pool, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_pool_get_accelerator(plain, &info), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_OK(atlas_pool_get_accelerator(pool, &info));
    CHECK(info.compute_units > 0 && info.memory_size > 0 && info.name[0] != '\0' && info.name[127] == '\0');
    /* A range of no bytes is a source of no bytes. */
    CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 1000, 0, &source));
    CHECK_EQ(atlas_source_size(source), 0);
    compare(source, data, 0, pool, NULL, ATLAS_PROJECTION_LINEAR);
    atlas_source_destroy(source);

    CHECK_STATUS(atlas_pool_create_accelerated(1, NULL, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    atlas_accelerator_options_init(NULL);
    atlas_accelerator_options_init(&options);
    CHECK(options.struct_size == sizeof options && options.name == NULL && options.memory_limit == 0);
    options.name = "no device has this name";
    CHECK_STATUS(atlas_pool_create_accelerated(1, &options, &none), ATLAS_STATUS_UNSUPPORTED);
    CHECK_SAYS("no device has this name");
    options.name = "";
    options.index = 1000;
    CHECK_STATUS(atlas_pool_create_accelerated(1, &options, &none), ATLAS_STATUS_UNSUPPORTED);
    options.index = 0;
    options.memory_limit = 1000;
    CHECK_STATUS(atlas_pool_create_accelerated(1, &options, &none), ATLAS_STATUS_LIMIT);
    options.memory_limit = 0;
    CHECK_STATUS(atlas_pool_create_accelerated(1025, &options, &none), ATLAS_STATUS_INVALID_ARGUMENT);
    options.cl_context = cl.context;
    CHECK_STATUS(atlas_pool_create_accelerated(1, &options, &none), ATLAS_STATUS_INVALID_ARGUMENT);
    options.cl_context = NULL;
    options.cl_device = cl.device;
    CHECK_STATUS(atlas_pool_create_accelerated(1, &options, &none), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(none == NULL);
    /* By a part of its name. Memory for one tile alone is enough. */
    char part[8] = {0};
    memcpy(part, info.name, 4);
    options.cl_device = NULL;
    options.name = part;
    options.memory_limit = 3 * TILE / 2;
    CHECK_OK(atlas_pool_create_accelerated(2, &options, &none));
    atlas_source *memory = borrowed(data, size);
    compare(memory, data, size, none, NULL, ATLAS_PROJECTION_LINEAR);
    atlas_source_destroy(memory);
    atlas_pool_destroy(none);

    CHECK(cl.release_buffer(buffer) == 0 && cl.release_buffer(write_only) == 0 && cl.release_buffer(foreign) == 0);
    CHECK(cl.release_context(other.context) == 0);
    atlas_pool_destroy(plain);
    atlas_pool_destroy(pool);
}

static bool cancel_third(const atlas_progress *progress, void *user_data)
{
    (void)progress;
    return ++*(int *)user_data < 3;
}

static int fail_late(void *user_data, uint64_t offset, void *buffer, size_t count)
{
    return offset + count > 5 * TILE ? EIO : read_data(user_data, offset, buffer, count);
}

/* A failing read has the status and the place that it has with a plain pool. */
static void a_failing_read_is_the_same(const atlas_pool *pool, int kind)
{
    const atlas_operation operation = on(pool);
    atlas_source *failing = NULL;
    CHECK_OK(atlas_source_from_callback(size, fail_late, NULL, data, &failing));
    /* The others have a projection of bytes that can be read. */
    if (kind != VERIFY && kind != FIND_DAMAGE && kind != EDIT) {
        atlas_error_info errors[2];
        for (int i = 0; i < 2; i++) {
            errors[i].struct_size = sizeof errors[i];
            CHECK_STATUS(shared_call(kind, NULL, failing, NULL, i == 0 ? NULL : &operation), ATLAS_STATUS_IO);
            CHECK_OK(atlas_last_error_get(&errors[i]));
        }
        CHECK(errors[1].os_error == EIO);
        CHECK_EQ(errors[1].index, errors[0].index);
        CHECK(kind == STREAM || errors[1].index == 5);
    }
    atlas_source_destroy(failing);
}

/* A call that ends early leaves the pool as it was; a lack of memory is one status. */
static void a_call_may_end_early(void)
{
    atlas_pool *pool = new_pool(2);
    atlas_operation operation = on(pool);
    atlas_source *sources[2] = {borrowed(data, size), NULL};
    atlas_projection *projection = NULL;
    void *buffer = new_buffer(&cl, 0, data, size);
    CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 0, size, &sources[1]));
    CHECK(cl.release_buffer(buffer) == 0);
    enter_folder();
    for (int i = 0; i < 2; i++) {
        CHECK_OK(atlas_projection_create(0, sources[i], NULL, &operation, &projection));
        for (int kind = 0; kind < CALLS; kind++) {
            if (kind == STREAM && !built_in(ATLAS_FEATURE_STREAMING)) {
                continue;
            }
            /* A stream of this size reports once. */
            int calls = kind == STREAM ? 2 : 0;
            operation.progress = cancel_third;
            operation.user_data = &calls;
            CHECK_STATUS(shared_call(kind, projection, sources[i], NULL, &operation), ATLAS_STATUS_CANCELLED);
            operation.progress = NULL;
            a_failing_read_is_the_same(pool, kind);
            CHECK_OK(shared_call(kind, projection, sources[i], NULL, &operation));
        }
        atlas_projection_destroy(projection);
        projection = NULL;
    }
    leave_folder();
    atlas_source_destroy(sources[0]);
    atlas_source_destroy(sources[1]);
    atlas_pool_destroy(pool);
}

/* A limit that is enough for a plain pool is enough. */
static void memory_limits_are_those_of_plain_pools(void)
{
    static const uint64_t limits[] = {TILE + TILE / 4, 3 * TILE / 2, 2 * TILE, 3 * TILE, 9 * TILE};
    const size_t count = 8 * TILE + 12345;
    enter_folder();
    write_file("data", data, count);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        for (int j = 0; j < (built_in(ATLAS_FEATURE_STREAMING) ? 4 : 3); j++) {
            atlas_pool *pool = new_pool(2);
            atlas_operation operation = on(pool), plain = {0};
            atlas_source *source = NULL;
            atlas_projection *projection = NULL;
            atlas_operation_init(&plain);
            operation.memory_limit = plain.memory_limit = limits[i];
            if (j == 0) {
                source = borrowed(data, count);
            } else if (j == 1) {
                CHECK_OK(atlas_source_open_file("data", ATLAS_FILE_IO_READ, &source));
            } else if (j == 2) {
                void *buffer = new_buffer(&cl, 0, data, count);
                CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 0, count, &source));
                CHECK(cl.release_buffer(buffer) == 0);
            } else {
                CHECK_OK(atlas_source_open_file("data", ATLAS_FILE_IO_MMAP, &source));
            }
            CHECK_OK(atlas_projection_create(0, source, NULL, NULL, &projection));
            for (int kind = 0; kind < CALLS; kind++) {
                if (kind == STREAM && !built_in(ATLAS_FEATURE_STREAMING)) {
                    continue;
                }
                const int expected = shared_call(kind, projection, source, NULL, &plain);
                CHECK(expected == ATLAS_STATUS_OK || expected == ATLAS_STATUS_LIMIT);
                const int found = shared_call(kind, projection, source, NULL, &operation);
                CHECK_EQ(found, expected);
            }
            atlas_projection_destroy(projection);
            atlas_source_destroy(source);
            atlas_pool_destroy(pool);
        }
    }
    CHECK(unlink("data") == 0);
    leave_folder();
}

static void two_pools_share_a_context(void)
{
    atlas_pool *first = new_pool(2), *second = new_pool(1);
    void *buffer = new_buffer(&cl, 0, data, size);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_cl_mem(first, buffer, 0, size, &source));
    CHECK(cl.release_buffer(buffer) == 0);
    compare(source, data, size, second, NULL, ATLAS_PROJECTION_LINEAR);
    CHECK(hashed_by(first) == 0 && hashed_by(second) >= size);
    atlas_pool_destroy(first);
    compare(source, data, size, second, NULL, ATLAS_PROJECTION_LINEAR);
    atlas_source_destroy(source);
    atlas_pool_destroy(second);
}

/* The child is refused everything, and ends without a call of OpenCL. */
static void a_child_makes_no_call_of_opencl(void)
{
    atlas_pool *pool = new_pool(2), *none = NULL;
    const atlas_operation operation = on(pool);
    void *buffer = new_buffer(&cl, 0, data, size);
    atlas_source *source = NULL, *another = NULL;
    atlas_projection *projection = NULL, *made = NULL;
    CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 0, size, &source));
    CHECK_OK(atlas_projection_create(0, source, NULL, &operation, &projection));
    /* A container in a buffer. */
    const char *path = temp_path("container.atlas");
    atlas_container *container = created(path, 0, NULL, NULL), *stored = NULL;
    atlas_projection *snapshot = NULL;
    uint64_t generation = 0;
    CHECK_OK(atlas_container_import(container, source, NULL, 0, NULL, NULL, &generation));
    atlas_container_destroy(container);
    size_t stored_size = 0;
    uint8_t *file = bytes_of_file(path, &stored_size);
    void *in_buffer = new_buffer(&cl, 0, file, stored_size);
    CHECK_OK(atlas_source_from_cl_mem(pool, in_buffer, 0, stored_size, &another));
    CHECK_OK(atlas_container_open_source(another, NULL, NULL, NULL, &stored));
    CHECK_OK(atlas_container_snapshot(stored, generation, 0, NULL, &snapshot));
    atlas_source_destroy(another);
    another = NULL;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        uint8_t byte = 0;
        (void)alarm(60);
        CHECK_STATUS(atlas_projection_read(snapshot, TILE, &byte, 1), ATLAS_STATUS_STATE);
        CHECK_STATUS(atlas_container_find_damage(stored, 0, NULL, NULL, NULL), ATLAS_STATUS_STATE);
        CHECK_STATUS(atlas_projection_verify(projection, &operation), ATLAS_STATUS_STATE);
        CHECK_STATUS(atlas_projection_verify(projection, NULL), ATLAS_STATUS_STATE);
        CHECK_STATUS(atlas_projection_read(projection, 0, &byte, 1), ATLAS_STATUS_STATE);
        CHECK_STATUS(atlas_projection_create(0, source, NULL, &operation, &made), ATLAS_STATUS_STATE);
        CHECK_STATUS(atlas_source_from_cl_mem(pool, buffer, 0, 1, &another), ATLAS_STATUS_STATE);
        CHECK(hashed_by(pool) > 0); /* no call of OpenCL */
        CHECK_STATUS(atlas_pool_create_accelerated(1, NULL, &none), ATLAS_STATUS_STATE);
        atlas_projection_destroy(projection);
        atlas_source_destroy(source);
        atlas_pool_destroy(pool);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_OK(atlas_projection_verify(projection, &operation));
    CHECK_OK(atlas_projection_verify(snapshot, NULL));
    CHECK(cl.release_buffer(buffer) == 0 && cl.release_buffer(in_buffer) == 0);
    free(file);
    CHECK(unlink(path) == 0);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(stored);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    atlas_pool_destroy(pool);
}

static bool fork_once(const atlas_progress *progress, void *user_data)
{
    (void)progress;
    pid_t *child = (pid_t *)user_data;
    if (*child < 0) {
        *child = fork();
        if (*child == 0) {
            (void)alarm(60);
        }
    }
    return true;
}

/* The child of a callback ends its call with STATE, and the parent's goes on. */
static void a_callback_may_fork(void)
{
    atlas_pool *pool = new_pool(1);
    atlas_operation operation = on(pool);
    for (int i = 0; i < 2; i++) {
        atlas_source *source = NULL;
        atlas_projection *projection = NULL;
        pid_t child = -1;
        int status = -1;
        if (i == 0) {
            CHECK_OK(atlas_source_from_callback(size, read_data, NULL, data, &source));
        } else {
            void *buffer = new_buffer(&cl, 0, data, size);
            CHECK_OK(atlas_source_from_cl_mem(pool, buffer, 0, size, &source));
            CHECK(cl.release_buffer(buffer) == 0);
        }
        operation.progress = fork_once;
        operation.user_data = &child;
        CHECK_OK(atlas_projection_create(0, source, NULL, NULL, &projection));
        const int found = (int)atlas_projection_verify(projection, &operation);
        if (child == 0) {
            /* All tiles of the device may have been hashed before. */
            _exit(found == ATLAS_STATUS_STATE || found == ATLAS_STATUS_OK ? 0 : 1);
        }
        CHECK(found == ATLAS_STATUS_OK && child > 0);
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        atlas_projection_destroy(projection);
        atlas_source_destroy(source);
    }
    atlas_pool_destroy(pool);
}

/* Buffers of a context of two devices, each with a pool. pocl has several if it is asked to. */
static void two_devices_give_the_same(void)
{
    void *devices[2] = {NULL, NULL};
    int32_t status = -1;
    if (devices_of(&cl, devices) < 2) {
        return;
    }
    opencl both = cl;
    both.context = cl.create_context(NULL, 2, devices, NULL, NULL, &status);
    CHECK(status == 0);
    atlas_pool *pools[2] = {NULL, NULL};
    atlas_source *sources[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        atlas_accelerator_options options;
        atlas_accelerator_options_init(&options);
        options.cl_context = both.context;
        options.cl_device = devices[i];
        CHECK_OK(atlas_pool_create_accelerated(2, &options, &pools[i]));
        void *buffer = new_buffer(&both, 0, data, size);
        CHECK_OK(atlas_source_from_cl_mem(pools[i], buffer, 0, size, &sources[i]));
        CHECK(cl.release_buffer(buffer) == 0);
    }
    for (int i = 0; i < 4; i++) {
        compare(sources[i % 2], data, size, pools[i / 2], NULL, ATLAS_PROJECTION_LINEAR);
    }
    for (int i = 0; i < 2; i++) {
        /* By its number. */
        atlas_accelerator_options options;
        atlas_pool *pool = NULL;
        atlas_accelerator_options_init(&options);
        options.name = "";
        options.index = (uint32_t)i;
        CHECK_OK(atlas_pool_create_accelerated(1, &options, &pool));
        compare(sources[i], data, size, pool, NULL, ATLAS_PROJECTION_LINEAR);
        atlas_pool_destroy(pool);
        atlas_source_destroy(sources[i]);
        atlas_pool_destroy(pools[i]);
    }
    CHECK(cl.release_context(both.context) == 0);
}

/* Without the feature every call says so. */
static void check_stand_ins(void)
{
    atlas_pool *pool = NULL, *plain = NULL;
    atlas_accelerator_info info = {.struct_size = sizeof info};
    atlas_source *source = NULL;
    CHECK_OK(atlas_pool_create(1, &plain));
    CHECK_STATUS(atlas_pool_create_accelerated(1, NULL, &pool), ATLAS_STATUS_UNSUPPORTED);
    CHECK_STATUS(atlas_pool_get_accelerator(plain, &info), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_source_from_cl_mem(plain, &info, 0, 1, &source), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(pool == NULL && source == NULL);
    atlas_pool_destroy(plain);
}

int main(void)
{
    if (!built_in(ATLAS_FEATURE_OPENCL)) {
        TEST(check_stand_ins);
        return 0;
    }
    cl = open_opencl();
    size = (small_run() ? 9 : 40) * TILE + 12345;
    data = random_bytes(size, 35);
    fill_random(key, sizeof key, 36);
    TEST(results_are_those_of_the_processor);
    TEST(bytes_of_the_host_are_shared);
    TEST(sequences_are_the_same);
    TEST(a_mapped_file_may_change);
    TEST(files_streams_and_containers_are_the_same);
    TEST(damage_is_found);
    TEST(new_tiles_of_edits_are_shared);
    TEST(buffers_are_read_by_copies);
    TEST(a_source_keeps_its_buffer);
    TEST(wrong_arguments_are_refused);
    TEST(a_call_may_end_early);
    TEST(memory_limits_are_those_of_plain_pools);
    TEST(two_pools_share_a_context);
    TEST(a_child_makes_no_call_of_opencl);
    TEST(a_callback_may_fork);
    TEST(two_devices_give_the_same);
    CHECK(cl.release_context(cl.context) == 0);
    free(data);
    return 0;
}
