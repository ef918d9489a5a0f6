#include <stdatomic.h>
#include <stdlib.h>

#include "error.h"
#include "sum.h"
#include "witness.h"

#define BATCH_MAX 256
#define BATCH_BYTES ((size_t)1 << 20)

/* The counters synchronize nothing else: all their operations are relaxed. */
static _Atomic uint64_t conserved_calls;
static _Atomic uint64_t delta_calls;
static _Atomic uint64_t witness_calls;
static _Atomic uint64_t total_buffers;

static bool is_batch(const void *items, size_t count)
{
    return items != NULL && count >= 1 && count <= BATCH_MAX;
}

static void count_call(_Atomic uint64_t *calls, size_t count)
{
    atomic_fetch_add_explicit(calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&total_buffers, count, memory_order_relaxed);
    atlas_l2_set_error(ATLAS_OK);
}

uint8_t *atlas_batch_conserved_check(const atlas_batch_buffer_t *buffers, size_t count)
{
    if (!is_batch(buffers, count)) {
        atlas_l2_set_error(ATLAS_E_INVALID);
        return NULL;
    }
    uint8_t *const results = malloc(count);
    if (results == NULL) {
        atlas_l2_set_error(ATLAS_E_MEMORY);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        results[i] = buffers[i].data != NULL && buffers[i].size > 0 &&
                     atlas_l2_residue(buffers[i].data, buffers[i].size) == 0;
    }
    count_call(&conserved_calls, count);
    return results;
}

int atlas_batch_delta_compute(atlas_batch_delta_t *deltas, size_t count)
{
    if (!is_batch(deltas, count)) {
        return atlas_l2_end_int(ATLAS_E_INVALID);
    }
    for (size_t i = 0; i < count; i++) {
        atlas_batch_delta_t *const item = &deltas[i];
        const bool good = item->before != NULL && item->after != NULL && item->size > 0;
        item->delta = good ? atlas_l2_delta(item->before, item->after, item->size) : 0;
    }
    count_call(&delta_calls, count);
    return 0;
}

int atlas_batch_witness_generate(atlas_batch_witness_t *witnesses, size_t count)
{
    if (!is_batch(witnesses, count)) {
        return atlas_l2_end_int(ATLAS_E_INVALID);
    }
    if (!atlas_l2_has_digest()) {
        return atlas_l2_end_int(ATLAS_E_STATE);
    }
    for (size_t i = 0; i < count; i++) {
        atlas_batch_witness_t *const item = &witnesses[i];
        const bool good = item->data != NULL && item->size > 0;
        item->witness = NULL;
        item->status =
            good && atlas_l2_witness_of(item->data, item->size, &item->witness) == ATLAS_OK;
    }
    count_call(&witness_calls, count);
    return 0;
}

bool atlas_batch_get_statistics(atlas_batch_stats_t *stats)
{
    if (stats == NULL) {
        return atlas_l2_end(ATLAS_E_INVALID);
    }
    stats->conserved_calls = atomic_load_explicit(&conserved_calls, memory_order_relaxed);
    stats->delta_calls = atomic_load_explicit(&delta_calls, memory_order_relaxed);
    stats->witness_calls = atomic_load_explicit(&witness_calls, memory_order_relaxed);
    stats->total_buffers = atomic_load_explicit(&total_buffers, memory_order_relaxed);
    return atlas_l2_end(ATLAS_OK);
}

void atlas_batch_reset_statistics(void)
{
    atomic_store_explicit(&conserved_calls, 0, memory_order_relaxed);
    atomic_store_explicit(&delta_calls, 0, memory_order_relaxed);
    atomic_store_explicit(&witness_calls, 0, memory_order_relaxed);
    atomic_store_explicit(&total_buffers, 0, memory_order_relaxed);
    atlas_l2_set_error(ATLAS_OK);
}

size_t atlas_batch_get_optimal_size(size_t buffer_size)
{
    atlas_l2_set_error(ATLAS_OK);
    if (buffer_size <= BATCH_BYTES / BATCH_MAX) {
        return BATCH_MAX;
    }
    return buffer_size < BATCH_BYTES ? BATCH_BYTES / buffer_size : 1;
}
