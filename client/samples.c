/* Lines of NAME{LABELS} VALUE [TIME]. */
#include "client/samples.h"

#include "core/grow.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Past the labels' closing brace; NULL: there is none. A brace in quotes is text. */
static char *labels_end(char *at)
{
    bool quoted = false;
    for (; *at; at++) {
        if (quoted && *at == '\\' && at[1])
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (*at == '}' && !quoted)
            return at;
    }
    return NULL;
}

/* The line is cut into its parts. */
static bool line_parse(struct lf_sample_line *out, char *line)
{
    char *end, *rest = line + strcspn(line, "{ ");
    *out = (struct lf_sample_line){.name = line, .labels = ""};
    bool labelled = *rest == '{';
    if (rest == line || *rest == '\0')
        return false;
    *rest++ = '\0';
    if (labelled) {
        out->labels = rest;
        rest = labels_end(rest);
        if (!rest)
            return false;
        *rest++ = '\0';
    }
    out->value = strtod(rest, &end);
    return end != rest && (*end == '\0' || *end == ' ');
}

static enum lf_err lines_parse(struct lf_samples *m, struct lf_diag *diag)
{
    size_t cap = 0;
    int n = 0;
    char *next = m->text.data;
    while (next) {
        char *line = next;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        n++;
        if (*line == '\0' || *line == '#')
            continue;
        if (lf_grow(&m->v, &cap, m->n + 1, sizeof *m->v) != LF_OK)
            return lf_no_memory(diag, "metrics");
        if (!line_parse(&m->v[m->n], line))
            return lf_fail(diag, LF_E_INVALID, "metrics: line %d is no sample", n);
        m->n++;
    }
    return LF_OK;
}

enum lf_err lf_samples_parse(struct lf_samples *out, struct lf_buf *text, struct lf_diag *diag)
{
    *out = (struct lf_samples){.text = *text};
    *text = (struct lf_buf){0};
    bool cut = out->text.len > 0 && memchr(out->text.data, '\0', out->text.len);
    enum lf_err rc = cut ? lf_fail(diag, LF_E_INVALID, "metrics: a NUL in the text") : LF_OK;
    rc = rc ?: lines_parse(out, diag);
    if (rc != LF_OK)
        lf_samples_free(out);
    return rc;
}

void lf_samples_free(struct lf_samples *m)
{
    free(m->v);
    lf_buf_free(&m->text);
    *m = (struct lf_samples){0};
}

double lf_samples_value(const struct lf_samples *m, const char *name, const char *label)
{
    double sum = 0;
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->v[i].name, name) == 0 && (!label || strstr(m->v[i].labels, label)))
            sum += m->v[i].value;
    return sum;
}
