/* The tile plane: unit squares, affine maps one after another, bounds and the inverse lookup. */
#include "check.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static bool near(double left, double right) { return fabs(left - right) < 1e-9; }

static void check_bounds(const atlas_projection *projection, uint64_t tile, double min_x,
                         double min_y, double max_x, double max_y)
{
    double bounds[6] = {-7, -7, -7, -7, -7, -7};
    CHECK_OK(atlas_projection_tile_bounds(projection, tile, bounds + 1));
    CHECK(near(bounds[1], min_x) && near(bounds[2], min_y));
    CHECK(near(bounds[3], max_x) && near(bounds[4], max_y));
    CHECK(bounds[0] < -6.9 && bounds[0] > -7.1 && bounds[5] < -6.9 && bounds[5] > -7.1);
}

static void check_tile_at(const atlas_projection *projection, double x, double y, uint64_t wanted)
{
    uint64_t tile = 99;
    CHECK_OK(atlas_projection_tile_at(projection, x, y, &tile));
    CHECK_EQ(tile, wanted);
}

static void check_nothing_at(const atlas_projection *projection, double x, double y)
{
    uint64_t tile = 99;
    CHECK_STATUS(atlas_projection_tile_at(projection, x, y, &tile), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_EQ(tile, 0);
}

static void apply(atlas_projection *projection, double scale, double angle, double x, double y)
{
    const atlas_transform_params params = {scale, angle, x, y};
    CHECK_OK(atlas_projection_transform(projection, &params));
}

static void tiles_are_unit_squares_row_by_row(const atlas_projection *projection)
{
    for (uint64_t tile = 0; tile < 7; tile++) {
        const double x = (double)(tile % 3);
        const double y = (double)(tile / 3);
        check_bounds(projection, tile, x, y, x + 1, y + 1);
        check_tile_at(projection, x, y, tile);
        check_tile_at(projection, x + 0.5, y + 0.999, tile);
    }
    check_nothing_at(projection, 1.5, 2.5); /* on the plane of 3 by 3, where no tile is */
    check_nothing_at(projection, 2.5, 2.5);
    check_nothing_at(projection, -0.001, 0.5);
    check_nothing_at(projection, 3, 0.5);
    check_nothing_at(projection, 0.5, 3);
    check_nothing_at(projection, 1e300, -1e300);
}

static void a_point_is_scaled_then_turned_then_moved(atlas_projection *projection)
{
    apply(projection, 2, pi / 2, 10, 20);
    /* (x, y) -> (10 - 2y, 20 + 2x) */
    check_bounds(projection, 0, 8, 20, 10, 22);
    check_bounds(projection, 1, 8, 22, 10, 24);
    check_bounds(projection, 5, 6, 24, 8, 26);
    check_tile_at(projection, 10 - 2 * 1.5, 20 + 2 * 2.5, 5);
    check_nothing_at(projection, 0.5, 0.5);
}

static void maps_compose_each_after_the_earlier_ones(atlas_projection *projection)
{
    /* The map is (10 - 2y, 20 + 2x) here; then it is turned by 45 degrees, halved and moved. */
    apply(projection, 0.5, pi / 4, -1, 3);
    random_state random = {5};
    for (int i = 0; i < 200; i++) {
        const uint64_t tile = random_below(&random, 7);
        const double u = (double)(tile % 3) + 0.01 + (double)random_below(&random, 98) / 100;
        const double v = (double)(tile / 3) + 0.01 + (double)random_below(&random, 98) / 100;
        const double x1 = 10 - 2 * v;
        const double y1 = 20 + 2 * u;
        const double c = 0.5 * cos(pi / 4);
        const double x2 = c * x1 - c * y1 - 1;
        const double y2 = c * x1 + c * y1 + 3;
        check_tile_at(projection, x2, y2, tile);
        double bounds[4];
        CHECK_OK(atlas_projection_tile_bounds(projection, tile, bounds));
        CHECK(bounds[0] < x2 && x2 < bounds[2] && bounds[1] < y2 && y2 < bounds[3]);
        /* A unit square at 45 degrees is sqrt(2) wide. */
        CHECK(near(bounds[2] - bounds[0], sqrt(2)) && near(bounds[3] - bounds[1], sqrt(2)));
    }
}

static void bad_numbers_change_nothing(atlas_projection *projection)
{
    double before[4];
    double after[4];
    CHECK_OK(atlas_projection_tile_bounds(projection, 4, before));
    const double bad[] = {0, -1, -0.0, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const atlas_transform_params scale = {bad[i], 0, 0, 0};
        CHECK_STATUS(atlas_projection_transform(projection, &scale), ATLAS_STATUS_INVALID_ARGUMENT);
        CHECK_SAYS("scaling_factor");
        if (i < 3) {
            continue;
        }
        const atlas_transform_params others[] = {
            {1, bad[i], 0, 0}, {1, 0, bad[i], 0}, {1, 0, 0, bad[i]}};
        for (size_t j = 0; j < 3; j++) {
            CHECK_STATUS(atlas_projection_transform(projection, &others[j]),
                         ATLAS_STATUS_INVALID_ARGUMENT);
        }
        uint64_t tile = 99;
        CHECK(atlas_projection_tile_at(projection, bad[i], 0, &tile) != ATLAS_STATUS_OK);
        CHECK_EQ(tile, 0);
        CHECK(atlas_projection_tile_at(projection, 0, bad[i], &tile) != ATLAS_STATUS_OK);
    }
    double bounds[4] = {1, 1, 1, 1};
    CHECK_STATUS(atlas_projection_tile_bounds(projection, 7, bounds), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_EQ(last_error().index, 7);
    CHECK_SAYS("7");
    CHECK_STATUS(atlas_projection_tile_bounds(projection, UINT64_MAX, bounds),
                 ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_OK(atlas_projection_tile_bounds(projection, 4, after));
    for (size_t i = 0; i < 4; i++) {
        CHECK(near(before[i], after[i]));
    }
}

static void the_bytes_and_the_root_stay(const atlas_projection *projection, const uint8_t root[32],
                                        const uint8_t *data, size_t size)
{
    uint8_t now[32];
    root_of(projection, now);
    CHECK(memcmp(root, now, 32) == 0);
    uint8_t *found = random_bytes(size, 1);
    CHECK_OK(atlas_projection_read(projection, 0, found, size));
    CHECK(memcmp(found, data, size) == 0);
    free(found);
}

static void a_snapshot_has_the_map_of_its_time(const uint8_t *data, size_t size)
{
    atlas_projection *projection = projected_bytes(data, size);
    apply(projection, 1, 0, 100, 0);
    atlas_projection *snapshot = NULL;
    CHECK_OK(atlas_projection_snapshot(projection, &snapshot));
    apply(projection, 1, 0, 0, 50);
    check_bounds(projection, 0, 100, 50, 101, 51);
    check_bounds(snapshot, 0, 100, 0, 101, 1);
    apply(snapshot, 3, 0, 0, 0);
    check_bounds(projection, 0, 100, 50, 101, 51);
    check_bounds(snapshot, 0, 300, 0, 303, 3);
    atlas_projection_destroy(snapshot);
    atlas_projection_destroy(projection);
}

static void an_empty_plane_has_no_tile(void)
{
    atlas_projection *projection = projected_bytes(NULL, 0);
    check_nothing_at(projection, 0, 0);
    double bounds[4];
    CHECK_STATUS(atlas_projection_tile_bounds(projection, 0, bounds), ATLAS_STATUS_OUT_OF_RANGE);
    atlas_projection_destroy(projection);
}

int main(void)
{
    const size_t size = 6 * TILE + 1;
    uint8_t *data = random_bytes(size, 31);
    atlas_projection *projection = projected_bytes(data, size);
    uint8_t root[32];
    root_of(projection, root);
    tiles_are_unit_squares_row_by_row(projection);
    a_point_is_scaled_then_turned_then_moved(projection);
    maps_compose_each_after_the_earlier_ones(projection);
    bad_numbers_change_nothing(projection);
    the_bytes_and_the_root_stay(projection, root, data, size);
    atlas_projection_destroy(projection);
    a_snapshot_has_the_map_of_its_time(data, size);
    an_empty_plane_has_no_tile();
    free(data);
    return 0;
}
