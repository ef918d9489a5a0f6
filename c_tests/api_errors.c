/* The last error: texts with value and limit, numbers, one a thread, until its next call; and the
 * library prints nothing. */
#include "check.h"

#include <pthread.h>

static uint8_t data[10000];
static const atlas_projection *whole;

static void fail_out_of_range(void)
{
    uint8_t byte;
    CHECK_STATUS(atlas_projection_read(whole, 9999, &byte, 2), ATLAS_STATUS_OUT_OF_RANGE);
}

static void the_text_has_value_and_limit(void)
{
    uint8_t byte;
    fail_out_of_range();
    CHECK_SAYS("2");
    CHECK_SAYS("9999");
    CHECK_SAYS("10000");
    CHECK_STATUS(atlas_projection_read(NULL, 0, &byte, 1), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("projection");
    CHECK_SAYS("NULL");
    atlas_tile_info tile;
    tile.struct_size = (uint32_t)sizeof tile;
    CHECK_STATUS(atlas_projection_get_tile(whole, 41, &tile), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_SAYS("41");
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.r96_data_classes = 97;
    atlas_source *source = borrowed(data, sizeof data);
    atlas_projection *made = NULL;
    CHECK_STATUS(atlas_projection_create(0, source, &options, NULL, &made),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("97");
    CHECK_SAYS("96");
    CHECK_STATUS(atlas_projection_create(77, source, NULL, NULL, &made),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("77");
    options.struct_size = 3;
    CHECK_STATUS(atlas_projection_create(0, source, &options, NULL, &made),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("struct_size 3 ");
    atlas_source_destroy(source);
}

static void the_numbers_say_where(void)
{
    fail_out_of_range();
    atlas_error_info info = last_error();
    CHECK_EQ(info.struct_size, sizeof info);
    CHECK_EQ(info.status, ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_EQ(info.os_error, 0);
    CHECK_EQ(info.reserved, 0);
    CHECK_EQ(info.offset, 9999);
    CHECK_EQ(info.length, 2);
    const atlas_region regions[3] = {{0, 1}, {5, 5}, {9000, 1001}};
    atlas_shard *shards[3];
    CHECK_STATUS(atlas_shard_extract_batch(whole, regions, 3, NULL, NULL, shards),
                 ATLAS_STATUS_OUT_OF_RANGE);
    info = last_error();
    CHECK_EQ(info.index, 2);
    CHECK_EQ(info.offset, 9000);
    CHECK_EQ(info.length, 1001);
    CHECK_STATUS(atlas_shard_extract(whole, NULL, NULL, shards), ATLAS_STATUS_INVALID_ARGUMENT);
    info = last_error();
    CHECK_EQ(info.status, ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(info.index == NONE && info.offset == NONE && info.length == NONE && info.os_error == 0);
}

static void asking_does_not_clear_and_success_does(void)
{
    fail_out_of_range();
    char text[300];
    (void)snprintf(text, sizeof text, "%s", atlas_last_error_message());
    CHECK(text[0] != '\0');
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(last_error().status, ATLAS_STATUS_OUT_OF_RANGE);
        CHECK(strcmp(text, atlas_last_error_message()) == 0);
    }
    /* Nor does a question that is asked wrong. */
    atlas_error_info bad;
    bad.struct_size = 0;
    CHECK_STATUS(atlas_last_error_get(&bad), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_last_error_get(NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(strcmp(text, atlas_last_error_message()) == 0);
    uint8_t byte;
    CHECK_OK(atlas_projection_read(whole, 0, &byte, 1));
    CHECK(strcmp(atlas_last_error_message(), "") == 0);
    const atlas_error_info info = last_error();
    CHECK(info.status == ATLAS_STATUS_OK && info.os_error == 0);
    CHECK(info.index == NONE && info.offset == NONE && info.length == NONE);
    /* A later failure replaces an earlier one. */
    fail_out_of_range();
    CHECK_STATUS(atlas_projection_read(NULL, 0, &byte, 1), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(strcmp(text, atlas_last_error_message()) != 0);
    CHECK_EQ(last_error().status, ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_EQ(last_error().offset, NONE);
}

static void *fresh_thread(void *argument)
{
    (void)argument;
    CHECK(strcmp(atlas_last_error_message(), "") == 0);
    CHECK_EQ(last_error().status, ATLAS_STATUS_OK);
    uint8_t byte;
    CHECK_STATUS(atlas_projection_read(NULL, 0, &byte, 1), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_EQ(last_error().status, ATLAS_STATUS_INVALID_ARGUMENT);
    return NULL;
}

static void every_thread_has_its_own(void)
{
    fail_out_of_range();
    const char *text = atlas_last_error_message();
    char copy[300];
    (void)snprintf(copy, sizeof copy, "%s", text);
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, fresh_thread, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    /* The text itself, not only an equal one: it holds until this thread's next call. */
    CHECK(strcmp(text, copy) == 0);
    CHECK_EQ(last_error().status, ATLAS_STATUS_OUT_OF_RANGE);
}

static int always_fails(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    (void)user_data;
    (void)offset;
    (void)buffer;
    (void)size;
    return ENXIO;
}

/* A failure on a worker is told to the thread that called. */
static void failures_on_workers_come_to_the_caller(void)
{
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(3, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_from_callback(8 * TILE, always_fails, NULL, NULL, &source));
    atlas_projection *made = NULL;
    CHECK_STATUS(atlas_projection_create(0, source, NULL, &operation, &made), ATLAS_STATUS_IO);
    CHECK_EQ(last_error().os_error, ENXIO);
    CHECK_EQ(last_error().index, 0); /* the first in order, not the first in time */
    CHECK_EQ(last_error().offset, 0);
    CHECK_EQ(last_error().length, TILE);
    atlas_source_destroy(source);
    atlas_pool_destroy(pool);
}

static void names_with_odd_bytes_come_through(void)
{
    atlas_source *source = NULL;
    CHECK_STATUS(atlas_source_open_file("/no/ä漢 100%s%n.bin", 0, &source), ATLAS_STATUS_IO);
    CHECK_SAYS("ä漢 100%s%n.bin");
#ifndef _WIN32
    CHECK_STATUS(atlas_source_open_file("/no/\xff\xfe.bin", 0, &source), ATLAS_STATUS_IO);
    CHECK_SAYS("/no/");
#else
    CHECK_STATUS(atlas_source_open_file("/no/\xff\xfe.bin", 0, &source), ATLAS_STATUS_INVALID_ARGUMENT);
#endif
    char *path = (char *)malloc(100001);
    CHECK(path != NULL);
    memset(path, 'x', 100000);
    path[100000] = '\0';
    CHECK_STATUS(atlas_source_open_file(path, 0, &source), ATLAS_STATUS_IO);
#ifndef _WIN32
    CHECK_EQ(last_error().os_error, ENAMETOOLONG);
#endif
    free(path);
}

static void run_all(void)
{
    the_text_has_value_and_limit();
    the_numbers_say_where();
    asking_does_not_clear_and_success_does();
    every_thread_has_its_own();
    failures_on_workers_come_to_the_caller();
    names_with_odd_bytes_come_through();
}

static void nothing_is_printed(void)
{
    const char *path = temp_path("printed.txt");
    const int file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    CHECK(file >= 0);
    CHECK(fflush(stdout) == 0 && fflush(stderr) == 0);
    const int out = dup(1);
    const int err = dup(2);
    CHECK(out >= 0 && err >= 0 && dup2(file, 1) == 1 && dup2(file, 2) == 2);
    run_all();
    CHECK(fflush(stdout) == 0 && fflush(stderr) == 0);
    CHECK(dup2(out, 1) == 1 && dup2(err, 2) == 2);
    CHECK(close(out) == 0 && close(err) == 0 && close(file) == 0);
    struct stat info;
    CHECK(stat(path, &info) == 0 && info.st_size == 0);
}

int main(void)
{
    fill_random(data, sizeof data, 81);
    CHECK(strcmp(atlas_last_error_message(), "") == 0);
    atlas_projection *projection = projected_bytes(data, sizeof data);
    whole = projection;
    TEST(run_all);
    TEST(nothing_is_printed);
    atlas_projection_destroy(projection);
    return 0;
}
