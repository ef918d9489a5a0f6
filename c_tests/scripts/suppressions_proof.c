/* suppressions_proof [definite|possible]: work on the default pool and on one of its own, with everything
 * destroyed, and a leak of that kind if one is named. */
#include <atlas_manifold.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 4 * 1048576 };

static char *kept; /* into the middle of a block */

static int work(const atlas_pool *pool)
{
    atlas_operation operation;
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;
    unsigned char root[32];
    unsigned char *bytes = (unsigned char *)calloc(SIZE, 1);
    atlas_operation_init(&operation);
    operation.pool = pool;
    const int failed = bytes == NULL || atlas_source_copy(bytes, SIZE, &source) != ATLAS_STATUS_OK ||
                       atlas_projection_create(ATLAS_PROJECTION_R96_FOURIER, source, NULL, &operation, &projection) !=
                           ATLAS_STATUS_OK ||
                       atlas_projection_root(projection, &operation, root) != ATLAS_STATUS_OK;
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    free(bytes);
    return failed;
}

int main(int argc, char **argv)
{
    atlas_pool *pool = NULL;
    if (atlas_pool_create(3, &pool) != ATLAS_STATUS_OK || work(NULL) != 0 || work(pool) != 0) {
        fprintf(stderr, "%s\n", atlas_last_error_message());
        return 1;
    }
    atlas_pool_destroy(pool);
    if (argc > 1) {
        char *lost = (char *)malloc(100);
        if (lost == NULL) {
            return 1;
        }
        memset(lost, 1, 100);
        kept = strcmp(argv[1], "possible") == 0 ? lost + 50 : NULL;
    }
    return 0;
}
