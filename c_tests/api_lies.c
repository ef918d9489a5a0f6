/* A source that lies once, in an order that the sum of the bytes does not show: an edit during which it does so is
 * refused or right, and nothing of it is left once the source is honest again. */
#include "check.h"

#define SIZE (2 * TILE + 12345)

typedef struct liar {
    const uint8_t *data;
    uint64_t first, second; /* the two bytes that change places, if both are in a read */
    int lies;               /* how many more times */
} liar;

static int read_at(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    liar *source = (liar *)user_data;
    uint8_t *out = (uint8_t *)buffer;
    memcpy(out, source->data + offset, size);
    if (source->lies > 0 && source->first >= offset && source->second < offset + size) {
        source->lies--;
        const uint8_t saved = out[source->first - offset];
        out[source->first - offset] = out[source->second - offset];
        out[source->second - offset] = saved;
    }
    return 0;
}

static atlas_delta edit_of(uint32_t kind)
{
    atlas_delta delta;
    memset(&delta, 0, sizeof delta);
    delta.type = kind;
    delta.offset = TILE + 20000;
    static const uint8_t put[15] = "fifteen bytes!";
    if (kind == ATLAS_CHANGE_INSERT || kind == ATLAS_CHANGE_UPDATE) {
        delta.data = put;
        delta.data_size = sizeof put;
    }
    if (kind == ATLAS_CHANGE_DELETE || kind == ATLAS_CHANGE_UPDATE) {
        delta.length = 15;
    }
    if (kind == ATLAS_CHANGE_MOVE) {
        delta.length = 100;
        delta.destination = TILE + 90001;
    }
    return delta;
}

static void root_after(const uint8_t *data, const atlas_delta *delta, uint32_t type, uint8_t root[32],
                       uint32_t *residue)
{
    atlas_source *source = borrowed(data, SIZE);
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(type, source, NULL, NULL, &projection));
    CHECK_OK(atlas_projection_apply(projection, delta));
    root_of(projection, root);
    atlas_projection_info info;
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_projection_get_info(projection, &info));
    *residue = info.residue;
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
}

/* Each pair of places around the edit, and each edit: the lie comes with the first read that has both. */
static void one_wrong_read_leaves_nothing(const uint8_t *data, uint32_t type)
{
    static const int64_t places[][2] = {{-9, 3}, {-3, 20}, {5, 30}, {-200, -1}, {-5000, 6000}, {0, 16}};
    static const uint32_t kinds[] = {ATLAS_CHANGE_INSERT, ATLAS_CHANGE_UPDATE, ATLAS_CHANGE_DELETE,
                                     ATLAS_CHANGE_MOVE};
    atlas_pool *one = NULL;
    CHECK_OK(atlas_pool_create(1, &one));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = one;
    for (size_t kind = 0; kind < 4; kind++) {
        const atlas_delta delta = edit_of(kinds[kind]);
        uint8_t wanted[32], found[32];
        uint32_t residue = 0;
        root_after(data, &delta, type, wanted, &residue);
        for (size_t place = 0; place < sizeof places / sizeof places[0]; place++) {
            liar source = {data, (uint64_t)((int64_t)delta.offset + places[place][0]),
                           (uint64_t)((int64_t)delta.offset + places[place][1]), 0};
            CHECK(data[source.first] % 96 != data[source.second] % 96);
            atlas_source *lying = NULL;
            CHECK_OK(atlas_source_from_callback(SIZE, read_at, NULL, &source, &lying));
            atlas_projection *projection = NULL;
            CHECK_OK(atlas_projection_create(type, lying, NULL, &operation, &projection));
            source.lies = 1;
            const atlas_status status = atlas_projection_apply(projection, &delta);
            source.lies = 0;
            CHECK(status == ATLAS_STATUS_OK || status == ATLAS_STATUS_WITNESS);
            if (status == ATLAS_STATUS_WITNESS) {
                CHECK_OK(atlas_projection_apply(projection, &delta));
            }
            atlas_projection_info info;
            info.struct_size = (uint32_t)sizeof info;
            CHECK_OK(atlas_projection_get_info(projection, &info));
            CHECK_EQ(info.residue, residue);
            root_of(projection, found);
            CHECK(memcmp(found, wanted, 32) == 0);
            CHECK_OK(atlas_projection_verify(projection, NULL));
            atlas_projection_destroy(projection);
            atlas_source_destroy(lying);
        }
    }
    atlas_pool_destroy(one);
}

/* STRICT refuses bytes that add to the sum, whatever a source says of the bytes once. */
static void strict_cannot_be_talked_round(void)
{
    uint8_t *data = (uint8_t *)calloc(SIZE, 1);
    CHECK(data != NULL);
    data[TILE + 20003] = 8;
    liar source = {data, TILE + 20003, TILE + 20100, 0};
    atlas_source *lying = NULL;
    CHECK_OK(atlas_source_from_callback(SIZE, read_at, NULL, &source, &lying));
    atlas_projection_options options;
    atlas_projection_options_init(&options);
    options.conservation = ATLAS_CONSERVATION_STRICT;
    data[5] = 88;
    atlas_projection *projection = NULL;
    CHECK_OK(atlas_projection_create(ATLAS_PROJECTION_LINEAR, lying, &options, NULL, &projection));
    const atlas_delta delta = edit_of(ATLAS_CHANGE_DELETE);
    CHECK_STATUS(atlas_projection_apply(projection, &delta), ATLAS_STATUS_CONSERVATION);
    source.lies = 1;
    const atlas_status status = atlas_projection_apply(projection, &delta);
    CHECK(status == ATLAS_STATUS_CONSERVATION || status == ATLAS_STATUS_WITNESS);
    CHECK_OK(atlas_projection_verify(projection, NULL));
    atlas_projection_destroy(projection);
    atlas_source_destroy(lying);
    free(data);
}

int main(void)
{
    uint8_t *data = random_bytes(SIZE, 99);
    one_wrong_read_leaves_nothing(data, ATLAS_PROJECTION_LINEAR);
    one_wrong_read_leaves_nothing(data, ATLAS_PROJECTION_R96_FOURIER);
    strict_cannot_be_talked_round();
    free(data);
    return 0;
}
