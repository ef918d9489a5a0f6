/* The memory of a stream stays within the memory limit: the peak of the resident memory of a child, for
 * every way of streaming, and fewer workers before the answer is LIMIT. */
#include "check.h"

#include <pthread.h>
#include <time.h>

#define KIB ((size_t)1024)
#define THREADS 12
#define R96 ATLAS_PROJECTION_R96_FOURIER

/* A field of /proc/self/status in bytes; 0 where the system does not tell. */
static size_t status_field(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    size_t kib = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            kib = (size_t)strtoull(line + strlen(name), NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib * KIB;
}

/* Begins to measure; returns the resident memory, 0 if it cannot be measured. */
static size_t measure(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    const bool reset = file != NULL && fputs("5", file) >= 0;
    if (file != NULL && fclose(file) != 0) {
        return 0;
    }
    return reset ? status_field("VmHWM:") : 0;
}

typedef struct way {
    const char *name;
    uint32_t type;
    size_t size;              /* of the domain */
    size_t limit;
    size_t chunk, overlap;
    size_t steps;             /* chunks that are shown before the rest */
    size_t piece;             /* pushed at a time; 0: the source is read */
    bool spool;
} way;

static void pushed(const way *self, const uint8_t *piece, const atlas_stream_config *config,
                   const atlas_operation *operation, atlas_projection **out)
{
    const char *spool = self->spool ? temp_path("spool.bin") : NULL;
    atlas_stream *stream = NULL;
    CHECK_OK(atlas_stream_open_push(self->type, spool, NULL, config, operation, &stream));
    for (size_t at = 0; at < self->size; at += self->piece) {
        const size_t left = self->size - at;
        CHECK_OK(atlas_stream_push(stream, piece, left < self->piece ? left : self->piece));
    }
    CHECK_OK(atlas_stream_finish(stream, out));
    atlas_stream_destroy(stream);
}

static void pulled(const way *self, const atlas_source *source, const atlas_stream_config *config,
                   const atlas_operation *operation, atlas_projection **out)
{
    if (self->steps == 0) {
        CHECK_OK(atlas_stream_project(self->type, source, NULL, config, operation, out));
        return;
    }
    atlas_stream *stream = NULL;
    CHECK_OK(atlas_stream_open(self->type, source, NULL, config, operation, &stream));
    for (size_t step = 0; step < self->steps; step++) {
        atlas_chunk chunk = {.struct_size = sizeof chunk};
        bool has_chunk = false;
        CHECK_OK(atlas_stream_next(stream, &chunk, &has_chunk));
        CHECK(has_chunk);
    }
    CHECK_OK(atlas_stream_finish(stream, out));
    atlas_stream_destroy(stream);
}

static void stays_within(const way *self)
{
    const char *path = temp_path("domain.bin");
    const int file = open(path, O_CREAT | O_RDWR, 0600);
    CHECK(file >= 0 && ftruncate(file, (off_t)self->size) == 0 && close(file) == 0);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    uint8_t *piece = random_bytes(self->piece, 1);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(THREADS, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    operation.memory_limit = self->limit;
    atlas_stream_config config;
    atlas_stream_config_init(&config);
    config.chunk_size = self->chunk;
    config.chunk_overlap = self->overlap;

    const size_t before = measure();
    if (before == 0) {
        skip("this system does not tell the peak of the resident memory");
    }
    atlas_projection *projection = NULL;
    if (self->piece > 0) {
        pushed(self, piece, &config, &operation, &projection);
    } else {
        pulled(self, source, &config, &operation, &projection);
    }
    const size_t taken = status_field("VmHWM:") - before;
    const size_t most = self->limit + 2 * TILE + THREADS * 256 * KIB;
    printf("%-36s %6.1f of %6.1f MiB\n", self->name, (double)taken / (double)TILE,
           (double)self->limit / (double)TILE);
    if (taken > most) {
        fprintf(stderr, "%s: %zu bytes, of which %zu are allowed\n", self->name, taken, most);
        exit(1);
    }
    atlas_projection_destroy(projection);
    atlas_pool_destroy(pool);
    atlas_source_destroy(source);
    free(piece);
    (void)unlink(path);
    (void)unlink(temp_path("spool.bin"));
}

/* Each in a child, whose peak is its own. */
static void every_way_stays_within_the_limit(void)
{
    const way ways[] = {
        {"LINEAR, project", 0, 512 * TILE, 5 * TILE, 16 * TILE, 0, 0, 0, false},
        {"LINEAR, next, finish", 0, 256 * TILE, 34 * TILE, 16 * TILE, 16 * TILE, 1, 0, false},
        {"LINEAR, next over tiles, finish", 0, 256 * TILE, 20 * TILE, 9 * TILE + 777, 9 * TILE, 3, 0, false},
        {"LINEAR, next below a tile, finish", 0, 64 * TILE, 2 * TILE, 64 * KIB, 64 * KIB, 20, 0, false},
        {"LINEAR, push to a spool", 0, 256 * TILE, 8 * TILE, 16 * TILE, 0, 0, 300000, true},
        {"LINEAR, push to a spool, whole tiles", 0, 256 * TILE, 20 * TILE, 16 * TILE, 0, 0, TILE, true},
        {"LINEAR, push to memory", 0, 64 * TILE, 66 * TILE, 16 * TILE, 0, 0, 300000, false},
        {"LINEAR, push to memory, large pieces", 0, 64 * TILE, 66 * TILE, 16 * TILE, 0, 0, 20 * TILE, false},
        {"R96, project", R96, 48 * TILE, 12 * TILE, 16 * TILE, 0, 0, 0, false},
        {"R96, next, finish", R96, 64 * TILE, 20 * TILE, 8 * TILE, 8 * TILE, 2, 0, false},
        {"R96, push to a spool", R96, 48 * TILE, 12 * TILE, 16 * TILE, 0, 0, 300000, true},
        {"R96, push to a spool, whole tiles", R96, 48 * TILE, 6 * TILE, 16 * TILE, 0, 0, 4 * TILE, true},
        {"R96, push to memory", R96, 32 * TILE, 40 * TILE, 16 * TILE, 0, 0, 300000, false},
        {"R96, push to memory, whole tiles", R96, 32 * TILE, 36 * TILE, 16 * TILE, 0, 0, 8 * TILE, false},
    };
    (void)temp_dir();
    size_t failed = 0;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        CHECK(fflush(NULL) == 0);
        const pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            stays_within(&ways[i]);
            exit(0);
        }
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid);
        failed += status != 0;
    }
    CHECK_EQ(failed, 0);
}

typedef struct crowd {
    pthread_mutex_t lock;
    size_t inside, most;
} crowd;

static int read_slowly(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    crowd *self = (crowd *)user_data;
    const struct timespec moment = {0, 3000000};
    (void)pthread_mutex_lock(&self->lock);
    self->inside++;
    self->most = self->inside > self->most ? self->inside : self->most;
    (void)pthread_mutex_unlock(&self->lock);
    (void)nanosleep(&moment, NULL);
    memset(buffer, (int)(offset / TILE), size);
    (void)pthread_mutex_lock(&self->lock);
    self->inside--;
    (void)pthread_mutex_unlock(&self->lock);
    return 0;
}

static void the_limit_costs_workers_before_it_refuses(void)
{
    crowd seen = {.inside = 0};
    CHECK(pthread_mutex_init(&seen.lock, NULL) == 0);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(32 * TILE, read_slowly, NULL, &seen, &source));
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(6, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    atlas_stream_config config;
    atlas_stream_config_init(&config);
    const size_t result = 32 * KIB;
    const size_t parallel = (atlas_manifold_features() & ATLAS_FEATURE_PARALLEL) != 0 ? 6 : 1;
    for (size_t workers = 0; workers <= 7; workers++) {
        seen.most = 0;
        operation.memory_limit = workers == 7 ? 0 : result + workers * TILE;
        atlas_projection *projection = NULL;
        const atlas_status status = atlas_stream_project(0, source, NULL, &config, &operation, &projection);
        CHECK_STATUS(status, workers == 0 ? ATLAS_STATUS_LIMIT : ATLAS_STATUS_OK);
        const size_t wanted = workers < parallel ? workers : parallel;
        CHECK(seen.most <= wanted);
        CHECK(wanted < 2 || seen.most >= 2);
        atlas_projection_destroy(projection);
    }

    /* A worker's buffer is as large as its reads: said at once, not in the middle. */
    seen.most = 0;
    config.io_buffer_size = 16 * TILE;
    operation.memory_limit = 15 * TILE;
    atlas_stream *stream = NULL;
    CHECK_STATUS(atlas_stream_open(0, source, NULL, &config, &operation, &stream), ATLAS_STATUS_LIMIT);
    CHECK(stream == NULL);
    CHECK_EQ(seen.most, 0);
    operation.memory_limit = 16 * TILE + result;
    CHECK_OK(atlas_stream_open(0, source, NULL, &config, &operation, &stream));
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_stream_finish(stream, &projection));
    atlas_stream_destroy(stream);
    atlas_projection_destroy(projection);

    /* If a chunk can be returned, the rest can be finished. */
    const size_t chunks[] = {64 * KIB, 300000, TILE, 3 * TILE + 5, 4 * TILE};
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        config.io_buffer_size = TILE;
        config.chunk_size = chunks[i];
        config.chunk_overlap = chunks[i];
        const size_t begun = chunks[i] % TILE == 0 ? 0 : TILE;
        operation.memory_limit = result + (2 * chunks[i] + begun < TILE ? TILE : 2 * chunks[i] + begun);
        CHECK_OK(atlas_stream_open(0, source, NULL, &config, &operation, &stream));
        atlas_chunk chunk = {.struct_size = sizeof chunk};
        bool has_chunk = false;
        CHECK_OK(atlas_stream_next(stream, &chunk, &has_chunk));
        CHECK_OK(atlas_stream_finish(stream, &projection));
        atlas_stream_destroy(stream);
        atlas_projection_destroy(projection);
    }
    atlas_pool_destroy(pool);
    atlas_source_destroy(source);
}

int main(void)
{
    if ((atlas_manifold_features() & ATLAS_FEATURE_STREAMING) == 0) {
        skip("streaming is not built in");
    }
    if (!small_run()) { /* instruments have memory of their own */
        every_way_stays_within_the_limit(); /* first: a child has no threads of its parent */
    }
    the_limit_costs_workers_before_it_refuses();
    return 0;
}
