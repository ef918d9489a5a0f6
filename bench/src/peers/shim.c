/* Functions of the peers that are C libraries, in calls that are simple to make from Rust. */
#include <blosc2.h>
#include <blosc2/filters-registry.h>
#include <isa-l.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- c-blosc2 -------------------------------------------------------------------------- */

/* `filter`: 0 none, 1 shuffle, 2 shuffle and bytedelta. `block`: bytes of a block, 0: as it chooses. */
void *peer_blosc_new(int32_t typesize, uint8_t codec, uint8_t level, int filter, int32_t chunk, int32_t block)
{
    static bool ready;
    if (!ready) {
        blosc2_init();
        ready = true;
    }
    blosc2_cparams cparams = BLOSC2_CPARAMS_DEFAULTS;
    cparams.typesize = typesize;
    cparams.compcode = codec;
    cparams.clevel = level;
    cparams.nthreads = 1;
    memset(cparams.filters, 0, sizeof cparams.filters);
    cparams.blocksize = block;
    if (filter == 2) {
        cparams.filters[BLOSC2_MAX_FILTERS - 2] = BLOSC_SHUFFLE;
        cparams.filters[BLOSC2_MAX_FILTERS - 1] = BLOSC_FILTER_BYTEDELTA;
        cparams.filters_meta[BLOSC2_MAX_FILTERS - 1] = (uint8_t)typesize;
    } else {
        cparams.filters[BLOSC2_MAX_FILTERS - 1] = filter == 1 ? BLOSC_SHUFFLE : BLOSC_NOFILTER;
    }
    blosc2_dparams dparams = BLOSC2_DPARAMS_DEFAULTS;
    dparams.nthreads = 1;
    blosc2_storage storage = {.contiguous = false, .cparams = &cparams, .dparams = &dparams};
    blosc2_schunk *schunk = blosc2_schunk_new(&storage);
    if (schunk != NULL) {
        schunk->chunksize = chunk;
    }
    return schunk;
}

void peer_blosc_free(void *schunk)
{
    if (schunk != NULL) {
        blosc2_schunk_free((blosc2_schunk *)schunk);
    }
}

/* Bytes that it takes, or negative. */
int64_t peer_blosc_append(void *handle, const uint8_t *data, size_t size, int32_t chunk)
{
    blosc2_schunk *schunk = (blosc2_schunk *)handle;
    for (size_t at = 0; at < size; at += (size_t)chunk) {
        const size_t rest = size - at;
        const int32_t part = rest < (size_t)chunk ? (int32_t)rest : chunk;
        if (blosc2_schunk_append_buffer(schunk, data + at, part) < 0) {
            return -1;
        }
    }
    return schunk->cbytes;
}

int64_t peer_blosc_unpack(void *handle, uint8_t *out, int32_t chunk)
{
    blosc2_schunk *schunk = (blosc2_schunk *)handle;
    int64_t total = 0;
    for (int64_t i = 0; i < schunk->nchunks; i++) {
        const int size = blosc2_schunk_decompress_chunk(schunk, i, out + total, chunk);
        if (size < 0) {
            return -1;
        }
        total += size;
    }
    return total;
}

/* A contiguous frame in a file, of chunks that are stored as they are. */
void *peer_blosc_open_frame(const char *path, const uint8_t *data, size_t size, int32_t chunk)
{
    blosc2_init();
    blosc2_cparams cparams = BLOSC2_CPARAMS_DEFAULTS;
    cparams.typesize = 1;
    cparams.clevel = 0;
    cparams.nthreads = 1;
    blosc2_dparams dparams = BLOSC2_DPARAMS_DEFAULTS;
    dparams.nthreads = 1;
    blosc2_storage storage = {
        .contiguous = true, .urlpath = (char *)path, .cparams = &cparams, .dparams = &dparams};
    blosc2_schunk *schunk = blosc2_schunk_new(&storage);
    if (schunk == NULL || peer_blosc_append(schunk, data, size, chunk) < 0) {
        return NULL;
    }
    return schunk;
}

const char *peer_blosc_version(void) { return BLOSC2_VERSION_STRING; }

/* A chunk of its own memory, or NULL. */
static uint8_t *packed_chunk(blosc2_schunk *schunk, const uint8_t *data, int32_t size)
{
    uint8_t *packed = (uint8_t *)malloc((size_t)size + BLOSC2_MAX_OVERHEAD);
    if (packed != NULL &&
        blosc2_compress_ctx(schunk->cctx, data, size, packed, size + BLOSC2_MAX_OVERHEAD) <= 0) {
        free(packed);
        return NULL;
    }
    return packed;
}

/* Without a copy, as blosc2_schunk_append_buffer does it: from then on the memory is the super-chunk's,
 * which shrinks and frees it; where the call fails it is still ours. */
static bool replace_chunk(blosc2_schunk *schunk, int64_t index, const uint8_t *data, int32_t size)
{
    uint8_t *packed = packed_chunk(schunk, data, size);
    if (packed == NULL) {
        return false;
    }
    if (blosc2_schunk_update_chunk(schunk, index, packed, false) < 0) {
        free(packed);
        return false;
    }
    return true;
}

/* Puts `count` bytes in place of as many, within one chunk: it is unpacked, changed and packed. */
bool peer_blosc_update(void *handle, uint8_t *scratch, int64_t offset, const uint8_t *data, int32_t count)
{
    blosc2_schunk *schunk = (blosc2_schunk *)handle;
    const int64_t index = offset / schunk->chunksize;
    const int size = blosc2_schunk_decompress_chunk(schunk, index, scratch, schunk->chunksize);
    if (size < 0) {
        return false;
    }
    memcpy(scratch + offset % schunk->chunksize, data, (size_t)count);
    return replace_chunk(schunk, index, scratch, size);
}

/* Inserts a whole chunk before chunk `index`, and deletes it again. */
bool peer_blosc_insert_chunk(void *handle, int64_t index, const uint8_t *data)
{
    blosc2_schunk *schunk = (blosc2_schunk *)handle;
    uint8_t *packed = packed_chunk(schunk, data, schunk->chunksize);
    if (packed == NULL) {
        return false;
    }
    if (blosc2_schunk_insert_chunk(schunk, index, packed, false) < 0) {
        free(packed);
        return false;
    }
    return true;
}

bool peer_blosc_delete_chunk(void *handle, int64_t index)
{
    return blosc2_schunk_delete_chunk((blosc2_schunk *)handle, index) >= 0;
}

/* `count` bytes at an offset that is no nearer to the end of its chunk: every chunk from there on is
 * unpacked, shifted and packed; the rest at the end is dropped, so that the size stays. `scratch`
 * has room for two chunks, and `count` is at most 65,536. */
bool peer_blosc_insert(void *handle, uint8_t *scratch, int64_t offset, const uint8_t *data, int32_t count)
{
    blosc2_schunk *schunk = (blosc2_schunk *)handle;
    const int32_t size = schunk->chunksize;
    uint8_t *carry = scratch + size;
    memcpy(carry, data, (size_t)count);
    int32_t from = (int32_t)(offset % size);
    for (int64_t index = offset / size; index < schunk->nchunks; index++) {
        if (blosc2_schunk_decompress_chunk(schunk, index, scratch, size) != size) {
            return false;
        }
        uint8_t last[65536];
        memcpy(last, scratch + size - count, (size_t)count);
        memmove(scratch + from + count, scratch + from, (size_t)(size - count - from));
        memcpy(scratch + from, carry, (size_t)count);
        if (!replace_chunk(schunk, index, scratch, size)) {
            return false;
        }
        memcpy(carry, last, (size_t)count);
        from = 0;
    }
    return true;
}

/* ---- ISA-L ------------------------------------------------------------------------------ */

#define TEXT_OF(name) #name
#define VERSION(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *peer_isal_version(void)
{
    return VERSION(ISAL_MAJOR_VERSION, ISAL_MINOR_VERSION, ISAL_PATCH_VERSION);
}

enum { ALL = 96, DATA = 64, PARITY = ALL - DATA };

typedef struct peer_isal {
    unsigned char matrix[ALL * DATA];
    unsigned char encode[32 * DATA * PARITY];
    unsigned char decode[32 * DATA * PARITY];
} peer_isal;

/* Tables for 64 and 32, and for the loss of every third of the 96. */
void *peer_isal_new(void)
{
    peer_isal *self = (peer_isal *)malloc(sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    gf_gen_cauchy1_matrix(self->matrix, ALL, DATA);
    ec_init_tables(DATA, PARITY, self->matrix + DATA * DATA, self->encode);
    return self;
}

void peer_isal_free(void *self) { free(self); }

/* In steps that a cache holds, which makes it several times as fast as in one go. */
static void encode(int len, int rows, unsigned char *tables, unsigned char **from, unsigned char **to)
{
    enum { STEP = 4096 };
    for (int at = 0; at < len; at += STEP) {
        unsigned char *in[DATA], *out[PARITY];
        for (int i = 0; i < DATA; i++) {
            in[i] = from[i] + at;
        }
        for (int i = 0; i < rows; i++) {
            out[i] = to[i] + at;
        }
        ec_encode_data(len - at < STEP ? len - at : STEP, DATA, rows, tables, in, out);
    }
}

void peer_isal_encode(void *handle, int len, unsigned char **data, unsigned char **parity)
{
    peer_isal *self = (peer_isal *)handle;
    encode(len, PARITY, self->encode, data, parity);
}

/* `have` are 64 of the 96 in order, those whose number mod 3 is not 2; gives the lost data, and how many
 * those are. */
int peer_isal_decode(void *handle, int len, unsigned char **have, unsigned char **lost)
{
    peer_isal *self = (peer_isal *)handle;
    unsigned char rows[DATA * DATA], inverse[DATA * DATA], wanted[DATA * PARITY];
    int row = 0, missing = 0;
    for (int i = 0; i < ALL; i++) {
        if (i % 3 != 2) {
            memcpy(rows + row++ * DATA, self->matrix + i * DATA, DATA);
        }
    }
    if (gf_invert_matrix(rows, inverse, DATA) != 0) {
        return -1;
    }
    for (int i = 2; i < DATA; i += 3) {
        memcpy(wanted + missing++ * DATA, inverse + i * DATA, DATA);
    }
    ec_init_tables(DATA, missing, wanted, self->decode);
    encode(len, missing, self->decode, have, lost);
    return missing;
}
