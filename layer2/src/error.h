/* The calling thread's last error. */
#ifndef ATLAS_L2_ERROR_H
#define ATLAS_L2_ERROR_H

#include "atlas_conservation.h"

/* Sets the last error and returns it. */
atlas_error_t atlas_l2_set_error(atlas_error_t error);

/* Sets the last error and returns whether it is ATLAS_OK: how a bool function ends. */
bool atlas_l2_end(atlas_error_t error);

/* Sets the last error and returns 0 for ATLAS_OK, -1 for the rest: how an int function ends. */
int atlas_l2_end_int(atlas_error_t error);

#endif
