// atlas_manifold.hpp without exceptions and RTTI: the try_ functions alone, from bytes to bytes.
#include <atlas_manifold.hpp>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#if ATLAS_MANIFOLD_EXCEPTIONS
#error "this test is compiled with -fno-exceptions"
#endif

#define CHECK(...) \
    ((__VA_ARGS__) ? void() : (std::fprintf(stderr, "cpp_noexcept.cpp:%d: failed: %s\n", __LINE__, #__VA_ARGS__), std::exit(1)))

int main()
{
    std::vector<std::uint8_t> data(3000000);
    for (std::size_t i = 0; i < data.size(); i++) {
        data[i] = static_cast<std::uint8_t>(i * 2654435761u >> 24);
    }
    const auto source = atlas::source::try_borrow(data);
    CHECK(source);
    const auto projection = atlas::projection::try_create(*source);
    CHECK(projection && projection->try_info()->domain_size == data.size());
    const auto root = projection->try_root();
    CHECK(root && root->hex().size() == 64);

    auto rebuilt = atlas::reconstruction::try_create(atlas::reconstruction_options().expected_root(*root));
    CHECK(rebuilt);
    const auto shards = projection->try_extract_batch(std::vector<atlas::region>{{0, 1000000}, {1000000, 2000000}});
    CHECK(shards && shards->size() == 2);
    for (const auto &shard : *shards) {
        const auto bytes = shard.try_serialize();
        const auto arrived = atlas::shard::try_deserialize(*bytes, *root);
        CHECK(arrived && rebuilt->try_add(*arrived));
    }
    std::vector<std::uint8_t> back(data.size());
    const auto whole = rebuilt->try_finish();
    CHECK(whole && whole->try_read(0, back) && back == data);

    // Errors, a cancelled call, and a callback that reports one.
    const auto refused = projection->try_extract({data.size(), 1});
    CHECK(!refused && refused.status() == atlas::status::out_of_range && refused.error().what()[0] != '\0');
    const auto cancelled = projection->try_verify(atlas::operation{}.threads(1).progress([](auto &) { return false; }));
    CHECK(cancelled.status() == atlas::status::cancelled);
    const auto failing = atlas::source::try_from_callback(10, [](std::uint64_t, atlas::bytes_span) { return EIO; });
    const auto unread = atlas::projection::try_create(*failing);
    CHECK(!unread && unread.error().os_error() == EIO);
    CHECK(projection->try_find_damage()->intact());
    if (atlas::has(atlas::feature::streaming)) {
        auto stream = atlas::stream::try_open(*source, atlas::stream_config().chunk_size(1000000));
        std::size_t size = 0;
        for (auto chunk = stream->try_next(); chunk && *chunk; chunk = stream->try_next()) {
            size += (*chunk)->data.size();
        }
        CHECK(size == data.size() && stream->try_finish()->try_root().value_or(atlas::digest()) == *root);
    }
    return 0;
}
