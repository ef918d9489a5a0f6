#include "sum.h"

#include <stdatomic.h>
#include <string.h>

/* A 64-bit word holds four 16-bit counters. A word of data adds at most 2 * 255 to each, so a
 * block of 128 words cannot overflow them (128 * 510 = 65,280). */
#define BLOCK_WORDS 128

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

size_t atlas_l2_sum_paths(atlas_l2_sum_path paths[ATLAS_L2_SUM_PATHS])
{
    size_t count = 0;
    paths[count++] = (atlas_l2_sum_path){"plain", atlas_l2_sum_plain};
#ifdef ATLAS_L2_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) {
        paths[count++] = (atlas_l2_sum_path){"avx2", atlas_l2_sum_avx2};
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
        paths[count++] = (atlas_l2_sum_path){"avx512", atlas_l2_sum_avx512};
    }
#endif
#ifdef ATLAS_L2_NEON
    paths[count++] = (atlas_l2_sum_path){"neon", atlas_l2_sum_neon};
#endif
    return count;
}

/* The best path, found out by the first call. Threads that race for it all find the same. */
static atlas_l2_sum_fn best_path(void)
{
    static _Atomic(atlas_l2_sum_fn) chosen;
    atlas_l2_sum_fn sum = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (sum == NULL) {
        atlas_l2_sum_path paths[ATLAS_L2_SUM_PATHS];
        sum = paths[atlas_l2_sum_paths(paths) - 1].sum;
        atomic_store_explicit(&chosen, sum, memory_order_relaxed);
    }
    return sum;
}

uint8_t atlas_l2_residue_by(atlas_l2_sum_fn sum, const void *data, size_t len)
{
    return len == 0 ? 0 : (uint8_t)(sum(data, len) % 96);
}

uint8_t atlas_l2_residue(const void *data, size_t len)
{
    return atlas_l2_residue_by(best_path(), data, len);
}

uint8_t atlas_l2_delta_by(atlas_l2_sum_fn sum, const void *before, const void *after, size_t len)
{
    const unsigned was = atlas_l2_residue_by(sum, before, len);
    const unsigned is = atlas_l2_residue_by(sum, after, len);
    return (uint8_t)((96 + is - was) % 96);
}

uint8_t atlas_l2_delta(const void *before, const void *after, size_t len)
{
    return atlas_l2_delta_by(best_path(), before, after, len);
}
