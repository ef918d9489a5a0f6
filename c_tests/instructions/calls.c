/* The same work as calls.cpp, with the C calls: the instructions that the C++ header adds are counted. */
#include <atlas_manifold.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE ((size_t)4 << 20)
#define SHARDS 500u

/* Seen from outside, so that the counter finds them. */
atlas_projection *count_project(const atlas_source *source, const atlas_operation *op);
void count_extract(const atlas_projection *projection, const atlas_operation *op, atlas_shard **shards);
void count_verify(atlas_shard *const *shards, const atlas_operation *op, const uint8_t *root);

static void must(atlas_status status)
{
    if (status != ATLAS_STATUS_OK) {
        fprintf(stderr, "%s\n", atlas_last_error_message());
        exit(1);
    }
}

__attribute__((noinline)) atlas_projection *count_project(const atlas_source *source, const atlas_operation *op)
{
    atlas_projection *made = NULL;
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    must(atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, &options, op, &made));
    return made;
}

__attribute__((noinline)) void count_extract(const atlas_projection *projection, const atlas_operation *op,
                                             atlas_shard **shards)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        const atlas_region region = {i * 8000u, 4096};
        must(atlas_shard_extract(projection, &region, op, &shards[i]));
    }
}

__attribute__((noinline)) void count_verify(atlas_shard *const *shards, const atlas_operation *op, const uint8_t *root)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        atlas_verify_options trust;
        atlas_verify_options_init(&trust);
        trust.expected_root = root;
        must(atlas_shard_verify(shards[i], &trust, op));
    }
}

int main(void)
{
    unsigned char *data = malloc(SIZE);
    atlas_shard **shards = calloc(SHARDS, sizeof *shards);
    atlas_pool *pool = NULL;
    atlas_source *source = NULL;
    atlas_projection *projection;
    atlas_operation op;
    uint8_t root[32];
    if (data == NULL || shards == NULL) {
        return 1;
    }
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = (unsigned char)(i * 2654435761u >> 24);
    }
    must(atlas_pool_create(1, &pool));
    atlas_operation_init(&op);
    op.pool = pool;
    must(atlas_source_borrow(data, SIZE, NULL, NULL, &source));
    projection = count_project(source, &op);
    must(atlas_projection_root(projection, &op, root));
    count_extract(projection, &op, shards);
    count_verify(shards, &op, root);
    for (unsigned i = 0; i < SHARDS; i++) {
        atlas_shard_destroy(shards[i]);
    }
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    atlas_pool_destroy(pool);
    free(shards);
    free(data);
    return 0;
}
