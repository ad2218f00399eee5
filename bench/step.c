/* Whole steps of one job, by the trainer, on one device or several. */
#include "bench/bench.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/rng.h"

#include <stdlib.h>
#include <unistd.h>

#define LOSS_ROWS 512 /* logits held at once */

struct stepping {
    const struct lf_bench_case *b;
    struct lf_crew *crew;
    struct lf_slots *slots;
    struct lf_exec *x;
    double *seconds; /* (iters) */
    uint64_t last_ns;
    int done; /* steps */
    double loss;
};

static void on_event(void *arg, const struct lf_train_event *e)
{
    struct stepping *s = arg;
    if (e->kind != LF_TRAIN_STEP)
        return;
    uint64_t now = lf_clock_ns();
    if (s->done >= s->b->warmup)
        s->seconds[s->done - s->b->warmup] = (double)(now - s->last_ns) * 1e-9;
    s->last_ns = now;
    s->loss = e->loss;
    s->done++;
}

/* Rows of so many ids that are random, each learnt. */
static enum lf_err make_rows(struct lf_dataset **out, const struct stepping *s,
                             const struct lf_train_settings *settings, struct lf_diag *diag)
{
    const struct lf_model *m = s->crew->first->model;
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    for (int i = 0; i < s->b->seqs; i++) {
        lf_buf_puts(&text, "{\"input_ids\": [");
        for (int k = 0; k <= s->b->tokens; k++) {
            uint64_t at = (uint64_t)i << 32 | (uint64_t)k;
            lf_buf_printf(&text, "%s%u", k ? ", " : "",
                          lf_rng_u32(3, at, 0) % (uint32_t)m->config.V);
        }
        lf_buf_puts(&text, "]}\n");
    }
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/lorafs-bench.%d.jsonl", tmp ? tmp : "/tmp", (int)getpid());
    enum lf_err rc = lf_file_write(path, text.data, text.len, diag);
    rc = rc ?: lf_dataset_load(out, path, m, settings, false, NULL, diag);
    unlink(path);
    return rc;
}

static enum lf_err make_settings(struct lf_train_settings *out, const struct lf_bench_case *b,
                                 struct lf_diag *diag)
{
    json_auto_t *j = json_pack("{s:i, s:f, s:f, s:s, s:i, s:i, s:i}", "rank", b->lora.rank, "alpha",
                               b->lora.alpha, "dropout", b->lora.dropout, "target_modules",
                               b->lora.target_modules, "batch_size", b->seqs, "steps",
                               b->warmup + b->iters, "max_length", b->tokens + 1);
    return j ? lf_train_settings_parse(out, j, diag) : lf_no_memory(diag, "settings");
}

static enum lf_err make_execs(struct stepping *s, struct lf_diag *diag)
{
    struct lf_offline *c = s->crew->first;
    int each = (s->b->seqs + s->crew->n - 1) / s->crew->n, tokens = each * s->b->tokens;
    const struct lf_exec_limits limits = {.tokens_max = tokens,
                                          .train_tokens_max = tokens,
                                          .seqs_max = s->b->seqs,
                                          .rows_max = tokens < LOSS_ROWS ? tokens : LOSS_ROWS,
                                          .rank_max = s->b->lora.rank,
                                          .recompute = s->b->recompute,
                                          .host_bytes = SIZE_MAX};
    enum lf_err rc = lf_slots_new(&s->slots, c->dev, &c->model->config, 1, diag);
    rc = rc ?: lf_exec_new(&s->x, c->stream, c->model, s->slots, &limits, diag);
    rc = rc ?: lf_exec_host_take(s->x, c->model->config.L, diag);
    return rc ?: lf_crew_start(s->crew, &limits, diag);
}

static enum lf_err train(struct stepping *s, const struct lf_train_settings *settings,
                         struct lf_diag *diag)
{
    struct lf_offline *c = s->crew->first;
    struct lf_trainer *t = NULL;
    struct lf_job *j;
    struct lf_diag why;
    struct lf_progress p;
    struct lf_job_spec spec = {.settings = settings, .event = on_event, .event_arg = s};
    enum lf_err rc = make_rows(&spec.train, s, settings, diag);
    rc = rc ?: lf_trainer_new(&t, s->x, c->stream, c->model, s->slots, 0, diag);
    if (rc != LF_OK) {
        lf_dataset_free(spec.train);
        return rc;
    }
    lf_crew_give(s->crew, &spec);
    rc = lf_trainer_add(t, &spec, &j, diag);
    s->last_ns = lf_clock_ns();
    for (int active = rc == LF_OK; active > 0 && rc == LF_OK;)
        rc = lf_trainer_step(t, 0, &active, diag);
    if (rc == LF_OK) {
        lf_job_progress(j, &p, &why);
        if (p.state != LF_JOB_DONE)
            rc = lf_fail(diag, LF_E_INVALID, "%s", why.text);
    }
    lf_trainer_free(t);
    return rc;
}

enum lf_err lf_bench_step(struct lf_bench_result *out, struct lf_crew *crew,
                          const struct lf_bench_case *b, struct lf_diag *diag)
{
    struct stepping s = {.b = b, .crew = crew};
    struct lf_train_settings settings;
    struct lf_device_info info;
    struct lf_exec_memory memory;
    lf_train_settings_default(&settings);
    s.seconds = calloc((size_t)b->iters, sizeof *s.seconds);
    enum lf_err rc = s.seconds ? LF_OK : lf_no_memory(diag, "a benchmark");
    rc = rc ?: make_settings(&settings, b, diag);
    rc = rc ?: make_execs(&s, diag);
    rc = rc ?: train(&s, &settings, diag);
    if (rc == LF_OK) {
        double seconds = lf_bench_median(s.seconds, b->iters);
        lf_device_info(crew->first->dev, &info);
        lf_exec_memory(s.x, &memory);
        *out = (struct lf_bench_result){.seconds = seconds,
                                        .tokens_per_second = b->seqs * b->tokens / seconds,
                                        .recomputed = lf_exec_recomputes(s.x) != LF_RECOMPUTE_NONE,
                                        .memory_bytes = info.memory_peak,
                                        .host_bytes = memory.host,
                                        .loss = s.loss};
    }
    lf_crew_stop(crew);
    lf_exec_free(s.x);
    lf_slots_free(s.slots);
    lf_train_settings_free(&settings);
    free(s.seconds);
    return rc;
}
