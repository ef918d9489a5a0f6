/* tsan_proof [race]: a host with a reader and a progress callback on threads of the library. Its state is guarded by a
 * lock, or with `race` by nothing, which ThreadSanitizer must report. */
#include "atlas_manifold.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { TILES = 64, TILE = 1048576, THREADS = 4 };

typedef struct host {
    pthread_mutex_t lock;
    bool races;
    uint8_t fill;
    unsigned reads;
    unsigned reports;
} host;

static int read_at(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    host *self = (host *)user_data;
    (void)offset;
    if (!self->races) {
        pthread_mutex_lock(&self->lock);
    }
    self->reads++;
    if (!self->races) {
        pthread_mutex_unlock(&self->lock);
    }
    memset(buffer, self->fill, size);
    return 0;
}

static bool progress(const atlas_progress *report, void *user_data)
{
    host *self = (host *)user_data;
    (void)report;
    self->reports++;
    return true;
}

int main(int argc, char **argv)
{
    host self = {.lock = PTHREAD_MUTEX_INITIALIZER, .races = argc > 1 && strcmp(argv[1], "race") == 0};
    atlas_pool *pool = NULL;
    atlas_source *source = NULL;
    if (atlas_pool_create(THREADS, &pool) != ATLAS_STATUS_OK ||
        atlas_source_from_callback((uint64_t)TILES * TILE, read_at, NULL, &self, &source) != ATLAS_STATUS_OK) {
        fprintf(stderr, "%s\n", atlas_last_error_message());
        return 1;
    }
    /* The host's state changes between two calls, as the callbacks of each can rely on. */
    for (uint8_t round = 0; round < 2; round++) {
        atlas_projection *projection = NULL;
        atlas_operation operation;
        uint8_t root[32];
        atlas_operation_init(&operation);
        operation.pool = pool;
        operation.progress = progress;
        operation.user_data = &self;
        self.fill = round;
        if (atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection) !=
                ATLAS_STATUS_OK ||
            atlas_projection_root(projection, &operation, root) != ATLAS_STATUS_OK) {
            fprintf(stderr, "%s\n", atlas_last_error_message());
            return 1;
        }
        printf("%u reads, %u reports\n", self.reads, self.reports);
        atlas_projection_destroy(projection);
    }
    atlas_source_destroy(source);
    atlas_pool_destroy(pool);
    return 0;
}
