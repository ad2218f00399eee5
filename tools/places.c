/* Where things are when nobody says. */
#include "tools/places.h"

#include <stdio.h>
#include <stdlib.h>

void lf_place_data(char out[LF_PATH_MAX])
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (xdg && xdg[0] == '/')
        snprintf(out, LF_PATH_MAX, "%s/lorafs", xdg);
    else if (home && home[0] == '/')
        snprintf(out, LF_PATH_MAX, "%s/.local/share/lorafs", home);
    else
        snprintf(out, LF_PATH_MAX, "/var/lib/lorafs");
}

void lf_place_socket(char out[LF_PATH_MAX])
{
    char data[LF_PATH_MAX - 16];
    lf_place_data(out);
    snprintf(data, sizeof data, "%s", out);
    snprintf(out, LF_PATH_MAX, "%s/lorafsd.sock", data);
}
