/* Has the library read behind a list, which a sanitizer at work stops. */
#include "atlas_conservation.h"
#include "check.h"

int main(void)
{
    atlas_batch_buffer_t *const one = calloc(1, sizeof *one);
    CHECK(one != NULL);
    free(atlas_batch_conserved_check(one, 2));
    printf("nobody saw it\n");
    free(one);
    return 0;
}
