/* Files that are part of the program: daemon/api/page.html and openapi.json. */
#ifndef LF_DAEMON_EMBEDDED_H
#define LF_DAEMON_EMBEDDED_H

#include <stddef.h>

extern const unsigned char lf_page_html[];
extern const size_t lf_page_html_n;
extern const unsigned char lf_openapi_json[];
extern const size_t lf_openapi_json_n;

#endif
