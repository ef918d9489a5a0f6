/* atlas_manifold_trim: once every handle is gone, the process has the memory again that it had before its
 * first call. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

enum { CUTS = 8 };

/* KiB that are resident and no file's: code counts when it first runs; 0 where the system does not tell. */
static size_t resident(void)
{
    unsigned long all = 0, pages = 0, of_files = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) {
        return 0;
    }
    const bool read = fscanf(file, "%lu %lu %lu", &all, &pages, &of_files) == 3;
    CHECK(fclose(file) == 0);
    return read ? (pages - of_files) * ((size_t)sysconf(_SC_PAGESIZE) / 1024) : 0;
}

/* Projects, cuts, sends and rebuilds; with compression if built in. */
static void work(const void *data, size_t size, uint32_t type)
{
    atlas_source *source = borrowed(data, size);
    atlas_projection *projection = NULL, *rebuilt = NULL;
    CHECK_OK(atlas_projection_create(type, source, NULL, NULL, &projection));
    atlas_region regions[CUTS];
    atlas_shard *shards[CUTS] = {NULL};
    for (size_t i = 0; i < CUTS; i++) {
        const uint64_t start = size * i / CUTS, end = size * (i + 1) / CUTS;
        regions[i] = (atlas_region){start, end - start};
    }
    CHECK_OK(atlas_shard_extract_batch(projection, regions, CUTS, NULL, NULL, shards));
    atlas_reconstruction *reconstruction = NULL;
    CHECK_OK(atlas_reconstruction_create(NULL, &reconstruction));
    for (size_t i = 0; i < CUTS; i++) {
        atlas_buffer encoded = {NULL, 0};
        atlas_shard *sent = NULL;
        CHECK_OK(atlas_shard_serialize(shards[i], &encoded));
        CHECK_OK(atlas_shard_deserialize(encoded.data, encoded.size, NULL, NULL, NULL, &sent));
        atlas_buffer_free(&encoded);
        if (built_in(ATLAS_FEATURE_COMPRESSION)) {
            atlas_compressed_shard *compressed = NULL;
            atlas_shard_destroy(shards[i]);
            CHECK_OK(atlas_shard_compress(sent, NULL, NULL, &compressed));
            CHECK_OK(atlas_shard_decompress(compressed, NULL, NULL, &shards[i]));
            atlas_compressed_shard_destroy(compressed);
        }
        CHECK_OK(atlas_reconstruction_add(reconstruction, sent, NULL));
        atlas_shard_destroy(sent);
        atlas_shard_destroy(shards[i]);
    }
    CHECK_OK(atlas_reconstruction_finish(reconstruction, NULL, &rebuilt));
    uint8_t root[32], again[32];
    root_of(projection, root);
    root_of(rebuilt, again);
    CHECK(memcmp(root, again, sizeof root) == 0);
    atlas_reconstruction_destroy(reconstruction);
    atlas_projection_destroy(rebuilt);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
}

static atomic_bool stop;

static void *trim_often(void *nothing)
{
    while (!atomic_load(&stop)) {
        atlas_manifold_trim();
    }
    return nothing;
}

int main(void)
{
    const size_t size = small_run() ? 3 * TILE : 48 * TILE;
    uint8_t *data = random_bytes(size, 97);
    /* Half of it can be compressed. */
    memset(data, 7, size / 2);
    const size_t before = resident();
    work(data, size, ATLAS_PROJECTION_LINEAR);
    work(data, size / 3, ATLAS_PROJECTION_R96_FOURIER);
    const size_t kept = resident();
    atlas_manifold_trim();
    const size_t after = resident();
    printf("%zu KiB before the first call, %zu at the end, %zu after trim\n", before, kept, after);
#if !defined(__SANITIZE_ADDRESS__)
    /* valgrind keeps freed memory, as ASan does. */
    if (!small_run() && before > 0) {
        CHECK(kept > before + 16 * 1024);
        CHECK(after <= before + 2 * 1024);
    }
#endif
    /* Beside other calls, which go on. */
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, trim_often, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        work(data, 3 * TILE, ATLAS_PROJECTION_LINEAR);
    }
    atomic_store(&stop, true);
    CHECK(pthread_join(thread, NULL) == 0);
    atlas_manifold_trim();
    atlas_manifold_trim();
    free(data);
    return 0;
}
