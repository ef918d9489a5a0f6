// A file's root, a part of it that verifies alone, an edit that is undone, and the whole rebuilt from its parts.
//
//   c++ -std=c++17 tour.cpp $(pkg-config --cflags --libs atlas_manifold) -o tour && ./tour FILE
#include <atlas_manifold.hpp>

#include <algorithm>
#include <cstdio>

int main(int argc, char **argv) try {
    if (argc != 2) {
        throw std::invalid_argument("usage: tour FILE");
    }
    // The digest of the file, on two threads, with the percentage as it comes.
    auto op = atlas::operation{}.threads(2).progress([](const atlas::progress_state &at) {
        std::fprintf(stderr, "\r%3.0f %%", 100.0 * double(at.bytes_done) / double(at.bytes_total));
    });
    auto projection = atlas::projection::create(atlas::source::open(argv[1]), atlas::projection_type::linear, {}, op);
    const auto root = projection.root();
    const auto size = projection.info().domain_size;
    std::printf("\r%llu bytes, root %s\n", static_cast<unsigned long long>(size), root.hex().c_str());

    // The tiles are a range: the one with the largest residue, as algorithms find it.
    const auto tiles = projection.tiles();
    const auto largest = std::max_element(tiles.begin(), tiles.end(), [](const auto &left, const auto &right) {
        return left.residue < right.residue;
    });
    if (largest != tiles.end()) {
        std::printf("tile %llu of %zu has the largest residue, %u\n",
                    static_cast<unsigned long long>(largest.index()), tiles.size(), largest->residue);
    }

    // A quarter travels as bytes and is verified against the root where it arrives.
    const auto travels = projection.extract({size / 2, size / 4}).serialize();
    const auto arrived = atlas::shard::deserialize(travels, root);
    std::printf("%zu bytes travelled, and %zu of them are the file's\n", travels.size(), arrived.data().size());

    // Bytes that are not the file's are refused, with a status that says why.
    if (auto forged = atlas::shard::try_deserialize(travels, atlas::digest::of(travels)); !forged) {
        std::printf("with another root: %s\n", forged.error().what());
    }

    // An edit in memory, and back.
    projection.insert(size / 3, std::string_view("a few words"));
    std::printf("with a few words more it has the root %.16s...\n", projection.root().hex().c_str());
    projection.rollback();

    // The whole, from parts in any order.
    auto rebuilt = atlas::reconstruction::create(atlas::reconstruction_options().expected_root(root));
    rebuilt.add(projection.extract({size / 2, size - size / 2}));
    rebuilt.add(projection.extract({0, size / 2}));
    std::printf("rebuilt from two parts, and it is %s\n", rebuilt.finish().root() == root ? "the same" : "another one");
} catch (const std::exception &failed) {
    std::fprintf(stderr, "%s\n", failed.what());
    return 1;
}
