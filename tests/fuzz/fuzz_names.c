/* LIBS: lf_names lf_core */
/* Any line as a path of an adapter's file and as an order to `ctl`. */
#include "names/ctl.h"
#include "names/files.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *line = strndup((const char *)data, n);
    struct lf_file_ref ref;
    struct lf_ctl_order order;
    struct lf_diag diag = {""};
    lf_assert(line != NULL);
    if (lf_file_ref_parse(&ref, line)) {
        lf_assert(ref.version >= LF_VERSION_CURRENT && !strstr(line, ".."));
        (void)lf_file_ref_writable(&ref);
    }
    enum lf_err rc = lf_ctl_parse(&order, line, &diag);
    lf_assert(rc == LF_OK ? order.word < LF_CTL_N && order.n >= 0 : diag.text[0] != '\0');
    free(line);
    return 0;
}
