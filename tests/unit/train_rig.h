/* What the trainer's tests share: a tiny base, rows made up from a seed, jobs run to their ends. */
#ifndef LF_TESTS_TRAIN_RIG_H
#define LF_TESTS_TRAIN_RIG_H

#include "tests/lib/tiny.h"

#include "core/file.h"
#include "core/limits.h"
#include "core/rng.h"
#include "trainer/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct lf_exec_limits rig_limits = {
    .tokens_max = 256, .train_tokens_max = 256, .seqs_max = 64, .rows_max = 64, .rank_max = 16};

/* What a job's events said. */
struct heard {
    int starts, micros, steps, evals, checkpoints, pauses, resumes, ends;
    double micro_loss, loss, norm, eval_loss; /* the last of each */
    double lr_sum;
    enum lf_job_state state;
    char reason[LF_DIAG_MAX], trouble[LF_DIAG_MAX]; /* of END; of a CHECKPOINT */
    int64_t checkpoint_step;
};

static inline void hear(void *arg, const struct lf_train_event *e)
{
    struct heard *h = arg;
    switch (e->kind) {
    case LF_TRAIN_STARTED:
        h->starts++;
        break;
    case LF_TRAIN_PAUSED:
        h->pauses++;
        break;
    case LF_TRAIN_RESUMED:
        h->resumes++;
        break;
    case LF_TRAIN_MICRO:
        h->micros++;
        h->micro_loss = e->micro_loss;
        break;
    case LF_TRAIN_STEP:
        h->steps++;
        h->loss = e->loss;
        h->norm = e->grad_norm;
        h->lr_sum += e->learning_rate;
        break;
    case LF_TRAIN_STARTING:
    case LF_TRAIN_WARNING:
        break;
    case LF_TRAIN_EVAL:
        h->evals++;
        h->eval_loss = e->progress.eval_loss;
        break;
    case LF_TRAIN_CHECKPOINT:
        h->checkpoints += !e->reason;
        h->checkpoint_step = e->step;
        snprintf(h->trouble, sizeof h->trouble, "%s", e->reason ? e->reason : "");
        break;
    case LF_TRAIN_END:
        h->ends++;
        h->state = e->progress.state;
        snprintf(h->reason, sizeof h->reason, "%s", e->reason ? e->reason : "");
        break;
    }
}

/* Id k of a row: an arithmetic run. */
static inline int rig_id(uint32_t first, int k)
{
    return (int)((first % 100 + 7u * (unsigned)k) % 500) + 2;
}

/* n rows of 4 to 19 ids, the first half of each a prompt. */
static inline struct lf_dataset *rows_made(const struct tiny *t, const struct lf_train_settings *s,
                                           int n, uint64_t seed)
{
    struct lf_buf text;
    struct lf_diag diag = {""};
    struct lf_dataset *d;
    char path[64];
    lf_buf_init(&text, 0);
    for (int i = 0; i < n; i++) {
        struct lf_u32x4 r = lf_rng4(seed, (uint64_t)i, 0);
        int length = 4 + (int)(r.v[0] % 16);
        lf_buf_puts(&text, "{\"input_ids\": [");
        for (int k = 0; k < length; k++)
            lf_buf_printf(&text, "%s%d", k ? ", " : "", rig_id(r.v[1], k));
        lf_buf_puts(&text, "], \"labels\": [");
        for (int k = 0; k < length; k++)
            lf_buf_printf(&text, "%s%d", k ? ", " : "", k < length / 2 ? -100 : rig_id(r.v[1], k));
        lf_buf_puts(&text, "]}\n");
    }
    snprintf(path, sizeof path, "train_rig.%d.jsonl", (int)getpid());
    must(lf_file_write(path, text.data, text.len, &diag), &diag);
    must(lf_dataset_load(&d, path, t->model, s, false, NULL, &diag), &diag);
    unlink(path);
    lf_buf_free(&text);
    return d;
}

static inline void put_run(struct lf_buf *out, const char *key, uint32_t first, int n)
{
    lf_buf_printf(out, "\"%s\": [", key);
    for (int k = 0; k < n; k++)
        lf_buf_printf(out, "%s%d", k ? ", " : "", rig_id(first, k));
    lf_buf_puts(out, "]");
}

/* 30 pairs: what goes on like the prompt is preferred to something else. spread: of the lengths. */
static inline struct lf_dataset *pairs_made(const struct tiny *t, const struct lf_train_settings *s,
                                            uint32_t spread)
{
    lf_buf_auto text = {0};
    struct lf_diag diag = {""};
    struct lf_dataset *d;
    char path[64];
    for (int i = 0; i < 30; i++) {
        struct lf_u32x4 r = lf_rng4(3, (uint64_t)i, 0);
        lf_buf_puts(&text, "{");
        put_run(&text, "prompt_ids", r.v[1], 3 + (int)(r.v[0] % spread));
        lf_buf_puts(&text, ", ");
        put_run(&text, "chosen_ids", r.v[1] + 40, 2 + (int)(r.v[2] % spread));
        lf_buf_puts(&text, ", ");
        put_run(&text, "rejected_ids", r.v[3] + 7, 2 + (int)(r.v[3] % spread));
        lf_buf_puts(&text, "}\n");
    }
    snprintf(path, sizeof path, "train_rig_pairs.%d.jsonl", (int)getpid());
    must(lf_file_write(path, text.data, text.len, &diag), &diag);
    must(lf_dataset_load(&d, path, t->model, s, false, NULL, &diag), &diag);
    unlink(path);
    return d;
}

/* 12 steps of 4 rows, dropout and all. */
static inline struct lf_train_settings rig_settings(void)
{
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    s.rank = 4;
    s.alpha = 8;
    s.dropout = 0.1;
    s.batch_size = 4;
    s.steps = 12;
    s.learning_rate = 5e-3;
    return s;
}

static inline struct lf_trainer *trainer_open(struct tiny *t)
{
    struct lf_diag diag = {""};
    struct lf_trainer *trainer;
    must(lf_trainer_new(&trainer, t->exec, t->stream, t->model, t->slots, 0, &diag), &diag);
    return trainer;
}

static inline struct lf_job *job_add(struct lf_trainer *trainer, struct tiny *t,
                                     const struct lf_train_settings *s, uint64_t rows_seed,
                                     struct heard *h)
{
    struct lf_diag diag = {""};
    struct lf_job *j;
    struct lf_job_spec spec = {.settings = s,
                               .train = rows_made(t, s, 30, rows_seed),
                               .event = h ? hear : NULL,
                               .event_arg = h};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    return j;
}

static inline void run_to_end(struct lf_trainer *trainer, int budget)
{
    struct lf_diag diag = {""};
    for (int active = 1, i = 0; active > 0; i++) {
        must(lf_trainer_step(trainer, budget, &active, &diag), &diag);
        assert_true(i < 100000);
    }
}

/* The job's parameters as they are; free(). */
static inline float *params_of(struct lf_job *j, size_t *n)
{
    struct lf_diag diag = {""};
    const struct lf_adapter *a;
    must(lf_job_adapter(j, &a, &diag), &diag);
    float *p = malloc(a->shape.n_params * sizeof *p);
    assert_non_null(p);
    memcpy(p, a->params, a->shape.n_params * sizeof *p);
    *n = a->shape.n_params;
    return p;
}

/* |a - b| / |b|, Frobenius. */
static inline double distance(const float *a, const float *b, size_t n)
{
    double d = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return sqrt(d / norm);
}

/* The parameters after a run alone; free(). */
static inline float *trained_alone(struct tiny *t, const struct lf_train_settings *s,
                                   uint64_t rows_seed, int budget, size_t *n)
{
    struct lf_trainer *trainer = trainer_open(t);
    struct lf_job *j = job_add(trainer, t, s, rows_seed, NULL);
    run_to_end(trainer, budget);
    float *p = params_of(j, n);
    lf_trainer_free(trainer);
    return p;
}

#endif
