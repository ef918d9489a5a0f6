/* Sums and deltas: every path of this machine against the definition. */
#include <string.h>

#include "../src/sum.h"
#include "atlas_conservation.h"
#include "check.h"

#define LENGTHS 1025
#define ALIGNMENTS 64
#define LARGE ((size_t)17 << 20)

/* What surrounds the bytes is 0xff, so that one too many changes the sum. */
static void sums_are_exact_for_every_length_and_alignment(const atlas_l2_sum_path *path)
{
    for (size_t alignment = 0; alignment < ALIGNMENTS; alignment++) {
        uint8_t *const store = malloc(2 * ALIGNMENTS + LENGTHS);
        CHECK(store != NULL);
        memset(store, 0xff, 2 * ALIGNMENTS + LENGTHS);
        uint8_t *const data = store + (ALIGNMENTS - (uintptr_t)store % ALIGNMENTS) + alignment;
        CHECK((uintptr_t)data % ALIGNMENTS == alignment);
        uint64_t state = alignment;
        uint64_t expected = 0;
        for (size_t len = 0; len < LENGTHS; len++) {
            CHECK(path->sum(data, len) == expected);
            CHECK(atlas_l2_residue_by(path->sum, data, len) == expected % 96);
            data[len] = check_random_byte(&state);
            expected += data[len];
        }
        free(store);
    }
}

/* The bytes end where their allocation ends, so that a sanitizer sees a read behind them. */
static void sums_end_with_the_buffer(const atlas_l2_sum_path *path)
{
    for (size_t len = 1; len < LENGTHS; len++) {
        for (size_t alignment = 0; alignment < ALIGNMENTS; alignment++) {
            uint8_t *const store = malloc(alignment + len);
            CHECK(store != NULL);
            memset(store, 0xff, alignment);
            check_fill(store + alignment, len, len);
            uint64_t expected = 0;
            for (size_t i = 0; i < len; i++) {
                expected += store[alignment + i];
            }
            CHECK(path->sum(store + alignment, len) == expected);
            free(store);
        }
    }
}

static void large_sums_do_not_overflow(const atlas_l2_sum_path *path)
{
    uint8_t *const data = malloc(LARGE + 3);
    CHECK(data != NULL);
    memset(data, 0xff, LARGE + 3);
    for (size_t offset = 0; offset < 4; offset++) {
        CHECK(path->sum(data + offset, LARGE) == 255 * (uint64_t)LARGE);
        CHECK(path->sum(data + offset, LARGE - 1) == 255 * (uint64_t)(LARGE - 1));
    }
    check_fill(data, LARGE, 7);
    CHECK(atlas_l2_residue_by(path->sum, data, LARGE) == check_residue(data, LARGE));
    free(data);
}

static void deltas_are_exact(const atlas_l2_sum_path *path)
{
    uint8_t before[ALIGNMENTS + LENGTHS];
    uint8_t after[ALIGNMENTS + LENGTHS];
    check_fill(before, sizeof before, 1);
    check_fill(after, sizeof after, 2);
    for (size_t alignment = 0; alignment < ALIGNMENTS; alignment++) {
        const uint8_t *const from = before + alignment;
        const uint8_t *const to = after + (ALIGNMENTS - 1 - alignment);
        unsigned expected = 0;
        for (size_t len = 0; len < LENGTHS; len++) {
            CHECK(atlas_l2_delta_by(path->sum, from, to, len) == expected);
            CHECK(atlas_l2_delta_by(path->sum, to, from, len) == (96 - expected) % 96);
            expected = (expected + 96 * 3 + to[len] - from[len]) % 96;
        }
    }
}

static void public_functions_agree_with_the_definition(void)
{
    uint8_t data[LENGTHS];
    uint8_t other[LENGTHS];
    check_fill(data, sizeof data, 3);
    check_fill(other, sizeof other, 4);
    for (size_t len = 1; len < LENGTHS; len++) {
        const uint8_t residue = check_residue(data, len);
        const unsigned delta = (96u + check_residue(other, len) - residue) % 96;
        const atlas_error_t law = residue == 0 ? ATLAS_OK : ATLAS_E_CONSERVATION;
        CHECK_GIVES(residue, atlas_conserved_sum(data, len), ATLAS_OK);
        CHECK_GIVES(residue == 0, atlas_conserved_check(data, len), law);
        CHECK_GIVES(residue == 0, atlas_conserved_window_check(data, len), law);
        CHECK_GIVES(delta, atlas_conserved_delta(data, other, len), ATLAS_OK);
        CHECK_GIVES(0, atlas_conserved_delta(data, data, len), ATLAS_OK);
    }
}

static void every_residue_is_told(void)
{
    for (unsigned value = 0; value < 256; value++) {
        const uint8_t byte = (uint8_t)value;
        const uint8_t zero = 0;
        CHECK_GIVES(value % 96, atlas_conserved_sum(&byte, 1), ATLAS_OK);
        CHECK(atlas_conserved_check(&byte, 1) == (value % 96 == 0));
        CHECK_GIVES(value % 96, atlas_conserved_delta(&zero, &byte, 1), ATLAS_OK);
        CHECK_GIVES((96 - value % 96) % 96, atlas_conserved_delta(&byte, &zero, 1), ATLAS_OK);
    }
}

static void windows_end_at_one_mebibyte(void)
{
    const size_t limit = (size_t)1 << 20;
    uint8_t *const data = calloc(1, limit + 1);
    CHECK(data != NULL);
    CHECK_GIVES(true, atlas_conserved_window_check(data, limit), ATLAS_OK);
    CHECK_GIVES(false, atlas_conserved_window_check(data, limit + 1), ATLAS_E_INVALID);
    CHECK_GIVES(true, atlas_conserved_check(data, limit + 1), ATLAS_OK);
    data[limit - 1] = 1;
    CHECK_GIVES(false, atlas_conserved_window_check(data, limit), ATLAS_E_CONSERVATION);
    free(data);
}

static void bad_arguments_are_refused(void)
{
    const uint8_t byte = 96;
    CHECK_GIVES(0, atlas_conserved_sum(NULL, 1), ATLAS_E_INVALID);
    CHECK_GIVES(0, atlas_conserved_sum(NULL, 0), ATLAS_OK);
    CHECK_GIVES(0, atlas_conserved_sum(&byte, 0), ATLAS_OK);
    CHECK_GIVES(false, atlas_conserved_check(NULL, 1), ATLAS_E_INVALID);
    CHECK_GIVES(false, atlas_conserved_check(&byte, 0), ATLAS_E_INVALID);
    CHECK_GIVES(false, atlas_conserved_window_check(NULL, 1), ATLAS_E_INVALID);
    CHECK_GIVES(false, atlas_conserved_window_check(&byte, 0), ATLAS_E_INVALID);
    CHECK_GIVES(255, atlas_conserved_delta(NULL, &byte, 1), ATLAS_E_INVALID);
    CHECK_GIVES(255, atlas_conserved_delta(&byte, NULL, 1), ATLAS_E_INVALID);
    CHECK_GIVES(255, atlas_conserved_delta(&byte, &byte, 0), ATLAS_E_INVALID);
}

int main(void)
{
    atlas_l2_sum_path paths[ATLAS_L2_SUM_PATHS];
    const size_t count = atlas_l2_sum_paths(paths);
    CHECK(count >= 1 && count <= ATLAS_L2_SUM_PATHS);
    CHECK(paths[0].sum == atlas_l2_sum_plain);
    for (size_t i = 0; i < count; i++) {
        printf("path %s\n", paths[i].name);
        sums_are_exact_for_every_length_and_alignment(&paths[i]);
        sums_end_with_the_buffer(&paths[i]);
        large_sums_do_not_overflow(&paths[i]);
        deltas_are_exact(&paths[i]);
    }
    public_functions_agree_with_the_definition();
    every_residue_is_told();
    windows_end_at_one_mebibyte();
    bad_arguments_are_refused();
    return 0;
}
