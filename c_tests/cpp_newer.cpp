// Additions of atlas_manifold.hpp under C++20 and C++23: std::span, std::stop_token, <=>, std::ranges, std::expected.
#include <atlas_manifold.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#define CHECK(...) \
    ((__VA_ARGS__) ? void() : (std::fprintf(stderr, "cpp_newer.cpp:%d: failed: %s\n", __LINE__, #__VA_ARGS__), std::exit(1)))

namespace {

constexpr std::size_t tile = 1048576;

#if defined(__cpp_lib_ranges)
static_assert(std::ranges::random_access_range<atlas::tile_range> && std::ranges::sized_range<atlas::tile_range>);
static_assert(std::ranges::borrowed_range<atlas::tile_range>);
static_assert(std::ranges::input_range<atlas::stream>);

void ranges(const atlas::projection &projection)
{
    const auto tiles = projection.tiles();
    const auto found = std::ranges::upper_bound(tiles, std::uint64_t(tile + 5), {}, &atlas::tile_info::offset);
    CHECK(found.index() == 2);
    CHECK(std::ranges::count_if(tiles, [](const atlas::tile_info &each) { return each.length == tile; }) == 3);
    std::size_t chunks = 0;
    if (atlas::has(atlas::feature::streaming)) {
        auto stream = atlas::stream::open(atlas::source::copy(std::vector<char>(200000)), atlas::stream_config().chunk_size(65536));
        std::ranges::for_each(stream, [&](const atlas::chunk &each) { chunks += each.data.empty() ? 0 : 1; });
        CHECK(chunks == 4);
    }
}
#endif

#if defined(__cpp_lib_span)
void spans(const atlas::projection &projection, const std::vector<std::uint8_t> &data)
{
    const std::span<const std::uint8_t> bytes(data);
    CHECK(atlas::projection::create(atlas::source::borrow(bytes)).root() == projection.root());
    CHECK(atlas::projection::create(atlas::source::borrow(std::as_bytes(bytes))).root() == projection.root());
    const auto shard = projection.extract({10, 20});
    CHECK(std::ranges::equal(shard.data().span(), bytes.subspan(10, 20)));
    std::vector<std::byte> out(20);
    projection.read(10, std::span(out));
    CHECK(atlas::bytes_view(out) == shard.data());
    const std::span<const std::uint8_t> of_view(shard.data());
    CHECK(of_view.size() == 20);
}
#endif

#if defined(__cpp_lib_jthread)
void stop_tokens(const atlas::source &source)
{
    std::stop_source stop;
    std::size_t told = 0;
    const auto op = atlas::operation{}.threads(1).stop_token(stop.get_token()).progress([&](auto &) {
        if (++told == 2) {
            stop.request_stop();
        }
    });
    const auto given = atlas::projection::try_create(source, atlas::projection_type::linear, {}, op);
    CHECK(given.status() == atlas::status::cancelled && told == 2);
}
#endif

#if defined(__cpp_lib_expected)
void expected(const atlas::projection &projection)
{
    const std::expected<atlas::digest, atlas::error> root = projection.try_root();
    CHECK(root.value() == projection.root());
    const std::expected<void, atlas::error> nothing = projection.try_read(0, atlas::bytes_span());
    CHECK(nothing.has_value());
    const std::expected<atlas::shard, atlas::error> refused = projection.try_extract({UINT64_MAX, 1});
    CHECK(!refused && refused.error().status() == atlas::status::out_of_range);
}
#endif

} // namespace

int main()
{
    std::vector<std::uint8_t> data(3 * tile + 1);
    for (std::size_t i = 0; i < data.size(); i++) {
        data[i] = static_cast<std::uint8_t>(i * 2654435761u >> 24);
    }
    const auto source = atlas::source::borrow(data);
    const auto projection = atlas::projection::create(source);
#if defined(__cpp_lib_ranges)
    ranges(projection);
#endif
#if defined(__cpp_lib_span)
    spans(projection, data);
#endif
#if defined(__cpp_lib_jthread)
    stop_tokens(source);
#endif
#if defined(__cpp_lib_expected)
    expected(projection);
#endif
#if defined(__cpp_impl_three_way_comparison)
    CHECK((atlas::digest() <=> projection.root()) == std::strong_ordering::less);
#endif
    CHECK(!atlas::source::try_open(std::filesystem::path(u8"/nowhere/\u00e4")));
    return 0;
}
