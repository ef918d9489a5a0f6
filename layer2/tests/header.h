/* Common parts of the header tests of C and C++: includes the header first and alone, a second time, and beside
 * other headers. Then every function is assigned to a pointer of its exact type, which is volatile, so that the
 * function must be linked. */
#include "atlas_conservation.h"
#include "atlas_conservation.h"
#include "other.h"

#ifdef WITH_ATLAS_MANIFOLD_H
#include "atlas_manifold.h"
#endif
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "atlas_conservation.h"

static atlas_error_t (*volatile get_last_error)(void) = atlas_get_last_error;
static const char *(*volatile error_string)(atlas_error_t) = atlas_error_string;
static bool (*volatile is_thread_safe)(void) = atlas_runtime_is_thread_safe;
static uint32_t (*volatile sum)(const void *, size_t) = atlas_conserved_sum;
static atlas_error_t (*volatile sums)(const void *, size_t, size_t, uint8_t *) =
    atlas_conserved_sums;
static bool (*volatile check)(const void *, size_t) = atlas_conserved_check;
static bool (*volatile window_check)(const void *, size_t) = atlas_conserved_window_check;
static uint8_t (*volatile delta)(const void *, const void *, size_t) = atlas_conserved_delta;
static atlas_domain_t *(*volatile domain_create)(size_t, uint8_t) = atlas_domain_create;
static int (*volatile attach)(atlas_domain_t *, void *, size_t) = atlas_domain_attach;
static bool (*volatile domain_verify)(const atlas_domain_t *) = atlas_domain_verify;
static int (*volatile commit)(atlas_domain_t *) = atlas_domain_commit;
static void (*volatile domain_destroy)(atlas_domain_t *) = atlas_domain_destroy;
static bool (*volatile alloc)(atlas_domain_t *, uint8_t) = atlas_budget_alloc;
static bool (*volatile release)(atlas_domain_t *, uint8_t) = atlas_budget_release;
static atlas_error_t (*volatile set_digest)(void (*)(const void *, size_t, uint8_t *)) =
    atlas_conservation_set_digest;
static atlas_witness_t *(*volatile generate)(const void *, size_t) = atlas_witness_generate;
static bool (*volatile verify)(const atlas_witness_t *, const void *, size_t) =
    atlas_witness_verify;
static void (*volatile witness_destroy)(atlas_witness_t *) = atlas_witness_destroy;
static uint8_t *(*volatile batch_check)(const atlas_batch_buffer_t *, size_t) =
    atlas_batch_conserved_check;
static int (*volatile batch_delta)(atlas_batch_delta_t *, size_t) = atlas_batch_delta_compute;
static int (*volatile batch_witness)(atlas_batch_witness_t *, size_t) =
    atlas_batch_witness_generate;
static bool (*volatile statistics)(atlas_batch_stats_t *) = atlas_batch_get_statistics;
static void (*volatile reset)(void) = atlas_batch_reset_statistics;
static size_t (*volatile optimal)(size_t) = atlas_batch_get_optimal_size;

static int header_test(void)
{
    const int present = get_last_error && error_string && is_thread_safe && sum && sums &&
                        check && window_check && delta && domain_create && attach &&
                        domain_verify && commit && domain_destroy && alloc && release &&
                        set_digest && generate && verify && witness_destroy && batch_check &&
                        batch_delta && batch_witness && statistics && reset && optimal;
    const int values = ATLAS_OK == 0 && ATLAS_E_INVALID == 1 && ATLAS_E_MEMORY == 2 &&
                       ATLAS_E_STATE == 3 && ATLAS_E_BUDGET == 4 && ATLAS_E_CONSERVATION == 5 &&
                       ATLAS_E_WITNESS == 6 && ATLAS_E_DESTROYED == 7;
    const int shapes =
        offsetof(atlas_batch_buffer_t, size) == sizeof(void *) &&
        offsetof(atlas_batch_buffer_t, status) == sizeof(void *) + sizeof(size_t) &&
        offsetof(atlas_batch_delta_t, size) == 2 * sizeof(void *) &&
        offsetof(atlas_batch_delta_t, delta) == 2 * sizeof(void *) + sizeof(size_t) &&
        offsetof(atlas_batch_witness_t, witness) == sizeof(void *) + sizeof(size_t) &&
        offsetof(atlas_batch_witness_t, status) == 2 * sizeof(void *) + sizeof(size_t) &&
        offsetof(atlas_batch_witness_t, reserved) == 2 * sizeof(void *) + sizeof(size_t) + 4 &&
        sizeof(atlas_batch_stats_t) == 32;
    const unsigned char data[4] = {90, 3, 2, 2};
    other_status status;
    other_init(&status);
    return present && values && shapes && sum(data, 4) == 1 && is_thread_safe() &&
                   status.digest == NULL ? 0 : 1;
}
