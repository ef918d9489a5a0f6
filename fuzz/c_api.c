/* The C API with random arguments and orders of calls: each byte of the input chooses a call, a handle, a size.
 *
 * Nothing may crash or be INTERNAL, a call that fails leaves no handle, and since every source here is honest, what a
 * projection holds must verify at any time. cargo-fuzz runs it as the target c_api; c_tests/api_orders.c runs the
 * inputs of corpus/c_api and random ones.
 */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include "atlas_manifold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 6, FILES = 5, MOST = (1 << 20) + (1 << 18), CALLS = 40 };

static const uint8_t key[32] = {7, 1, 2};
static const uint8_t other_key[32] = {9};

struct world {
    const uint8_t *input;
    size_t left;
    atlas_source *sources[SLOTS];
    atlas_projection *projections[SLOTS];
    atlas_shard *shards[SLOTS];
    atlas_compressed_shard *compressed[SLOTS];
    atlas_reconstruction *parts[SLOTS];
    atlas_stream *streams[SLOTS];
    atlas_container *containers[SLOTS];
    atlas_parity *parities[SLOTS];
    atlas_compression_manager *managers[SLOTS];
    atlas_buffer buffers[SLOTS];
    /* A callback fails once this is 0; negative: never. */
    int reads_left;
    int callbacks_left;
};

static uint8_t *data;        /* Bytes of the sources. */
static uint8_t *scratch;     /* Destination of reads. */
static atlas_pool *pool;
static char folder[128];
/* Two containers, a parity file, a file that is written and repaired, and a spool. */
static char paths[FILES][160];

#define MUST(what) ((what) ? (void)0 : failed(#what, __LINE__))

static void failed(const char *what, int line)
{
    (void)fprintf(stderr, "c_api.c:%d: %s; %s\n", line, what, atlas_last_error_message());
    abort();
}

/* ---- arguments ------------------------------------------------------------------------------ */

static unsigned byte(struct world *world)
{
    if (world->left == 0) {
        return 0;
    }
    world->left--;
    return *world->input++;
}

/* Sizes around what the library divides by, and, rarely, one that is far too large. */
static uint64_t size_of(struct world *world)
{
    static const uint64_t around[] = {0, 4096, 16384, 65536, 262144, 1048576};
    const unsigned how = byte(world);
    if (how < 96) {
        return how;
    }
    if (how < 192) {
        return around[how % 6] + byte(world) % 5 - (how % 6 == 0 ? 0 : 2);
    }
    if (how < 250) {
        return (uint64_t)byte(world) << 8 | byte(world);
    }
    return how == 255 ? UINT64_MAX : how == 254 ? (uint64_t)1 << 63 : (uint64_t)1 << 40;
}

static size_t small(struct world *world)
{
    const uint64_t size = size_of(world);
    return size > MOST ? MOST : (size_t)size;
}

/* The number of a slot whose handle is not NULL, if there is one; now and then of any. */
static unsigned slot_of(struct world *world, const void *slots, size_t size)
{
    const unsigned number = byte(world);
    for (unsigned i = 0; i < SLOTS && number < 250; i++) {
        const void *handle;
        memcpy(&handle, (const char *)slots + (number + i) % SLOTS * size, sizeof handle);
        if (handle != NULL) {
            return (number + i) % SLOTS;
        }
    }
    return number % SLOTS;
}

/* A handle of this kind, or NULL. */
#define ANY(world, kind) ((world)->kind[slot_of(world, (world)->kind, sizeof *(world)->kind)])

static atlas_region region(struct world *world)
{
    const atlas_region made = {size_of(world), size_of(world)};
    return made;
}

static bool goes_on(void *user_data)
{
    struct world *world = user_data;
    return world->callbacks_left < 0 || world->callbacks_left-- > 0;
}

static bool on_progress(const atlas_progress *progress, void *user_data)
{
    MUST(progress->bytes_done <= progress->bytes_total || progress->bytes_total == 0 || progress->bytes_total == UINT64_MAX);
    return goes_on(user_data);
}

static bool on_damage(const atlas_damage *damage, void *user_data)
{
    (void)damage;
    return goes_on(user_data);
}

static const atlas_operation *operation(struct world *world, atlas_operation *made)
{
    const unsigned how = byte(world);
    atlas_operation_init(made);
    made->pool = (how & 1) != 0 ? pool : NULL;
    if ((how & 2) != 0) {
        made->progress = on_progress;
        made->user_data = world;
        world->callbacks_left = (how & 4) != 0 ? (int)(how >> 5) : -1;
    }
    if ((how & 8) != 0) {
        made->memory_limit = (uint64_t)1 << (10 + (how >> 4));
    }
    return (how & 1) == 0 && (how & 0x80) != 0 ? NULL : made;
}

static const atlas_projection_options *options(struct world *world, atlas_projection_options *made)
{
    const unsigned how = byte(world);
    atlas_projection_options_init(made);
    made->conservation = how & 1;
    made->r96_data_classes = (how & 2) != 0 ? 1 + byte(world) % 98 : made->r96_data_classes;
    made->key = (how & 4) != 0 ? key : NULL;
    made->struct_size = how == 255 ? byte(world) : made->struct_size;
    return (how & 0x40) != 0 ? NULL : made;
}

/* R96 takes most of the time, so that it is the rarer one. */
static uint32_t type_of(struct world *world)
{
    return byte(world) % 4 == 1 ? ATLAS_PROJECTION_R96_FOURIER : ATLAS_PROJECTION_LINEAR;
}

static const atlas_verify_options *verify(struct world *world, atlas_verify_options *made)
{
    static uint8_t root[32];
    const unsigned how = byte(world);
    atlas_verify_options_init(made);
    made->key = (how & 1) != 0 ? ((how & 2) != 0 && how > 200 ? other_key : key) : NULL;
    if ((how & 4) != 0) {
        const atlas_projection *projection = ANY(world, projections);
        made->expected_root = projection != NULL && atlas_projection_root(projection, NULL, root) == 0 ? root : NULL;
    }
    return (how & 0x40) != 0 ? NULL : made;
}

static int read_at(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    struct world *world = user_data;
    MUST(offset <= MOST && size <= MOST - offset);
    if (world->reads_left == 0) {
        return 5;
    }
    world->reads_left -= world->reads_left > 0;
    memcpy(buffer, data + offset, size);
    return 0;
}

/* ---- results -------------------------------------------------------------------------------- */

static void check(atlas_status status)
{
    MUST(status <= ATLAS_STATUS_LIMIT);
    MUST((status == ATLAS_STATUS_OK) == (atlas_last_error_message()[0] == 0));
}

/* Puts a new handle into a slot, whose old handle is destroyed. */
#define PUT(world, kind, destroy, made)                                   \
    do {                                                                  \
        const unsigned slot_ = byte(world) % (SLOTS - 1);                 \
        destroy((world)->kind[slot_]);                                    \
        (world)->kind[slot_] = (made);                                    \
    } while (0)

#define KEEP(world, kind, destroy, made, call)                            \
    do {                                                                  \
        const atlas_status status_ = (call);                              \
        check(status_);                                                   \
        MUST((status_ == ATLAS_STATUS_OK) == ((made) != NULL));           \
        if ((made) != NULL) {                                             \
            PUT(world, kind, destroy, made);                              \
        }                                                                 \
    } while (0)

static void keep_buffer(struct world *world, atlas_buffer made)
{
    const unsigned slot = byte(world) % (SLOTS - 1);
    atlas_buffer_free(&world->buffers[slot]);
    world->buffers[slot] = made;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void make_source(struct world *world)
{
    atlas_source *made = NULL;
    const atlas_source *several[4];
    switch (byte(world) % 6) {
    case 0:
        KEEP(world, sources, atlas_source_destroy, made, atlas_source_copy(data, small(world), &made));
        break;
    case 1:
        KEEP(world, sources, atlas_source_destroy, made, atlas_source_borrow(data, small(world), NULL, NULL, &made));
        break;
    case 2:
        KEEP(world, sources, atlas_source_destroy, made,
             atlas_source_from_callback(small(world), read_at, NULL, world, &made));
        break;
    case 3: {
        const uint64_t offset = size_of(world);
        const atlas_source *whole = ANY(world, sources);
        KEEP(world, sources, atlas_source_destroy, made, atlas_source_range(whole, offset, size_of(world), &made));
        break;
    }
    case 4: {
        const size_t count = byte(world) % 5;
        uint64_t total = 0;
        for (size_t i = 0; i < count; i++) {
            several[i] = ANY(world, sources);
            total += atlas_source_size(several[i]);
        }
        if (total <= MOST) {
            KEEP(world, sources, atlas_source_destroy, made, atlas_source_concat(several, count, &made));
        }
        break;
    }
    default: {
        const atlas_source *whole = ANY(world, sources);
        KEEP(world, sources, atlas_source_destroy, made, atlas_source_range(whole, 0, atlas_source_size(whole), &made));
    }
    }
}

static void make_projection(struct world *world)
{
    atlas_projection *made = NULL;
    atlas_projection_options chosen;
    atlas_operation how;
    atlas_stream_config config;
    atlas_stream_config_init(&config);
    const unsigned what = byte(world);
    const uint32_t type = what % 32 == 31 ? 2 : what % 4 == 1;
    const atlas_source *source = ANY(world, sources);
    const atlas_projection_options *given = options(world, &chosen);
    const atlas_operation *with = operation(world, &how);
    switch (what >> 5 & 3) {
    case 0:
        config.chunk_size = size_of(world);
        config.parallel_chunks = byte(world) % 4;
        KEEP(world, projections, atlas_projection_destroy, made,
             atlas_stream_project(type, source, given, &config, with, &made));
        break;
    case 1: {
        const atlas_projection *old = ANY(world, projections);
        KEEP(world, projections, atlas_projection_destroy, made, atlas_projection_snapshot(old, &made));
        break;
    }
    default:
        KEEP(world, projections, atlas_projection_destroy, made,
             atlas_projection_create(type, source, given, with, &made));
    }
}

/* Checks a call on bytes of honest sources, which can be nothing but right: a limit, a stop or a failing read ends it. */
static void check_honest(atlas_status status)
{
    check(status);
    MUST(status != ATLAS_STATUS_WITNESS && status != ATLAS_STATUS_CONSERVATION && status != ATLAS_STATUS_FORMAT);
}

static void look(struct world *world)
{
    atlas_projection *projection = ANY(world, projections);
    atlas_operation how;
    atlas_projection_info info = {.struct_size = sizeof info};
    atlas_tile_info tile = {.struct_size = sizeof tile};
    atlas_region regions[4];
    double bounds[4];
    uint8_t root[32], again[32];
    uint64_t number;
    size_t count = 4;
    if (projection != NULL) {
        check(atlas_projection_get_info(projection, &info));
        MUST(info.struct_size == sizeof info && info.residue < 96 && info.domain_size <= 8 * (uint64_t)MOST);
    }
    switch (byte(world) % 8) {
    case 0: {
        const atlas_operation *with = operation(world, &how);
        const atlas_status status = atlas_projection_root(projection, with, root);
        check_honest(status);
        if (status == ATLAS_STATUS_OK && atlas_projection_root(projection, NULL, again) == ATLAS_STATUS_OK) {
            MUST(memcmp(root, again, sizeof root) == 0);
        }
        break;
    }
    case 1:
        check_honest(atlas_projection_get_tile(projection, size_of(world), &tile));
        break;
    case 2: {
        const uint64_t offset = size_of(world);
        const size_t size = small(world);
        const atlas_status status = atlas_projection_read(projection, offset, scratch, size);
        check(status);
        MUST(status != ATLAS_STATUS_OK || (offset <= info.domain_size && size <= info.domain_size - offset));
        break;
    }
    case 3:
        check_honest(atlas_projection_verify(projection, operation(world, &how)));
        break;
    case 4:
        check(atlas_projection_tile_bounds(projection, size_of(world), bounds));
        check(atlas_projection_tile_at(projection, byte(world) - 8.0, byte(world) / 3.0, &number));
        break;
    case 5: {
        const atlas_transform_params map = {byte(world) / 8.0, byte(world) / 40.0, byte(world) - 99.0, 1e300 * byte(world)};
        check(atlas_projection_transform(projection, &map));
        break;
    }
    case 6: {
        const atlas_projection *other = ANY(world, projections);
        check(atlas_projection_diff(projection, other, operation(world, &how), regions, &count));
        break;
    }
    default: {
        const atlas_region only = region(world);
        const atlas_status status = atlas_projection_find_damage(projection, &only, byte(world) % 2, on_damage, world,
                                                                 operation(world, &how));
        /* Bytes that cannot be read are damaged. */
        if (status == ATLAS_STATUS_WITNESS && world->reads_left == 0) {
            check(status);
        } else {
            check_honest(status);
        }
    }
    }
}

static void change(struct world *world)
{
    atlas_projection *projection = ANY(world, projections);
    atlas_operation how;
    atlas_incremental_config config;
    atlas_delta deltas[3];
    size_t count = 1 + byte(world) % 3;
    atlas_incremental_config_init(&config);
    for (size_t i = 0; i < count; i++) {
        const uint32_t type = byte(world) % 5;
        deltas[i] = (atlas_delta){.type = type, .offset = size_of(world), .length = size_of(world)};
        deltas[i].destination = type == ATLAS_CHANGE_MOVE ? size_of(world) : 0;
        deltas[i].data_size = type <= ATLAS_CHANGE_UPDATE ? small(world) % 200000 : 0;
        deltas[i].data = type <= ATLAS_CHANGE_UPDATE ? data + byte(world) : NULL;
        deltas[i].length = type <= ATLAS_CHANGE_UPDATE && byte(world) % 8 != 0 ? deltas[i].data_size : deltas[i].length;
        deltas[i].length = type == ATLAS_CHANGE_INSERT ? 0 : deltas[i].length;
    }
    switch (byte(world) % 6) {
    case 0:
        check(atlas_projection_apply_batch(projection, deltas, count));
        break;
    case 1:
        check(atlas_projection_rollback(projection, byte(world) % 5));
        break;
    case 2:
        check_honest(atlas_projection_optimize(projection, operation(world, &how)));
        break;
    case 3: {
        const atlas_source *source = ANY(world, sources);
        atlas_projection_info info = {.struct_size = sizeof info};
        if (projection != NULL && atlas_projection_get_info(projection, &info) == 0 && info.domain_size < MOST) {
            check(atlas_projection_insert_source(projection, deltas[0].offset, source, operation(world, &how)));
        }
        break;
    }
    case 4:
        config.validate_conservation = byte(world) % 3;
        config.enable_rollback = byte(world) % 3;
        config.max_deltas = byte(world) % 4;
        check(atlas_projection_configure_incremental(projection, &config));
        break;
    default:
        check(atlas_projection_apply(projection, &deltas[0]));
    }
}

static void cut(struct world *world)
{
    const atlas_projection *projection = ANY(world, projections);
    atlas_shard *made[4] = {NULL};
    atlas_region regions[4];
    atlas_extract_options chosen;
    atlas_operation how;
    uint8_t classes[4];
    const size_t count = byte(world) % 5;
    const unsigned what = byte(world) % 3;
    for (size_t i = 0; i < 4; i++) {
        regions[i] = region(world);
        classes[i] = (uint8_t)(byte(world) % 97);
    }
    const atlas_operation *with = operation(world, &how);
    if (what == 0) {
        KEEP(world, shards, atlas_shard_destroy, made[0], atlas_shard_extract(projection, &regions[0], with, &made[0]));
        return;
    }
    atlas_extract_options_init(&chosen);
    chosen.strategy = byte(world) % 6;
    chosen.max_threads = byte(world) % 4;
    chosen.chunk_size = byte(world) % 3;
    const atlas_status status = what == 1 ? atlas_shard_extract_batch(projection, regions, count, &chosen, with, made)
                                          : atlas_shard_extract_classes(projection, &regions[0], classes, count, with, made);
    check(status);
    for (size_t i = 0; i < count; i++) {
        MUST((made[i] != NULL) == (status == ATLAS_STATUS_OK));
        if (made[i] != NULL) {
            PUT(world, shards, atlas_shard_destroy, made[i]);
        }
    }
}

static void use_shard(struct world *world)
{
    const atlas_shard *shard = ANY(world, shards);
    atlas_shard *again = NULL;
    atlas_compressed_shard *packed = NULL;
    atlas_verify_options trust;
    atlas_operation how;
    atlas_limits limits;
    atlas_compression_config config;
    atlas_shard_info info = {.struct_size = sizeof info};
    atlas_buffer bytes = {NULL, 0};
    atlas_limits_init(&limits);
    switch (byte(world) % 7) {
    case 0: {
        const uint64_t offset = size_of(world);
        check(atlas_shard_read(shard, offset, scratch, small(world)));
        check(atlas_shard_get_info(shard, &info));
        break;
    }
    case 1: {
        const atlas_verify_options *given = verify(world, &trust);
        check(atlas_shard_verify(shard, given, operation(world, &how)));
        break;
    }
    case 2: {
        const atlas_status status = atlas_shard_serialize(shard, &bytes);
        check(status);
        MUST((status == ATLAS_STATUS_OK) == (bytes.data != NULL));
        keep_buffer(world, bytes);
        break;
    }
    case 3: {
        atlas_buffer *from = &ANY(world, buffers);
        const size_t at = small(world);
        if (at < from->size && byte(world) % 2 == 0) {
            from->data[at] ^= (uint8_t)byte(world);
        }
        limits.max_payload_size = byte(world) % 4 == 0 ? size_of(world) : limits.max_payload_size;
        const size_t size = from->size - (from->size != 0 ? byte(world) % 16 == 1 : 0);
        const atlas_verify_options *given = verify(world, &trust);
        KEEP(world, shards, atlas_shard_destroy, again,
             atlas_shard_deserialize(from->data, size, &limits, given, operation(world, &how), &again));
        break;
    }
    case 4:
        atlas_compression_config_init(&config);
        config.algorithm = byte(world) % 7;
        config.level = byte(world) % 12;
        config.block_size = size_of(world);
        config.filter = byte(world) % 4;
        config.min_size_threshold = byte(world);
        config.verify_integrity = byte(world) & 1;
        KEEP(world, compressed, atlas_compressed_shard_destroy, packed,
             atlas_shard_compress(shard, byte(world) % 4 == 0 ? NULL : &config, operation(world, &how), &packed));
        break;
    default: {
        atlas_reconstruction *parts = ANY(world, parts);
        check(atlas_reconstruction_add(parts, shard, operation(world, &how)));
    }
    }
}

static void use_compressed(struct world *world)
{
    const atlas_compressed_shard *packed = ANY(world, compressed);
    atlas_compressed_shard *again = NULL;
    atlas_shard *shard = NULL;
    atlas_verify_options trust;
    atlas_operation how;
    atlas_compressed_info info = {.struct_size = sizeof info};
    atlas_buffer bytes = {NULL, 0};
    switch (byte(world) % 4) {
    case 0: {
        const atlas_verify_options *given = verify(world, &trust);
        KEEP(world, shards, atlas_shard_destroy, shard,
             atlas_shard_decompress(packed, given, operation(world, &how), &shard));
        break;
    }
    case 1: {
        const uint64_t offset = size_of(world);
        check(atlas_compressed_shard_read(packed, offset, scratch, small(world)));
        check(atlas_compressed_shard_get_info(packed, &info));
        break;
    }
    case 2:
        check(atlas_compressed_shard_serialize(packed, &bytes));
        keep_buffer(world, bytes);
        break;
    default: {
        const atlas_buffer *from = &ANY(world, buffers);
        KEEP(world, compressed, atlas_compressed_shard_destroy, again,
             atlas_compressed_shard_deserialize(from->data, from->size, NULL, &again));
    }
    }
}

static void use_manager(struct world *world)
{
    atlas_compression_manager *manager = ANY(world, managers), *made = NULL;
    atlas_operation how;
    atlas_verify_options trust;
    const atlas_shard *shards[3];
    const atlas_compressed_shard *packed[3];
    atlas_shard *new_shards[3] = {NULL};
    atlas_compressed_shard *new_packed[3] = {NULL};
    const size_t count = byte(world) % 4;
    for (size_t i = 0; i < 3; i++) {
        shards[i] = ANY(world, shards);
        packed[i] = ANY(world, compressed);
    }
    switch (byte(world) % 3) {
    case 0:
        KEEP(world, managers, atlas_compression_manager_destroy, made, atlas_compression_manager_create(NULL, &made));
        break;
    case 1:
        check(atlas_compression_manager_compress_batch(manager, shards, count, operation(world, &how), new_packed));
        break;
    default: {
        const atlas_verify_options *given = verify(world, &trust);
        check(atlas_compression_manager_decompress_batch(manager, packed, count, given, operation(world, &how), new_shards));
    }
    }
    for (size_t i = 0; i < 3; i++) {
        atlas_shard_destroy(new_shards[i]);
        atlas_compressed_shard_destroy(new_packed[i]);
    }
}

static void rebuild(struct world *world)
{
    atlas_reconstruction *parts = ANY(world, parts), *made = NULL;
    atlas_projection *whole = NULL;
    atlas_reconstruction_options chosen;
    atlas_operation how;
    atlas_region regions[3];
    size_t count = byte(world) % 4;
    atlas_reconstruction_options_init(&chosen);
    switch (byte(world) % 3) {
    case 0:
        chosen.key = byte(world) % 4 == 0 ? key : NULL;
        chosen.max_domain_size = byte(world) % 4 == 0 ? size_of(world) : 0;
        chosen.spool_path = byte(world) % 4 == 0 ? paths[4] : NULL;
        KEEP(world, parts, atlas_reconstruction_destroy, made, atlas_reconstruction_create(&chosen, &made));
        break;
    case 1: {
        check(atlas_reconstruction_missing(parts, regions, &count));
        MUST(!atlas_reconstruction_is_complete(parts) || atlas_reconstruction_classes_needed(parts) == 0);
        break;
    }
    default: {
        const bool is_complete = atlas_reconstruction_is_complete(parts);
        const atlas_status status = atlas_reconstruction_finish(parts, operation(world, &how), &whole);
        MUST(is_complete || status != ATLAS_STATUS_OK);
        KEEP(world, projections, atlas_projection_destroy, whole, status);
    }
    }
}

static void stream(struct world *world)
{
    atlas_stream *stream = ANY(world, streams), *made = NULL;
    atlas_projection *whole = NULL;
    atlas_projection_options chosen;
    atlas_stream_config config;
    atlas_operation how;
    atlas_chunk chunk = {.struct_size = sizeof chunk};
    atlas_progress progress = {.struct_size = sizeof progress};
    bool has_chunk = false;
    atlas_stream_config_init(&config);
    switch (byte(world) % 6) {
    case 0: {
        const atlas_source *source = ANY(world, sources);
        config.chunk_size = size_of(world);
        config.chunk_overlap = byte(world) % 4 == 0 ? size_of(world) : 0;
        config.parallel_chunks = byte(world) % 4;
        const uint32_t type = type_of(world);
        const atlas_projection_options *given = options(world, &chosen);
        operation(world, &how);
        how.progress = NULL; /* The stream outlives this call. */
        KEEP(world, streams, atlas_stream_destroy, made, atlas_stream_open(type, source, given, &config, &how, &made));
        break;
    }
    case 1: {
        const char *spool = byte(world) % 3 == 0 ? paths[4] : NULL;
        const uint32_t type = type_of(world);
        const atlas_projection_options *given = options(world, &chosen);
        operation(world, &how);
        how.progress = NULL;
        KEEP(world, streams, atlas_stream_destroy, made, atlas_stream_open_push(type, spool, given, NULL, &how, &made));
        break;
    }
    case 2: {
        check(atlas_stream_next(stream, &chunk, &has_chunk));
        MUST(!has_chunk || chunk.size <= MOST);
        break;
    }
    case 3:
        check(atlas_stream_get_progress(stream, &progress));
        (void)atlas_stream_is_complete(stream);
        break;
    case 4:
        KEEP(world, projections, atlas_projection_destroy, whole, atlas_stream_finish(stream, &whole));
        break;
    default:
        check(atlas_stream_push(stream, data, small(world) % 300000));
    }
}

static void contain(struct world *world)
{
    atlas_container *container = ANY(world, containers), *made = NULL;
    const char *path = paths[byte(world) % 2];
    atlas_projection *snapshot = NULL;
    atlas_projection_options chosen;
    atlas_container_create_options create;
    atlas_container_open_options open;
    atlas_commit_options commit;
    atlas_compression_config packing;
    atlas_verify_options trust;
    atlas_operation how;
    atlas_container_info info = {.struct_size = sizeof info};
    atlas_generation_info generation = {.struct_size = sizeof generation};
    uint64_t number = 0;
    size_t size = byte(world);
    atlas_container_create_options_init(&create);
    atlas_container_open_options_init(&open);
    atlas_commit_options_init(&commit);
    switch (byte(world) % 10) {
    case 0: {
        const uint32_t type = type_of(world);
        const unsigned stored = byte(world);
        create.block_log2 = 9 + stored % 8;
        atlas_compression_config_init(&packing);
        packing.algorithm = stored >> 3 & 3;
        packing.filter = stored >> 5 & 1;
        create.compression = stored >= 64 ? &packing : NULL;
        create.keep_chains = byte(world) % 3;
        const atlas_projection_options *given = options(world, &chosen);
        const atlas_operation *with = operation(world, &how);
        (void)unlink(path);
        KEEP(world, containers, atlas_container_destroy, made, atlas_container_create(path, type, given, &create, with, &made));
        break;
    }
    case 1: {
        open.recover = byte(world) % 3;
        const uint32_t mode = byte(world) % 3;
        const atlas_verify_options *given = verify(world, &trust);
        KEEP(world, containers, atlas_container_destroy, made,
             atlas_container_open(path, mode, given, &open, operation(world, &how), &made));
        break;
    }
    case 2:
        check(atlas_container_get_info(container, &info));
        check(atlas_container_get_generation(container, byte(world) % 4, &generation));
        check(atlas_container_get_note(container, byte(world) % 4, scratch, &size));
        break;
    case 3: {
        const uint64_t which = byte(world) % 4;
        const uint32_t reads = byte(world) % 3;
        KEEP(world, projections, atlas_projection_destroy, snapshot,
             atlas_container_snapshot(container, which, reads, operation(world, &how), &snapshot));
        break;
    }
    case 4: {
        const atlas_source *source = ANY(world, sources);
        const atlas_region only = region(world);
        const size_t count = byte(world) % 4 == 0 ? 1 : 0;
        check(atlas_container_import(container, source, count != 0 ? &only : NULL, count, NULL, operation(world, &how), &number));
        break;
    }
    case 5:
        check(atlas_container_refresh(container, operation(world, &how), &number));
        break;
    case 6: {
        const uint64_t from = byte(world) % 4;
        const unsigned to = byte(world);
        const char *target = to < 128 ? paths[to % 2] : to < 192 ? NULL : paths[4];
        check(atlas_container_compact(container, target, from, operation(world, &how)));
        break;
    }
    case 7:
        check(atlas_container_find_damage(container, byte(world) % 3, on_damage, world, operation(world, &how)));
        break;
    default: {
        const atlas_projection *projection = ANY(world, projections);
        commit.note = data;
        commit.note_size = byte(world);
        commit.expected = byte(world) % 16 == 0 ? 1 : 0;
        check(atlas_container_commit(container, projection, &commit, operation(world, &how), &number));
    }
    }
}

static void protect(struct world *world)
{
    atlas_parity *parity = ANY(world, parities), *made = NULL;
    const atlas_source *source = ANY(world, sources);
    atlas_parity_options chosen;
    atlas_parity_report report = {.struct_size = sizeof report};
    atlas_parity_info info = {.struct_size = sizeof info};
    atlas_verify_options trust;
    atlas_operation how;
    const atlas_region only = region(world);
    atlas_parity_options_init(&chosen);
    switch (byte(world) % 5) {
    case 0:
        chosen.rows = byte(world) % 8;
        chosen.parity_columns = byte(world) % 4;
        chosen.unit_size = byte(world) % 4 == 0 ? (uint32_t)small(world) : chosen.unit_size;
        chosen.store_root = byte(world) % 3;
        chosen.key = byte(world) % 4 == 0 ? key : NULL;
        (void)unlink(paths[2]);
        check(atlas_parity_create(source, paths[2], &chosen, operation(world, &how)));
        break;
    case 1: {
        const atlas_verify_options *given = verify(world, &trust);
        KEEP(world, parities, atlas_parity_destroy, made,
             atlas_parity_open(paths[byte(world) % 8 == 7 ? 0 : 2], given, operation(world, &how), &made));
        break;
    }
    case 2:
        check(atlas_parity_check(parity, source, on_damage, world, operation(world, &how), &report));
        break;
    case 3:
        check(atlas_parity_update(parity, source, &only, 1, paths[2], NULL, operation(world, &how)));
        break;
    default:
        check(atlas_parity_get_info(parity, &info));
        check(atlas_parity_restore(parity, source, paths[byte(world) % 2], operation(world, &how)));
    }
}

/* Writes up to 16 bytes into the parity file or the file that is repaired, which nothing else reads, or cuts it. */
static void damage(struct world *world, const char *path)
{
    FILE *file = fopen(path, "r+b");
    if (file == NULL) {
        return;
    }
    const size_t at = small(world), size = byte(world) % 17;
    if (size == 0) {
        MUST(ftruncate(fileno(file), (off_t)at) == 0);
    } else if (fseek(file, (long)at, SEEK_SET) == 0) {
        (void)fwrite(data + byte(world), 1, size, file);
    }
    (void)fclose(file);
}

/* Calls that write or open a file as a whole. */
static void use_files(struct world *world)
{
    const atlas_projection *projection = ANY(world, projections);
    const atlas_container *parts[2] = {ANY(world, containers), ANY(world, containers)};
    const atlas_shard *shard = ANY(world, shards);
    atlas_container *made = NULL;
    atlas_source *file = NULL;
    atlas_repair_options mend;
    atlas_parity_report report = {.struct_size = sizeof report};
    atlas_incremental_stats stats = {.struct_size = sizeof stats};
    atlas_verify_options trust;
    atlas_operation how;
    const atlas_region only = region(world);
    const uint8_t *bytes = NULL;
    size_t size = 0;
    switch (byte(world) % 7) {
    case 0:
        check(atlas_projection_write_file(projection, paths[3], operation(world, &how)));
        break;
    case 1:
        check(atlas_shard_data(shard, &bytes, &size));
        MUST(shard == NULL || bytes != NULL);
        break;
    case 2:
        check(atlas_source_open_file(paths[byte(world) % 2], byte(world) % 4, &file));
        {
            const atlas_verify_options *given = verify(world, &trust);
            KEEP(world, containers, atlas_container_destroy, made,
                 atlas_container_open_source(file, given, NULL, operation(world, &how), &made));
        }
        atlas_source_destroy(file);
        break;
    case 3: {
        const size_t count = byte(world) % 3;
        const char *path = paths[byte(world) % 2];
        (void)unlink(path);
        KEEP(world, containers, atlas_container_destroy, made,
             atlas_container_merge(parts, count, path, NULL, NULL, operation(world, &how), &made));
        break;
    }
    case 4: {
        const size_t count = byte(world) % 2;
        check(atlas_projection_repair_file(projection, paths[3], &only, count, on_damage, world, operation(world, &how)));
        break;
    }
    case 5: {
        const atlas_parity *parity = ANY(world, parities);
        atlas_repair_options_init(&mend);
        mend.mode = byte(world) % 4;
        mend.partial = byte(world) % 3;
        mend.other_path = byte(world) % 2 == 0 ? NULL : paths[4];
        check(atlas_parity_repair(parity, paths[3], &mend, on_damage, world, operation(world, &how), &report));
        break;
    }
    default:
        check(atlas_container_set_base((atlas_container *)(uintptr_t)parts[0], ANY(world, sources)));
        check(atlas_projection_get_incremental_stats(projection, &stats));
        const unsigned which = byte(world) % 4;
        if (which >= 2) {
            damage(world, paths[which]);
        }
    }
}

static void forget(struct world *world)
{
    const unsigned slot = byte(world) % SLOTS;
#define FORGET(kind, destroy)                \
    do {                                     \
        destroy(world->kind[slot]);          \
        world->kind[slot] = NULL;            \
    } while (0)
    switch (byte(world) % 10) {
    case 0: FORGET(sources, atlas_source_destroy); break;
    case 1: FORGET(projections, atlas_projection_destroy); break;
    case 2: FORGET(shards, atlas_shard_destroy); break;
    case 3: FORGET(compressed, atlas_compressed_shard_destroy); break;
    case 4: FORGET(parts, atlas_reconstruction_destroy); break;
    case 5: FORGET(streams, atlas_stream_destroy); break;
    case 6: FORGET(containers, atlas_container_destroy); break;
    case 7: FORGET(parities, atlas_parity_destroy); break;
    case 8: FORGET(managers, atlas_compression_manager_destroy); break;
    default: atlas_manifold_trim();
    }
#undef FORGET
}

/* ---- a run ---------------------------------------------------------------------------------- */

static void remove_folder(void)
{
    for (int i = 0; i < FILES; i++) {
        (void)unlink(paths[i]);
    }
    (void)rmdir(folder);
    atlas_pool_destroy(pool);
    free(data);
    free(scratch);
}

static void begin(void)
{
    const char *temporary = getenv("TMPDIR");
    data = malloc(MOST + 256);
    scratch = malloc(MOST);
    MUST(data != NULL && scratch != NULL);
    for (size_t i = 0; i < MOST + 256; i++) {
        data[i] = (uint8_t)(i * 31 + i / 4093);
    }
    (void)snprintf(folder, sizeof folder, "%s/c_api-XXXXXX", temporary != NULL ? temporary : "/tmp");
    MUST(mkdtemp(folder) != NULL);
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s/%d", folder, i);
    }
    MUST(atlas_pool_create(2, &pool) == ATLAS_STATUS_OK);
    (void)atexit(remove_folder);
}

int atlas_fuzz_c_api(const uint8_t *input, size_t size);

int atlas_fuzz_c_api(const uint8_t *input, size_t size)
{
    static void (*const calls[])(struct world *) = {make_source, make_projection, make_projection, look, look, change, change,
                                                    cut, use_shard, use_shard, use_compressed, use_manager, rebuild, stream,
                                                    contain, contain, protect, use_files, forget};
    if (data == NULL) {
        begin();
    }
    struct world world = {.input = input, .left = size, .reads_left = -1, .callbacks_left = -1};
    world.reads_left = byte(&world) % 4 == 0 ? (int)byte(&world) : -1;
    MUST(atlas_source_copy(data, 70000, &world.sources[0]) == ATLAS_STATUS_OK);
    MUST(atlas_projection_create(type_of(&world), world.sources[0], NULL, NULL, &world.projections[0]) == ATLAS_STATUS_OK);
    for (int i = 0; i < CALLS && world.left != 0; i++) {
        calls[byte(&world) % (sizeof calls / sizeof calls[0])](&world);
    }
    world.reads_left = -1;
    for (int i = 0; i < SLOTS; i++) {
        if (world.projections[i] != NULL) {
            check_honest(atlas_projection_verify(world.projections[i], NULL));
        }
    }
    /* In any order: no handle needs another that is gone. */
    for (int i = 0; i < SLOTS; i++) {
        atlas_source_destroy(world.sources[i]);
        atlas_projection_destroy(world.projections[i]);
        atlas_shard_destroy(world.shards[i]);
        atlas_compressed_shard_destroy(world.compressed[i]);
        atlas_reconstruction_destroy(world.parts[i]);
        atlas_stream_destroy(world.streams[i]);
        atlas_container_destroy(world.containers[i]);
        atlas_parity_destroy(world.parities[i]);
        atlas_compression_manager_destroy(world.managers[i]);
        atlas_buffer_free(&world.buffers[i]);
    }
    for (int i = 0; i < FILES; i++) {
        (void)unlink(paths[i]);
    }
    return 0;
}
