/* LIBS: lf_tools */
/* GGUF files, made here byte by byte: what is wrong with a bad one is said, and nothing of it is
 * written. That good ones are read right is shown against transformers (tests/vectors). */
#include "tests/unit/tiny.h"

#include "core/buf.h"
#include "tools/gguf/gguf.h"
#include "tools/gguf/inside.h"

#include <math.h>

static char dir[] = "/tmp/lf-gguf-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : 1;
}

static int tear_down(void **state)
{
    struct lf_diag diag;
    (void)state;
    return lf_dir_remove(dir, &diag);
}

/* ---- Making one ------------------------------------------------------------------------------ */

static void put_number(struct lf_buf *b, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        lf_buf_putc(b, (char)(x >> (8 * i)));
}

static void put_str(struct lf_buf *b, const char *s)
{
    put_number(b, strlen(s), 8);
    lf_buf_puts(b, s);
}

static void put_u32(struct lf_buf *b, const char *key, uint32_t x)
{
    put_str(b, key);
    put_number(b, 4, 4);
    put_number(b, x, 4);
}

static void put_text(struct lf_buf *b, const char *key, const char *text)
{
    put_str(b, key);
    put_number(b, 8, 4);
    put_str(b, text);
}

static void put_strings(struct lf_buf *b, const char *key, const char *const *list, size_t n)
{
    put_str(b, key);
    put_number(b, 9, 4);
    put_number(b, 8, 4);
    put_number(b, n, 8);
    for (size_t i = 0; i < n; i++)
        put_str(b, list[i]);
}

static void put_kinds(struct lf_buf *b, size_t n)
{
    put_str(b, "tokenizer.ggml.token_type");
    put_number(b, 9, 4);
    put_number(b, 5, 4);
    put_number(b, n, 8);
    for (size_t i = 0; i < n; i++)
        put_number(b, 1, 4);
}

/* A way to spoil the file. */
struct spoil {
    const char *arch, *tensor, *pre; /* other names */
    uint32_t version, type, heads, layers, window;
    uint64_t rows, offset, n_keys;
    bool no_eps, extra, twice, few_kinds;
    size_t cut; /* bytes taken from the end; SIZE_MAX: all but two */
};

#define WIDTH 8
#define INNER 16
#define VOCAB 4

static void put_tensor(struct lf_buf *b, const char *name, int rows, int cols, uint32_t type,
                       uint64_t *off)
{
    put_str(b, name);
    put_number(b, rows ? 2 : 1, 4);
    put_number(b, (uint64_t)cols, 8);
    if (rows)
        put_number(b, (uint64_t)rows, 8);
    put_number(b, type, 4);
    put_number(b, *off, 8);
    *off += ((uint64_t)(rows ? rows : 1) * (uint64_t)cols * 4 + 31) / 32 * 32;
}

/* A llama of one layer and a byte-level vocabulary of four tokens. */
static struct lf_buf make(const struct spoil *s)
{
    static const char *const tokens[] = {"a", "b", "ab", "c"}, *const merges[] = {"a b"};
    static const struct {
        const char *name;
        int rows, cols;
    } tensors[] = {
        {"token_embd.weight", VOCAB, WIDTH},     {"output_norm.weight", 0, WIDTH},
        {"blk.0.attn_norm.weight", 0, WIDTH},    {"blk.0.ffn_norm.weight", 0, WIDTH},
        {"blk.0.attn_q.weight", WIDTH, WIDTH},   {"blk.0.attn_k.weight", WIDTH, WIDTH},
        {"blk.0.attn_v.weight", WIDTH, WIDTH},   {"blk.0.attn_output.weight", WIDTH, WIDTH},
        {"blk.0.ffn_gate.weight", INNER, WIDTH}, {"blk.0.ffn_up.weight", INNER, WIDTH},
        {"blk.0.ffn_down.weight", WIDTH, INNER},
    };
    const size_t n = sizeof tensors / sizeof *tensors;
    struct lf_buf b;
    uint64_t off = 0;
    lf_buf_init(&b, 0);
    lf_buf_puts(&b, "GGUF");
    put_number(&b, s->version ? s->version : 3, 4);
    put_number(&b, n + s->extra + s->twice, 8);
    put_number(&b, s->n_keys ? s->n_keys : s->window ? 13 : 12, 8);
    put_text(&b, "general.architecture", s->arch ? s->arch : "llama");
    put_u32(&b, "llama.block_count", s->layers ? s->layers : 1);
    put_u32(&b, "llama.embedding_length", WIDTH);
    put_u32(&b, "llama.feed_forward_length", INNER);
    put_u32(&b, "llama.context_length", 32);
    put_u32(&b, "llama.attention.head_count", s->heads ? s->heads : 2);
    if (s->window)
        put_u32(&b, "llama.attention.sliding_window", s->window);
    put_str(&b, s->no_eps ? "other" : "llama.attention.layer_norm_rms_epsilon");
    put_number(&b, 6, 4);
    put_number(&b, 0x3727c5ac, 4); /* 1e-5 */
    put_text(&b, "tokenizer.ggml.model", "gpt2");
    put_text(&b, "tokenizer.ggml.pre", s->pre ? s->pre : "gpt-2");
    put_strings(&b, "tokenizer.ggml.tokens", tokens, VOCAB);
    put_kinds(&b, s->few_kinds ? 3 : VOCAB);
    put_strings(&b, "tokenizer.ggml.merges", merges, 1);
    for (size_t i = 0; i < n; i++) {
        bool last = i == n - 1;
        uint64_t from = last && s->offset ? s->offset : off;
        put_tensor(&b, last && s->tensor ? s->tensor : tensors[i].name,
                   last && s->rows ? (int)s->rows : tensors[i].rows, tensors[i].cols,
                   last ? s->type : 0, &from);
        off += ((uint64_t)(tensors[i].rows ? tensors[i].rows : 1) * (uint64_t)tensors[i].cols * 4 +
                31) /
               32 * 32;
    }
    if (s->extra)
        put_tensor(&b, "blk.0.ffn_gate_exps.weight", 0, WIDTH, 0, &off);
    if (s->twice)
        put_tensor(&b, "output_norm.weight", 0, WIDTH, 0, &off);
    while (b.len % 32)
        lf_buf_putc(&b, 0);
    for (uint64_t i = 0; i < off; i++)
        lf_buf_putc(&b, i % 4 == 3 ? 0x3d : (char)(i % 7));
    b.len -= s->cut == SIZE_MAX ? b.len - 2 : s->cut;
    return b;
}

static enum lf_err import(const struct spoil *s, struct lf_diag *diag)
{
    char path[64], out[64];
    struct lf_buf b = make(s);
    snprintf(path, sizeof path, "%s/file.gguf", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    assert_int_equal(lf_dir_remove(out, diag), LF_OK);
    assert_int_equal(lf_file_write(path, b.data, b.len, diag), LF_OK);
    lf_buf_free(&b);
    diag->text[0] = '\0';
    return lf_gguf_import(path, out, LF_F32, NULL, NULL, diag);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void a_whole_file_becomes_a_checkpoint_that_opens(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_model *m;
    struct lf_model_options o = {.quant = LF_QUANT_NONE};
    struct lf_ids ids = {0};
    char out[64];
    snprintf(out, sizeof out, "%s/out", dir);
    if (import(&(struct spoil){0}, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(lf_device_open(&dev, LF_DEVICE_REF, NULL, &diag), LF_OK);
    assert_int_equal(lf_stream_new(&stream, dev, 0, &diag), LF_OK);
    if (lf_model_open(&m, stream, out, &o, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_true(m->config.tied_head && m->config.norm_eps == 1e-5f && m->config.D == 4);
    assert_int_equal(lf_tokenizer_encode(m->tokenizer, &ids, "abc", 3, true, &diag), LF_OK);
    assert_int_equal(ids.n, 2);
    assert_int_equal(ids.ids[0], 2);
    lf_ids_free(&ids);
    lf_model_free(m);
    lf_stream_free(stream);
    lf_device_free(dev);
    assert_int_equal(lf_gguf_import("/nonexistent", out, LF_F32, NULL, NULL, &diag), LF_E_EXISTS);
}

static void says_what_is_wrong_and_leaves_no_checkpoint(void **state)
{
    (void)state;
    static const struct {
        struct spoil s;
        enum lf_err want;
        const char *says;
    } bad[] = {
        {{.cut = SIZE_MAX}, LF_E_INVALID, "not a GGUF file"},
        {{.version = 1}, LF_E_UNSUPPORTED, "version 1"},
        {{.cut = 1}, LF_E_DAMAGED, "\"blk.0.ffn_down.weight\": its data is not in the file"},
        {{.offset = 33}, LF_E_DAMAGED, "its data is not in the file"},
        {{.offset = UINT64_MAX - 31}, LF_E_DAMAGED, "its data is not in the file"},
        {{.n_keys = 13}, LF_E_DAMAGED, ""},
        {{.n_keys = UINT64_MAX}, LF_E_TOO_BIG, "over the limits"},
        {{.type = 10}, LF_E_UNSUPPORTED, "\"blk.0.ffn_down.weight\" is of type 10"},
        {{.type = 12}, LF_E_DAMAGED, "no whole blocks of Q4_K"},
        {{.rows = 9}, LF_E_DAMAGED, "is not in the file"},
        {{.rows = 7}, LF_E_DAMAGED, "\"blk.0.ffn_down.weight\" is not (8, 16)"},
        {{.rows = INT32_MAX}, LF_E_DAMAGED, "is not in the file"},
        {{.tensor = "blk.0.other.weight"}, LF_E_DAMAGED, "\"blk.0.ffn_down.weight\" is missing"},
        {{.extra = true}, LF_E_UNSUPPORTED, "ffn_gate_exps"},
        {{.twice = true}, LF_E_DAMAGED, "\"output_norm.weight\" is there twice"},
        {{.arch = "mamba"}, LF_E_UNSUPPORTED, "\"mamba\""},
        {{.arch = "qwen2"}, LF_E_DAMAGED, "\"qwen2.block_count\""},
        {{.heads = 3}, LF_E_DAMAGED, ""},
        {{.heads = 1u << 31}, LF_E_DAMAGED, "head_count"},
        {{.layers = 2}, LF_E_DAMAGED, "\"blk.1.attn_norm.weight\" is missing"},
        {{.layers = 100000}, LF_E_INVALID, "num_hidden_layers"},
        {{.no_eps = true}, LF_E_DAMAGED, "layer_norm_rms_epsilon"},
        {{.window = 8}, LF_E_UNSUPPORTED, "sliding_window"},
        {{.pre = "chatglm"}, LF_E_UNSUPPORTED, "\"chatglm\""},
        {{.few_kinds = true}, LF_E_DAMAGED, "token_type"},
    };
    char config[64];
    snprintf(config, sizeof config, "%s/out/config.json", dir);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_diag diag;
        enum lf_err rc = import(&bad[i].s, &diag);
        if (rc != bad[i].want || !strstr(diag.text, bad[i].says))
            fail_msg("%zu gave %s: \"%s\", not %s: \"%s\"", i, lf_err_name(rc), diag.text,
                     lf_err_name(bad[i].want), bad[i].says);
        assert_false(lf_file_exists(config));
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct lf_buf whole = make(&(struct spoil){0});
    size_t n = whole.len;
    lf_buf_free(&whole);
    for (size_t cut = 1; cut < n; cut += 1 + cut / 16) {
        struct lf_diag diag;
        assert_int_not_equal(import(&(struct spoil){.cut = cut}, &diag), LF_OK);
    }
}

/* ---- Adapters -------------------------------------------------------------------------------- */

static struct lf_adapter *read_adapter(const char *path, const struct lf_config *c)
{
    struct lf_diag diag = {""};
    struct lf_gguf g;
    struct lf_adapter *a = NULL;
    lf_mapping_auto m = {0};
    ok(lf_file_map(&m, path, &diag), &diag);
    ok(lf_gguf_parse(&g, m.data, m.bytes, &diag), &diag);
    assert_true(lf_gguf_is_adapter(&g));
    ok(lf_gguf_adapter(&a, &g, c, &diag), &diag);
    lf_gguf_free(&g);
    return a;
}

/* What is written is what is read, but for the rounding of the type and alphas that differ. */
static void an_adapter_comes_back_from_its_file(void **state)
{
    static const struct {
        enum lf_dtype dtype;
        float off; /* of a value below 1 */
    } types[] = {{LF_F32, 1e-6f}, {LF_F16, 1.0f / 1024}, {LF_BF16, 1.0f / 128}};
    struct lf_diag diag = {""};
    struct lf_adapter *a;
    struct lf_config c = tiny_config();
    struct lf_lora_settings s = {.rank = 4,
                                 .alpha = 8,
                                 .target_modules = "q_proj,down_proj",
                                 .rank_pattern = "{\"down_proj\": 2}"};
    char path[64];
    (void)state;
    snprintf(path, sizeof path, "%s/adapter.gguf", dir);
    ok(lf_adapter_new(&a, &c, &s, 1, &diag), &diag);
    for (size_t i = 0; i < a->shape.n_params; i++)
        a->params[i] = lf_rng_unit(lf_rng_u32(2, i, 0)) - 0.5f;
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        ok(lf_gguf_export_adapter(path, a, &c, types[k].dtype, &diag), &diag);
        struct lf_adapter *b = read_adapter(path, &c);
        assert_int_equal(b->shape.n_params, a->shape.n_params);
        for (int site = 0; site < a->shape.n_sites; site++) {
            size_t n_a = (size_t)a->shape.rank[site] * (size_t)c.proj[site % c.n_proj].K;
            size_t n_b = (size_t)a->shape.rank[site] * (size_t)c.proj[site % c.n_proj].N;
            assert_int_equal(b->shape.rank[site], a->shape.rank[site]);
            for (size_t i = 0; i < n_a; i++)
                assert_true(fabsf(b->params[b->shape.a_off[site] + i] -
                                  a->params[a->shape.a_off[site] + i]) <= types[k].off);
            for (size_t i = 0; i < n_b; i++) {
                float x = a->params[a->shape.b_off[site] + i] * a->shape.scale[site];
                float y = b->params[b->shape.b_off[site] + i] * b->shape.scale[site];
                assert_true(fabsf(y - x) <= types[k].off * a->shape.scale[site]);
            }
        }
        lf_adapter_free(b);
    }
    lf_adapter_free(a);
}

static void an_adapter_that_cannot_be_written_leaves_nothing(void **state)
{
    struct lf_diag diag = {""};
    struct lf_adapter *a;
    struct lf_config c = tiny_config();
    struct lf_lora_settings s = {.rank = 2, .alpha = 2, .target_modules = "q_proj"};
    lf_names_auto names = {0};
    char place[64], path[80];
    (void)state;
    snprintf(place, sizeof place, "%s/place", dir);
    snprintf(path, sizeof path, "%s/adapter.gguf", place);
    ok(lf_adapter_new(&a, &c, &s, 1, &diag), &diag);
    assert_int_equal(lf_gguf_export_adapter(path, a, &c, LF_F32, &diag), LF_E_NOT_FOUND);
    ok(lf_dir_make(path, &diag), &diag); /* a directory is where the file should go */
    tiny_file(path, "in", "the way");
    assert_int_not_equal(lf_gguf_export_adapter(path, a, &c, LF_F32, &diag), LF_OK);
    ok(lf_dir_names(&names, place, &diag), &diag);
    assert_int_equal(names.n, 1);
    lf_adapter_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_becomes_a_checkpoint_that_opens),
        cmocka_unit_test(says_what_is_wrong_and_leaves_no_checkpoint),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(an_adapter_comes_back_from_its_file),
        cmocka_unit_test(an_adapter_that_cannot_be_written_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
