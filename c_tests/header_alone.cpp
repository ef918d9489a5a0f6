/* The header needs nothing before it and may come twice. */
#include <atlas_manifold.h>
#include <atlas_manifold.h>

int main()
{
    atlas_region region = {0, 1};
    return region.length == 1 ? 0 : 1;
}
