/* A device's portion of the fused batch. */
#include "core/lock.h"
#include "trainer/job.h"

#include <stdlib.h>

enum lf_err lf_portion_init(struct lf_portion *p, struct lf_exec *x, struct lf_slots *slots,
                            int tokens_max, struct lf_diag *diag)
{
    const struct lf_exec_limits *limits = lf_exec_limits(x);
    *p = (struct lf_portion){.x = x, .stream = lf_exec_stream(x), .slots = slots};
    if (limits->train_tokens_max < 1)
        return lf_fail(diag, LF_E_INVALID, "this exec has no room for training");
    p->tokens_max = limits->train_tokens_max;
    if (tokens_max > 0 && tokens_max < p->tokens_max)
        p->tokens_max = tokens_max;
    p->seqs_max = limits->seqs_max;
    size_t n = (size_t)p->seqs_max;
    p->batch = calloc(n, sizeof *p->batch);
    p->results = calloc(n, sizeof *p->results);
    p->at = calloc(n, sizeof *p->at);
    return p->batch && p->results && p->at ? LF_OK : lf_no_memory(diag, "a batch");
}

void lf_portion_deinit(struct lf_portion *p)
{
    free(p->batch);
    free(p->results);
    free(p->at);
}

void lf_portion_noted(struct lf_portion *p)
{
    struct lf_trainer *t = p->t;
    if (!t)
        return;
    lf_lock_auto held = lf_lock(&t->weigh_lock);
    t->weighing -= !p->noted;
    p->noted = true;
    pthread_cond_broadcast(&t->weigh_all);
}

enum lf_err lf_portion_load(struct lf_portion *p, int *slot, const struct lf_job *j,
                            struct lf_diag *diag)
{
    const struct lf_checkpoint *c = &j->found;
    enum lf_err rc =
        lf_slots_load(p->slots, p->stream, slot, j->adapter, lf_train_slot_use(&j->s), diag);
    if (rc != LF_OK)
        return rc;
    if (c->data)
        lf_stream_upload(p->stream, p->slots->slot[*slot].moments, lf_checkpoint_moments(c),
                         c->moments_bytes);
    lf_exec_dora(p->x, *slot);
    return LF_OK;
}

enum lf_err lf_trainer_make_room(struct lf_trainer *t, const struct lf_job *j, struct lf_diag *diag)
{
    int seqs = t->own.seqs_max, tokens = 2 * t->own.tokens_max;
    for (int i = 0; i <= t->n_jobs; i++) {
        const struct lf_job *of = i < t->n_jobs ? t->jobs[i] : j;
        for (int k = 0; of && k < of->n_replicas; k++) {
            seqs += of->replica[k]->portion.seqs_max;
            tokens += of->replica[k]->portion.tokens_max;
        }
    }
    if (seqs > t->pieces_max) {
        struct lf_piece *pieces = calloc((size_t)seqs, sizeof *pieces);
        if (!pieces)
            return lf_no_memory(diag, "a batch");
        free(t->pieces);
        t->pieces = pieces;
        t->pieces_max = seqs;
    }
    if (tokens > t->mixed_max) {
        int32_t *mixed = malloc(2 * (size_t)tokens * sizeof *mixed);
        if (!mixed)
            return lf_no_memory(diag, "a batch");
        free(t->mixed);
        t->mixed = mixed;
        t->mixed_max = tokens;
    }
    return LF_OK;
}
