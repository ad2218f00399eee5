/* LIBS: lf_daemon lf_meta lf_core */
/* The registry under faults: disk, store and index agree afterwards, and a change that failed can
 * be made once the fault is gone. */
#include "tests/fault/data.h"

static enum lf_err create(struct data *d, struct lf_diag *diag)
{
    return lf_registry_create(d->rig.registry, "c", NULL, diag);
}

static void an_adapter_is_made_or_not(void **state)
{
    (void)state;
    data_sweep(create, false);
}

static enum lf_err rename_to(struct data *d, struct lf_diag *diag)
{
    return lf_registry_rename(d->rig.registry, "a", "c", diag);
}

static void an_adapter_is_renamed_or_not(void **state)
{
    (void)state;
    data_sweep(rename_to, false);
}

static enum lf_err remove_a(struct data *d, struct lf_diag *diag)
{
    uint64_t id;
    return lf_registry_remove(d->rig.registry, "a", &id, diag);
}

static void an_adapter_is_removed_or_not(void **state)
{
    (void)state;
    data_sweep(remove_a, false);
}

static enum lf_err roll_back(struct data *d, struct lf_diag *diag)
{
    return lf_registry_rollback(d->rig.registry, "a", 1, diag);
}

static void another_version_is_served_or_not(void **state)
{
    (void)state;
    data_sweep(roll_back, false);
}

static enum lf_err delete_version(struct data *d, struct lf_diag *diag)
{
    char entry[LF_TRASH_ENTRY];
    return lf_registry_delete(d->rig.registry, "a", &(struct lf_file_ref){LF_FILE_VERSION, 1},
                              (struct lf_condition){0}, entry, diag);
}

static void a_version_is_removed_or_not(void **state)
{
    (void)state;
    data_sweep(delete_version, false);
}

static enum lf_err delete_rows(struct data *d, struct lf_diag *diag)
{
    char entry[LF_TRASH_ENTRY];
    return lf_registry_delete(d->rig.registry, "a", &(struct lf_file_ref){LF_FILE_DATASET, 0},
                              (struct lf_condition){0}, entry, diag);
}

static void a_file_is_removed_or_not(void **state)
{
    (void)state;
    data_sweep(delete_rows, false);
}

static enum lf_err queue(struct data *d, struct lf_diag *diag)
{
    struct lf_job_record j = {.adapter_id = 2, .progress = lf_progress_none()};
    return lf_registry_job_create(d->rig.registry, &j, diag);
}

static void a_job_is_queued_or_not(void **state)
{
    (void)state;
    data_sweep(queue, false);
}

static enum lf_err finish(struct data *d, struct lf_diag *diag)
{
    struct lf_job_record j = d->job;
    j.progress.state = LF_JOB_FAILED;
    snprintf(j.reason, sizeof j.reason, "loss is not finite");
    return lf_registry_job_finish(d->rig.registry, &j, diag);
}

static void a_job_ends_or_not(void **state)
{
    (void)state;
    data_sweep(finish, false);
}

static enum lf_err write_metrics(struct data *d, struct lf_diag *diag)
{
    struct lf_buf text = {.data = (char *)(uintptr_t) "{}", .len = 2};
    return lf_registry_write(d->rig.registry, 1, LF_FILE_METRICS, &text, diag);
}

static void a_file_of_the_daemons_is_replaced_or_not(void **state)
{
    (void)state;
    data_sweep(write_metrics, false);
}

static enum lf_err open_anew(struct data *d, struct lf_diag *diag)
{
    lf_registry_close(d->rig.registry);
    d->rig.registry = NULL;
    return lf_registry_open(&d->rig.registry, d->rig.dir, d->rig.store, &d->rig.bases, diag);
}

static void opening_that_fails_leaves_what_was_there(void **state)
{
    (void)state;
    data_sweep(open_anew, false);
}

/* The first start after the store was lost. */
static enum lf_err open_without_store(struct data *d, struct lf_diag *diag)
{
    char dir[128];
    enum lf_err rc = LF_OK;
    snprintf(dir, sizeof dir, "%s/state", d->rig.dir);
    if (!d->rig.store)
        rc = lf_store_open(&d->rig.store, dir, diag);
    return rc ?: open_anew(d, diag);
}

static void a_lost_store_is_made_again_by_this_start_or_the_next(void **state)
{
    (void)state;
    data_sweep(open_without_store, true);
}

/* A line may be lost, but not torn, and not taken by the next one. */
static enum lf_err two_lines(struct data *d, struct lf_diag *diag)
{
    (void)diag;
    lf_registry_log(d->rig.registry, 1, json_pack("{s:s}", "event", "first"));
    lf_registry_log(d->rig.registry, 1, json_pack("{s:s}", "event", "second"));
    return LF_OK;
}

static void a_line_of_the_log_is_there_or_not(void **state)
{
    (void)state;
    data_sweep(two_lines, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_adapter_is_made_or_not, fault_teardown),
        cmocka_unit_test_teardown(an_adapter_is_renamed_or_not, fault_teardown),
        cmocka_unit_test_teardown(an_adapter_is_removed_or_not, fault_teardown),
        cmocka_unit_test_teardown(another_version_is_served_or_not, fault_teardown),
        cmocka_unit_test_teardown(a_version_is_removed_or_not, fault_teardown),
        cmocka_unit_test_teardown(a_file_is_removed_or_not, fault_teardown),
        cmocka_unit_test_teardown(a_job_is_queued_or_not, fault_teardown),
        cmocka_unit_test_teardown(a_job_ends_or_not, fault_teardown),
        cmocka_unit_test_teardown(a_file_of_the_daemons_is_replaced_or_not, fault_teardown),
        cmocka_unit_test_teardown(opening_that_fails_leaves_what_was_there, fault_teardown),
        cmocka_unit_test_teardown(a_lost_store_is_made_again_by_this_start_or_the_next,
                                  fault_teardown),
        cmocka_unit_test_teardown(a_line_of_the_log_is_there_or_not, fault_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
