/* LIBS: lf_meta lf_core */
/* The store under faults: each change is there or it is not, in this process and after opening
 * anew; once the fault is gone the same store does it. */
#include "tests/fault/fault.h"

#include "core/buf.h"
#include "core/file.h"
#include "meta/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
    char dir[64];
    struct lf_store *s;
    enum lf_err (*change)(struct world *w, struct lf_diag *diag);
    bool reopens;             /* look after opening anew, else on the open store */
    struct lf_buf old, new;   /* what the store holds before and after the change */
    struct lf_job_record job; /* that `a` has open */
};

static void must(enum lf_err rc, const struct lf_diag *diag)
{
    if (rc != LF_OK)
        fail_msg("%s: %s", lf_err_name(rc), diag->text);
}

/* All that the store holds, but for times. */
static void look(struct lf_store *s, struct lf_buf *out)
{
    struct lf_diag diag = {""};
    struct lf_adapter_record *a;
    struct lf_job_record *j;
    size_t n;
    lf_buf_reset(out);
    lf_buf_puts(out, "");
    must(lf_store_adapter_list(s, &a, &n, &diag), &diag);
    for (size_t i = 0; i < n; i++)
        lf_buf_printf(out, "adapter %d %s v%d of %d, job %d, \"%s\"\n", (int)a[i].id, a[i].name,
                      (int)a[i].current, (int)a[i].versions, (int)a[i].last_job, a[i].trouble);
    free(a);
    must(lf_store_job_list(s, false, &j, &n, &diag), &diag);
    for (size_t i = 0; i < n; i++)
        lf_buf_printf(out, "job %d of %d v%d: %d, step %d\n", (int)j[i].id, (int)j[i].adapter_id,
                      (int)j[i].version, (int)j[i].progress.state, (int)j[i].progress.step);
    free(j);
    assert_int_equal(out->rc, LF_OK);
}

/* Adapters a and b; a has an ended job and an open one. */
static void before(void *arg)
{
    struct world *w = arg;
    struct lf_diag diag = {""};
    struct lf_adapter_record a = {.name = "a"}, b = {.name = "b"}, now;
    fault_dir(w->dir);
    must(lf_store_open(&w->s, w->dir, &diag), &diag);
    must(lf_store_adapter_create(w->s, &a, NULL, NULL, &diag), &diag);
    must(lf_store_adapter_create(w->s, &b, NULL, NULL, &diag), &diag);
    for (int i = 0; i < 2; i++) {
        w->job = (struct lf_job_record){.adapter_id = a.id, .progress = lf_progress_none()};
        must(lf_store_job_create(w->s, &w->job, &now, &diag), &diag);
        if (i > 0)
            break;
        w->job.progress.state = LF_JOB_DONE;
        must(lf_store_job_finish(w->s, &w->job, &now, &diag), &diag);
    }
}

static enum lf_err act(void *arg, struct lf_diag *diag)
{
    struct world *w = arg;
    return w->change(w, diag);
}

static void reopen(struct world *w)
{
    struct lf_diag diag = {""};
    lf_store_close(w->s);
    w->s = NULL;
    must(lf_store_open(&w->s, w->dir, &diag), &diag);
}

static void end(struct world *w)
{
    struct lf_diag diag = {""};
    lf_store_close(w->s);
    w->s = NULL;
    must(lf_dir_remove(w->dir, &diag), &diag);
}

static void after(void *arg, enum lf_err rc)
{
    struct world *w = arg;
    struct lf_diag diag = {""};
    struct lf_buf now;
    lf_buf_init(&now, 0);
    if (w->reopens)
        reopen(w);
    look(w->s, &now);
    bool done = strcmp(now.data, w->new.data) == 0;
    if (rc == LF_OK)
        assert_string_equal(now.data, w->new.data);
    else if (!done)
        assert_string_equal(now.data, w->old.data);
    if (!done) {
        must(w->change(w, &diag), &diag);
        reopen(w);
        look(w->s, &now);
        assert_string_equal(now.data, w->new.data);
    }
    lf_buf_free(&now);
    end(w);
}

static void sweep(enum lf_err (*change)(struct world *w, struct lf_diag *diag))
{
    static const struct fault_subject subject = {before, act, after};
    struct world w = {.change = change};
    struct lf_diag diag = {""};
    lf_buf_init(&w.old, 0);
    lf_buf_init(&w.new, 0);
    before(&w);
    look(w.s, &w.old);
    must(change(&w, &diag), &diag);
    look(w.s, &w.new);
    end(&w);
    fault_sweep(&subject, &w);
    w.reopens = true;
    fault_sweep(&subject, &w);
    lf_buf_free(&w.old);
    lf_buf_free(&w.new);
}

/* ---- The changes ----------------------------------------------------------------------------- */

static enum lf_err create(struct world *w, struct lf_diag *diag)
{
    struct lf_adapter_record r = {.name = "c"};
    return lf_store_adapter_create(w->s, &r, NULL, NULL, diag);
}

static void an_adapter_is_made_or_not(void **state)
{
    (void)state;
    sweep(create);
}

static enum lf_err set_current(void *arg, struct lf_adapter_record *r, struct lf_diag *diag)
{
    (void)arg;
    (void)diag;
    r->current = 1;
    snprintf(r->trouble, sizeof r->trouble, "none");
    return LF_OK;
}

static enum lf_err update(struct world *w, struct lf_diag *diag)
{
    return lf_store_adapter_update(w->s, 1, set_current, NULL, NULL, diag);
}

static void an_adapter_is_changed_or_not(void **state)
{
    (void)state;
    sweep(update);
}

static enum lf_err rename_to(struct world *w, struct lf_diag *diag)
{
    return lf_store_adapter_rename(w->s, 1, "c", NULL, diag);
}

static void an_adapter_is_renamed_or_not(void **state)
{
    (void)state;
    sweep(rename_to);
}

static enum lf_err delete_b(struct world *w, struct lf_diag *diag)
{
    return lf_store_adapter_delete(w->s, 2, diag);
}

static void an_adapter_is_removed_or_not(void **state)
{
    (void)state;
    sweep(delete_b);
}

static enum lf_err queue(struct world *w, struct lf_diag *diag)
{
    struct lf_job_record j = {.adapter_id = 2, .progress = lf_progress_none()};
    struct lf_adapter_record a;
    return lf_store_job_create(w->s, &j, &a, diag);
}

static void a_job_is_queued_or_not(void **state)
{
    (void)state;
    sweep(queue);
}

static enum lf_err put(struct world *w, struct lf_diag *diag)
{
    struct lf_job_record j = w->job;
    j.progress.step = 7;
    return lf_store_job_put(w->s, &j, diag);
}

static void a_job_is_changed_or_not(void **state)
{
    (void)state;
    sweep(put);
}

static enum lf_err finish(struct world *w, struct lf_diag *diag)
{
    struct lf_adapter_record a;
    struct lf_job_record j = w->job;
    j.progress.state = LF_JOB_DONE;
    return lf_store_job_finish(w->s, &j, &a, diag);
}

static void a_job_ends_with_its_adapter_or_not(void **state)
{
    (void)state;
    sweep(finish);
}

static enum lf_err prune(struct world *w, struct lf_diag *diag)
{
    return lf_store_job_prune(w->s, 0, diag);
}

static void ended_jobs_are_forgotten_or_not(void **state)
{
    (void)state;
    sweep(prune);
}

/* ---- Reading and opening --------------------------------------------------------------------- */

static enum lf_err read_all(struct world *w, struct lf_diag *diag)
{
    struct lf_adapter_record *list;
    struct lf_job_record j, *jobs;
    size_t n;
    enum lf_err rc = lf_store_job_get(w->s, w->job.id, &j, diag);
    if (rc == LF_OK)
        rc = lf_store_adapter_list(w->s, &list, &n, diag);
    if (rc != LF_OK)
        return rc;
    free(list);
    rc = lf_store_job_list(w->s, false, &jobs, &n, diag);
    if (rc == LF_OK)
        free(jobs);
    return rc;
}

static void reading_changes_nothing(void **state)
{
    (void)state;
    sweep(read_all);
}

static enum lf_err open_anew(struct world *w, struct lf_diag *diag)
{
    lf_store_close(w->s);
    w->s = NULL;
    return lf_store_open(&w->s, w->dir, diag);
}

static void after_open(void *arg, enum lf_err rc)
{
    struct world *w = arg;
    struct lf_buf now;
    assert_int_equal(rc == LF_OK, w->s != NULL);
    lf_buf_init(&now, 0);
    reopen(w);
    look(w->s, &now);
    assert_string_equal(now.data, w->old.data);
    lf_buf_free(&now);
    end(w);
}

static void opening_that_fails_leaves_what_was_there(void **state)
{
    (void)state;
    static const struct fault_subject subject = {before, act, after_open};
    struct world w = {.change = open_anew};
    lf_buf_init(&w.old, 0);
    before(&w);
    look(w.s, &w.old);
    end(&w);
    fault_sweep(&subject, &w);
    lf_buf_free(&w.old);
}

static void before_fresh(void *arg)
{
    struct world *w = arg;
    fault_dir(w->dir);
}

static void a_store_that_was_half_made_is_made_by_the_next_opening(void **state)
{
    (void)state;
    static const struct fault_subject subject = {before_fresh, act, after_open};
    struct world w = {.change = open_anew};
    lf_buf_init(&w.old, 0);
    lf_buf_puts(&w.old, "");
    fault_sweep(&subject, &w);
    lf_buf_free(&w.old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_adapter_is_made_or_not, fault_teardown),
        cmocka_unit_test_teardown(an_adapter_is_changed_or_not, fault_teardown),
        cmocka_unit_test_teardown(an_adapter_is_renamed_or_not, fault_teardown),
        cmocka_unit_test_teardown(an_adapter_is_removed_or_not, fault_teardown),
        cmocka_unit_test_teardown(a_job_is_queued_or_not, fault_teardown),
        cmocka_unit_test_teardown(a_job_is_changed_or_not, fault_teardown),
        cmocka_unit_test_teardown(a_job_ends_with_its_adapter_or_not, fault_teardown),
        cmocka_unit_test_teardown(ended_jobs_are_forgotten_or_not, fault_teardown),
        cmocka_unit_test_teardown(reading_changes_nothing, fault_teardown),
        cmocka_unit_test_teardown(opening_that_fails_leaves_what_was_there, fault_teardown),
        cmocka_unit_test_teardown(a_store_that_was_half_made_is_made_by_the_next_opening,
                                  fault_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
