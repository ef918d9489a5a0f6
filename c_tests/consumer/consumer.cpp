// The header and the library from C++.
#include <atlas_manifold.h>

#include <iostream>
#include <memory>
#include <numeric>
#include <vector>

int main()
{
    std::vector<unsigned char> data(2000000);
    std::iota(data.begin(), data.end(), static_cast<unsigned char>(0));
    const auto sum = std::accumulate(data.begin(), data.end(), std::uint64_t{0});

    atlas_source *made = nullptr;
    if (atlas_source_borrow(data.data(), data.size(), nullptr, nullptr, &made) != ATLAS_STATUS_OK) {
        std::cerr << atlas_last_error_message() << '\n';
        return 1;
    }
    const std::unique_ptr<atlas_source, decltype(&atlas_source_destroy)> source(made, atlas_source_destroy);

    atlas_projection *projected = nullptr;
    if (atlas_projection_create(ATLAS_PROJECTION_LINEAR, source.get(), nullptr, nullptr, &projected) !=
        ATLAS_STATUS_OK) {
        std::cerr << atlas_last_error_message() << '\n';
        return 1;
    }
    const std::unique_ptr<atlas_projection, decltype(&atlas_projection_destroy)> projection(
        projected, atlas_projection_destroy);

    atlas_projection_info info = {};
    info.struct_size = sizeof info;
    if (atlas_projection_get_info(projection.get(), &info) != ATLAS_STATUS_OK || info.residue != sum % 96) {
        std::cerr << "residue " << info.residue << ", not " << sum % 96 << '\n';
        return 1;
    }
    return 0;
}
