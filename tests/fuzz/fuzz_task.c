/* LIBS: lf_land lf_core */
/* Any bytes as a task's file, JSON or the study's YAML: it is refused with a reason, or makes a
 * task whose members keep their promises. */
#include "core/json.h"
#include "land/task_file.h"
#include "score/metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(json_t *file, const char *name)
{
    struct lf_diag diag = {""};
    struct lf_task *t;
    if (lf_task_new(&t, name, file, &diag) != LF_OK) {
        lf_assert(diag.text[0] != '\0');
        return;
    }
    lf_assert(lf_metric_find(t->metric) && t->title && t->category && t->source && t->get);
    lf_assert(t->max_tokens > 0 && t->shots >= 0 && t->n_stop >= 0);
    for (int i = 0; i < t->n_stop; i++)
        lf_assert(t->stop[i][0] != '\0');
    lf_task_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_diag diag = {""};
    char name[LF_NAME_MAX + 1] = "";
    json_t *file;
    if (lf_json_parse(&file, (const char *)data, n, &diag) == LF_OK)
        check(file, "own");
    else
        lf_assert(diag.text[0] != '\0');
    diag.text[0] = '\0';
    if (lf_task_from_yaml(&file, name, (const char *)data, n, &diag) == LF_OK)
        check(file, name);
    else
        lf_assert(diag.text[0] != '\0');
    return 0;
}
