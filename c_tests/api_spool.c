/* Rebuilding a domain into a spool file takes memory for bookkeeping, whatever its size: the peak of a
 * child that does it, beside that of one that rebuilds the same domain in memory. */
#include "check.h"

#include <sys/resource.h>

static const uint64_t size = UINT64_C(256) << 20;
static const uint64_t piece = UINT64_C(4) << 20;

/* Bytes that cost no memory and are not the same anywhere. */
static int read_numbers(void *user_data, uint64_t offset, void *buffer, size_t count)
{
    (void)user_data;
    uint8_t *bytes = (uint8_t *)buffer;
    for (size_t i = 0; i < count; i++) {
        const uint64_t at = offset + i;
        bytes[i] = (uint8_t)((at >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 56 ^ at);
    }
    return 0;
}

/* The most memory that this process has had, in KiB. */
static uint64_t peak(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss / 1024;
#else
    return (uint64_t)usage.ru_maxrss;
#endif
}

static int child(const char *spool_path)
{
    const uint64_t before = peak();
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(size, read_numbers, NULL, NULL, &source));
    atlas_projection *projection = projected(source, NULL);
    atlas_source_destroy(source);
    uint8_t root[32];
    root_of(projection, root);
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.spool_path = spool_path;
    options.expected_root = root;
    atlas_reconstruction *rebuilt = NULL;
    CHECK_OK(atlas_reconstruction_create(&options, &rebuilt));
    const uint64_t pieces = size / piece;
    for (uint64_t i = 0; i < pieces; i++) {
        /* Not in their order: 29 has no factor in common with a power of two. */
        atlas_shard *shard = extracted(projection, i * 29 % pieces * piece, piece);
        CHECK_OK(atlas_reconstruction_add(rebuilt, shard, NULL));
        atlas_shard_destroy(shard);
    }
    atlas_projection *made = NULL;
    CHECK_OK(atlas_reconstruction_finish(rebuilt, NULL, &made));
    uint8_t found[32];
    root_of(made, found);
    CHECK(memcmp(found, root, sizeof root) == 0);
    const uint64_t grown = peak() - before;
    if (spool_path != NULL) {
        CHECK(grown < 64 * 1024);
    } else {
        /* The figure needs this size to be meaningful. */
        CHECK(grown > size / 1024);
    }
    atlas_projection_destroy(made);
    atlas_reconstruction_destroy(rebuilt);
    atlas_projection_destroy(projection);
    return 0;
}

int main(void)
{
    if (small_run()) {
        skip("256 MiB are too much for ATLAS_TEST_SMALL");
    }
    const char *path = temp_path("spool.bin");
    const char *paths[] = {path, NULL};
    for (size_t i = 0; i < 2; i++) {
        CHECK(fflush(NULL) == 0);
        const pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            _exit(child(paths[i]));
        }
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(!WIFSIGNALED(status));
        CHECK_EQ(WEXITSTATUS(status), 0);
    }
    struct stat info;
    CHECK(stat(path, &info) == 0);
    CHECK_EQ(info.st_size, size);
    CHECK_EQ(temp_names(), 1);
    return 0;
}
