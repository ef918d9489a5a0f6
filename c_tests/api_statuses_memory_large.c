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

static void nothing(void) {}

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

/* ---- reconstructions ------------------------------------------------------------------------------- */

/* Every second page of a domain is in a shard. */
enum { SHARDS = 1100 };
static atlas_shard *shards[SHARDS], *all_shards;
static atlas_reconstruction *parts;

static void make_parts(void)
{
    CHECK_OK(atlas_reconstruction_create(NULL, &parts));
    for (size_t i = 0; i < SHARDS; i++) {
        CHECK_OK(atlas_reconstruction_add(parts, shards[i], &operation));
    }
}

static void unmake_parts(void) { atlas_reconstruction_destroy(parts); }

static atlas_status call_missing(void)
{
    static atlas_region regions[SHARDS];
    size_t count = SHARDS;
    const atlas_status status = atlas_reconstruction_missing(parts, regions, &count);
    if (status == ATLAS_STATUS_OK) {
        CHECK_EQ(count, SHARDS);
        CHECK_EQ(regions[SHARDS - 1].offset, (2 * SHARDS - 1) * PAGE);
        CHECK_EQ(regions[SHARDS - 1].length, PAGE);
    }
    return status;
}

static atlas_status call_finish(void)
{
    atlas_projection *made = NULL;
    const atlas_status status = atlas_reconstruction_finish(parts, &operation, &made);
    CHECK(made == NULL);
    return status;
}

static atlas_status call_add(void)
{
    const atlas_status status = atlas_reconstruction_add(parts, all_shards, &operation);
    CHECK((atlas_reconstruction_is_complete(parts) != 0) == (status == ATLAS_STATUS_OK));
    return status;
}

static void reconstructions(void)
{
    static atlas_region regions[SHARDS];
    begin(LARGE, SIZE_MAX);
    uint8_t *data = random_bytes(2 * SHARDS * PAGE, 3);
    atlas_projection *projection = projected_bytes(data, 2 * SHARDS * PAGE);
    for (size_t i = 0; i < SHARDS; i++) {
        regions[i] = (atlas_region){2 * i * PAGE, 1};
    }
    CHECK_OK(atlas_shard_extract_batch(projection, regions, SHARDS, NULL, &operation, shards));
    all_shards = extracted(projection, 0, 2 * SHARDS * PAGE);
    make_parts();
    each_large_fails("atlas_reconstruction_missing", nothing, call_missing, nothing, ATLAS_STATUS_OK);
    each_large_fails("atlas_reconstruction_finish", nothing, call_finish, nothing, ATLAS_STATUS_INCOMPLETE);
    unmake_parts();
    each_large_fails("atlas_reconstruction_add", make_parts, call_add, unmake_parts, ATLAS_STATUS_OK);
    for (size_t i = 0; i < SHARDS; i++) {
        atlas_shard_destroy(shards[i]);
    }
    atlas_shard_destroy(all_shards);
    atlas_projection_destroy(projection);
    free(data);
    end();
}

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

/* ---- a container of many generations ------------------------------------------------------------------- */

enum { GENERATIONS = 2100, DOMAIN = 17000 };
static char many_file[PATH_MAX], other_file[PATH_MAX];
static atlas_container *many;
static atlas_projection *snapshots[GENERATIONS];
static size_t damage_count;

static void name_file(char out[PATH_MAX], const char *name)
{
    CHECK(snprintf(out, PATH_MAX, "%s", temp_path(name)) < PATH_MAX);
}

static void make_many(void)
{
    static uint8_t data[DOMAIN];
    atlas_container_create_options create;
    atlas_container_create_options_init(&create);
    atlas_compression_config config;
    atlas_compression_config_init(&config);
    config.algorithm = ATLAS_COMPRESSION_LZ4;
    create.compression = built_in(ATLAS_FEATURE_LZ4) ? &config : NULL;
    create.block_log2 = 12;
    many = created(many_file, ATLAS_PROJECTION_LINEAR, NULL, &create);
    atlas_projection *projection = projected_bytes(data, DOMAIN);
    for (uint64_t i = 1; i <= GENERATIONS; i++) {
        replace(projection, 4000, sizeof i, &i, sizeof i);
        CHECK_EQ(committed(many, projection), i);
    }
    atlas_projection_destroy(projection);
}

static bool count_damage(const atlas_damage *damage, void *user_data)
{
    (void)damage;
    (void)user_data;
    damage_count++;
    return true;
}

static atlas_status call_find_damage(void)
{
    damage_count = 0;
    return atlas_container_find_damage(many, 0, count_damage, NULL, &operation);
}

static atlas_status call_compact(void)
{
    const atlas_status status = atlas_container_compact(many, other_file, 0, &operation);
    CHECK(exists(other_file) == (status == ATLAS_STATUS_OK));
    return status;
}

static void remove_other(void) { CHECK(unlink(other_file) == 0); }

static void make_snapshots(void)
{
    many = opened(many_file, ATLAS_CONTAINER_READ);
    for (uint64_t i = 0; i < GENERATIONS; i++) {
        snapshots[i] = snapshot_of(many, i + 1, false);
    }
}

static void unmake_snapshots(void)
{
    for (size_t i = 0; i < GENERATIONS; i++) {
        atlas_projection_destroy(snapshots[i]);
    }
    atlas_container_destroy(many);
}

/* The children of each node, and the digests of the groups of each tile, come into the caches of the handle. */
static atlas_status call_extract(void)
{
    for (size_t i = 0; i < GENERATIONS; i++) {
        const atlas_region region = {5, 1};
        atlas_shard *shard = NULL;
        const atlas_status status = atlas_shard_extract(snapshots[i], &region, &operation, &shard);
        atlas_shard_destroy(shard);
        if (status != ATLAS_STATUS_OK) {
            return status;
        }
    }
    return ATLAS_STATUS_OK;
}

/* Changes the last byte of the leaf of each generation, which is the last in its block that is not 0. */
static void damage_all(void)
{
    size_t size = 0, changed = 0;
    uint8_t *bytes = bytes_of_file(many_file, &size);
    for (size_t block = 3 * PAGE; block + PAGE <= size; block += PAGE) {
        size_t last = block + PAGE;
        while (last > block && bytes[last - 1] == 0) {
            last--;
        }
        if (last > block) {
            change_byte(many_file, last - 1);
            changed++;
        }
    }
    CHECK(changed >= GENERATIONS);
    free(bytes);
}

static void generations(void)
{
    /* Tables of 17 KiB are larger than a block of the reserve, and buffers for one tile of these domains are too. */
    begin(30000, SIZE_MAX);
    name_file(many_file, "many.atlas");
    name_file(other_file, "other.atlas");
    make_many();
    each_large_fails("atlas_container_find_damage", nothing, call_find_damage, nothing, ATLAS_STATUS_OK);
    CHECK_EQ(damage_count, 0);
    each_large_fails("atlas_container_compact", nothing, call_compact, remove_other, ATLAS_STATUS_OK);
    atlas_container_destroy(many);
    each_large_fails("atlas_shard_extract", make_snapshots, call_extract, unmake_snapshots, ATLAS_STATUS_OK);
    damage_all();
    many = opened(many_file, ATLAS_CONTAINER_READ);
    each_large_fails("atlas_container_find_damage", nothing, call_find_damage, nothing, ATLAS_STATUS_WITNESS);
    CHECK(damage_count >= 2 * GENERATIONS);
    atlas_container_destroy(many);
    CHECK(unlink(many_file) == 0);
    end();
}

/* ---- a container of many tiles --------------------------------------------------------------------------- */

/* One tile in each of these leaves is in a generation of its own. A node has 32 children. */
enum { TILES = 8192, LEAF = 32, LEAVES = 128 };
static char base_file[PATH_MAX];
static atlas_source *holes;
static uint64_t next_byte;

static void change_tile(size_t tile)
{
    next_byte++;
    replace(edited, tile * TILE, sizeof next_byte, &next_byte, sizeof next_byte);
}

/* Changes a tile in each of the nodes over the leaves, which lets a commit look up the generations of all of them. */
static void change_nodes(void)
{
    for (size_t leaf = 0; leaf < LEAVES; leaf += LEAF) {
        change_tile(leaf * LEAF);
    }
}

static atlas_status call_commit(void)
{
    uint64_t generation = 0;
    return atlas_container_commit(many, edited, NULL, &operation, &generation);
}

static atlas_status call_import(void)
{
    static atlas_region regions[SHARDS];
    for (size_t i = 0; i < SHARDS; i++) {
        regions[i] = (atlas_region){2 * i * TILE, 1};
    }
    return atlas_container_import(many, holes, regions, SHARDS, NULL, &operation, NULL);
}

static void tiles(void)
{
    begin(LARGE, SIZE_MAX);
    name_file(many_file, "tiles.atlas");
    name_file(other_file, "other.atlas");
    name_file(base_file, "holes.bin");
    write_file(base_file, "", 0);
    CHECK(truncate(base_file, (off_t)TILES * (off_t)TILE) == 0);
    holes = file_source(base_file, ATLAS_FILE_IO_READ);
    many = created(many_file, ATLAS_PROJECTION_LINEAR, NULL, NULL);
    CHECK_OK(atlas_container_import(many, holes, NULL, 0, NULL, NULL, NULL));
    each_large_fails("atlas_container_import", nothing, call_import, nothing, ATLAS_STATUS_OK);
    edited = snapshot_of(many, 0, false);
    for (size_t leaf = 0; leaf < LEAVES; leaf++) {
        change_tile(leaf * LEAF + 1);
        CHECK(committed(many, edited) > 1);
    }
    each_large_fails("atlas_container_commit", change_nodes, call_commit, nothing, ATLAS_STATUS_OK);
    each_large_fails("atlas_container_compact", nothing, call_compact, remove_other, ATLAS_STATUS_OK);
    each_large_fails("atlas_container_find_damage", nothing, call_find_damage, nothing, ATLAS_STATUS_OK);
    CHECK_EQ(damage_count, 0);
    atlas_projection_destroy(edited);
    atlas_container_destroy(many);
    atlas_source_destroy(holes);
    CHECK(unlink(many_file) == 0 && unlink(base_file) == 0);
    end();
}

/* ---- other lists ------------------------------------------------------------------------------------------- */

static atlas_status call_create(void)
{
    atlas_container *made = NULL;
    return atlas_container_create(other_file, ATLAS_PROJECTION_LINEAR, NULL, NULL, &operation, &made);
}

static atlas_status call_find_in_regions(void)
{
    static atlas_region regions[SHARDS];
    for (size_t i = 0; i < SHARDS; i++) {
        regions[i] = (atlas_region){SHARDS - i, 1};
    }
    return atlas_projection_find_damage(edited, regions, SHARDS, NULL, NULL, &operation);
}

/* A path that no system accepts. */
static atlas_status call_open_file(void)
{
    static char path[20000];
    atlas_source *made = NULL;
    memset(path, 'x', sizeof path - 1);
    return atlas_source_open_file(path, ATLAS_FILE_IO_READ, &made);
}

static atlas_benchmark_report *report;
static uint32_t report_format;

static atlas_status call_format(void)
{
    atlas_buffer text = {NULL, 0};
    const atlas_status status = atlas_benchmark_report_format(report, report_format, &text);
    CHECK(status == ATLAS_STATUS_OK ? text.size > 16384 : text.data == NULL);
    atlas_buffer_free(&text);
    return status;
}

/* Texts of a benchmark of many domains of a few bytes. */
static void reports(void)
{
    static uint64_t sizes[8];
    atlas_benchmark_config config;
    atlas_benchmark_config_init(&config);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        sizes[i] = 1 + i;
    }
    config.warmup_iterations = 0;
    config.iterations = 1;
    config.data_sizes = sizes;
    config.data_size_count = sizeof sizes / sizeof sizes[0];
    CHECK_OK(atlas_benchmark_run(&config, &operation, &report));
    for (report_format = ATLAS_REPORT_TEXT; report_format <= ATLAS_REPORT_CSV; report_format++) {
        each_large_fails("atlas_benchmark_report_format", nothing, call_format, nothing, ATLAS_STATUS_OK);
    }
    atlas_benchmark_report_destroy(report);
}

static void others(void)
{
    static const uint8_t zeros[3 << 16];
    begin(LARGE, SIZE_MAX);
    each_large_fails("atlas_source_open_file", nothing, call_open_file, nothing, ATLAS_STATUS_IO);
    if (built_in(ATLAS_FEATURE_BENCHMARKS)) {
        reports();
    }
    name_file(other_file, "blank.atlas");
    write_file(other_file, zeros, sizeof zeros);
    each_large_fails("atlas_container_create", nothing, call_create, nothing, ATLAS_STATUS_IO);
    edited = projected_bytes(zeros, sizeof zeros);
    each_large_fails("atlas_projection_find_damage", nothing, call_find_in_regions, nothing, ATLAS_STATUS_OK);
    atlas_projection_destroy(edited);
    end();
}

int main(void)
{
    CHECK(setenv("RUST_BACKTRACE", "0", 1) == 0);
    CHECK(signal(SIGABRT, aborted) != SIG_ERR);
    TEST(reconstructions);
    TEST(histories);
    TEST(others);
    if (WRITES_CONTAINERS) {
        TEST(generations);
        TEST(tiles);
    }
    return 0;
}
#endif
