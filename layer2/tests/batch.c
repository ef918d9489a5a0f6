/* Batches of every size, with bad items among the good ones. */
#include <string.h>

#include "atlas_conservation.h"
#include "check.h"

#define MAX 256
#define SIZE 64

static uint8_t before[MAX + 1][SIZE];
static uint8_t after[MAX + 1][SIZE];

static bool is_null(size_t i)
{
    return i % 11 == 3;
}

static bool is_empty(size_t i)
{
    return i % 13 == 5;
}

/* Every second buffer is conserved, and every second `after` is not. */
static void fill(void)
{
    for (size_t i = 0; i <= MAX; i++) {
        check_fill_conserved(before[i], SIZE, i);
        check_fill(after[i], SIZE, i + 1000);
        before[i][0] = (uint8_t)(before[i][0] ^ (i % 2));
    }
}

static void checks_of_every_count(void)
{
    for (size_t count = 1; count <= MAX; count++) {
        atlas_batch_buffer_t items[MAX];
        memset(items, 0xee, sizeof items);
        for (size_t i = 0; i < count; i++) {
            items[i].data = is_null(i) ? NULL : before[i];
            items[i].size = is_empty(i) ? 0 : SIZE;
        }
        atlas_batch_buffer_t copies[MAX];
        memcpy(copies, items, sizeof items);
        uint8_t *const results = atlas_batch_conserved_check(items, count);
        CHECK(results != NULL && atlas_get_last_error() == ATLAS_OK);
        CHECK(memcmp(copies, items, sizeof items) == 0);
        for (size_t i = 0; i < count; i++) {
            const bool good = !is_null(i) && !is_empty(i);
            CHECK(results[i] == (good && check_residue(before[i], SIZE) == 0 ? 1 : 0));
        }
        free(results);
    }
}

static void deltas_of_every_count(void)
{
    for (size_t count = 1; count <= MAX; count++) {
        atlas_batch_delta_t items[MAX + 1];
        memset(items, 0xee, sizeof items);
        for (size_t i = 0; i < count; i++) {
            items[i].before = is_null(i) && i % 2 == 0 ? NULL : before[i];
            items[i].after = is_null(i) && i % 2 == 1 ? NULL : after[i];
            items[i].size = is_empty(i) ? 0 : SIZE;
        }
        CHECK_GIVES(0, atlas_batch_delta_compute(items, count), ATLAS_OK);
        for (size_t i = 0; i < count; i++) {
            const unsigned expected =
                (96u + check_residue(after[i], SIZE) - check_residue(before[i], SIZE)) % 96;
            CHECK(items[i].delta == (is_null(i) || is_empty(i) ? 0 : expected));
            CHECK(items[i].reserved[0] == 0xee && items[i].reserved[6] == 0xee);
        }
        CHECK(items[count].delta == 0xee);
    }
}

static void witnesses_of_every_count(void)
{
    for (size_t count = 1; count <= MAX; count++) {
        atlas_batch_witness_t items[MAX + 1];
        memset(items, 0xee, sizeof items);
        for (size_t i = 0; i < count; i++) {
            items[i].data = is_null(i) ? NULL : before[i];
            items[i].size = is_empty(i) ? 0 : SIZE;
        }
        CHECK_GIVES(0, atlas_batch_witness_generate(items, count), ATLAS_OK);
        for (size_t i = 0; i < count; i++) {
            const bool good = !is_null(i) && !is_empty(i);
            CHECK(items[i].status == (good ? 1u : 0u));
            CHECK((items[i].witness != NULL) == good);
            if (good) {
                CHECK(atlas_witness_verify(items[i].witness, before[i], SIZE));
                CHECK(!atlas_witness_verify(items[i].witness, before[i + 1], SIZE));
            }
            atlas_witness_destroy(items[i].witness);
            CHECK(items[i].reserved[0] == 0xee && items[i].reserved[3] == 0xee);
        }
        CHECK(items[count].status == 0xeeeeeeee);
    }
}

static void bad_arguments_fail_the_call(void)
{
    static const size_t counts[] = {0, MAX + 1, SIZE_MAX};
    atlas_batch_buffer_t buffer = {before[0], SIZE, 0, {0}};
    atlas_batch_delta_t delta = {before[0], after[0], SIZE, 77, {0}};
    atlas_batch_witness_t witness = {before[0], SIZE, NULL, 77, {0}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        CHECK_GIVES(NULL, atlas_batch_conserved_check(&buffer, counts[i]), ATLAS_E_INVALID);
        CHECK_GIVES(-1, atlas_batch_delta_compute(&delta, counts[i]), ATLAS_E_INVALID);
        CHECK_GIVES(-1, atlas_batch_witness_generate(&witness, counts[i]), ATLAS_E_INVALID);
    }
    CHECK_GIVES(NULL, atlas_batch_conserved_check(NULL, 1), ATLAS_E_INVALID);
    CHECK_GIVES(-1, atlas_batch_delta_compute(NULL, 1), ATLAS_E_INVALID);
    CHECK_GIVES(-1, atlas_batch_witness_generate(NULL, 1), ATLAS_E_INVALID);
    CHECK(delta.delta == 77 && witness.status == 77 && witness.witness == NULL);
}

static void check_stats(uint64_t conserved, uint64_t delta, uint64_t witness, uint64_t buffers)
{
    atlas_batch_stats_t stats;
    CHECK_GIVES(true, atlas_batch_get_statistics(&stats), ATLAS_OK);
    CHECK(stats.conserved_calls == conserved && stats.delta_calls == delta);
    CHECK(stats.witness_calls == witness && stats.total_buffers == buffers);
}

static void statistics_count_the_successful_calls(void)
{
    const uint64_t items = (uint64_t)MAX * (MAX + 1) / 2;
    atlas_batch_reset_statistics();
    CHECK(atlas_get_last_error() == ATLAS_OK);
    check_stats(0, 0, 0, 0);
    checks_of_every_count();
    check_stats(MAX, 0, 0, items);
    deltas_of_every_count();
    check_stats(MAX, MAX, 0, 2 * items);
    witnesses_of_every_count();
    check_stats(MAX, MAX, MAX, 3 * items);
    bad_arguments_fail_the_call();
    check_stats(MAX, MAX, MAX, 3 * items);
    atlas_batch_reset_statistics();
    check_stats(0, 0, 0, 0);
    CHECK_GIVES(false, atlas_batch_get_statistics(NULL), ATLAS_E_INVALID);
}

static void optimal_sizes_are_in_range_and_fall(void)
{
    size_t previous = MAX;
    for (size_t size = 0; size <= (size_t)3 << 20; size += 61) {
        const size_t count = atlas_batch_get_optimal_size(size);
        CHECK(count >= 1 && count <= previous);
        previous = count;
    }
    CHECK_GIVES(256, atlas_batch_get_optimal_size(0), ATLAS_OK);
    CHECK(atlas_batch_get_optimal_size(4096) == 256);
    CHECK(atlas_batch_get_optimal_size(65536) == 16);
    CHECK(atlas_batch_get_optimal_size((size_t)1 << 20) == 1);
    CHECK(atlas_batch_get_optimal_size(SIZE_MAX) == 1);
}

int main(void)
{
    CHECK(atlas_conservation_set_digest(check_digest) == ATLAS_OK);
    fill();
    statistics_count_the_successful_calls();
    optimal_sizes_are_in_range_and_fall();
    return 0;
}
