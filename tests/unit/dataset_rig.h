/* Rows through the embedded base's tokenizer and a small chat template, shown as text. */
#ifndef LF_TESTS_UNIT_DATASET_RIG_H
#define LF_TESTS_UNIT_DATASET_RIG_H

#include "trainer/dataset.h"

#include "core/file.h"
#include "core/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BOS 1
#define EOS 0

static struct lf_model model; /* a description and a tokenizer; no weights */
static char path[64];

static const char chat_template[] =
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";

static int open_model(void **state)
{
    (void)state;
    char dir[512];
    struct lf_diag diag = {""};
    snprintf(dir, sizeof dir, "%s/share/base", getenv("LF_SOURCE"));
    if (lf_config_load(&model.config, dir, &diag) != LF_OK ||
        lf_tokenizer_open(&model.tokenizer, dir, &diag) != LF_OK ||
        lf_chat_parse(&model.chat, chat_template, strlen(chat_template), "<|begin_of_text|>",
                      "<|endoftext|>", &diag) != LF_OK) {
        fprintf(stderr, "%s\n", diag.text);
        return -1;
    }
    model.rope_positions = 2048;
    snprintf(path, sizeof path, "test_rows.%d.jsonl", (int)getpid());
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    unlink(path);
    lf_tokenizer_free(model.tokenizer);
    lf_chat_free(model.chat);
    return 0;
}

static struct lf_train_settings settings(int max_length)
{
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    s.max_length = max_length;
    return s;
}

static enum lf_err load(struct lf_dataset **d, const char *text, const struct lf_train_settings *s,
                        struct lf_diag *diag)
{
    assert_int_equal(lf_file_write(path, text, strlen(text), NULL), LF_OK);
    return lf_dataset_load(d, path, &model, s, true, NULL, diag);
}

/* The row as text: ids joined, each learnt one in [brackets]. */
static void show(struct lf_buf *out, const struct lf_dataset *d, int64_t i)
{
    struct lf_row row;
    lf_dataset_row(d, i, &row);
    lf_buf_reset(out);
    for (int k = 0; k <= row.n; k++) {
        int32_t label = k > 0 ? row.labels[k - 1] : -1;
        int32_t id = k < row.n ? row.ids[k] : label;
        if (label >= 0) {
            assert_int_equal(label, id);
            lf_buf_putc(out, '[');
        }
        assert_int_equal(lf_tokenizer_decode(model.tokenizer, out, &id, 1, false), LF_OK);
        if (label >= 0)
            lf_buf_putc(out, ']');
    }
}

__attribute__((unused)) static void expect_row(const struct lf_dataset *d, int64_t i,
                                               const char *want)
{
    struct lf_buf out;
    lf_buf_init(&out, 0);
    show(&out, d, i);
    assert_string_equal(out.data, want);
    lf_buf_free(&out);
}

__attribute__((unused)) static void expect_first(const char *text, const char *want)
{
    struct lf_train_settings s = settings(256);
    struct lf_dataset *d;
    struct lf_diag diag = {""};
    if (load(&d, text, &s, &diag) != LF_OK)
        fail_msg("%s: %s", text, diag.text);
    expect_row(d, 0, want);
    lf_dataset_free(d);
}

/* Rows that are no data set, and a part of the reason. */
__attribute__((unused)) static void expect_refused(const char *text, const char *why)
{
    struct lf_train_settings s = settings(64);
    struct lf_dataset *d;
    struct lf_diag diag = {""};
    if (load(&d, text, &s, &diag) == LF_OK)
        fail_msg("taken: %s", text);
    if (!strstr(diag.text, why))
        fail_msg("%s: %s", text, diag.text);
}

#endif
