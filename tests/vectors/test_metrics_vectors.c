/* LIBS: lf_score */
/* ROUGE and SQuAD's F1 against rouge-score and the SQuAD script: metrics_vectors.json, made and
 * checked by metrics_vectors.py. */
#include "score/metrics.h"

#include "core/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void agrees_with_the_reference_implementations(void **state)
{
    (void)state;
    static const char *const names[] = {"rouge_1", "rouge_2", "rouge_l", "token_f1"};
    char path[512];
    struct lf_diag diag = {""};
    json_t *cases;
    snprintf(path, sizeof path, "%s/tests/vectors/metrics_vectors.json", getenv("LF_SOURCE"));
    if (lf_json_load(&cases, path, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_true(json_array_size(cases) > 50);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        const char *completion = json_string_value(json_object_get(c, "completion"));
        const char *reference = json_string_value(json_object_get(c, "reference"));
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            const struct lf_answer a = {completion, reference, NULL};
            double got = NAN;
            assert_int_equal(lf_metric_score(&got, lf_metric_find(names[k]), &a, &diag), LF_OK);
            double want = json_number_value(json_object_get(c, names[k]));
            if (!(fabs(got - want) <= 1e-6))
                fail_msg("%s(\"%.60s\", \"%.60s\") is %.9f, not %.9f", names[k], completion,
                         reference, got, want);
        }
    }
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_reference_implementations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
