#include "sum.h"

#ifdef ATLAS_L2_X86

#include <immintrin.h>

#define TARGET_AVX2 __attribute__((target("avx2")))

/* A window of 32 bytes that begins n bytes after the start of this has n bytes 0xff at its end: it
 * keeps the last n bytes of a vector. */
static const uint8_t TAIL_MASK[64] = {
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
    0,    0,    0,    0,    0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};

TARGET_AVX2 static inline __m256i load(const uint8_t *data)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)data);
}

/* Four 64-bit sums of eight bytes each, added to those of `sums`. */
TARGET_AVX2 static inline __m256i add_bytes(__m256i sums, __m256i bytes)
{
    return _mm256_add_epi64(sums, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
}

TARGET_AVX2 static inline uint64_t lanes_total(__m256i sums)
{
    uint64_t lanes[4];
    _mm256_storeu_si256((__m256i *)(void *)lanes, sums);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

TARGET_AVX2 uint64_t atlas_l2_sum_avx2(const uint8_t *data, size_t len)
{
    if (len < 32) {
        return atlas_l2_sum_plain(data, len);
    }
    const uint8_t *const last = data + (len - 32);
    __m256i a = _mm256_setzero_si256();
    __m256i b = a;
    __m256i c = a;
    __m256i d = a;
    for (; len >= 256; len -= 256) {
        a = add_bytes(a, load(data));
        b = add_bytes(b, load(data + 32));
        c = add_bytes(c, load(data + 64));
        d = add_bytes(d, load(data + 96));
        a = add_bytes(a, load(data + 128));
        b = add_bytes(b, load(data + 160));
        c = add_bytes(c, load(data + 192));
        d = add_bytes(d, load(data + 224));
        data += 256;
    }
    for (; len >= 32; len -= 32) {
        a = add_bytes(a, load(data));
        data += 32;
    }
    b = add_bytes(b, _mm256_and_si256(load(last), load(TAIL_MASK + len)));
    return lanes_total(_mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d)));
}

/* A step is one cache line of each stream. */
TARGET_AVX2 void atlas_l2_sum4_avx2(const uint8_t *data, size_t stride, size_t len,
                                    uint64_t sums[4])
{
    const uint8_t *const second = data + stride;
    const uint8_t *const third = second + stride;
    const uint8_t *const fourth = third + stride;
    __m256i a = _mm256_setzero_si256();
    __m256i b = a;
    __m256i c = a;
    __m256i d = a;
    size_t at = 0;
    for (; len - at >= 64; at += 64) {
        a = add_bytes(a, load(data + at));
        b = add_bytes(b, load(second + at));
        c = add_bytes(c, load(third + at));
        d = add_bytes(d, load(fourth + at));
        a = add_bytes(a, load(data + at + 32));
        b = add_bytes(b, load(second + at + 32));
        c = add_bytes(c, load(third + at + 32));
        d = add_bytes(d, load(fourth + at + 32));
    }
    sums[0] = lanes_total(a) + atlas_l2_sum_avx2(data + at, len - at);
    sums[1] = lanes_total(b) + atlas_l2_sum_avx2(second + at, len - at);
    sums[2] = lanes_total(c) + atlas_l2_sum_avx2(third + at, len - at);
    sums[3] = lanes_total(d) + atlas_l2_sum_avx2(fourth + at, len - at);
}

#else

/* ISO C wants a declaration in every file. */
typedef int atlas_l2_no_avx2;

#endif
