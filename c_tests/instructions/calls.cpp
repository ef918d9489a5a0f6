// The same work as calls.c, through the C++ header.
#include <atlas_manifold.hpp>

#include <cstdio>

namespace {

constexpr std::size_t size = std::size_t(4) << 20;
constexpr unsigned count = 500;

} // namespace

// Seen from outside and with the names of C, so that the counter finds them.
extern "C" {
void count_project(const atlas::source &source, const atlas::operation &op, atlas::projection &made);
void count_extract(const atlas::projection &projection, const atlas::operation &op, std::vector<atlas::shard> &shards);
void count_verify(const std::vector<atlas::shard> &shards, const atlas::operation &op, const atlas::digest &root);

__attribute__((noinline)) void count_project(const atlas::source &source, const atlas::operation &op,
                                             atlas::projection &made)
{
    made = atlas::projection::create(source, atlas::projection_type::linear, {}, op);
}

__attribute__((noinline)) void count_extract(const atlas::projection &projection, const atlas::operation &op,
                                             std::vector<atlas::shard> &shards)
{
    for (unsigned i = 0; i < count; i++) {
        shards[i] = projection.extract({i * 8000u, 4096}, op);
    }
}

__attribute__((noinline)) void count_verify(const std::vector<atlas::shard> &shards, const atlas::operation &op,
                                            const atlas::digest &root)
{
    for (const auto &shard : shards) {
        shard.verify(root, op);
    }
}
}

int main() try {
    std::vector<unsigned char> data(size);
    for (std::size_t i = 0; i < size; i++) {
        data[i] = static_cast<unsigned char>(i * 2654435761u >> 24);
    }
    const auto op = atlas::operation{}.threads(1);
    atlas::projection projection;
    count_project(atlas::source::borrow(data), op, projection);
    std::vector<atlas::shard> shards(count);
    count_extract(projection, op, shards);
    count_verify(shards, op, projection.root());
    return 0;
} catch (const std::exception &failed) {
    std::fprintf(stderr, "%s\n", failed.what());
    return 1;
}
