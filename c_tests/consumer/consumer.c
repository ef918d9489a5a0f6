/* A short job with the library, each result compared with a value known without it. */
#include <atlas_manifold.h>

#include <stdio.h>
#include <string.h>

#define SIZE 3000000u

static unsigned char data[SIZE];
static unsigned char back[SIZE];

static void must(int holds, const char *what, int *failures)
{
    if (!holds) {
        fprintf(stderr, "not so: %s (%s)\n", what, atlas_last_error_message());
        *failures += 1;
    }
}

static void check_residue(const atlas_projection *projection, unsigned sum, int *failures)
{
    atlas_projection_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    must(atlas_projection_get_info(projection, &info) == ATLAS_STATUS_OK, "the projection tells of itself",
         failures);
    must(info.domain_size == SIZE && info.tile_count == 3, "its size is that of the bytes", failures);
    must(info.residue == sum % 96, "its residue is the sum of the bytes", failures);
}

static void check_round_trip(const atlas_projection *projection, int *failures)
{
    const atlas_region whole = {0, SIZE};
    atlas_shard *shard = NULL;
    atlas_shard *second = NULL;
    atlas_buffer bytes = {NULL, 0};
    must(atlas_shard_extract(projection, &whole, NULL, &shard) == ATLAS_STATUS_OK, "a shard is extracted",
         failures);
    must(atlas_shard_serialize(shard, &bytes) == ATLAS_STATUS_OK, "it is serialised", failures);
    must(atlas_shard_deserialize(bytes.data, bytes.size, NULL, NULL, NULL, &second) == ATLAS_STATUS_OK,
         "it comes back", failures);
    must(atlas_shard_read(second, 0, back, SIZE) == ATLAS_STATUS_OK, "it is read", failures);
    must(memcmp(data, back, SIZE) == 0, "the bytes are the same", failures);
    atlas_shard_destroy(second);
    second = NULL;
    if (bytes.data != NULL) {
        bytes.data[bytes.size / 2] ^= 1;
    }
    must(atlas_shard_deserialize(bytes.data, bytes.size, NULL, NULL, NULL, &second) != ATLAS_STATUS_OK,
         "a changed byte is refused", failures);
    atlas_shard_destroy(second);
    atlas_shard_destroy(shard);
    atlas_buffer_free(&bytes);
}

/* With every codec that is built in, whatever else is linked. */
static void check_codecs(const atlas_projection *projection, int *failures)
{
    static const struct {
        unsigned algorithm;
        unsigned long long feature;
    } codecs[] = {{ATLAS_COMPRESSION_CONSERVATION_AWARE, ATLAS_FEATURE_COMPRESSION},
                  {ATLAS_COMPRESSION_ZSTD, ATLAS_FEATURE_ZSTD},
                  {ATLAS_COMPRESSION_LZ4, ATLAS_FEATURE_LZ4}};
    const atlas_region whole = {0, SIZE};
    atlas_shard *shard = NULL;
    unsigned i;
    must(atlas_shard_extract(projection, &whole, NULL, &shard) == ATLAS_STATUS_OK, "a shard is extracted",
         failures);
    for (i = 0; i < 3; i++) {
        atlas_compression_config config;
        atlas_compressed_shard *compressed = NULL;
        if ((atlas_manifold_features() & codecs[i].feature) == 0) {
            continue;
        }
        atlas_compression_config_init(&config);
        config.algorithm = codecs[i].algorithm;
        must(atlas_shard_compress(shard, &config, NULL, &compressed) == ATLAS_STATUS_OK, "it is compressed",
             failures);
        memset(back, 0, SIZE);
        must(atlas_compressed_shard_read(compressed, 0, back, SIZE) == ATLAS_STATUS_OK, "it is decompressed",
             failures);
        must(memcmp(data, back, SIZE) == 0, "the decompressed bytes are the same", failures);
        atlas_compressed_shard_destroy(compressed);
    }
    atlas_shard_destroy(shard);
}

#ifdef WITH_CODECS
int check_own_codecs(const unsigned char *bytes, unsigned size);
#endif
#ifdef WITH_OTHER
unsigned other_length(const char *text);
int other_catches_a_panic(void);
#endif

int main(void)
{
    /* BLAKE3-256 of "abc" */
    static const unsigned char known[32] = {0x64, 0x37, 0xb3, 0xac, 0x38, 0x46, 0x51, 0x33, 0xff, 0xb6, 0x3b,
                                            0x75, 0x27, 0x3a, 0x8d, 0xb5, 0x48, 0xc5, 0x58, 0x46, 0x5d, 0x79,
                                            0xdb, 0x03, 0xfd, 0x35, 0x9c, 0x6c, 0xd5, 0xbd, 0x9d, 0x85};
    unsigned char digest[32];
    unsigned sum = 0;
    unsigned i;
    int failures = 0;
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;

    for (i = 0; i < SIZE; i++) {
        data[i] = i < SIZE / 2 ? (unsigned char)((i * 2654435761u) >> 24) : (unsigned char)(i >> 7);
        sum += data[i];
    }
    atlas_digest256("abc", 3, digest);
    must(memcmp(digest, known, 32) == 0, "the digest is BLAKE3", &failures);
    must(atlas_source_copy(data, SIZE, &source) == ATLAS_STATUS_OK, "the bytes are a source", &failures);
    must(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection) == ATLAS_STATUS_OK,
         "it is projected", &failures);
    check_residue(projection, sum, &failures);
    must(atlas_projection_verify(projection, NULL) == ATLAS_STATUS_OK, "it verifies", &failures);
    check_round_trip(projection, &failures);
    check_codecs(projection, &failures);
#ifdef WITH_CODECS
    must(check_own_codecs(data, SIZE), "the program's own libzstd and liblz4 work", &failures);
    check_codecs(projection, &failures);
#endif
    /* A failure inside leaves a status and a text, whatever else is linked. */
    must(atlas_projection_read(projection, SIZE, back, 1) == ATLAS_STATUS_OUT_OF_RANGE,
         "nothing is read behind the end", &failures);
    must(strlen(atlas_last_error_message()) > 0, "the reason is told", &failures);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
#ifdef WITH_OTHER
    must(other_length("four") == 4, "the other library works", &failures);
    must(other_catches_a_panic() == 1, "the other library unwinds", &failures);
#endif
    if (failures == 0) {
        printf("atlas_manifold %s: all as it must be\n", atlas_manifold_version_string());
    }
    return failures != 0;
}
