/* LIBS: lf_model lf_gpu lf_core */
/* Opening bases: what is missing or wrong is named; 4-bit copies are kept, reused and done
 * without; a quantised checkpoint opens as the one quantised on the way. */
#include "tests/unit/tiny.h"

#include "model/exec.h"

#include <sys/stat.h>

static char dir[] = "/tmp/lf-model-XXXXXX";
static char base[64], cache[64];
static struct lf_device *dev;
static struct lf_stream *stream;

static int set_up(void **state)
{
    struct lf_diag diag;
    (void)state;
    if (!mkdtemp(dir))
        return 1;
    snprintf(base, sizeof base, "%s/base", dir);
    snprintf(cache, sizeof cache, "%s/cache", dir);
    ok(lf_dir_make(base, &diag), &diag);
    tiny_write(base, NULL);
    ok(lf_device_open(&dev, LF_DEVICE_REF, NULL, &diag), &diag);
    ok(lf_stream_new(&stream, dev, 0, &diag), &diag);
    return 0;
}

static int tear_down(void **state)
{
    struct lf_diag diag;
    (void)state;
    lf_stream_free(stream);
    lf_device_free(dev);
    return lf_dir_remove(dir, &diag);
}

static struct lf_model *open_model(const char *path, enum lf_quant quant, const char *cache_dir)
{
    struct lf_diag diag;
    struct lf_model *m;
    struct lf_model_options o = {.quant = quant, .cache_dir = cache_dir};
    ok(lf_model_open(&m, stream, path, &o, &diag), &diag);
    return m;
}

/* Logits of a few tokens. */
static void logits_of(struct lf_model *m, float out[5 * 64])
{
    struct lf_diag diag;
    struct lf_slots *slots;
    struct lf_exec *x;
    const int32_t ids[] = {1, 7, 63, 0, 12};
    struct lf_exec_limits limits = {.tokens_max = 8, .seqs_max = 1, .rows_max = 8, .rank_max = 1};
    struct lf_batch_seq seq = {.ids = ids, .n = 5, .slot = -1};
    ok(lf_slots_new(&slots, dev, &m->config, 1, &diag), &diag);
    ok(lf_exec_new(&x, stream, m, slots, &limits, &diag), &diag);
    ok(lf_exec_run(x, &seq, 1, NULL, &diag), &diag);
    ok(lf_exec_logits(x, 0, out, &diag), &diag);
    lf_exec_free(x);
    lf_slots_free(slots);
}

static void a_base_opens_with_its_name_and_digest(void **state)
{
    (void)state;
    struct lf_model *m = open_model(base, LF_QUANT_NONE, NULL);
    struct lf_model *again = open_model(base, LF_QUANT_NONE, NULL);
    assert_string_equal(m->name, "base");
    assert_int_equal(strlen(m->digest), 64);
    assert_string_equal(m->digest, again->digest);
    assert_null(m->tokenizer);
    assert_null(m->chat);
    assert_true(m->chat_reason.text[0] != '\0');
    assert_int_equal(m->layers[1].w[6].kind, LF_WEIGHT_BF16);
    lf_model_free(m);
    lf_model_free(again);
}

static void a_tokenizer_of_any_form_is_found(void **state)
{
    (void)state;
    static const char json[] = "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}";
    static const char *const forms[][2] = {
        {"tokenizer.json", json}, {"tokenizer.model", "YQ== 0\n"}, {"vocab.json", "{\"a\":0}"}};
    for (size_t i = 0; i < 3; i++) {
        char path[128];
        tiny_file(base, forms[i][0], forms[i][1]);
        tiny_file(base, "merges.txt", "");
        struct lf_model *m = open_model(base, LF_QUANT_NONE, NULL);
        assert_non_null(m->tokenizer);
        assert_int_equal(lf_tokenizer_find(m->tokenizer, "a"), 0);
        lf_model_free(m);
        snprintf(path, sizeof path, "%s/%s", base, forms[i][0]);
        assert_int_equal(unlink(path), 0);
    }
}

static void other_weights_have_another_digest(void **state)
{
    (void)state;
    struct lf_diag diag;
    char other[64], path[96];
    snprintf(other, sizeof other, "%s/other", dir);
    ok(lf_dir_make(other, &diag), &diag);
    tiny_write(other, NULL);
    struct lf_model *m = open_model(base, LF_QUANT_NONE, NULL);
    struct lf_model *o = open_model(other, LF_QUANT_NONE, NULL);
    assert_string_equal(m->digest, o->digest);
    lf_model_free(o);
    snprintf(path, sizeof path, "%s/model.safetensors", other);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, -64 * 96 * 2, SEEK_END); /* where the last matrix starts */
    fputc(0x11, f);
    fclose(f);
    o = open_model(other, LF_QUANT_NONE, NULL);
    assert_string_not_equal(m->digest, o->digest);
    lf_model_free(o);
    tiny_write(other, NULL);
    tiny_file(other, "config.json", TINY_CONFIG " ");
    o = open_model(other, LF_QUANT_NONE, NULL);
    assert_string_not_equal(m->digest, o->digest);
    lf_model_free(o);
    lf_model_free(m);
}

static void names_what_is_missing(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight",
        "model.layers.1.self_attn.v_proj.weight", "model.layers.0.post_attention_layernorm.weight"};
    char broken[64];
    struct lf_diag diag;
    struct lf_model *m;
    struct lf_model_options o = {.quant = LF_QUANT_NF4};
    struct lf_device_info before, after;
    snprintf(broken, sizeof broken, "%s/broken", dir);
    ok(lf_dir_make(broken, &diag), &diag);
    lf_device_info(dev, &before);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        tiny_write(broken, parts[i]);
        assert_int_equal(lf_model_open(&m, stream, broken, &o, &diag), LF_E_DAMAGED);
        assert_non_null(strstr(diag.text, parts[i]));
    }
    tiny_file(broken, "config.json", "{\"model_type\":\"mixtral\"}");
    assert_int_equal(lf_model_open(&m, stream, broken, &o, &diag), LF_E_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "mixtral"));
    assert_int_equal(lf_model_open(&m, stream, "/nowhere", &o, &diag), LF_E_NOT_FOUND);
    lf_device_info(dev, &after);
    assert_int_equal(before.memory_used, after.memory_used);
}

static void a_4_bit_copy_is_kept_and_used(void **state)
{
    (void)state;
    float plain[5 * 64], fresh[5 * 64], kept[5 * 64];
    char path[256];
    struct stat first, second;
    struct lf_model *m = open_model(base, LF_QUANT_NF4, NULL);
    logits_of(m, plain);
    assert_int_equal(m->layers[0].w[0].kind, LF_WEIGHT_Q4);
    lf_model_free(m);
    m = open_model(base, LF_QUANT_NF4, cache);
    snprintf(path, sizeof path, "%s/%s.nf4.safetensors", cache, m->digest);
    assert_int_equal(stat(path, &first), 0);
    logits_of(m, fresh);
    lf_model_free(m);
    m = open_model(base, LF_QUANT_NF4, cache);
    assert_int_equal(stat(path, &second), 0);
    logits_of(m, kept);
    lf_model_free(m);
    assert_true(first.st_ino == second.st_ino);
    assert_memory_equal(plain, fresh, sizeof plain);
    assert_memory_equal(plain, kept, sizeof plain);
    /* a damaged copy is made again */
    assert_int_equal(truncate(path, 100), 0);
    m = open_model(base, LF_QUANT_NF4, cache);
    logits_of(m, kept);
    lf_model_free(m);
    assert_memory_equal(plain, kept, sizeof plain);
}

static void a_cache_that_cannot_be_written_is_done_without(void **state)
{
    (void)state;
    char file[64];
    snprintf(file, sizeof file, "%s/base/config.json/cache", dir); /* not a directory */
    struct lf_diag diag;
    struct lf_model *m;
    struct lf_model_options o = {.quant = LF_QUANT_NF4, .cache_dir = file};
    ok(lf_model_open(&m, stream, base, &o, &diag), &diag);
    assert_int_equal(m->layers[0].w[0].kind, LF_WEIGHT_Q4);
    lf_model_free(m);
}

static void count_progress(void *arg, double fraction, const char *what)
{
    double *last = arg;
    assert_non_null(what);
    assert_true(fraction >= *last && fraction <= 1);
    *last = fraction;
}

static void a_quantised_checkpoint_opens_as_one(void **state)
{
    (void)state;
    struct lf_diag diag;
    char dst[64];
    double progress = 0;
    float want[5 * 64], got[5 * 64];
    struct lf_model *m = open_model(base, LF_QUANT_NF4, NULL);
    logits_of(m, want);
    lf_model_free(m);
    snprintf(dst, sizeof dst, "%s/base-nf4", dir);
    ok(lf_model_quantize(stream, base, dst, count_progress, &progress, &diag), &diag);
    assert_true(progress == 1);
    m = open_model(dst, LF_QUANT_NONE, NULL);
    logits_of(m, got);
    lf_model_free(m);
    assert_memory_equal(want, got, sizeof want);
    assert_int_equal(lf_model_quantize(stream, base, dst, NULL, NULL, &diag), LF_E_EXISTS);
    assert_int_equal(lf_model_quantize(stream, dst, cache, NULL, NULL, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "already"));
}

static void random_models_repeat(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_config c = tiny_config();
    float a[5 * 64], b[5 * 64];
    for (int quant = 0; quant < 2; quant++) {
        for (int i = 0; i < 3; i++) {
            struct lf_model *m;
            ok(lf_model_random(&m, stream, &c, (enum lf_quant)quant, i < 2 ? 5 : 6, &diag), &diag);
            logits_of(m, i == 0 ? a : b);
            lf_model_free(m);
            if (i == 1)
                assert_memory_equal(a, b, sizeof a);
        }
        assert_memory_not_equal(a, b, sizeof a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_base_opens_with_its_name_and_digest),
        cmocka_unit_test(a_tokenizer_of_any_form_is_found),
        cmocka_unit_test(other_weights_have_another_digest),
        cmocka_unit_test(names_what_is_missing),
        cmocka_unit_test(a_4_bit_copy_is_kept_and_used),
        cmocka_unit_test(a_cache_that_cannot_be_written_is_done_without),
        cmocka_unit_test(a_quantised_checkpoint_opens_as_one),
        cmocka_unit_test(random_models_repeat),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
