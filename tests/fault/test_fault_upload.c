/* LIBS: lf_daemon lf_meta lf_core */
/* Uploads under faults: the old file or the new one, never a part; what failed can be sent again.
 */
#include "tests/fault/data.h"

#define NEW_ROWS DATA_ROW "{\"prompt\":\"c\",\"completion\":\"d\"}\n"

static enum lf_err put_rows(struct data *d, struct lf_diag *diag)
{
    return data_put(d, "a", "dataset.jsonl", NEW_ROWS, strlen(NEW_ROWS), diag);
}

static void rows_are_replaced_or_not(void **state)
{
    (void)state;
    data_sweep(put_rows, false);
}

static enum lf_err put_config(struct data *d, struct lf_diag *diag)
{
    return data_put(d, "a", "config.json", "{\"rank\":3}", 10, diag);
}

static void settings_are_replaced_or_not(void **state)
{
    (void)state;
    data_sweep(put_config, false);
}

static enum lf_err put_template(struct data *d, struct lf_diag *diag)
{
    return data_put(d, "a", "template", "{prompt} {completion}", 21, diag);
}

static void a_template_is_taken_or_not(void **state)
{
    (void)state;
    data_sweep(put_template, false);
}

static enum lf_err put_prompt(struct data *d, struct lf_diag *diag)
{
    return data_put(d, "b", "prompt", "hello\n", 6, diag);
}

static void a_prompt_is_taken_or_not(void **state)
{
    (void)state;
    data_sweep(put_prompt, false);
}

static enum lf_err import(struct data *d, struct lf_diag *diag)
{
    int32_t n;
    return lf_registry_import(d->rig.registry, "b", d->peft, &n, diag);
}

static void an_adapter_is_imported_or_not(void **state)
{
    (void)state;
    data_sweep(import, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(rows_are_replaced_or_not, fault_teardown),
        cmocka_unit_test_teardown(settings_are_replaced_or_not, fault_teardown),
        cmocka_unit_test_teardown(a_template_is_taken_or_not, fault_teardown),
        cmocka_unit_test_teardown(a_prompt_is_taken_or_not, fault_teardown),
        cmocka_unit_test_teardown(an_adapter_is_imported_or_not, fault_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
