/* Keys in memory: after all handles are destroyed no writable page of the process has the caller's key, or one that is
 * derived from it. */
#include "check.h"
#include "container.h"

#include <inttypes.h>

/* The keys are kept with MASK on every byte, so that the search does not find its own words. */
#define MASK 0x5a

typedef struct secret {
    const char *name;
    uint8_t masked[32];
} secret;

/* Byte i of the caller's key is 101 + 37 i mod 256. The others are BLAKE3's derive_key of the key with the context
 * "atlas_manifold 1 " and the name, computed by the package blake3 of PyPI. */
static const secret secrets[] = {
    {"the key",
     {0x3f, 0xd0, 0xf5, 0x8e, 0xa3, 0x44, 0x19, 0x32, 0xd7, 0xe8, 0x8d,
      0xa6, 0x7b, 0x1c, 0x31, 0xca, 0xef, 0x80, 0xa5, 0x7e, 0x13, 0x34,
      0xc9, 0xe2, 0x87, 0x58, 0x7d, 0x16, 0x2b, 0xcc, 0xe1, 0xba}},
    {"tile key",
     {0x18, 0x6b, 0x54, 0xb9, 0x3d, 0xe4, 0xcf, 0xc7, 0x8d, 0xd8, 0x09,
      0xe5, 0x78, 0x77, 0x64, 0x40, 0xbb, 0x65, 0x9d, 0xbc, 0x98, 0x34,
      0xec, 0x98, 0xf6, 0xfd, 0x80, 0x7b, 0x3c, 0xc7, 0x15, 0x0e}},
    {"tree key",
     {0x6b, 0x8e, 0x5b, 0x23, 0xee, 0x1d, 0xd4, 0x09, 0xba, 0x23, 0x6d,
      0x96, 0x6e, 0x04, 0x53, 0x74, 0x01, 0xa9, 0x5e, 0xcd, 0xa5, 0xc8,
      0xcf, 0x65, 0xbe, 0x7f, 0xd5, 0xd0, 0x4b, 0xed, 0x06, 0x6b}},
    {"container key",
     {0xd4, 0x2b, 0x45, 0xb8, 0x75, 0x07, 0xa1, 0xe0, 0xef, 0x72, 0xa2,
      0x14, 0x61, 0x46, 0xf4, 0xed, 0xf8, 0xe1, 0xc4, 0x1d, 0x47, 0xc1,
      0x3f, 0x5d, 0x6f, 0x54, 0xae, 0x3e, 0x96, 0x3a, 0x1b, 0xf2}},
    {"history key",
     {0xe6, 0xaa, 0x2d, 0x79, 0x79, 0x2d, 0x22, 0x14, 0x73, 0xba, 0x9f,
      0x4d, 0x86, 0xd6, 0x01, 0x90, 0xe3, 0x34, 0x7b, 0x8c, 0x4b, 0x40,
      0x61, 0xef, 0x9f, 0xc1, 0x5b, 0x2b, 0x33, 0xd8, 0x01, 0x77}},
    {"parity key",
     {0xcf, 0x35, 0x11, 0x9f, 0x43, 0xff, 0x87, 0x44, 0xfc, 0x29, 0xab,
      0xdf, 0x7b, 0xae, 0xfd, 0xc8, 0x4d, 0x5d, 0x71, 0x53, 0x13, 0xb5,
      0x19, 0xc5, 0x36, 0x4d, 0x26, 0xf2, 0xe9, 0xc1, 0xbb, 0xac}},
};
#define SECRETS (sizeof secrets / sizeof secrets[0])

static void get_key(uint8_t key[32])
{
    for (size_t at = 0; at < 32; at++) {
        key[at] = secrets[0].masked[at] ^ MASK;
    }
}

static bool is_at(const uint8_t *memory, const secret *wanted)
{
    for (size_t at = 0; at < 32; at++) {
        if ((memory[at] ^ MASK) != wanted->masked[at]) {
            return false;
        }
    }
    return true;
}

/* Counts each secret in all pages that are readable and writable. */
static void count_secrets(size_t found[SECRETS], bool say)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    memset(found, 0, SECRETS * sizeof *found);
    while (fgets(line, sizeof line, maps) != NULL) {
        uintptr_t first, end;
        char mode[5];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &first, &end, mode) != 3 || strncmp(mode, "rw", 2) != 0) {
            continue;
        }
        const uint8_t *const memory = (const uint8_t *)first;
        for (size_t at = 0; at + 32 <= end - first; at++) {
            for (size_t one = 0; one < SECRETS; one++) {
                if (is_at(memory + at, &secrets[one])) {
                    found[one]++;
                    if (say) {
                        printf("%s, at byte %zu of %s", secrets[one].name, at, line);
                    }
                }
            }
        }
    }
    (void)fclose(maps);
}

/* A projection of `type` with edits and shards, and a reconstruction of those. */
static void use_projection(uint32_t type, const atlas_source *source, const uint8_t key[32],
                           const atlas_operation *operation, bool *seen)
{
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(type, source, &options, operation, &projection));
    uint8_t root[32];
    CHECK_OK(atlas_projection_root(projection, operation, root));
    const atlas_region regions[2] = {{0, 3 * TILE}, {3 * TILE, 3 * TILE + 5}};
    atlas_shard *shards[2] = {NULL};
    CHECK_OK(atlas_shard_extract_batch(projection, regions, 2, NULL, operation, shards));
    const atlas_delta delta = {
        .type = ATLAS_CHANGE_UPDATE, .offset = 5000, .length = 3, .data = "abcd", .data_size = 4};
    CHECK_OK(atlas_projection_apply(projection, &delta));
    uint8_t edited[32];
    CHECK_OK(atlas_projection_root(projection, operation, edited));
    CHECK(memcmp(root, edited, 32) != 0);
    CHECK_OK(atlas_projection_rollback(projection, 1));
    CHECK_OK(atlas_projection_verify(projection, operation));

    atlas_reconstruction_options rebuild;
    atlas_reconstruction_options_init(&rebuild);
    rebuild.key = key;
    atlas_reconstruction *reconstruction = NULL;
    CHECK_OK(atlas_reconstruction_create(&rebuild, &reconstruction));
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.key = key;
    for (size_t one = 0; one < 2; one++) {
        CHECK_OK(atlas_shard_verify(shards[one], &verify, operation));
        CHECK_OK(atlas_reconstruction_add(reconstruction, shards[one], operation));
        atlas_shard_destroy(shards[one]);
    }
    atlas_projection *whole = NULL;
    CHECK_OK(atlas_reconstruction_finish(reconstruction, operation, &whole));
    /* The search does find keys that are in use. */
    size_t found[SECRETS];
    count_secrets(found, false);
    *seen = found[1] > 0 && found[2] > 0;
    atlas_projection_destroy(whole);
    atlas_reconstruction_destroy(reconstruction);
    atlas_projection_destroy(projection);
}

/* A container, closed and opened again, and a parity file. */
static void use_files(const uint8_t *data, size_t size, const atlas_source *source, const uint8_t key[32],
                      const atlas_operation *operation)
{
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.key = key;
    const char *path = temp_path("keyed.atlas");
    atlas_container *container = created(path, ATLAS_PROJECTION_LINEAR, &options, NULL);
    (void)imported(container, data, size);
    atlas_container_destroy(container);
    /* A call that fails leaves as little. */
    const uint8_t wrong[32] = {1};
    verify.expected_root = wrong;
    CHECK_STATUS(atlas_container_open(path, ATLAS_CONTAINER_READ, &verify, NULL, operation, &container),
                 ATLAS_STATUS_WITNESS);
    verify.expected_root = NULL;
    CHECK_OK(atlas_container_open(path, ATLAS_CONTAINER_WRITE, &verify, NULL, operation, &container));
    atlas_projection *snapshot = snapshot_of(container, 0, true);
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    if (built_in(ATLAS_FEATURE_PARITY)) {
        atlas_parity_options parity_options;
        atlas_parity_options_init(&parity_options);
        parity_options.key = key;
        const char *parity_path = temp_path("keyed.atp");
        CHECK_OK(atlas_parity_create(source, parity_path, &parity_options, operation));
        atlas_parity *parity = NULL;
        CHECK_OK(atlas_parity_open(parity_path, &verify, operation, &parity));
        atlas_parity_report report = {.struct_size = sizeof report};
        CHECK_OK(atlas_parity_check(parity, source, NULL, NULL, operation, &report));
        atlas_parity_destroy(parity);
        CHECK_EQ(unlink(parity_path), 0);
    }
    CHECK_EQ(unlink(path), 0);
}

/* Streams of a source and of pushed bytes, to memory and to a file, one of which is given up. */
static void use_streams(const uint8_t *data, size_t size, const atlas_source *source, const uint8_t key[32],
                        const atlas_operation *operation)
{
    if (!built_in(ATLAS_FEATURE_STREAMING)) {
        return;
    }
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    const char *path = temp_path("streamed");
    for (uint32_t type = ATLAS_PROJECTION_LINEAR; type <= ATLAS_PROJECTION_R96_FOURIER; type++) {
        atlas_stream *stream = NULL;
        atlas_projection *made = NULL;
        CHECK_OK(atlas_stream_open(type, source, &options, NULL, operation, &stream));
        bool has_chunk = true;
        while (has_chunk) {
            atlas_chunk chunk = {.struct_size = (uint32_t)sizeof chunk};
            CHECK_OK(atlas_stream_next(stream, &chunk, &has_chunk));
        }
        size_t found[SECRETS];
        count_secrets(found, false);
        CHECK(found[1] > 0 && found[2] > 0);
        CHECK_OK(atlas_stream_finish(stream, &made));
        atlas_stream_destroy(stream);
        atlas_projection_destroy(made);
        for (int way = 0; way < 3; way++) {
            CHECK_OK(atlas_stream_open_push(type, way == 0 ? NULL : path, &options, NULL, operation, &stream));
            for (size_t at = 0; at < size; at += 300000) {
                CHECK_OK(atlas_stream_push(stream, data + at, size - at < 300000 ? size - at : 300000));
            }
            if (way < 2) {
                CHECK_OK(atlas_stream_finish(stream, &made));
                atlas_projection_destroy(made);
            }
            atlas_stream_destroy(stream);
        }
        CHECK_EQ(unlink(path), 0);
        CHECK_OK(atlas_stream_project(type, source, &options, NULL, operation, &made));
        atlas_projection_destroy(made);
    }
}

/* Calls the library with another handle, within a call that uses a key. */
static bool look_at_another(const atlas_progress *progress, void *user_data)
{
    (void)progress;
    uint8_t root[32];
    root_of(user_data, root);
    return true;
}

static void no_key_stays(uint32_t threads)
{
    atlas_projection *other = projected_bytes("other", 5);
    const size_t size = 6 * TILE + 5;
    uint8_t *data = random_bytes(size, 1);
    uint8_t key[32];
    get_key(key);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(threads, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    operation.progress = look_at_another;
    operation.user_data = other;
    atlas_source *source = borrowed(data, size);
    bool seen[2] = {false};
    use_projection(ATLAS_PROJECTION_LINEAR, source, key, &operation, &seen[0]);
    use_projection(ATLAS_PROJECTION_R96_FOURIER, source, key, &operation, &seen[1]);
    CHECK(seen[0] && seen[1]);
    use_files(data, size, source, key, &operation);
    use_streams(data, size, source, key, &operation);
    atlas_source_destroy(source);
    atlas_projection_destroy(other);
    /* The threads still wait, with the stacks that they have used. */
    for (size_t at = 0; at < 32; at++) {
        ((volatile uint8_t *)key)[at] = 0;
    }
    size_t found[SECRETS];
    count_secrets(found, true);
    for (size_t one = 0; one < SECRETS; one++) {
        CHECK_EQ(found[one], 0);
    }
    atlas_pool_destroy(pool);
    count_secrets(found, true);
    for (size_t one = 0; one < SECRETS; one++) {
        CHECK_EQ(found[one], 0);
    }
    free(data);
}

static void on_the_calling_thread(void) { no_key_stays(1); }

static void with_a_pool(void) { no_key_stays(4); }

int main(void)
{
    /* ASan maps terabytes, and valgrind takes any look at fresh memory for a fault. */
    if (small_run()) {
        skip("the search reads all memory of the process");
    }
    TEST(on_the_calling_thread);
    TEST(with_a_pool);
    return 0;
}
