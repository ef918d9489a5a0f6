/* Parity files: created, opened with either end lost, checked; damage repaired in each mode, refused by its
 * owner, and restored in the parity file itself; updates; calls inside callbacks. api_parity_fork.c has an end at any
 * moment. */
#include "check.h"

#include <pthread.h>

enum { SIZE = 1500001, UNIT = 4096 };

/* temp_path() uses its buffers again, and these are needed for long. */
static char data_path[PATH_MAX + 300], atp_path[PATH_MAX + 300], other_path[PATH_MAX + 300];

static uint8_t *bytes;
static const uint8_t id[16] = {1, 2, 3};

static atlas_parity_options plain_options(void)
{
    atlas_parity_options options;
    atlas_parity_options_init(&options);
    CHECK(options.redundancy == 625 && options.unit_size == 0 && options.rows == 0 && options.key == NULL);
    options.id = id;
    return options;
}

static atlas_source *file_source(const char *path)
{
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    return source;
}

static void create(const char *data, const char *atp, const atlas_parity_options *options)
{
    atlas_source *source = file_source(data);
    CHECK_OK(atlas_parity_create(source, atp, options, NULL));
    atlas_source_destroy(source);
}

static atlas_parity *opened(const char *atp)
{
    atlas_parity *parity = NULL;
    CHECK_OK(atlas_parity_open(atp, NULL, NULL, &parity));
    CHECK(parity != NULL);
    return parity;
}

static atlas_parity_report empty_report(void)
{
    atlas_parity_report report;
    memset(&report, 0xA5, sizeof report);
    report.struct_size = (uint32_t)sizeof report;
    return report;
}

/* Changes the file in place. */
static void overwrite(const char *path, size_t offset, size_t size, uint8_t value)
{
    const int file = open(path, O_WRONLY);
    CHECK(file >= 0);
    for (size_t at = offset; at < offset + size; at++) {
        CHECK(pwrite(file, &value, 1, (off_t)at) == 1);
    }
    CHECK(close(file) == 0);
}

static size_t size_of(const char *path)
{
    struct stat info;
    CHECK(stat(path, &info) == 0);
    return (size_t)info.st_size;
}

static int check_file(const atlas_parity *parity, const char *path, atlas_damage_fn damage, void *user_data,
                      atlas_parity_report *report)
{
    atlas_source *source = file_source(path);
    const int status = (int)atlas_parity_check(parity, source, damage, user_data, NULL, report);
    atlas_source_destroy(source);
    return status;
}

/* ---- callbacks ---------------------------------------------------------------------- */

typedef struct seen {
    size_t calls, refuse_at; /* refuses the call of this number, from 1 on */
    uint64_t last;
    atlas_damage first, now;
    pthread_t thread;
    const atlas_parity *other; /* another handle, which a callback may use */
} seen;

static bool note(const atlas_damage *damage, void *user_data)
{
    seen *all = (seen *)user_data;
    CHECK(damage->struct_size == sizeof *damage && damage->reserved == 0 && damage->generation == 0);
    CHECK(pthread_equal(pthread_self(), all->thread));
    if (all->calls == 0) {
        all->first = *damage;
    } else if (damage->part == all->now.part) {
        CHECK(damage->offset > all->last);
    }
    if (all->other != NULL) {
        atlas_parity_info info = {.struct_size = sizeof info};
        CHECK_OK(atlas_parity_get_info(all->other, &info));
    }
    all->last = damage->offset;
    all->now = *damage;
    all->calls++;
    return all->calls != all->refuse_at;
}

static seen nothing_seen(void)
{
    seen all;
    memset(&all, 0, sizeof all);
    all.thread = pthread_self();
    return all;
}

/* ---- tests ------------------------------------------------------------------------------ */

static void without_the_feature(void)
{
    atlas_parity *parity = (atlas_parity *)(void *)&bytes;
    atlas_source *source = borrowed(bytes, 10);
    CHECK_STATUS(atlas_parity_create(source, temp_path("x.atp"), NULL, NULL), ATLAS_STATUS_UNSUPPORTED);
    CHECK_SAYS("parity");
    CHECK(!exists(temp_path("x.atp")));
    CHECK_STATUS(atlas_parity_open("x.atp", NULL, NULL, &parity), ATLAS_STATUS_UNSUPPORTED);
    CHECK(parity == NULL);
    CHECK_STATUS(atlas_parity_check(NULL, source, NULL, NULL, NULL, NULL), ATLAS_STATUS_UNSUPPORTED);
    CHECK_STATUS(atlas_parity_repair(NULL, "x", NULL, NULL, NULL, NULL, NULL), ATLAS_STATUS_UNSUPPORTED);
    CHECK_STATUS(atlas_parity_restore(NULL, source, "x", NULL), ATLAS_STATUS_UNSUPPORTED);
    CHECK_STATUS(atlas_parity_update(NULL, source, NULL, 0, "x", NULL, NULL), ATLAS_STATUS_UNSUPPORTED);
    atlas_parity_destroy(NULL);
    atlas_source_destroy(source);
}

static void creating_and_opening(void)
{
    const char *data = data_path, *atp = atp_path;
    write_file(data, bytes, SIZE);
    const atlas_parity_options options = plain_options();
    create(data, atp, &options);
    atlas_parity *parity = opened(atp);
    atlas_parity_info info = {.struct_size = sizeof info};
    CHECK_OK(atlas_parity_get_info(parity, &info));
    /* 367 units in 3 rows, so 123 columns, of which 6.25 % are 8. */
    CHECK(info.unit_size == UNIT && info.protected_size == SIZE && info.rows == 3);
    CHECK(info.data_columns == 123 && info.parity_columns == 8);
    CHECK_EQ(info.burst_size, (8 * 3 - 1) * UNIT + 1);
    CHECK(info.keyed == 0 && info.has_root == 0 && all_bytes(info.root, 32, 0));
    CHECK(memcmp(info.id, id, 16) == 0);
    CHECK_EQ(info.parity_size, size_of(atp));

    /* A file that is there stays. */
    atlas_source *source = file_source(data);
    CHECK_STATUS(atlas_parity_create(source, atp, &options, NULL), ATLAS_STATUS_IO);
    CHECK(last_error().os_error == FILE_EXISTS);
    atlas_parity_report report = empty_report();
    CHECK_OK(atlas_parity_check(parity, source, NULL, NULL, NULL, &report));
    CHECK(report.data == ATLAS_PARITY_INTACT && report.parity == ATLAS_PARITY_INTACT && report.size == SIZE);
    CHECK(report.bad_units == 0 && report.bad_blocks == 0 && report.damaged_rows == 0 && report.reserved == 0);
    CHECK_OK(atlas_parity_check(parity, source, NULL, NULL, NULL, NULL));

    /* The same file from memory, with one thread and with three, within 64 MiB. */
    uint8_t *wanted = (uint8_t *)malloc(info.parity_size);
    CHECK(wanted != NULL);
    FILE *file = fopen(atp, "rb");
    CHECK(file != NULL && fread(wanted, 1, info.parity_size, file) == info.parity_size && fclose(file) == 0);
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        atlas_operation operation;
        atlas_operation_init(&operation);
        atlas_pool *pool = NULL;
        CHECK_OK(atlas_pool_create(threads, &pool));
        operation.pool = pool;
        operation.memory_limit = 64U << 20;
        atlas_source *memory = borrowed(bytes, SIZE);
        CHECK_OK(atlas_parity_create(memory, temp_path("again.atp"), &options, &operation));
        CHECK(file_is(temp_path("again.atp"), wanted, info.parity_size));
        operation.memory_limit = 1U << 20;
        CHECK_STATUS(atlas_parity_create(memory, temp_path("less.atp"), &options, &operation), ATLAS_STATUS_LIMIT);
        CHECK(!exists(temp_path("less.atp")));
        CHECK(unlink(temp_path("again.atp")) == 0);
        atlas_source_destroy(memory);
        atlas_pool_destroy(pool);
    }

    /* Either end of it is lost. */
    const char *part = temp_path("part.atp");
    const char *whole = REPLACES_OPEN_FILES ? part : temp_path("whole.atp");
    write_file(part, wanted + 9000, info.parity_size - 9000);
    atlas_parity *cut = opened(part);
    CHECK_STATUS(atlas_parity_check(cut, source, NULL, NULL, NULL, &report), ATLAS_STATUS_WITNESS);
    CHECK(report.data == ATLAS_PARITY_INTACT && report.parity == ATLAS_PARITY_REPAIRABLE);
    CHECK(report.bad_blocks == 2 && report.bad_parity_units == 1);
    CHECK_OK(atlas_parity_restore(cut, source, whole, NULL));
    CHECK(file_is(whole, wanted, info.parity_size));
    atlas_parity_destroy(cut);
    write_file(part, wanted, 9000);
    cut = opened(part);
    CHECK_OK(atlas_parity_restore(cut, source, whole, NULL));
    CHECK(file_is(whole, wanted, info.parity_size));
    atlas_parity_destroy(cut);
    CHECK(unlink(part) == 0 && (whole == part || unlink(whole) == 0));

    /* Files that are no parity files. */
    parity = (atlas_parity_destroy(parity), (atlas_parity *)(void *)&bytes);
    CHECK_STATUS(atlas_parity_open(data, NULL, NULL, &parity), ATLAS_STATUS_FORMAT);
    CHECK(parity == NULL);
    CHECK_STATUS(atlas_parity_open(temp_path("absent"), NULL, NULL, &parity), ATLAS_STATUS_IO);
    CHECK(last_error().os_error == ENOENT);
    free(wanted);
    atlas_source_destroy(source);
}

static void options_that_do_not_fit(void)
{
    atlas_source *source = borrowed(bytes, SIZE);
    const char *atp = temp_path("never.atp");
    atlas_parity_options options = plain_options();
#define REFUSED(field, value)                                                                     \
    do {                                                                                          \
        options = plain_options();                                                                \
        options.field = (value);                                                                  \
        CHECK_STATUS(atlas_parity_create(source, atp, &options, NULL), ATLAS_STATUS_INVALID_ARGUMENT); \
        CHECK(!exists(atp));                                                                      \
    } while (0)
    REFUSED(unit_size, 4095);
    REFUSED(unit_size, 2 << 20);
    REFUSED(parity_columns, 124);
    REFUSED(redundancy, 10001);
    REFUSED(rows, 368);
    REFUSED(reserved, 1);
    atlas_source_destroy(source);
}

static void the_damaged_file_is_kept(const atlas_parity *parity)
{
    const char *data = data_path, *other = other_path;
    atlas_parity_report report = empty_report();
    atlas_repair_options options;
    atlas_repair_options_init(&options);
    options.other_path = other;
    options.mode = ATLAS_REPAIR_KEEP;
    CHECK_OK(atlas_parity_repair(parity, data, &options, NULL, NULL, NULL, &report));
    CHECK(!exists(other)); /* nothing was damaged */
    overwrite(data, 0, 1, (uint8_t)~bytes[0]);
    CHECK(chmod(data, 0640) == 0);
    CHECK_OK(atlas_parity_repair(parity, data, &options, NULL, NULL, NULL, &report));
    struct stat info;
    CHECK(stat(data, &info) == 0 && (info.st_mode & 0777) == 0640);
    CHECK(file_is(data, bytes, SIZE) && size_of(other) == SIZE && !file_is(other, bytes, SIZE));
    CHECK(unlink(other) == 0);
}

static void damage_is_found_and_repaired(void)
{
    const char *data = data_path, *atp = atp_path, *other = other_path;
    atlas_parity *parity = opened(atp);
    atlas_repair_options options;
    atlas_repair_options_init(&options);
    CHECK(options.mode == ATLAS_REPAIR_NEW_FILE && options.other_path == NULL && options.partial == 0);
    overwrite(data, 5 * UNIT + 7, 2, 0x55);
    overwrite(data, 50 * UNIT, 3 * UNIT, 0x55);
    CHECK(truncate(data, SIZE - 5000) == 0);

    seen all = nothing_seen();
    atlas_parity *another = opened(atp);
    all.other = another;
    atlas_parity_report report = empty_report();
    CHECK_STATUS(check_file(parity, data, note, &all, &report), ATLAS_STATUS_WITNESS);
    CHECK(report.data == ATLAS_PARITY_REPAIRABLE && report.parity == ATLAS_PARITY_INTACT);
    CHECK(report.bad_units == 7 && all.calls == 7 && report.size == SIZE - 5000 && report.repaired_units == 0);
    CHECK(report.damaged_rows == 3 && report.lost_rows == 0);
    CHECK(all.first.part == ATLAS_DAMAGE_DATA && all.first.kind == ATLAS_DAMAGE_DIFFERS);
    CHECK(all.first.index == 5 && all.first.offset == 5 * UNIT && all.first.length == UNIT);
    CHECK(all.first.repairable == 1 && all.first.os_error == 0);
    CHECK(all.now.kind == ATLAS_DAMAGE_MISSING && all.now.offset + all.now.length == SIZE);
    /* False ends a check. */
    all = nothing_seen();
    all.refuse_at = 2;
    CHECK_STATUS(check_file(parity, data, note, &all, &report), ATLAS_STATUS_CANCELLED);
    CHECK(all.calls == 2);

    /* To a new file; the damaged one is only read. */
    options.other_path = other;
    CHECK_OK(atlas_parity_repair(parity, data, &options, NULL, NULL, NULL, &report));
    CHECK(report.repaired_units == 7 && file_is(other, bytes, SIZE) && size_of(data) == SIZE - 5000);
    CHECK_STATUS(atlas_parity_repair(parity, data, &options, NULL, NULL, NULL, NULL), ATLAS_STATUS_IO);
    CHECK(last_error().os_error == FILE_EXISTS);
    CHECK(unlink(other) == 0);

    /* The owner refuses one unit, and the others are repaired. */
    all = nothing_seen();
    all.refuse_at = 2;
    CHECK_STATUS(atlas_parity_repair(parity, data, &options, note, &all, NULL, &report), ATLAS_STATUS_WITNESS);
    CHECK(all.calls == 7 && report.repaired_units == 6 && exists(other));
    CHECK_STATUS(check_file(parity, other, NULL, NULL, &report), ATLAS_STATUS_WITNESS);
    CHECK(report.bad_units == 1 && report.size == SIZE);
    CHECK(unlink(other) == 0);

    /* In place, which needs the owner. */
    options.mode = ATLAS_REPAIR_IN_PLACE;
    CHECK_STATUS(atlas_parity_repair(parity, data, &options, NULL, NULL, NULL, &report),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(report.data == ATLAS_PARITY_NOT_KNOWN);
    all = nothing_seen();
    CHECK_OK(atlas_parity_repair(parity, data, &options, note, &all, NULL, &report));
    CHECK(all.calls == 7 && report.repaired_units == 7 && file_is(data, bytes, SIZE));

    if (REPLACES_OPEN_FILES) {
        the_damaged_file_is_kept(parity);
    }
    options.mode = 3;
    CHECK_STATUS(atlas_parity_repair(parity, data, &options, NULL, NULL, NULL, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("ATLAS_REPAIR_KEEP");
    atlas_parity_destroy(another);
    atlas_parity_destroy(parity);
}

static void more_than_the_parity_is_refused(void)
{
    const char *data = data_path, *atp = atp_path, *other = other_path;
    atlas_parity *parity = opened(atp);
    atlas_repair_options options;
    atlas_repair_options_init(&options);
    options.other_path = other;
    /* Nine units of row 0, and one of row 1. */
    for (size_t column = 0; column < 9; column++) {
        overwrite(data, column * 3 * UNIT, 1, (uint8_t)~bytes[column * 3 * UNIT]);
    }
    overwrite(data, UNIT, 1, (uint8_t)~bytes[UNIT]);
    uint8_t *damaged = random_bytes(SIZE, 0);
    FILE *file = fopen(data, "rb");
    CHECK(file != NULL && fread(damaged, 1, SIZE, file) == SIZE && fclose(file) == 0);
    atlas_parity_report report = empty_report();
    CHECK_STATUS(atlas_parity_repair(parity, data, &options, NULL, NULL, NULL, &report), ATLAS_STATUS_INCOMPLETE);
    CHECK(report.data == ATLAS_PARITY_INCOMPLETE && report.lost_rows == 1 && report.damaged_rows == 2);
    CHECK(!exists(other));
    options.mode = ATLAS_REPAIR_IN_PLACE;
    seen all = nothing_seen();
    CHECK_STATUS(atlas_parity_repair(parity, data, &options, note, &all, NULL, &report), ATLAS_STATUS_INCOMPLETE);
    CHECK(all.calls == 0 && report.repaired_units == 0 && file_is(data, damaged, SIZE));
    /* The row that can be. */
    options.partial = 1;
    CHECK_STATUS(atlas_parity_repair(parity, data, &options, note, &all, NULL, &report), ATLAS_STATUS_INCOMPLETE);
    CHECK(all.calls == 10 && report.repaired_units == 1);
    damaged[UNIT] = bytes[UNIT];
    CHECK(file_is(data, damaged, SIZE));
    write_file(data, bytes, SIZE);
    free(damaged);
    atlas_parity_destroy(parity);
}

static int with_a_bad_sector(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    const uint64_t sector = 100 * UNIT + 512;
    if (offset < sector + 512 && sector < offset + size) {
        return EIO;
    }
    memcpy(buffer, (const uint8_t *)user_data + offset, size);
    return 0;
}

static int without_rights(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    (void)user_data;
    (void)offset;
    memset(buffer, 0, size);
    return EACCES;
}

static void bad_sectors_are_erasures_and_other_errors_end_a_call(void)
{
    atlas_parity *parity = opened(atp_path);
    atlas_source *source = NULL;
    seen all = nothing_seen();
    atlas_parity_report report = empty_report();
    CHECK_OK(atlas_source_from_callback(SIZE, with_a_bad_sector, NULL, bytes, &source));
    CHECK_STATUS(atlas_parity_check(parity, source, note, &all, NULL, &report), ATLAS_STATUS_WITNESS);
    CHECK(report.bad_units == 1 && all.calls == 1 && all.first.index == 100);
    CHECK(all.first.kind == ATLAS_DAMAGE_UNREADABLE && all.first.os_error == EIO);
    /* The parity file comes back beside it. */
    atlas_operation operation;
    atlas_operation_init(&operation);
    CHECK_OK(atlas_parity_restore(parity, source, temp_path("restored.atp"), &operation));
    CHECK(size_of(temp_path("restored.atp")) == size_of(atp_path));
    CHECK(unlink(temp_path("restored.atp")) == 0);
    atlas_source_destroy(source);
    CHECK_OK(atlas_source_from_callback(SIZE, without_rights, NULL, bytes, &source));
    CHECK_STATUS(atlas_parity_check(parity, source, NULL, NULL, NULL, &report), ATLAS_STATUS_IO);
    CHECK(last_error().os_error == EACCES && report.data == ATLAS_PARITY_NOT_KNOWN);
    atlas_source_destroy(source);
    atlas_parity_destroy(parity);
}

static void keys_and_roots(void)
{
    static const uint8_t key[32] = {7}, wrong[32] = {8};
    const char *atp = temp_path("keyed.atp"), *data = data_path;
    atlas_parity_options options = plain_options();
    options.key = key;
    options.store_root = 1;
    create(data, atp, &options);
    atlas_projection_options projection_options;
    atlas_projection_options_init(&projection_options);
    projection_options.key = key;
    atlas_source *source = file_source(data);
    atlas_projection *projection = projected(source, &projection_options);
    uint8_t root[32];
    root_of(projection, root);
    atlas_projection_destroy(projection);

    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    atlas_parity *parity = NULL;
    CHECK_STATUS(atlas_parity_open(atp, NULL, NULL, &parity), ATLAS_STATUS_WITNESS);
    verify.key = wrong;
    CHECK_STATUS(atlas_parity_open(atp, &verify, NULL, &parity), ATLAS_STATUS_WITNESS);
    CHECK_STATUS(atlas_parity_open(atp_path, &verify, NULL, &parity), ATLAS_STATUS_WITNESS);
    verify.key = key;
    verify.expected_root = wrong;
    CHECK_STATUS(atlas_parity_open(atp, &verify, NULL, &parity), ATLAS_STATUS_WITNESS);
    CHECK_SAYS("root");
    verify.expected_root = root;
    CHECK_OK(atlas_parity_open(atp, &verify, NULL, &parity));
    atlas_parity_info info = {.struct_size = sizeof info};
    CHECK_OK(atlas_parity_get_info(parity, &info));
    CHECK(info.keyed == 1 && info.has_root == 1 && memcmp(info.root, root, 32) == 0);

    /* With a known root the result is compared with it, in each mode. */
    atlas_repair_options repair;
    atlas_repair_options_init(&repair);
    repair.other_path = other_path;
    for (uint32_t mode = 0; mode < (REPLACES_OPEN_FILES ? 3 : ATLAS_REPAIR_KEEP); mode++) {
        overwrite(data, 3 * UNIT, 100, 0x11);
        repair.mode = mode;
        seen all = nothing_seen();
        CHECK_OK(atlas_parity_repair(parity, data, &repair, note, &all, NULL, NULL));
        CHECK(file_is(mode == ATLAS_REPAIR_NEW_FILE ? repair.other_path : data, bytes, SIZE));
        (void)unlink(repair.other_path);
        write_file(data, bytes, SIZE);
    }
    /* An update that would leave a unit damaged is not begun. */
    overwrite(data, 3 * UNIT, 100, 0x11);
    seen all = nothing_seen();
    all.refuse_at = 1;
    CHECK_STATUS(atlas_parity_repair(parity, data, &repair, note, &all, NULL, NULL), ATLAS_STATUS_WITNESS);
    CHECK(!exists(repair.other_path) && temp_names() == 3);
    write_file(data, bytes, SIZE);
    atlas_parity_destroy(parity);
    atlas_source_destroy(source);
    CHECK(unlink(atp) == 0);
}

static void updates(void)
{
    const char *data = data_path, *atp = temp_path("new.atp"), *wanted = temp_path("wanted.atp");
    atlas_parity *parity = opened(atp_path);
    atlas_parity_options options = plain_options();
    options.rows = 3;
    options.parity_columns = 8;
    uint8_t *changed = random_bytes(SIZE + 100000, 5);
    memcpy(changed, bytes, SIZE);
    fill_random(changed + 70000, 5000, 6);
    const atlas_region region = {70000, 5000}, outside = {SIZE, 100001};
    atlas_source *source = borrowed(changed, SIZE + 100000);
    CHECK_OK(atlas_parity_create(source, wanted, &options, NULL));
    uint8_t *file = random_bytes(size_of(wanted), 0);
    FILE *stream = fopen(wanted, "rb");
    CHECK(stream != NULL && fread(file, 1, size_of(wanted), stream) == size_of(wanted) && fclose(stream) == 0);
    CHECK_OK(atlas_parity_update(parity, source, &region, 1, atp, &options, NULL));
    CHECK(file_is(atp, file, size_of(wanted)));
    /* Not named, and so damage: in a row that is touched it is refused. */
    CHECK_OK(atlas_parity_update(parity, source, NULL, 0, atp, &options, NULL));
    CHECK(!file_is(atp, file, size_of(wanted)));
    atlas_parity *later = opened(atp);
    atlas_parity_report report = empty_report();
    CHECK_STATUS(atlas_parity_check(later, source, NULL, NULL, NULL, &report), ATLAS_STATUS_WITNESS);
    CHECK(report.bad_units == 2 && report.data == ATLAS_PARITY_REPAIRABLE);
    atlas_parity_destroy(later);
    options.store_root = 1;
    CHECK(unlink(atp) == 0);
    CHECK_STATUS(atlas_parity_update(parity, source, NULL, 0, atp, &options, NULL), ATLAS_STATUS_WITNESS);
    CHECK(!exists(atp) && last_error().offset == 69632);
    CHECK_STATUS(atlas_parity_update(parity, source, &outside, 1, atp, &options, NULL), ATLAS_STATUS_OUT_OF_RANGE);
    atlas_source_destroy(source);
    source = borrowed(changed, 5000);
    CHECK_STATUS(atlas_parity_update(parity, source, &region, 0, atp, &options, NULL),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK(!exists(atp));
    atlas_source_destroy(source);
    atlas_parity_destroy(parity);
    CHECK(unlink(wanted) == 0);
    free(file);
    free(changed);
    CHECK(size_of(data) == SIZE);
}

/* ---- progress ------------------------------------------------------------------------------- */

typedef struct followed {
    atlas_progress last;
    size_t calls, ends, stop_at;
} followed;

static bool follow(const atlas_progress *progress, void *user_data)
{
    followed *all = (followed *)user_data;
    CHECK(progress->bytes_done >= all->last.bytes_done && progress->chunks_done >= all->last.chunks_done);
    CHECK(progress->bytes_done <= progress->bytes_total && progress->chunks_done <= progress->chunks_total);
    CHECK(progress->bytes_done - all->last.bytes_done <= 2 * TILE);
    all->ends += progress->bytes_done == progress->bytes_total && progress->chunks_done == progress->chunks_total;
    all->last = *progress;
    all->calls++;
    return all->calls != all->stop_at;
}

static void progress_is_told_and_cancels(void)
{
    const char *data = data_path, *atp = atp_path;
    for (size_t stop = 0; stop < 4; stop += 3) {
        for (int call = 0; call < 6; call++) {
            followed all;
            memset(&all, 0, sizeof all);
            all.stop_at = stop;
            atlas_operation operation;
            atlas_operation_init(&operation);
            operation.progress = follow;
            operation.user_data = &all;
            atlas_source *source = file_source(data);
            atlas_parity *parity = opened(atp);
            atlas_repair_options repair;
            atlas_repair_options_init(&repair);
            repair.other_path = other_path;
            overwrite(data, 7 * UNIT, 2, 0x11);
            const char *made = temp_path("made.atp");
            atlas_parity_options options = plain_options();
            const atlas_region region = {7 * UNIT, 2};
            int status = 0;
            switch (call) {
            case 0: status = (int)atlas_parity_create(source, made, &options, &operation); break;
            case 1: options.store_root = 1; status = (int)atlas_parity_create(source, made, &options, &operation); break;
            case 2: status = (int)atlas_parity_repair(parity, data, &repair, NULL, NULL, &operation, NULL); break;
            case 3: status = (int)atlas_parity_restore(parity, source, made, &operation); break;
            case 4: status = (int)atlas_parity_update(parity, source, &region, 1, made, &options, &operation); break;
            default: status = (int)atlas_parity_check(parity, source, NULL, NULL, &operation, NULL); break;
            }
            if (stop == 0) {
                CHECK(status == (call == 5 ? ATLAS_STATUS_WITNESS : ATLAS_STATUS_OK));
                CHECK(all.ends == 1 && all.last.bytes_done == all.last.bytes_total && all.last.bytes_total >= SIZE / 20);
            } else if (all.calls >= stop) {
                CHECK(status == ATLAS_STATUS_CANCELLED && all.calls == stop);
                CHECK(!exists(made) && !exists(repair.other_path));
            }
            (void)unlink(made);
            (void)unlink(repair.other_path);
            CHECK(temp_names() == 2);
            atlas_parity_destroy(parity);
            atlas_source_destroy(source);
        }
    }
    write_file(data, bytes, SIZE);
}

/* ---- threads ------------------------------------------------------------------------------------ */

static void *check_often(void *user_data)
{
    const atlas_parity *parity = (const atlas_parity *)user_data;
    atlas_source *source = file_source(data_path);
    for (int round = 0; round < 3; round++) {
        if (atlas_parity_check(parity, source, NULL, NULL, NULL, NULL) != ATLAS_STATUS_OK) {
            return user_data;
        }
    }
    atlas_source_destroy(source);
    return NULL;
}

static void threads_share_a_handle(void)
{
    pthread_t threads[4];
    atlas_parity *parity = opened(atp_path);
    for (size_t i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, check_often, parity) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *failed = NULL;
        CHECK(pthread_join(threads[i], &failed) == 0 && failed == NULL);
    }
    atlas_parity_destroy(parity);
}

int main(void)
{
    bytes = random_bytes(SIZE, 42);
    (void)snprintf(data_path, sizeof data_path, "%s", temp_path("data"));
    (void)snprintf(atp_path, sizeof atp_path, "%s", temp_path("data.atp"));
    (void)snprintf(other_path, sizeof other_path, "%s", temp_path("other"));
    if (!built_in(ATLAS_FEATURE_PARITY)) {
        TEST(without_the_feature);
        free(bytes);
        return 0;
    }
    TEST(creating_and_opening);
    TEST(options_that_do_not_fit);
    TEST(damage_is_found_and_repaired);
    TEST(more_than_the_parity_is_refused);
    TEST(bad_sectors_are_erasures_and_other_errors_end_a_call);
    TEST(keys_and_roots);
    TEST(updates);
    TEST(progress_is_told_and_cancels);
    TEST(threads_share_a_handle);
    CHECK(temp_names() == 2);
    free(bytes);
    return 0;
}
