/* Writes behind memory that the library allocated. A sanitizer that is at work stops it: the
 * library takes its memory from malloc, so that its buffers are watched like any others. */
#include "atlas_manifold.h"

#include <stdio.h>

int main(void)
{
    static const unsigned char bytes[4096] = {1, 2, 3};
    const atlas_region region = {0, sizeof bytes};
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;
    atlas_shard *shard = NULL;
    atlas_buffer buffer = {NULL, 0};
    if (atlas_source_copy(bytes, sizeof bytes, &source) != ATLAS_STATUS_OK ||
        atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection) !=
            ATLAS_STATUS_OK ||
        atlas_shard_extract(projection, &region, NULL, &shard) != ATLAS_STATUS_OK ||
        atlas_shard_serialize(shard, &buffer) != ATLAS_STATUS_OK) {
        fprintf(stderr, "%s\n", atlas_last_error_message());
        return 1;
    }
    volatile uint8_t *data = buffer.data;
    data[buffer.size] = 1;
    printf("nobody saw it\n");
    return 0;
}
