/* Projects a file, prints its root and residue, and lets one shard travel and be verified. */
#include <atlas_manifold.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;
    atlas_projection_info info = {.struct_size = sizeof info};
    atlas_shard *shard = NULL, *arrived = NULL;
    atlas_buffer bytes = {NULL, 0};
    uint8_t root[32];
    atlas_verify_options trust;
    atlas_verify_options_init(&trust);
    trust.expected_root = root;
    const int failed = argc != 2
        || atlas_source_open_file(argv[1], ATLAS_FILE_IO_READ, &source)
        || atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection)
        || atlas_projection_get_info(projection, &info)
        || atlas_projection_root(projection, NULL, root)
        || atlas_shard_extract(projection, &(atlas_region){info.domain_size / 2, info.domain_size / 4},
                               NULL, &shard)
        || atlas_shard_serialize(shard, &bytes)
        || atlas_shard_deserialize(bytes.data, bytes.size, NULL, &trust, NULL, &arrived);
    if (failed) {
        fprintf(stderr, "%s\n", argc == 2 ? atlas_last_error_message() : "usage: first FILE");
    } else {
        printf("%llu bytes, residue %u, root ", (unsigned long long)info.domain_size, info.residue);
        for (int i = 0; i < 32; i++) {
            printf("%02x", root[i]);
        }
        printf("\na shard of %llu bytes travelled as %zu bytes and belongs to that root\n",
               (unsigned long long)(info.domain_size / 4), bytes.size);
    }
    atlas_shard_destroy(arrived);
    atlas_buffer_free(&bytes);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    return failed;
}
