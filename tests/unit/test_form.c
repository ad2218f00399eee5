/* LIBS: lf_trainer */
/* Rows in the forms that people have them: what becomes of each, and how it is asked for. */
#include "tests/unit/dataset_rig.h"
#include "trainer/ask.h"

#define ALPACA(INPUT)                                     \
    "Below is an instruction that describes a task" INPUT \
    "Write a response that appropriately completes the request.\n\n### Instruction:\nSay it"
#define BEGIN "<|begin_of_text|>"

/* The first row's prompt and completion as text: prompt, '|', completion. */
static void expect_split(const char *text, const struct lf_train_settings *s, const char *prompt,
                         const char *completion)
{
    struct lf_dataset *d;
    struct lf_diag diag = {""};
    lf_buf_auto got = {0};
    lf_ids_auto want = {0};
    const int32_t *ids;
    if (load(&d, text, s, &diag) != LF_OK)
        fail_msg("%s: %s", text, diag.text);
    int n = lf_dataset_prompt(d, 0, &ids);
    assert_int_equal(lf_prompt_encode(&want, &model, prompt, strlen(prompt), NULL), LF_OK);
    assert_int_equal(lf_tokenizer_decode(model.tokenizer, &got, ids, (size_t)n, false), LF_OK);
    if (want.n != (size_t)n || memcmp(ids, want.ids, want.n * sizeof *ids) != 0)
        fail_msg("%s\nis asked with\n%s", text, got.data);
    assert_string_equal(lf_dataset_completion(d, 0), completion);
    lf_dataset_free(d);
}

static void alpaca_rows_are_asked_with_stanfords_prompt(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(512);
    static const char bare[] = ALPACA(". ") "\n\n### Response:";
    static const char paired[] = ", paired with an input that provides further context. ";
    char full[512];
    snprintf(full, sizeof full, ALPACA("%s") "\n\n### Input:\nhello\n\n### Response:", paired);
    expect_split("{\"instruction\": \"Say it\", \"input\": \"\", \"output\": \"it\"}\n", &s, bare,
                 "it");
    expect_split("{\"instruction\": \"Say it\", \"input\": null, \"output\": \"it\", \"text\": "
                 "\"all of it\"}\n",
                 &s, bare, "it");
    expect_split("{\"instruction\": \"Say it\", \"output\": \"it\"}\n", &s, bare, "it");
    expect_split("{\"instruction\": \"Say it\", \"input\": \"hello\", \"output\": \"it\"}\n", &s,
                 full, "it");
    expect_split("{\"instruction\": \"Say it\", \"context\": \"hello\", \"response\": \"it\", "
                 "\"category\": \"x\"}\n",
                 &s, full, "it");
}

static void columns_of_well_known_names_are_prompts_and_completions(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(512);
    expect_split("{\"question\": \"Who?\", \"answer\": \"me\"}\n", &s,
                 "Question: Who?\nAnswer:", " me");
    expect_split("{\"question\": \"Who?\", \"context\": \"I am.\", \"answer\": 7}\n", &s,
                 "I am.\n\nQuestion: Who?\nAnswer:", " 7");
    expect_split("{\"prompt\": \"Who?\", \"response\": \"me\"}\n", &s, "Who?", "me");
    expect_split("{\"query\": \"Who?\", \"response\": \"me\", \"output\": null}\n", &s, "Who?",
                 "me");
    expect_split("{\"input\": \"Who?\", \"output\": \"me\"}\n", &s, "Who?", "me");
    expect_split("{\"problem\": \"1+1\", \"solution\": \"2\"}\n", &s, "1+1", "2");
    /* The plain form wins over what stands beside it. */
    expect_split("{\"prompt\": \"Who?\", \"completion\": \"me\", \"question\": \"x\", \"answer\": "
                 "\"y\"}\n",
                 &s, "Who?", "me");
}

static void settings_name_any_column(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(512);
    s.template_ = (char *)(uintptr_t) "{a} and {b}:";
    s.completion = (char *)(uintptr_t) " {c}, {d}";
    expect_split("{\"a\": \"x\", \"b\": null, \"c\": 1, \"d\": true}\n", &s, "x and :", " 1, true");
    s = settings(512);
    s.columns = (char *)(uintptr_t) "{\"completion\": \"reply\", \"prompt\": \"ask\"}";
    expect_split("{\"ask\": \"x\", \"reply\": \"y\", \"instruction\": \"z\", \"output\": \"w\"}\n",
                 &s, "x", "y");
    s.columns = (char *)(uintptr_t) "{\"question\": \"q\", \"answer\": \"a\"}";
    expect_split("{\"q\": \"x\", \"a\": \"y\"}\n", &s, "Question: x\nAnswer:", " y");
    s.columns = (char *)(uintptr_t) "{\"messages\": \"dialog\"}";
    struct lf_dataset *d;
    assert_int_equal(load(&d,
                          "{\"dialog\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": "
                          "\"assistant\", \"content\": \"b\"}]}\n",
                          &s, NULL),
                     LF_OK);
    expect_row(d, 0, BEGIN "<|user|>a<|assistant|>[b][<|endoftext|>]");
    lf_dataset_free(d);
    struct lf_diag diag;
    assert_int_equal(load(&d, "{\"messages\": 1}\n", &s, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "no \"dialog\" (the row has: messages)"));
}

static void train_on_says_what_of_a_row_is_learnt(void **state)
{
    (void)state;
    static const char chat[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
        "\"content\": \"b\"}, {\"role\": \"user\", \"content\": \"c\"}, {\"role\": \"assistant\", "
        "\"content\": \"d\"}]}\n";
    static const char plain[] = "{\"prompt\": \"the man\", \"completion\": \" and\"}\n";
    struct lf_train_settings s = settings(256);
    struct lf_dataset *d;
    const int32_t *ids;
    s.train_on = LF_TRAIN_ON_LAST_TURN;
    assert_int_equal(load(&d, chat, &s, NULL), LF_OK);
    expect_row(d, 0,
               BEGIN "<|user|>a<|assistant|>b<|endoftext|>\n<|user|>c<|assistant|>[d]"
                     "[<|endoftext|>]");
    int n = lf_dataset_prompt(d, 0, &ids);
    lf_dataset_free(d);
    s.train_on = LF_TRAIN_ON_ALL;
    assert_int_equal(load(&d, chat, &s, NULL), LF_OK);
    struct lf_row row;
    lf_dataset_row(d, 0, &row);
    assert_int_equal(row.n_supervised, row.n);
    assert_int_equal(lf_dataset_prompt(d, 0, &ids), n); /* the last answer is what is scored */
    lf_dataset_free(d);
    assert_int_equal(load(&d, plain, &s, NULL), LF_OK);
    expect_row(d, 0, BEGIN "[the][ man][ and][<|endoftext|>]");
    assert_int_equal(lf_dataset_prompt(d, 0, &ids), 3);
    lf_dataset_free(d);
    struct lf_diag diag;
    assert_int_equal(load(&d,
                          "{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\", "
                          "\"weight\": 0}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n",
                          &s, &diag),
                     LF_E_INVALID);
    assert_non_null(strstr(diag.text, "train_on"));
}

static void nulls_are_absent_at_every_depth(void **state)
{
    (void)state;
    /* As Arrow writes rows whose messages have different members. */
    expect_first("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", "
                 "\"text\": \"a\", \"image\": null}], \"tool_calls\": null, \"name\": null}, "
                 "{\"role\": \"assistant\", \"content\": \"b\", \"weight\": null}], \"tools\": "
                 "null, \"conversations\": null, \"prompt\": null, \"completion\": null}\n",
                 BEGIN "<|user|>a<|assistant|>[b][<|endoftext|>]");
    expect_first("{\"instruction\": null, \"output\": null, \"prompt\": \"the\", \"completion\": "
                 "\" man\", \"messages\": null}\n",
                 BEGIN "the[ man][<|endoftext|>]");
}

static void a_systems_text_beside_the_turns_stands_before_them(void **state)
{
    (void)state;
    expect_first("{\"system\": \"s\", \"conversations\": [{\"from\": \"human\", \"value\": "
                 "\"a\"}, {\"from\": \"gpt\", \"value\": \"b\"}]}\n",
                 BEGIN "<|system|>s<|user|>a<|assistant|>[b][<|endoftext|>]");
    expect_first("{\"system\": \"\", \"messages\": [{\"role\": \"user\", \"content\": \"a\"}, "
                 "{\"role\": \"assistant\", \"content\": \"b\"}]}\n",
                 BEGIN "<|user|>a<|assistant|>[b][<|endoftext|>]");
}

/* What a row says to the template, as a request does. */
static void a_rows_own_words_reach_the_template(void **state)
{
    (void)state;
    static const char text[] = "{{ mood }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
                               "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}"
                               "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
    struct lf_chat *before = model.chat;
    assert_int_equal(lf_chat_parse(&model.chat, text, strlen(text), "", "<|endoftext|>", NULL),
                     LF_OK);
    expect_first("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": "
                 "\"assistant\", \"content\": \"b\"}], \"chat_template_kwargs\": {\"mood\": "
                 "\"s\"}}\n",
                 "s<|user|>a<|assistant|>[b][<|endoftext|>]");
    lf_chat_free(model.chat);
    model.chat = before;
}

static void what_a_form_has_no_place_for_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"instruction\": \"a\", \"output\": \"b\", \"system\": \"s\"}\n", "\"system\""},
        {"{\"question\": \"a\", \"answer\": \"b\", \"history\": [[\"x\", \"y\"]]}\n",
         "\"history\""},
        {"{\"question\": \"a\", \"answer\": [\"b\"]}\n", "\"answer\" must be a string"},
        {"{\"question\": \"a\", \"context\": {\"t\": 1}, \"answer\": \"b\"}\n",
         "\"context\" must be a string"},
        {"{\"text\": \"a\", \"label\": 1}\n", "\"completion\": \"{label}\""},
        {"{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n", "no \"completion\""},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
         "\"content\": \"b\"}], \"functions\": [{}]}\n",
         "\"tools\""},
        {"{\"system\": \"s\", \"messages\": [{\"role\": \"system\", \"content\": \"t\"}, "
         "{\"role\": \"assistant\", \"content\": \"b\"}]}\n",
         "\"system\""},
        {"{\"question\": \"a\", \"choices\": [\"x\", \"y\"], \"answer\": 1}\n", "\"choices\""},
        {"{\"prompt\": \"a\", \"completion\": \"b\", \"label\": false}\n", "\"label\" false"},
        {"{\"prompt\": \"a\", \"completion\": \"b\", \"images\": [\"x\"]}\n", "\"images\""},
        {"{\"image\": \"x.jpg\", \"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, "
         "{\"from\": \"gpt\", \"value\": \"b\"}]}\n",
         "\"image\""},
        {"{\"text\": \"a\", \"audio\": {\"path\": \"x.wav\"}}\n", "\"audio\""},
        {"{\"system\": \"s\", \"prompt\": \"a\", \"completion\": \"b\"}\n", "\"system\""},
        {"{\"prompt\": \"a\", \"completion\": \"b\", \"history\": [[\"x\", \"y\"]]}\n",
         "\"history\""},
        {"{\"system\": [\"s\"], \"messages\": [{\"role\": \"user\", \"content\": \"a\"}, "
         "{\"role\": \"assistant\", \"content\": \"b\"}]}\n",
         "\"system\" must be a text"},
        {"{\"chat_template_kwargs\": 1, \"messages\": [{\"role\": \"user\", \"content\": \"a\"}, "
         "{\"role\": \"assistant\", \"content\": \"b\"}]}\n",
         "\"chat_template_kwargs\""},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
         "\"content\": \"\", \"function_call\": {\"name\": \"f\"}}]}\n",
         "\"tool_calls\""},
        {"{\"messages\": [{\"role\": \"user\", \"content\": true}, {\"role\": \"assistant\", "
         "\"content\": \"b\"}]}\n",
         "\"content\" of message 1 must be a text"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"Assistant\", "
         "\"content\": \"b\"}]}\n",
         "the last has \"Assistant\""},
        {"{\"dialog\": [{\"role\": \"user\", \"content\": \"a\"}]}\n",
         "\"columns\": {\"messages\": \"dialog\"}"},
        {"{\"data\": [{\"prompt\": \"a\", \"completion\": \"b\"}]}\n", "\"data\" are the rows"},
        {"{\"Prompt\": \"a\", \"Completion\": \"b\"}\n", "{\"completion\": \"Completion\"}"},
        {"{\"input\": {\"messages\": []}, \"preferred_output\": [{\"role\": \"assistant\"}]}\n",
         "\"loss\": \"dpo\""},
        {"{\"prompt\": \"a\", \"completion\": null}\n", "not null"},
        {"{\"prompt\": \"a\", \"completion\": \"b\", \"label\": \"False\"}\n", "\"label\" false"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_refused(rows[i][0], rows[i][1]);
}

#define CHAT                                                      \
    "[{\\\"role\\\": \\\"user\\\", \\\"content\\\": \\\"a\\\"}, " \
    "{\\\"role\\\": \\\"assistant\\\", \\\"content\\\": \\\"b\\\"}]"

/* Lists under other names, and as the texts that columns of one type have. */
static void conversations_are_found_where_they_are(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(256);
    static const char turns[] = "[{\"role\": \"user\", \"content\": 1}, "
                                "{\"role\": \"assistant\", \"content\": 2.5}]";
    char row[512];
    snprintf(row, sizeof row, "{\"conversation\": %s}\n", turns);
    expect_split(row, &s, "<|user|>1<|assistant|>", "2.5");
    expect_split(
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}], \"completion\": \"b\"}\n", &s,
        "<|user|>a<|assistant|>", "b");
    expect_split("{\"messages\": \"" CHAT "\"}\n", &s, "<|user|>a<|assistant|>", "b");
    expect_split("{\"conversations\": \"" CHAT "\", \"messages\": null}\n", &s,
                 "<|user|>a<|assistant|>", "b");
}

static void tools_are_a_list_or_its_text(void **state)
{
    (void)state;
    struct lf_chat *chat, *kept = model.chat;
    static const char template_[] =
        "{% for t in tools %}{{ t.name }};{% endfor %}{% for m in messages %}"
        "{% if m.content is none %}-{% endif %}{% for c in m.tool_calls %}{{ c.function.name }}"
        "{{ c.function.arguments | tojson if c.function.arguments }}"
        "{% endfor %}{{ m.content or '' }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}"
        "{% endfor %}";
    assert_int_equal(lf_chat_parse(&chat, template_, strlen(template_), "", "<|endoftext|>", NULL),
                     LF_OK);
    model.chat = chat;
    static const char want[] = "the;a[-f][<|endoftext|>]";
    expect_first("{\"tools\": [{\"name\": \"the\", \"x\": null}], \"messages\": [{\"role\": "
                 "\"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": null, "
                 "\"tool_calls\": [{\"id\": null, \"function\": {\"name\": \"f\"}}]}]}\n",
                 want);
    expect_first("{\"tools\": \"[{\\\"name\\\": \\\"the\\\"}]\", \"messages\": [{\"role\": "
                 "\"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": null, "
                 "\"tool_calls\": [{\"function\": {\"name\": \"f\"}}]}]}\n",
                 want);
    static const char *const arguments[] = {"{\"a\": [1]}", "\"{\\\"a\\\": [1]}\""};
    for (size_t i = 0; i < 2; i++) { /* as an object, and as the text of one */
        char row[256];
        snprintf(row, sizeof row,
                 "{\"tools\": [{\"name\": \"t\"}], \"messages\": [{\"role\": \"assistant\", "
                 "\"content\": \"\", \"tool_calls\": [{\"function\": {\"name\": \"f\", "
                 "\"arguments\": %s}}]}]}\n",
                 arguments[i]);
        expect_first(row, "t[;][f][{][\"][a][\"][:][ [][1][]][}][<|endoftext|>]");
    }
    model.chat = kept;
    lf_chat_free(chat);
}

/* ---- Asked as trained ------------------------------------------------------------------------ */

static void expect_asked(const struct lf_train_settings *s, const char *form, const char *text,
                         const char *want)
{
    lf_ids_auto ids = {0};
    lf_buf_auto got = {0};
    struct lf_diag diag = {""};
    const struct lf_ask ask = lf_ask_of(form ? form : "", s);
    if (lf_ask_encode(&ids, &model, form ? &ask : NULL, text, strlen(text), &diag) != LF_OK)
        fail_msg("%s: %s", text, diag.text);
    assert_int_equal(lf_tokenizer_decode(model.tokenizer, &got, ids.ids, ids.n, false), LF_OK);
    assert_string_equal(got.data, want);
}

static void prompts_become_what_stood_before_the_answers(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(256);
    static const char user[] = BEGIN "<|user|>a<|assistant|>";
    static const char turns[] = "[{\"role\": \"user\", \"content\": \"a\"}]";
    expect_asked(&s, NULL, "the man", BEGIN "the man");
    expect_asked(&s, LF_ASK_PROMPT, turns, BEGIN "[{\"role\": \"user\", \"content\": \"a\"}]");
    expect_asked(&s, LF_ASK_MESSAGES, "a", user);
    expect_asked(&s, LF_ASK_MESSAGES, turns, user);
    expect_asked(&s, "", turns, user);
    expect_asked(&s, LF_ASK_MESSAGES, "{\"messages\": [{\"from\": \"human\", \"value\": \"a\"}]}",
                 user);
    expect_asked(&s, "question", "Who?", BEGIN "Question: Who?\nAnswer:");
    expect_asked(&s, "question", "{\"question\": \"Who?\", \"context\": \"I.\"}",
                 BEGIN "I.\n\nQuestion: Who?\nAnswer:");
    expect_asked(&s, "instruction", "Say it", BEGIN ALPACA(". ") "\n\n### Response:");
    s.template_ = (char *)(uintptr_t) "Q: {q}\nA:";
    expect_asked(&s, LF_ASK_PROMPT, "who", BEGIN "Q: who\nA:");
    expect_asked(&s, LF_ASK_PROMPT, "{\"q\": 7}", BEGIN "Q: 7\nA:");
}

/* ids of a chat; NULL: it is refused, and the reason has `why`. */
static void expect_chat(const char *form, const char *template_, const char *turns,
                        const char *want, const char *why)
{
    lf_ids_auto ids = {0};
    lf_buf_auto got = {0};
    struct lf_diag diag = {""};
    json_auto_t *vars = NULL;
    struct lf_ask ask = {.template_ = (char *)(uintptr_t)template_};
    snprintf(ask.form, sizeof ask.form, "%s", form);
    enum lf_err rc = lf_ask_said(&vars, turns, strlen(turns), &diag);
    rc = rc ?: lf_ask_chat(&ids, &model, &ask, vars, &diag);
    if (!want) {
        assert_int_not_equal(rc, LF_OK);
        assert_non_null(strstr(diag.text, why));
        return;
    }
    if (rc != LF_OK)
        fail_msg("%s: %s", turns, diag.text);
    assert_int_equal(lf_tokenizer_decode(model.tokenizer, &got, ids.ids, ids.n, false), LF_OK);
    assert_string_equal(got.data, want);
}

#define USER(text) "{\"role\": \"user\", \"content\": \"" text "\"}"
#define ANSWER(text) "{\"role\": \"assistant\", \"content\": \"" text "\"}"

static void a_chat_is_asked_as_the_rows_were(void **state)
{
    (void)state;
    static const char one[] = "[" USER("Say it") "]";
    static const char all[] = "[{\"role\": \"system\", \"content\": \"S\"}, " USER(
        "who") ", " ANSWER(" he") ", " USER("why") "]";
    static const char tools[] = "{\"messages\": [" USER("a") "], \"tools\": [{\"name\": \"f\"}]}";
    expect_chat("instruction", NULL, one, BEGIN ALPACA(". ") "\n\n### Response:", NULL);
    expect_chat("instruction", NULL, "Say it", BEGIN ALPACA(". ") "\n\n### Response:", NULL);
    expect_chat("question", NULL, one, BEGIN "Question: Say it\nAnswer:", NULL);
    expect_chat(LF_ASK_PROMPT, NULL, one, BEGIN "Say it", NULL);
    expect_chat(LF_ASK_PROMPT, "Q: {q}\nA:", one, BEGIN "Q: Say it\nA:", NULL);
    expect_chat("", "Q: {q}\nA:", one, BEGIN "Q: Say it\nA:", NULL);
    expect_chat(LF_ASK_PROMPT, "Q: {q}\nA:", all, BEGIN "S\n\nQ: who\nA: he\n\nQ: why\nA:", NULL);
    expect_chat(LF_ASK_PROMPT,
                "{q} of {c}:", "[" USER("{\\\"q\\\": \\\"who\\\", \\\"c\\\": 7}") "]",
                BEGIN "who of 7:", NULL);
    for (size_t i = 0; i < 4; i++) /* chats, and what tells nothing */
        expect_chat((const char *const[]){LF_ASK_MESSAGES, LF_ASK_IDS, LF_ASK_TEXT, ""}[i], NULL,
                    one, BEGIN "<|user|>Say it<|assistant|>", NULL);
    expect_chat("instruction", NULL, tools, NULL, "\"tools\" have no place");
    expect_chat("instruction", NULL, "[" USER("a") ", " ANSWER("b") "]", NULL,
                "the last message must be the user's");
    expect_chat("instruction", NULL, "[{\"role\": \"tool\", \"content\": \"b\"}, " USER("a") "]",
                NULL, "message 1: calls of tools");
    expect_chat(LF_ASK_PROMPT, "{q} of {c}:", one, NULL, "a JSON object gives the columns");
}

static void what_is_beside_the_weights_says_how_they_are_asked(void **state)
{
    (void)state;
    char dir[] = "/tmp/lf_test_form.XXXXXX", file[64];
    struct lf_diag diag = {""};
    struct lf_train_settings s = settings(256);
    struct lf_ask got;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/form", dir);
    for (int i = 0; i < 2; i++) {
        s.template_ = i ? (char *)(uintptr_t) "Q: {q}\nA:" : NULL;
        const struct lf_ask ask = lf_ask_of(LF_ASK_PROMPT, &s);
        assert_int_equal(lf_ask_write(dir, &ask, &diag), LF_OK);
        assert_int_equal(lf_ask_read(&got, dir, &diag), LF_OK);
        assert_string_equal(got.form, LF_ASK_PROMPT);
        assert_string_equal(got.template_ ? got.template_ : "none", i ? "Q: {q}\nA:" : "none");
        lf_ask_free(&got);
    }
    assert_int_equal(unlink(file) | rmdir(dir), 0);
}

static void prompts_lose_what_windows_adds(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(256);
    expect_asked(&s, NULL, "\xef\xbb\xbfthe\r\nman\r\n", BEGIN "the\nman\n");
    expect_asked(&s, NULL, "the\rman\r", BEGIN "the\rman\r");
    expect_asked(&s, LF_ASK_MESSAGES, "\xef\xbb\xbf[{\"role\": \"user\",\r\n\"content\": \"a\"}]",
                 BEGIN "<|user|>a<|assistant|>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alpaca_rows_are_asked_with_stanfords_prompt),
        cmocka_unit_test(columns_of_well_known_names_are_prompts_and_completions),
        cmocka_unit_test(settings_name_any_column),
        cmocka_unit_test(train_on_says_what_of_a_row_is_learnt),
        cmocka_unit_test(nulls_are_absent_at_every_depth),
        cmocka_unit_test(a_systems_text_beside_the_turns_stands_before_them),
        cmocka_unit_test(a_rows_own_words_reach_the_template),
        cmocka_unit_test(what_a_form_has_no_place_for_is_refused),
        cmocka_unit_test(conversations_are_found_where_they_are),
        cmocka_unit_test(tools_are_a_list_or_its_text),
        cmocka_unit_test(prompts_become_what_stood_before_the_answers),
        cmocka_unit_test(a_chat_is_asked_as_the_rows_were),
        cmocka_unit_test(what_is_beside_the_weights_says_how_they_are_asked),
        cmocka_unit_test(prompts_lose_what_windows_adds),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
