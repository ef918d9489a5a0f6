/* Walks the chunks of a file: counts the bytes that equal the next one, also across chunks, and prints
 * the root of the whole at the end. */
#include <atlas_manifold.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    atlas_source *source = NULL;
    atlas_stream *stream = NULL;
    atlas_projection *projection = NULL;
    atlas_stream_config config;
    atlas_chunk chunk = {.struct_size = sizeof chunk};
    bool has_chunk = true;
    unsigned long long pairs = 0;
    uint8_t root[32];
    atlas_stream_config_init(&config);
    config.chunk_overlap = 1;
    if (argc != 2
        || atlas_source_open_file(argv[1], ATLAS_FILE_IO_READ, &source)
        || atlas_stream_open(ATLAS_PROJECTION_LINEAR, source, NULL, &config, NULL, &stream)) {
        goto failed;
    }
    for (;;) {
        if (atlas_stream_next(stream, &chunk, &has_chunk)) {
            goto failed;
        }
        if (!has_chunk) {
            break;
        }
        /* Bytes equal to the one after them: the last one's is the first of the overlap. */
        for (size_t i = 0; i + 1 < chunk.size; i++) {
            pairs += chunk.data[i] == chunk.data[i + 1];
        }
        pairs += chunk.overlap_size > 0 && chunk.data[chunk.size - 1] == chunk.overlap[0];
        printf("chunk %llu at %llu: %zu bytes, residue %u\n", (unsigned long long)chunk.id,
               (unsigned long long)chunk.offset, chunk.size, chunk.residue);
    }
    if (atlas_stream_finish(stream, &projection) || atlas_projection_root(projection, NULL, root)) {
        goto failed;
    }
    printf("%llu bytes equal the next one, root ", pairs);
    for (int i = 0; i < 32; i++) {
        printf("%02x", root[i]);
    }
    printf("\n");
    atlas_projection_destroy(projection);
    atlas_stream_destroy(stream);
    atlas_source_destroy(source);
    return 0;
failed:
    fprintf(stderr, "%s\n", argc == 2 ? atlas_last_error_message() : "usage: chunks FILE");
    atlas_projection_destroy(projection);
    atlas_stream_destroy(stream);
    atlas_source_destroy(source);
    return 1;
}
