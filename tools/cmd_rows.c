/* `lorafs rows`: the rows of a data set as they are learnt, and what is odd about them. */
#include "tools/commands.h"

#include "client/paths.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/utf8.h"
#include "model/model.h"
#include "tools/hub_cache.h"
#include "tools/options.h"
#include "trainer/look.h"
#include "trainer/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWERS_SHOWN 10

struct rows_run {
    const char *base, *config, *eval, *path;
    int64_t first;
    bool json, colour;
    struct lf_model *model;
    struct lf_train_settings s;
    struct lf_dataset *d, *held_out;
    struct lf_survey survey;
};

/* ---- Inputs ---------------------------------------------------------------------------------- */

static enum lf_err open_base(struct rows_run *r, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    enum lf_err rc =
        r->base ? lf_hub_base(dir, r->base, false, diag) : lf_path_share(dir, "base", diag);
    return rc ?: lf_model_open_text(&r->model, dir, diag);
}

static enum lf_err load(struct rows_run *r, struct lf_dataset **out, const char *path,
                        struct lf_diag *diag)
{
    enum lf_err rc = lf_dataset_load(out, path, r->model, &r->s, false, NULL, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

static enum lf_err load_all(struct rows_run *r, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    if (r->config)
        rc = lf_train_settings_load(&r->s, r->config, diag);
    rc = rc ?: open_base(r, diag) ?: load(r, &r->d, r->path, diag);
    if (rc == LF_OK && r->eval)
        rc = load(r, &r->held_out, r->eval, diag);
    return rc ?: lf_survey_make(&r->survey, r->d, r->held_out, NULL, diag);
}

/* ---- One row --------------------------------------------------------------------------------- */

/* Text for a terminal: line ends stay, other control characters are shown as escapes. */
static void print_text(const struct lf_buf *text)
{
    for (size_t i = 0; i < text->len;) {
        size_t n = strcspn(text->data + i, "\n");
        char *shown = malloc(4 * n + 8);
        if (shown)
            fwrite(shown, 1, lf_utf8_printable(shown, 4 * n + 8, text->data + i, n), stdout);
        free(shown);
        i += n;
        if (i < text->len && text->data[i++] == '\n')
            putchar('\n');
        else if (i < text->len && text->data[i - 1] == '\0')
            fputs("\\x00", stdout);
    }
}

static enum lf_err print_piece(void *arg, const struct lf_row_piece *p)
{
    const struct rows_run *r = arg;
    fputs(!r->colour ? (p->learnt ? "[[" : "") : p->learnt ? "\033[1;32m" : "\033[2m", stdout);
    print_text(&p->text);
    fputs(r->colour ? "\033[0m" : p->learnt ? "]]" : "", stdout);
    return LF_OK;
}

/* ---- The report ------------------------------------------------------------------------------ */

/* What the k-th of the answers says. */
static enum lf_err answer_text(const struct rows_run *r, int k, struct lf_row_piece *p,
                               struct lf_diag *diag)
{
    struct lf_row row;
    const int32_t *ids;
    int64_t i = r->survey.answers[k].row;
    lf_dataset_row(r->d, i, &row);
    int first = lf_dataset_prompt(r->d, i, &ids) - 1, n = row.n_chosen - first;
    if (n > 1 && lf_model_is_eos(r->model, row.labels[row.n_chosen - 1]))
        n--;
    return lf_row_piece_text(p, r->model, row.labels + first, n, diag);
}

static enum lf_err print_answers(const struct rows_run *r, struct lf_diag *diag)
{
    const struct lf_survey *s = &r->survey;
    struct lf_row_piece p = {.text = {0}};
    enum lf_err rc = LF_OK;
    for (int k = 0; k < s->n_answers && k < ANSWERS_SHOWN && rc == LF_OK; k++) {
        rc = answer_text(r, k, &p, diag);
        printf("%s", k ? "" : "answers:\n");
        printf("%6.1f%%  ", 100.0 * (double)s->answers[k].n / (double)s->report.rows);
        print_text(&p.text);
        putchar('\n');
    }
    if (s->n_answers > ANSWERS_SHOWN)
        printf("         and %d others\n", s->n_answers - ANSWERS_SHOWN);
    lf_buf_free(&p.text);
    return rc;
}

/* What the k-th text of a row is, where preferences are learnt. */
static const char *kind_of(const struct rows_run *r, const struct lf_row *row, int k)
{
    if (r->s.loss == LF_LOSS_SUPERVISED)
        return "";
    if (r->s.loss == LF_LOSS_KTO)
        return row->unwanted ? ", unwanted" : ", wanted";
    return k == 0 ? ", chosen" : ", rejected";
}

static enum lf_err print_all(struct rows_run *r, struct lf_diag *diag)
{
    const struct lf_survey *s = &r->survey;
    enum lf_err rc = LF_OK;
    for (int64_t i = 0; i < r->first && i < s->report.rows && rc == LF_OK; i++) {
        struct lf_row row, texts[2];
        lf_dataset_row(r->d, i, &row);
        int n = lf_row_texts(&row, texts);
        for (int k = 0; k < n && rc == LF_OK; k++) {
            printf("--- line %lld%s: %d ids, %d learnt", (long long)row.line, kind_of(r, &row, k),
                   texts[k].n + 1, texts[k].n_supervised);
            if (row.weight != 1)
                printf(", of weight %g", row.weight);
            putchar('\n');
            rc = lf_row_each_piece(&texts[k], r->model, print_piece, r, diag);
            putchar('\n');
        }
    }
    if (rc != LF_OK)
        return rc;
    printf("--- %lld rows, %lld ids, %lld learnt; asked as \"%s\"\n", (long long)s->report.rows,
           (long long)s->report.tokens, (long long)s->report.supervised_tokens, s->report.form);
    printf("ids of a row: half up to %d, 90%% up to %d, 99%% up to %d, the longest %d\n", s->median,
           s->p90, s->p99, s->report.n_max);
    rc = print_answers(r, diag);
    json_auto_t *warnings = lf_survey_warnings(s);
    for (size_t i = 0; i < json_array_size(warnings); i++)
        printf("warning: %s\n", json_string_value(json_array_get(warnings, i)));
    return rc;
}

static enum lf_err add_answers(const struct rows_run *r, json_t *out, struct lf_diag *diag)
{
    struct lf_row_piece p = {.text = {0}};
    json_t *list = json_array();
    enum lf_err rc = LF_OK;
    for (int k = 0; k < r->survey.n_answers && rc == LF_OK; k++) {
        lf_buf_auto text = {0};
        rc = answer_text(r, k, &p, diag);
        lf_buf_utf8(&text, p.text.data ? p.text.data : "", p.text.len);
        json_array_append_new(list, json_pack("{s:s#, s:I}", "text", text.data, text.len, "rows",
                                              (json_int_t)r->survey.answers[k].n));
    }
    json_object_set_new(out, "answers", list);
    lf_buf_free(&p.text);
    return rc;
}

static enum lf_err print_json(struct rows_run *r, struct lf_diag *diag)
{
    json_auto_t *out = lf_survey_json(&r->survey);
    json_t *sample = json_array();
    enum lf_err rc = add_answers(r, out, diag);
    for (int64_t i = 0; i < r->first && i < r->survey.report.rows && rc == LF_OK; i++) {
        struct lf_row row, texts[2];
        lf_dataset_row(r->d, i, &row);
        int n = lf_row_texts(&row, texts);
        for (int k = 0; k < n && rc == LF_OK; k++) {
            const char *kind = kind_of(r, &row, k);
            json_t *pieces = NULL;
            rc = lf_row_pieces(&pieces, &texts[k], r->model, diag);
            json_array_append_new(sample, json_pack("{s:I, s:s*, s:i, s:f, s:o*}", "line",
                                                    (json_int_t)row.line, "kind",
                                                    *kind ? kind + 2 : NULL, "ids", texts[k].n + 1,
                                                    "weight", row.weight, "pieces", pieces));
        }
    }
    json_object_set_new(out, "sample", sample);
    if (rc == LF_OK && (!out || json_dumpf(out, stdout, JSON_INDENT(1)) != 0))
        rc = lf_no_memory(diag, "the report");
    putchar('\n');
    return rc;
}

int lf_cmd_rows(int argc, char **argv)
{
    struct rows_run r = {.first = 3};
    const struct lf_option options[] = {
        {"base", 'b', LF_OPT_STR, "BASE", &r.base,
         "the checkpoint whose tokenizer and chat template to use; without it the embedded base's"},
        {"config", 'c', LF_OPT_STR, "FILE", &r.config, "settings, as for lorafs train"},
        {"eval", 'e', LF_OPT_STR, "FILE", &r.eval, "rows held out: are they among the others?"},
        {"first", 'n', LF_OPT_INT, "N", &r.first, "rows to show", .hi = 1e9},
        {"json", 0, LF_OPT_FLAG, NULL, &r.json, "one JSON object instead of text"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs rows",
        "FILE [options]",
        "Shows the first rows of a data set as they are learnt: their ids as text, what carries "
        "loss in colour on a terminal, in [[brackets]] elsewhere, and what a row's loss weighs, by "
        "itself or by `class_weights`, where that is not 1. Then how long rows are, how the "
        "answers are spread where they are labels, and what is odd: rows that are there twice, "
        "that are eval rows, too, that lose their end or have nothing to learn.\n\n"
        "FILE is what an adapter takes as dataset.jsonl: JSON lines, a JSON array, CSV, TSV, "
        "Parquet, packed with gzip or zstd or not.",
        options,
        1,
        1,
        "  lorafs rows train.parquet --eval test.jsonl --base ~/models/Qwen3-8B"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    r.path = args.v[0];
    r.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    lf_train_settings_default(&r.s);
    enum lf_err rc = load_all(&r, &diag);
    rc = rc ?: r.json ? print_json(&r, &diag) : print_all(&r, &diag);
    lf_dataset_free(r.d);
    lf_dataset_free(r.held_out);
    lf_train_settings_free(&r.s);
    lf_model_free(r.model);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
