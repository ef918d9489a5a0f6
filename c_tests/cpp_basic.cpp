// A C++17 program: handles in unique_ptr, the whole way from bytes to bytes.
#include "check.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

template <auto destroy> struct deleter {
    template <typename T> void operator()(T *handle) const noexcept { destroy(handle); }
};

using source_ptr = std::unique_ptr<atlas_source, deleter<atlas_source_destroy>>;
using projection_ptr = std::unique_ptr<atlas_projection, deleter<atlas_projection_destroy>>;
using shard_ptr = std::unique_ptr<atlas_shard, deleter<atlas_shard_destroy>>;
using pool_ptr = std::unique_ptr<atlas_pool, deleter<atlas_pool_destroy>>;
using rebuild_ptr = std::unique_ptr<atlas_reconstruction, deleter<atlas_reconstruction_destroy>>;
using bytes = std::vector<std::uint8_t>;
using digest = std::array<std::uint8_t, 32>;

struct atlas_error : std::runtime_error {
    explicit atlas_error(atlas_status code)
        : std::runtime_error(std::string(atlas_status_name(static_cast<std::int32_t>(code))) + ": " +
                             atlas_last_error_message()),
          status(code)
    {
    }
    atlas_status status;
};

// The last argument of these calls is where the handle goes.
template <typename Handle, typename Call, typename... Arguments>
Handle make(Call call, Arguments... arguments)
{
    typename Handle::pointer raw = nullptr;
    const auto status = static_cast<atlas_status>(call(arguments..., &raw));
    Handle handle(raw);
    if (status != ATLAS_STATUS_OK) {
        CHECK(raw == nullptr);
        throw atlas_error(status);
    }
    CHECK(raw != nullptr);
    return handle;
}

bytes make_data(std::size_t size)
{
    std::mt19937_64 engine(5);
    bytes data(size);
    std::generate(data.begin(), data.end(),
                  [&] { return static_cast<std::uint8_t>(engine() & 0xFFU); });
    return data;
}

digest root_of_projection(const projection_ptr &projection)
{
    digest root{};
    CHECK_OK(atlas_projection_root(projection.get(), nullptr, root.data()));
    return root;
}

std::vector<atlas_region> covering(std::size_t size)
{
    std::vector<atlas_region> regions;
    std::size_t step = 1;
    for (std::size_t offset = 0; offset < size; offset += step) {
        step = std::min(size - offset, (regions.size() * 7919 + 12345) % 150000 + 1);
        regions.push_back({offset, step});
    }
    return regions;
}

std::vector<shard_ptr> extract(const projection_ptr &projection,
                               const std::vector<atlas_region> &regions,
                               const atlas_operation &operation)
{
    std::vector<atlas_shard *> raw(regions.size());
    CHECK_OK(atlas_shard_extract_batch(projection.get(), regions.data(), regions.size(), nullptr,
                                       &operation, raw.data()));
    return {raw.begin(), raw.end()};
}

bytes serialize(const shard_ptr &shard)
{
    atlas_buffer buffer{};
    CHECK_OK(atlas_shard_serialize(shard.get(), &buffer));
    const std::unique_ptr<atlas_buffer, deleter<atlas_buffer_free>> guard(&buffer);
    return bytes(buffer.data, buffer.data + buffer.size);
}

shard_ptr deserialize(const bytes &encoded, const digest &root)
{
    atlas_verify_options verify;
    atlas_verify_options_init(&verify);
    verify.expected_root = root.data();
    return make<shard_ptr>(atlas_shard_deserialize, encoded.data(), encoded.size(),
                           static_cast<const atlas_limits *>(nullptr), &verify,
                           static_cast<const atlas_operation *>(nullptr));
}

void tampering_throws(bytes encoded, const digest &root)
{
    encoded[encoded.size() / 2] ^= 1U;
    try {
        (void)deserialize(encoded, root);
        CHECK(false);
    } catch (const atlas_error &error) {
        CHECK(error.status == ATLAS_STATUS_FORMAT);
        CHECK(std::string(error.what()).find("FORMAT") != std::string::npos);
    }
}

void whole_way(std::size_t size)
{
    const bytes data = make_data(size);
    auto source = make<source_ptr>(atlas_source_borrow, static_cast<const void *>(data.data()),
                                   data.size(), static_cast<atlas_release_fn>(nullptr),
                                   static_cast<void *>(nullptr));
    auto pool = make<pool_ptr>(atlas_pool_create, std::uint32_t{2});
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool.get();
    auto projection =
        make<projection_ptr>(atlas_projection_create, std::uint32_t{ATLAS_PROJECTION_LINEAR},
                             static_cast<const atlas_source *>(source.get()),
                             static_cast<const atlas_projection_options *>(nullptr), &operation);
    source.reset();
    const digest root = root_of_projection(projection);

    std::vector<bytes> travelling;
    for (const auto &shard : extract(projection, covering(size), operation)) {
        travelling.push_back(serialize(shard));
    }
    projection.reset();
    tampering_throws(travelling[travelling.size() / 2], root);
    std::shuffle(travelling.begin(), travelling.end(), std::mt19937_64(9));

    auto rebuilt = make<rebuild_ptr>(atlas_reconstruction_create,
                                     static_cast<const atlas_reconstruction_options *>(nullptr));
    for (const auto &encoded : travelling) {
        CHECK(!atlas_reconstruction_is_complete(rebuilt.get()));
        const auto shard = deserialize(encoded, root);
        CHECK_OK(atlas_reconstruction_add(rebuilt.get(), shard.get(), &operation));
    }
    CHECK(atlas_reconstruction_is_complete(rebuilt.get()));
    auto again = make<projection_ptr>(atlas_reconstruction_finish, rebuilt.get(),
                                      static_cast<const atlas_operation *>(&operation));
    CHECK(root_of_projection(again) == root);
    bytes found(size);
    CHECK_OK(atlas_projection_read(again.get(), 0, found.data(), found.size()));
    CHECK(found == data);
}

// A progress function without captures is a C function; its data come as user_data.
void progress_with_a_lambda()
{
    const bytes data = make_data(3 * TILE);
    std::vector<std::uint64_t> seen;
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.user_data = &seen;
    operation.progress = [](const atlas_progress *progress, void *user_data) {
        static_cast<std::vector<std::uint64_t> *>(user_data)->push_back(progress->bytes_done);
        return true;
    };
    auto source = make<source_ptr>(atlas_source_copy, static_cast<const void *>(data.data()),
                                   data.size());
    auto projection =
        make<projection_ptr>(atlas_projection_create, std::uint32_t{ATLAS_PROJECTION_LINEAR},
                             static_cast<const atlas_source *>(source.get()),
                             static_cast<const atlas_projection_options *>(nullptr), &operation);
    CHECK(std::is_sorted(seen.begin(), seen.end()) && seen.size() >= 3);
    CHECK(seen.back() == data.size());
}

} // namespace

int main()
{
    whole_way(TILE * 3 + 4567);
    progress_with_a_lambda();
    return 0;
}
