/* Confusion matrices. Which labels are classes is known only when all references were seen, so
 * answers are kept as pairs of names until the matrix is asked for. */
#include "score/confusion.h"

#include "core/grow.h"
#include "core/json.h"

#include "score/answers.h"
#include "score/limits.h"
#include "score/spans.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct name {
    char *key;   /* as the metric reads it */
    char *shown; /* as the first reference spells it; NULL: no reference said it */
};

struct label_pair {
    size_t expected, got; /* names */
};

struct lf_confusion {
    const struct lf_metric *metric;
    struct name *names;
    size_t n_names, cap_names;
    struct label_pair *pairs;
    size_t n_pairs, cap_pairs;
    struct lf_buf text; /* of a label on its way in */
};

enum lf_err lf_confusion_new(struct lf_confusion **out, const struct lf_metric *m,
                             struct lf_diag *diag)
{
    struct lf_confusion *c = calloc(1, sizeof *c);
    if (!c)
        return lf_no_memory(diag, "a confusion matrix");
    c->metric = m;
    *out = c;
    return LF_OK;
}

void lf_confusion_free(struct lf_confusion *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_names; i++) {
        free(c->names[i].key);
        free(c->names[i].shown);
    }
    free(c->names);
    free(c->pairs);
    lf_buf_free(&c->text);
    free(c);
}

/* ---- Collecting ------------------------------------------------------------------------------ */

/* A copy of the start of a text, of whole characters. */
static char *dup_start(const char *s, size_t n)
{
    if (n > LF_LABEL_BYTES_MAX)
        for (n = LF_LABEL_BYTES_MAX; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80;)
            n--;
    return strndup(s, n);
}

/* Index of the label that the metric reads from the text. */
static bool intern(struct lf_confusion *c, const char *text, size_t *out)
{
    lf_buf_reset(&c->text);
    if (lf_metric_label(&c->text, c->metric, text) != LF_OK)
        return false;
    char *key = dup_start(lf_buf_str(&c->text), c->text.len);
    for (*out = 0; key && *out < c->n_names; ++*out)
        if (strcmp(c->names[*out].key, key) == 0) {
            free(key);
            return true;
        }
    if (!key || lf_grow(&c->names, &c->cap_names, c->n_names + 1, sizeof *c->names)) {
        free(key);
        return false;
    }
    c->names[c->n_names++] = (struct name){key, NULL};
    return true;
}

/* The class of a reference. */
static bool intern_class(struct lf_confusion *c, const char *reference, size_t *out)
{
    struct lf_span shown = lf_span_whole(reference);
    if (!intern(c, reference, out))
        return false;
    struct name *name = &c->names[*out];
    if (name->shown)
        return true;
    lf_buf_reset(&c->text);
    if (lf_buf_utf8(&c->text, shown.s, shown.n) == LF_OK)
        name->shown = dup_start(lf_buf_str(&c->text), c->text.len);
    return name->shown;
}

enum lf_err lf_confusion_class(struct lf_confusion *c, const char *reference, struct lf_diag *diag)
{
    size_t class;
    return intern_class(c, reference, &class) ? LF_OK : lf_no_memory(diag, "a confusion matrix");
}

/* Whether what was got begins with the longer name of another class than the expected one. */
static bool begins_with_longer(const struct lf_confusion *c, const struct label_pair *p)
{
    const char *got = c->names[p->got].key;
    size_t expected = strlen(c->names[p->expected].key);
    for (size_t i = 0; i < c->n_names; i++) {
        size_t n = c->names[i].shown ? strlen(c->names[i].key) : 0;
        if (n > expected && strncmp(got, c->names[i].key, n) == 0 && lf_label_ends(got + n))
            return true;
    }
    return false;
}

enum lf_err lf_confusion_add(struct lf_confusion *c, const struct lf_answer *a, double *score,
                             struct lf_diag *diag)
{
    struct label_pair p;
    if (!intern_class(c, a->reference, &p.expected) || !intern(c, a->completion, &p.got) ||
        lf_grow(&c->pairs, &c->cap_pairs, c->n_pairs + 1, sizeof *c->pairs) != LF_OK)
        return lf_no_memory(diag, "a confusion matrix");
    if (*score == 1 && lf_metric_lets_follow(c->metric) && begins_with_longer(c, &p))
        *score = 0;
    if (*score == 1)
        p.got = p.expected;
    else if (p.got == p.expected)
        p.got = SIZE_MAX; /* its class is named, but not as the metric wants it */
    c->pairs[c->n_pairs++] = p;
    return LF_OK;
}

/* ---- The matrix ------------------------------------------------------------------------------ */

struct matrix {
    size_t n;                 /* classes */
    const struct name **name; /* (n) sorted */
    size_t *class_of;         /* of names; n: none */
    int64_t *count;           /* (n, n + 1) */
};

static int by_shown(const void *a, const void *b)
{
    const struct name *const *x = a, *const *y = b;
    return strcmp((*x)->shown, (*y)->shown);
}

static bool make_matrix(struct matrix *m, const struct lf_confusion *c)
{
    m->name = calloc(c->n_names + 1, sizeof *m->name);
    m->class_of = calloc(c->n_names + 1, sizeof *m->class_of);
    for (size_t i = 0; m->name && i < c->n_names; i++)
        if (c->names[i].shown)
            m->name[m->n++] = &c->names[i];
    if (!m->name || !m->class_of || m->n == 0 || m->n > LF_CONFUSION_LABELS_MAX)
        return false;
    qsort(m->name, m->n, sizeof *m->name, by_shown);
    for (size_t i = 0; i < c->n_names; i++)
        m->class_of[i] = m->n;
    for (size_t k = 0; k < m->n; k++)
        m->class_of[m->name[k] - c->names] = k;
    m->count = calloc(m->n * (m->n + 1), sizeof *m->count);
    for (size_t i = 0; m->count && i < c->n_pairs; i++) {
        const struct label_pair *p = &c->pairs[i];
        size_t got = p->got == SIZE_MAX ? m->n : m->class_of[p->got];
        m->count[m->class_of[p->expected] * (m->n + 1) + got]++;
    }
    return m->count != NULL;
}

static double over(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* Class k in one row; its F1 and support are added up. */
static json_t *class_json(const struct matrix *m, size_t k, double *f1, double *support)
{
    int64_t hit = m->count[k * (m->n + 1) + k], expected = 0, named = 0;
    for (size_t i = 0; i <= m->n; i++)
        expected += m->count[k * (m->n + 1) + i];
    for (size_t i = 0; i < m->n; i++)
        named += m->count[i * (m->n + 1) + k];
    double precision = over((double)hit, (double)named);
    double recall = over((double)hit, (double)expected);
    *f1 = over(2 * precision * recall, precision + recall);
    *support = (double)expected;
    return json_pack("{s:s, s:f, s:f, s:f, s:I}", "label", m->name[k]->shown, "precision",
                     precision, "recall", recall, "f1", *f1, "support", (json_int_t)expected);
}

static json_t *row_json(const struct matrix *m, size_t k)
{
    json_t *row = json_array();
    for (size_t i = 0; i <= m->n; i++)
        json_array_append_new(row, json_integer(m->count[k * (m->n + 1) + i]));
    return row;
}

json_t *lf_confusion_json(const struct lf_confusion *c)
{
    struct matrix m = {0};
    json_t *out = NULL;
    if (make_matrix(&m, c)) {
        json_t *labels = json_array(), *rows = json_array(), *classes = json_array();
        double f1, support, macro = 0, weighted = 0, hits = 0;
        for (size_t k = 0; k < m.n; k++) {
            json_array_append_new(labels, json_string(m.name[k]->shown));
            json_array_append_new(rows, row_json(&m, k));
            json_array_append_new(classes, class_json(&m, k, &f1, &support));
            macro += f1 / (double)m.n;
            weighted += f1 * support / (double)c->n_pairs;
            hits += (double)m.count[k * (m.n + 1) + k];
        }
        out = json_pack("{s:o, s:o, s:o, s:f, s:f, s:f}", "labels", labels, "matrix", rows,
                        "classes", classes, "accuracy", hits / (double)c->n_pairs, "macro_f1",
                        macro, "weighted_f1", weighted);
    }
    free(m.name);
    free(m.class_of);
    free(m.count);
    return out;
}

double lf_confusion_majority(const json_t *confusion, const char **label)
{
    double most = 0, all = 0;
    size_t i;
    const json_t *class;
    *label = "";
    json_array_foreach((json_t *)(uintptr_t)json_object_get(confusion, "classes"), i, class) {
        double support = lf_json_real_of(class, "support");
        all += support;
        if (support > most) {
            most = support;
            *label = lf_json_text_of(class, "label");
        }
    }
    return over(most, all);
}

bool lf_confusion_collapsed(const json_t *confusion)
{
    const char *label;
    const json_t *rows = json_object_get(confusion, "matrix");
    size_t n = json_array_size(rows);
    double most = 0, all = 0;
    for (size_t k = 0; k <= n; k++) {
        double named = 0;
        for (size_t i = 0; i < n; i++)
            named += json_number_value(json_array_get(json_array_get(rows, i), k));
        all += named;
        most = k < n && named > most ? named : most;
    }
    return n > 1 && most >= LF_COLLAPSED_SHARE * all &&
           lf_confusion_majority(confusion, &label) < LF_COLLAPSED_SHARE;
}
