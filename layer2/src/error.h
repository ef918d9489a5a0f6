/* The calling thread's last error. */
#ifndef ATLAS_L2_ERROR_H
#define ATLAS_L2_ERROR_H

#include "atlas_conservation.h"

/* Sets the last error of the calling thread to `error`, and returns `error`. */
atlas_error_t atlas_l2_set_error(atlas_error_t error);

/* Sets the last error and returns true for ATLAS_OK: the last step of a function that returns bool. */
bool atlas_l2_end(atlas_error_t error);

/* Sets the last error and returns 0 for ATLAS_OK, -1 for every other error: the last step of a function
 * that returns int. */
int atlas_l2_end_int(atlas_error_t error);

#endif
