/* Prints each row of a file as a line of JSON: row_lines FILE... A file that is refused prints
 * "refused: " and the reason. */
#include "container/container.h"

#include <stdio.h>
#include <stdlib.h>

static enum lf_err print_rows(const char *path, struct lf_diag *diag)
{
    struct lf_container *c;
    json_t *row = NULL;
    int64_t place;
    enum lf_err rc = lf_container_open(&c, path, diag);
    if (rc != LF_OK)
        return rc;
    while ((rc = lf_container_next(c, &row, &place, diag)) == LF_OK && row) {
        json_dumpf(row, stdout, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
        putchar('\n');
        json_decref(row);
    }
    lf_container_close(c);
    return rc;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct lf_diag diag = {""};
        if (print_rows(argv[i], &diag) != LF_OK)
            printf("refused: %s\n", diag.text);
        printf("end\n");
    }
    return 0;
}
