/* LIBS: lf_model lf_gpu lf_core */
/* A base with an adapter merged into it: W + scale * B A where a site has an adapter, W elsewhere,
 * whatever rows are asked for. That whole checkpoints agree with PEFT's is shown in tests/vectors.
 */
#include "tests/unit/tiny.h"

#include "model/merged_base.h"

#include <math.h>

static char dir[] = "/tmp/lf-merged-XXXXXX", base[64], tuned[64];
static struct lf_config config;
static struct lf_adapter *adapter;
static struct lf_tensors *stored;

static int set_up(void **state)
{
    struct lf_diag diag = {""};
    struct lf_lora_settings s = {.rank = 4, .alpha = 8, .target_modules = "q_proj,down_proj"};
    (void)state;
    config = tiny_config();
    if (!mkdtemp(dir))
        return 1;
    snprintf(base, sizeof base, "%s/base", dir);
    snprintf(tuned, sizeof tuned, "%s/tuned", dir);
    ok(lf_dir_make(base, &diag), &diag);
    tiny_write(base, NULL);
    ok(lf_adapter_new(&adapter, &config, &s, 7, &diag), &diag);
    for (size_t i = 0; i < adapter->shape.n_params; i++) /* B, too, is zero in a fresh one */
        adapter->params[i] = lf_rng_unit(lf_rng_u32(3, i, 0)) - 0.5f;
    ok(lf_adapter_save(adapter, &config, tuned, "base", NULL, &diag), &diag);
    ok(lf_tensors_open_checkpoint(&stored, base, &diag), &diag);
    return 0;
}

static int tear_down(void **state)
{
    struct lf_diag diag;
    (void)state;
    lf_tensors_free(stored);
    lf_adapter_free(adapter);
    return lf_dir_remove(dir, &diag);
}

static const struct lf_merged_tensor *find(const struct lf_merged_base *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->tensors[i].stored->name, name) == 0)
            return &m->tensors[i];
    fail_msg("no %s", name);
    return NULL;
}

/* Rows [row, row + n) are what they must be; site: whose product is added, or -1. */
static void is(struct lf_merged_base *m, const char *name, int site, int64_t row, int64_t n)
{
    struct lf_diag diag = {""};
    const struct lf_merged_tensor *t = find(m, name);
    const struct lf_tensor *w = lf_tensors_find(stored, name);
    size_t cols = (size_t)t->cols, all = (size_t)t->rows * cols;
    float *got = malloc((size_t)n * cols * sizeof *got), *was = malloc(all * sizeof *was);
    assert_true(t->numbers && !t->q4);
    assert_true(site < 0 || t->site == site);
    lf_to_f32(was, w->data, w->dtype, all);
    ok(lf_merged_rows(m, t, row, n, got, &diag), &diag);
    for (size_t i = 0; i < (size_t)n * cols; i++) {
        size_t r = (size_t)row + i / cols, k = i % cols;
        double wanted = (double)was[r * cols + k];
        for (int j = 0; site >= 0 && j < 4; j++) {
            const float *a = adapter->params + adapter->shape.a_off[site] + (size_t)j * cols;
            const float *b = adapter->params + adapter->shape.b_off[site] + r * 4;
            wanted += (double)adapter->shape.scale[site] * (double)b[j] * (double)a[k];
        }
        /* Sums of five products in fp32, of values that are less than 4. */
        assert_true(fabs((double)got[i] - wanted) < 4e-6);
    }
    free(got);
    free(was);
}

static void a_site_has_its_product_added_and_the_rest_is_as_it_was(void **state)
{
    struct lf_merged_base m;
    struct lf_diag diag = {""};
    (void)state;
    ok(lf_merged_open(&m, base, tuned, &diag), &diag);
    assert_int_equal(m.rank, 4);
    is(&m, "model.layers.0.self_attn.q_proj.weight", 0, 0, 64);
    is(&m, "model.layers.1.mlp.down_proj.weight", 13, 0, 64);
    is(&m, "model.layers.1.self_attn.v_proj.weight", -1, 0, 32);
    is(&m, "model.embed_tokens.weight", -1, 0, 64);
    is(&m, "model.norm.weight", -1, 0, 1);
    for (int64_t row = 0; row < 64; row += 21) /* some of them are the same as all of them */
        is(&m, "model.layers.1.mlp.down_proj.weight", 13, row, row + 21 < 64 ? 21 : 64 - row);
    lf_merged_close(&m);
}

static void without_an_adapter_it_is_the_base(void **state)
{
    struct lf_merged_base m;
    struct lf_diag diag = {""};
    (void)state;
    ok(lf_merged_open(&m, base, NULL, &diag), &diag);
    assert_int_equal(m.rank, 0);
    is(&m, "model.layers.0.self_attn.q_proj.weight", -1, 5, 3);
    lf_merged_close(&m);
}

static void what_cannot_be_merged_is_refused(void **state)
{
    struct lf_merged_base m;
    struct lf_diag diag = {""};
    char other[64];
    (void)state;
    snprintf(other, sizeof other, "%s/none", dir);
    assert_int_equal(lf_merged_open(&m, other, tuned, &diag), LF_E_NOT_FOUND);
    lf_merged_close(&m);
    assert_int_equal(lf_merged_open(&m, base, other, &diag), LF_E_NOT_FOUND);
    lf_merged_close(&m);

    /* A base that lacks a tensor, and one that another adapter fits. */
    snprintf(other, sizeof other, "%s/part", dir);
    ok(lf_dir_make(other, &diag), &diag);
    tiny_write(other, "model.layers.0.self_attn.q_proj.weight");
    assert_int_not_equal(lf_merged_open(&m, other, tuned, &diag), LF_OK);
    assert_non_null(strstr(diag.text, "q_proj"));
    lf_merged_close(&m);
    struct lf_config wide = config;
    struct lf_adapter *big;
    struct lf_lora_settings s = {.rank = 2, .alpha = 2, .target_modules = "q_proj"};
    for (int i = 0; i < wide.n_proj; i++)
        wide.proj[i].K *= 2;
    ok(lf_adapter_new(&big, &wide, &s, 1, &diag), &diag);
    snprintf(other, sizeof other, "%s/big", dir);
    ok(lf_adapter_save(big, &wide, other, "base", NULL, &diag), &diag);
    lf_adapter_free(big);
    assert_int_equal(lf_merged_open(&m, base, other, &diag), LF_E_BASE_DIFFERS);
    lf_merged_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_has_its_product_added_and_the_rest_is_as_it_was),
        cmocka_unit_test(without_an_adapter_it_is_the_base),
        cmocka_unit_test(what_cannot_be_merged_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
