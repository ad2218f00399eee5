/* LIBS: lf_model lf_gpu lf_core */
/* The weights that a device computes with are the same numbers wherever they are read: out of the
 * host's memory, out of the cache of what was quantised, or quantised again. */
#include "tests/unit/tiny.h"

#include "gpu/weight.h"
#include "model/memory.h"
#include "model/site_weights.h"

static char dir[] = "/tmp/lf-site-weights-XXXXXX", base[64], cache[64];
static struct lf_device *host, *card;
static struct lf_stream *stream;
static struct lf_model *model;

static int set_up(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    const struct lf_device_options paper = {.paper = true, .memory_bytes = (size_t)1 << 30};
    const struct lf_model_options options = {.quant = LF_QUANT_NF4, .cache_dir = cache};
    if (!mkdtemp(dir))
        return 1;
    snprintf(base, sizeof base, "%s/base", dir);
    snprintf(cache, sizeof cache, "%s/cache", dir);
    ok(lf_dir_make(base, &diag), &diag);
    tiny_write(base, NULL);
    ok(lf_device_open(&host, LF_DEVICE_CPU, NULL, &diag), &diag);
    ok(lf_device_open(&card, LF_DEVICE_CUDA, &paper, &diag), &diag);
    ok(lf_stream_new(&stream, host, 1, &diag), &diag);
    ok(lf_model_open(&model, stream, base, &options, &diag), &diag);
    return 0;
}

static int tear_down(void **state)
{
    struct lf_diag diag;
    (void)state;
    lf_model_free(model);
    lf_stream_free(stream);
    lf_device_free(card);
    lf_device_free(host);
    return lf_dir_remove(dir, &diag);
}

/* Of this model, (N, K) of a site; yours. */
static float *served(const struct lf_model *m, int site)
{
    struct lf_diag diag = {""};
    struct lf_site_weights x;
    const struct lf_proj *p = &m->config.proj[site % m->config.n_proj];
    float *w = malloc((size_t)p->N * (size_t)p->K * sizeof *w);
    ok(lf_site_weights_open(&x, m, false, &diag), &diag);
    ok(lf_site_weights_served(&x, site, w, &diag), &diag);
    lf_site_weights_close(&x);
    return w;
}

static void they_are_the_same_wherever_they_are_read(void **state)
{
    (void)state;
    struct lf_model_memory without = {0};
    struct lf_model on_card = *model, alone = *model;
    on_card.dev = alone.dev = card;
    alone.memory = &without;
    assert_non_null(model->memory->cache);
    for (int site = 0; site < lf_config_sites(&model->config); site++) {
        int layer = site / model->config.n_proj, proj = site % model->config.n_proj;
        const struct lf_weight *w = &model->layers[layer].w[proj];
        float *here = served(model, site), *kept = served(&on_card, site);
        float *again = served(&alone, site);
        assert_int_equal(w->kind, LF_WEIGHT_Q4);
        for (int e = 0; e < w->N * w->K; e++)
            assert_true(here[e] == lf_weight_at(w, e / w->K, e % w->K));
        assert_memory_equal(kept, here, (size_t)w->N * (size_t)w->K * sizeof *here);
        assert_memory_equal(again, here, (size_t)w->N * (size_t)w->K * sizeof *here);
        free(here);
        free(kept);
        free(again);
    }
}

/* What was quantised as the base was loaded is not quantised again: the checkpoint is not read. */
static void the_cache_is_read_where_there_is_one(void **state)
{
    (void)state;
    char path[96];
    struct lf_diag diag = {""};
    struct lf_model on_card = *model;
    on_card.dev = card;
    snprintf(path, sizeof path, "%s/model.safetensors", base);
    lf_buf_auto file = {0};
    ok(lf_file_read(&file, path, (size_t)1 << 30, &diag), &diag);
    memset(file.data + file.len / 2, 0, file.len / 2);
    ok(lf_file_write(path, file.data, file.len, &diag), &diag);
    for (int site = 0; site < lf_config_sites(&model->config); site++) {
        float *here = served(model, site), *kept = served(&on_card, site);
        const struct lf_proj *p = &model->config.proj[site % model->config.n_proj];
        assert_memory_equal(kept, here, (size_t)p->N * (size_t)p->K * sizeof *here);
        free(here);
        free(kept);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_the_same_wherever_they_are_read),
        cmocka_unit_test(the_cache_is_read_where_there_is_one),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
