/* LIBS: lf_trainer */
/* Settings: defaults, the preset, what is refused and how, and that printing loses nothing. */
#include "trainer/settings.h"

#include "core/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static enum lf_err parse(struct lf_train_settings *out, const char *text, struct lf_diag *diag)
{
    json_t *j;
    assert_int_equal(lf_json_parse(&j, text, strlen(text), diag), LF_OK);
    enum lf_err rc = lf_train_settings_parse(out, j, diag);
    json_decref(j);
    return rc;
}

static void an_empty_object_gives_the_defaults(void **state)
{
    (void)state;
    struct lf_train_settings s, d;
    assert_int_equal(parse(&s, "{}", NULL), LF_OK);
    lf_train_settings_default(&d);
    assert_int_equal(s.rank, d.rank);
    assert_int_equal(s.batch_size, d.batch_size);
    assert_null(s.target_modules); /* all-linear */
    assert_true(s.learning_rate == 0);
    assert_true(s.shuffle);
    lf_train_settings_free(&s);
}

static void the_preset_gives_way_to_what_is_written(void **state)
{
    (void)state;
    struct lf_train_settings s;
    assert_int_equal(parse(&s, "{\"preset\": \"lora-land\", \"rank\": 4, \"epochs\": 2}", NULL),
                     LF_OK);
    assert_int_equal(s.rank, 4);
    assert_int_equal(s.steps, 0);
    assert_true(s.epochs == 2);
    assert_int_equal(s.batch_size, 1);
    assert_int_equal(s.accumulation, 16);
    assert_true(s.learning_rate == 2e-4);
    assert_int_equal(s.optimizer, LF_OPTIMIZER_ADAM);
    assert_int_equal(s.loss_normalization, LF_LOSS_MICRO_BATCH);
    assert_string_equal(s.target_modules, "q_proj,v_proj");
    lf_train_settings_free(&s);
    assert_int_equal(parse(&s, "{\"preset\": \"lora-land\"}", NULL), LF_OK);
    assert_int_equal(s.steps * s.accumulation * s.batch_size, 40000);
    assert_true(s.max_grad_norm == 0.5);
    assert_int_equal(s.max_length, 1196);
    assert_int_equal(s.schedule_by, LF_SCHEDULE_BY_MICRO_BATCHES);
    assert_int_equal(s.restart_every, 1000);
    lf_train_settings_free(&s);
}

struct refusal {
    const char *text, *says;
};

static void refuse_each(const struct refusal *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct lf_train_settings s = {.rank = -7};
        struct lf_diag diag = {""};
        assert_int_equal(parse(&s, cases[i].text, &diag), LF_E_INVALID);
        if (!strstr(diag.text, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, diag.text, cases[i].says);
        assert_int_equal(s.rank, -7);
    }
}

static void what_is_not_done_says_why(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"{\"use_dora\": true}", "did you mean \"dora\"?"},
        {"{\"init\": \"pissa\", \"dora\": true}", "\"init\" or \"dora\""},
        {"{\"init_lora_weights\": \"pissa\"}", "did you mean \"init\"?"},
        {"{\"corda_config\": {}}", "all adapters share the base as it is"},
        {"{\"restart_every\": 100, \"schedule\": \"linear\"}", "for \"schedule\": \"cosine\""},
        {"{\"init\": \"olora\"}", "\"pissa\", \"pissa_niter_N\""},
        {"{\"init\": \"pissa_niter_0\"}", "N from 1 to 64"},
        {"{\"init\": \"pissa_niter_4x\"}", "N from 1 to 64"},
        {"{\"init\": \"pissa\", \"weight_decay\": 0.1}", "set it to 0"},
        {"{\"init\": \"loftq\", \"from\": \"current\"}", "\"init\" or \"from\""},
        {"{\"sample_packing\": true}", "without padding as it is"},
        {"{\"bias\": \"all\"}", "unknown key \"bias\": that is not done here"},
        {"{\"neftune_noise_alpha\": 5}", "did you mean \"neftune_alpha\"?"},
        {"{\"loraplus_lr_ratio\": 16}", "did you mean \"lora_plus\"?"},
    };
    refuse_each(cases, sizeof cases / sizeof *cases);
}

static void refuses_bad_values_and_says_which(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"[]", "an object"},
        {"{\"learning_rat\": 1}", "unknown key \"learning_rat\""},
        {"{\"r\": 8}", "unknown key \"r\"; did you mean \"rank\"?"},
        {"{\"lora_alpha\": 8}", "did you mean \"alpha\"?"},
        {"{\"lora_dropuot\": 0.1}", "did you mean \"dropout\"?"},
        {"{\"num_train_epochs\": 1}", "did you mean \"epochs\"?"},
        {"{\"lr\": 1e-4}", "did you mean \"learning_rate\"?"},
        {"{\"per_device_train_batch_size\": 2}", "did you mean \"batch_size\"?"},
        {"{\"gradient_accumulation_steps\": 2}", "did you mean \"accumulation\"?"},
        {"{\"micro_batch_size\": 2}", "did you mean \"batch_size\"?"},
        {"{\"max_seq_length\": 64}", "did you mean \"max_length\"?"},
        {"{\"sequence_len\": 64}", "did you mean \"max_length\"?"},
        {"{\"cutoff_len\": 64}", "did you mean \"max_length\"?"},
        {"{\"lora_r\": 8}", "did you mean \"rank\"?"},
        {"{\"train_on_inputs\": true}", "did you mean \"train_on\"?"},
        {"{\"dataset_text_field\": \"text\"}", "did you mean \"columns\"?"},
        {"{\"train_on\": \"everything\"}", "completions, last_turn, all"},
        {"{\"columns\": {\"promt\": \"q\"}}", "did you mean \"prompt\"?"},
        {"{\"columns\": {\"prompt\": 1}}", "\"prompt\" must be the name of a column"},
        {"{\"columns\": [\"prompt\"]}", "\"columns\": expected an object"},
        {"{\"completion\": \"none\"}", "names no {column}"},
        {"{\"ask\": \"nicely\"}", "auto, prompt, messages"},
        {"{\"warmup_ratio\": 0.1}", "did you mean \"warmup_fraction\"?"},
        {"{\"lr_scheduler_type\": \"cosine\"}", "did you mean \"schedule\"?"},
        {"{\"trainer\": {\"epochs\": 1}}", "side by side"},
        {"{\"push_to_hub\": false}", "unknown key \"push_to_hub\""},
        {"{\"optimizer\": \"adamw_4bit\"}", "adamw, adamw_8bit, paged_adamw_8bit"},
        {"{\"class_weights\": {\"a\": 0}}", "between 1e-06 and 1e+06"},
        {"{\"class_weights\": {\"a\": 2}, \"loss\": \"dpo\"}", "\"class_weights\" is for"},
        {"{\"rank\": 0}", "\"rank\" is 0"},
        {"{\"rank\": 257}", "\"rank\" is 257"},
        {"{\"rank\": 8.5}", "\"rank\" must be an integer"},
        {"{\"rank\": \"8\"}", "\"rank\" must be an integer"},
        {"{\"alpha\": -1}", "\"alpha\""},
        {"{\"dropout\": 1}", "\"dropout\""},
        {"{\"learning_rate\": 0}", "\"learning_rate\""},
        {"{\"learning_rate\": \"fast\"}", "number or \"auto\""},
        {"{\"schedule\": \"cosin\"}", "constant, linear, cosine"},
        {"{\"optimizer\": \"sgd\"}", "adam, adamw"},
        {"{\"loss_normalization\": \"mean\"}", "tokens, micro_batch"},
        {"{\"steps\": 1, \"epochs\": 1}", "not both"},
        {"{\"warmup_steps\": 1, \"warmup_fraction\": 0.1}", "not both"},
        {"{\"preset\": \"loraland\"}", "lora-land"},
        {"{\"metric\": \"bleu\"}", "rouge_l"},
        {"{\"stop\": 1}", "\"stop\""},
        {"{\"stop\": [\"a\", \"\"]}", "empty one"},
        {"{\"base\": \"../x\"}", "\"base\""},
        {"{\"target_modules\": []}", "target_modules"},
        {"{\"target_modules\": [1]}", "list of strings"},
        {"{\"target_modules\": [\"\"]}", "target_modules"},
        {"{\"target_modules\": [\"q_proj\", \"\", \"v_proj\"]}", "target_modules"},
        {"{\"target_modules\": \"q_proj,\"}", "target_modules"},
        {"{\"target_modules\": \"q proj\"}", "target_modules"},
        {"{\"template\": \"{a\"}", "\"template\""},
        {"{\"template\": \"no columns\"}", "names no {column}"},
        {"{\"max_length\": 1}", "max_length"},
        {"{\"seed\": -1}", "seed"},
        {"{\"shuffle\": 1}", "true or false"},
    };
    refuse_each(cases, sizeof cases / sizeof *cases);
}

static void refuses_bad_patterns(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"{\"rank_pattern\": {}}", "an object of numbers"},
        {"{\"rank_pattern\": [4]}", "an object of numbers"},
        {"{\"rank_pattern\": {\"q_proj\": 0}}", "between 1 and 256"},
        {"{\"alpha_pattern\": {\"q_proj\": \"8\"}}", "must be a number"},
        {"{\"layers_to_transform\": []}", "a list of layers' numbers"},
        {"{\"layers_to_transform\": [-1]}", "a list of layers' numbers"},
        {"{\"layers\": [1]}", "did you mean \"layers_to_transform\"?"},
    };
    refuse_each(cases, sizeof cases / sizeof *cases);
}

/* What a loss leaves without a use is refused, too. */
static void refuses_what_its_loss_does_not_have(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"{\"loss\": \"ppo\"}", "\"loss\""},
        {"{\"beta\": 0.2}", "\"beta\" is for \"loss\": dpo, orpo, kto"},
        {"{\"loss\": \"orpo\", \"label_smoothing\": 0.1}", "\"label_smoothing\" is for"},
        {"{\"loss\": \"dpo\", \"undesirable_weight\": 2}", "\"undesirable_weight\" is for"},
        {"{\"loss\": \"dpo\", \"train_on\": \"all\"}", "\"train_on\" is for"},
        {"{\"loss\": \"dpo\", \"completion\": \"{x}\"}", "\"completion\" is for"},
        {"{\"loss\": \"kto\", \"batch_size\": 1}", "must be 2 or more"},
        {"{\"loss\": [\"dpo\", \"orpo\"]}", "\"loss\""},
    };
    refuse_each(cases, sizeof cases / sizeof *cases);
}

static void a_whole_number_is_an_integer_however_it_is_written(void **state)
{
    (void)state;
    struct lf_train_settings s;
    assert_int_equal(parse(&s,
                           "{\"rank\": 8.0, \"steps\": 1e2, \"seed\": 7.0, "
                           "\"rank_pattern\": {\"q_proj\": 4.0}, \"layers_to_transform\": [1.0]}",
                           NULL),
                     LF_OK);
    assert_int_equal(s.rank, 8);
    assert_int_equal(s.steps, 100);
    assert_int_equal(s.seed, 7);
    assert_string_equal(s.layers_to_transform, "[1]");
    lf_train_settings_free(&s);
}

static void what_is_printed_parses_to_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{\"preset\": \"lora-land\", \"base\": \"mistral-7b\"}",
        "{\"epochs\": 0.1, \"warmup_steps\": 7, \"learning_rate\": 0.00037, \"rslora\": true}",
        "{\"steps\": 12, \"template\": \"Q: {q}\\n\\\"{{\\\"\\nA:\", \"metric\": \"rouge_l\"}",
        "{\"target_modules\": [\"q_proj\", \"down_proj\"], \"seed\": 9007199254740992}",
        "{\"rank_pattern\": {\"q_proj\": 4, \"up\\\\.x\": 2}, "
        "\"alpha_pattern\": {\"q_proj\": 0.1}, \"layers_to_transform\": [3, 0]}",
        "{\"columns\": {\"prompt\": \"a \\\"b\\\"\", \"completion\": \"c\"}, "
        "\"completion\": \" {d}\", \"train_on\": \"last_turn\", \"ask\": \"question\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct lf_train_settings s, again;
        struct lf_buf first, second;
        lf_buf_init(&first, 0);
        lf_buf_init(&second, 0);
        assert_int_equal(parse(&s, texts[i], NULL), LF_OK);
        assert_int_equal(lf_train_settings_print(&s, &first), LF_OK);
        assert_int_equal(parse(&again, first.data, NULL), LF_OK);
        assert_int_equal(lf_train_settings_print(&again, &second), LF_OK);
        assert_string_equal(first.data, second.data);
        assert_true(s.epochs == again.epochs || s.steps > 0);
        assert_true(s.learning_rate == again.learning_rate);
        assert_int_equal(s.seed, again.seed);
        lf_buf_free(&first);
        lf_buf_free(&second);
        lf_train_settings_free(&s);
        lf_train_settings_free(&again);
    }
}

/* Of version 0.1, to the byte: by these texts checkpoints under way know their jobs. */
static void what_decides_the_numbers_is_printed_as_ever(void **state)
{
    (void)state;
    static const struct {
        const char *text, *deciding;
    } cases[] = {
        {"{\"eval_every\": 5, \"max_tokens\": 3, \"metric\": \"accuracy\", \"base\": \"b\"}",
         "{\n  \"target_modules\": \"all-linear\",\n  \"learning_rate\": \"auto\",\n"
         "  \"schedule\": \"cosine\",\n  \"optimizer\": \"adamw\",\n"
         "  \"loss_normalization\": \"tokens\",\n  \"rank\": 16,\n  \"alpha\": 32,\n"
         "  \"rslora\": false,\n  \"dropout\": 0.05,\n  \"batch_size\": 16,\n"
         "  \"accumulation\": 1,\n  \"epochs\": 3,\n  \"weight_decay\": 0,\n"
         "  \"max_grad_norm\": 1,\n  \"warmup_fraction\": 0.03,\n  \"shuffle\": true,\n"
         "  \"seed\": 42,\n  \"max_length\": 2048,\n  \"eval_every\": 0,\n"
         "  \"eval_rows\": 200,\n  \"max_tokens\": 1\n}\n"},
        {"{\"preset\": \"lora-land\", \"warmup_steps\": 7, \"stop\": [\"\\n\", \"a\\\"b\"],"
         " \"template\": \"Q: {q}\\nA:\", \"max_grad_norm\": 1, \"max_length\": 2048,"
         " \"restart_every\": 0, \"schedule_by\": \"steps\"}",
         "{\n  \"target_modules\": [\"q_proj\", \"v_proj\"],\n  \"learning_rate\": 0.0002,\n"
         "  \"schedule\": \"cosine\",\n  \"optimizer\": \"adam\",\n"
         "  \"loss_normalization\": \"micro_batch\",\n  \"rank\": 8,\n  \"alpha\": 16,\n"
         "  \"rslora\": false,\n  \"dropout\": 0.05,\n  \"batch_size\": 1,\n"
         "  \"accumulation\": 16,\n  \"steps\": 2500,\n  \"weight_decay\": 0,\n"
         "  \"max_grad_norm\": 1,\n  \"warmup_steps\": 7,\n  \"shuffle\": true,\n"
         "  \"seed\": 42,\n  \"max_length\": 2048,\n  \"eval_every\": 0,\n"
         "  \"eval_rows\": 200,\n  \"max_tokens\": 1,\n"
         "  \"template\": \"Q: {q}\\u000aA:\",\n  \"stop\": [\"\\u000a\", \"a\\\"b\"]\n}\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lf_train_settings s;
        struct lf_buf text;
        lf_buf_init(&text, 0);
        assert_int_equal(parse(&s, cases[i].text, NULL), LF_OK);
        assert_int_equal(lf_train_settings_print_deciding(&s, &text), LF_OK);
        assert_string_equal(text.data, cases[i].deciding);
        lf_buf_free(&text);
        lf_train_settings_free(&s);
    }
}

static void a_younger_setting_stands_there_only_where_it_is_set(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "{\"adam_beta2\": 0.999}", "{\"adam_beta2\": 0.95}"};
    for (int i = 0; i < 3; i++) {
        struct lf_train_settings s;
        struct lf_buf text;
        lf_buf_init(&text, 0);
        assert_int_equal(parse(&s, texts[i], NULL), LF_OK);
        assert_int_equal(lf_train_settings_print_deciding(&s, &text), LF_OK);
        assert_int_equal(strstr(text.data, "\"adam_beta2\": 0.95") != NULL, i == 2);
        assert_int_equal(strstr(text.data, "adam_beta2") != NULL, i == 2);
        lf_buf_free(&text);
        lf_train_settings_free(&s);
    }
}

/* PEFT writes one full name a layer. */
static void a_list_of_modules_may_name_every_map_of_the_largest_model(void **state)
{
    (void)state;
    struct lf_train_settings s, copy;
    struct lf_diag diag = {""};
    json_t *names = json_array();
    for (int i = 0; i < LF_LAYERS_MAX * LF_PROJ_MAX; i++)
        json_array_append_new(names, json_sprintf("model.layers.%d.self_attn.q_proj", i));
    json_t *j = json_pack("{s:O}", "target_modules", names);
    assert_int_equal(lf_train_settings_parse(&s, j, &diag), LF_OK);
    assert_int_equal(lf_train_settings_copy(&copy, &s), LF_OK);
    lf_train_settings_free(&s);
    struct lf_buf text;
    lf_buf_init(&text, 0);
    assert_int_equal(lf_train_settings_print(&copy, &text), LF_OK);
    json_t *printed = NULL;
    assert_int_equal(lf_json_parse(&printed, text.data, text.len, &diag), LF_OK);
    assert_true(json_equal(json_object_get(printed, "target_modules"), names));
    json_decref(printed);
    lf_buf_free(&text);
    lf_train_settings_free(&copy);
    for (int i = 0; i < (int)LF_TARGETS_BYTES_MAX / 32; i++)
        json_array_append_new(names, json_sprintf("model.layers.%d.self_attn.q_proj", i));
    assert_int_equal(lf_train_settings_parse(&s, j, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "longer than"));
    json_decref(j);
    json_decref(names);
}

static void a_copy_owns_its_template(void **state)
{
    (void)state;
    struct lf_train_settings s, copy;
    assert_int_equal(parse(&s, "{\"template\": \"{a}\"}", NULL), LF_OK);
    assert_int_equal(lf_train_settings_copy(&copy, &s), LF_OK);
    assert_ptr_not_equal(copy.template_, s.template_);
    lf_train_settings_free(&s);
    assert_string_equal(copy.template_, "{a}");
    lf_train_settings_free(&copy);
}

static void stop_strings_are_one_or_a_list(void **state)
{
    (void)state;
    struct lf_train_settings s, copy;
    struct lf_buf text;
    lf_buf_init(&text, 0);
    assert_int_equal(parse(&s, "{\"stop\": \"\\n\"}", NULL), LF_OK);
    assert_int_equal(s.n_stop, 1);
    lf_train_settings_free(&s);
    assert_int_equal(parse(&s, "{\"stop\": [\"\\n\", \"a\\\"b\"]}", NULL), LF_OK);
    assert_int_equal(lf_train_settings_copy(&copy, &s), LF_OK);
    lf_train_settings_free(&s);
    assert_int_equal(copy.n_stop, 2);
    assert_string_equal(copy.stop[0], "\n");
    assert_int_equal(lf_train_settings_print(&copy, &text), LF_OK);
    lf_train_settings_free(&copy);
    assert_int_equal(parse(&s, text.data, NULL), LF_OK);
    assert_int_equal(s.n_stop, 2);
    assert_string_equal(s.stop[1], "a\"b");
    lf_train_settings_free(&s);
    lf_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_object_gives_the_defaults),
        cmocka_unit_test(the_preset_gives_way_to_what_is_written),
        cmocka_unit_test(what_is_not_done_says_why),
        cmocka_unit_test(refuses_bad_values_and_says_which),
        cmocka_unit_test(refuses_bad_patterns),
        cmocka_unit_test(refuses_what_its_loss_does_not_have),
        cmocka_unit_test(a_whole_number_is_an_integer_however_it_is_written),
        cmocka_unit_test(what_is_printed_parses_to_the_same),
        cmocka_unit_test(what_decides_the_numbers_is_printed_as_ever),
        cmocka_unit_test(a_younger_setting_stands_there_only_where_it_is_set),
        cmocka_unit_test(a_list_of_modules_may_name_every_map_of_the_largest_model),
        cmocka_unit_test(a_copy_owns_its_template),
        cmocka_unit_test(stop_strings_are_one_or_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
