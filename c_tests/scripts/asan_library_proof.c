/* Has the library read behind memory of ours: a shard of which there are seven bytes. Only a library that
 * is instrumented itself tells of the read in its own code. */
#include "atlas_manifold.h"

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    void *cut = calloc(7, 1);
    atlas_shard *shard = NULL;
    (void)atlas_shard_deserialize(cut, 1000, NULL, NULL, NULL, &shard);
    free(cut);
    printf("nobody saw it\n");
    return 0;
}
