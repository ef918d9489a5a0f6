/* For programs whose own functions come before those of the C library, also for the library. */
#ifndef ATLAS_BEHIND_H
#define ATLAS_BEHIND_H

#include <dlfcn.h>
#include <stddef.h>

/* Declares `behind`: the function `name` of the C library, behind the one of the program. Needs _GNU_SOURCE. */
#define BEHIND(name)                                         \
    static __typeof__(&name) behind;                         \
    if (behind == NULL) {                                    \
        *(void **)(void *)&behind = dlsym(RTLD_NEXT, #name); \
    }

#endif
