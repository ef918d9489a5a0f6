/* Eight threads read, extract, verify and edit one projection, of either type, against a model.
 *
 * The domain is eight lanes of cells, a lane a thread. A cell holds a number that its lane alone
 * writes, eight times over, so that whoever reads it can tell a cell that is half of one state and
 * half of another; a thread knows its own lane byte by byte. The first and the last cell of a lane
 * change together, in one batch. The last lane also grows and shrinks, where no other lane is moved
 * by it. */
#include "check.h"

#include <pthread.h>

enum { THREADS = 8, CELL = 64, MOST_EXTRA = 40 };

typedef struct stage {
    atlas_projection *projection;
    const atlas_pool *pool;
    uint32_t type;
    size_t lane_size;
    int rounds;
} stage;

typedef struct lane {
    pthread_t thread;
    const stage *on;
    size_t index;
    uint64_t version;
    uint8_t *model;
    size_t size;
    random_state random;
} lane;

static void fill_cell(uint8_t *cell, size_t owner, uint64_t version)
{
    for (uint64_t word = 0; word < CELL / 8; word++) {
        const uint64_t value = ((uint64_t)owner << 56 | version) ^ (word * UINT64_C(0x0101010101010101));
        memcpy(cell + 8 * word, &value, 8);
    }
}

/* Whole, and of the lane that it is in. */
static uint64_t version_of(const uint8_t *cell, size_t owner)
{
    uint64_t first = 0;
    memcpy(&first, cell, 8);
    CHECK_EQ(first >> 56, owner);
    uint8_t whole[CELL];
    fill_cell(whole, owner, first & UINT64_C(0xFFFFFFFFFFFFFF));
    CHECK(memcmp(cell, whole, CELL) == 0);
    return first;
}

static size_t lane_start(const lane *self) { return self->index * self->on->lane_size; }

static atlas_delta change(uint32_t type, uint64_t offset, uint64_t length, const uint8_t *data, size_t size)
{
    atlas_delta delta = {type, offset, length, 0, data, size};
    return delta;
}

/* Some cells of its own: one version, one delta. */
static void overwrite(lane *self)
{
    const size_t cells = self->on->lane_size / CELL;
    const size_t first = 1 + (size_t)random_below(&self->random, cells - 2);
    size_t count = 1 + (size_t)random_below(&self->random, 60);
    if (count > cells - 1 - first) {
        count = cells - 1 - first;
    }
    self->version++;
    uint8_t *const data = self->model + first * CELL;
    for (size_t i = 0; i < count; i++) {
        fill_cell(data + i * CELL, self->index, self->version);
    }
    const atlas_delta delta =
        change(ATLAS_CHANGE_UPDATE, lane_start(self) + first * CELL, count * CELL, data, count * CELL);
    CHECK_OK(atlas_projection_apply(self->on->projection, &delta));
}

/* The first and the last cell at once, and a batch that fails behind them and so does nothing. */
static void overwrite_both_ends(lane *self)
{
    const uint64_t start = lane_start(self);
    const size_t last = self->on->lane_size - CELL;
    uint8_t cell[CELL];
    fill_cell(cell, self->index, self->version + 1);
    const atlas_delta deltas[] = {
        change(ATLAS_CHANGE_UPDATE, start, CELL, cell, CELL),
        change(ATLAS_CHANGE_UPDATE, start + last, CELL, cell, CELL),
        change(ATLAS_CHANGE_DELETE, UINT64_MAX - 5, 3, NULL, 0),
    };
    CHECK_STATUS(atlas_projection_apply_batch(self->on->projection, deltas, 3),
                 ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_EQ(last_error().index, 2);
    CHECK_OK(atlas_projection_apply_batch(self->on->projection, deltas, 2));
    self->version++;
    memcpy(self->model, cell, CELL);
    memcpy(self->model + last, cell, CELL);
}

/* The last lane alone: a cell more at its end, or less. */
static void grow_or_shrink(lane *self)
{
    const size_t base = self->on->lane_size;
    if (self->size == base || (self->size < base + MOST_EXTRA * CELL && random_below(&self->random, 2) == 0)) {
        /* Anywhere behind the lane proper. */
        const size_t at = base + CELL * (size_t)random_below(&self->random, (self->size - base) / CELL + 1);
        memmove(self->model + at + CELL, self->model + at, self->size - at);
        fill_cell(self->model + at, self->index, ++self->version);
        self->size += CELL;
        const atlas_delta delta =
            change(ATLAS_CHANGE_INSERT, lane_start(self) + at, 0, self->model + at, CELL);
        CHECK_OK(atlas_projection_apply(self->on->projection, &delta));
    } else {
        self->size -= CELL;
        const atlas_delta delta = change(ATLAS_CHANGE_DELETE, lane_start(self) + self->size, CELL, NULL, 0);
        CHECK_OK(atlas_projection_apply(self->on->projection, &delta));
    }
}

/* Bytes of a state that no one else writes to: cells of all lanes whole, one's own as the model. */
static void check_bytes(const lane *self, const uint8_t *data, uint64_t offset, size_t size)
{
    for (size_t at = (CELL - offset % CELL) % CELL; at + CELL <= size; at += CELL) {
        const size_t owner = (size_t)((offset + at) / self->on->lane_size);
        (void)version_of(data + at, owner < THREADS ? owner : THREADS - 1);
    }
    const uint64_t start = lane_start(self);
    for (size_t i = 0; i < size; i++) {
        if (offset + i >= start && offset + i < start + self->size) {
            CHECK(data[i] == self->model[offset + i - start]);
        }
    }
}

static atlas_region any_region(lane *self, size_t most)
{
    const size_t domain = THREADS * self->on->lane_size;
    atlas_region region = {random_below(&self->random, domain), 1 + random_below(&self->random, most)};
    if (region.length > domain - region.offset) {
        region.length = domain - region.offset;
    }
    return region;
}

static void read_live(lane *self, uint8_t *buffer)
{
    const atlas_region region = any_region(self, 30000);
    CHECK_OK(atlas_projection_read(self->on->projection, region.offset, buffer, (size_t)region.length));
    check_bytes(self, buffer, region.offset, (size_t)region.length);
}

static void check_snapshot(lane *self, const atlas_operation *operation, uint8_t *buffer)
{
    atlas_projection *snapshot = NULL;
    CHECK_OK(atlas_projection_snapshot(self->on->projection, &snapshot));
    uint8_t root[32];
    CHECK_OK(atlas_projection_root(snapshot, operation, root));
    for (size_t owner = 0; owner < THREADS; owner++) {
        const uint64_t start = owner * self->on->lane_size;
        CHECK_OK(atlas_projection_read(snapshot, start, buffer, CELL));
        CHECK_OK(atlas_projection_read(snapshot, start + self->on->lane_size - CELL, buffer + CELL, CELL));
        CHECK_EQ(version_of(buffer, owner), version_of(buffer + CELL, owner));
    }
    enum { REGIONS = 5 };
    atlas_region regions[REGIONS];
    atlas_shard *shards[REGIONS];
    for (size_t i = 0; i < REGIONS; i++) {
        regions[i] = any_region(self, 20000);
    }
    atlas_extract_options options;
    atlas_extract_options_init(&options);
    options.strategy = (uint32_t)random_below(&self->random, 5);
    if (options.strategy == ATLAS_PARALLEL_POOL && operation->pool == NULL) {
        options.strategy = ATLAS_PARALLEL_WORK_STEALING;
    }
    CHECK_OK(atlas_shard_extract_batch(snapshot, regions, REGIONS, &options, operation, shards));
    /* The shards outlive their state. */
    atlas_projection_destroy(snapshot);
    overwrite(self);
    overwrite_both_ends(self);
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.expected_root = root;
    for (size_t i = 0; i < REGIONS; i++) {
        CHECK_OK(atlas_shard_verify(shards[i], &verify, operation));
        CHECK_OK(atlas_shard_read(shards[i], regions[i].offset, buffer, (size_t)regions[i].length));
        for (size_t at = (CELL - regions[i].offset % CELL) % CELL; at + CELL <= regions[i].length; at += CELL) {
            (void)version_of(buffer + at, (size_t)((regions[i].offset + at) / self->on->lane_size));
        }
        atlas_shard_destroy(shards[i]);
    }
}

/* A shard of the projection as it is at that moment, whose root is in it. */
static void extract_live(lane *self, const atlas_operation *operation, uint8_t *buffer)
{
    const atlas_region region = any_region(self, 20000);
    atlas_shard *shard = NULL;
    CHECK_OK(atlas_shard_extract(self->on->projection, &region, operation, &shard));
    CHECK_OK(atlas_shard_verify(shard, NULL, operation));
    CHECK_OK(atlas_shard_read(shard, region.offset, buffer, (size_t)region.length));
    check_bytes(self, buffer, region.offset, (size_t)region.length);
    atlas_shard_destroy(shard);
}

static void *work(void *argument)
{
    lane *self = (lane *)argument;
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = self->on->pool;
    uint8_t *buffer = random_bytes(65536, 1);
    for (int round = 0; round < self->on->rounds; round++) {
        overwrite(self);
        read_live(self, buffer);
        switch (random_below(&self->random, 6)) {
        case 0:
            overwrite_both_ends(self);
            break;
        case 1:
            check_snapshot(self, &operation, buffer);
            break;
        case 2:
            extract_live(self, &operation, buffer);
            break;
        case 3:
            CHECK_OK(atlas_projection_verify(self->on->projection, &operation));
            break;
        case 4: {
            uint8_t root[32];
            CHECK_OK(atlas_projection_root(self->on->projection, &operation, root));
            break;
        }
        default:
            if (self->index == THREADS - 1) {
                grow_or_shrink(self);
            }
        }
        read_live(self, buffer);
    }
    free(buffer);
    return NULL;
}

static void run(uint32_t type, size_t lane_size, int rounds, const atlas_pool *pool)
{
    lane lanes[THREADS];
    uint8_t *bytes = random_bytes(THREADS * lane_size, 1);
    for (size_t cell = 0; cell < THREADS * lane_size / CELL; cell++) {
        fill_cell(bytes + cell * CELL, cell * CELL / lane_size, 0);
    }
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_copy(bytes, THREADS * lane_size, &source));
    stage on = {NULL, pool, type, lane_size, rounds};
    CHECK_OK(atlas_projection_create(type, source, NULL, NULL, &on.projection));
    atlas_source_destroy(source);
    for (size_t i = 0; i < THREADS; i++) {
        lanes[i] = (lane){.on = &on, .index = i, .size = lane_size, .random = {900 + i}};
        lanes[i].model = (uint8_t *)malloc(lane_size + (MOST_EXTRA + 1) * CELL);
        CHECK(lanes[i].model != NULL);
        memcpy(lanes[i].model, bytes + i * lane_size, lane_size);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&lanes[i].thread, NULL, work, &lanes[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(lanes[i].thread, NULL) == 0);
    }

    /* The result is that of all writers together, and hashes like a fresh projection. */
    const size_t size = (THREADS - 1) * lane_size + lanes[THREADS - 1].size;
    free(bytes);
    bytes = random_bytes(size, 1);
    for (size_t i = 0; i < THREADS; i++) {
        memcpy(bytes + i * lane_size, lanes[i].model, lanes[i].size);
        free(lanes[i].model);
    }
    atlas_projection_info info = {.struct_size = sizeof info};
    CHECK_OK(atlas_projection_get_info(on.projection, &info));
    CHECK_EQ(info.domain_size, size);
    CHECK_EQ(info.residue, residue_of(bytes, size));
    uint8_t *found = random_bytes(size, 2);
    CHECK_OK(atlas_projection_read(on.projection, 0, found, size));
    CHECK(memcmp(found, bytes, size) == 0);
    CHECK_OK(atlas_projection_verify(on.projection, NULL));
    CHECK_OK(atlas_projection_optimize(on.projection, NULL));
    atlas_source *again = borrowed(bytes, size);
    atlas_projection *fresh = NULL;
    CHECK_OK(atlas_projection_create(type, again, NULL, NULL, &fresh));
    uint8_t roots[2][32];
    root_of(on.projection, roots[0]);
    root_of(fresh, roots[1]);
    CHECK(memcmp(roots[0], roots[1], 32) == 0);
    atlas_projection_destroy(fresh);
    atlas_source_destroy(again);
    atlas_projection_destroy(on.projection);
    free(found);
    free(bytes);
}

int main(void)
{
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(3, &pool));
    const bool small = small_run();
    /* Several tiles with lanes across their seams; R96 transforms whole tiles, so its domain is less. */
    run(ATLAS_PROJECTION_LINEAR, small ? 300 * 1024 : 600 * 1024, small ? 12 : 300, pool);
    run(ATLAS_PROJECTION_LINEAR, 32 * 1024, small ? 12 : 300, NULL);
    run(ATLAS_PROJECTION_R96_FOURIER, small ? 8 * 1024 : 160 * 1024, small ? 4 : 40, pool);
    atlas_pool_destroy(pool);
    return 0;
}
