/* BLAKE3 digests and sums of bytes of many tiles at once.
 *
 *   chunks     one item per chunk of 1,024 bytes: its chaining value, and the sum of its bytes
 *   groups     one item per group of 16 chunks: its chaining value, and the sum of its bytes mod 96
 *   parents    one item per 8 nodes of the hash tree: the chaining value of their common parent. Launched twice,
 *              because a tile has at most 64 groups
 *
 * BLAKE3 hashes chunks of 16 blocks, and joins their chaining values in a binary tree whose left subtrees are full.
 * Joining neighbours level by level, with an odd last one moving up unchanged, makes that tree. The last step of a tile
 * has the flag ROOT, whether it is a parent or the only block of a short tile.
 *
 * Everything but the macros and names below is C99, so that another interface needs others. */

#define KERNEL __kernel
#define GLOBAL __global
#define FUNCTION static inline
#define ITEM ((uint)get_global_id(0))
#define ROTATE_RIGHT(word, count) rotate((word), 32u - (count))
#define LEAST(a, b) min((a), (b))
#define ADDRESS size_t
/* Four words at an address that is a multiple of 16, in one load. */
#define FOUR_WORDS uint4
/* The types uchar, uint and ulong have 8, 32 and 64 bits. */

/* Flags of a compression. */
#define CHUNK_START 1u
#define CHUNK_END 2u
#define PARENT 4u
#define ROOT 8u

#define BLOCK_BYTES 64u
#define CHUNK_BYTES 1024u
#define GROUP_CHUNKS 16u
/* Number of tree nodes that a work item of `parents` joins. */
#define JOINED 8u
/* Number of 32-bit words of a tile's result: its digest, and a byte (sum mod 96) for each of its 64 groups. */
#define RESULT_WORDS 24u
#define DIGEST_WORDS 8u

/* Position of a tile in the buffer that has the bytes of all tiles. */
typedef struct {
    ulong offset;
    uint len;
    uint reserved;
} tile_place;

/* The 256 bits of a key or of a chaining value. */
typedef struct {
    uint word[8];
} value;

/* BLAKE3's quarter round: mixes four words of the state with two of the message. */
#define MIX(a, b, c, d, x, y)                 \
    do {                                      \
        a += b + (x);                         \
        d = ROTATE_RIGHT(d ^ a, 16u);         \
        c += d;                               \
        b = ROTATE_RIGHT(b ^ c, 12u);         \
        a += b + (y);                         \
        d = ROTATE_RIGHT(d ^ a, 8u);          \
        c += d;                               \
        b = ROTATE_RIGHT(b ^ c, 7u);          \
    } while (0)

/* A round: the columns of the state, then its diagonals. The numbers are the order of the 16 message words. */
#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15) \
    do {                                                                            \
        MIX(s0, s4, s8, s12, m[m0], m[m1]);                                         \
        MIX(s1, s5, s9, s13, m[m2], m[m3]);                                         \
        MIX(s2, s6, s10, s14, m[m4], m[m5]);                                        \
        MIX(s3, s7, s11, s15, m[m6], m[m7]);                                        \
        MIX(s0, s5, s10, s15, m[m8], m[m9]);                                        \
        MIX(s1, s6, s11, s12, m[m10], m[m11]);                                      \
        MIX(s2, s7, s8, s13, m[m12], m[m13]);                                       \
        MIX(s3, s4, s9, s14, m[m14], m[m15]);                                       \
    } while (0)

/* Compresses the block `m` of 16 words, with `len` bytes of message, into the chaining value `h`. */
FUNCTION void compress(uint *h, const uint *m, uint counter, uint len, uint flags) {
    /* The state: the chaining value, four words of the initial value, the counter, the length and the flags. */
    uint s0 = h[0], s1 = h[1], s2 = h[2], s3 = h[3], s4 = h[4], s5 = h[5], s6 = h[6], s7 = h[7];
    uint s8 = 0x6a09e667u, s9 = 0xbb67ae85u, s10 = 0x3c6ef372u, s11 = 0xa54ff53au;
    /* A tile has at most 1,024 chunks, so that the upper half of the counter is 0. */
    uint s12 = counter, s13 = 0u, s14 = len, s15 = flags;
    /* Each round permutes the message once more. */
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
    ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
    ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
    ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
    ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
    ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);
    /* The new chaining value is one half of the state over the other. */
    h[0] = s0 ^ s8, h[1] = s1 ^ s9, h[2] = s2 ^ s10, h[3] = s3 ^ s11;
    h[4] = s4 ^ s12, h[5] = s5 ^ s13, h[6] = s6 ^ s14, h[7] = s7 ^ s15;
}

/* Loads 16 words to `m` from an address that is a multiple of 16. */
FUNCTION void load_block(uint *m, GLOBAL const uint *from) {
    for (uint i = 0u; i < 4u; i++) {
        FOUR_WORDS words = ((GLOBAL const FOUR_WORDS *)from)[i];
        m[4u * i] = words.x, m[4u * i + 1u] = words.y, m[4u * i + 2u] = words.z, m[4u * i + 3u] = words.w;
    }
}

/* Stores the chaining value `h` at an address that is a multiple of 16. */
FUNCTION void store_value(GLOBAL uint *to, const uint *h) {
    for (uint i = 0u; i < 2u; i++) {
        FOUR_WORDS words;
        words.x = h[4u * i], words.y = h[4u * i + 1u], words.z = h[4u * i + 2u], words.w = h[4u * i + 3u];
        ((GLOBAL FOUR_WORDS *)to)[i] = words;
    }
}

/* Returns the number of chunks of a tile of `len` bytes, which is 1 for no bytes. */
FUNCTION uint chunk_count(uint len) {
    return len == 0u ? 1u : (len + CHUNK_BYTES - 1u) / CHUNK_BYTES;
}

/* Hashes and sums chunk `ITEM % width` of tile `ITEM / width`, for tiles of at most `width` chunks. The chaining value
 * goes to `values`, or, as the digest of a tile of a single chunk, to `results`; the sum of its bytes to `sums`. */
KERNEL void chunks(GLOBAL const uchar *bytes, GLOBAL const tile_place *places, uint tiles, uint width, value key,
                   uint mode, GLOBAL uint *values, GLOBAL uint *sums, GLOBAL uint *results) {
    uint tile = ITEM / width, chunk = ITEM % width;
    /* The number of items is rounded up. */
    if (tile >= tiles) return;
    uint len = places[tile].len, count = chunk_count(len);
    if (chunk >= count) return;
    /* The bytes of this chunk, of which the last one of a tile may have fewer. */
    uint start = chunk * CHUNK_BYTES, rest = LEAST(len - start, CHUNK_BYTES);
    GLOBAL const uchar *from = bytes + places[tile].offset + start;
    /* Loads of four words need an address that is a multiple of 16, loads of a word one that is a multiple of 4. A
     * buffer over memory of the host may begin at any address. */
    uint alignment = (uint)(ADDRESS)from & 15u;
    uint blocks = rest == 0u ? 1u : (rest + BLOCK_BYTES - 1u) / BLOCK_BYTES;
    uint h[8], m[16], total = 0u;
    for (uint i = 0u; i < 8u; i++) h[i] = key.word[i];
    for (uint block = 0u; block < blocks; block++) {
        uint size = LEAST(rest - block * BLOCK_BYTES, BLOCK_BYTES);
        GLOBAL const uchar *at = from + block * BLOCK_BYTES;
        /* The message: 16 words, least significant byte first. */
        if (size == BLOCK_BYTES && alignment == 0u) {
            load_block(m, (GLOBAL const uint *)at);
        } else if (size == BLOCK_BYTES && (alignment & 3u) == 0u) {
            for (uint i = 0u; i < 16u; i++) m[i] = ((GLOBAL const uint *)at)[i];
        } else {
            /* A short block is filled up with zeros. */
            for (uint i = 0u; i < 16u; i++) {
                m[i] = 0u;
                for (uint j = 0u; j < 4u; j++)
                    if (4u * i + j < size) m[i] |= (uint)at[4u * i + j] << (8u * j);
            }
        }
        /* With the bytes a, b, c, d of a word from the lowest: the sums of a and c lie side by side, and so do those of
         * b and d once those of c are taken off. Each is at most 16 * 255. */
        uint even = 0u, shifted = 0u;
        for (uint i = 0u; i < 16u; i++) even += m[i] & 0x00ff00ffu, shifted += m[i] >> 8u;
        uint odd = shifted - ((even >> 16u) << 8u);
        total += (even & 0xffffu) + (even >> 16u) + (odd & 0xffffu) + (odd >> 16u);
        /* The first and the last block are marked, and the last one of a tile of a single chunk is its root. */
        uint flags = mode | (block == 0u ? CHUNK_START : 0u);
        if (block + 1u == blocks) flags |= CHUNK_END | (count == 1u ? ROOT : 0u);
        compress(h, m, chunk, size, flags);
    }
    store_value(count == 1u ? results + tile * RESULT_WORDS : values + 8u * ITEM, h);
    sums[ITEM] = total;
}

/* Joins the `count` chaining values at `nodes` to that of their common parent, overwriting them, and copies it to
 * `out`. `last` is ROOT if they are all nodes of their tile, otherwise 0. */
FUNCTION void join(GLOBAL uint *nodes, uint count, const value *key, uint mode, uint last, GLOBAL uint *out) {
    uint h[8], m[16];
    for (; count > 1u; count = (count + 1u) / 2u) {
        /* A node of the next level takes the place of one that has been read. */
        for (uint node = 0u; 2u * node + 1u < count; node++) {
            /* The message of a parent is its two children. */
            for (uint i = 0u; i < 8u; i++) h[i] = key->word[i];
            load_block(m, nodes + 16u * node);
            compress(h, m, 0u, BLOCK_BYTES, mode | PARENT | (count == 2u ? last : 0u));
            store_value(nodes + 8u * node, h);
        }
        /* An odd last node moves up. */
        if ((count & 1u) != 0u)
            for (uint i = 0u; i < 8u; i++) nodes[4u * (count - 1u) + i] = nodes[8u * (count - 1u) + i];
    }
    for (uint i = 0u; i < 8u; i++) h[i] = nodes[i];
    store_value(out, h);
}

/* Joins and sums the chunks of group `ITEM % width` of tile `ITEM / width`. The chaining value of the group goes to
 * `nodes`, or, as the digest of a tile of a single group, to `results`, and the sum mod 96 to `results`. A tile has
 * `chunk_width` items in `values` and `sums`. */
KERNEL void groups(GLOBAL const tile_place *places, uint tiles, uint width, uint chunk_width, value key, uint mode,
                   GLOBAL uint *values, GLOBAL const uint *sums, GLOBAL uint *nodes, GLOBAL uint *results) {
    uint tile = ITEM / width, group = ITEM % width;
    if (tile >= tiles) return;
    uint count = chunk_count(places[tile].len), first = group * GROUP_CHUNKS;
    /* Groups after the end of the tile have the sum 0. */
    uint own = first < count ? LEAST(count - first, GROUP_CHUNKS) : 0u, total = 0u;
    for (uint chunk = 0u; chunk < own; chunk++) total += sums[tile * chunk_width + first + chunk];
    GLOBAL uint *result = results + tile * RESULT_WORDS;
    ((GLOBAL uchar *)(result + DIGEST_WORDS))[group] = (uchar)(total % 96u);
    /* A single chunk is the root, which is done. */
    if (own == 0u || count == 1u) return;
    int is_whole = count <= GROUP_CHUNKS;
    join(values + 8u * (tile * chunk_width + first), own, &key, mode, is_whole ? ROOT : 0u,
         is_whole ? result : nodes + 8u * ITEM);
}

/* Joins up to `JOINED` nodes of tile `ITEM / width`, from node `JOINED * (ITEM % width)` of `from` on. The chaining
 * value of their parent goes to `to`, or, as the digest of the tile if they are all its nodes, to `results`. Each node
 * covers `chunks` chunks, and a tile has `from_width` items in `from`. */
KERNEL void parents(GLOBAL const tile_place *places, uint tiles, uint chunks, uint from_width, uint width, value key,
                    uint mode, GLOBAL uint *from, GLOBAL uint *to, GLOBAL uint *results) {
    uint tile = ITEM / width, first = ITEM % width * JOINED;
    if (tile >= tiles) return;
    uint count = (chunk_count(places[tile].len) + chunks - 1u) / chunks;
    /* One node is the root, which is done. */
    if (count < 2u || first >= count) return;
    int is_whole = count <= JOINED;
    join(from + 8u * (tile * from_width + first), LEAST(count - first, JOINED), &key, mode, is_whole ? ROOT : 0u,
         is_whole ? results + tile * RESULT_WORDS : to + 8u * ITEM);
}
