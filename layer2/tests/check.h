/* The checks of the tests: a failed check prints its place and ends the program. */
#ifndef ATLAS_L2_TESTS_CHECK_H
#define ATLAS_L2_TESTS_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN
#endif
#if defined(EXPECT_ASAN) && !defined(HAS_ASAN)
#error "this test was to be built with AddressSanitizer"
#endif

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

/* Checks the value of an expression, and then the last error. */
#define CHECK_GIVES(value, expression, error)      \
    do {                                           \
        CHECK((expression) == (value));            \
        CHECK(atlas_get_last_error() == (error));  \
    } while (0)

/* Makes pseudo-random bytes, which are the same in every run. */
static inline uint8_t check_random_byte(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint8_t)(*state >> 56);
}

static inline void check_fill(uint8_t *data, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++) {
        data[i] = check_random_byte(&seed);
    }
}

/* Computes C by its definition, byte by byte. */
static inline uint8_t check_residue(const uint8_t *data, size_t len)
{
    unsigned residue = 0;
    for (size_t i = 0; i < len; i++) {
        residue = (residue + data[i]) % 96;
    }
    return (uint8_t)residue;
}

/* Makes random bytes, and sets the last byte so that they are conserved. */
static inline void check_fill_conserved(uint8_t *data, size_t len, uint64_t seed)
{
    check_fill(data, len, seed);
    data[len - 1] = (uint8_t)((96 - check_residue(data, len - 1)) % 96);
}

/* A digest that is not cryptographic: four 64-bit FNV-1a sums with different starts. It is good
 * enough to distinguish test data. */
static inline void check_digest(const void *data, size_t size, uint8_t digest[32])
{
    const uint8_t *const bytes = (const uint8_t *)data;
    for (size_t word = 0; word < 4; word++) {
        uint64_t hash = UINT64_C(14695981039346656037) + word;
        for (size_t i = 0; i < size; i++) {
            hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
        }
        for (size_t i = 0; i < 8; i++) {
            digest[8 * word + i] = (uint8_t)(hash >> (8 * i));
        }
    }
}

#endif
