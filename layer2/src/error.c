#include "error.h"

static _Thread_local atlas_error_t last_error = ATLAS_OK;

atlas_error_t atlas_get_last_error(void)
{
    return last_error;
}

const char *atlas_error_string(atlas_error_t error)
{
    switch (error) {
    case ATLAS_OK:
        return "success";
    case ATLAS_E_INVALID:
        return "invalid argument";
    case ATLAS_E_MEMORY:
        return "out of memory";
    case ATLAS_E_STATE:
        return "not possible in this state";
    case ATLAS_E_BUDGET:
        return "budget does not suffice";
    case ATLAS_E_CONSERVATION:
        return "sum of the bytes is not 0 mod 96";
    case ATLAS_E_WITNESS:
        return "bytes differ from those recorded";
    case ATLAS_E_DESTROYED:
        return "object was destroyed";
    }
    return "unknown error";
}

bool atlas_runtime_is_thread_safe(void)
{
    return atlas_l2_end(ATLAS_OK);
}

atlas_error_t atlas_l2_set_error(atlas_error_t error)
{
    last_error = error;
    return error;
}

bool atlas_l2_end(atlas_error_t error)
{
    return atlas_l2_set_error(error) == ATLAS_OK;
}

int atlas_l2_end_int(atlas_error_t error)
{
    return atlas_l2_end(error) ? 0 : -1;
}
