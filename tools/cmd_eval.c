/* `lorafs eval`: score a base or an adapter on a dataset by generation, here or by a daemon. */
#include "tools/commands.h"

#include "tools/bar.h"
#include "tools/eval_remote.h"
#include "tools/offline.h"
#include "tools/options.h"
#include "trainer/evaluate.h"

#include <stdio.h>
#include <string.h>

struct eval_flags {
    struct lf_offline_options o;
    struct lf_remote_options remote; /* without a base */
    const char *adapter, *dataset, *config, *metric, *predictions;
    int64_t rows, max_tokens, seqs;
    bool json;
};

struct eval_run {
    const struct eval_flags *flags;
    struct lf_offline c;
    struct lf_remote *remote; /* or NULL: here */
    struct lf_train_settings s;
    struct lf_dataset *rows;
    const struct lf_metric *metric;
    const char *metric_name;
    FILE *predictions;
    bool write_failed;
    struct lf_bar bar;
    int64_t n, done;
};

static void put_string(struct lf_buf *out, const char *key, const char *text)
{
    lf_buf_printf(out, "\"%s\": ", key);
    lf_buf_json(out, text, strlen(text));
    lf_buf_puts(out, ", ");
}

static void on_row(void *arg, const struct lf_eval_row *row)
{
    struct eval_run *r = arg;
    lf_buf_auto line = {0};
    r->done++;
    lf_bar_update(&r->bar, (double)r->done / (double)r->n, r->metric_name);
    if (!r->predictions)
        return;
    lf_buf_printf(&line, "{\"row\": %lld, ", (long long)row->row);
    put_string(&line, "completion", row->completion);
    put_string(&line, "reference", row->reference);
    if (lf_buf_printf(&line, "\"score\": %.6g}\n", row->score) != LF_OK ||
        fwrite(line.data, 1, line.len, r->predictions) != line.len)
        r->write_failed = true;
}

static struct lf_eval_options eval_options(struct eval_run *r)
{
    const struct eval_flags *o = r->flags;
    return (struct lf_eval_options){.metric = r->metric,
                                    .max_tokens =
                                        o->max_tokens ? (int)o->max_tokens : r->s.max_tokens,
                                    .stop = r->s.stop,
                                    .n_stop = r->s.n_stop,
                                    .rows_max = o->rows,
                                    .row = on_row,
                                    .row_arg = r};
}

static enum lf_err score_here(struct eval_run *r, struct lf_eval_report *report,
                              struct lf_diag *diag)
{
    struct lf_exec *x = NULL;
    struct lf_gen *g = NULL;
    const struct eval_flags *o = r->flags;
    const struct lf_eval_options options = eval_options(r);
    struct lf_dataset_report rows;
    lf_dataset_report(r->rows, &rows);
    r->n = lf_dataset_rows(r->rows);
    if (o->rows > 0 && o->rows < r->n)
        r->n = o->rows;
    enum lf_err rc = lf_offline_gen(&g, &x, &r->c, o->seqs < r->n ? o->seqs : r->n,
                                    (int64_t)rows.n_max + 1, options.max_tokens, diag);
    lf_bar_init(&r->bar, o->o.quiet);
    rc = rc ?: lf_evaluate_here(g, r->c.slot, r->c.model, r->rows, &options, report, diag);
    lf_bar_end(&r->bar);
    lf_gen_free(g);
    lf_exec_free(x);
    return rc;
}

/* Settings and metric: the config's, else those of the daemon's adapter. */
static enum lf_err load_settings(struct eval_run *r, struct lf_diag *diag)
{
    const struct eval_flags *o = r->flags;
    enum lf_err rc = LF_OK;
    if (o->config)
        rc = lf_train_settings_load(&r->s, o->config, diag);
    else if (r->remote)
        rc = lf_eval_remote_settings(&r->s, r->remote, o->adapter, diag);
    else
        lf_train_settings_default(&r->s);
    if (rc != LF_OK)
        return rc;
    r->metric_name = o->metric ? o->metric : r->s.metric;
    r->metric = lf_metric_find(r->metric_name);
    if (!r->metric)
        return lf_fail(diag, LF_E_INVALID, "no metric \"%s\"; it must be one of: %s",
                       r->metric_name, lf_metric_names());
    if (o->predictions && !(r->predictions = fopen(o->predictions, "w")))
        rc = lf_fail_errno(diag, errno, "%s", o->predictions);
    return rc;
}

static enum lf_err evaluate_here(struct eval_run *r, struct lf_eval_report *report,
                                 struct lf_diag *diag)
{
    const struct eval_flags *o = r->flags;
    enum lf_err rc = load_settings(r, diag) ?: lf_offline_open(&r->c, &o->o, diag);
    rc = rc ?: lf_offline_adapter(&r->c, o->adapter, diag);
    if (rc == LF_OK) {
        rc = lf_dataset_load(&r->rows, o->dataset, r->c.model, &r->s, true, NULL, diag);
        if (rc != LF_OK)
            lf_fail_within(diag, rc, "%s", o->dataset);
    }
    return rc ?: score_here(r, report, diag);
}

static enum lf_err evaluate_there(struct eval_run *r, struct lf_eval_report *report,
                                  struct lf_diag *diag)
{
    const struct eval_flags *o = r->flags;
    enum lf_err rc = lf_remote_new(&r->remote, &o->remote, diag) ?: load_settings(r, diag);
    if (rc != LF_OK)
        return rc;
    const struct lf_eval_options options = eval_options(r);
    lf_bar_init(&r->bar, o->o.quiet);
    rc = lf_eval_remote(r->remote, o->adapter, o->dataset, &r->s, &options, &r->n, report, diag);
    lf_bar_end(&r->bar);
    return rc;
}

static json_t *report_json(const struct eval_run *r, const struct lf_eval_report *e)
{
    json_t *j = json_pack(
        "{s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "metric", lf_metric_name(r->metric),
        "score", e->score, "rows", (json_int_t)e->rows, "unended", (json_int_t)e->unended, "unfit",
        (json_int_t)e->unfit, "unread", (json_int_t)e->unread, "tokens", (json_int_t)e->tokens,
        "seconds", e->seconds, "tokens_per_second", (double)e->tokens / e->seconds);
    if (e->row_scores.n > 0)
        json_object_set_new(j, "interval", json_pack("[f, f]", e->interval.low, e->interval.high));
    if (e->confusion)
        json_object_set(j, "confusion", e->confusion);
    return j;
}

/* A line a class, worst first would hide which is which: by name. */
static void print_classes(const json_t *confusion)
{
    size_t i;
    json_t *c;
    printf("%-30s %9s %9s %9s %9s\n", "CLASS", "PRECISION", "RECALL", "F1", "ROWS");
    json_array_foreach(json_object_get(confusion, "classes"), i, c) {
        printf("%-30.30s %9.3f %9.3f %9.3f %9lld\n", json_string_value(json_object_get(c, "label")),
               json_real_value(json_object_get(c, "precision")),
               json_real_value(json_object_get(c, "recall")),
               json_real_value(json_object_get(c, "f1")),
               (long long)json_integer_value(json_object_get(c, "support")));
    }
    printf("%-30s %9s %9s %9.3f\n", "mean", "", "",
           json_real_value(json_object_get(confusion, "macro_f1")));
}

static void print_report(const struct eval_run *r, const struct lf_eval_report *e)
{
    if (r->flags->json) {
        json_auto_t *j = report_json(r, e);
        json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        return;
    }
    printf("%s %.4f", lf_metric_name(r->metric), e->score);
    if (e->row_scores.n > 0)
        printf(" (95%%: %.4f to %.4f)", e->interval.low, e->interval.high);
    printf(" over %lld rows (%lld without an end, %lld too long); %lld tokens in %.1f s, %.0f "
           "tok/s\n",
           (long long)e->rows, (long long)e->unended, (long long)e->unfit, (long long)e->tokens,
           e->seconds, (double)e->tokens / e->seconds);
    if (e->unread > 0)
        printf("%s reads a-z and 0-9, and finds no word in %lld references, which score 0\n",
               lf_metric_name(r->metric), (long long)e->unread);
    if (e->confusion)
        print_classes(e->confusion);
}

static enum lf_err run_flags(const struct eval_flags *o, struct lf_diag *diag)
{
    struct eval_run r = {.flags = o, .c.slot = -1};
    struct lf_eval_report report = {0};
    enum lf_err rc =
        o->o.base ? evaluate_here(&r, &report, diag) : evaluate_there(&r, &report, diag);
    if (r.predictions && (fclose(r.predictions) != 0 || r.write_failed) && rc == LF_OK)
        rc = lf_fail(diag, LF_E_IO, "%s: could not be written", o->predictions);
    if (rc == LF_OK)
        print_report(&r, &report);
    lf_eval_report_free(&report);
    lf_remote_free(r.remote);
    lf_dataset_free(r.rows);
    lf_train_settings_free(&r.s);
    lf_offline_close(&r.c);
    return rc;
}

int lf_cmd_eval(int argc, char **argv)
{
    struct eval_flags flags = {.o.quant = LF_QUANT_NF4, .seqs = LF_OFFLINE_SEQS};
    const struct lf_option options[] = {
        {"base", 'b', LF_OPT_STR, "DIR", &flags.o.base,
         "a base model, to do it here: a checkpoint directory; without it, a daemon does it"},
        {"adapter", 'a', LF_OPT_STR, "ADAPTER", &flags.adapter,
         "the directory of a PEFT adapter, or the name of a daemon's; without it, the base"},
        {"dataset", 'i', LF_OPT_STR, "FILE", &flags.dataset, "rows, as for training",
         .required = true},
        {"metric", 'm', LF_OPT_STR, "NAME", &flags.metric,
         "rouge_l, accuracy, exact_match or another one of docs/training.md; without it, the "
         "config's"},
        {"config", 'c', LF_OPT_STR, "FILE", &flags.config,
         "JSON, as for training: template, max_tokens, stop, metric; without it, the config.json "
         "of a daemon's adapter"},
        {"rows", 'r', LF_OPT_INT, "N", &flags.rows, "score the first N rows; 0: all", .hi = 1e9},
        {"max-tokens", 'n', LF_OPT_INT, "N", &flags.max_tokens,
         "longest completion; 0: the config's", .hi = 1 << 20},
        {"seqs", 0, LF_OPT_INT, "N", &flags.seqs, "completions made at once", .lo = 1,
         .hi = LF_SEQS_MAX},
        {"predictions", 'p', LF_OPT_STR, "FILE", &flags.predictions,
         "write a JSON line with completion, reference and score for each row"},
        LF_OFFLINE_OPTION_QUANT(flags.o),
        LF_OFFLINE_OPTIONS_DEVICE(flags.o),
        LF_REMOTE_OPTIONS(flags.remote),
        {"quiet", 0, LF_OPT_FLAG, NULL, &flags.o.quiet, "no progress bar"},
        {"json", 0, LF_OPT_FLAG, NULL, &flags.json, "print the result as JSON"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs eval", "[--base DIR] [--adapter ADAPTER] --dataset FILE",
        "Completes the prompts of a data set greedily and scores the completions against the data "
        "set's. With --base it is done here; without, by a daemon, and --adapter is one of its "
        "adapters.",
        options,
        .examples =
            "  lorafs eval --base share/base --adapter my-adapter -i test.jsonl -m rouge_l"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    if (flags.remote.url && !lf_option_given(&args, &usage, "base"))
        flags.o.base = NULL; /* a preset one, where a daemon is named */
    struct lf_diag diag = {""};
    enum lf_err rc = run_flags(&flags, &diag);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
