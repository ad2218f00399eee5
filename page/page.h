/* The daemon's web page: its files, which are part of the program. They are written by hand and
 * sent as they are: index.html, one style sheet, and ES modules that talk to the daemon's HTTP API
 * alone (page/app.js says how they hang together). */
#ifndef LF_PAGE_PAGE_H
#define LF_PAGE_PAGE_H

#include <stddef.h>

/* A file that page/embed.cmake has made part of the program. */
struct lf_page_file {
    const char *name, *media_type;
    const char *etag; /* of its bytes, with the quotes of a header's value */
    const unsigned char *bytes;
    size_t n;
};

/* The page's file of that name; NULL: it has none. Static storage. */
const struct lf_page_file *lf_page_find(const char *name);

#endif
