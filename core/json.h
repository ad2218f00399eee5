/* JSON from outside, read strictly: a bounded parse (jansson behind a depth check), and getters
 * that name the key and what was expected of it. Values stay jansson's: json_decref the root.
 * Any thread, one document at a time. */
#ifndef LF_CORE_JSON_H
#define LF_CORE_JSON_H

#include "core/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The most that n bytes of JSON can become as a tree, in bytes: found without parsing, and no more
 * than twice what jansson takes for honest documents. */
size_t lf_json_tree_bytes(const char *text, size_t n);
/* What a tree takes, about, in bytes. */
size_t lf_json_size(const json_t *j);
/* Parses n bytes of UTF-8; a byte order mark in front is no part of them. Depth over
 * LF_JSON_DEPTH_MAX, a tree over LF_JSON_TREE_MAX bytes that are also more than
 * LF_JSON_TREE_TIMES the text, duplicate keys, trailing bytes and NaN are errors; the reason has
 * line and column, or says of what other kind the bytes are. An integer that 64 bits with a sign do
 * not hold is a string of its digits: its text is kept, and the getters below take it for the
 * number it is. *out is yours (json_decref). */
enum lf_err lf_json_parse(json_t **out, const char *text, size_t n,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Reads and parses a file of at most LF_JSON_BYTES_MAX; the reason starts with the path. */
enum lf_err lf_json_load(json_t **out, const char *path, struct lf_diag *diag) LF_MUST_CHECK;

/* For answers of our own, where nothing is refused: "" where it is no string, NAN where it is no
 * number. */
const char *lf_json_text_of(const json_t *obj, const char *key);
double lf_json_real_of(const json_t *obj, const char *key);
/* Whether it is an integer of 64 bits with a sign: 8, and 8.0, which means the same. */
bool lf_json_whole(const json_t *v, int64_t *out);
/* Refuses members whose name is not in `known` (NULL-terminated), by name and with the nearest
 * known one. */
enum lf_err lf_json_only(const json_t *obj, const char *const *known,
                         struct lf_diag *diag) LF_MUST_CHECK;

/* A shallow copy, whole: NULL where memory failed, while jansson's own leaves members out then. */
json_t *lf_json_copy(const json_t *j);
/* Appends j (taken; NULL is a failure of memory) as text; `flags` are json_dumps'. As in all that
 * is appended, the first failure stays in b. */
enum lf_err lf_json_put(struct lf_buf *b, json_t *j, size_t flags);
/* The same as a file (lf_file_write). */
enum lf_err lf_json_write(const char *path, json_t *j, size_t flags,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* For writing: the number, or null where it is not finite. */
json_t *lf_json_finite(double x);
/* The members of `o` (taken; NULL gives NULL) behind "time": "2026-11-28T09:51:50.194Z", now. */
json_t *lf_json_dated(json_t *o);

/* ---- Members that are checked ----------------------------------------------------------------
 * Optional members of an object. Each getter answers `otherwise` where the member is missing or
 * null; another type or a number outside [lo, hi] is LF_E_INVALID, naming the key. The first
 * failure sticks (as in struct lf_buf), so rc is looked at once, at the end. After a failure
 * nothing is looked up, nothing is said any more, and the answers are `otherwise`.
 *
 *     struct lf_json_in in = lf_json_in(obj, diag);
 *     s->n_layers = lf_json_int(&in, "num_hidden_layers", 0, 1, LF_LAYERS_MAX);
 *     s->eps = lf_json_real(&in, "rms_norm_eps", 1e-6, 0, 1);
 *     if (in.rc == LF_OK && s->n_layers == 0)
 *         return lf_fail(diag, LF_E_INVALID, "no \"num_hidden_layers\"");
 *     return in.rc;
 */
struct lf_json_in {
    const json_t *obj; /* borrowed */
    struct lf_diag *diag;
    enum lf_err rc;
};
struct lf_json_in lf_json_in(const json_t *obj, struct lf_diag *diag);

/* A number without a fraction is accepted as an integer: 8.0, 1e3. */
int lf_json_int(struct lf_json_in *in, const char *key, int otherwise, int lo, int hi);
int64_t lf_json_int64(struct lf_json_in *in, const char *key, int64_t otherwise, int64_t lo,
                      int64_t hi);
/* An integer from 0 to 2^64 - 1, or from INT64_MIN on: its bits. */
int64_t lf_json_bits(struct lf_json_in *in, const char *key, int64_t otherwise);
/* An integer is accepted as a real. */
double lf_json_real(struct lf_json_in *in, const char *key, double otherwise, double lo, double hi);
bool lf_json_bool(struct lf_json_in *in, const char *key, bool otherwise);
/* Borrowed until the object is freed. Strings hold no NUL. */
const char *lf_json_str(struct lf_json_in *in, const char *key, const char *otherwise);
/* The same of a member that must be there. */
const char *lf_json_need_str(struct lf_json_in *in, const char *key);
/* The index of a string in `words` (NULL-terminated); another one is refused, naming them all. */
int lf_json_word(struct lf_json_in *in, const char *key, int otherwise, const char *const *words);
/* An object, or a list of min to max entries; NULL where it is missing (and min is 0). */
const json_t *lf_json_object(struct lf_json_in *in, const char *key);
const json_t *lf_json_list(struct lf_json_in *in, const char *key, size_t min, size_t max);

#endif
