/* Projects the standard input and prints the root. With a name the bytes are kept in that
 * file, else in memory. */
#include <atlas_manifold.h>
#include <stdio.h>

static atlas_status push_all(atlas_stream *stream, FILE *in)
{
    static unsigned char buffer[65536];
    atlas_status status = ATLAS_STATUS_OK;
    for (size_t size = 1; size > 0 && status == ATLAS_STATUS_OK;) {
        size = fread(buffer, 1, sizeof buffer, in);
        status = atlas_stream_push(stream, buffer, size);
    }
    return status;
}

int main(int argc, char **argv)
{
    atlas_stream *stream = NULL;
    atlas_projection *projection = NULL;
    atlas_projection_info info = {.struct_size = sizeof info};
    uint8_t root[32];
    int failed = 0;
    if (argc > 2) {
        fprintf(stderr, "usage: pipe [FILE] < BYTES\n");
        return 2;
    }
    if (atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, argv[1], NULL, NULL, NULL, &stream)
        || push_all(stream, stdin)
        || (failed = ferror(stdin)) != 0
        || atlas_stream_finish(stream, &projection)
        || atlas_projection_get_info(projection, &info)
        || atlas_projection_root(projection, NULL, root)) {
        fprintf(stderr, "%s\n", failed ? "reading standard input failed" : atlas_last_error_message());
        atlas_stream_destroy(stream);
        atlas_projection_destroy(projection);
        return 1;
    }
    printf("%llu bytes, residue %u, root ", (unsigned long long)info.domain_size, info.residue);
    for (int i = 0; i < 32; i++) {
        printf("%02x", root[i]);
    }
    printf("\n");
    atlas_projection_destroy(projection);
    atlas_stream_destroy(stream);
    return 0;
}
