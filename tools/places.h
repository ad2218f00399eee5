/* Where things are when nobody says. */
#ifndef LF_TOOLS_PLACES_H
#define LF_TOOLS_PLACES_H

#include "core/limits.h"

/* The daemon's data: $XDG_DATA_HOME/lorafs, else ~/.local/share/lorafs, else (no home)
 * /var/lib/lorafs. */
void lf_place_data(char out[LF_PATH_MAX]);
/* Its unix socket: lorafsd.sock there. */
void lf_place_socket(char out[LF_PATH_MAX]);

#endif
