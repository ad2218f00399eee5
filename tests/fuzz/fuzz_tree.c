/* LIBS: lf_client lf_core */
/* Any bytes as a daemon's tree and queue, which a mount reads: refused with a reason, or every name
 * is found again. */
#include "client/tree.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void look(const struct lf_tree *t)
{
    for (size_t i = 0; i < t->n_bases; i++)
        lf_assert(lf_tree_base(t, t->bases[i].name) != NULL);
    for (size_t i = 0; i < t->n_adapters; i++) {
        const struct lf_tree_adapter *a = &t->adapters[i];
        size_t below;
        lf_assert(lf_tree_adapter(t, a->name) != NULL);
        for (size_t k = 0; k < a->n_files; k++)
            lf_assert(lf_tree_file(a, a->files[k].path) != NULL);
        for (size_t k = 0; k < a->n_versions; k++)
            lf_assert(lf_tree_has_version(a, a->versions[k]));
        lf_tree_files_below(a, "versions/", &below);
        lf_assert(below <= a->n_files);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_tree *t = NULL;
    struct lf_tree_jobs jobs = {0};
    struct lf_diag diag = {""};
    enum lf_err rc = lf_tree_parse(&t, (const char *)data, n, &diag);
    lf_assert(rc == LF_OK || diag.text[0] != '\0');
    if (rc == LF_OK) {
        look(t);
        lf_tree_release(t);
    }
    diag.text[0] = '\0';
    rc = lf_tree_jobs_parse(&jobs, (const char *)data, n, &diag);
    lf_assert(rc == LF_OK || diag.text[0] != '\0');
    for (size_t i = 0; rc == LF_OK && i < jobs.n; i++)
        lf_assert(lf_tree_job(&jobs, jobs.jobs[i].id) != NULL);
    lf_tree_jobs_free(&jobs);
    return 0;
}
