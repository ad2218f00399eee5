/* Forms that answers are asked in (text/guide.h), for one base: its tokens by their bytes, made
 * when they are wanted first, and the grammars that were asked for last. Any thread. */
#ifndef LF_DAEMON_FORMS_H
#define LF_DAEMON_FORMS_H

#include "core/err.h"
#include "model/model.h"
#include "text/guide.h"

struct lf_forms;

enum lf_form {
    LF_FORM_GBNF,
    LF_FORM_REGEX,
    LF_FORM_SCHEMA, /* JSON */
    LF_FORM_CHOICES /* JSON: a list of strings */
};

/* model: borrowed. NULL: no memory. Yours, lf_forms_free. */
struct lf_forms *lf_forms_new(const struct lf_model *model);
void lf_forms_free(struct lf_forms *f);
/* The grammar of a text of n bytes. Yours, lf_grammar_release. LF_E_INVALID, LF_E_UNSUPPORTED: what
 * is wrong with it, or not done. */
enum lf_err lf_forms_grammar(struct lf_forms *f, struct lf_grammar **out, enum lf_form form,
                             const char *text, size_t n, struct lf_diag *diag) LF_MUST_CHECK;

#endif
