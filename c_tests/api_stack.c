/* A call needs 64 KiB of stack, or 192 KiB if it rebuilds a parity row with 28 or more lost units: each function runs on a
 * thread that has as much below the caller's frame, to a page, on the calling thread alone and with a pool.
 *
 *   api_stack [KIB]    as much instead; 0 prints the bytes of the stack that each call wrote */
#define _GNU_SOURCE 1
#include "check.h"

#ifdef _WIN32
int main(void) { skip("the guard of a stack is made with mprotect"); }
#else

#include "container.h"
#include "calls.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#define WHOLE ((size_t)4 << 20)
#define PAINT 0xA5

static const uint8_t key[32] = "a key of thirty-two bytes......";
static size_t allowed = 64;

/* ---- calls beside those of calls.h ------------------------------------------------ */

static atlas_source *large; /* of six tiles and a part */

/* A projection with a key: shards, an edit, and the domain rebuilt. */
static atlas_status keyed(uint32_t type, const atlas_operation *operation)
{
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    atlas_projection *projection = NULL, *whole = NULL;
    CHECK_OK(atlas_projection_create(type, large, &options, operation, &projection));
    const atlas_region region = {0, 6 * TILE + 5};
    atlas_shard *shard = NULL;
    CHECK_OK(atlas_shard_extract(projection, &region, operation, &shard));
    replace(projection, 5000, 3, "abcd", 4);
    uint8_t root[32];
    CHECK_OK(atlas_projection_root(projection, operation, root));
    CHECK_OK(atlas_projection_optimize(projection, operation));
    CHECK_OK(atlas_projection_verify(projection, operation));
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.key = key;
    CHECK_OK(atlas_shard_verify(shard, &verify, operation));
    atlas_reconstruction_options rebuild;
    atlas_reconstruction_options_init(&rebuild);
    rebuild.key = key;
    rebuild.spool_path = given.target;
    atlas_reconstruction *reconstruction = NULL;
    CHECK_OK(atlas_reconstruction_create(&rebuild, &reconstruction));
    CHECK_OK(atlas_reconstruction_add(reconstruction, shard, operation));
    CHECK_OK(atlas_reconstruction_finish(reconstruction, operation, &whole));
    atlas_projection_destroy(whole);
    atlas_reconstruction_destroy(reconstruction);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    CHECK_EQ(unlink(given.target), 0);
    return ATLAS_STATUS_OK;
}

static atlas_status keyed_linear(const atlas_operation *operation)
{
    return keyed(ATLAS_PROJECTION_LINEAR, operation);
}

static atlas_status keyed_r96(const atlas_operation *operation)
{
    return keyed(ATLAS_PROJECTION_R96_FOURIER, operation);
}

/* A container with a key, a second generation and a compaction. */
static atlas_status keyed_container(const atlas_operation *operation)
{
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.key = key;
    uint64_t generation = 0;
    atlas_container *container = NULL;
    CHECK_OK(atlas_container_create(given.target, ATLAS_PROJECTION_LINEAR, &options, NULL, operation, &container));
    CHECK_OK(atlas_container_import(container, large, NULL, 0, NULL, operation, &generation));
    atlas_projection *snapshot = NULL;
    CHECK_OK(atlas_container_snapshot(container, 0, true, operation, &snapshot));
    replace(snapshot, 3 * TILE, 5, "others", 6);
    CHECK_OK(atlas_container_commit(container, snapshot, NULL, operation, &generation));
    atlas_projection_destroy(snapshot);
    CHECK_OK(atlas_container_compact(container, NULL, 0, operation));
    atlas_container_destroy(container);
    CHECK_OK(atlas_container_open(given.target, ATLAS_CONTAINER_WRITE, &verify, NULL, operation, &container));
    CHECK_OK(atlas_container_find_damage(container, 0, NULL, NULL, operation));
    atlas_container_destroy(container);
    CHECK_EQ(unlink(given.target), 0);
    return ATLAS_STATUS_OK;
}

static bool accepted(const atlas_damage *damage, void *user_data)
{
    (void)damage;
    (void)user_data;
    return true;
}

/* A parity file with a key, a check, and a repair in place. */
static atlas_status keyed_parity(const atlas_operation *operation)
{
    atlas_parity_options options;
    atlas_parity_options_init(&options);
    options.key = key;
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.key = key;
    atlas_source *source = file_source(given.file, ATLAS_FILE_IO_READ);
    atlas_parity *parity = NULL;
    CHECK_OK(atlas_parity_create(source, given.target, &options, operation));
    CHECK_OK(atlas_parity_open(given.target, &verify, operation, &parity));
    change_byte(given.file, 5000);
    atlas_parity_report report = {.struct_size = (uint32_t)sizeof report};
    CHECK_STATUS(atlas_parity_check(parity, source, NULL, NULL, operation, &report), ATLAS_STATUS_WITNESS);
    atlas_repair_options repair;
    atlas_repair_options_init(&repair);
    repair.mode = ATLAS_REPAIR_IN_PLACE;
    CHECK_OK(atlas_parity_repair(parity, given.file, &repair, accepted, NULL, operation, &report));
    CHECK(file_is(given.file, given.data, SIZE));
    atlas_parity_destroy(parity);
    atlas_source_destroy(source);
    CHECK_EQ(unlink(given.target), 0);
    return ATLAS_STATUS_OK;
}

/* A parity row all of whose 32 data units are lost. */
static atlas_status many_lost_units(const atlas_operation *operation)
{
    enum { UNIT = 4096, LENGTH = 32 * UNIT };
    static uint8_t zeros[LENGTH];
    static char path[PATH_MAX];
    name_file(path, "units");
    uint8_t *data = random_bytes(LENGTH, 4);
    atlas_source *source = borrowed(data, LENGTH);
    atlas_parity_options options;
    atlas_parity_options_init(&options);
    options.unit_size = UNIT;
    options.parity_columns = 32;
    options.rows = 1;
    atlas_parity *parity = NULL;
    CHECK_OK(atlas_parity_create(source, given.target, &options, operation));
    CHECK_OK(atlas_parity_open(given.target, NULL, operation, &parity));
    write_file(path, zeros, LENGTH);
    atlas_repair_options repair;
    atlas_repair_options_init(&repair);
    repair.mode = ATLAS_REPAIR_IN_PLACE;
    CHECK_OK(atlas_parity_repair(parity, path, &repair, accepted, NULL, operation, NULL));
    CHECK(file_is(path, data, LENGTH));
    atlas_parity_destroy(parity);
    atlas_source_destroy(source);
    free(data);
    CHECK(unlink(path) == 0 && unlink(given.target) == 0);
    return ATLAS_STATUS_OK;
}

/* Both payloads, with the cheapest and the dearest level. */
static atlas_status with_codec(uint32_t algorithm, const atlas_operation *operation)
{
    if ((algorithm == ATLAS_COMPRESSION_ZSTD && !built_in(ATLAS_FEATURE_ZSTD)) ||
        (algorithm == ATLAS_COMPRESSION_LZ4 && !built_in(ATLAS_FEATURE_LZ4))) {
        return ATLAS_STATUS_UNSUPPORTED;
    }
    for (int each = 0; each < 4; each++) {
        atlas_compression_config config;
        atlas_compression_config_init(&config);
        config.algorithm = algorithm;
        config.level = each < 2 ? 1 : 9;
        if (algorithm == ATLAS_COMPRESSION_ZSTD && each >= 2) {
            config.has_codec_level = 1;
            config.codec_level = 19;
        }
        atlas_compressed_shard *compressed = NULL;
        atlas_shard *back = NULL;
        CHECK_OK(atlas_shard_compress(each % 2 == 0 ? given.shard : given.r96_shard, &config, operation, &compressed));
        uint8_t some[100];
        CHECK_OK(atlas_compressed_shard_read(compressed, 900, some, sizeof some));
        CHECK_OK(atlas_shard_decompress(compressed, NULL, operation, &back));
        CHECK_OK(atlas_shard_verify(back, NULL, operation));
        atlas_shard_destroy(back);
        atlas_compressed_shard_destroy(compressed);
    }
    return ATLAS_STATUS_OK;
}

#define CODEC(name, algorithm)                                 \
    static atlas_status name(const atlas_operation *operation) \
    {                                                          \
        return with_codec(algorithm, operation);               \
    }

CODEC(stored, ATLAS_COMPRESSION_NONE)
CODEC(deflate, ATLAS_COMPRESSION_DEFLATE)
CODEC(conservation_aware, ATLAS_COMPRESSION_CONSERVATION_AWARE)
CODEC(zstd, ATLAS_COMPRESSION_ZSTD)
CODEC(lz4, ATLAS_COMPRESSION_LZ4)
CODEC(chosen, ATLAS_COMPRESSION_AUTO)

/* The numbers are the stack that is needed instead of 64 KiB. */
static const named_call longer[] = {
    {"a keyed LINEAR projection", keyed_linear, 0, 0},
    {"a keyed R96_FOURIER projection", keyed_r96, 0, 0},
    {"a keyed container", keyed_container, 0, ATLAS_FEATURE_CONTAINER},
    {"a keyed parity file", keyed_parity, 0, ATLAS_FEATURE_PARITY},
    {"a parity row with many lost units", many_lost_units, 192, ATLAS_FEATURE_PARITY},
    {"NONE", stored, 0, ATLAS_FEATURE_COMPRESSION},
    {"DEFLATE", deflate, 0, ATLAS_FEATURE_COMPRESSION},
    {"CONSERVATION_AWARE", conservation_aware, 0, ATLAS_FEATURE_COMPRESSION},
    {"ZSTD", zstd, 0, ATLAS_FEATURE_ZSTD},
    {"LZ4", lz4, 0, ATLAS_FEATURE_LZ4},
    {"AUTO", chosen, 0, ATLAS_FEATURE_COMPRESSION},
};

/* ---- a thread with little stack --------------------------------------------------- */

static const named_call *now;
static size_t now_allowed;
static uint8_t *stack;
static const atlas_operation *now_operation;
static size_t used;

static void overflowed(int number)
{
    static const char text[] = " needs more stack\n";
    (void)number;
    (void)!write(2, now->name, strlen(now->name));
    (void)!write(2, text, sizeof text - 1);
    _exit(1);
}

static void call_now(void)
{
    const atlas_status status = now->call(now_operation);
    CHECK(status == ATLAS_STATUS_OK || (status == ATLAS_STATUS_UNSUPPORTED && now->features != 0));
}

/* Calls with nothing but the allowed bytes below this frame, or counts the bytes that the call writes. */
static void *on_little_stack(void *unused)
{
    static uint8_t alternate[65536];
    const stack_t other = {.ss_sp = alternate, .ss_size = sizeof alternate};
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t here = 0;
    uint8_t *const frame = (uint8_t *)((uintptr_t)&here & ~(uintptr_t)15);
    (void)unused;
    CHECK_EQ(sigaltstack(&other, NULL), 0);
    if (allowed == 0) {
        /* The frame itself lies below the variable, and is not painted. */
        const size_t painted = (size_t)(frame - stack) - 1024;
        memset(stack, PAINT, painted);
        call_now();
        size_t clean = 0;
        while (clean < painted && stack[clean] == PAINT) {
            clean++;
        }
        used = clean == painted ? 0 : (size_t)(frame - stack) - clean;
        return NULL;
    }
    uint8_t *const guard = (uint8_t *)(((uintptr_t)frame - 1024 * now_allowed) & ~(uintptr_t)(page - 1));
    CHECK(guard > stack);
    CHECK_EQ(mprotect(stack, (size_t)(guard - stack), PROT_NONE), 0);
    call_now();
    CHECK_EQ(mprotect(stack, (size_t)(guard - stack), PROT_READ | PROT_WRITE), 0);
    return NULL;
}

static void run_call(const named_call *call, const atlas_operation *operation, size_t kib, const char *way)
{
    if (call->features != 0 && !built_in(call->features)) {
        return;
    }
    now = call;
    now_allowed = kib > allowed && allowed == 64 ? kib : allowed;
    now_operation = operation;
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK_EQ(pthread_attr_init(&attributes), 0);
    CHECK_EQ(pthread_attr_setstack(&attributes, stack, WHOLE), 0);
    CHECK_EQ(pthread_create(&thread, &attributes, on_little_stack, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(pthread_attr_destroy(&attributes), 0);
    if (allowed == 0) {
        printf("%6zu %s %s\n", used, way, call->name);
    }
}

static void run_all(const atlas_operation *operation, const char *way)
{
    for (size_t i = 0; i < CALLS; i++) {
        run_call(&calls[i], operation, 0, way);
    }
    for (size_t i = 0; i < sizeof longer / sizeof longer[0]; i++) {
        run_call(&longer[i], operation, longer[i].statuses, way);
    }
}

/* A handler of the process names the call that has met the guard. */
static void each_call_has_enough_stack(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = overflowed;
    action.sa_flags = SA_ONSTACK;
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0 && sigaction(SIGBUS, &action, NULL) == 0);
    stack = (uint8_t *)mmap(NULL, WHOLE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    make_given();
    const size_t size = 6 * TILE + 5;
    uint8_t *data = random_bytes(size, 1);
    large = borrowed(data, size);
    atlas_operation operation;
    atlas_operation_init(&operation);
    for (uint32_t threads = 1; threads <= 4; threads += 3) {
        atlas_pool *pool = NULL;
        CHECK_OK(atlas_pool_create(threads, &pool));
        operation.pool = pool;
        run_all(&operation, threads == 1 ? "one thread" : "a pool");
        atlas_pool_destroy(pool);
    }
    run_all(NULL, "the library's pool");
    atlas_source_destroy(large);
    free(data);
    destroy_given();
}

int main(int argc, char **argv)
{
    if (small_run()) {
        skip("frames are larger in instrumented programs");
    }
    if (argc > 1) {
        allowed = strtoul(argv[1], NULL, 10);
    }
    TEST(each_call_has_enough_stack);
    return 0;
}
#endif
