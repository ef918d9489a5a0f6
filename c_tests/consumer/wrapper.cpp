// The C++ header in a project that asks for no standard: AtlasManifold::cpp does.
#include <atlas_manifold.hpp>

#include <iostream>

int main() try {
    const auto projection = atlas::projection::create(atlas::source::own(std::vector<unsigned char>(3000000, 7)));
    const auto travelled = projection.extract({1000, 2000}).serialize();
    const auto shard = atlas::shard::deserialize(travelled, projection.root());
    return shard.data().size() == 2000 && shard.data()[0] == 7 ? 0 : 1;
} catch (const std::exception &failed) {
    std::cerr << failed.what() << '\n';
    return 1;
}
