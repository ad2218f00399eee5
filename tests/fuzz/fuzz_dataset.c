/* LIBS: lf_trainer */
/* Any bytes as a dataset: the check and the load agree on what is refused, and every row that is
 * loaded keeps its promises. The same bytes as a prompt. LF_SOURCE names the source tree, for the
 * base's tokenizer. */
#include "trainer/ask.h"
#include "trainer/dataset.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char chat_template[] =
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";

static const struct lf_model *model(void)
{
    static struct lf_model m;
    char dir[512];
    const char *source = getenv("LF_SOURCE");
    if (m.tokenizer)
        return &m;
    snprintf(dir, sizeof dir, "%s/share/base", source ? source : ".");
    lf_assert(lf_config_load(&m.config, dir, NULL) == LF_OK);
    lf_assert(lf_tokenizer_open(&m.tokenizer, dir, NULL) == LF_OK);
    lf_assert(lf_chat_parse(&m.chat, chat_template, strlen(chat_template), "<|begin_of_text|>",
                            "<|endoftext|>", NULL) == LF_OK);
    m.rope_positions = 64;
    return &m;
}

static void check_text(const struct lf_row *text, int32_t V)
{
    lf_assert(text->n >= 1 && text->n < 64 && text->n_supervised > 0);
    for (int k = 0; k < text->n; k++) {
        lf_assert(text->ids[k] >= 0 && text->ids[k] < V);
        lf_assert(text->labels[k] >= -1 && text->labels[k] < V);
    }
    lf_assert(text->labels[text->n - 1] >= 0);
}

static void check_row(const struct lf_dataset *d, int64_t i, int32_t V)
{
    struct lf_row row, texts[2];
    const int32_t *prompt;
    int supervised = 0;
    lf_dataset_row(d, i, &row);
    lf_assert(row.line >= 1);
    for (int k = lf_row_texts(&row, texts) - 1; k >= 0; k--) {
        check_text(&texts[k], V);
        supervised += texts[k].n_supervised;
    }
    lf_assert(supervised == row.n_supervised);
    int n = lf_dataset_prompt(d, i, &prompt);
    lf_assert(n >= 1 && n <= row.n_chosen && prompt == row.ids);
    lf_assert(row.labels[n - 1] >= 0);
}

static void load(const char *path, const struct lf_train_settings *s)
{
    struct lf_diag diag = {""}, checked = {""};
    struct lf_dataset_report r;
    struct lf_dataset *d;
    enum lf_err check = lf_dataset_check(path, s, NULL, &checked);
    enum lf_err rc = lf_dataset_load(&d, path, model(), s, true, NULL, &diag);
    lf_assert(check == LF_OK || rc == check);
    if (rc != LF_OK) {
        lf_assert(diag.text[0] != '\0');
        return;
    }
    lf_dataset_report(d, &r);
    lf_assert(r.rows == lf_dataset_rows(d) && r.rows > 0 && r.rows + r.lost == r.lines);
    for (int64_t i = 0; i < r.rows; i++)
        check_row(d, i, model()->config.V);
    lf_dataset_free(d);
}

static void check_ids(const struct lf_ids *ids, enum lf_err rc)
{
    for (size_t k = 0; rc == LF_OK && k < ids->n; k++)
        lf_assert(ids->ids[k] >= 0 && ids->ids[k] < model()->config.V);
}

/* The bytes as a prompt and as a chat, of every form: ids of the base, or a reason. */
static void ask(const uint8_t *data, size_t n)
{
    for (size_t i = 0; lf_ask_words[i]; i++) {
        struct lf_diag diag = {""};
        struct lf_ask ask = {.template_ = NULL};
        lf_ids_auto ids = {0}, turns = {0};
        json_auto_t *vars = NULL;
        snprintf(ask.form, sizeof ask.form, "%s", i ? lf_ask_words[i] : "");
        enum lf_err rc = lf_ask_encode(&ids, model(), &ask, (const char *)data, n, &diag);
        lf_assert(rc == LF_OK || diag.text[0] != '\0');
        check_ids(&ids, rc);
        diag.text[0] = '\0';
        rc = lf_ask_said(&vars, (const char *)data, n, &diag);
        rc = rc ?: lf_ask_chat(&turns, model(), &ask, vars, &diag);
        lf_assert(rc == LF_OK || diag.text[0] != '\0');
        check_ids(&turns, rc);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_train_settings s;
    ask(data, n);
    char path[64];
    int fd = memfd_create("dataset", MFD_CLOEXEC);
    lf_assert(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    lf_train_settings_default(&s);
    for (int loss = LF_LOSS_SUPERVISED; loss <= LF_LOSS_KTO; loss++) {
        s.loss = (enum lf_loss)loss;
        load(path, &s);
    }
    s.loss = LF_LOSS_SUPERVISED;
    s.max_length = 9;
    s.template_ = (char *)(uintptr_t) "Q: {q} {{n}}\nA:";
    load(path, &s);
    close(fd);
    return 0;
}
