/* Without memory left in the system the status is OUT_OF_MEMORY, in a child with little address
 * space, and the library goes on after it. */
#include "check.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

static const size_t huge = (size_t)3 << 30;

static int read_zeros(void *user_data, uint64_t offset, void *buffer, size_t count)
{
    (void)user_data;
    (void)offset;
    memset(buffer, 0, count);
    return 0;
}

static bool works(void)
{
    static uint8_t data[100000];
    atlas_projection *projection = projected_bytes(data, sizeof data);
    atlas_shard *shard = extracted(projection, 50, 60000);
    const bool good = atlas_shard_verify(shard, NULL, NULL) == ATLAS_STATUS_OK;
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    return good;
}

/* A mapping that costs no memory stands for 3 GiB of the caller's; the copy does not fit. */
static void a_copy_that_does_not_fit(const void *data)
{
    atlas_source *source = (atlas_source *)&huge;
    CHECK_STATUS(atlas_source_copy(data, huge, &source), ATLAS_STATUS_OUT_OF_MEMORY);
    CHECK(source == NULL);
    CHECK_SAYS("bytes");
    CHECK_EQ(last_error().status, ATLAS_STATUS_OUT_OF_MEMORY);
}

static void a_shard_that_does_not_fit(void)
{
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(huge, read_zeros, NULL, NULL, &source));
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(1, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(0, source, NULL, &operation, &projection));
    const atlas_region region = {0, huge};
    atlas_shard *shard = (atlas_shard *)&region;
    CHECK_STATUS(atlas_shard_extract(projection, &region, &operation, &shard),
                 ATLAS_STATUS_OUT_OF_MEMORY);
    CHECK(shard == NULL);
    const atlas_region two[2] = {{0, 10}, {5, huge - 5}};
    atlas_shard *shards[2] = {(atlas_shard *)&region, (atlas_shard *)&region};
    CHECK_STATUS(atlas_shard_extract_batch(projection, two, 2, NULL, &operation, shards),
                 ATLAS_STATUS_OUT_OF_MEMORY);
    CHECK(shards[0] == NULL && shards[1] == NULL);
    atlas_projection_destroy(projection);
    atlas_pool_destroy(pool);
    atlas_source_destroy(source);
}

/* Sizes that are only claims: a batch, a pool and a domain that cannot be. */
static void claims_that_cannot_be(void)
{
    uint8_t data[10] = {0};
    atlas_projection *projection = projected_bytes(data, sizeof data);
    const atlas_region region = {0, UINT64_MAX};
    atlas_shard *shard = (atlas_shard *)&region;
    CHECK_STATUS(atlas_shard_extract(projection, &region, NULL, &shard), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK(shard == NULL);
    atlas_projection_destroy(projection);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(UINT64_MAX, read_zeros, NULL, NULL, &source));
    atlas_projection *made = (atlas_projection *)&region;
    const int status = (int)atlas_projection_create(0, source, NULL, NULL, &made);
    CHECK(status == ATLAS_STATUS_OUT_OF_MEMORY || status == ATLAS_STATUS_LIMIT);
    CHECK(made == NULL);
    atlas_source_destroy(source);
}

/* A batch of very many regions, with a little less memory than its lists of them need. */
static int child_with_many_regions(size_t left)
{
    enum { MANY = 200000 };
    static uint8_t data[100000];
    static atlas_region regions[MANY];
    static atlas_shard *shards[MANY];
    (void)alarm(120);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(1, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    atlas_projection *projection = projected_bytes(data, sizeof data);
    for (size_t i = 0; i < MANY; i++) {
        regions[i] = (atlas_region){i % 90000, 1};
    }
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu", &pages) != 1) {
        return 0;
    }
    (void)fclose(file);
    const rlim_t now = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + left;
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = now;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    atlas_extract_options options;
    atlas_extract_options_init(&options);
    for (uint32_t strategy = 0; strategy <= ATLAS_PARALLEL_WORK_STEALING; strategy++) {
        options.strategy = strategy;
        CHECK_STATUS(atlas_shard_extract_batch(projection, regions, MANY, &options, &operation, shards),
                     ATLAS_STATUS_OUT_OF_MEMORY);
        CHECK(all_bytes(shards, sizeof shards, 0));
    }
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    return works() ? 0 : 1;
}

/* Takes all memory that malloc still has, in a list through the first bytes of each block. */
static void *take_all(void)
{
    void *list = NULL;
    for (size_t size = (size_t)1 << 20; size >= 16; size /= 2) {
        for (void *block = malloc(size); block != NULL; block = malloc(size)) {
            memcpy(block, &list, sizeof list);
            list = block;
        }
    }
    return list;
}

static void give_back(void *list)
{
    while (list != NULL) {
        void *next = NULL;
        memcpy(&next, list, sizeof next);
        free(list);
        list = next;
    }
}

static bool is_done(atlas_status status)
{
    CHECK(status == ATLAS_STATUS_OK || status == ATLAS_STATUS_OUT_OF_MEMORY);
    return status == ATLAS_STATUS_OK;
}

/* Not even a small block is left: calls succeed or report it, and none aborts the process. */
static int child_without_memory(size_t threads)
{
    static uint8_t data[100000];
    (void)alarm(120);
    CHECK(works());
    atlas_operation operation;
    atlas_operation_init(&operation);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create((uint32_t)threads, &pool));
    operation.pool = pool;
    atlas_projection *projection = projected_bytes(data, sizeof data);
    uint8_t root[32];
    CHECK_OK(atlas_projection_root(projection, &operation, root));
    (void)atlas_manifold_trim();
    /* Threads of the pool are still starting, and glibc aborts the process if one has no memory for that. */
    CHECK(nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL) == 0);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 1 << 20;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    void *list = take_all();
    size_t inserted = 0, refused = 0;
    for (size_t i = 0; i < 500; i++) {
        const atlas_delta delta = {.type = ATLAS_CHANGE_INSERT, .offset = i * 97, .data = data, .data_size = 40};
        if (is_done(atlas_projection_apply(projection, &delta))) {
            inserted++;
        } else {
            refused++;
        }
        (void)is_done(atlas_projection_root(projection, &operation, root));
        atlas_source *source = NULL;
        CHECK(is_done(atlas_source_copy(data, sizeof data, &source)) == (source != NULL));
        atlas_source_destroy(source);
        atlas_projection *other = NULL;
        if (is_done(atlas_source_borrow(data, sizeof data, NULL, NULL, &source)) &&
            is_done(atlas_projection_create(i % 2, source, NULL, &operation, &other))) {
            atlas_shard *shard = NULL;
            const atlas_region region = {5, 90};
            if (is_done(atlas_shard_extract(other, &region, &operation, &shard))) {
                (void)is_done(atlas_shard_verify(shard, NULL, &operation));
            }
            atlas_shard_destroy(shard);
        }
        atlas_projection_destroy(other);
        atlas_source_destroy(source);
    }
    CHECK(refused > 0);
    give_back(list);
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    atlas_projection_info info = {.struct_size = (uint32_t)sizeof info};
    CHECK_OK(atlas_projection_get_info(projection, &info));
    CHECK_EQ(info.domain_size, sizeof data + inserted * 40);
    CHECK_OK(atlas_projection_verify(projection, &operation));
    atlas_projection_destroy(projection);
    atlas_pool_destroy(pool);
    return works() ? 0 : 1;
}

static int child(size_t address)
{
    const void *data = (const void *)address;
    (void)alarm(120);
    const struct rlimit limit = {(rlim_t)5 << 30, (rlim_t)5 << 30};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    a_copy_that_does_not_fit(data);
    CHECK(works());
    if (!small_run()) {
        a_shard_that_does_not_fit();
        CHECK(works());
    }
    claims_that_cannot_be();
    return works() ? 0 : 1;
}

static void in_a_child(int (*action)(size_t), size_t argument)
{
    CHECK(fflush(NULL) == 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(action(argument));
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(!WIFSIGNALED(status)); /* it must not abort */
    CHECK_EQ(WEXITSTATUS(status), 0);
}

int main(void)
{
    if (sizeof(size_t) < 8) {
        skip("the address space is small by itself");
    }
    const char *path = temp_path("hole.bin");
    const int file = open(path, O_CREAT | O_RDWR, 0600);
    CHECK(file >= 0);
    if (ftruncate(file, (off_t)huge) != 0) {
        skip("this file system has no file of 3 GiB");
    }
    void *data = mmap(NULL, huge, PROT_READ, MAP_SHARED, file, 0);
    CHECK(close(file) == 0);
    if (data == MAP_FAILED) {
        skip("3 GiB cannot be mapped");
    }
    in_a_child(child, (size_t)data);
    /* Not under valgrind, which has no memory left then either. */
    for (size_t left = 1; left <= 49 && !small_run(); left += 4) {
        in_a_child(child_with_many_regions, left << 20);
    }
    for (size_t threads = 1; threads <= 2 && !small_run(); threads++) {
        in_a_child(child_without_memory, threads);
    }
    CHECK(munmap(data, huge) == 0);
    return 0;
}
