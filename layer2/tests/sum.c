/* Sums and deltas: every path of this machine against the definition. */
#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../src/sum.h"
#include "atlas_conservation.h"
#include "check.h"

#define LENGTHS 1025
#define ALIGNMENTS 64
#define LARGE ((size_t)17 << 20)

/* The surrounding bytes are 0xff, so that one byte too many changes the sum. */
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
            CHECK(atlas_l2_residue_by(path, data, len) == expected % 96);
            data[len] = check_random_byte(&state);
            expected += data[len];
        }
        free(store);
    }
}

/* The bytes end at the end of their allocation, so that a sanitizer detects a read after them. */
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
        CHECK(atlas_l2_residue_by(path, data + offset, LARGE) == 255 * (uint64_t)LARGE % 96);
        uint64_t sums[4];
        path->sum4(data + offset, LARGE / 4, LARGE / 4, sums);
        for (size_t stream = 0; stream < 4; stream++) {
            CHECK(sums[stream] == 255 * (uint64_t)(LARGE / 4));
        }
    }
    check_fill(data, LARGE, 7);
    CHECK(atlas_l2_residue_by(path, data, LARGE) == check_residue(data, LARGE));
    free(data);
}

/* The bytes between the streams are 0xff, and the last stream ends with its allocation. */
static void four_sums_are_exact_for_every_length(const atlas_l2_sum_path *path)
{
    for (size_t len = 0; len < LENGTHS; len++) {
        const size_t alignment = len % ALIGNMENTS;
        const size_t stride = len + len % 3 * 37;
        uint8_t *const store = malloc(alignment + 3 * stride + len + (len == 0));
        CHECK(store != NULL);
        memset(store, 0xff, alignment + 3 * stride);
        uint8_t *const data = store + alignment;
        uint64_t expected[4] = {0};
        for (size_t stream = 0; stream < 4; stream++) {
            check_fill(data + stream * stride, len, 4 * len + stream);
            for (size_t i = 0; i < len; i++) {
                expected[stream] += data[stream * stride + i];
            }
        }
        uint64_t sums[4] = {1, 2, 3, 4};
        path->sum4(data, stride, len, sums);
        CHECK(memcmp(sums, expected, sizeof sums) == 0);
        free(store);
    }
}

/* Lengths around the minimum for reading in four streams and around the ends of blocks, with every kind of
 * remainder. */
static void sums_are_exact_where_blocks_begin_and_end(const atlas_l2_sum_path *path)
{
    static const size_t KIB = 1024;
    const size_t lengths[] = {64 * KIB,  128 * KIB,       129 * KIB,  256 * KIB,
                              777 * KIB, 1024 * KIB,      1100 * KIB, 1152 * KIB,
                              1280 * KIB, 2048 * KIB + 7, 2176 * KIB, 2300 * KIB + 300};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (size_t alignment = 0; alignment < 3; alignment++) {
            for (size_t len = lengths[i] - 1; len <= lengths[i] + 1; len++) {
                uint8_t *const store = malloc(alignment + len);
                CHECK(store != NULL);
                memset(store, 0xff, alignment);
                check_fill(store + alignment, len, len);
                CHECK(atlas_l2_residue_by(path, store + alignment, len) ==
                      check_residue(store + alignment, len));
                free(store);
            }
        }
    }
}

/* Returns `size` bytes, which are whole pages, between two pages that cannot be accessed (guards). */
static uint8_t *between_guards(size_t size, size_t page)
{
    uint8_t *const all =
        mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(all != MAP_FAILED);
    CHECK(mprotect(all + page, size, PROT_READ | PROT_WRITE) == 0);
    return all + page;
}

/* If `data` begins or ends at a guard, a read before `data` or after its `len` bytes faults. */
static void check_everything(const atlas_l2_sum_path *path, const uint8_t *data, size_t len)
{
    const size_t quarter = len / 4;
    uint64_t sums[4];
    uint64_t total = path->sum(data, len);
    CHECK(total % 96 == check_residue(data, len));
    CHECK(atlas_l2_residue_by(path, data, len) == total % 96);
    CHECK(atlas_l2_delta_by(path, data, data, len) == 0);
    path->sum4(data + len % 4, quarter, quarter, sums);
    for (size_t i = 0; i < len % 4; i++) {
        total -= data[i];
    }
    CHECK(sums[0] + sums[1] + sums[2] + sums[3] == total);
    path->sum4(data, quarter, quarter, sums);
    CHECK(sums[0] % 96 == check_residue(data, quarter));
}

/* No sanitizer checks the accesses of masked or wide reads; the guards check all accesses. */
static void nothing_is_read_outside_of_the_data(const atlas_l2_sum_path *path)
{
    static const size_t longer[] = {4095,   4096,   65537,   131071,  131072,
                                    131073, 131199, 1048576, 1048703, 1179648};
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t size = ((size_t)2 << 20) / page * page;
    uint8_t *const data = between_guards(size, page);
    check_fill(data, size, 9);
    for (size_t len = 0; len < LENGTHS; len++) {
        check_everything(path, data, len);
        check_everything(path, data + size - len, len);
    }
    uint8_t *const residues = between_guards(page, page);
    for (size_t i = 0; i < sizeof longer / sizeof *longer; i++) {
        const size_t len = longer[i];
        const size_t groups = len / 1024 + (len % 1024 != 0);
        check_everything(path, data, len);
        check_everything(path, data + size - len, len);
        if (groups <= page) {
            atlas_l2_residues_by(path, data, len, 1024, residues);
            atlas_l2_residues_by(path, data + size - len, len, 1024, residues + page - groups);
        }
    }
    CHECK(munmap(data - page, size + 2 * page) == 0);
    CHECK(munmap(residues - page, 3 * page) == 0);
}

/* Both data and sums end with their allocations; `path` is NULL for the public function. */
static void check_groups(const atlas_l2_sum_path *path, size_t alignment, size_t len,
                         size_t group)
{
    const size_t count = len / group + (len % group != 0);
    uint8_t *const store = malloc(alignment + len + 1);
    uint8_t *const sums = malloc(count + 1);
    CHECK(store != NULL && sums != NULL);
    uint8_t *const data = store + 1 + alignment;
    memset(store, 0xff, 1 + alignment);
    memset(sums, 0xa5, count + 1);
    check_fill(data, len, len + group);
    if (path == NULL) {
        CHECK_GIVES(ATLAS_OK, atlas_conserved_sums(data, len, group, sums), ATLAS_OK);
    } else {
        atlas_l2_residues_by(path, data, len, group, sums);
    }
    for (size_t i = 0; i < count; i++) {
        const size_t from = i * group;
        const size_t size = len - from < group ? len - from : group;
        CHECK(sums[i] == check_residue(data + from, size));
    }
    CHECK(sums[count] == 0xa5);
    free(sums);
    free(store);
}

static void check_some_groups(const atlas_l2_sum_path *path, size_t groups, size_t group)
{
    static const size_t alignments[] = {0, 1, 15, 32, 63};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        const size_t len = groups * group;
        if (len > 0) {
            check_groups(path, alignments[i], len - 1, group);
        }
        check_groups(path, alignments[i], len, group);
        check_groups(path, alignments[i], len + 1, group);
    }
}

/* Groups around the smallest and the largest size that is read in four streams. A whole block of such groups has
 * 1 MiB; the groups after the last block are read four at a time, and then singly. */
static void sums_of_groups_are_exact(const atlas_l2_sum_path *path)
{
    static const size_t sizes[] = {1, 2, 7, 31, 64, 1023, 1024, 1025, 4096, 5000, 16384};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t groups = 0; groups <= 13; groups++) {
            check_some_groups(path, groups, sizes[i]);
        }
    }
    check_some_groups(path, 64, 16384);
    check_some_groups(path, 64 + 7, 16384);
    check_some_groups(path, 256 + 9, 4096);
    check_some_groups(path, 1024 + 5, 1024);
    check_some_groups(path, 300, 7);
    check_some_groups(path, 3000, 1);
    check_some_groups(path, 9, ((size_t)1 << 17) - 1);
    check_some_groups(path, 5, (size_t)1 << 17);
    check_some_groups(path, 2, ((size_t)1 << 20) + 3);
    check_groups(path, 0, 5000, SIZE_MAX);
    check_groups(path, 0, 0, SIZE_MAX);
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
            CHECK(atlas_l2_delta_by(path, from, to, len) == expected);
            CHECK(atlas_l2_delta_by(path, to, from, len) == (96 - expected) % 96);
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
    sums_of_groups_are_exact(NULL);
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
    uint8_t sum = 0xa5;
    CHECK_GIVES(ATLAS_E_INVALID, atlas_conserved_sums(NULL, 1, 1, &sum), ATLAS_E_INVALID);
    CHECK_GIVES(ATLAS_E_INVALID, atlas_conserved_sums(&byte, 1, 1, NULL), ATLAS_E_INVALID);
    CHECK_GIVES(ATLAS_E_INVALID, atlas_conserved_sums(&byte, 1, 0, &sum), ATLAS_E_INVALID);
    CHECK_GIVES(ATLAS_E_INVALID, atlas_conserved_sums(&byte, 0, 0, &sum), ATLAS_E_INVALID);
    CHECK_GIVES(ATLAS_OK, atlas_conserved_sums(&byte, 0, 1, &sum), ATLAS_OK);
    CHECK_GIVES(ATLAS_OK, atlas_conserved_sums(NULL, 0, 1, NULL), ATLAS_OK);
    CHECK(sum == 0xa5);
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
    const atlas_l2_sum_path *paths[ATLAS_L2_SUM_PATHS];
    const size_t count = atlas_l2_sum_paths(paths);
    CHECK(count >= 1 && count <= ATLAS_L2_SUM_PATHS);
    CHECK(paths[0]->sum == atlas_l2_sum_plain);
#ifdef ATLAS_L2_NEON
    CHECK(count == 2 && paths[1]->sum == atlas_l2_sum_neon);
#endif
#if defined(ATLAS_L2_X86) && defined(__GLIBC__)
    /* The compiler's library examines the processor too, and must find the same. */
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") != 0;
    const bool avx512 = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
    CHECK(count == (size_t)1 + avx2 + avx512);
#endif
    for (size_t i = 0; i < count; i++) {
        printf("path %s\n", paths[i]->name);
        sums_are_exact_for_every_length_and_alignment(paths[i]);
        sums_end_with_the_buffer(paths[i]);
        four_sums_are_exact_for_every_length(paths[i]);
        nothing_is_read_outside_of_the_data(paths[i]);
        sums_are_exact_where_blocks_begin_and_end(paths[i]);
        sums_of_groups_are_exact(paths[i]);
        large_sums_do_not_overflow(paths[i]);
        deltas_are_exact(paths[i]);
    }
    public_functions_agree_with_the_definition();
    every_residue_is_told();
    windows_end_at_one_mebibyte();
    bad_arguments_are_refused();
    return 0;
}
