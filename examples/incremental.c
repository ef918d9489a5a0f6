/* Edits a domain, one delta and a batch, and takes the edits back: the root is the old one. */
#include <atlas_manifold.h>
#include <stdio.h>
#include <string.h>

static int print_state(const atlas_projection *projection, const char *what)
{
    atlas_projection_info info = {.struct_size = sizeof info};
    uint8_t root[32];
    if (atlas_projection_get_info(projection, &info) || atlas_projection_root(projection, NULL, root)) {
        return 1;
    }
    printf("%-8s %llu bytes, residue %2u, root %02x%02x%02x%02x...\n", what,
           (unsigned long long)info.domain_size, info.residue, root[0], root[1], root[2], root[3]);
    return 0;
}

int main(void)
{
    static uint8_t bytes[3 << 20];
    memset(bytes, 'a', sizeof bytes);
    const atlas_delta first = {.type = ATLAS_CHANGE_INSERT, .offset = 100, .data = "hello", .data_size = 5};
    const atlas_delta more[] = {
        {.type = ATLAS_CHANGE_UPDATE, .offset = 0, .length = 10, .data = "short", .data_size = 5},
        {.type = ATLAS_CHANGE_DELETE, .offset = 2000000, .length = 4096},
        {.type = ATLAS_CHANGE_MOVE, .offset = 95, .length = 5, .destination = 1 << 20},
    };
    atlas_incremental_stats stats = {.struct_size = sizeof stats};
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;
    int failed = atlas_source_borrow(bytes, sizeof bytes, NULL, NULL, &source)
        || atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection)
        || print_state(projection, "fresh")
        || atlas_projection_apply(projection, &first)
        || print_state(projection, "insert")
        || atlas_projection_apply_batch(projection, more, sizeof more / sizeof more[0])
        || print_state(projection, "batch")
        || atlas_projection_rollback(projection, atlas_projection_history_len(projection))
        || print_state(projection, "undone")
        || atlas_projection_get_incremental_stats(projection, &stats);
    if (failed) {
        fprintf(stderr, "%s\n", atlas_last_error_message());
    } else {
        printf("%llu deltas, %llu bytes modified\n", (unsigned long long)stats.total_updates,
               (unsigned long long)stats.bytes_modified);
    }
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    return failed;
}
