/* The table of the page's files, which page/embed.cmake writes. */
#include "page/page.h"

#include <string.h>

extern const struct lf_page_file lf_page_files[];
extern const size_t lf_page_files_n;

const struct lf_page_file *lf_page_find(const char *name)
{
    for (size_t i = 0; i < lf_page_files_n; i++)
        if (strcmp(lf_page_files[i].name, name) == 0)
            return &lf_page_files[i];
    return NULL;
}
