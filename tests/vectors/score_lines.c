/* Scores JSON lines, for comparisons with other implementations: score_lines < LINES
 *
 *     {"metric": "gsm8k", "completion": "...", "reference": "...", "row": {...}}
 *         -> {"score": 1.0}
 *     {"metric": "accuracy", "answers": [["completion", "reference"], ...]}
 *         -> {"scores": [...], "confusion": {...}} */
#include "core/json.h"
#include "score/confusion.h"
#include "score/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const struct lf_diag *diag)
{
    fprintf(stderr, "score_lines: %s\n", diag->text);
    return 1;
}

static const char *text_of(const json_t *v)
{
    return json_is_string(v) ? json_string_value(v) : "";
}

static enum lf_err score_many(json_t *out, const struct lf_metric *m, const json_t *answers,
                              struct lf_diag *diag)
{
    struct lf_confusion *c;
    json_t *scores = json_array();
    enum lf_err rc = lf_confusion_new(&c, m, diag);
    for (size_t i = 0; rc == LF_OK && i < json_array_size(answers); i++)
        rc = lf_confusion_class(c, text_of(json_array_get(json_array_get(answers, i), 1)), diag);
    for (size_t i = 0; rc == LF_OK && i < json_array_size(answers); i++) {
        const json_t *pair = json_array_get(answers, i);
        const struct lf_answer a = {text_of(json_array_get(pair, 0)),
                                    text_of(json_array_get(pair, 1)), NULL};
        double score;
        rc = lf_metric_score(&score, m, &a, diag);
        if (rc == LF_OK)
            rc = lf_confusion_add(c, &a, &score, diag);
        json_array_append_new(scores, json_real(rc == LF_OK ? score : 0));
    }
    json_object_set_new(out, "scores", scores);
    json_t *confusion = rc == LF_OK ? lf_confusion_json(c) : NULL;
    json_object_set_new(out, "confusion", confusion ? confusion : json_null());
    lf_confusion_free(c);
    return rc;
}

static enum lf_err score_line(json_t *out, const json_t *line, struct lf_diag *diag)
{
    const char *name = text_of(json_object_get(line, "metric"));
    const struct lf_metric *m = lf_metric_find(name);
    const struct lf_answer a = {text_of(json_object_get(line, "completion")),
                                text_of(json_object_get(line, "reference")),
                                json_object_get(line, "row")};
    double score;
    if (!m)
        return lf_fail(diag, LF_E_INVALID, "no metric \"%s\"", name);
    if (json_object_get(line, "answers"))
        return score_many(out, m, json_object_get(line, "answers"), diag);
    enum lf_err rc = lf_metric_score(&score, m, &a, diag);
    if (rc == LF_OK)
        json_object_set_new(out, "score", json_real(score));
    return rc;
}

int main(void)
{
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;
    int status = 0;
    while (status == 0 && (n = getline(&text, &cap, stdin)) >= 0) {
        struct lf_diag diag = {""};
        json_t *line = NULL, *out = json_object();
        if (lf_json_parse(&line, text, (size_t)n, &diag) != LF_OK ||
            score_line(out, line, &diag) != LF_OK) {
            status = fail(&diag);
        } else {
            json_dumpf(out, stdout, JSON_REAL_PRECISION(17));
            putchar('\n');
        }
        json_decref(line);
        json_decref(out);
    }
    free(text);
    return status;
}
