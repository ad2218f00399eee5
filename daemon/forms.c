/* Grammars of a base: the last ones asked for, found by their text. */
#include "daemon/forms.h"
#include "daemon/limits.h"

#include "core/json.h"
#include "core/lock.h"

#include <stdlib.h>
#include <string.h>

struct known {
    enum lf_form form;
    char *text;
    size_t n;
    uint64_t used;
    struct lf_grammar *grammar;
};

struct lf_forms {
    const struct lf_model *model;
    pthread_mutex_t lock; /* protects all below */
    struct lf_token_trie *trie;
    struct known known[LF_FORMS_MAX];
    int n_known;
    uint64_t asked;
};

struct lf_forms *lf_forms_new(const struct lf_model *model)
{
    struct lf_forms *f = calloc(1, sizeof *f);
    if (f) {
        f->model = model;
        pthread_mutex_init(&f->lock, NULL);
    }
    return f;
}

static void forget(struct known *k)
{
    free(k->text);
    lf_grammar_release(k->grammar);
    *k = (struct known){0};
}

void lf_forms_free(struct lf_forms *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->n_known; i++)
        forget(&f->known[i]);
    lf_token_trie_free(f->trie);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static enum lf_err trie_of(struct lf_forms *f, const struct lf_token_trie **out,
                           struct lf_diag *diag)
{
    const struct lf_config *c = &f->model->config;
    lf_lock_auto held = lf_lock(&f->lock);
    enum lf_err rc = LF_OK;
    if (!f->trie)
        rc = lf_token_trie_new(&f->trie, f->model->tokenizer, c->V, c->eos, c->n_eos, diag);
    *out = f->trie;
    return rc;
}

static struct known *find(struct lf_forms *f, enum lf_form form, const char *text, size_t n)
{
    for (int i = 0; i < f->n_known; i++) {
        struct known *k = &f->known[i];
        if (k->form == form && k->n == n && memcmp(k->text, text, n) == 0)
            return k;
    }
    return NULL;
}

static enum lf_err from_json(struct lf_buf *gbnf, enum lf_form form, const char *text, size_t n,
                             struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    enum lf_err rc = lf_json_parse(&j, text, n, diag);
    if (rc != LF_OK)
        return rc;
    return form == LF_FORM_CHOICES ? lf_grammar_of_choices(gbnf, j, diag)
                                   : lf_grammar_of_schema(gbnf, j, "root", diag);
}

static enum lf_err make(struct lf_forms *f, struct lf_grammar **out, enum lf_form form,
                        const char *text, size_t n, struct lf_diag *diag)
{
    lf_buf_auto gbnf = {.max = LF_FORM_BYTES_MAX};
    const struct lf_token_trie *trie;
    enum lf_err rc = trie_of(f, &trie, diag);
    if (rc != LF_OK)
        return rc;
    if (form == LF_FORM_GBNF)
        return lf_grammar_new(out, text, n, trie, diag);
    rc = form == LF_FORM_REGEX ? lf_grammar_of_regex(&gbnf, text, n, diag)
                               : from_json(&gbnf, form, text, n, diag);
    return rc ?: lf_grammar_new(out, lf_buf_str(&gbnf), gbnf.len, trie, diag);
}

/* In the place of the one that was asked for the longest ago, where all are taken. */
static void keep(struct lf_forms *f, enum lf_form form, const char *text, size_t n,
                 struct lf_grammar *grammar)
{
    struct known *at = &f->known[0];
    char *copy = malloc(n + 1);
    if (!copy)
        return;
    memcpy(copy, text, n);
    for (int i = 1; i < f->n_known; i++)
        at = f->known[i].used < at->used ? &f->known[i] : at;
    if (f->n_known < LF_FORMS_MAX)
        at = &f->known[f->n_known++];
    forget(at);
    *at = (struct known){form, copy, n, ++f->asked, lf_grammar_hold(grammar)};
}

enum lf_err lf_forms_grammar(struct lf_forms *f, struct lf_grammar **out, enum lf_form form,
                             const char *text, size_t n, struct lf_diag *diag)
{
    pthread_mutex_lock(&f->lock);
    struct known *k = find(f, form, text, n);
    if (k) {
        k->used = ++f->asked;
        *out = lf_grammar_hold(k->grammar);
    }
    pthread_mutex_unlock(&f->lock);
    if (k)
        return LF_OK;
    enum lf_err rc = make(f, out, form, text, n, diag);
    lf_lock_auto held = lf_lock(&f->lock);
    if (rc == LF_OK && !find(f, form, text, n))
        keep(f, form, text, n, *out);
    return rc;
}
