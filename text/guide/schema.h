/* The inside of schemas' grammars. Private to text/guide/.
 *
 *   schema.c         a rule for each subschema: references, several as one, constants, types
 *   schema_object.c  members, in their order
 *   schema_array.c   items
 *   schema_text.c    strings
 *   schema_number.c  numbers
 *   schema_not.c     what a schema does not accept, and what depends on that
 *   schema_merge.c   several schemas as one
 *
 * A rule's texts are valid under its schema; not all that is valid is among them. So where a schema
 * is turned into another one that says less or more, it is one that accepts less.
 */
#ifndef LF_TEXT_GUIDE_SCHEMA_H
#define LF_TEXT_GUIDE_SCHEMA_H

#include "text/guide/inside.h"

/* Members of schemas made on the way: lists of constants, and of patterns, that a value is none of.
 */
#define LF_SCHEMA_EXCEPT " except"
#define LF_SCHEMA_EXCEPT_PATTERN " except pattern"
/* Some of it came from a condition, so that members and items that it names are not all looked at.
 */
#define LF_SCHEMA_CONDITIONAL " conditional"

struct lf_schemas {
    struct lf_buf *out;
    const json_t *root;
    json_t *refs;  /* "#/..." to the number of its rule */
    json_t *rules; /* schemas' texts to theirs */
    json_t *alive; /* schemas made on the way */
    int n_rules, depth;
    size_t spent; /* states of languages, about, up to LF_GUIDE_SPENT_MAX */
    enum lf_err rc;
    struct lf_diag *diag;
};

/* schema.c. The first failure stays. */
void lf_schemas_fail(struct lf_schemas *m, enum lf_err rc, const char *what);
void lf_schemas_spend(struct lf_schemas *m, size_t states);
/* Its own until all is done. NULL: it was not made, for a reason that was said. */
json_t *lf_schemas_keep(struct lf_schemas *m, json_t *made);
int lf_schemas_next_rule(struct lf_schemas *m);
/* The rule of a schema. */
int lf_schemas_rule(struct lf_schemas *m, const json_t *schema);
/* A schema with all parts worked in that every value has to be valid under; NULL after a failure.
 */
const json_t *lf_schemas_flat(struct lf_schemas *m, const json_t *schema);
const json_t *lf_schemas_resolve(struct lf_schemas *m, const char *ref);
/* A count of items, members or characters; what is not there is `otherwise`. */
int64_t lf_schemas_count(struct lf_schemas *m, const json_t *schema, const char *key,
                         int64_t otherwise);
/* Each appends an expression for what is valid under a schema of its type. */
void lf_schema_object(struct lf_schemas *m, struct lf_buf *text, const json_t *schema);
void lf_schema_array(struct lf_schemas *m, struct lf_buf *text, const json_t *schema);
enum lf_err lf_schema_string(struct lf_schemas *m, struct lf_buf *text,
                             const json_t *schema) LF_MUST_CHECK;
enum lf_err lf_schema_number(struct lf_schemas *m, struct lf_buf *text, const json_t *schema,
                             bool whole) LF_MUST_CHECK;
/* Entries behind those that have their own schemas: from lo to hi (-1: any number), the first with
 * a comma or not. */
void lf_schema_rest(struct lf_buf *text, int rule, int64_t lo, int64_t hi, bool comma);
/* schema_text.c: strings as texts. NULL: not done, or no memory, which was said. */
struct lf_language *lf_schema_strings(struct lf_schemas *m, const json_t *schema);
struct lf_language *lf_schema_matches(const char *pattern, size_t n, struct lf_diag *diag);
/* Any text but these. */
struct lf_language *lf_schema_other_strings(const json_t *texts, struct lf_diag *diag);
/* Appends a string's text in quotes as JSON writes it, other characters than ASCII also escaped. */
void lf_schema_text(struct lf_buf *out, const char *s, size_t n);
/* Any JSON: rules json, json-character, json-object, json-array, json-string, json-number,
 * json-integer, json-ws. */
void lf_json_rules(struct lf_buf *out);

/* schema_object.c: such a member may be among an object's, as it is answered. */
bool lf_schema_may_have(const json_t *schema, const char *key);

/* schema_not.c: a schema of values that are not valid under this one, though not of all; kept.
 * NULL: nothing is known of them. */
const json_t *lf_schema_not(struct lf_schemas *m, const json_t *schema);
/* A schema with the conditions in it (not, if, dependencies) turned into alternatives, one by one:
 * the first is; itself where it has none. NULL after a failure. */
const json_t *lf_schema_condition(struct lf_schemas *m, const json_t *schema);

/* schema_merge.c: what a schema accepts together with another one that it refers to, or is a part
 * of it; new. NULL: refused, or no memory. */
json_t *lf_schema_both(const json_t *a, const json_t *b, struct lf_diag *diag);
/* What both accept, worked out when it is met; new. */
json_t *lf_schema_all_of(json_t *a, json_t *b);

/* Nothing is valid under it, as can be seen. */
bool lf_schema_is_nothing(const json_t *schema);
/* The values that it names; new, NULL: it names none. */
json_t *lf_schema_constants(const json_t *schema);
bool lf_schema_requires(const json_t *schema, const char *key);
/* Equal, numbers by what they are. */
bool lf_schema_same(const json_t *a, const json_t *b);
json_t *lf_schema_without(const json_t *schema, const char *key);

#endif
