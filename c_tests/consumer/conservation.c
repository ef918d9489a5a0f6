/* Layer 2 as a library of its own, with the digest of the library above it. */
#include <atlas_conservation.h>
#include <atlas_manifold.h>

#include <stdio.h>

int main(void)
{
    static unsigned char data[5000] = {90, 6};
    atlas_witness_t *witness;
    if (atlas_conservation_set_digest(atlas_digest256) != ATLAS_OK) {
        fprintf(stderr, "%s\n", atlas_error_string(atlas_get_last_error()));
        return 1;
    }
    witness = atlas_witness_generate(data, sizeof data);
    if (witness == NULL || !atlas_witness_verify(witness, data, sizeof data) ||
        !atlas_conserved_check(data, sizeof data)) {
        fprintf(stderr, "%s\n", atlas_error_string(atlas_get_last_error()));
        return 1;
    }
    data[4000] = 1;
    if (atlas_witness_verify(witness, data, sizeof data) || atlas_conserved_sum(data, sizeof data) != 1) {
        fprintf(stderr, "a changed byte went unseen\n");
        return 1;
    }
    atlas_witness_destroy(witness);
    return 0;
}
