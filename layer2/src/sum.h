/* Sums of bytes: one plain path, one for each instruction set, and the choice among them. */
#ifndef ATLAS_L2_SUM_H
#define ATLAS_L2_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define ATLAS_L2_X86 1
#endif
/* Big-endian AArch64 has NEON too, but this code was never tested there and uses the plain path. */
#if defined(__GNUC__) && defined(__aarch64__) && defined(__AARCH64EL__)
#define ATLAS_L2_NEON 1
#endif

/* The sum of `len` bytes, len 0 included. 64 bits suffice: 255 times 2^56 is less than 2^64,
 * and no address space holds more than 2^56 bytes. */
typedef uint64_t (*atlas_l2_sum_fn)(const uint8_t *data, size_t len);

uint64_t atlas_l2_sum_plain(const uint8_t *data, size_t len);
#ifdef ATLAS_L2_X86
uint64_t atlas_l2_sum_avx2(const uint8_t *data, size_t len);
uint64_t atlas_l2_sum_avx512(const uint8_t *data, size_t len);
#endif
#ifdef ATLAS_L2_NEON
uint64_t atlas_l2_sum_neon(const uint8_t *data, size_t len);
#endif

/* The sums of four strings of `len` bytes each, len 0 included, whose beginnings lie `stride`
 * bytes apart. The four strings are read at the same time, because four sequential streams together
 * get more bandwidth from memory than one; only the plain path reads them one after the other. */
typedef void (*atlas_l2_sum4_fn)(const uint8_t *data, size_t stride, size_t len,
                                 uint64_t sums[4]);

void atlas_l2_sum4_plain(const uint8_t *data, size_t stride, size_t len, uint64_t sums[4]);
#ifdef ATLAS_L2_X86
void atlas_l2_sum4_avx2(const uint8_t *data, size_t stride, size_t len, uint64_t sums[4]);
void atlas_l2_sum4_avx512(const uint8_t *data, size_t stride, size_t len, uint64_t sums[4]);
#endif
#ifdef ATLAS_L2_NEON
void atlas_l2_sum4_neon(const uint8_t *data, size_t stride, size_t len, uint64_t sums[4]);
#endif

/* A path and its name. */
typedef struct {
    const char *name;
    atlas_l2_sum_fn sum;
    atlas_l2_sum4_fn sum4;
} atlas_l2_sum_path;

#define ATLAS_L2_SUM_PATHS 3

/* Fills in the paths that this machine can run, the plain path first and the best path last, and
 * returns their number. The paths are static. */
size_t atlas_l2_sum_paths(const atlas_l2_sum_path *paths[ATLAS_L2_SUM_PATHS]);

/* C of `len` bytes on the given path, and on the best path. `data` may be NULL if len is 0. */
uint8_t atlas_l2_residue_by(const atlas_l2_sum_path *path, const void *data, size_t len);
uint8_t atlas_l2_residue(const void *data, size_t len);

/* C of each group of `group` > 0 bytes of `data` on the given path, and on the best path. The last
 * group may be shorter. */
void atlas_l2_residues_by(const atlas_l2_sum_path *path, const uint8_t *data, size_t len,
                          size_t group, uint8_t *residues);
void atlas_l2_residues(const uint8_t *data, size_t len, size_t group, uint8_t *residues);

/* (C(after) - C(before)) mod 96 on the given path, and on the best path. */
uint8_t atlas_l2_delta_by(const atlas_l2_sum_path *path, const void *before, const void *after,
                          size_t len);
uint8_t atlas_l2_delta(const void *before, const void *after, size_t len);

#endif
