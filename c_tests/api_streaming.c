/* Streams: the same projection as in memory, every chunk with the beginning of the next, and nothing
 * left behind by a failure. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#define KIB ((size_t)1024)

typedef struct reader {
    const uint8_t *data;
    pthread_mutex_t lock;
    uint64_t calls;
    uint64_t fails_at;        /* the call that fails; NONE: none */
    uint64_t bytes;
    int gone;
} reader;

static int read_from(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    reader *self = (reader *)user_data;
    (void)pthread_mutex_lock(&self->lock);
    const bool fails = self->calls++ == self->fails_at;
    self->bytes += size;
    (void)pthread_mutex_unlock(&self->lock);
    if (fails) {
        return EIO;
    }
    memcpy(buffer, self->data + offset, size);
    return 0;
}

static void reader_gone(void *user_data) { ((reader *)user_data)->gone++; }

static atlas_source *reading(reader *self, const uint8_t *data, size_t size, uint64_t fails_at)
{
    memset(self, 0, sizeof *self);
    self->data = data;
    self->fails_at = fails_at;
    CHECK(pthread_mutex_init(&self->lock, NULL) == 0);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(size, read_from, reader_gone, self, &source));
    return source;
}

static pthread_t calling_thread;

typedef struct reports {
    uint64_t count;
    uint64_t stop_after;      /* false at this report, counted from 1; 0: never */
    const atlas_stream *stream; /* whose progress is reported; may be NULL */
    atlas_progress last;
    bool decreased;
    bool stopped;
    bool called_after_stop;
} reports;

static bool on_progress(const atlas_progress *progress, void *user_data)
{
    reports *self = (reports *)user_data;
    CHECK(pthread_equal(pthread_self(), calling_thread) != 0);
    if (self->stream != NULL) {
        atlas_progress now = {.struct_size = sizeof now};
        CHECK_OK(atlas_stream_get_progress(self->stream, &now));
        CHECK(now.bytes_done == progress->bytes_done && now.chunks_done == progress->chunks_done);
        CHECK(now.bytes_total == progress->bytes_total && now.chunks_total == progress->chunks_total);
    }
    self->called_after_stop = self->called_after_stop || self->stopped;
    self->decreased = self->decreased || progress->bytes_done < self->last.bytes_done
                      || progress->chunks_done < self->last.chunks_done;
    self->last = *progress;
    self->count++;
    self->stopped = self->count == self->stop_after;
    return !self->stopped;
}

static atlas_stream_config configured(uint64_t chunk_size, uint64_t overlap)
{
    atlas_stream_config config;
    atlas_stream_config_init(&config);
    config.chunk_size = chunk_size;
    config.chunk_overlap = overlap;
    return config;
}

static void is_the_domain(atlas_projection *projection, const uint8_t *data, size_t size)
{
    uint8_t root[32];
    uint8_t wanted[32];
    atlas_projection *plain = projected_bytes(data, size);
    root_of(projection, root);
    root_of(plain, wanted);
    CHECK(memcmp(root, wanted, 32) == 0);
    atlas_projection_info info = {.struct_size = sizeof info};
    CHECK_OK(atlas_projection_get_info(projection, &info));
    CHECK_EQ(info.domain_size, size);
    CHECK_EQ(info.residue, residue_of(data, size));
    CHECK_EQ(info.canonical, 1);
    uint8_t *found = random_bytes(size, 0);
    CHECK_OK(atlas_projection_read(projection, 0, found, size));
    CHECK(memcmp(found, data, size) == 0);
    free(found);
    CHECK_OK(atlas_projection_verify(projection, NULL));
    if (size > 0) {
        atlas_shard *shard = extracted(projection, size / 2, size - size / 2);
        const uint8_t *bytes = NULL;
        size_t count = 0;
        CHECK_OK(atlas_shard_data(shard, &bytes, &count));
        CHECK(count == size - size / 2 && memcmp(bytes, data + size / 2, count) == 0);
        atlas_shard_destroy(shard);
    }
    atlas_projection_destroy(plain);
    atlas_projection_destroy(projection);
}

static void config_values_are_checked(void)
{
    atlas_stream_config config;
    atlas_stream_config_init(NULL);
    memset(&config, 0xA5, sizeof config);
    atlas_stream_config_init(&config);
    CHECK_EQ(config.struct_size, sizeof config);
    CHECK_EQ(config.chunk_size, 16 * TILE);
    CHECK_EQ(config.parallel_chunks, 4);
    CHECK_EQ(config.prefetch_chunks, 2);
    CHECK_EQ(config.chunk_overlap, 4096);
    CHECK_EQ(config.io_buffer_size, TILE);

    const uint8_t data[3] = {1, 2, 3};
    atlas_source *source = borrowed(data, sizeof data);
    atlas_projection *projection = (atlas_projection *)(void *)&config;
    config.chunk_size = 64 * KIB - 1;
    CHECK_STATUS(atlas_stream_project(0, source, NULL, &config, NULL, &projection),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("chunk_size 65535 is outside 65536..=268435456");
    CHECK(projection == NULL);
    config = configured(256 * TILE + 1, 0);
    CHECK_STATUS(atlas_stream_project(0, source, NULL, &config, NULL, &projection),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("chunk_size 268435457");
    config = configured(TILE, TILE + 1);
    CHECK_STATUS(atlas_stream_project(0, source, NULL, &config, NULL, &projection),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("chunk_overlap 1048577 is outside 0..=1048576");
    config = configured(TILE, 0);
    config.parallel_chunks = 0;
    CHECK_STATUS(atlas_stream_project(0, source, NULL, &config, NULL, &projection),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("parallel_chunks 0 is outside 1..=");
    config = configured(TILE, 0);
    config.io_buffer_size = 16 * TILE + 1;
    CHECK_STATUS(atlas_stream_project(0, source, NULL, &config, NULL, &projection),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("io_buffer_size 16777217 is outside 4096..=16777216");
    config = configured(TILE, 0);
    config.struct_size = 17;
    CHECK_STATUS(atlas_stream_project(0, source, NULL, &config, NULL, &projection),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("struct_size 17");
    config.struct_size = 16;
    CHECK_OK(atlas_stream_project(0, source, NULL, &config, NULL, &projection));
    is_the_domain(projection, data, sizeof data);
    CHECK_STATUS(atlas_stream_project(7, source, NULL, NULL, NULL, &projection),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    atlas_source_destroy(source);
}

static void null_is_refused(void)
{
    const uint8_t data[3] = {1, 2, 3};
    atlas_source *source = borrowed(data, sizeof data);
    atlas_projection *projection = NULL;
    atlas_stream *stream = NULL;
    atlas_chunk chunk = {.struct_size = sizeof chunk};
    atlas_progress progress = {.struct_size = sizeof progress};
    bool has_chunk = true;
    CHECK_STATUS(atlas_stream_project(0, NULL, NULL, NULL, NULL, &projection), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_stream_project(0, source, NULL, NULL, NULL, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_stream_open(0, NULL, NULL, NULL, NULL, &stream), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_stream_open(0, source, NULL, NULL, NULL, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_stream_open_push(0, NULL, NULL, NULL, NULL, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_stream_push(NULL, data, 1), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_stream_next(NULL, &chunk, &has_chunk), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(!has_chunk);
    CHECK_STATUS(atlas_stream_get_progress(NULL, &progress), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_stream_finish(NULL, &projection), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(!atlas_stream_is_complete(NULL));
    atlas_stream_destroy(NULL);
    CHECK_OK(atlas_stream_open(0, source, NULL, NULL, NULL, &stream));
    CHECK_STATUS(atlas_stream_next(stream, NULL, &has_chunk), ATLAS_STATUS_INVALID_ARGUMENT);
    memset(&chunk, 0xA5, sizeof chunk);
    chunk.struct_size = (uint32_t)sizeof chunk;
    CHECK_STATUS(atlas_stream_next(stream, &chunk, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(all_bytes(&chunk.residue, sizeof chunk - sizeof chunk.struct_size, 0));
    memset(&progress, 0xA5, sizeof progress);
    progress.struct_size = (uint32_t)sizeof progress;
    CHECK_STATUS(atlas_stream_get_progress(NULL, &progress), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(all_bytes(&progress.reserved, sizeof progress - sizeof progress.struct_size, 0));
    CHECK_STATUS(atlas_stream_get_progress(stream, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_stream_finish(stream, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_OK(atlas_stream_finish(stream, &projection));
    is_the_domain(projection, data, sizeof data);
    atlas_stream_destroy(stream);
    CHECK_OK(atlas_stream_open_push(0, NULL, NULL, NULL, NULL, &stream));
    CHECK_STATUS(atlas_stream_push(stream, NULL, 1), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_OK(atlas_stream_push(stream, NULL, 0));
    CHECK_OK(atlas_stream_push(stream, data, sizeof data));
    CHECK_OK(atlas_stream_finish(stream, &projection));
    is_the_domain(projection, data, sizeof data);
    atlas_stream_destroy(stream);
    atlas_source_destroy(source);
}

/* Shows `steps` chunks and finishes. */
static void walk(const atlas_source *source, const uint8_t *data, size_t size, size_t chunk_size,
                 size_t overlap, size_t steps)
{
    reports seen = {0};
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = on_progress;
    operation.user_data = &seen;
    const atlas_stream_config config = configured(chunk_size, overlap);
    atlas_stream *stream = NULL;
    CHECK_OK(atlas_stream_open(0, source, NULL, &config, &operation, &stream));
    seen.stream = stream;
    memset(&operation, 0xA5, sizeof operation); /* was copied */
    const size_t chunks = (size + chunk_size - 1) / chunk_size;
    for (size_t id = 0; id < steps; id++) {
        atlas_chunk chunk;
        memset(&chunk, 0xA5, sizeof chunk);
        chunk.struct_size = (uint32_t)sizeof chunk;
        bool has_chunk = false;
        CHECK_OK(atlas_stream_next(stream, &chunk, &has_chunk));
        CHECK(has_chunk == (id < chunks));
        if (!has_chunk) {
            CHECK(chunk.data == NULL && chunk.size == 0);
            continue;
        }
        const size_t start = id * chunk_size;
        const size_t end = start + chunk_size < size ? start + chunk_size : size;
        CHECK_EQ(chunk.id, id);
        CHECK_EQ(chunk.offset, start);
        CHECK_EQ(chunk.size, end - start);
        CHECK(memcmp(chunk.data, data + start, chunk.size) == 0);
        CHECK_EQ(chunk.residue, residue_of(chunk.data, chunk.size));
        CHECK_EQ(chunk.overlap_size, size - end < overlap ? size - end : overlap);
        CHECK(chunk.overlap_size == 0 || memcmp(chunk.overlap, data + end, chunk.overlap_size) == 0);
        atlas_progress progress = {.struct_size = sizeof progress};
        CHECK_OK(atlas_stream_get_progress(stream, &progress));
        CHECK_EQ(progress.bytes_done, end);
        CHECK_EQ(progress.bytes_total, size);
        CHECK_EQ(progress.chunks_done, id + 1);
        CHECK_EQ(progress.chunks_total, chunks);
        CHECK(atlas_stream_is_complete(stream) == (end == size));
    }
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_stream_finish(stream, &projection));
    CHECK(atlas_stream_is_complete(stream));
    CHECK_EQ(seen.count, chunks > 0 ? chunks : 1);
    CHECK_EQ(seen.last.bytes_done, size);
    CHECK_EQ(seen.last.bytes_total, size);
    CHECK(!seen.decreased);
    atlas_projection *twice = projection;
    CHECK_STATUS(atlas_stream_finish(stream, &twice), ATLAS_STATUS_STATE);
    CHECK(twice == NULL);
    CHECK_STATUS(atlas_stream_push(stream, data, 0), ATLAS_STATUS_STATE);
    atlas_stream_destroy(stream);
    is_the_domain(projection, data, size);
}

static void every_source_gives_the_same(void)
{
    const size_t sizes[] = {0, 1, 100000, TILE - 1, TILE, TILE + 1, 3 * TILE + 777};
    const char *path = temp_path("domain.bin");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const size_t size = sizes[i];
        if (small_run() && size > TILE + 1) {
            continue;
        }
        uint8_t *data = random_bytes(size, i + 1);
        write_file(path, data, size);
        for (int kind = 0; kind < 4; kind++) {
            reader self;
            atlas_source *source = NULL;
            if (kind == 0) {
                source = borrowed(data, size);
            } else if (kind == 1) {
                CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
            } else if (kind == 2) {
                CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_MMAP, &source));
            } else {
                source = reading(&self, data, size, NONE);
            }
            const atlas_stream_config config = configured(100000, 1);
            atlas_projection *projection = NULL;
            CHECK_OK(atlas_stream_project(0, source, NULL, &config, NULL, &projection));
            CHECK(kind != 3 || self.bytes == size);
            is_the_domain(projection, data, size);
            walk(source, data, size, 64 * KIB, 64 * KIB, 0);
            walk(source, data, size, 100000, 5000, 3);
            walk(source, data, size, TILE + 4097, 0, 100);
            atlas_source_destroy(source);
            CHECK(kind != 3 || self.gone == 1);
        }
        free(data);
    }
    CHECK(unlink(path) == 0);
}

static void pushes_of_any_size_give_the_same(void)
{
    const size_t size = small_run() ? TILE + 5 : 5 * TILE + 123;
    uint8_t *data = random_bytes(size, 9);
    const char *path = temp_path("spool.bin");
    random_state random = {4};
    const size_t steps[] = {1000, 70000, TILE, 3 * TILE};
    for (size_t i = 0; i < 2 * sizeof steps / sizeof steps[0]; i++) {
        const char *spool = i % 2 == 0 ? NULL : path;
        reports seen = {0};
        atlas_operation operation;
        atlas_operation_init(&operation);
        operation.progress = on_progress;
        operation.user_data = &seen;
        const atlas_stream_config config = configured(TILE, 0);
        atlas_stream *stream = NULL;
        CHECK_OK(atlas_stream_open_push(0, spool, NULL, &config, &operation, &stream));
        seen.stream = stream;
        size_t at = 0;
        while (at < size) {
            const size_t wanted = 1 + (size_t)random_below(&random, steps[i / 2]);
            const size_t piece = wanted < size - at ? wanted : size - at;
            uint8_t *passing = (uint8_t *)malloc(piece);
            CHECK(passing != NULL);
            memcpy(passing, data + at, piece);
            CHECK_OK(atlas_stream_push(stream, passing, piece));
            memset(passing, 0xA5, piece);
            free(passing);
            at += piece;
            atlas_progress progress = {.struct_size = sizeof progress};
            CHECK_OK(atlas_stream_get_progress(stream, &progress));
            CHECK(progress.bytes_done == at && progress.bytes_total == 0);
        }
        CHECK(!exists(path) && !atlas_stream_is_complete(stream));
        atlas_chunk chunk = {.struct_size = sizeof chunk};
        bool has_chunk = true;
        CHECK_STATUS(atlas_stream_next(stream, &chunk, &has_chunk), ATLAS_STATUS_STATE);
        CHECK(!has_chunk);
        atlas_projection *projection = NULL;
        CHECK_OK(atlas_stream_finish(stream, &projection));
        CHECK(atlas_stream_is_complete(stream));
        CHECK_STATUS(atlas_stream_push(stream, data, 1), ATLAS_STATUS_STATE);
        atlas_stream_destroy(stream);
        CHECK(!seen.decreased);
        CHECK_EQ(seen.last.bytes_done, size);
        CHECK_EQ(seen.last.bytes_total, size);
        CHECK_EQ(seen.count, (size + TILE - 1) / TILE);
        is_the_domain(projection, data, size);
        if (spool != NULL) {
            CHECK(file_is(path, data, size));
            CHECK(unlink(path) == 0);
        }
        CHECK_EQ(temp_names(), 0);
    }
    free(data);
}

static void an_unfinished_spool_leaves_no_file(void)
{
    const char *path = temp_path("spool.bin");
    atlas_stream *stream = NULL;
    CHECK_OK(atlas_stream_open_push(0, path, NULL, NULL, NULL, &stream));
    CHECK_OK(atlas_stream_push(stream, "abc", 3));
    /* It has a name only if the file system knows no files without names. */
    CHECK(temp_names() <= 1);
    CHECK(!exists(path));
    atlas_stream_destroy(stream);
    CHECK_EQ(temp_names(), 0);
    CHECK_STATUS(atlas_stream_open_push(0, temp_path("no/such/folder"), NULL, NULL, NULL, &stream),
                 ATLAS_STATUS_IO);
    CHECK(stream == NULL);
    CHECK_STATUS(atlas_stream_open_push(0, "", NULL, NULL, NULL, &stream), ATLAS_STATUS_INVALID_ARGUMENT);
}

/* After a failure: getters and destroy only. */
static void is_over(atlas_stream *stream)
{
    atlas_chunk chunk = {.struct_size = sizeof chunk};
    atlas_progress progress = {.struct_size = sizeof progress};
    atlas_projection *projection = NULL;
    bool has_chunk = false;
    CHECK_STATUS(atlas_stream_next(stream, &chunk, &has_chunk), ATLAS_STATUS_STATE);
    CHECK_STATUS(atlas_stream_push(stream, "x", 1), ATLAS_STATUS_STATE);
    CHECK_STATUS(atlas_stream_finish(stream, &projection), ATLAS_STATUS_STATE);
    CHECK(projection == NULL);
    CHECK_OK(atlas_stream_get_progress(stream, &progress));
    CHECK(!atlas_stream_is_complete(stream));
}

/* The largest file that may be written; RLIM_INFINITY takes it back. */
static void limit_files(rlim_t size)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = size < limit.rlim_max ? size : limit.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* The test limits the size of files. The write of the spool that exceeds the limit fails with IO, and no file
 * is left. */
static void a_failing_write_is_io_at_every_place(void)
{
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    const size_t tiles = small_run() ? 2 : 6;
    const size_t size = (tiles - 1) * TILE + 777;
    uint8_t *data = random_bytes(size, 12);
    const char *path = temp_path("spool.bin");
    write_file(path, "before", 6);
    const atlas_stream_config config = configured(TILE, 0);
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        atlas_pool *pool = NULL;
        CHECK_OK(atlas_pool_create(threads, &pool));
        atlas_operation operation;
        atlas_operation_init(&operation);
        operation.pool = pool;
        for (size_t i = 0; i < 2 * tiles; i++) {
            const size_t room = i / 2 * TILE + (i % 2 == 0 ? 0 : 500);
            const size_t pieces[] = {size, 300000, TILE};
            const size_t piece = pieces[(i + threads) % 3];
            atlas_stream *stream = NULL;
            atlas_projection *projection = NULL;
            CHECK_OK(atlas_stream_open_push(0, path, NULL, &config, &operation, &stream));
            CHECK(temp_names() <= 2);
            limit_files(room);
            atlas_status status = ATLAS_STATUS_OK;
            for (size_t at = 0; at < size && status == ATLAS_STATUS_OK; at += piece) {
                status = atlas_stream_push(stream, data + at, size - at < piece ? size - at : piece);
            }
            if (status == ATLAS_STATUS_OK) {
                status = atlas_stream_finish(stream, &projection);
            }
            CHECK_STATUS(status, ATLAS_STATUS_IO);
            CHECK_EQ(last_error().os_error, EFBIG);
            limit_files(RLIM_INFINITY);
            CHECK(projection == NULL);
            CHECK_EQ(temp_names(), 1);
            CHECK(file_is(path, "before", 6));
            is_over(stream);
            atlas_stream_destroy(stream);
        }
        atlas_pool_destroy(pool);
    }
    CHECK(unlink(path) == 0);

    /* All is written, and the name belongs to a folder, which no file can replace. */
    atlas_stream *stream = NULL;
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_stream_open_push(0, path, NULL, &config, NULL, &stream));
    CHECK_OK(atlas_stream_push(stream, data, size));
    CHECK(mkdir(path, 0700) == 0);
    CHECK_STATUS(atlas_stream_finish(stream, &projection), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(projection == NULL);
    CHECK_SAYS("is a directory");
    is_over(stream);
    CHECK(rmdir(path) == 0);
    CHECK_EQ(temp_names(), 0);
    atlas_stream_destroy(stream);

    /* A file that is there is replaced at the end, and not before. */
    write_file(path, "before", 6);
    CHECK_OK(atlas_stream_open_push(0, path, NULL, &config, NULL, &stream));
    CHECK_OK(atlas_stream_push(stream, data, size));
    CHECK(file_is(path, "before", 6));
    CHECK_OK(atlas_stream_finish(stream, &projection));
    CHECK(file_is(path, data, size));
    atlas_stream_destroy(stream);
    is_the_domain(projection, data, size);
    CHECK(unlink(path) == 0);
    free(data);
}

static void a_failing_source_is_io_at_every_call(void)
{
    const size_t size = small_run() ? 300000 : 2 * TILE + 99;
    uint8_t *data = random_bytes(size, 3);
    atlas_stream_config config = configured(150000, 70000);
    config.io_buffer_size = 100000;
    for (size_t steps = 0; steps < 3; steps++) {
        for (uint64_t call = 0;; call++) {
            reader self;
            atlas_source *source = reading(&self, data, size, call);
            atlas_stream *stream = NULL;
            CHECK_OK(atlas_stream_open(0, source, NULL, &config, NULL, &stream));
            atlas_status status = ATLAS_STATUS_OK;
            for (size_t step = 0; step < steps && status == ATLAS_STATUS_OK; step++) {
                atlas_chunk chunk = {.struct_size = sizeof chunk};
                bool has_chunk = false;
                status = atlas_stream_next(stream, &chunk, &has_chunk);
            }
            atlas_projection *projection = NULL;
            if (status == ATLAS_STATUS_OK) {
                status = atlas_stream_finish(stream, &projection);
            }
            if (status == ATLAS_STATUS_OK) {
                CHECK(self.calls <= call);
                self.fails_at = NONE;
                atlas_stream_destroy(stream);
                atlas_source_destroy(source);
                is_the_domain(projection, data, size);
                CHECK(self.gone == 1);
                break;
            }
            CHECK_STATUS(status, ATLAS_STATUS_IO);
            CHECK_EQ(last_error().os_error, EIO);
            CHECK(projection == NULL);
            is_over(stream);
            self.fails_at = NONE;
            CHECK_OK(atlas_stream_project(0, source, NULL, &config, NULL, &projection));
            is_the_domain(projection, data, size);
            atlas_source_destroy(source);
            CHECK(self.gone == 1); /* the stream that failed holds nothing */
            atlas_stream_destroy(stream);
        }
    }
    free(data);
}

static void cancelling_at_every_report(void)
{
    const size_t size = small_run() ? 300000 : 2 * TILE + 99;
    uint8_t *data = random_bytes(size, 5);
    const char *path = temp_path("spool.bin");
    const atlas_stream_config config = configured(150000, 0);
    const uint64_t chunks = (size + 149999) / 150000;
    for (uint64_t stop = 1; stop <= chunks; stop++) {
        for (int way = 0; way < 3; way++) {
            reader self;
            atlas_source *source = reading(&self, data, size, NONE);
            reports seen = {.stop_after = stop};
            atlas_operation operation;
            atlas_operation_init(&operation);
            operation.progress = on_progress;
            operation.user_data = &seen;
            atlas_projection *projection = NULL;
            atlas_status status = ATLAS_STATUS_OK;
            if (way == 0) {
                status = atlas_stream_project(0, source, NULL, &config, &operation, &projection);
            } else {
                atlas_stream *stream = NULL;
                if (way == 1) {
                    CHECK_OK(atlas_stream_open(0, source, NULL, &config, &operation, &stream));
                    bool has_chunk = true;
                    while (status == ATLAS_STATUS_OK && has_chunk) {
                        atlas_chunk chunk = {.struct_size = sizeof chunk};
                        status = atlas_stream_next(stream, &chunk, &has_chunk);
                    }
                } else {
                    CHECK_OK(atlas_stream_open_push(0, path, NULL, &config, &operation, &stream));
                    status = atlas_stream_push(stream, data, size);
                    if (status == ATLAS_STATUS_OK) {
                        status = atlas_stream_finish(stream, &projection);
                    }
                }
                is_over(stream);
                CHECK_EQ(temp_names(), 0);
                atlas_stream_destroy(stream);
            }
            CHECK_STATUS(status, ATLAS_STATUS_CANCELLED);
            CHECK(projection == NULL);
            CHECK_EQ(seen.count, stop);
            CHECK(!seen.called_after_stop);
            CHECK_OK(atlas_stream_project(0, source, NULL, &config, NULL, &projection));
            is_the_domain(projection, data, size);
            atlas_source_destroy(source);
        }
    }
    free(data);
}

static void the_memory_limit_is_kept(void)
{
    const size_t size = 4 * TILE;
    uint8_t *data = random_bytes(size, 6);
    reader self;
    atlas_source *source = reading(&self, data, size, NONE);
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.memory_limit = TILE;
    atlas_projection *projection = NULL;
    CHECK_STATUS(atlas_stream_project(0, source, NULL, NULL, &operation, &projection), ATLAS_STATUS_LIMIT);
    CHECK_SAYS("memory_limit 1048576");
    CHECK_EQ(self.calls, 0);
    operation.memory_limit = TILE + 8 * KIB;
    CHECK_OK(atlas_stream_project(0, source, NULL, NULL, &operation, &projection));
    is_the_domain(projection, data, size);
    atlas_source_destroy(source);

    atlas_stream *stream = NULL;
    operation.memory_limit = 3 * TILE;
    CHECK_OK(atlas_stream_open_push(0, NULL, NULL, NULL, &operation, &stream));
    CHECK_STATUS(atlas_stream_push(stream, data, size), ATLAS_STATUS_LIMIT);
    is_over(stream);
    atlas_stream_destroy(stream);
    const char *path = temp_path("spool.bin");
    CHECK_OK(atlas_stream_open_push(0, path, NULL, NULL, &operation, &stream));
    CHECK_OK(atlas_stream_push(stream, data, size));
    CHECK_OK(atlas_stream_finish(stream, &projection));
    atlas_stream_destroy(stream);
    is_the_domain(projection, data, size);
    CHECK(unlink(path) == 0);
    free(data);
}

/* 1, unless an emulator has threads of its own. */
static size_t threads_at_start;

static void options_and_pools_are_used(void)
{
    uint8_t key[32];
    fill_random(key, sizeof key, 8);
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.key = key;
    const uint8_t data[3] = {95, 1, 1};
    atlas_source *source = borrowed(data, sizeof data);
    atlas_projection *plain = projected(source, &options);
    uint8_t wanted[32];
    root_of(plain, wanted);
    atlas_projection_destroy(plain);
    atlas_operation operation;
    atlas_operation_init(&operation);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(1, &pool));
    operation.pool = pool;
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_stream_project(0, source, &options, NULL, &operation, &projection));
    uint8_t root[32];
    root_of(projection, root);
    CHECK(memcmp(root, wanted, 32) == 0);
    atlas_projection_destroy(projection);
    CHECK_EQ(thread_count(), threads_at_start);

    options.conservation = ATLAS_CONSERVATION_STRICT;
    CHECK_STATUS(atlas_stream_project(0, source, &options, NULL, &operation, &projection),
                 ATLAS_STATUS_CONSERVATION);
    atlas_stream *stream = NULL;
    CHECK_OK(atlas_stream_open_push(0, temp_path("strict.bin"), &options, NULL, &operation, &stream));
    memset(key, 0, sizeof key); /* was copied */
    CHECK_OK(atlas_stream_push(stream, data, sizeof data));
    CHECK_STATUS(atlas_stream_finish(stream, &projection), ATLAS_STATUS_CONSERVATION);
    is_over(stream);
    CHECK_EQ(temp_names(), 0);
    atlas_stream_destroy(stream);
    atlas_source_destroy(source);
    atlas_pool_destroy(pool);
}

static void without_the_feature_every_call_is_unsupported(void)
{
    atlas_stream_config config;
    atlas_stream_config_init(&config);
    CHECK_EQ(config.chunk_size, 16 * TILE);
    atlas_source *source = borrowed("abc", 3);
    atlas_projection *projection = NULL;
    atlas_stream *stream = NULL;
    bool has_chunk = false;
    CHECK_STATUS(atlas_stream_project(0, source, NULL, NULL, NULL, &projection), ATLAS_STATUS_UNSUPPORTED);
    CHECK_STATUS(atlas_stream_open(0, source, NULL, NULL, NULL, &stream), ATLAS_STATUS_UNSUPPORTED);
    CHECK_STATUS(atlas_stream_open_push(0, NULL, NULL, NULL, NULL, &stream), ATLAS_STATUS_UNSUPPORTED);
    CHECK_STATUS(atlas_stream_push(NULL, "abc", 3), ATLAS_STATUS_UNSUPPORTED);
    atlas_chunk chunk;
    atlas_progress progress;
    memset(&chunk, 0xA5, sizeof chunk);
    memset(&progress, 0xA5, sizeof progress);
    chunk.struct_size = (uint32_t)sizeof chunk;
    progress.struct_size = (uint32_t)sizeof progress;
    CHECK_STATUS(atlas_stream_next(NULL, &chunk, &has_chunk), ATLAS_STATUS_UNSUPPORTED);
    CHECK(all_bytes(&chunk.residue, sizeof chunk - sizeof chunk.struct_size, 0));
    CHECK_STATUS(atlas_stream_get_progress(NULL, &progress), ATLAS_STATUS_UNSUPPORTED);
    CHECK(all_bytes(&progress.reserved, sizeof progress - sizeof progress.struct_size, 0));
    CHECK_STATUS(atlas_stream_finish(NULL, &projection), ATLAS_STATUS_UNSUPPORTED);
    CHECK(!atlas_stream_is_complete(NULL));
    atlas_stream_destroy(NULL);
    atlas_source_destroy(source);
}

int main(void)
{
    threads_at_start = thread_count();
    calling_thread = pthread_self();
    if ((atlas_manifold_features() & ATLAS_FEATURE_STREAMING) == 0) {
        TEST(without_the_feature_every_call_is_unsupported);
        return 0;
    }
    options_and_pools_are_used(); /* first: no thread was started before */
    TEST(config_values_are_checked);
    TEST(null_is_refused);
    TEST(every_source_gives_the_same);
    TEST(pushes_of_any_size_give_the_same);
    TEST(an_unfinished_spool_leaves_no_file);
    TEST(a_failing_write_is_io_at_every_place);
    TEST(a_failing_source_is_io_at_every_call);
    TEST(cancelling_at_every_report);
    TEST(the_memory_limit_is_kept);
    return 0;
}
