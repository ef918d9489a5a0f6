/* Incremental updates: each kind against a plain array, batches, undo, STRICT, every refusal without
 * effect, snapshots and shards of old states. */
#include "check.h"

typedef struct byte_array {
    uint8_t *data;
    size_t size;
} byte_array;

static byte_array copied(const byte_array *from)
{
    byte_array copy = {(uint8_t *)malloc(from->size + 1), from->size};
    CHECK(copy.data != NULL);
    memcpy(copy.data, from->data, from->size);
    return copy;
}

/* Puts `data` in place of `length` bytes. */
static void splice(byte_array *model, size_t offset, size_t length, const uint8_t *data, size_t data_size)
{
    uint8_t *next = (uint8_t *)malloc(model->size - length + data_size + 1);
    CHECK(next != NULL);
    memcpy(next, model->data, offset);
    if (data_size > 0) {
        memcpy(next + offset, data, data_size);
    }
    memcpy(next + offset + data_size, model->data + offset + length, model->size - offset - length);
    free(model->data);
    model->data = next;
    model->size = model->size - length + data_size;
}

static atlas_projection_info info_of(const atlas_projection *projection)
{
    atlas_projection_info info;
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_projection_get_info(projection, &info));
    return info;
}

static atlas_incremental_stats stats_of(const atlas_projection *projection)
{
    atlas_incremental_stats stats;
    memset(&stats, 0xA5, sizeof stats);
    stats.struct_size = (uint32_t)sizeof stats;
    CHECK_OK(atlas_projection_get_incremental_stats(projection, &stats));
    return stats;
}

static void check_is(const atlas_projection *projection, const byte_array *model)
{
    const atlas_projection_info info = info_of(projection);
    CHECK_EQ(info.domain_size, model->size);
    CHECK_EQ(info.residue, residue_of(model->data, model->size));
    CHECK(info.tile_count <= 2 * ((model->size + TILE - 1) / TILE) + 8);
    uint8_t *found = (uint8_t *)malloc(model->size + 1);
    CHECK(found != NULL);
    CHECK_OK(atlas_projection_read(projection, 0, found, model->size));
    CHECK(memcmp(found, model->data, model->size) == 0);
    free(found);
}

static void check_optimised(atlas_projection *projection, const byte_array *model)
{
    CHECK_OK(atlas_projection_optimize(projection, NULL));
    CHECK_EQ(info_of(projection).canonical, 1);
    CHECK_EQ(atlas_projection_history_len(projection), 0);
    check_is(projection, model);
    atlas_projection *fresh = projected_bytes(model->data, model->size);
    uint8_t left[32], right[32];
    root_of(projection, left);
    root_of(fresh, right);
    CHECK(memcmp(left, right, 32) == 0);
    atlas_projection_destroy(fresh);
}

static atlas_delta delta_of(uint32_t type, uint64_t offset, uint64_t length, const void *data, size_t size)
{
    atlas_delta delta = {type, offset, length, 0, data, size};
    return delta;
}

static void insert(atlas_projection *projection, uint64_t offset, const void *data, size_t size)
{
    const atlas_delta delta = delta_of(ATLAS_CHANGE_INSERT, offset, 0, data, size);
    CHECK_OK(atlas_projection_apply(projection, &delta));
}

static void each_kind_does_what_it_says(void)
{
    static const uint8_t letters[] = "0123456789";
    atlas_projection *projection = projected_bytes(letters, 10);
    const struct {
        atlas_delta delta;
        const char *wanted;
    } steps[] = {
        {{ATLAS_CHANGE_INSERT, 0, 77, 77, "ab", 2}, "ab0123456789"},
        {{ATLAS_CHANGE_INSERT, 12, 0, 0, "yz", 2}, "ab0123456789yz"},
        {{ATLAS_CHANGE_UPDATE, 1, 3, 0, "XYZ", 3}, "aXYZ23456789yz"},
        {{ATLAS_CHANGE_UPDATE, 1, 3, 0, "longer", 6}, "alonger23456789yz"},
        {{ATLAS_CHANGE_UPDATE, 1, 6, 0, NULL, 0}, "a23456789yz"},
        {{ATLAS_CHANGE_UPDATE, 11, 0, 0, "!", 1}, "a23456789yz!"},
        {{ATLAS_CHANGE_DELETE, 9, 3, 99, NULL, 5}, "a23456789"},
        {{ATLAS_CHANGE_MOVE, 0, 1, 9, NULL, 5}, "23456789a"},
        {{ATLAS_CHANGE_MOVE, 6, 2, 0, NULL, 0}, "89234567a"},
        {{ATLAS_CHANGE_MOVE, 1, 3, 6, NULL, 0}, "84592367a"},
        {{ATLAS_CHANGE_MOVE, 1, 3, 1, NULL, 0}, "84592367a"},
        {{ATLAS_CHANGE_MOVE, 1, 3, 4, NULL, 0}, "84592367a"},
        {{ATLAS_CHANGE_DELETE, 9, 0, 0, NULL, 0}, "84592367a"},
        {{ATLAS_CHANGE_DELETE, 0, 9, 0, NULL, 0}, ""},
        {{ATLAS_CHANGE_INSERT, 0, 0, 0, "again", 5}, "again"},
    };
    const size_t count = sizeof steps / sizeof steps[0];
    for (size_t i = 0; i < count; i++) {
        CHECK_OK(atlas_projection_apply(projection, &steps[i].delta));
        char found[32] = {0};
        CHECK_EQ(info_of(projection).domain_size, strlen(steps[i].wanted));
        CHECK_OK(atlas_projection_read(projection, 0, found, strlen(steps[i].wanted)));
        CHECK(strcmp(found, steps[i].wanted) == 0);
        CHECK_EQ(atlas_projection_history_len(projection), i + 1);
    }
    const atlas_incremental_stats stats = stats_of(projection);
    CHECK_EQ(stats.struct_size, sizeof stats);
    CHECK_EQ(stats.total_updates, count);
    CHECK_EQ(stats.insert_operations, 3);
    CHECK_EQ(stats.update_operations, 4);
    CHECK_EQ(stats.delete_operations, 3);
    CHECK_EQ(stats.move_operations, 5);
    CHECK_EQ(stats.rollbacks, 0);
    CHECK_EQ(stats.conservation_violations, 0);
    for (size_t i = count; i > 1; i--) {
        CHECK_OK(atlas_projection_rollback(projection, 1));
        char found[32] = {0};
        CHECK_OK(atlas_projection_read(projection, 0, found, strlen(steps[i - 2].wanted)));
        CHECK(strcmp(found, steps[i - 2].wanted) == 0);
    }
    CHECK_EQ(stats_of(projection).rollbacks, count - 1);
    atlas_projection_destroy(projection);
}

static void random_edits_agree_with_an_array(uint64_t seed, size_t size)
{
    random_state random = {seed};
    byte_array now = {random_bytes(size, seed), size};
    const byte_array original = copied(&now);
    atlas_projection *projection = projected_bytes(original.data, size);
    uint8_t first[32], again[32];
    root_of(projection, first);
    const int steps = small_run() ? 20 : 150;
    for (int i = 0; i < steps; i++) {
        const size_t offset = (size_t)random_below(&random, now.size + 1);
        size_t length = (size_t)random_below(&random, 20000);
        length = length < now.size - offset ? length : now.size - offset;
        const size_t put = random_below(&random, 3) == 0 ? length : (size_t)random_below(&random, 20000);
        uint8_t *data = random_bytes(put, random_next(&random));
        const atlas_delta delta = delta_of(ATLAS_CHANGE_UPDATE, offset, length, data, put);
        CHECK_OK(atlas_projection_apply(projection, &delta));
        splice(&now, offset, length, data, put);
        free(data);
        if (i % 10 == 0) {
            check_is(projection, &now);
            CHECK_OK(atlas_projection_verify(projection, NULL));
        }
    }
    atlas_projection *other = NULL;
    CHECK_OK(atlas_projection_snapshot(projection, &other));
    CHECK_EQ(atlas_projection_history_len(other), 0);
    CHECK_OK(atlas_projection_rollback(projection, (uint64_t)steps));
    check_is(projection, &original);
    root_of(projection, again);
    CHECK(memcmp(first, again, 32) == 0);
    check_optimised(other, &now);
    atlas_projection_destroy(other);
    check_optimised(projection, &original);
    atlas_projection_destroy(projection);
    free(original.data);
    free(now.data);
}

static void refusals_change_nothing(void)
{
    byte_array now = {random_bytes(TILE + 5, 3), TILE + 5};
    atlas_projection *projection = projected_bytes(now.data, now.size);
    uint8_t before[32], after[32];
    root_of(projection, before);
    const atlas_delta outside[] = {
        {ATLAS_CHANGE_INSERT, TILE + 6, 0, 0, "x", 1},
        {ATLAS_CHANGE_INSERT, UINT64_MAX, 0, 0, "x", 1},
        {ATLAS_CHANGE_UPDATE, TILE, 6, 0, "x", 1},
        {ATLAS_CHANGE_DELETE, 1, UINT64_MAX, 0, NULL, 0},
        {ATLAS_CHANGE_DELETE, UINT64_MAX, UINT64_MAX, 0, NULL, 0},
        {ATLAS_CHANGE_MOVE, 0, TILE + 6, 0, NULL, 0},
        {ATLAS_CHANGE_MOVE, 0, 1, TILE + 6, NULL, 0},
    };
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        CHECK_STATUS(atlas_projection_apply(projection, &outside[i]), ATLAS_STATUS_OUT_OF_RANGE);
        const atlas_delta batch[] = {{ATLAS_CHANGE_DELETE, 0, 1, 0, NULL, 0},
                                     {ATLAS_CHANGE_INSERT, 0, 0, 0, "y", 1},
                                     outside[i]};
        CHECK_STATUS(atlas_projection_apply_batch(projection, batch, 3), ATLAS_STATUS_OUT_OF_RANGE);
        CHECK_EQ(last_error().index, 2);
    }
    const atlas_delta wrong[] = {
        {4, 0, 0, 0, NULL, 0},
        {UINT32_MAX, 0, 0, 0, NULL, 0},
        {ATLAS_CHANGE_INSERT, 0, 0, 0, NULL, 1},
        {ATLAS_CHANGE_UPDATE, 0, 0, 0, NULL, 1},
        {ATLAS_CHANGE_MOVE, 5, 10, 6, NULL, 0},
        {ATLAS_CHANGE_MOVE, 5, 10, 14, NULL, 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_STATUS(atlas_projection_apply(projection, &wrong[i]), ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK_STATUS(atlas_projection_apply_batch(projection, &wrong[i], 1), ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK_EQ(last_error().index, 0);
    }
    CHECK_STATUS(atlas_projection_apply(projection, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_projection_apply(NULL, &outside[0]), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_projection_apply_batch(projection, NULL, 1), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_OK(atlas_projection_apply_batch(projection, NULL, 0));
    CHECK_STATUS(atlas_projection_rollback(projection, 1), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_STATUS(atlas_projection_rollback(projection, UINT64_MAX), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_OK(atlas_projection_rollback(projection, 0));
    CHECK_EQ(atlas_projection_history_len(projection), 0);
    CHECK_EQ(atlas_projection_history_len(NULL), 0);
    CHECK_EQ(stats_of(projection).total_updates, 0);
    check_is(projection, &now);
    root_of(projection, after);
    CHECK(memcmp(before, after, 32) == 0);
    atlas_projection_destroy(projection);
    free(now.data);
}

static void strict_projections_stay_balanced(void)
{
    uint8_t data[960];
    memset(data, 32, sizeof data);
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.conservation = ATLAS_CONSERVATION_STRICT;
    atlas_source *source = borrowed(data, sizeof data);
    atlas_projection *projection = projected(source, &options);
    atlas_source_destroy(source);
    const atlas_delta lone = {ATLAS_CHANGE_INSERT, 9, 0, 0, "\x05\x06", 2};
    CHECK_STATUS(atlas_projection_apply(projection, &lone), ATLAS_STATUS_CONSERVATION);
    CHECK_SAYS("85");
    CHECK_EQ(stats_of(projection).conservation_violations, 1);
    CHECK_EQ(info_of(projection).domain_size, sizeof data);
    const atlas_delta pair[] = {lone, {ATLAS_CHANGE_INSERT, 0, 0, 0, "\x55", 1}};
    CHECK_OK(atlas_projection_apply_batch(projection, pair, 2));
    CHECK_EQ(info_of(projection).domain_size, sizeof data + 3);
    CHECK_EQ(info_of(projection).residue, 0);
    CHECK_STATUS(atlas_projection_rollback(projection, 1), ATLAS_STATUS_CONSERVATION);
    CHECK_EQ(atlas_projection_history_len(projection), 2);
    CHECK_OK(atlas_projection_rollback(projection, 2));
    CHECK_EQ(info_of(projection).domain_size, sizeof data);
    atlas_projection_destroy(projection);
}

static void the_history_is_as_long_as_asked_for(void)
{
    atlas_projection *projection = projected_bytes("", 0);
    atlas_incremental_config config;
    memset(&config, 0xA5, sizeof config);
    atlas_incremental_config_init(&config);
    CHECK_EQ(config.struct_size, sizeof config);
    CHECK_EQ(config.validate_conservation, 1);
    CHECK_EQ(config.enable_rollback, 1);
    CHECK_EQ(config.max_deltas, 1000);
    config.max_deltas = 3;
    CHECK_OK(atlas_projection_configure_incremental(projection, &config));
    for (int i = 0; i < 5; i++) {
        insert(projection, 0, "x", 1);
    }
    CHECK_EQ(atlas_projection_history_len(projection), 3);
    CHECK_STATUS(atlas_projection_rollback(projection, 4), ATLAS_STATUS_OUT_OF_RANGE);
    config.max_deltas = 1;
    CHECK_OK(atlas_projection_configure_incremental(projection, &config));
    CHECK_EQ(atlas_projection_history_len(projection), 1);
    CHECK_OK(atlas_projection_rollback(projection, 1));
    CHECK_EQ(info_of(projection).domain_size, 4);
    config.enable_rollback = 0;
    CHECK_OK(atlas_projection_configure_incremental(projection, &config));
    insert(projection, 0, "x", 1);
    CHECK_EQ(atlas_projection_history_len(projection), 0);
    CHECK_OK(atlas_projection_configure_incremental(projection, NULL));
    for (int i = 0; i < 1005; i++) {
        insert(projection, 0, "x", 1);
    }
    CHECK_EQ(atlas_projection_history_len(projection), 1000);
    config.struct_size = 0;
    CHECK_STATUS(atlas_projection_configure_incremental(projection, &config),
                 ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(atlas_projection_configure_incremental(NULL, NULL), ATLAS_STATUS_INVALID_ARGUMENT);
    atlas_projection_destroy(projection);
}

static void a_source_that_changed_is_never_a_new_truth(void)
{
    uint8_t *data = random_bytes(2 * TILE, 7);
    atlas_projection *projection = projected_bytes(data, 2 * TILE);
    const atlas_delta delta = {ATLAS_CHANGE_UPDATE, 500, 3, 0, "abc", 3};
    CHECK_OK(atlas_projection_apply(projection, &delta));
    data[900000] ^= 1;
    uint8_t root[32];
    CHECK_STATUS(atlas_projection_root(projection, NULL, root), ATLAS_STATUS_WITNESS);
    CHECK_EQ(last_error().index, 0);
    CHECK_STATUS(atlas_projection_optimize(projection, NULL), ATLAS_STATUS_WITNESS);
    CHECK_EQ(atlas_projection_history_len(projection), 1);
    data[900000] ^= 1;
    CHECK_OK(atlas_projection_root(projection, NULL, root));
    CHECK_OK(atlas_projection_verify(projection, NULL));
    atlas_projection_destroy(projection);
    free(data);
}

static void shards_and_snapshots_keep_their_state(void)
{
    uint8_t *data = random_bytes(3 * TILE, 8);
    atlas_projection *projection = projected_bytes(data, 3 * TILE), *snapshot = NULL;
    insert(projection, TILE / 2, data, 10000);
    uint8_t root[32], other[32];
    root_of(projection, root);
    atlas_shard *shard = extracted(projection, TILE / 2 - 100, 20000);
    CHECK_OK(atlas_projection_snapshot(projection, &snapshot));
    const atlas_delta delta = {ATLAS_CHANGE_DELETE, 0, 2 * TILE, 0, NULL, 0};
    CHECK_OK(atlas_projection_apply(projection, &delta));
    atlas_verify_options trust;
    atlas_verify_options_init(&trust);
    trust.expected_root = root;
    CHECK_OK(atlas_shard_verify(shard, &trust, NULL));
    root_of(snapshot, other);
    CHECK(memcmp(root, other, 32) == 0);
    root_of(projection, other);
    CHECK(memcmp(root, other, 32) != 0);
    trust.expected_root = other;
    CHECK_STATUS(atlas_shard_verify(shard, &trust, NULL), ATLAS_STATUS_WITNESS);
    atlas_projection_destroy(projection);
    CHECK_OK(atlas_projection_verify(snapshot, NULL));
    atlas_projection_destroy(snapshot);
    atlas_shard_destroy(shard);
    free(data);
}

int main(void)
{
    TEST(each_kind_does_what_it_says);
    const size_t sizes[] = {0, 1, TILE - 1, TILE, TILE + 1, 2 * TILE + 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        random_edits_agree_with_an_array(i + 1, sizes[i]);
    }
    TEST(refusals_change_nothing);
    TEST(strict_projections_stay_balanced);
    TEST(the_history_is_as_long_as_asked_for);
    TEST(a_source_that_changed_is_never_a_new_truth);
    TEST(shards_and_snapshots_keep_their_state);
    return 0;
}
