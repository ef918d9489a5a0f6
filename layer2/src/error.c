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
        return "Success";
    case ATLAS_E_INVALID:
        return "Invalid argument: NULL, 0 or out of its range";
    case ATLAS_E_MEMORY:
        return "Out of memory";
    case ATLAS_E_STATE:
        return "Invalid state: the call is not possible in the present state";
    case ATLAS_E_BUDGET:
        return "Budget exceeded: the budget is less than the requested amount";
    case ATLAS_E_CONSERVATION:
        return "Conservation violated: the sum of the bytes is not 0 mod 96";
    case ATLAS_E_WITNESS:
        return "Witness mismatch: the bytes differ from the recorded bytes";
    case ATLAS_E_DESTROYED:
        return "Destroyed: the object was destroyed and cannot be used";
    }
    return "Unknown error";
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
