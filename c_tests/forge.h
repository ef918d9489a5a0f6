/* Shards and containers that are changed and then sealed anew, as whoever makes a file can: only a root, a history or
 * a key that the reader knows refuses them. Written from docs/format.md and docs/container.md. After check.h.
 *
 * BLAKE3 is here because the header has only its plain hash, and the digests of trees and seals are derived keys. */
#ifndef ATLAS_FORGE_TESTS_H
#define ATLAS_FORGE_TESTS_H

/* ---- BLAKE3 ------------------------------------------------------------------- */

enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8, CONTEXT = 32, MATERIAL = 64 };

static const uint32_t blake3_iv[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                      0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

static inline uint32_t get_32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t get_64(const uint8_t *at) { return get_32(at) | (uint64_t)get_32(at + 4) << 32; }

static inline void put_number(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> (8 * i) & 0xFFU);
    }
}

static inline uint32_t rotated(uint32_t value, unsigned by) { return value >> by | value << (32 - by); }

static inline void mix(uint32_t state[16], size_t a, size_t b, size_t c, size_t d, uint32_t x, uint32_t y)
{
    state[a] += state[b] + x;
    state[d] = rotated(state[d] ^ state[a], 16);
    state[c] += state[d];
    state[b] = rotated(state[b] ^ state[c], 12);
    state[a] += state[b] + y;
    state[d] = rotated(state[d] ^ state[a], 8);
    state[c] += state[d];
    state[b] = rotated(state[b] ^ state[c], 7);
}

static inline void compress(uint32_t value[8], const uint8_t block[64], size_t size, uint64_t counter, unsigned flags)
{
    static const uint8_t order[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
    uint32_t words[16], state[16];
    for (size_t i = 0; i < 16; i++) {
        words[i] = get_32(block + 4 * i);
        state[i] = i < 8 ? value[i] : blake3_iv[i % 4];
    }
    state[12] = (uint32_t)(counter & UINT32_MAX);
    state[13] = (uint32_t)(counter >> 32);
    state[14] = (uint32_t)size;
    state[15] = flags;
    for (int round = 0; round < 7; round++) {
        uint32_t next[16];
        for (size_t i = 0; i < 4; i++) {
            mix(state, i, 4 + i, 8 + i, 12 + i, words[2 * i], words[2 * i + 1]);
        }
        for (size_t i = 0; i < 4; i++) {
            mix(state, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, words[8 + 2 * i], words[9 + 2 * i]);
        }
        for (size_t i = 0; i < 16; i++) {
            next[i] = words[order[i]];
        }
        memcpy(words, next, sizeof words);
    }
    for (size_t i = 0; i < 8; i++) {
        value[i] = state[i] ^ state[i + 8];
    }
}

/* The chaining value of bytes, the first of them in chunk `chunk`; `last` has ROOT for the whole input. */
static inline void blake3_node(uint32_t value[8], const uint32_t key[8], unsigned flags, const uint8_t *data,
                               size_t size, uint64_t chunk, unsigned last)
{
    uint8_t block[64];
    memcpy(value, key, 32);
    if (size <= 1024) {
        for (size_t at = 0; at == 0 || at < size; at += 64) {
            const size_t part = size - at < 64 ? size - at : 64;
            memset(block, 0, sizeof block);
            memcpy(block, data + at, part);
            const bool ends = at + part == size;
            compress(value, block, part, chunk, flags | (at == 0 ? CHUNK_START : 0) | (ends ? CHUNK_END | last : 0));
        }
        return;
    }
    size_t left = 1024;
    while (2 * left < size) {
        left *= 2;
    }
    for (size_t side = 0; side < 2; side++) {
        uint32_t half[8];
        blake3_node(half, key, flags, data + side * left, side == 0 ? left : size - left, chunk + side * (left / 1024),
                    0);
        for (size_t i = 0; i < 8; i++) {
            put_number(block + 32 * side + 4 * i, half[i], 4);
        }
    }
    compress(value, block, 64, 0, flags | PARENT | last);
}

/* BLAKE3 in derive-key mode. */
static inline void derived(const char *context, const uint8_t *data, size_t size, uint8_t digest[32])
{
    uint32_t key[8], value[8];
    blake3_node(key, blake3_iv, CONTEXT, (const uint8_t *)context, strlen(context), 0, ROOT);
    blake3_node(value, key, MATERIAL, data, size, 0, ROOT);
    for (size_t i = 0; i < 8; i++) {
        put_number(digest + 4 * i, value[i], 4);
    }
}

/* ---- the tree ----------------------------------------------------------------- */

/* N of docs/design.md. */
static inline void node(const uint8_t *data, size_t size, uint8_t digest[32])
{
    derived("atlas_manifold 1 tree", data, size, digest);
}

static inline void leaf(uint64_t length, unsigned residue, const uint8_t witness[32], uint8_t digest[32])
{
    uint8_t bytes[42] = {0};
    put_number(bytes + 1, length, 8);
    bytes[9] = (uint8_t)residue;
    memcpy(bytes + 10, witness, 32);
    node(bytes, sizeof bytes, digest);
}

/* The root of a domain with one top. */
static inline void root_above(const uint8_t top[32], unsigned type, unsigned classes, uint64_t size, uint64_t tiles,
                              uint8_t root[32])
{
    uint8_t bytes[51] = {2, (uint8_t)type, (uint8_t)classes};
    put_number(bytes + 3, size, 8);
    put_number(bytes + 11, tiles, 8);
    memcpy(bytes + 19, top, 32);
    node(bytes, sizeof bytes, root);
}

/* The tree over classes first … first + count - 1 of a tile of one block, whose payloads are 224 bytes each. */
static inline void tree_of_classes(const uint8_t *payloads, size_t first, size_t count, uint8_t digest[32])
{
    uint8_t bytes[65] = {0};
    if (count == 1) {
        bytes[0] = 3;
        bytes[1] = (uint8_t)first;
        atlas_digest256(payloads + 224 * first, 224, bytes + 2);
        node(bytes, 34, digest);
        return;
    }
    size_t left = 1;
    while (2 * left < count) {
        left *= 2;
    }
    bytes[0] = 4;
    tree_of_classes(payloads, first, left, bytes + 1);
    tree_of_classes(payloads, first + left, count - left, bytes + 33);
    node(bytes, sizeof bytes, digest);
}

/* ---- shards --------------------------------------------------------------------- */

/* Returns the value of the record `tag` of a serialised shard. */
static inline uint8_t *record_of(const atlas_buffer *encoding, unsigned tag)
{
    uint8_t *at = encoding->data + 24;
    while (get_32(at) != tag) {
        at += 16 + get_64(at + 8);
    }
    return at + 16;
}

/* Gives a shard of a whole domain, which is one tile of `size` bytes, another residue or the witness of changed
 * bytes, and a root and a digest that fit. */
static inline void seal_shard(const atlas_buffer *encoding)
{
    const uint8_t *domain = record_of(encoding, 2), *tiles = record_of(encoding, 4), *payload = record_of(encoding, 7);
    const uint64_t size = get_64(domain + 8);
    uint8_t witness[32], top[32];
    if (domain[0] == ATLAS_PROJECTION_LINEAR) {
        atlas_digest256(payload, (size_t)size, witness);
    } else {
        tree_of_classes(payload, 0, 96, witness);
    }
    leaf(size, tiles[12], witness, top);
    root_above(top, domain[0], domain[1], size, 1, record_of(encoding, 1));
    atlas_digest256(encoding->data, encoding->size - 32, encoding->data + encoding->size - 32);
}

/* ---- containers ------------------------------------------------------------------- */

/* The bytes of a container without a key and without compression. */
typedef struct forged {
    uint8_t *bytes;
    size_t size;
} forged;

/* Returns the record of `kind` at or after `from`, or NULL. */
static inline uint8_t *next_record(const forged *file, size_t from, char kind)
{
    for (size_t at = from; at + 32 <= file->size; at += 8) {
        uint8_t *record = file->bytes + at;
        if (memcmp(record, "ATL", 3) == 0 && record[3] == (uint8_t)kind && get_64(record + 8) == at) {
            return record;
        }
    }
    return NULL;
}

static inline uint8_t *after_record(const forged *file, const uint8_t *record, char kind)
{
    return next_record(file, (size_t)(record - file->bytes) + 8, kind);
}

/* D of docs/container.md, of two parts. */
static inline void container_digest(const forged *file, unsigned tag, const uint8_t *first, size_t first_size,
                                    const uint8_t *rest, size_t rest_size, uint8_t digest[32])
{
    uint8_t *all = random_bytes(33 + first_size + rest_size, 1);
    all[0] = (uint8_t)tag;
    memcpy(all + 1, file->bytes + 32, 16);
    memcpy(all + 17, file->bytes + 16, 16);
    memcpy(all + 33, first, first_size);
    memcpy(all + 33 + first_size, rest, rest_size);
    derived("atlas_manifold 1 container", all, 33 + first_size + rest_size, digest);
    free(all);
}

static inline void seal_record(const forged *file, uint8_t *record, uint8_t full[32])
{
    container_digest(file, 1, record, 16, record + 32, get_32(record + 4) - 32, full);
    memcpy(record + 16, full, 16);
}

/* The top over `count` entries of a leaf. */
static inline void top_of_tiles(const uint8_t *tiles, size_t count, uint64_t *bytes, uint8_t digest[32])
{
    if (count == 1) {
        const uint32_t word = get_32(tiles);
        *bytes = word & 0x1FFFFF;
        leaf(*bytes, word >> 21 & 0x7F, tiles + 16, digest);
        return;
    }
    uint8_t pair[81] = {1};
    uint64_t right = 0;
    size_t left = 1;
    while (2 * left < count) {
        left *= 2;
    }
    top_of_tiles(tiles, left, bytes, pair + 17);
    top_of_tiles(tiles + 48 * left, count - left, &right, pair + 49);
    put_number(pair + 1, *bytes, 8);
    put_number(pair + 9, right, 8);
    *bytes += right;
    node(pair, sizeof pair, digest);
}

static inline void seal_commit(const forged *file, uint8_t *commit, const uint8_t *before)
{
    const size_t at = (size_t)(commit - file->bytes), size = get_32(commit + 4), end = (size_t)get_64(commit + 88);
    const size_t note = get_32(commit + 360);
    uint8_t history[1200];
    /* The top, if it is a leaf of this file, and the root above it. */
    uint8_t *top = next_record(file, (size_t)get_64(commit + 296), 'L');
    if (get_64(commit + 296) != 0 && top != NULL && get_64(top + 8) == get_64(commit + 296)) {
        uint64_t bytes = 0;
        top_of_tiles(top + 40, get_32(top + 32), &bytes, commit + 328);
        root_above(commit + 328, file->bytes[13], file->bytes[14], get_64(commit + 216), get_64(commit + 224),
                   commit + 232);
    }
    memcpy(commit + 32, file->bytes + 8, 40);
    container_digest(file, 2, commit, 0, file->bytes + at + size, end - at - size, commit + 96);
    if (before != NULL) {
        container_digest(file, 1, before, 16, before + 32, get_32(before + 4) - 32, commit + 144);
    }
    memset(history, 0, sizeof history);
    memcpy(history, file->bytes + 16, 16);
    if (before != NULL) {
        memcpy(history + 16, before + 264, 32);
    }
    memcpy(history + 48, commit + 72, 8);
    memcpy(history + 56, commit + 216, 8);
    memcpy(history + 64, commit + 232, 32);
    memcpy(history + 96, commit + 200, 8);
    memcpy(history + 104, commit + 360, 4);
    memcpy(history + 108, commit + 368, note);
    derived("atlas_manifold 1 history", history, 108 + note, commit + 264);
}

/* Makes all fit again after a change of small batches: seals, tops, roots, histories and slots. */
static inline void seal_container(const forged *file)
{
    uint8_t full[32];
    const uint8_t *before = NULL;
    container_digest(file, 0, file->bytes, 480, file->bytes, 0, file->bytes + 480);
    for (size_t kind = 0; kind < 2; kind++) {
        const char letter = "LT"[kind];
        for (uint8_t *record = next_record(file, 0, letter); record != NULL; record = after_record(file, record, letter)) {
            seal_record(file, record, full);
        }
    }
    for (uint8_t *record = next_record(file, 0, 'C'); record != NULL; record = after_record(file, record, 'C')) {
        seal_commit(file, record, before);
        seal_record(file, record, full);
        before = record;
    }
    for (uint8_t *record = next_record(file, 0, 'S'); record != NULL; record = after_record(file, record, 'S')) {
        uint8_t *commit = next_record(file, (size_t)get_64(record + 40), 'C');
        CHECK(commit != NULL);
        seal_record(file, commit, record + 48);
        seal_record(file, record, full);
    }
}

#endif
