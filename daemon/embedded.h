/* openapi.json, which is part of the program. */
#ifndef LF_DAEMON_EMBEDDED_H
#define LF_DAEMON_EMBEDDED_H

#include "page/page.h"

extern const struct lf_page_file lf_openapi[]; /* one */

#endif
