/* LIBS: lf_trainer lf_core */
/* Any bytes as a model's completion and as its reference, with a NUL between: every metric but the
 * one that runs programs gives a score in [0, 1], and answers make a matrix that can be written. */
#include "score/confusion.h"
#include "text/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void count(struct lf_confusion *c, const struct lf_answer *a, double score)
{
    const struct lf_answer same = {a->reference, a->reference, NULL};
    double one = 1;
    lf_assert(lf_confusion_add(c, a, &score, NULL) == LF_OK);
    lf_assert(lf_confusion_add(c, &same, &one, NULL) == LF_OK);
    json_t *j = lf_confusion_json(c);
    lf_assert(json_array_size(json_object_get(j, "labels")) == 1);
    char *text = json_dumps(j, 0);
    lf_assert(text != NULL);
    free(text);
    json_decref(j);
}

static void score_all(const struct lf_answer *a)
{
    for (const char *p = lf_metric_names(); *p;) {
        char name[64];
        size_t len = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)len, p);
        p += len + strspn(p + len, ", ");
        const struct lf_metric *m = lf_metric_find(name);
        double score = -1;
        struct lf_confusion *c;
        if (strcmp(name, "humaneval") == 0)
            continue;
        lf_assert(lf_metric_score(&score, m, a, NULL) == LF_OK);
        lf_assert(score >= 0 && score <= 1);
        if (!lf_metric_labels(m))
            continue;
        lf_assert(lf_confusion_new(&c, m, NULL) == LF_OK);
        count(c, a, score);
        lf_confusion_free(c);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 2);
    const char *const stop[] = {"\n", "x"};
    lf_assert(text != NULL);
    memcpy(text, data, n);
    text[n] = text[n + 1] = '\0';
    const struct lf_answer a = {text, text + strlen(text) + (strlen(text) < n), NULL};
    score_all(&a);
    struct lf_writer w;
    lf_writer_init(&w, NULL, stop, 2);
    lf_writer_skip_leading(&w);
    lf_assert(lf_writer_text(&w, text, n) == LF_OK && lf_writer_end(&w, LF_ENDING_EOS) == LF_OK);
    lf_assert(w.text.len <= n && (w.text.len < n) == (w.ending == LF_ENDING_STOP));
    lf_writer_free(&w);
    free(text);
    return 0;
}
