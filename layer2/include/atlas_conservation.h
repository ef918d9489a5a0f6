/* atlas_conservation.h - conservation sums, domains, budgets, witnesses and batches.
 *
 * The conservation sum (residue) of a byte string x is
 *
 *     C(x) = (sum of all bytes of x) mod 96,            a number in 0..95.
 *
 * It is additive: C of two strings joined is C of the one plus C of the other, mod 96. So a
 * change can be checked against the residue of what changed, without reading the rest. The law
 * of conservation asks for C(x) = 0; data that keep it are called conserved.
 *
 * What the residue is not: it detects accidents only by chance. One in 96 random corruptions
 * leaves it as it was, and whoever wants to can change data without changing it. What tells two
 * contents apart is the witness, a record of length, residue and 32-byte cryptographic digest.
 *
 * THE DIGEST comes from the host program: this library holds no cryptography. Register one with
 * atlas_conservation_set_digest before the first witness; atlas_digest256 of atlas_manifold.h
 * fits. Without one everything works but witnesses and what makes them (atlas_witness_generate,
 * atlas_batch_witness_generate, atlas_domain_commit), which fail with ATLAS_E_STATE.
 *
 * THREADS. Every function may be called from any thread at any time. One domain may be used
 * from several threads at once, and so may one witness; neither may be destroyed while another
 * thread still uses it. Memory that is summed, attached or witnessed is only read; no other
 * thread may write it during the call.
 *
 * ERRORS. Every call sets the last error of the calling thread, to ATLAS_OK where it succeeds.
 * Only atlas_get_last_error and atlas_error_string leave it as it is. A function that answers
 * false because its question has that answer sets the code that says why. NULL where data are
 * required and a length of 0 where one is required are ATLAS_E_INVALID. A call that fails
 * changes nothing.
 *
 * OWNERSHIP. What a function of this library creates, its destroy function takes back; the
 * array of atlas_batch_conserved_check is released with free(). Buffers remain the caller's.
 *
 *     #include <atlas_conservation.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         unsigned char data[4] = {90, 3, 2, 1};                     // 96: conserved
 *         atlas_domain_t *domain = atlas_domain_create(sizeof data, 10);
 *         if (domain == NULL || atlas_domain_attach(domain, data, sizeof data) != 0) {
 *             fprintf(stderr, "%s\n", atlas_error_string(atlas_get_last_error()));
 *             return 1;
 *         }
 *         printf("residue %u, conserved %d\n",
 *                (unsigned)atlas_conserved_sum(data, sizeof data), atlas_domain_verify(domain));
 *         data[0] = 91;
 *         if (!atlas_domain_verify(domain)) {
 *             printf("%s\n", atlas_error_string(atlas_get_last_error()));
 *         }
 *         atlas_domain_destroy(domain);
 *         return 0;
 *     }
 *
 * C99 and later, C++11 and later.
 */
#ifndef ATLAS_CONSERVATION_H
#define ATLAS_CONSERVATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Visibility of the functions. A program that builds the sources into a library of its own and
 * does not want to pass the names on defines it as empty. */
#ifndef ATLAS_CONSERVATION_API
#if defined(__GNUC__)
#define ATLAS_CONSERVATION_API __attribute__((visibility("default")))
#else
#define ATLAS_CONSERVATION_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ------------------------------------------------------------------------------ */

/* The reasons a call can fail. The numbers never change. */
typedef enum {
    ATLAS_OK = 0,             /* it succeeded */
    ATLAS_E_INVALID = 1,      /* an argument is NULL, 0 or out of its range */
    ATLAS_E_MEMORY = 2,       /* memory is exhausted */
    ATLAS_E_STATE = 3,        /* not in this state: not attached, attached or committed already,
                                 no digest registered, another digest registered */
    ATLAS_E_BUDGET = 4,       /* the budget does not suffice */
    ATLAS_E_CONSERVATION = 5, /* the sum of the bytes is not 0 mod 96 */
    ATLAS_E_WITNESS = 6,      /* the bytes are not those that were recorded */
    ATLAS_E_DESTROYED = 7     /* the object was destroyed. Kept for its number: no function
                                 returns it, since to use an object after its destruction is
                                 undefined and cannot be detected reliably */
} atlas_error_t;

/* The error of the calling thread's last call; ATLAS_OK in a thread that made none. Leaves it
 * as it is. */
ATLAS_CONSERVATION_API atlas_error_t atlas_get_last_error(void);

/* A short English text for an error, for any value, never NULL. It begins with the class, such as
 * "Invalid argument". The text is static: it is neither changed nor freed. Leaves the last error as
 * it is. */
ATLAS_CONSERVATION_API const char *atlas_error_string(atlas_error_t error);

/* Returns true: the library may be used from several threads. Never fails. */
ATLAS_CONSERVATION_API bool atlas_runtime_is_thread_safe(void);

/* ---- Conservation -------------------------------------------------------------------------
 *
 * The sums are exact for every length and every alignment. `data`, `before` and `after` are
 * borrowed for the call.
 *
 * Long data are read at several places at once, since memory delivers more to four sequential
 * readers than to one: 17 GB/s instead of 12 on an AMD Zen 3. Data in the cache gain little. */

/* C(data), 0..95.
 *
 * A `len` of 0 is the empty sum: 0 and ATLAS_OK, `data` may then be NULL. NULL with another
 * length is 0 and ATLAS_E_INVALID. */
ATLAS_CONSERVATION_API uint32_t atlas_conserved_sum(const void *data, size_t len);

/* C of each group of `group` > 0 bytes of `data`, counted from its start; the last group has
 * the bytes that are left. Their sum, mod 96, is C(data).
 *
 * Writes one byte, 0..95, for each group to `sums`, which is borrowed for the call, must not
 * overlap `data` and has room for ceil(len / group) bytes. Allocates nothing and may be called
 * from several threads at once, also for the same `data`, with `sums` of their own.
 *
 * Faster than atlas_conserved_sum in a loop for data in memory and groups of at least 1 KiB and
 * less than 128 KiB: it reads four groups at a time, at most 256 KiB apart, for the reason above,
 * where a loop reads one. Other groups cost what the loop costs.
 *
 * A `len` of 0 is ATLAS_OK, nothing is written, and `data` and `sums` may then be NULL.
 * ATLAS_E_INVALID, with nothing written, where one of them is NULL and `len` is not 0, and
 * where `group` is 0, whatever `len` is. The last error is set to the same. */
ATLAS_CONSERVATION_API atlas_error_t atlas_conserved_sums(const void *data, size_t len,
                                                          size_t group, uint8_t *sums);

/* Returns true if `len` > 0 bytes at `data` are conserved: C(data) = 0.
 *
 * False with ATLAS_E_CONSERVATION if they are not, with ATLAS_E_INVALID if `data` is NULL or `len` is 0. */
ATLAS_CONSERVATION_API bool atlas_conserved_check(const void *data, size_t len);

/* The same for a window of 1 byte to 1 MiB (1,048,576 bytes).
 *
 * A longer one is false with ATLAS_E_INVALID and is not read. */
ATLAS_CONSERVATION_API bool atlas_conserved_window_check(const void *data, size_t len);

/* Computes (C(after) - C(before)) mod 96, 0..95: the change of the residue by a change of `len` > 0 bytes.
 *
 * `before` and `after` have `len` bytes each and may overlap. Returns 255 with ATLAS_E_INVALID if one of
 * them is NULL or `len` is 0. */
ATLAS_CONSERVATION_API uint8_t atlas_conserved_delta(const void *before, const void *after,
                                                     size_t len);

/* ---- Domains ------------------------------------------------------------------------------
 *
 * A domain watches a memory region of the caller's:
 *
 *     create          attach            commit
 *     ------> OPEN ----------> OPEN ------------> COMMITTED, for ever
 *             empty            attached
 *
 * attach records the region as it is then: its residue and, where a digest is registered by
 * then, its digest. verify and commit compare with that record; without a digest a change that
 * keeps the residue goes unseen. commit makes a witness of the region, which verify from then
 * on compares with as well. */

typedef struct atlas_domain atlas_domain_t;

/* Creates an OPEN domain for a region of at most `bytes` > 0 bytes, with a budget of
 * `budget_class`, 0..95.
 *
 * The caller owns the result and gives it back with atlas_domain_destroy. No memory of that
 * size is allocated. NULL with ATLAS_E_INVALID or ATLAS_E_MEMORY. */
ATLAS_CONSERVATION_API atlas_domain_t *atlas_domain_create(size_t bytes, uint8_t budget_class);

/* Attaches the region of `len` bytes at `base`, 0 < `len` <= the domain's `bytes`, and records
 * it as it is.
 *
 * The region is not owned and only ever read; it must stay readable until the domain is
 * destroyed. It need not be conserved, but only a conserved one can be committed. A domain takes
 * one region: of several threads that try, one succeeds.
 *
 * Returns 0, or -1 with ATLAS_E_INVALID (NULL, or `len` out of range), ATLAS_E_STATE (a region
 * is attached already) or ATLAS_E_MEMORY. */
ATLAS_CONSERVATION_API int atlas_domain_attach(atlas_domain_t *domain, void *base, size_t len);

/* Returns true if the region is conserved, is unchanged since attach, and matches the witness of the
 * commit, if there was one. Reads the whole region.
 *
 * False with ATLAS_E_INVALID (NULL), ATLAS_E_STATE (nothing is attached), ATLAS_E_CONSERVATION (C is not 0)
 * or ATLAS_E_WITNESS (C is 0, but the bytes differ from the recorded ones), in this order. */
ATLAS_CONSERVATION_API bool atlas_domain_verify(const atlas_domain_t *domain);

/* Verifies the region as atlas_domain_verify does, makes its witness, and turns the domain from
 * OPEN to COMMITTED, once and for ever.
 *
 * Of several threads that commit at once, one succeeds and the others get ATLAS_E_STATE.
 * Returns 0, or -1 with the domain as it was: ATLAS_E_INVALID (NULL), ATLAS_E_STATE (nothing is
 * attached, or committed already), the errors of atlas_domain_verify, ATLAS_E_STATE (no digest
 * is registered), ATLAS_E_MEMORY. */
ATLAS_CONSERVATION_API int atlas_domain_commit(atlas_domain_t *domain);

/* Destroys the domain and its witness; the attached region is not touched. NULL is a no-op. */
ATLAS_CONSERVATION_API void atlas_domain_destroy(atlas_domain_t *domain);

/* ---- Budgets ------------------------------------------------------------------------------
 *
 * A domain's budget is a number in 0..95, at first its `budget_class`. Both calls are atomic
 * and work in every state of the domain. */

/* Takes `amount` from the budget, all of it or nothing.
 *
 * False with ATLAS_E_BUDGET if the budget is less than `amount`, with ATLAS_E_INVALID if
 * `domain` is NULL or `amount` is above 95. */
ATLAS_CONSERVATION_API bool atlas_budget_alloc(atlas_domain_t *domain, uint8_t amount);

/* Returns `amount` to the budget, which becomes (budget + amount) mod 96.
 *
 * Note that it wraps: releasing 1 at a budget of 95 leaves 0. Who releases only what was
 * allocated never sees it. False with ATLAS_E_INVALID if `domain` is NULL or `amount` is above
 * 95. */
ATLAS_CONSERVATION_API bool atlas_budget_release(atlas_domain_t *domain, uint8_t amount);

/* ---- The digest ------------------------------------------------------------------------- */

/* Writes the 32-byte digest of `size` bytes at `data` to `digest`. It is called from any thread
 * that makes or verifies a witness, from several at once, must always succeed and must be a
 * function of the bytes alone. It must not throw or jump out of the call. */
typedef void (*atlas_digest_fn)(const void *data, size_t size, uint8_t digest[32]);

/* Registers the digest for the process, once and permanently.
 *
 * Returns ATLAS_OK, also if the same function is registered already; ATLAS_E_STATE if another one is;
 * ATLAS_E_INVALID for NULL. The last error is set to the same. */
ATLAS_CONSERVATION_API atlas_error_t atlas_conservation_set_digest(atlas_digest_fn digest);

/* ---- Witnesses ----------------------------------------------------------------------------
 *
 * An immutable record of length, residue and digest of some bytes. It holds no reference to
 * them. */

typedef struct atlas_witness atlas_witness_t;

/* Makes the witness of `len` > 0 bytes at `base`, which are borrowed for the call.
 *
 * The caller owns the result and gives it back with atlas_witness_destroy. NULL with
 * ATLAS_E_INVALID (NULL, or `len` 0), ATLAS_E_STATE (no digest is registered) or
 * ATLAS_E_MEMORY. */
ATLAS_CONSERVATION_API atlas_witness_t *atlas_witness_generate(const void *base, size_t len);

/* Returns true if `len` > 0 bytes at `base` are those of the witness. Both are borrowed for the call.
 * Digests are compared in constant time.
 *
 * False with ATLAS_E_WITNESS if the content differs, with ATLAS_E_INVALID if a pointer is NULL
 * or `len` is not the length of the witness. */
ATLAS_CONSERVATION_API bool atlas_witness_verify(const atlas_witness_t *witness,
                                                 const void *base, size_t len);

/* Destroys the witness. NULL is a no-op. */
ATLAS_CONSERVATION_API void atlas_witness_destroy(atlas_witness_t *witness);

/* ---- Batches ------------------------------------------------------------------------------
 *
 * 1 to 256 items in one call, done in order on the calling thread. A bad item (NULL data, or a
 * size of 0) fails alone: the call succeeds, and the item's result says so. A bad argument (a
 * NULL array, a count of 0 or above 256) fails the call, and then nothing is written. */

/* One buffer to check. atlas_batch_conserved_check reads `data` and `size` alone; `status`
 * (1 done, 2 error) is for the caller's own notes. */
typedef struct {
    void *data;          /* borrowed for the call */
    size_t size;         /* in bytes */
    uint8_t status;      /* not read and not written */
    uint8_t reserved[7]; /* not read and not written */
} atlas_batch_buffer_t;

/* One delta to compute. */
typedef struct {
    const void *before;  /* borrowed for the call */
    const void *after;   /* borrowed for the call */
    size_t size;         /* in bytes, of each */
    uint8_t delta;       /* written: 0..95; 0 for a bad item, so look for NULL beforehand */
    uint8_t reserved[7]; /* not read and not written */
} atlas_batch_delta_t;

/* One witness to make. */
typedef struct {
    const void *data;         /* borrowed for the call */
    size_t size;              /* in bytes */
    atlas_witness_t *witness; /* written: owned by the caller from then on, or NULL. What was
                                 there is overwritten and not destroyed */
    uint32_t status;          /* written: 1 done, 0 error */
    uint8_t reserved[4];      /* not read and not written */
} atlas_batch_witness_t;

/* Counts of the process in batches since its start or the last reset. */
typedef struct {
    uint64_t conserved_calls; /* successful calls of atlas_batch_conserved_check */
    uint64_t delta_calls;     /* successful calls of atlas_batch_delta_compute */
    uint64_t witness_calls;   /* successful calls of atlas_batch_witness_generate */
    uint64_t total_buffers;   /* the items of all of them, bad ones too */
} atlas_batch_stats_t;

/* Checks each buffer as atlas_conserved_check does; the buffers are left untouched.
 *
 * Returns an array of `count` bytes, 1 for a conserved buffer and 0 for another or a bad one,
 * which the caller releases with free(). NULL with ATLAS_E_INVALID or ATLAS_E_MEMORY. */
ATLAS_CONSERVATION_API uint8_t *atlas_batch_conserved_check(const atlas_batch_buffer_t *buffers,
                                                            size_t count);

/* Computes `delta` of each item as atlas_conserved_delta does.
 *
 * Returns 0, or -1 with ATLAS_E_INVALID. */
ATLAS_CONSERVATION_API int atlas_batch_delta_compute(atlas_batch_delta_t *deltas, size_t count);

/* Makes `witness` of each item as atlas_witness_generate does. An item for which memory does
 * not suffice fails alone, as a bad one does.
 *
 * Returns 0, or -1 with ATLAS_E_INVALID or ATLAS_E_STATE (no digest is registered). */
ATLAS_CONSERVATION_API int atlas_batch_witness_generate(atlas_batch_witness_t *witnesses,
                                                        size_t count);

/* Copies the counters to `stats`. While other threads work the four need not belong to one moment. False
 * with ATLAS_E_INVALID if `stats` is NULL. */
ATLAS_CONSERVATION_API bool atlas_batch_get_statistics(atlas_batch_stats_t *stats);

/* Sets the counters to 0. */
ATLAS_CONSERVATION_API void atlas_batch_reset_statistics(void);

/* Returns the number of buffers of `buffer_size` bytes for a good batch: as many as hold 1 MiB together,
 * but at least 1 and at most 256. A size of 0 gives 256. Never fails. */
ATLAS_CONSERVATION_API size_t atlas_batch_get_optimal_size(size_t buffer_size);

#ifdef __cplusplus
}
#endif

#endif
