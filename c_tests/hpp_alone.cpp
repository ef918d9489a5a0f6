// The C++ header alone, twice, and beside the C ones.
#include <atlas_manifold.hpp>
#include <atlas_manifold.hpp>

#include <atlas_conservation.h>
#include <atlas_manifold.h>

static_assert(atlas::header_version == ATLAS_MANIFOLD_VERSION, "one version");
