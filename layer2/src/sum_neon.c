#include "sum.h"

#ifdef ATLAS_L2_NEON

#include <arm_neon.h>

/* Each vector adds at most 2 * 255 to a 16-bit lane, so that 128 steps cannot overflow the lane
 * (128 * 510 = 65,280). A step is 64 bytes, one vector for each of four counters. */
#define STEP 64
#define STEPS_MAX 128

static uint64_t steps_sum(const uint8_t *data, size_t steps)
{
    uint16x8_t a = vdupq_n_u16(0);
    uint16x8_t b = a;
    uint16x8_t c = a;
    uint16x8_t d = a;
    for (; steps > 0; steps--) {
        a = vpadalq_u8(a, vld1q_u8(data));
        b = vpadalq_u8(b, vld1q_u8(data + 16));
        c = vpadalq_u8(c, vld1q_u8(data + 32));
        d = vpadalq_u8(d, vld1q_u8(data + 48));
        data += STEP;
    }
    return (uint64_t)vaddlvq_u16(a) + vaddlvq_u16(b) + vaddlvq_u16(c) + vaddlvq_u16(d);
}

uint64_t atlas_l2_sum_neon(const uint8_t *data, size_t len)
{
    uint64_t total = 0;
    while (len >= STEP) {
        const size_t whole = len / STEP;
        const size_t steps = whole < STEPS_MAX ? whole : STEPS_MAX;
        total += steps_sum(data, steps);
        data += steps * STEP;
        len -= steps * STEP;
    }
    return total + atlas_l2_sum_plain(data, len);
}

/* Here one counter takes a whole step of its stream, which has four vectors, so that the counter is
 * full after a quarter of the steps. */
static inline uint16x8_t add_step(uint16x8_t counter, const uint8_t *data)
{
    counter = vpadalq_u8(counter, vld1q_u8(data));
    counter = vpadalq_u8(counter, vld1q_u8(data + 16));
    counter = vpadalq_u8(counter, vld1q_u8(data + 32));
    return vpadalq_u8(counter, vld1q_u8(data + 48));
}

static void steps_sum4(const uint8_t *data, size_t stride, size_t steps, uint64_t sums[4])
{
    uint16x8_t a = vdupq_n_u16(0);
    uint16x8_t b = a;
    uint16x8_t c = a;
    uint16x8_t d = a;
    for (; steps > 0; steps--) {
        a = add_step(a, data);
        b = add_step(b, data + stride);
        c = add_step(c, data + 2 * stride);
        d = add_step(d, data + 3 * stride);
        data += STEP;
    }
    sums[0] += vaddlvq_u16(a);
    sums[1] += vaddlvq_u16(b);
    sums[2] += vaddlvq_u16(c);
    sums[3] += vaddlvq_u16(d);
}

void atlas_l2_sum4_neon(const uint8_t *data, size_t stride, size_t len, uint64_t sums[4])
{
    const size_t tail = len % STEP;
    for (size_t stream = 0; stream < 4; stream++) {
        sums[stream] = atlas_l2_sum_plain(data + stream * stride + (len - tail), tail);
    }
    while (len >= STEP) {
        const size_t whole = len / STEP;
        const size_t steps = whole < STEPS_MAX / 4 ? whole : STEPS_MAX / 4;
        steps_sum4(data, stride, steps, sums);
        data += steps * STEP;
        len -= steps * STEP;
    }
}

#else

/* ISO C wants a declaration in every file. */
typedef int atlas_l2_no_neon;

#endif
