/* What the readers of text have in common. Private to container/. */
#ifndef LF_CONTAINER_INSIDE_H
#define LF_CONTAINER_INSIDE_H

#include "container/csv.h"
#include "container/lines.h"

#include <jansson.h>
#include <stdint.h>

#define LF_HEADER_SEEN 4096 /* bytes of a first line in which a delimiter is looked for */

struct lf_text_rows {
    struct lf_lines lines;
    struct lf_budget *budget;
    uint64_t taken; /* of it, for the row that was handed out */
    /* a JSON array */
    bool begun, ended;
    int64_t line; /* on which the next byte is, from 1 */
    /* a table */
    char delimiter;
    struct lf_csv csv;
    json_t *names; /* of the columns; owned */
};
void lf_text_rows_free(struct lf_text_rows *t);
/* lf_json_parse, out of the budget: until the next one, or lf_text_rows_give. */
enum lf_err lf_text_rows_parse(struct lf_text_rows *t, json_t **row, const char *text, size_t n,
                               struct lf_diag *diag) LF_MUST_CHECK;
void lf_text_rows_give(struct lf_text_rows *t);

/* As lf_container_next. */
enum lf_err lf_array_next(struct lf_text_rows *t, json_t **row, int64_t *place,
                          struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_table_next(struct lf_text_rows *t, json_t **row, int64_t *place,
                          struct lf_diag *diag) LF_MUST_CHECK;

#endif
