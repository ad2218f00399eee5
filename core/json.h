/* JSON from outside, read strictly: a bounded parse (jansson behind a depth check), and getters
 * that name the key and what was expected of it. Values stay jansson's: json_decref the root.
 * Any thread, one document at a time. */
#ifndef LF_CORE_JSON_H
#define LF_CORE_JSON_H

#include "core/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Parses n bytes of UTF-8. Depth over LF_JSON_DEPTH_MAX, duplicate keys, trailing bytes and NaN
 * are errors; the reason has line and column. *out is yours (json_decref). */
enum lf_err lf_json_parse(json_t **out, const char *text, size_t n,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Reads and parses a file of at most LF_JSON_BYTES_MAX; the reason starts with the path. */
enum lf_err lf_json_load(json_t **out, const char *path, struct lf_diag *diag) LF_MUST_CHECK;

/* Optional members of an object: a missing key or null leaves *out as it is (put the default
 * there first); another type or a number outside [lo, hi] is LF_E_INVALID, naming the key. */
enum lf_err lf_json_get_int(int64_t *out, const json_t *obj, const char *key, int64_t lo,
                            int64_t hi, struct lf_diag *diag) LF_MUST_CHECK;
/* An integer is accepted as a real. */
enum lf_err lf_json_get_real(double *out, const json_t *obj, const char *key, double lo, double hi,
                             struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_json_get_bool(bool *out, const json_t *obj, const char *key,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* Borrowed until obj is freed. Strings hold no NUL. */
enum lf_err lf_json_get_str(const char **out, const json_t *obj, const char *key,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Refuses members whose name is not in `known` (NULL-terminated), by name. */
enum lf_err lf_json_only(const json_t *obj, const char *const *known,
                         struct lf_diag *diag) LF_MUST_CHECK;

#endif
