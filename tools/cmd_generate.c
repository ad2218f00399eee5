/* `lorafs generate`: complete prompts, without a daemon. */
#include "tools/commands.h"

#include "core/clock.h"
#include "core/limits.h"
#include "model/exec.h"
#include "model/generate.h"
#include "text/writer.h"
#include "tools/ids.h"
#include "tools/offline.h"
#include "tools/options.h"
#include "trainer/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct generate_flags {
    struct lf_offline_options o;
    const char *adapter, *ids_file;
    struct lf_option_strs prompts, stops;
    int64_t max_tokens, seed, top_k;
    double temperature, top_p, min_p, repetition_penalty;
    bool greedy, ignore_eos, json;
};

/* One prompt and what came of it. */
struct answer {
    struct lf_writer out;
    struct lf_ids ids; /* of the completion */
    uint64_t seq;      /* lf_gen's number */
};

struct generate_run {
    const struct generate_flags *flags;
    struct lf_offline c;
    struct lf_id_lists prompts;
    struct answer *answers; /* (prompts.n) */
    struct lf_gen *gen;
    bool stream; /* text goes out as it comes */
};

/* ---- Prompts --------------------------------------------------------------------------------- */

static enum lf_err read_stdin(struct lf_buf *out, struct lf_diag *diag)
{
    char piece[65536];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, stdin)) > 0)
        if (lf_buf_append(out, piece, n) != LF_OK)
            return lf_fail(diag, out->rc, "stdin: over %u bytes", LF_PROMPT_BYTES_MAX);
    return ferror(stdin) ? lf_fail_errno(diag, errno, "stdin") : LF_OK;
}

/* As the adapter was trained to be asked; the base, and one of which nothing is known, with the
 * text itself. */
static enum lf_err push_text(struct lf_id_lists *l, const struct lf_model *m,
                             const struct lf_ask *ask, const char *text, size_t n,
                             struct lf_diag *diag)
{
    struct lf_ids *ids = &l->lists[l->n++];
    enum lf_err rc = lf_ask_encode(ids, m, ask, text, n, diag);
    l->n_max = ids->n > l->n_max ? ids->n : l->n_max;
    return rc;
}

/* --prompt texts; without any, all of stdin is the prompt. */
static enum lf_err encode_prompts(struct lf_id_lists *l, const struct lf_model *m,
                                  const char *adapter, const struct lf_option_strs *texts,
                                  struct lf_diag *diag)
{
    struct lf_ask ask = {0};
    lf_buf_auto in = {.max = LF_PROMPT_BYTES_MAX};
    l->lists = calloc(texts->n ? (size_t)texts->n : 1, sizeof *l->lists);
    enum lf_err rc = l->lists ? LF_OK : lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    if (rc == LF_OK && adapter)
        rc = lf_ask_read(&ask, adapter, diag);
    if (rc == LF_OK && texts->n == 0 && (rc = read_stdin(&in, diag)) == LF_OK)
        rc = push_text(l, m, &ask, lf_buf_str(&in), in.len, diag);
    for (int i = 0; rc == LF_OK && i < texts->n; i++)
        rc = push_text(l, m, &ask, texts->s[i], strlen(texts->s[i]), diag);
    lf_ask_free(&ask);
    return rc;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static enum lf_err answer_token(struct answer *a, const struct lf_gen_token *t, struct lf_gen *gen)
{
    if (t->finish == LF_FINISH_EOS)
        return lf_writer_end(&a->out, LF_ENDING_EOS);
    enum lf_err rc = lf_ids_push(&a->ids, t->token) ?: lf_writer_token(&a->out, t->token);
    if (rc == LF_OK && a->out.ending == LF_ENDING_STOP)
        lf_gen_remove(gen, t->id);
    else if (rc == LF_OK && t->finish == LF_FINISH_LENGTH)
        rc = lf_writer_end(&a->out, LF_ENDING_LENGTH);
    return rc;
}

/* Writes what is settled and forgets it. */
static enum lf_err stream_out(struct answer *a, struct lf_diag *diag)
{
    struct lf_buf *text = &a->out.text;
    if (fwrite(lf_buf_str(text), 1, text->len, stdout) != text->len || fflush(stdout) != 0)
        return lf_fail_errno(diag, errno, "stdout");
    lf_buf_reset(text);
    return LF_OK;
}

static enum lf_err print_json(const struct answer *a)
{
    static const char *const finish[] = {"", "eos", "stop", "length"}; /* of enum lf_ending */
    lf_buf_auto out = {0};
    lf_buf_puts(&out, "{\"text\": ");
    lf_buf_json(&out, a->out.text.data, a->out.text.len);
    lf_buf_puts(&out, ", \"ids\": [");
    for (size_t i = 0; i < a->ids.n; i++)
        lf_buf_printf(&out, "%s%d", i ? ", " : "", a->ids.ids[i]);
    enum lf_err rc = lf_buf_printf(&out, "], \"finish\": \"%s\"}\n", finish[a->out.ending]);
    if (rc == LF_OK)
        fwrite(out.data, 1, out.len, stdout);
    return rc;
}

static enum lf_err print_answers(const struct generate_run *r, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; rc == LF_OK && i < r->prompts.n; i++) {
        const struct answer *a = &r->answers[i];
        if (r->flags->json)
            rc = print_json(a);
        else
            printf("%s\n", lf_buf_str(&a->out.text));
    }
    return fflush(stdout) == 0 ? rc : lf_fail_errno(diag, errno, "stdout");
}

/* ---- Generation ------------------------------------------------------------------------------ */

static int tokens_of(const struct generate_run *r, size_t i)
{
    int64_t left = lf_gen_context_max(r->gen) - (int64_t)r->prompts.lists[i].n;
    return (int)(r->flags->max_tokens < left ? r->flags->max_tokens : left);
}

static enum lf_err add(struct generate_run *r, size_t i, struct lf_diag *diag)
{
    const struct generate_flags *flags = r->flags;
    struct lf_sample_params sample = lf_sample_greedy();
    if (!flags->greedy)
        sample.temperature = (float)flags->temperature;
    sample.top_p = (float)flags->top_p;
    sample.min_p = (float)flags->min_p;
    sample.top_k = (int32_t)flags->top_k;
    sample.repetition_penalty = (float)flags->repetition_penalty;
    sample.seed = (uint64_t)flags->seed + i;
    const struct lf_gen_request request = {
        .ids = r->prompts.lists[i].ids,
        .n = (int)r->prompts.lists[i].n,
        .slot = r->c.slot,
        .sample = sample,
        .max_tokens = tokens_of(r, i),
        .ignore_eos = flags->ignore_eos,
        .user = &r->answers[i],
    };
    if (request.max_tokens < 1)
        return lf_fail(diag, LF_E_INVALID, "a prompt of %d tokens leaves no room in the model's %d",
                       request.n, lf_gen_context_max(r->gen));
    return lf_gen_add(r->gen, &request, &r->answers[i].seq, diag);
}

static enum lf_err take_tokens(struct generate_run *r, const struct lf_gen_token *tokens, int n,
                               struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; rc == LF_OK && i < n; i++) {
        struct answer *a = tokens[i].user;
        rc = answer_token(a, &tokens[i], r->gen);
        if (rc == LF_OK && r->stream)
            rc = stream_out(a, diag);
    }
    return rc;
}

static enum lf_err generate_all(struct generate_run *r, struct lf_diag *diag)
{
    struct lf_gen_token tokens[LF_OFFLINE_SEQS];
    struct lf_gen_status status;
    size_t next = 0;
    enum lf_err rc = LF_OK;
    do {
        for (lf_gen_status(r->gen, &status);
             rc == LF_OK && next < r->prompts.n && status.live < lf_gen_seqs_max(r->gen);
             lf_gen_status(r->gen, &status))
            rc = add(r, next++, diag);
        int n = 0;
        rc = rc ?: lf_gen_step(r->gen, 0, tokens, &n, diag);
        rc = rc ?: take_tokens(r, tokens, n, diag);
        lf_gen_status(r->gen, &status);
    } while (rc == LF_OK && (status.live > 0 || next < r->prompts.n));
    return rc;
}

static enum lf_err run_prompts(struct generate_run *r, struct lf_diag *diag)
{
    struct lf_exec *x = NULL;
    int64_t n = (int64_t)r->prompts.n < LF_OFFLINE_SEQS ? (int64_t)r->prompts.n : LF_OFFLINE_SEQS;
    r->answers = calloc(r->prompts.n, sizeof *r->answers);
    if (!r->answers)
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < r->prompts.n; i++)
        lf_writer_init(&r->answers[i].out, r->c.model->tokenizer, r->flags->stops.s,
                       r->flags->stops.n);
    enum lf_err rc = lf_offline_gen(&r->gen, &x, &r->c, n, (int64_t)r->prompts.n_max,
                                    r->flags->max_tokens, diag);
    r->stream = r->prompts.n == 1 && !r->flags->json;
    rc = rc ?: generate_all(r, diag);
    rc = rc ?: print_answers(r, diag);
    lf_gen_free(r->gen);
    lf_exec_free(x);
    for (size_t i = 0; i < r->prompts.n; i++) {
        lf_writer_free(&r->answers[i].out);
        lf_ids_free(&r->answers[i].ids);
    }
    free(r->answers);
    return rc;
}

static enum lf_err run_flags(const struct generate_flags *flags, struct lf_diag *diag)
{
    struct generate_run r = {.flags = flags};
    enum lf_err rc = lf_offline_open(&r.c, &flags->o, diag);
    rc = rc ?: lf_offline_adapter(&r.c, flags->adapter, diag);
    if (rc == LF_OK && flags->ids_file)
        rc = lf_id_lists_load(&r.prompts, flags->ids_file, r.c.model->config.V, diag);
    else if (rc == LF_OK)
        rc = encode_prompts(&r.prompts, r.c.model, flags->adapter, &flags->prompts, diag);
    rc = rc ?: run_prompts(&r, diag);
    lf_id_lists_free(&r.prompts);
    lf_offline_close(&r.c);
    return rc;
}

int lf_cmd_generate(int argc, char **argv)
{
    struct generate_flags flags = {
        .max_tokens = 256, .seed = -1, .temperature = 1, .top_p = 1, .repetition_penalty = 1};
    const struct lf_option options[] = {
        LF_OFFLINE_OPTION_BASE(flags.o),
        {"adapter", 'a', LF_OPT_STR, "DIR", &flags.adapter, "a PEFT adapter to apply"},
        {"prompt", 'p', LF_OPT_STRS, "TEXT", &flags.prompts,
         "a prompt; may be given again. Without any, stdin is the prompt"},
        {"ids", 'i', LF_OPT_STR, "FILE", &flags.ids_file,
         "JSON: the prompt as a list of token ids, or a list of such lists"},
        {"max-tokens", 'n', LF_OPT_INT, "N", &flags.max_tokens, "longest completion", .lo = 1,
         .hi = 1 << 24},
        {"greedy", 'g', LF_OPT_FLAG, NULL, &flags.greedy, "always the likeliest token"},
        {"temperature", 0, LF_OPT_REAL, "X", &flags.temperature, "0 is greedy", .hi = 100},
        {"top-p", 0, LF_OPT_REAL, "X", &flags.top_p, "draw from the likeliest of this mass; 1: all",
         .lo = 1e-6, .hi = 1},
        {"top-k", 0, LF_OPT_INT, "N", &flags.top_k, "draw from the N likeliest; 0: all",
         .hi = LF_VOCAB_MAX},
        {"min-p", 0, LF_OPT_REAL, "X", &flags.min_p,
         "leave out what is less likely than X times the likeliest; 0: nothing", .hi = 1},
        {"repetition-penalty", 0, LF_OPT_REAL, "X", &flags.repetition_penalty,
         "over 1: make tokens that were there less likely", .lo = 0.01, .hi = 100},
        {"seed", 's', LF_OPT_INT, "N", &flags.seed,
         "of the draws, N + i for prompt i; a negative one: another each time", .lo = -1e18,
         .hi = 1e18},
        {"stop", 0, LF_OPT_STRS, "TEXT", &flags.stops, "end before this text; may be given again"},
        {"ignore-eos", 0, LF_OPT_FLAG, NULL, &flags.ignore_eos,
         "go on after the end-of-text token"},
        {"json", 0, LF_OPT_FLAG, NULL, &flags.json,
         "print {\"text\", \"ids\", \"finish\"} for each prompt, a line each"},
        LF_OFFLINE_OPTION_QUANT(flags.o),
        LF_OFFLINE_OPTIONS_DEVICE(flags.o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs generate", "--base DIR [--adapter DIR] (--prompt TEXT | --ids FILE)",
        "Completes prompts with a base model, or with an adapter on it, in this process. The text "
        "of a single prompt streams; several prompts run together and are printed in order.",
        options,
        .examples = "  lorafs generate --base share/base --prompt 'It was a dark' --greedy\n"
                    "  lorafs generate --base share/base --adapter my-adapter --json < prompt.txt"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    if (flags.ids_file && flags.prompts.n)
        return lf_usage_error(&usage, "--prompt and --ids exclude each other");
    if (flags.stops.n > LF_STOPS_MAX)
        return lf_usage_error(&usage, "at most %d --stop", LF_STOPS_MAX);
    for (int i = 0; i < flags.stops.n; i++)
        if (!*flags.stops.s[i])
            return lf_usage_error(&usage, "an empty --stop");
    if (flags.seed < 0)
        flags.seed = (int64_t)(lf_clock_ns() >> 1);
    struct lf_diag diag = {""};
    enum lf_err rc = run_flags(&flags, &diag);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
