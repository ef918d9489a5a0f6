/* Parity files and processes: children that are killed while they repair in place, and a child that goes on with
 * the handles of its parent. */
#include "check.h"

#include <signal.h>
#include <time.h>

enum { SIZE = 1500001 };

static char data_path[PATH_MAX + 300], atp_path[PATH_MAX + 300];
static uint8_t *bytes, *damaged, *found;

static bool always(const atlas_damage *damage, void *user_data)
{
    (void)damage;
    (void)user_data;
    return true;
}

static int repair(const atlas_parity *parity, const atlas_pool *pool)
{
    atlas_repair_options options;
    atlas_operation operation;
    atlas_repair_options_init(&options);
    options.mode = ATLAS_REPAIR_IN_PLACE;
    atlas_operation_init(&operation);
    operation.pool = pool;
    return (int)atlas_parity_repair(parity, data_path, &options, always, NULL, &operation, NULL);
}

static void read_back(void)
{
    FILE *file = fopen(data_path, "rb");
    CHECK(file != NULL && fread(found, 1, SIZE, file) == SIZE && fclose(file) == 0);
}

/* Each byte is old or right, and the next call goes on. */
static void killed_in_place(const atlas_parity *parity)
{
    const int rounds = small_run() ? 2 : 60;
    for (int round = 0; round < rounds; round++) {
        write_file(data_path, damaged, SIZE);
        const pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            atlas_pool *pool = NULL;
            if (atlas_pool_create(1, &pool) == ATLAS_STATUS_OK) {
                (void)repair(parity, pool);
            }
            _exit(0);
        }
        const struct timespec wait = {0, 100000L * round};
        (void)nanosleep(&wait, NULL);
        (void)kill(child, SIGKILL);
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        read_back();
        for (size_t at = 0; at < SIZE; at++) {
            CHECK(found[at] == bytes[at] || found[at] == damaged[at]);
        }
        CHECK_OK(repair(parity, NULL));
        CHECK(file_is(data_path, bytes, SIZE));
    }
}

/* The parent has used the library's pool and the tables, and the child uses them too. */
static void a_child_goes_on(const atlas_parity *parity)
{
    write_file(data_path, damaged, SIZE);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        _exit(repair(parity, NULL) == ATLAS_STATUS_OK ? 7 : 1);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK(file_is(data_path, bytes, SIZE));
}

int main(void)
{
    if (!built_in(ATLAS_FEATURE_PARITY)) {
        skip("parity is not built in");
    }
    bytes = random_bytes(SIZE, 42);
    found = random_bytes(SIZE, 0);
    damaged = random_bytes(SIZE, 0);
    memcpy(damaged, bytes, SIZE);
    memset(damaged + 5000, 0x77, 80000);
    (void)snprintf(data_path, sizeof data_path, "%s", temp_path("data"));
    (void)snprintf(atp_path, sizeof atp_path, "%s", temp_path("data.atp"));
    atlas_source *source = borrowed(bytes, SIZE);
    atlas_parity *parity = NULL;
    CHECK_OK(atlas_parity_create(source, atp_path, NULL, NULL));
    CHECK_OK(atlas_parity_open(atp_path, NULL, NULL, &parity));
    killed_in_place(parity);
    a_child_goes_on(parity);
    atlas_parity_destroy(parity);
    atlas_source_destroy(source);
    CHECK(temp_names() == 2);
    free(bytes);
    free(found);
    free(damaged);
    return 0;
}
