/* The statuses that come of an operation: each function that takes one refuses a pool from before a fork, ends when
 * its callback returns false, and keeps its memory limit. Its handles are usable afterwards. */
#include "check.h"
#include "container.h"
#include "calls.h"

static bool stop(const atlas_progress *progress, void *user_data)
{
    (void)progress;
    (void)user_data;
    return false;
}

/* Calls each function that has `status` by way of its operation, and returns the number of those that had another. */
static int call_all(const atlas_operation *operation, unsigned mask, int status)
{
    int wrong = 0;
    for (size_t i = 0; i < CALLS; i++) {
        if ((calls[i].statuses & mask) == 0) {
            continue;
        }
        const bool has_it = (built_in(calls[i].features) || calls[i].features == 0);
        const int found = (int)calls[i].call(operation);
        if (found != (has_it ? status : (int)ATLAS_STATUS_UNSUPPORTED)) {
            fprintf(stderr, "%s: %s instead of %s\n", calls[i].name, status_text(found), status_text(status));
            wrong++;
        }
    }
    return wrong;
}

static void a_pool_from_before_a_fork_is_refused(void)
{
    if (!built_in(ATLAS_FEATURE_PARALLEL)) {
        return; /* and no thread is left behind */
    }
    atlas_operation operation;
    atlas_operation_init(&operation);
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(2, &pool));
    operation.pool = pool;
    CHECK(fflush(NULL) == 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)alarm(120);
        make_given();
        const int wrong = call_all(&operation, STATE, ATLAS_STATUS_STATE);
        destroy_given();
        _exit(wrong == 0 ? 0 : 1);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    atlas_pool_destroy(pool);
}

static void a_callback_that_returns_false_ends_each_call(void)
{
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = stop;
    make_given();
    CHECK_EQ(call_all(&operation, CANCELLED, ATLAS_STATUS_CANCELLED), 0);
    destroy_given();
}

static void a_memory_limit_of_one_byte_is_too_low(void)
{
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.memory_limit = 1;
    make_given();
    CHECK_EQ(call_all(&operation, LIMIT, ATLAS_STATUS_LIMIT), 0);
    destroy_given();
}

/* A stream that is opened with room for one tile, and not for a chunk. */
/* Bytes in memory are checked where they lie; those of a file need a buffer. */
static void a_tile_of_a_file_above_the_memory_limit(void)
{
    const char *path = temp_path("tile");
    uint8_t *data = random_bytes(TILE + 5, 1);
    write_file(path, data, TILE + 5);
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    atlas_projection *projection = projected(source, NULL);
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.memory_limit = TILE / 2;
    CHECK_STATUS(atlas_projection_verify(projection, &operation), ATLAS_STATUS_LIMIT);
    CHECK_STATUS(atlas_projection_find_damage(projection, NULL, 0, NULL, NULL, &operation), ATLAS_STATUS_LIMIT);
    operation.memory_limit = 3 * TILE;
    CHECK_OK(atlas_projection_verify(projection, &operation));
    CHECK_OK(atlas_projection_find_damage(projection, NULL, 0, NULL, NULL, &operation));
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    free(data);
}

static void a_chunk_above_the_memory_limit(void)
{
    if (!built_in(ATLAS_FEATURE_STREAMING)) {
        return;
    }
    const char *path = temp_path("streamed");
    write_file(path, "", 0);
    CHECK(truncate(path, (off_t)(2 * TILE)) == 0);
    atlas_source *source = file_source(path, ATLAS_FILE_IO_READ);
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.memory_limit = TILE + TILE / 4;
    atlas_stream *stream = NULL;
    CHECK_OK(atlas_stream_open(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &operation, &stream));
    atlas_chunk chunk = {.struct_size = (uint32_t)sizeof chunk};
    bool has_chunk = true;
    CHECK_STATUS(atlas_stream_next(stream, &chunk, &has_chunk), ATLAS_STATUS_LIMIT);
    CHECK(!has_chunk);
    CHECK_STATUS(atlas_stream_next(stream, &chunk, &has_chunk), ATLAS_STATUS_STATE);
    atlas_stream_destroy(stream);
    /* Without chunks there is room. */
    CHECK_OK(atlas_stream_open(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &operation, &stream));
    atlas_projection *made = NULL;
    CHECK_OK(atlas_stream_finish(stream, &made));
    atlas_projection_destroy(made);
    atlas_stream_destroy(stream);
    atlas_source_destroy(source);
    CHECK(unlink(path) == 0);
}

int main(void)
{
    TEST(a_pool_from_before_a_fork_is_refused);
    TEST(a_callback_that_returns_false_ends_each_call);
    TEST(a_memory_limit_of_one_byte_is_too_low);
    TEST(a_tile_of_a_file_above_the_memory_limit);
    TEST(a_chunk_above_the_memory_limit);
    return 0;
}
