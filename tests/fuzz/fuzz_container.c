/* LIBS: lf_container lf_core */
/* Any bytes as a file of rows, of whatever container they say they are. Every row is JSON that can
 * be written, places count upwards, and what is refused says why. */
#include "container/container.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROWS_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum lf_err read_rows(const char *path, struct lf_diag *diag)
{
    struct lf_container *c;
    json_t *row = NULL;
    int64_t place, last = 0;
    char sha256[LF_SHA256_HEX];
    enum lf_err rc = lf_container_open(&c, path, diag);
    if (rc != LF_OK)
        return rc;
    for (int i = 0; i < ROWS_MAX; i++) {
        rc = lf_container_next(c, &row, &place, diag);
        if (rc != LF_OK || !row)
            break;
        lf_assert(place >= last && place > 0);
        last = place;
        char *text = json_dumps(row, JSON_ENCODE_ANY);
        lf_assert(text != NULL);
        free(text);
        json_decref(row);
    }
    if (rc == LF_OK && !row)
        lf_container_sha256(c, sha256);
    lf_container_close(c);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_diag diag = {""};
    char path[64];
    int fd = memfd_create("container", MFD_CLOEXEC);
    lf_assert(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    lf_assert(read_rows(path, &diag) == LF_OK || diag.text[0] != '\0');
    close(fd);
    return 0;
}
