/* LIBS: lf_model lf_gpu lf_core */
/* Adapters: fresh ones, PEFT's ways to name what they target, what is refused, and slots. */
#include "tests/unit/tiny.h"

#include "model/adapter.h"

#include <math.h>

static char dir[] = "/tmp/lf-adapter-XXXXXX";
static struct lf_config config;

static int set_up(void **state)
{
    (void)state;
    config = tiny_config();
    return mkdtemp(dir) ? 0 : 1;
}

static int tear_down(void **state)
{
    struct lf_diag diag;
    (void)state;
    return lf_dir_remove(dir, &diag);
}

static struct lf_adapter *fresh(const char *targets, int rank)
{
    struct lf_adapter *a;
    struct lf_diag diag;
    struct lf_lora_settings s = {.rank = rank, .alpha = 16, .target_modules = targets};
    ok(lf_adapter_new(&a, &config, &s, 7, &diag), &diag);
    return a;
}

/* ---- Fresh ----------------------------------------------------------------------------------- */

static void a_fresh_one_starts_as_pefts(void **state)
{
    (void)state;
    struct lf_adapter *a = fresh("q_proj, down_proj", 4), *b = fresh("q_proj,down_proj", 4);
    double sum = 0, sum2 = 0;
    size_t n = 0;
    assert_int_equal(a->shape.n_sites, 14);
    assert_int_equal(a->shape.rank_max, 4);
    assert_memory_equal(a->params, b->params, a->shape.n_params * sizeof(float));
    for (int i = 0; i < a->shape.n_sites; i++) {
        const struct lf_proj *p = &config.proj[i % config.n_proj];
        bool target = i % 7 == 0 || i % 7 == 6;
        float bound = 1.0f / sqrtf((float)p->K);
        assert_int_equal(a->shape.rank[i], target ? 4 : 0);
        assert_true(a->shape.scale[i] == (target ? 4.0f : 0.0f));
        for (size_t k = 0; target && k < (size_t)(4 * p->K); k++, n++) {
            float x = a->params[a->shape.a_off[i] + k] / bound;
            assert_true(x >= -1 && x <= 1);
            sum += (double)x;
            sum2 += (double)x * (double)x;
        }
        for (size_t k = 0; target && k < (size_t)(4 * p->N); k++)
            assert_true(a->params[a->shape.b_off[i] + k] == 0);
    }
    assert_true(fabs(sum / (double)n) < 0.05);
    assert_true(fabs(sum2 / (double)n - 1.0 / 3) < 0.05);
    lf_adapter_free(a);
    lf_adapter_free(b);
}

static void full_names_are_single_layers(void **state)
{
    (void)state;
    struct lf_adapter *a = fresh("model.layers.1.self_attn.q_proj, mlp.up_proj", 2);
    for (int i = 0; i < a->shape.n_sites; i++)
        assert_int_equal(a->shape.rank[i], i == 7 || i % 7 == 5 ? 2 : 0);
    lf_adapter_free(a);
}

static void refuses_bad_settings(void **state)
{
    (void)state;
    static const struct {
        int rank;
        const char *targets, *word;
    } bad[] = {{0, "q_proj", "rank 0"},
               {257, "q_proj", "rank 257"},
               {8, "fc1", "q_proj, k_proj"},
               {8, "q_proj,,w_proj", "w_proj"},
               {8, "", "names nothing"},
               {8, " , ", "names nothing"},
               {8, "model.layers.2.self_attn.q_proj", "model.layers.2"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_adapter *a;
        struct lf_diag diag;
        struct lf_lora_settings s = {
            .rank = bad[i].rank, .alpha = 1, .target_modules = bad[i].targets};
        assert_int_equal(lf_adapter_new(&a, &config, &s, 1, &diag), LF_E_INVALID);
        assert_non_null(strstr(diag.text, bad[i].word));
    }
}

static void settings_give_sites_as_peft_does(void **state)
{
    (void)state;
    struct lf_adapter *a;
    struct lf_diag diag = {""};
    struct lf_lora_settings s = {.rank = 4,
                                 .alpha = 8,
                                 .target_modules = "q_proj,up_proj",
                                 .rank_pattern = "{\"q_proj\":2,\"layers.1.mlp.up_proj\":6}",
                                 .alpha_pattern = "{\"layers\\\\.1\\\\..*\":12}"};
    ok(lf_adapter_new(&a, &config, &s, 1, &diag), &diag);
    const struct {
        int site, rank;
        float scale;
    } want[] = {{0, 2, 4}, {5, 4, 2}, {7, 2, 6}, {12, 6, 2}};
    int targeted = 0;
    for (int i = 0; i < a->shape.n_sites; i++)
        targeted += a->shape.rank[i] > 0;
    assert_int_equal(targeted, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(a->shape.rank[want[i].site], want[i].rank);
        assert_true(a->shape.scale[want[i].site] == want[i].scale);
    }
    lf_adapter_free(a);
    s = (struct lf_lora_settings){.rank = 4, .alpha = 8, .layers = "[1]"};
    ok(lf_adapter_new(&a, &config, &s, 1, &diag), &diag);
    for (int i = 0; i < a->shape.n_sites; i++)
        assert_int_equal(a->shape.rank[i], i < 7 ? 0 : 4);
    lf_adapter_free(a);
}

static void patterns_of_nothing_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct lf_lora_settings s;
        const char *says;
    } bad[] = {
        {{.rank_pattern = "{\"w_proj\":2}"}, "rank_pattern: no site of the adapter is \"w_proj\""},
        {{.target_modules = "q_proj", .alpha_pattern = "{\"v_proj\":2}"}, "alpha_pattern: no site"},
        {{.rank_pattern = "{\"q_(\":2}"}, "not a regular expression"},
        {{.rank_pattern = "{\"q_proj\":2.5}"}, "rank 2.5"},
        {{.layers = "[0,2]"}, "the layers 0 to 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_lora_settings s = bad[i].s;
        struct lf_diag diag = {""};
        s.rank = 4;
        s.alpha = 8;
        assert_int_equal(lf_lora_settings_check(&config, &s, &diag), LF_E_INVALID);
        if (!strstr(diag.text, bad[i].says))
            fail_msg("%s, not %s", diag.text, bad[i].says);
    }
}

/* What a slot takes is foretold, on devices of either kind; on paper nothing is there. */
static void a_slots_bytes_are_foretold(void **state)
{
    (void)state;
    const enum lf_device_kind kinds[] = {LF_DEVICE_CPU, LF_DEVICE_CUDA};
    struct lf_adapter *a = fresh("all-linear", 4);
    for (int i = 0; i < 6; i++) {
        enum lf_slot_use use = i / 2;
        bool trains = use != LF_SLOT_SERVES;
        struct lf_device_options paper = {.paper = true, .memory_bytes = (size_t)1 << 30};
        struct lf_device *dev;
        struct lf_stream *stream;
        struct lf_slots *slots;
        struct lf_device_info before, after;
        struct lf_diag diag = {""};
        int slot;
        ok(lf_device_open(&dev, kinds[i % 2], &paper, &diag), &diag);
        ok(lf_stream_new(&stream, dev, 0, &diag), &diag);
        ok(lf_slots_new(&slots, dev, &config, 1, &diag), &diag);
        lf_device_info(dev, &before);
        ok(lf_slots_load(slots, stream, &slot, a, use, &diag), &diag);
        lf_device_info(dev, &after);
        struct lf_slot_bytes b = lf_slot_bytes(&a->shape, &config, dev->act, use);
        assert_int_equal(after.memory_used - before.memory_used, b.device + b.paged);
        assert_int_equal(b.device, a->shape.n_params * ((i % 2 ? 2 : 4) + (trains ? 4 : 0)));
        lf_slots_free(slots);
        lf_stream_free(stream);
        lf_device_free(dev);
    }
    lf_adapter_free(a);
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Saves an adapter of every projection and rank 2 to DIR/name, then replaces its configuration. */
static void write_with_config(char path[256], const char *name, const char *text)
{
    struct lf_diag diag;
    struct lf_adapter *a = fresh("all-linear", 2);
    snprintf(path, 256, "%s/%s", dir, name);
    ok(lf_adapter_save(a, &config, path, "tiny", NULL, &diag), &diag);
    lf_adapter_free(a);
    if (text)
        tiny_file(path, "adapter_config.json", text);
}

static void refuses_config(const char *text, enum lf_err want, const char *word)
{
    struct lf_adapter *a;
    struct lf_diag diag = {""};
    char path[256];
    write_with_config(path, "bad", text);
    enum lf_err rc = lf_adapter_load(&a, &config, path, &diag);
    if (rc != want || !strstr(diag.text, word))
        fail_msg("%s\ngave %s: \"%s\"", text, lf_err_name(rc), diag.text);
}

static void refuses_variants_by_name(void **state)
{
    (void)state;
#define CONFIG(more) "{\"r\":2,\"lora_alpha\":16,\"target_modules\":\"all-linear\"" more "}"
    refuses_config("{", LF_E_INVALID, "adapter_config.json");
    refuses_config("[]", LF_E_INVALID, "object");
    refuses_config(CONFIG(",\"peft_type\":\"IA3\""), LF_E_UNSUPPORTED, "IA3");
    refuses_config(CONFIG(",\"use_dora\":3"), LF_E_INVALID, "use_dora");
    refuses_config(CONFIG(",\"bias\":\"all\""), LF_E_UNSUPPORTED, "bias");
    refuses_config(CONFIG(",\"modules_to_save\":[\"lm_head\"]"), LF_E_UNSUPPORTED,
                   "modules_to_save");
    refuses_config(CONFIG(",\"fan_in_fan_out\":true"), LF_E_UNSUPPORTED, "fan_in_fan_out");
    refuses_config(CONFIG(",\"trainable_token_indices\":[1]"), LF_E_UNSUPPORTED,
                   "trainable_token_indices");
    refuses_config(CONFIG(",\"layer_replication\":[[0,1]]"), LF_E_UNSUPPORTED, "layer_replication");
    refuses_config(CONFIG(",\"init_lora_weights\":\"pissa\""), LF_E_UNSUPPORTED, "pissa");
    refuses_config(CONFIG(",\"invented_later\":1"), LF_E_UNSUPPORTED, "invented_later");
    refuses_config(CONFIG(",\"use_dora\":true"), LF_E_DAMAGED, "no lora_magnitude_vector");
    refuses_config("{\"r\":0,\"target_modules\":[\"q_proj\"]}", LF_E_INVALID, "\"r\"");
    refuses_config("{\"r\":2,\"target_modules\":7}", LF_E_INVALID, "target_modules");
    refuses_config("{\"r\":2,\"target_modules\":\"(\"}", LF_E_INVALID, "regular expression");
    refuses_config("{\"r\":2,\"target_modules\":\"(?:(?:[a-z]|.)+)+[!?]\"}", LF_E_INVALID,
                   "too long");
    refuses_config(CONFIG(",\"rank_pattern\":{\"q_proj\":\"x\"}"), LF_E_INVALID, "rank_pattern");
    refuses_config(CONFIG(",\"rank_pattern\":{\"q_proj\":1000}"), LF_E_INVALID, "rank 1000");
    refuses_config("{\"r\":3,\"target_modules\":\"all-linear\"}", LF_E_DAMAGED, "(2, 64)");
    refuses_config("{\"r\":2,\"target_modules\":[\"q_proj\"]}", LF_E_UNSUPPORTED, "k_proj");
    refuses_config("{\"r\":2,\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[1],"
                   "\"layers_pattern\":\"h\"}",
                   LF_E_UNSUPPORTED, "layers_pattern");
#undef CONFIG
}

static void an_adapter_of_another_base_is_told_apart(void **state)
{
    (void)state;
    struct lf_adapter *a;
    struct lf_diag diag;
    struct lf_config other = config;
    char path[256];
    write_with_config(path, "other", NULL);
    other.proj[6].K = 80;
    assert_int_equal(lf_adapter_load(&a, &other, path, &diag), LF_E_BASE_DIFFERS);
    assert_non_null(strstr(diag.text, "down_proj"));
    other = config;
    other.L = 1;
    assert_int_equal(lf_adapter_load(&a, &other, path, &diag), LF_E_BASE_DIFFERS);
    assert_non_null(strstr(diag.text, "1 layers"));
}

/* Which sites a configuration targets, as a string of 0 and 1 over the two layers. */
static void targets_are(const char *text, const char *want)
{
    struct lf_adapter *a;
    struct lf_diag diag;
    struct lf_adapter *full = fresh("all-linear", 2);
    char path[256], got[15] = "";
    snprintf(path, sizeof path, "%s/targets", dir);
    for (int i = 0; i < 14; i++)
        if (want[i] == '0')
            full->shape.rank[i] = 0;
    lf_adapter_shape_lay(&full->shape, &config);
    ok(lf_adapter_save(full, &config, path, "tiny", NULL, &diag), &diag);
    lf_adapter_free(full);
    tiny_file(path, "adapter_config.json", text);
    if (lf_adapter_load(&a, &config, path, &diag) != LF_OK)
        fail_msg("%s: %s", text, diag.text);
    for (int i = 0; i < 14; i++)
        got[i] = a->shape.rank[i] ? '1' : '0';
    assert_string_equal(got, want);
    lf_adapter_free(a);
}

static void reads_every_way_to_name_targets(void **state)
{
    (void)state;
    targets_are("{\"r\":2,\"target_modules\":[\"q_proj\",\"v_proj\"]}", "10100001010000");
    targets_are("{\"r\":2,\"target_modules\":\"all-linear\"}", "11111111111111");
    targets_are("{\"r\":2,\"target_modules\":[\"self_attn.o_proj\",\"gate_proj\"]}",
                "00011000001100");
    targets_are("{\"r\":2,\"target_modules\":[\"model.layers.1.mlp.up_proj\"]}", "00000000000010");
    targets_are("{\"r\":2,\"target_modules\":\".*\\\\.(0|2)\\\\..*_proj\"}", "11111110000000");
    targets_are("{\"r\":2,\"target_modules\":[\"q_proj\"],\"layers_to_transform\":1}",
                "00000001000000");
    targets_are("{\"r\":2,\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[0],"
                "\"layers_pattern\":[\"layers\"]}",
                "10000000000000");
    targets_are("{\"r\":2,\"target_modules\":\"all-linear\",\"exclude_modules\":\".*mlp.*\"}",
                "11110001111000");
    /* targeted, but saved for one layer only */
    targets_are("{\"r\":2,\"target_modules\":[\"k_proj\"]}", "01000000000000");
}

static void patterns_survive_saving(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_adapter *a = fresh("all-linear", 4), *b;
    char path[256];
    snprintf(path, sizeof path, "%s/patterns", dir);
    a->rslora = true;
    for (int i = 0; i < 14; i++) {
        a->shape.rank[i] = i == 3 ? 0 : i == 8 ? 2 : 4;
        a->shape.scale[i] = lf_lora_scale(i == 5 ? 3.7 : a->alpha, a->shape.rank[i], true);
    }
    lf_adapter_shape_lay(&a->shape, &config);
    for (size_t i = 0; i < a->shape.n_params; i++)
        a->params[i] = (float)i;
    for (int again = 0; again < 2; again++) { /* the second time replaces a directory */
        ok(lf_adapter_save(a, &config, path, "tiny", NULL, &diag), &diag);
        ok(lf_adapter_load(&b, &config, path, &diag), &diag);
        assert_int_equal(b->shape.n_params, a->shape.n_params);
        assert_memory_equal(b->shape.rank, a->shape.rank, 14 * sizeof(int));
        for (int i = 0; i < 14; i++)
            if (a->shape.rank[i] > 0)
                assert_true(b->shape.scale[i] == a->shape.scale[i]);
        lf_adapter_free(b);
    }
    lf_adapter_free(a);
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static void slots_are_handed_out_and_taken_back(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_slots *s;
    struct lf_device_info before, after;
    struct lf_adapter *a = fresh("v_proj", 3), *b = fresh("v_proj", 3);
    int one, two, three;
    ok(lf_device_open(&dev, LF_DEVICE_REF, NULL, &diag), &diag);
    ok(lf_stream_new(&stream, dev, 0, &diag), &diag);
    lf_device_info(dev, &before);
    ok(lf_slots_new(&s, dev, &config, 2, &diag), &diag);
    ok(lf_slots_load(s, stream, &one, a, LF_SLOT_SERVES, &diag), &diag);
    ok(lf_slots_load(s, stream, &two, a, LF_SLOT_TRAINS, &diag), &diag);
    assert_int_equal(lf_slots_load(s, stream, &three, a, LF_SLOT_SERVES, &diag), LF_E_DEVICE_FULL);
    assert_null(s->slot[one].grad);
    assert_non_null(s->slot[two].grad);
    assert_int_equal(s->slot[two].layer_first, 0);
    assert_true(s->slot[two].targets[2] && !s->slot[two].targets[0]);
    assert_int_equal(s->sites[two * 14 + 9].rank, 3); /* host memory on this device */
    assert_null(s->sites[one * 14 + 9].da);
    memset(b->params, 0, b->shape.n_params * sizeof(float));
    ok(lf_slots_read(s, stream, two, b, &diag), &diag);
    assert_memory_equal(a->params, b->params, a->shape.n_params * sizeof(float));
    lf_slots_unload(s, stream, one);
    assert_int_equal(s->sites[one * 14 + 9].rank, 0);
    ok(lf_slots_load(s, stream, &three, a, LF_SLOT_SERVES, &diag), &diag);
    assert_int_equal(three, one);
    lf_slots_free(s);
    lf_device_info(dev, &after);
    assert_int_equal(before.memory_used, after.memory_used);
    lf_stream_free(stream);
    lf_device_free(dev);
    lf_adapter_free(a);
    lf_adapter_free(b);
}

static void a_slot_is_copied_on_the_device(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_slots *s;
    struct lf_adapter *a = fresh("v_proj", 3), *b = fresh("v_proj", 3);
    int one, two, three;
    ok(lf_device_open(&dev, LF_DEVICE_REF, NULL, &diag), &diag);
    ok(lf_stream_new(&stream, dev, 0, &diag), &diag);
    ok(lf_slots_new(&s, dev, &config, 2, &diag), &diag);
    ok(lf_slots_load(s, stream, &one, a, LF_SLOT_SERVES, &diag), &diag);
    ok(lf_slots_copy(s, stream, &two, one, &diag), &diag);
    assert_int_equal(lf_slots_copy(s, stream, &three, one, &diag), LF_E_DEVICE_FULL);
    lf_slots_unload(s, stream, one);
    memset(b->params, 0, b->shape.n_params * sizeof(float));
    ok(lf_slots_read(s, stream, two, b, &diag), &diag);
    assert_memory_equal(a->params, b->params, a->shape.n_params * sizeof(float));
    assert_int_equal(s->sites[two * 14 + 9].rank, 3);
    lf_slots_free(s);
    lf_stream_free(stream);
    lf_device_free(dev);
    lf_adapter_free(a);
    lf_adapter_free(b);
}

/* Room for parameters and gradients, none for the moments: they go elsewhere, and it trains. */
static void moments_find_room_beside_a_full_device(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_slots *s;
    struct lf_device_info info;
    struct lf_adapter *a = fresh("v_proj", 3);
    size_t n = a->shape.n_params;
    size_t sites = (size_t)lf_config_sites(&config) * sizeof(struct lf_lora_site);
    struct lf_device_options o = {.memory_bytes = sites + 2 * n * sizeof(float)};
    int slot;
    ok(lf_device_open(&dev, LF_DEVICE_REF, &o, &diag), &diag);
    ok(lf_stream_new(&stream, dev, 0, &diag), &diag);
    ok(lf_slots_new(&s, dev, &config, 1, &diag), &diag);
    ok(lf_slots_load(s, stream, &slot, a, LF_SLOT_TRAINS, &diag), &diag);
    lf_device_info(dev, &info);
    assert_int_equal(info.memory_free, 0);
    const struct lf_slot *t = &s->slot[slot];
    float *moments = t->moments;
    for (size_t i = 0; i < n; i++)
        assert_true(moments[i] == 0 && moments[n + i] == 0 && t->grad[i] == 0);
    t->grad[0] = 1;
    struct lf_adam_args step = {.p = t->master,
                                .m = moments,
                                .v = moments + n,
                                .g = t->grad,
                                .n = n,
                                .grad_scale = 1,
                                .lr = 0.5f,
                                .beta1 = 0.9f,
                                .beta2 = 0.999f,
                                .eps = 1e-8f,
                                .step = 1};
    float before = t->master[0];
    stream->ops->adam(stream, &step, 1);
    ok(lf_stream_wait(stream, &diag), &diag);
    assert_true(fabsf(before - 0.5f - t->master[0]) < 1e-5f);
    lf_slots_free(s);
    lf_stream_free(stream);
    lf_device_free(dev);
    lf_adapter_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_one_starts_as_pefts),
        cmocka_unit_test(full_names_are_single_layers),
        cmocka_unit_test(refuses_bad_settings),
        cmocka_unit_test(settings_give_sites_as_peft_does),
        cmocka_unit_test(patterns_of_nothing_are_refused),
        cmocka_unit_test(a_slots_bytes_are_foretold),
        cmocka_unit_test(refuses_variants_by_name),
        cmocka_unit_test(an_adapter_of_another_base_is_told_apart),
        cmocka_unit_test(reads_every_way_to_name_targets),
        cmocka_unit_test(patterns_survive_saving),
        cmocka_unit_test(slots_are_handed_out_and_taken_back),
        cmocka_unit_test(a_slot_is_copied_on_the_device),
        cmocka_unit_test(moments_find_room_beside_a_full_device),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
