/* Makes the library read after the end of a list. A sanitizer that works stops the program. */
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
