/* The formats, one file each. Private to land/rows*.c. */
#ifndef LF_LAND_ROWS_INSIDE_H
#define LF_LAND_ROWS_INSIDE_H

#include "land/rows.h"

/* A reading: where its rows go. */
struct lf_rows {
    const struct lf_rows_form *form;
    lf_rows_fn fn;
    void *arg;
};

/* Hands a row over and lets go of it (NULL: no memory for it). The reason of fn's failure gets
 * the line. */
enum lf_err lf_rows_give(const struct lf_rows *r, json_t *row, int64_t line,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* A string of any bytes: what is not UTF-8 becomes U+FFFD. NULL: no memory. */
json_t *lf_rows_string(const char *s, size_t n);

enum lf_err lf_rows_csv(const struct lf_rows *r, const char *text, size_t n, char delimiter,
                        bool quotes, struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_rows_jsonl(const struct lf_rows *r, const char *text, size_t n,
                          struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_rows_json(const struct lf_rows *r, const char *text, size_t n,
                         struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_rows_xml(const struct lf_rows *r, const char *text, size_t n,
                        struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_rows_sgml(const struct lf_rows *r, const char *text, size_t n,
                         struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_rows_conll(const struct lf_rows *r, const char *text, size_t n,
                          struct lf_diag *diag) LF_MUST_CHECK;

#endif
