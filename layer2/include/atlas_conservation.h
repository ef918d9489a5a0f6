/* atlas_conservation.h - conservation sums, domains, budgets, witnesses and batches.
 *
 * The conservation sum (residue) of a byte string x is
 *
 *     C(x) = (sum of all bytes of x) mod 96,            a number in 0..95.
 *
 * The sum is additive: C of two joined strings is C of the first plus C of the second, mod 96.
 * Therefore a change can be checked with the residues of the changed bytes alone, without reading
 * the other bytes. The law of conservation asks for C(x) = 0; data with C(x) = 0 are called
 * conserved.
 *
 * The residue is no protection against damage or tampering: one in 96 random corruptions keeps
 * the residue, and anyone can change data on purpose and keep the residue. To distinguish two
 * contents, use the witness, a record of length, residue and 32-byte cryptographic digest.
 *
 * THE DIGEST comes from the host program: this library holds no cryptography. Register a digest
 * function with atlas_conservation_set_digest before the first witness; atlas_digest256 of
 * atlas_manifold.h fits. Without a digest all functions work except atlas_witness_generate,
 * atlas_batch_witness_generate and atlas_domain_commit, which fail with ATLAS_E_STATE.
 *
 * THREADS. Every function may be called from any thread at any time. One domain may be used
 * from several threads at once, and so may one witness; a domain or witness must not be destroyed
 * while another thread still uses it. Memory that is summed, attached or witnessed is only read;
 * no other thread may write that memory during the call.
 *
 * ERRORS. Every call sets the last error of the calling thread, to ATLAS_OK if the call succeeds.
 * Only atlas_get_last_error and atlas_error_string do not set the last error. A check that returns
 * false sets the code of the reason. NULL for required data, and a length of 0 for a required
 * length, fail with ATLAS_E_INVALID. A call that fails changes nothing but the last error.
 *
 * OWNERSHIP. Release each domain and each witness with its destroy function, and the array of
 * atlas_batch_conserved_check with free(). Buffers remain the caller's.
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

/* Visibility of the functions. A program that builds the sources into its own library and does
 * not want to export these functions defines ATLAS_CONSERVATION_API as empty. */
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

/* The reasons for which a call can fail. The numbers never change. */
typedef enum {
    ATLAS_OK = 0,             /* the call succeeded */
    ATLAS_E_INVALID = 1,      /* an argument is NULL, 0 or out of its range */
    ATLAS_E_MEMORY = 2,       /* memory is exhausted */
    ATLAS_E_STATE = 3,        /* the state does not allow the call: the domain has no region, has
                                 one already or is committed already, or no digest or another
                                 digest is registered */
    ATLAS_E_BUDGET = 4,       /* the budget is less than the requested amount */
    ATLAS_E_CONSERVATION = 5, /* the sum of the bytes is not 0 mod 96 */
    ATLAS_E_WITNESS = 6,      /* the bytes differ from the recorded bytes */
    ATLAS_E_DESTROYED = 7     /* the object was destroyed. No function returns this code, because
                                 the use of a destroyed object is undefined and cannot be detected
                                 reliably; the code only keeps its number reserved */
} atlas_error_t;

/* Returns the error of the calling thread's last call, or ATLAS_OK in a thread without a call.
 * Does not change the last error. */
ATLAS_CONSERVATION_API atlas_error_t atlas_get_last_error(void);

/* Returns a short English text for any value of `error`, never NULL. The text begins with the class
 * of the error, such as "Invalid argument". The text is static: do not change or free it. Does not
 * change the last error. */
ATLAS_CONSERVATION_API const char *atlas_error_string(atlas_error_t error);

/* Returns true: the library may be used from several threads. Never fails. */
ATLAS_CONSERVATION_API bool atlas_runtime_is_thread_safe(void);

/* ---- Conservation -------------------------------------------------------------------------
 *
 * The sums are exact for every length and every alignment. `data`, `before` and `after` are
 * borrowed for the call.
 *
 * Long data are read in four places at once, because four sequential readers together get more
 * bandwidth from memory than one reader: 17 GB/s instead of 12 GB/s on an AMD Zen 3. Data that are
 * in the cache gain little. */

/* Returns C(data), 0..95.
 *
 * A `len` of 0 is the empty sum: the call returns 0 and sets ATLAS_OK, and `data` may be NULL. NULL
 * with another length returns 0 and sets ATLAS_E_INVALID. */
ATLAS_CONSERVATION_API uint32_t atlas_conserved_sum(const void *data, size_t len);

/* Computes C of each group of `group` > 0 bytes of `data`, counted from the start of `data`; the
 * last group has the remaining bytes. The sum of all results, mod 96, is C(data).
 *
 * Writes one byte, 0..95, for each group to `sums`, which is borrowed for the call, must not
 * overlap `data` and must have room for ceil(len / group) bytes. Allocates nothing. Several threads
 * may call this function at once, also for the same `data`, each with its own `sums`.
 *
 * For data in memory (not in the cache) and groups of at least 1 KiB and less than 128 KiB this
 * function is faster than a loop over atlas_conserved_sum: it reads four groups at a time, at most
 * 256 KiB apart (see the bandwidths above), and the loop reads one. Other groups take the same
 * time as in the loop.
 *
 * A `len` of 0 returns ATLAS_OK, writes nothing, and allows NULL for `data` and `sums`. The call
 * returns ATLAS_E_INVALID and writes nothing if `data` or `sums` is NULL and `len` is not 0, and
 * also if `group` is 0, for every `len`. The last error is set to the returned value. */
ATLAS_CONSERVATION_API atlas_error_t atlas_conserved_sums(const void *data, size_t len,
                                                          size_t group, uint8_t *sums);

/* Returns true if `len` > 0 bytes at `data` are conserved: C(data) = 0.
 *
 * Returns false and sets ATLAS_E_CONSERVATION if C(data) is not 0, or ATLAS_E_INVALID if `data` is NULL or
 * `len` is 0. */
ATLAS_CONSERVATION_API bool atlas_conserved_check(const void *data, size_t len);

/* The same as atlas_conserved_check, for a window of 1 byte to 1 MiB (1,048,576 bytes).
 *
 * For a longer window it returns false and sets ATLAS_E_INVALID, without reading the window. */
ATLAS_CONSERVATION_API bool atlas_conserved_window_check(const void *data, size_t len);

/* Computes (C(after) - C(before)) mod 96, 0..95: the change of the residue by a change of `len` > 0 bytes.
 *
 * `before` and `after` have `len` bytes each and may overlap. Returns 255 and sets ATLAS_E_INVALID if
 * `before` or `after` is NULL or `len` is 0. */
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
 * attach records the region at the time of the call: its residue and, if a digest is already
 * registered, its digest. verify and commit compare the region with that record; without a digest
 * they do not detect a change that keeps the residue. commit makes a witness of the region; later
 * calls of verify compare the region with that witness too. */

typedef struct atlas_domain atlas_domain_t;

/* Creates an OPEN domain for a region of at most `bytes` > 0 bytes, with a budget of
 * `budget_class`, 0..95.
 *
 * The caller owns the result and releases it with atlas_domain_destroy. The call does not allocate
 * memory for the region itself. Returns NULL on failure and sets ATLAS_E_INVALID (`bytes` is 0 or
 * `budget_class` is above 95) or ATLAS_E_MEMORY. */
ATLAS_CONSERVATION_API atlas_domain_t *atlas_domain_create(size_t bytes, uint8_t budget_class);

/* Attaches the region of `len` bytes at `base`, 0 < `len` <= the domain's `bytes`, and records
 * its present residue and digest.
 *
 * The domain does not own the region and only reads it; the region must stay readable until the
 * domain is destroyed. The region need not be conserved, but only a conserved region can be
 * committed. A domain takes one region: of several threads that attach at once, one succeeds.
 *
 * Returns 0 on success. Returns -1 on failure and sets ATLAS_E_INVALID (a NULL, or `len` out of
 * range), ATLAS_E_STATE (a region is already attached) or ATLAS_E_MEMORY. */
ATLAS_CONSERVATION_API int atlas_domain_attach(atlas_domain_t *domain, void *base, size_t len);

/* Returns true if the region is conserved, is unchanged since attach, and matches the witness of the
 * commit, if there was one. Reads the whole region.
 *
 * Returns false and sets the first of these errors that applies: ATLAS_E_INVALID (`domain` is NULL),
 * ATLAS_E_STATE (no region is attached), ATLAS_E_CONSERVATION (C is not 0), ATLAS_E_WITNESS (C is 0, but the
 * bytes differ from the recorded bytes). */
ATLAS_CONSERVATION_API bool atlas_domain_verify(const atlas_domain_t *domain);

/* Verifies the region as atlas_domain_verify does, makes its witness, and turns the domain from
 * OPEN to COMMITTED, once and for ever.
 *
 * Of several threads that commit at once, one succeeds and the others fail with ATLAS_E_STATE.
 * Returns 0 on success. Returns -1 on failure, leaves the domain unchanged and sets
 * ATLAS_E_INVALID (`domain` is NULL), ATLAS_E_STATE (no region is attached, the domain is already
 * committed, or no digest is registered), an error of atlas_domain_verify, or ATLAS_E_MEMORY. */
ATLAS_CONSERVATION_API int atlas_domain_commit(atlas_domain_t *domain);

/* Destroys the domain and its witness; the attached region is not touched. NULL is a no-op. */
ATLAS_CONSERVATION_API void atlas_domain_destroy(atlas_domain_t *domain);

/* ---- Budgets ------------------------------------------------------------------------------
 *
 * A domain's budget is a number in 0..95, at first its `budget_class`. Both calls are atomic
 * and work in every state of the domain. */

/* Takes `amount` from the budget and returns true, if the budget is at least `amount`.
 *
 * Otherwise the budget stays unchanged, and the call returns false and sets ATLAS_E_BUDGET. If
 * `domain` is NULL or `amount` is above 95, it returns false and sets ATLAS_E_INVALID. */
ATLAS_CONSERVATION_API bool atlas_budget_alloc(atlas_domain_t *domain, uint8_t amount);

/* Returns `amount` to the budget, which becomes (budget + amount) mod 96.
 *
 * The budget wraps: releasing 1 at a budget of 95 leaves 0. It never wraps for a caller that only
 * releases amounts that were allocated before. Returns false and sets ATLAS_E_INVALID if `domain`
 * is NULL or `amount` is above 95. */
ATLAS_CONSERVATION_API bool atlas_budget_release(atlas_domain_t *domain, uint8_t amount);

/* ---- The digest ------------------------------------------------------------------------- */

/* Writes the 32-byte digest of `size` bytes at `data` to `digest`. Every thread that makes or
 * verifies a witness calls this function, also several threads at once. The function must always
 * succeed, and the digest must depend on the bytes alone. The function must not throw, and must
 * not leave by longjmp. */
typedef void (*atlas_digest_fn)(const void *data, size_t size, uint8_t digest[32]);

/* Registers the digest for the process, once and permanently.
 *
 * Returns ATLAS_OK, also if the same function is already registered; ATLAS_E_STATE if another function is
 * registered; ATLAS_E_INVALID for NULL. The last error is set to the returned value. */
ATLAS_CONSERVATION_API atlas_error_t atlas_conservation_set_digest(atlas_digest_fn digest);

/* ---- Witnesses ----------------------------------------------------------------------------
 *
 * A witness is an immutable record of length, residue and digest of some bytes. It holds no
 * reference to these bytes. */

typedef struct atlas_witness atlas_witness_t;

/* Makes the witness of `len` > 0 bytes at `base`, which are borrowed for the call.
 *
 * The caller owns the result and releases it with atlas_witness_destroy. Returns NULL on failure
 * and sets ATLAS_E_INVALID (`base` is NULL or `len` is 0), ATLAS_E_STATE (no digest is registered)
 * or ATLAS_E_MEMORY. */
ATLAS_CONSERVATION_API atlas_witness_t *atlas_witness_generate(const void *base, size_t len);

/* Returns true if the `len` > 0 bytes at `base` have the length, residue and digest of the witness. Bytes
 * and witness are borrowed for the call. Digests are compared in constant time.
 *
 * Returns false and sets ATLAS_E_WITNESS if the content differs, or ATLAS_E_INVALID if a pointer is
 * NULL or `len` is not the length of the witness. */
ATLAS_CONSERVATION_API bool atlas_witness_verify(const atlas_witness_t *witness,
                                                 const void *base, size_t len);

/* Destroys the witness. NULL is a no-op. */
ATLAS_CONSERVATION_API void atlas_witness_destroy(atlas_witness_t *witness);

/* ---- Batches ------------------------------------------------------------------------------
 *
 * A call handles 1 to 256 items in order on the calling thread. A bad item (NULL data, or a size
 * of 0) does not fail the call: only the result of this item marks the failure. A bad argument (a
 * NULL array, a count of 0 or above 256) fails the call, and then no result is written. */

/* One buffer to check. atlas_batch_conserved_check reads only `data` and `size`; `status` is for
 * the caller's own notes (such as 1 for done, 2 for an error). */
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
    uint8_t delta;       /* written: 0..95; also 0 for a bad item, so check for NULL beforehand */
    uint8_t reserved[7]; /* not read and not written */
} atlas_batch_delta_t;

/* One witness to make. */
typedef struct {
    const void *data;         /* borrowed for the call */
    size_t size;              /* in bytes */
    atlas_witness_t *witness; /* written: the new witness, owned by the caller, or NULL. The old
                                 value is overwritten; an old witness is not destroyed */
    uint32_t status;          /* written: 1 done, 0 error */
    uint8_t reserved[4];      /* not read and not written */
} atlas_batch_witness_t;

/* Counts of the batch calls of this process since its start or the last reset. */
typedef struct {
    uint64_t conserved_calls; /* successful calls of atlas_batch_conserved_check */
    uint64_t delta_calls;     /* successful calls of atlas_batch_delta_compute */
    uint64_t witness_calls;   /* successful calls of atlas_batch_witness_generate */
    uint64_t total_buffers;   /* items of all these calls, bad items included */
} atlas_batch_stats_t;

/* Checks each buffer as atlas_conserved_check does; the buffers are not changed.
 *
 * Returns an array of `count` bytes, 1 for a conserved buffer and 0 for a buffer that is not
 * conserved or is a bad item. The caller releases the array with free(). Returns NULL on failure
 * and sets ATLAS_E_INVALID (a bad argument) or ATLAS_E_MEMORY. */
ATLAS_CONSERVATION_API uint8_t *atlas_batch_conserved_check(const atlas_batch_buffer_t *buffers,
                                                            size_t count);

/* Computes `delta` of each item as atlas_conserved_delta does.
 *
 * Returns 0 on success. Returns -1 and sets ATLAS_E_INVALID for a bad argument. */
ATLAS_CONSERVATION_API int atlas_batch_delta_compute(atlas_batch_delta_t *deltas, size_t count);

/* Makes `witness` of each item as atlas_witness_generate does. If there is no memory for the
 * witness of an item, only this item fails, as a bad item does.
 *
 * Returns 0 on success. Returns -1 on failure and sets ATLAS_E_INVALID (a bad argument) or
 * ATLAS_E_STATE (no digest is registered). */
ATLAS_CONSERVATION_API int atlas_batch_witness_generate(atlas_batch_witness_t *witnesses,
                                                        size_t count);

/* Copies the counters to `stats` and returns true. While other threads make batch calls, the four values
 * need not belong to one moment. Returns false and sets ATLAS_E_INVALID if `stats` is NULL. */
ATLAS_CONSERVATION_API bool atlas_batch_get_statistics(atlas_batch_stats_t *stats);

/* Sets the counters to 0. */
ATLAS_CONSERVATION_API void atlas_batch_reset_statistics(void);

/* Returns a good number of buffers for one batch, if each buffer has `buffer_size` bytes: as many as have
 * 1 MiB together, but at least 1 and at most 256. A `buffer_size` of 0 gives 256. Never fails. */
ATLAS_CONSERVATION_API size_t atlas_batch_get_optimal_size(size_t buffer_size);

#ifdef __cplusplus
}
#endif

#endif
