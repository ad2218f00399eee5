/* The fused batch: which sequences are in it. */
#include "core/num.h"
#include "trainer/job.h"

#include <math.h>
#include <string.h>

/* ---- Rows ------------------------------------------------------------------------------------ */

static int64_t n_rows(const struct lf_job *j, bool eval)
{
    return eval ? lf_dataset_rows(j->eval) : j->plan.n;
}

void lf_job_row(const struct lf_job *j, bool eval, int64_t i, struct lf_row *out)
{
    lf_dataset_row(eval ? j->eval : j->train, eval ? i : j->plan.rows[i], out);
}

struct lf_row_group lf_job_group(const struct lf_job *j, bool eval, int64_t i)
{
    int64_t size = j->s.batch_size, first = i / size * size, left = n_rows(j, eval) - first;
    return (struct lf_row_group){first, (int)(left < size ? left : size)};
}

/* ---- Sequences ------------------------------------------------------------------------------- */

/* A row that is alone fits where the portion holds so many tokens at all. */
static bool fits(const struct lf_portion *p, int budget, int n, int tokens)
{
    int most = p->n == 0 || budget > p->tokens_max ? p->tokens_max : budget;
    return p->n + n <= p->seqs_max && p->n_tokens + tokens <= most;
}

/* The portion of the job's devices that has fewest tokens of those where so many fit, and in *slot
 * the job's there; NULL: there is none. */
static struct lf_portion *lightest(struct lf_job *j, int budget, int n, int tokens, int *slot)
{
    struct lf_portion *best = fits(&j->t->own, budget, n, tokens) ? &j->t->own : NULL;
    *slot = j->slot;
    for (int k = 0; k < j->n_replicas; k++) {
        struct lf_portion *p = &j->replica[k]->portion;
        int its = atomic_load(&j->replica[k]->budget);
        if (!fits(p, its > 0 ? lf_min_int(its, budget) : budget, n, tokens) ||
            (best && best->n_tokens <= p->n_tokens))
            continue;
        best = p;
        *slot = j->replica[k]->slot;
    }
    return best;
}

/* Puts sequences of one row into the batch, all on one device, or none; false where they do not fit
 * any more. */
static bool put(struct lf_trainer *t, int budget, const struct lf_piece *pieces,
                const struct lf_batch_seq *seqs, int n)
{
    int tokens = 0, slot;
    for (int k = 0; k < n; k++)
        tokens += seqs[k].n;
    struct lf_portion *p = lightest(pieces->job, budget, n, tokens, &slot);
    if (!p)
        return false;
    for (int k = 0; k < n; k++) {
        p->batch[p->n] = seqs[k];
        p->batch[p->n].slot = seqs[k].slot < 0 ? -1 : slot;
        p->at[p->n++] = t->n;
        t->pieces[t->n] = pieces[k];
        t->pieces[t->n++].n = seqs[k].n;
    }
    p->n_tokens += tokens;
    t->n_tokens += tokens;
    t->weighs = t->weighs || pieces->job->known;
    return true;
}

/* NEFTune's, of a text of n tokens. */
static float noise_of(const struct lf_job *j, int n)
{
    return (float)(j->s.neftune_alpha / sqrt((double)n * j->t->m->config.C));
}

/* Row i's own sequences: it alone, or the texts of a pair. */
static bool put_row(struct lf_trainer *t, int budget, struct lf_job *j, bool eval, int64_t i)
{
    struct lf_row row, texts[2];
    struct lf_piece pieces[2];
    struct lf_batch_seq seqs[2];
    const int32_t *prompt;
    lf_job_row(j, eval, i, &row);
    int n = lf_row_texts(&row, texts);
    for (int k = 0; k < n; k++) {
        pieces[k] = (struct lf_piece){
            .job = j, .eval = eval, .role = LF_TEXT_CHOSEN + k, .index = i, .weight = row.weight};
        seqs[k] = (struct lf_batch_seq){
            .ids = texts[k].ids, .n = texts[k].n, .slot = j->slot, .labels = texts[k].labels};
        if (eval)
            continue;
        uint64_t key = lf_plan_drop_key(&j->plan, (int)i);
        seqs[k].trains = true;
        seqs[k].loss_weight = (float)row.weight * j->plan.weight[lf_plan_micro(&j->plan, (int)i)];
        seqs[k].drop_p = (float)j->s.dropout;
        seqs[k].noise = noise_of(j, texts[k].n);
        seqs[k].drop_key = k == 0 ? key : lf_train_key(key, LF_FOR_DROPOUT, (uint64_t)k);
    }
    if (j->s.loss == LF_LOSS_ORPO) /* its labels begin with the prompt's second id */
        pieces[0].n_before =
            lf_dataset_prompt(eval ? j->eval : j->train, eval ? i : j->plan.rows[i], &prompt) - 1;
    return put(t, budget, pieces, seqs, n);
}

/* The row whose completion is put behind row i's prompt: the one before it in its group, or, where
 * it is alone there, its neighbour among all rows. */
static int64_t other_row(const struct lf_job *j, bool eval, int64_t i)
{
    struct lf_row_group g = lf_job_group(j, eval, i);
    int64_t all = lf_dataset_rows(eval ? j->eval : j->train);
    if (g.n == 1)
        return ((eval ? i : j->plan.rows[i]) + 1) % all;
    int64_t k = g.first + (i - g.first + g.n - 1) % g.n;
    return eval ? k : j->plan.rows[k];
}

/* Row i's prompt and another's completion, cut to what a row may have. */
static struct lf_batch_seq mixed(struct lf_trainer *t, const struct lf_job *j, bool eval, int64_t i)
{
    const struct lf_dataset *d = eval ? j->eval : j->train;
    const int32_t *prompt, *other_prompt;
    struct lf_row other;
    int64_t k = other_row(j, eval, i);
    int n = lf_dataset_prompt(d, eval ? i : j->plan.rows[i], &prompt);
    lf_dataset_row(d, k, &other);
    int begin = lf_dataset_prompt(d, k, &other_prompt) - 1;
    int most =
        lf_min_int(lf_min_int(j->s.max_length, t->m->rope_positions), t->own.tokens_max + 1) - n;
    int learnt = lf_max_int(lf_min_int(other.n - begin, most), 1);
    int32_t *ids = t->mixed + t->n_mixed, *labels = ids + t->mixed_max;
    memcpy(ids, prompt, (size_t)n * sizeof *ids);
    memcpy(ids + n, other.labels + begin, (size_t)(learnt - 1) * sizeof *ids);
    for (int at = 0; at < n - 1; at++)
        labels[at] = -1;
    memcpy(labels + n - 1, other.labels + begin, (size_t)learnt * sizeof *labels);
    return (struct lf_batch_seq){.ids = ids, .n = n + learnt - 1, .labels = labels};
}

/* A sequence that is run ahead for row i. */
static bool put_ahead(struct lf_trainer *t, int budget, struct lf_job *j, bool eval, int64_t i,
                      enum lf_text_role role)
{
    struct lf_row row, texts[2];
    struct lf_batch_seq seq;
    bool is_mixed = role == LF_TEXT_MIXED || role == LF_TEXT_BASE_MIXED;
    if (is_mixed) {
        seq = mixed(t, j, eval, i);
    } else {
        lf_job_row(j, eval, i, &row);
        lf_row_texts(&row, texts);
        const struct lf_row *text = &texts[role == LF_TEXT_BASE_REJECTED];
        seq = (struct lf_batch_seq){.ids = text->ids, .n = text->n, .labels = text->labels};
    }
    seq.slot = role == LF_TEXT_MIXED ? j->slot : -1;
    const struct lf_piece piece = {.job = j, .eval = eval, .role = role, .index = i};
    if (!put(t, budget, &piece, &seq, 1))
        return false;
    t->n_mixed += is_mixed ? seq.n : 0;
    return true;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

static struct lf_row_turn *turn_of(struct lf_job *j)
{
    return j->evaluation.running ? &j->evaluation.turn : &j->sums.turn;
}

/* It runs and has rows for a batch. */
static bool ready(struct lf_job *j)
{
    return j->now.state == LF_JOB_RUNNING && turn_of(j)->next < n_rows(j, j->evaluation.running);
}

/* Rows of one job: to the end of its micro-batch, or as many evaluation rows. False: the batch is
 * full. */
static bool take_turn(struct lf_trainer *t, int budget, struct lf_job *j)
{
    bool eval = j->evaluation.running;
    const enum lf_text_role *roles;
    struct lf_row_turn *turn = turn_of(j);
    struct lf_row_group g = lf_job_group(j, eval, turn->next);
    int n = lf_texts_ahead(j->s.loss, &roles);
    for (; turn->ahead < (int64_t)n * g.n; turn->ahead++)
        if (!put_ahead(t, budget, j, eval, g.first + turn->ahead / n, roles[turn->ahead % n]))
            return false;
    for (; turn->next < g.first + g.n; turn->next++)
        if (!put_row(t, budget, j, eval, turn->next))
            return false;
    turn->ahead = 0;
    return true;
}

static void empty_portion(struct lf_portion *p)
{
    p->n = p->n_tokens = 0;
    p->noted = true;
}

static void empty(struct lf_trainer *t)
{
    t->n = t->n_tokens = t->n_mixed = 0;
    t->weighs = false;
    empty_portion(&t->own);
    for (int i = 0; i < t->n_jobs; i++)
        for (int k = 0; k < t->jobs[i]->n_replicas; k++)
            empty_portion(&t->jobs[i]->replica[k]->portion);
}

/* Goes round the jobs, a micro-batch each, until the batch is full or nobody has rows. The first
 * that was ready and got nothing begins the next batch; where all got some, the next one does. */
void lf_trainer_form(struct lf_trainer *t, int budget)
{
    empty(t);
    bool full = false, got[LF_JOBS_FUSED_MAX] = {false};
    for (bool any = true; any && !full;) {
        any = false;
        for (int k = 0; k < t->n_jobs; k++) {
            int i = (t->turn + k) % t->n_jobs, before = t->n;
            if (!ready(t->jobs[i]))
                continue;
            full = !take_turn(t, budget, t->jobs[i]) || full;
            any = any || t->n > before;
            got[i] = got[i] || t->n > before;
        }
    }
    int first = t->turn;
    for (int k = 0; k < t->n_jobs; k++) {
        t->turn = (first + k) % t->n_jobs;
        if (ready(t->jobs[t->turn]) && !got[t->turn])
            return;
    }
    t->turn = t->n_jobs > 0 ? (first + 1) % t->n_jobs : 0;
}
