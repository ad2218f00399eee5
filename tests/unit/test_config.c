/* LIBS: lf_model lf_gpu lf_core */
/* Configurations: what each architecture means, and what is refused, by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/json.h"
#include "model/config.h"

#include <math.h>
#include <string.h>

#define DIMS                                                               \
    "\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":4," \
    "\"num_attention_heads\":4,\"vocab_size\":128,\"max_position_embeddings\":256"

static enum lf_err parse(struct lf_config *c, const char *text, struct lf_diag *diag)
{
    json_t *j = NULL;
    diag->text[0] = '\0';
    enum lf_err rc = lf_json_parse(&j, text, strlen(text), diag);
    if (rc == LF_OK)
        rc = lf_config_parse(c, j, diag);
    json_decref(j);
    return rc;
}

static struct lf_config config(const char *text)
{
    struct lf_config c;
    struct lf_diag diag;
    if (parse(&c, text, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    return c;
}

static void refuses(const char *text, enum lf_err want, const char *word)
{
    struct lf_config c;
    struct lf_diag diag;
    memset(&c, 0x5a, sizeof c);
    struct lf_config before = c;
    enum lf_err rc = parse(&c, text, &diag);
    if (rc != want || !strstr(diag.text, word))
        fail_msg("%s\ngave %s: \"%s\", not %s naming %s", text, lf_err_name(rc), diag.text,
                 lf_err_name(want), word);
    assert_memory_equal(&c, &before, sizeof c);
}

static void llama_has_what_its_keys_say(void **state)
{
    (void)state;
    struct lf_config c = config("{\"model_type\":\"llama\",\"num_key_value_heads\":2,"
                                "\"rms_norm_eps\":1e-5,\"attention_bias\":true,"
                                "\"rope_theta\":5e5,\"eos_token_id\":[3,4]," DIMS "}");
    assert_int_equal(c.H, 4);
    assert_int_equal(c.Hkv, 2);
    assert_int_equal(c.D, 16);
    assert_int_equal(c.rot, 16);
    assert_int_equal(c.n_proj, 7);
    assert_true(c.gated && !c.layer_norm && !c.tied_head && !c.parallel_block);
    assert_true(c.proj[0].bias && c.proj[3].bias && !c.proj[4].bias);
    assert_true(c.rope[0].theta == 5e5 && c.norm_eps == 1e-5f);
    assert_true(fabsf(c.attn_scale - 0.25f) < 1e-7f);
    assert_int_equal(c.n_eos, 2);
    assert_int_equal(c.eos[1], 4);
    assert_int_equal(c.bos, -1);
    int first, n;
    assert_int_equal(lf_config_group(&c, LF_GROUP_ATTN_IN, &first, &n), 64 + 2 * 32);
    assert_int_equal(n, 3);
    assert_int_equal(c.proj[2].col, 64 + 32);
    assert_int_equal(lf_config_group(&c, LF_GROUP_MLP_IN, &first, &n), 2 * 96);
    assert_int_equal(first, 4);
    assert_int_equal(lf_config_sites(&c), 28);
}

static void both_spellings_of_rope_mean_the_same(void **state)
{
    (void)state;
    struct lf_config a = config(
        "{\"model_type\":\"llama\"," DIMS ",\"rope_theta\":1000.0,\"rope_scaling\":{"
        "\"type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
        "\"original_max_position_embeddings\":64}}");
    struct lf_config b =
        config("{\"model_type\":\"llama\"," DIMS ",\"rope_parameters\":{\"rope_theta\":1000.0,"
               "\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,"
               "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64}}");
    assert_int_equal(a.rope[0].kind, LF_ROPE_LLAMA3);
    assert_int_equal(a.rope[0].original_positions, 64);
    assert_memory_equal(&a, &b, sizeof a);
}

static void windows_stand_where_each_architecture_has_them(void **state)
{
    (void)state;
    struct lf_config m = config("{\"model_type\":\"mistral\",\"num_key_value_heads\":2,"
                                "\"sliding_window\":9," DIMS "}");
    struct lf_config g = config("{\"model_type\":\"gemma2\",\"head_dim\":16,"
                                "\"sliding_window\":9," DIMS "}");
    struct lf_config q = config("{\"model_type\":\"qwen2\",\"use_sliding_window\":true,"
                                "\"sliding_window\":9,\"max_window_layers\":3," DIMS "}");
    struct lf_config off = config("{\"model_type\":\"qwen2\",\"use_sliding_window\":false,"
                                  "\"sliding_window\":9,\"max_window_layers\":0," DIMS "}");
    struct lf_config none = config("{\"model_type\":\"mistral\",\"num_key_value_heads\":2,"
                                   "\"sliding_window\":null," DIMS "}");
    struct lf_config typed =
        config("{\"model_type\":\"gemma2\",\"head_dim\":16,\"sliding_window\":9," DIMS ","
               "\"layer_types\":[\"full_attention\",\"full_attention\",\"sliding_attention\","
               "\"full_attention\"]}");
    for (int l = 0; l < 4; l++) {
        assert_int_equal(m.window[l], 9);
        assert_int_equal(g.window[l], l % 2 ? 0 : 9);
        assert_int_equal(q.window[l], l == 3 ? 9 : 0);
        assert_int_equal(off.window[l], 0);
        assert_int_equal(none.window[l], 0);
        assert_int_equal(typed.window[l], l == 2 ? 9 : 0);
    }
}

/* As transformers' classes have it where the file is silent; null is an answer. */
static void what_a_file_leaves_out_is_the_architectures_habit(void **state)
{
    (void)state;
#define BARE(type, more)                                                        \
    "{\"model_type\":\"" type "\",\"hidden_size\":64,\"intermediate_size\":96," \
    "\"num_hidden_layers\":4,\"num_attention_heads\":16,\"vocab_size\":128,"    \
    "\"max_position_embeddings\":256" more "}"
    static const struct {
        const char *text;
        int Hkv, D, window, last_window;
        double eps;
        bool tied;
    } cases[] = {
        {BARE("llama", ""), 16, 4, 0, 0, 1e-6, false},
        {BARE("mistral", ""), 8, 4, 4096, 4096, 1e-6, false},
        {BARE("mistral", ",\"num_key_value_heads\":null,\"sliding_window\":null"), 16, 4, 0, 0,
         1e-6, false},
        {BARE("phi", ""), 16, 4, 0, 0, 1e-5, false},
        {BARE("phi3", ""), 16, 4, 0, 0, 1e-5, false},
        {BARE("gemma", ""), 16, 256, 0, 0, 1e-6, true},
        {BARE("gemma2", ""), 4, 256, 4096, 0, 1e-6, true},
        {BARE("qwen2", ",\"use_sliding_window\":true,\"max_window_layers\":2"), 16, 4, 0, 4096,
         1e-6, false},
        {BARE("qwen3", ""), 16, 128, 0, 0, 1e-6, false},
    };
#undef BARE
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lf_config c = config(cases[i].text);
        assert_int_equal(c.Hkv, cases[i].Hkv);
        assert_int_equal(c.D, cases[i].D);
        assert_int_equal(c.window[0], cases[i].window);
        assert_int_equal(c.window[3], cases[i].last_window);
        assert_true(c.norm_eps == (float)cases[i].eps);
        assert_int_equal(c.tied_head, cases[i].tied);
        assert_true(c.rope[0].theta == 10000 && c.rope[0].kind == LF_ROPE_DEFAULT);
    }
}

static void gemma_is_scaled_tied_and_tanh(void **state)
{
    (void)state;
    struct lf_config c = config("{\"model_type\":\"gemma\",\"num_key_value_heads\":1,"
                                "\"hidden_act\":\"gelu\"," DIMS "}");
    assert_int_equal(c.D, 256);
    assert_true(c.tied_head && c.norm_plus_one && c.embed_scale == 8.0f);
    assert_int_equal(c.act, LF_ACT_GELU_TANH);
    struct lf_config g2 = config("{\"model_type\":\"gemma2\",\"head_dim\":16,"
                                 "\"query_pre_attn_scalar\":64," DIMS "}");
    assert_true(g2.norms.post_attn && g2.attn_softcap == 50 && g2.final_softcap == 30);
    assert_true(g2.attn_scale == 0.125f);
    assert_string_equal(g2.norms.mlp, "pre_feedforward_layernorm");
    struct lf_config bare = config("{\"model_type\":\"gemma2\",\"head_dim\":16,"
                                   "\"attn_logit_softcapping\":null," DIMS "}");
    assert_true(bare.attn_softcap == 0 && bare.final_softcap == 30);
}

static void phi_is_parallel_with_biases_everywhere(void **state)
{
    (void)state;
    struct lf_config c = config("{\"model_type\":\"phi\",\"partial_rotary_factor\":0.4," DIMS "}");
    assert_true(c.parallel_block && c.layer_norm && c.head_bias && !c.gated);
    assert_int_equal(c.n_proj, 6);
    assert_int_equal(c.rot, 6);
    assert_string_equal(c.proj[3].module, "self_attn.dense");
    assert_string_equal(c.proj[4].module, "mlp.fc1");
    for (int p = 0; p < c.n_proj; p++)
        assert_true(c.proj[p].bias);
    struct lf_config f = config("{\"model_type\":\"phi3\"," DIMS "}");
    assert_int_equal(f.n_proj, 4);
    assert_int_equal(f.proj[0].N, 3 * 64);
    assert_int_equal(f.proj[2].N, 2 * 96);
}

static void longrope_takes_its_factors(void **state)
{
    (void)state;
    struct lf_config c =
        config("{\"model_type\":\"phi3\"," DIMS ",\"partial_rotary_factor\":0.25,"
               "\"original_max_position_embeddings\":128,\"rope_scaling\":{\"type\":\"su\","
               "\"short_factor\":[1.0,2.0],\"long_factor\":[3.0,4.0]}}");
    assert_int_equal(c.rope[0].kind, LF_ROPE_LONGROPE);
    assert_int_equal(c.rope[0].original_positions, 128);
    assert_true(c.rope[0].short_factor[1] == 2 && c.rope[0].long_factor[0] == 3);
    assert_true(fabs(c.rope[0].attention_factor - sqrt(1 + log(2.0) / log(128.0))) < 1e-12);
}

static void ministral_has_windows_where_its_types_say(void **state)
{
    (void)state;
    struct lf_config c =
        config("{\"model_type\":\"ministral\",\"num_key_value_heads\":2,\"head_dim\":24,"
               "\"sliding_window\":9,\"layer_types\":[\"full_attention\",\"sliding_attention\","
               "\"sliding_attention\",\"full_attention\"]," DIMS "}");
    for (int l = 0; l < 4; l++)
        assert_int_equal(c.window[l], l == 1 || l == 2 ? 9 : 0);
    assert_int_equal(c.D, 24);
    assert_int_equal(c.proj[0].N, 4 * 24);
    assert_int_equal(c.proj[3].K, 4 * 24);
    assert_true(fabs(c.attn_scale - 1 / sqrt(24)) < 1e-7);
    struct lf_config all =
        config("{\"model_type\":\"ministral\",\"num_key_value_heads\":2," DIMS "}");
    struct lf_config none = config("{\"model_type\":\"ministral\",\"num_key_value_heads\":2,"
                                   "\"sliding_window\":null," DIMS "}");
    for (int l = 0; l < 4; l++) {
        assert_int_equal(all.window[l], 4096);
        assert_int_equal(none.window[l], 0);
    }
}

static void olmo2_norms_what_branches_put_out_and_all_heads_at_once(void **state)
{
    (void)state;
    struct lf_config c = config("{\"model_type\":\"olmo2\",\"num_key_value_heads\":2," DIMS "}");
    assert_null(c.norms.attn);
    assert_null(c.norms.mlp);
    assert_string_equal(c.norms.post_attn, "post_attention_layernorm");
    assert_string_equal(c.norms.post_mlp, "post_feedforward_layernorm");
    assert_int_equal(lf_config_qk_norm_n(&c, false), 4 * 16);
    assert_int_equal(lf_config_qk_norm_n(&c, true), 2 * 16);
    /* Post norms do not make it a Gemma. */
    assert_true(c.attn_softcap == 0 && c.final_softcap == 0 && c.attn_scale == 0.25f);
    assert_true(!c.norm_plus_one && c.embed_scale == 1 && c.norm_eps == 1e-5f && !c.tied_head);
}

#define GEMMA3 "{\"model_type\":\"gemma3_text\",\"head_dim\":16," DIMS

static void gemma3_has_two_ropes_in_both_spellings(void **state)
{
    (void)state;
    struct lf_config a =
        config(GEMMA3 ",\"sliding_window\":9,\"sliding_window_pattern\":2,\"rope_theta\":5e5,"
                      "\"rope_local_base_freq\":2e4,\"rope_scaling\":{\"rope_type\":\"linear\","
                      "\"factor\":8}}");
    struct lf_config b =
        config(GEMMA3 ",\"sliding_window\":9,\"layer_types\":[\"sliding_attention\","
                      "\"full_attention\",\"sliding_attention\",\"full_attention\"],"
                      "\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\","
                      "\"rope_theta\":5e5,\"factor\":8},\"sliding_attention\":{"
                      "\"rope_type\":\"default\",\"rope_theta\":2e4}}}");
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(a.n_ropes, 2);
    assert_int_equal(a.rope[LF_ROPE_GLOBAL].kind, LF_ROPE_LINEAR);
    assert_true(a.rope[LF_ROPE_GLOBAL].theta == 5e5 && a.rope[LF_ROPE_GLOBAL].factor == 8);
    assert_int_equal(a.rope[LF_ROPE_LOCAL].kind, LF_ROPE_DEFAULT);
    assert_true(a.rope[LF_ROPE_LOCAL].theta == 2e4);
    for (int l = 0; l < 4; l++) {
        assert_int_equal(a.window[l], l % 2 ? 0 : 9);
        assert_int_equal(a.layer_rope[l], l % 2 ? LF_ROPE_GLOBAL : LF_ROPE_LOCAL);
    }
}

static void gemma3_without_keys_is_as_its_class_has_it(void **state)
{
    (void)state;
    struct lf_config c = config("{\"model_type\":\"gemma3_text\"," DIMS "}");
    assert_true(c.D == 256 && c.Hkv == 4 && c.tied_head && c.norm_plus_one && c.embed_scale == 8);
    assert_true(c.attn_scale == 0.0625f && c.attn_softcap == 0 && c.final_softcap == 0);
    assert_true(c.rope[LF_ROPE_GLOBAL].theta == 1e6 && c.rope[LF_ROPE_LOCAL].theta == 1e4);
    assert_int_equal(lf_config_qk_norm_n(&c, true), 256);
    for (int l = 0; l < 4; l++) /* the sixth would be the first without */
        assert_int_equal(c.window[l], 4096);
    struct lf_config capped = config(GEMMA3 ",\"final_logit_softcapping\":20}");
    assert_true(capped.final_softcap == 20);
}

static void refuses_what_it_does_not_do_and_names_it(void **state)
{
    (void)state;
#define LLAMA(more) "{\"model_type\":\"llama\"," DIMS more "}"
    refuses("[]", LF_E_INVALID, "object");
    refuses("{}", LF_E_INVALID, "model_type");
    refuses("{\"model_type\":\"mamba\"}", LF_E_UNSUPPORTED, "mamba");
    refuses("{\"model_type\":\"mamba\"}", LF_E_UNSUPPORTED, "llama, mistral,");
    refuses("{\"model_type\":7}", LF_E_INVALID, "model_type");
    refuses("{\"model_type\":\"llama\"}", LF_E_INVALID, "num_hidden_layers");
    refuses(LLAMA(",\"num_key_value_heads\":3"), LF_E_INVALID, "num_key_value_heads");
    refuses(LLAMA(",\"num_key_value_heads\":-1"), LF_E_INVALID, "num_key_value_heads");
    refuses(LLAMA(",\"head_dim\":512"), LF_E_INVALID, "head_dim");
    refuses(LLAMA(",\"hidden_act\":\"relu6\""), LF_E_UNSUPPORTED, "relu6");
    refuses(LLAMA(",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}"), LF_E_UNSUPPORTED,
            "dynamic");
    refuses(LLAMA(",\"rope_scaling\":{\"type\":\"linear\"}"), LF_E_INVALID, "factor");
    refuses(LLAMA(",\"rope_scaling\":[]"), LF_E_INVALID, "rope_scaling");
    refuses(LLAMA(",\"rope_parameters\":{\"full_attention\":{}}"), LF_E_UNSUPPORTED,
            "full_attention");
    refuses(LLAMA(",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1]}"), LF_E_INVALID,
            "short_factor");
    refuses(LLAMA(",\"partial_rotary_factor\":0.2"), LF_E_UNSUPPORTED, "rotating 3");
    refuses(LLAMA(",\"quantization_config\":{\"quant_method\":\"gptq\"}"), LF_E_UNSUPPORTED,
            "gptq");
    refuses(LLAMA(",\"quantization_config\":{\"quant_method\":\"bitsandbytes\","
                  "\"load_in_8bit\":true}"),
            LF_E_UNSUPPORTED, "load_in_4bit");
    refuses(LLAMA(",\"eos_token_id\":[1,2,3,4,5,6,7,8,9]"), LF_E_UNSUPPORTED, "eos_token_id");
    refuses(LLAMA(",\"eos_token_id\":\"x\""), LF_E_INVALID, "eos_token_id");
    refuses(LLAMA(",\"eos_token_id\":-5"), LF_E_INVALID, "eos_token_id");
    refuses(LLAMA(",\"num_hidden_layers\":100000000000000000000"), LF_E_INVALID, "");
    refuses("{\"model_type\":\"llama\",\"num_hidden_layers\":300}", LF_E_INVALID, "300");
    refuses("{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"hidden_size\":99999999}",
            LF_E_INVALID, "hidden_size");
    refuses("{\"model_type\":\"phi\",\"qk_layernorm\":true," DIMS "}", LF_E_UNSUPPORTED,
            "qk_layernorm");
    refuses("{\"model_type\":\"gemma2\",\"layer_types\":[\"a\"]," DIMS "}", LF_E_INVALID,
            "layer_types");
    refuses("{\"model_type\":\"qwen3\",\"layer_types\":[\"full_attention\",\"full_attention\","
            "\"chunked_attention\",\"full_attention\"]," DIMS "}",
            LF_E_UNSUPPORTED, "chunked_attention");
    refuses(GEMMA3 ",\"sliding_window\":null}", LF_E_UNSUPPORTED, "sliding_window");
    refuses(GEMMA3 ",\"sliding_window_pattern\":0}", LF_E_INVALID, "sliding_window_pattern");
    refuses(GEMMA3 ",\"use_bidirectional_attention\":true}", LF_E_UNSUPPORTED, "bidirectional");
    refuses(GEMMA3 ",\"rope_parameters\":{\"rope_theta\":1e4}}", LF_E_INVALID, "rope_theta");
    refuses(GEMMA3 ",\"rope_parameters\":{\"full_attention\":7}}", LF_E_INVALID, "full_attention");
    refuses(GEMMA3 ",\"rope_parameters\":{\"chunked_attention\":{}}}", LF_E_INVALID,
            "chunked_attention");
    refuses(GEMMA3 ",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1,1,1,1,1,1,1],"
                   "\"long_factor\":[1,1,1,1,1,1,1,1]}}",
            LF_E_UNSUPPORTED, "longrope");
    refuses(GEMMA3 ",\"rope_parameters\":{\"sliding_attention\":{\"partial_rotary_factor\":0.5}}}",
            LF_E_UNSUPPORTED, "rotating 8");
    refuses("{\"model_type\":\"ministral\",\"num_key_value_heads\":2,\"sliding_window\":null,"
            "\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\","
            "\"full_attention\"]," DIMS "}",
            LF_E_UNSUPPORTED, "sliding_window");
    refuses("{\"model_type\":\"olmo2\",\"num_key_value_heads\":3," DIMS "}", LF_E_INVALID,
            "num_key_value_heads");
    refuses("{\"model_type\":\"llama\",\"hidden_size\":1e3}", LF_E_INVALID, "num_hidden_layers");
#undef LLAMA
}

static void shapes_are_those_of_their_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t params;
    } known[] = {
        /* as published, to the parameter */
        {"mistral-7b", 7241732096},   {"llama-2-7b", 6738415616}, {"llama-3-8b", 8030261248},
        {"llama-3-70b", 70553706496}, {"gemma-2b", 2506172416},   {"gemma-7b", 8537680896},
        {"phi-2", 2779683840},
    };
    struct lf_config c;
    struct lf_diag diag;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(lf_config_shape(&c, known[i].name, &diag), LF_OK);
        if (lf_config_params(&c) != known[i].params)
            fail_msg("%s has %lld parameters", known[i].name, (long long)lf_config_params(&c));
    }
    assert_int_equal(lf_config_shape(&c, "small", &diag), LF_OK);
    assert_int_equal(lf_config_shape(&c, "gpt-5", &diag), LF_E_NOT_FOUND);
    assert_non_null(strstr(diag.text, "mistral-7b"));
}

static void parameters_are_as_published(void **state)
{
    (void)state;
#define SIZES(C, F, L, H, Hkv, D, V)                                                    \
    "\"hidden_size\":" #C ",\"intermediate_size\":" #F ",\"num_hidden_layers\":" #L     \
    ",\"num_attention_heads\":" #H ",\"num_key_value_heads\":" #Hkv ",\"head_dim\":" #D \
    ",\"vocab_size\":" #V ",\"max_position_embeddings\":4096}"
    static const struct {
        const char *text;
        int64_t params;
    } known[] = {
        {"{\"model_type\":\"mistral\"," SIZES(5120, 14336, 40, 32, 8, 128, 131072),
         12247782400}, /* Mistral Nemo */
        {"{\"model_type\":\"ministral\"," SIZES(4096, 12288, 36, 32, 8, 128, 131072), 8019808256},
        {"{\"model_type\":\"olmo2\"," SIZES(4096, 11008, 32, 32, 32, 128, 100352), 7298617344},
        {"{\"model_type\":\"gemma3_text\"," SIZES(1152, 6912, 26, 4, 1, 256, 262144), 999885952},
    };
#undef SIZES
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct lf_config c = config(known[i].text);
        if (lf_config_params(&c) != known[i].params)
            fail_msg("%s has %lld parameters", c.model_type, (long long)lf_config_params(&c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_has_what_its_keys_say),
        cmocka_unit_test(both_spellings_of_rope_mean_the_same),
        cmocka_unit_test(what_a_file_leaves_out_is_the_architectures_habit),
        cmocka_unit_test(windows_stand_where_each_architecture_has_them),
        cmocka_unit_test(gemma_is_scaled_tied_and_tanh),
        cmocka_unit_test(phi_is_parallel_with_biases_everywhere),
        cmocka_unit_test(longrope_takes_its_factors),
        cmocka_unit_test(ministral_has_windows_where_its_types_say),
        cmocka_unit_test(olmo2_norms_what_branches_put_out_and_all_heads_at_once),
        cmocka_unit_test(gemma3_has_two_ropes_in_both_spellings),
        cmocka_unit_test(gemma3_without_keys_is_as_its_class_has_it),
        cmocka_unit_test(refuses_what_it_does_not_do_and_names_it),
        cmocka_unit_test(shapes_are_those_of_their_names),
        cmocka_unit_test(parameters_are_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
