/* `lorafs bench`: decoding, prefill and training beside the device's floor; the tokenizer. */
#include "tools/commands.h"

#include "bench/bench.h"
#include "bench/load.h"
#include "tools/hub_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench_flags {
    struct lf_offline_options o;
    struct lf_seats seats;
    struct lf_option_ints seqs;
    struct lf_option_ints each; /* tokens of each case's sequences; n 0: `tokens` in all */
    const char *batch, *targets, *text;
    int64_t adapters, rank, tokens, prompt, warmup, iters;
    double alpha, dropout;
    int recompute;
    bool json;
};

static const char *const kinds[] = {"decode", "prefill", "train", "step", NULL};

static const char *head_of(enum lf_bench_kind kind)
{
    return kind == LF_BENCH_DECODE ? "context" : "tokens";
}

/* Bytes a second and operations a second, and what they are of. */
static void print_machine(const struct lf_offline *c, const struct lf_floor *f)
{
    struct lf_device_info info;
    lf_device_info(c->dev, &info);
    printf("%s: %.1f GB/s, %.2f TFLOP/s\n%s: %s, %.2f GB of weights\n\n", info.name,
           f->bytes_per_second / 1e9, f->flops_per_second / 1e12, c->model->name,
           c->model->config.model_type, (double)c->model->weight_bytes / 1e9);
}

static void print_row(const struct lf_bench_case *b, const struct lf_bench_result *r, bool first)
{
    if (first)
        printf("%-8s %5s %8s %9s %5s %11s %11s %11s %6s %-8s %9s\n", "", "seqs", head_of(b->kind),
               "adapters", "rank", "tok/s", "ms/batch", "floor ms", "share", "bound", "memory");
    printf("%-8s %5d %8d %9d %5d %11.1f %11.3f %11.3f %5.1f%% %-8s %6.2f GB%s", kinds[b->kind],
           b->seqs, b->tokens, b->adapters, b->adapters ? b->lora.rank : 0, r->tokens_per_second,
           r->seconds * 1e3, r->floor_seconds * 1e3, 100 * r->floor_seconds / r->seconds,
           r->memory_bound ? "bytes" : "products", (double)r->memory_bytes / 1e9,
           r->recomputed && b->kind == LF_BENCH_TRAIN ? "  recomputes" : "");
    if (r->host_bytes)
        printf(", %.2f GB of host memory", (double)r->host_bytes / 1e9);
    putchar('\n');
    fflush(stdout);
}

static void print_json(const struct lf_offline *c, const struct lf_floor *f,
                       const struct lf_bench_case *b, const struct lf_bench_result *r)
{
    struct lf_device_info info;
    lf_device_info(c->dev, &info);
    json_t *j = json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:f, s:f, s:f, s:s, s:I, s:I, s:b, "
        "s:f, s:f}",
        "bench", kinds[b->kind], "device", info.name, "base", c->model->name, "seqs", b->seqs,
        head_of(b->kind), b->tokens, "prompt", b->prompt, "adapters", b->adapters, "rank",
        b->adapters ? b->lora.rank : 0, "targets", b->lora.target_modules, "tokens_per_second",
        r->tokens_per_second, "batch_seconds", r->seconds, "floor_seconds", r->floor_seconds,
        "share", r->floor_seconds / r->seconds, "bound", r->memory_bound ? "bytes" : "products",
        "memory_bytes", (json_int_t)r->memory_bytes, "host_memory_bytes", (json_int_t)r->host_bytes,
        "recomputed", r->recomputed, "bytes_per_second", f->bytes_per_second, "flops_per_second",
        f->flops_per_second);
    if (j) {
        json_dumpf(j, stdout, JSON_REAL_PRECISION(8));
        putchar('\n');
        fflush(stdout);
    }
    json_decref(j);
}

static void print_step(const struct bench_flags *flags, const struct lf_crew *crew,
                       const struct lf_bench_case *b, const struct lf_bench_result *r)
{
    struct lf_device_info info;
    lf_device_info(crew->first->dev, &info);
    if (!flags->json) {
        printf("step: %d x %d, rank %d, on %d of %s: %.1f tok/s, %.3f ms, %.2f GB%s, loss %.6f\n",
               b->seqs, b->tokens, b->lora.rank, crew->n, info.name, r->tokens_per_second,
               r->seconds * 1e3, (double)r->memory_bytes / 1e9, r->recomputed ? ", recomputes" : "",
               r->loss);
        fflush(stdout);
        return;
    }
    json_auto_t *j =
        json_pack("{s:s, s:s, s:i, s:s, s:i, s:i, s:i, s:s, s:f, s:f, s:I, s:I, s:b, s:f}", "bench",
                  "step", "device", info.name, "devices", crew->n, "base", crew->first->model->name,
                  "seqs", b->seqs, "tokens", b->tokens, "rank", b->lora.rank, "targets",
                  b->lora.target_modules, "tokens_per_second", r->tokens_per_second, "step_seconds",
                  r->seconds, "memory_bytes", (json_int_t)r->memory_bytes, "host_memory_bytes",
                  (json_int_t)r->host_bytes, "recomputed", r->recomputed, "loss", r->loss);
    if (j)
        json_dumpf(j, stdout, JSON_REAL_PRECISION(8));
    putchar('\n');
    fflush(stdout);
}

/* f: NULL where the kind has no floor. */
static enum lf_err run_cases(const struct bench_flags *flags, struct lf_crew *crew,
                             const struct lf_floor *f, struct lf_bench_case *b,
                             struct lf_diag *diag)
{
    struct lf_offline *c = crew->first;
    if (!flags->json && f)
        print_machine(c, f);
    for (int i = 0; i < flags->seqs.n; i++) {
        struct lf_bench_result r;
        b->seqs = (int)flags->seqs.v[i];
        b->tokens = (int)(flags->each.n ? flags->each.v[i] : flags->tokens);
        enum lf_err rc = f ? lf_bench_run(&r, c, b, f, diag) : lf_bench_step(&r, crew, b, diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "%s, %d sequences", kinds[b->kind], b->seqs);
        if (!f)
            print_step(flags, crew, b, &r);
        else if (flags->json)
            print_json(c, f, b, &r);
        else
            print_row(b, &r, i == 0);
    }
    return LF_OK;
}

/* The floor is measured on a device of its own: its buffers are gone before the base comes. */
static enum lf_err bench(const struct bench_flags *flags, struct lf_bench_case *b,
                         struct lf_diag *diag)
{
    struct lf_offline c = {0};
    struct lf_crew crew = {0};
    struct lf_floor floor;
    bool has_floor = b->kind != LF_BENCH_STEP;
    enum lf_err rc = has_floor ? lf_offline_open_device(&c, &flags->o, diag) : LF_OK;
    if (rc == LF_OK && has_floor)
        rc = lf_floor_measure(&floor, c.stream, diag);
    lf_offline_close(&c);
    rc = rc ?: lf_crew_open(&crew, &c, &flags->o, &flags->seats, diag);
    rc = rc ?: run_cases(flags, &crew, has_floor ? &floor : NULL, b, diag);
    lf_crew_close(&crew);
    lf_offline_close(&c);
    return rc;
}

/* "8x512", or several: "8x512,4x2048". */
static bool parse_batch(struct bench_flags *flags)
{
    const int most = sizeof flags->seqs.v / sizeof *flags->seqs.v;
    const char *at = flags->batch;
    for (int n = 0;; n++) {
        char *end;
        long seqs = strtol(at, &end, 10);
        long tokens = *end == 'x' ? strtol(end + 1, &end, 10) : 0;
        if ((*end && *end != ',') || seqs < 1 || seqs > LF_SEQS_MAX || tokens < 1 ||
            tokens > 1 << 20 || n == most)
            return false;
        flags->seqs.v[n] = seqs;
        flags->each.v[n] = tokens;
        flags->seqs.n = flags->each.n = n + 1;
        if (!*end)
            return true;
        at = end + 1;
    }
}

static int tokenize_status(const struct lf_usage *u, const struct bench_flags *flags)
{
    struct lf_bench_tokens r;
    struct lf_diag diag = {""};
    if (!flags->o.base || !flags->text)
        return lf_usage_error(u, "tokenize needs --base and --text");
    char dir[LF_PATH_MAX];
    enum lf_err rc = lf_hub_base(dir, flags->o.base, flags->o.quiet, &diag);
    rc = rc ?: lf_bench_tokenize(&r, dir, flags->text, (int)flags->iters, &diag);
    if (rc != LF_OK)
        return lf_command_failed(u, rc, &diag);
    double mb = (double)r.bytes / 1e6;
    if (flags->json)
        printf("{\"bench\": \"tokenize\", \"texts\": %zu, \"bytes\": %zu, \"tokens\": %zu, "
               "\"first_seconds\": %.6f, \"encode_seconds\": %.6f, \"decode_seconds\": %.6f, "
               "\"encode_bytes_per_second\": %.0f}\n",
               r.texts, r.bytes, r.tokens, r.first_seconds, r.encode_seconds, r.decode_seconds,
               mb / r.encode_seconds * 1e6);
    else
        printf("%zu texts, %.2f MB, %zu tokens\n"
               "encode, first time %8.1f MB/s\nencode             %8.1f MB/s\n"
               "decode             %8.1f MB/s\n",
               r.texts, mb, r.tokens, mb / r.first_seconds, mb / r.encode_seconds,
               mb / r.decode_seconds);
    return 0;
}

static int bench_status(const struct lf_usage *u, struct bench_flags *flags, const char *word)
{
    if (strcmp(word, "tokenize") == 0)
        return tokenize_status(u, flags);
    struct lf_bench_case b = {.kind = LF_BENCH_DECODE};
    while (kinds[b.kind] && strcmp(kinds[b.kind], word) != 0)
        b.kind++;
    if (!kinds[b.kind])
        return lf_usage_error(u, "decode, prefill, train, step or tokenize, or serve, not '%s'",
                              word);
    struct lf_diag diag = {""};
    enum lf_err rc = lf_seats_read(&flags->seats, &flags->o.device, &diag);
    if (rc != LF_OK)
        return lf_command_failed(u, rc, &diag);
    if (flags->seats.n > 1 && b.kind != LF_BENCH_STEP)
        return lf_usage_error(u, "several devices are of step alone");
    flags->o.gpu = flags->seats.card[0];
    if (flags->batch && !parse_batch(flags))
        return lf_usage_error(u, "--batch is SEQUENCESxTOKENS, such as 8x512, or several");
    if (!flags->o.base == !flags->o.shape)
        return lf_usage_error(u, "either --base or --shape is needed");
    if (b.kind == LF_BENCH_TRAIN && flags->adapters == 0)
        flags->adapters = 1;
    if (flags->prompt && b.kind != LF_BENCH_DECODE)
        return lf_usage_error(u, "--prompt is of decode alone");
    b.prompt = (int)flags->prompt;
    b.adapters = (int)flags->adapters;
    b.warmup = (int)flags->warmup;
    b.iters = (int)flags->iters;
    b.recompute = (enum lf_recompute)flags->recompute;
    b.lora = (struct lf_lora_settings){.rank = (int)flags->rank,
                                       .alpha = flags->alpha,
                                       .dropout = flags->dropout,
                                       .target_modules = flags->targets};
    rc = bench(flags, &b, &diag);
    return rc == LF_OK ? 0 : lf_command_failed(u, rc, &diag);
}

int lf_cmd_bench(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return lf_bench_serve(argc - 1, argv + 1);
    struct bench_flags flags = {.o.quant = LF_QUANT_NF4,
                                .seats = LF_CREW_SEATS,
                                .seqs = {{1, 8, 16, 32, 64}, 5},
                                .rank = 16,
                                .targets = "all-linear",
                                .tokens = 512,
                                .warmup = 3,
                                .iters = 16,
                                .alpha = 16,
                                .recompute = LF_RECOMPUTE_AUTO};
    const struct lf_option options[] = {
        {"base", 'b', LF_OPT_STR, "DIR", &flags.o.base, "the base model: a checkpoint directory"},
        {"shape", 0, LF_OPT_STR, "NAME", &flags.o.shape,
         "instead: random weights of a model's shape, mistral-7b for one"},
        {"seqs", 's', LF_OPT_INTS, "N,N...", &flags.seqs, "sequences of a batch, one case each",
         .lo = 1, .hi = LF_SEQS_MAX},
        {"tokens", 'T', LF_OPT_INT, "N", &flags.tokens,
         "tokens of each sequence; when decoding, tokens before the first", .lo = 1, .hi = 1 << 20},
        {"prompt", 0, LF_OPT_INT, "N", &flags.prompt,
         "when decoding: beside each batch a new prompt of so many tokens, as a server reads them",
         .hi = 1 << 16},
        {"batch", 0, LF_OPT_STR, "SxT,...", &flags.batch,
         "both in one, one case each: 8x512,4x2048"},
        {"adapters", 'a', LF_OPT_INT, "N", &flags.adapters,
         "random adapters, taken in turn by the sequences; 0: the bare base", .hi = LF_SLOTS_MAX},
        {"rank", 'r', LF_OPT_INT, "N", &flags.rank, "of the adapters", .lo = 1, .hi = LF_RANK_MAX},
        {"alpha", 0, LF_OPT_REAL, "X", &flags.alpha, "of the adapters", .lo = 1e-3, .hi = 1e6},
        {"targets", 0, LF_OPT_STR, "NAMES", &flags.targets,
         "modules: all-linear, or q_proj,v_proj"},
        {"dropout", 0, LF_OPT_REAL, "X", &flags.dropout, "LoRA dropout in training", .hi = 0.99},
        {"recompute", 0, LF_OPT_CHOICE, LF_RECOMPUTE_WORDS, &flags.recompute,
         "in training: what backward makes again, or keeps in host memory, to save the device's"},
        {"warmup", 0, LF_OPT_INT, "N", &flags.warmup, "batches before the clock", .hi = 1e6},
        {"iters", 0, LF_OPT_INT, "N", &flags.iters, "batches timed; their median counts", .lo = 1,
         .hi = 1e6},
        {"text", 0, LF_OPT_STR, "FILE", &flags.text, "of tokenize: what to tokenize"},
        {"json", 0, LF_OPT_FLAG, NULL, &flags.json, "a JSON object a case, one a line"},
        LF_OFFLINE_OPTION_QUANT(flags.o),
        LF_OFFLINE_OPTIONS_COMPUTE(flags.o),
        LF_CREW_OPTIONS(flags.seats),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs bench",
        "decode|prefill|train|step|tokenize (--base DIR|--shape NAME)",
        "Measures batches through a base and prints, beside each figure, the time that this device "
        "would need for the bytes and products alone: bytes at the rate of a copy, products at the "
        "rate of a dense product, both measured first. Token ids and adapters are random.\n\n"
        "decode: one more token of every sequence. prefill: whole prompts. train: forward and "
        "backward of a micro-batch. step: whole optimizer steps of one training, on all devices of "
        "--gpu or --seats. tokenize: a file's text to ids and back, on one thread. serve (see "
        "its own --help): a load on a server.",
        options,
        .args_min = 1,
        .args_max = 1,
        .examples = "  lorafs bench decode --base share/base --seqs 1,8,64 --adapters 8\n"
                    "  lorafs bench train --shape mistral-7b --batch 8x512 --device cuda\n"
                    "  lorafs bench step --shape mistral-7b --batch 16x512 --gpu 0,1"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    return bench_status(&usage, &flags, args.v[0]);
}
