/* A header of another library, in the manner of the project's own: the same standard headers,
 * a name with the same prefix, and a callback of the type of the digest. */
#ifndef ATLAS_L2_TESTS_OTHER_H
#define ATLAS_L2_TESTS_OTHER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

void atlas_digest256(const void *data, size_t size, uint8_t digest[32]);

typedef struct {
    int32_t code;
    void (*digest)(const void *data, size_t size, uint8_t digest[32]);
} other_status;

static inline void other_init(other_status *status)
{
    status->code = 0;
    status->digest = NULL;
}

#ifdef __cplusplus
}
#endif

#endif
