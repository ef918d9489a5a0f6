#include "sum.h"

#include <stdatomic.h>
#include <string.h>

#ifdef ATLAS_L2_X86
#include <cpuid.h>
#endif

/* A 64-bit word holds four 16-bit counters. A word of data adds at most 2 * 255 to each counter,
 * so that a block of 128 words cannot overflow the counters (128 * 510 = 65,280). */
#define BLOCK_WORDS 128

/* Data are read in four streams a quarter of a block apart. On a Zen 3 blocks above 1 MiB were not
 * faster, and very large blocks were slower. Blocks below 128 KiB are still faster for data in
 * memory, but slower for data in the cache, and the shorter the block is, the slower. */
#define STREAMS ((size_t)4)
#define BLOCK_MAX ((size_t)1 << 20)
#define BLOCK_MIN ((size_t)1 << 17)

/* The smallest groups that are read in four streams: on a Zen 3 groups of 256 bytes were faster for
 * data in memory and slower for data in the cache, and groups of 1 KiB were faster for both. */
#define STREAMED_GROUP_MIN ((size_t)1 << 10)

static const uint64_t EVEN_BYTES = UINT64_C(0x00ff00ff00ff00ff);
static const uint64_t EVEN_PAIRS = UINT64_C(0x0000ffff0000ffff);

static uint64_t word_counters(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return (word & EVEN_BYTES) + ((word >> 8) & EVEN_BYTES);
}

static uint64_t counters_total(uint64_t counters)
{
    const uint64_t pairs = (counters & EVEN_PAIRS) + ((counters >> 16) & EVEN_PAIRS);
    return (pairs & UINT32_MAX) + (pairs >> 32);
}

/* Two counters side by side, so that the additions do not wait for each other. */
static uint64_t block_sum(const uint8_t *data)
{
    uint64_t first = 0;
    uint64_t second = 0;
    for (size_t word = 0; word < BLOCK_WORDS; word += 2) {
        first += word_counters(data + 8 * word);
        second += word_counters(data + 8 * word + 8);
    }
    return counters_total(first) + counters_total(second);
}

uint64_t atlas_l2_sum_plain(const uint8_t *data, size_t len)
{
    uint64_t total = 0;
    for (; len >= 8 * BLOCK_WORDS; len -= 8 * BLOCK_WORDS) {
        total += block_sum(data);
        data += 8 * BLOCK_WORDS;
    }
    uint64_t counters = 0;
    for (; len >= 8; len -= 8) {
        counters += word_counters(data);
        data += 8;
    }
    total += counters_total(counters);
    for (; len > 0; len--) {
        total += *data++;
    }
    return total;
}

void atlas_l2_sum4_plain(const uint8_t *data, size_t stride, size_t len, uint64_t sums[4])
{
    for (size_t stream = 0; stream < 4; stream++) {
        sums[stream] = atlas_l2_sum_plain(data + stream * stride, len);
    }
}

#ifdef ATLAS_L2_X86
/* Bits of CPUID leaf 7, and of XCR0, which names the registers that the operating system saves. */
#define LEAF_7_AVX2 (1u << 5)
#define LEAF_7_AVX512F (1u << 16)
#define LEAF_7_AVX512BW (1u << 30)
#define SAVED_AVX 0x06u
#define SAVED_AVX512 0xe6u

/* Not __builtin_cpu_supports(), which needs a part of libgcc that a static link with musl lacks. */
static void find_vectors(bool *avx2, bool *avx512)
{
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    *avx2 = false;
    *avx512 = false;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & bit_OSXSAVE) == 0 || (ecx & bit_AVX) == 0) {
        return;
    }
    unsigned saved = 0;
    unsigned above = 0;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(above) : "c"(0));
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        return;
    }
    *avx2 = (ebx & LEAF_7_AVX2) != 0 && (saved & SAVED_AVX) == SAVED_AVX;
    *avx512 = (ebx & LEAF_7_AVX512F) != 0 && (ebx & LEAF_7_AVX512BW) != 0 &&
              (saved & SAVED_AVX512) == SAVED_AVX512;
}
#endif

size_t atlas_l2_sum_paths(const atlas_l2_sum_path *paths[ATLAS_L2_SUM_PATHS])
{
    static const atlas_l2_sum_path plain = {"plain", atlas_l2_sum_plain, atlas_l2_sum4_plain};
    size_t count = 0;
    paths[count++] = &plain;
#ifdef ATLAS_L2_X86
    static const atlas_l2_sum_path avx2 = {"avx2", atlas_l2_sum_avx2, atlas_l2_sum4_avx2};
    static const atlas_l2_sum_path avx512 = {"avx512", atlas_l2_sum_avx512,
                                             atlas_l2_sum4_avx512};
    bool has_avx2 = false;
    bool has_avx512 = false;
    find_vectors(&has_avx2, &has_avx512);
    if (has_avx2) {
        paths[count++] = &avx2;
    }
    if (has_avx512) {
        paths[count++] = &avx512;
    }
#endif
#ifdef ATLAS_L2_NEON
    static const atlas_l2_sum_path neon = {"neon", atlas_l2_sum_neon, atlas_l2_sum4_neon};
    paths[count++] = &neon;
#endif
    return count;
}

/* The best path, which the first call determines. Threads that determine it at the same time get
 * the same path, and a path is a constant, so that relaxed operations suffice for the pointer. */
static const atlas_l2_sum_path *best_path(void)
{
    static _Atomic(const atlas_l2_sum_path *) chosen;
    const atlas_l2_sum_path *path = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (path == NULL) {
        const atlas_l2_sum_path *paths[ATLAS_L2_SUM_PATHS];
        path = paths[atlas_l2_sum_paths(paths) - 1];
        atomic_store_explicit(&chosen, path, memory_order_relaxed);
    }
    return path;
}

/* A quarter has a whole number of cache lines, so that the bytes after the four quarters are fewer
 * than four lines or make another block. */
static uint64_t blocks_sum(const atlas_l2_sum_path *path, const uint8_t *data, size_t len)
{
    uint64_t total = 0;
    while (len >= BLOCK_MIN) {
        const size_t quarter = (len < BLOCK_MAX ? len : BLOCK_MAX) / STREAMS / 64 * 64;
        uint64_t sums[4];
        path->sum4(data, quarter, quarter, sums);
        total += sums[0] + sums[1] + sums[2] + sums[3];
        data += STREAMS * quarter;
        len -= STREAMS * quarter;
    }
    return total + path->sum(data, len);
}

/* Inline, so that a short sum costs only one call, that of the path. */
static inline uint8_t residue(const atlas_l2_sum_path *path, const void *data, size_t len)
{
    if (len == 0) {
        return 0;
    }
    return (uint8_t)((len < BLOCK_MIN ? path->sum(data, len) : blocks_sum(path, data, len)) % 96);
}

uint8_t atlas_l2_residue_by(const atlas_l2_sum_path *path, const void *data, size_t len)
{
    return residue(path, data, len);
}

uint8_t atlas_l2_residue(const void *data, size_t len)
{
    return residue(best_path(), data, len);
}

/* Residues of 4 * `quarter` groups. Each step reads four groups, which lie `quarter` groups apart. */
static void block_residues(const atlas_l2_sum_path *path, const uint8_t *data, size_t quarter,
                           size_t group, uint8_t *residues)
{
    for (size_t i = 0; i < quarter; i++) {
        uint64_t sums[4];
        path->sum4(data + i * group, quarter * group, group, sums);
        for (size_t stream = 0; stream < STREAMS; stream++) {
            residues[stream * quarter + i] = (uint8_t)(sums[stream] % 96);
        }
    }
}

/* A group of at least a block is itself read in four streams. */
void atlas_l2_residues_by(const atlas_l2_sum_path *path, const uint8_t *data, size_t len,
                          size_t group, uint8_t *residues)
{
    if (group >= STREAMED_GROUP_MIN && group < BLOCK_MIN) {
        const size_t quarter_max = BLOCK_MAX / STREAMS / group;
        while (len / STREAMS >= group) {
            const size_t rest = len / group / STREAMS;
            const size_t quarter = rest < quarter_max ? rest : quarter_max;
            block_residues(path, data, quarter, group, residues);
            data += STREAMS * quarter * group;
            len -= STREAMS * quarter * group;
            residues += STREAMS * quarter;
        }
    }
    for (; len > group; len -= group) {
        *residues++ = residue(path, data, group);
        data += group;
    }
    if (len > 0) {
        *residues = residue(path, data, len);
    }
}

void atlas_l2_residues(const uint8_t *data, size_t len, size_t group, uint8_t *residues)
{
    atlas_l2_residues_by(best_path(), data, len, group, residues);
}

uint8_t atlas_l2_delta_by(const atlas_l2_sum_path *path, const void *before, const void *after,
                          size_t len)
{
    const unsigned was = atlas_l2_residue_by(path, before, len);
    const unsigned is = atlas_l2_residue_by(path, after, len);
    return (uint8_t)((96 + is - was) % 96);
}

uint8_t atlas_l2_delta(const void *before, const void *after, size_t len)
{
    return atlas_l2_delta_by(best_path(), before, after, len);
}
