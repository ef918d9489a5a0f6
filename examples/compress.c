/* Compresses a file as one shard, sends it through bytes, reads a part of it, and gets it back.
 *
 *     compress FILE
 */
#include <atlas_manifold.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;
    atlas_projection_info domain = {.struct_size = sizeof domain};
    atlas_shard *shard = NULL, *back = NULL;
    atlas_compressed_shard *compressed = NULL, *arrived = NULL;
    atlas_compressed_info info = {.struct_size = sizeof info};
    atlas_buffer bytes = {NULL, 0};
    uint8_t root[32];
    atlas_verify_options trust;
    atlas_verify_options_init(&trust);
    trust.expected_root = root;
    if (argc != 2
        || atlas_source_open_file(argv[1], ATLAS_FILE_IO_READ, &source)
        || atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection)
        || atlas_projection_get_info(projection, &domain)
        || atlas_projection_root(projection, NULL, root)
        || atlas_shard_extract(projection, &(atlas_region){0, domain.domain_size}, NULL, &shard)
        || atlas_shard_compress(shard, NULL, NULL, &compressed)
        || atlas_compressed_shard_get_info(compressed, &info)
        || atlas_compressed_shard_serialize(compressed, &bytes)
        || atlas_compressed_shard_deserialize(bytes.data, bytes.size, NULL, &arrived)) {
        fprintf(stderr, "%s\n", argc == 2 ? atlas_last_error_message() : "usage: compress FILE");
        return 1;
    }
    printf("%llu bytes became %llu (%s)\n", (unsigned long long)info.original_size,
           (unsigned long long)info.compressed_size,
           info.algorithm == ATLAS_COMPRESSION_NONE ? "stored" : "compressed");

    /* Only the blocks that these bytes lie in are decompressed, and checked. */
    uint8_t part[64];
    const size_t size = domain.domain_size < sizeof part ? (size_t)domain.domain_size : sizeof part;
    if (atlas_compressed_shard_read(arrived, domain.domain_size - size, part, size)) {
        fprintf(stderr, "%s\n", atlas_last_error_message());
        return 1;
    }
    const uint8_t *data = NULL;
    size_t all = 0;
    if (atlas_shard_decompress(arrived, &trust, NULL, &back) || atlas_shard_data(back, &data, &all)) {
        fprintf(stderr, "%s\n", atlas_last_error_message());
        return 1;
    }
    printf("all %zu bytes came back and belong to the root; the last %zu %s\n", all, size,
           memcmp(part, data + all - size, size) == 0 ? "were read alone" : "DIFFER");
    atlas_shard_destroy(back);
    atlas_compressed_shard_destroy(arrived);
    atlas_buffer_free(&bytes);
    atlas_compressed_shard_destroy(compressed);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    return 0;
}
