/* sample: the same ids as the definition, for every way of choosing; and by hand, what each of them
 * means. A choice hangs on comparisons of sums, so in the mass of random rows a few may fall
 * differently where fp32 rounds; the rows chosen by hand may not. */
#include "tests/ops/rig.h"

#include <math.h>

static const struct rig_limits EXACT = {{0, 0}, {0, 0}};
static const struct rig_limits LOGPROB = {.f32 = {1e-10, 1e-4}, .bf16 = {1e-10, 1e-4}};
static const struct rig_limits ANY = {{INFINITY, INFINITY}, {INFINITY, INFINITY}};

#define HISTORY 40
#define BIASES 8
#define TOP 20
#define MASKS 6

struct sample_case {
    int M, V;
    struct lf_sample_params *h_params;
    struct mirror *ids, *logprob, *logits, *params, *history, *bias, *masks, *given, *top_ids;
    struct mirror *top_logprob;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct sample_case *c = arg;
    struct lf_sample_args a = {.ids = rig_at(c->ids, side),
                               .logprob = rig_at(c->logprob, side),
                               .top_ids = rig_at(c->top_ids, side),
                               .top_logprob = rig_at(c->top_logprob, side),
                               .top_ld = TOP,
                               .given = rig_at(c->given, side),
                               .bias = rig_at(c->bias, side),
                               .masks = rig_at(c->masks, side),
                               .logits = rig_at(c->logits, side),
                               .params = rig_at(c->params, side),
                               .h_params = c->h_params,
                               .history = rig_at(c->history, side),
                               .M = c->M,
                               .V = c->V};
    r->stream[side]->ops->sample(r->stream[side], &a);
}

static struct lf_sample_params plain(void)
{
    return (struct lf_sample_params){.temperature = 1, .top_p = 1, .repetition_penalty = 1};
}

/* ---- Random rows ---- */

static struct lf_sample_params random_params(struct rig *r, int m)
{
    struct lf_sample_params p = plain();
    uint32_t bits = rig_u32(r);
    p.temperature = bits & 1 ? (float)(0.2 + 1.5 * rig_unit(r)) : bits & 2 ? 1 : 0;
    p.top_k = bits & 4 ? rig_int(r, 1, 50) : 0;
    p.top_p = bits & 8 ? (float)(0.05 + 0.94 * rig_unit(r)) : 1;
    p.min_p = bits & 16 ? (float)(0.2 * rig_unit(r)) : 0;
    p.repetition_penalty = bits & 32 ? (float)(1 + rig_unit(r)) : 1;
    p.frequency_penalty = bits & 64 ? (float)(2 * rig_unit(r)) : 0;
    p.presence_penalty = bits & 128 ? (float)(rig_unit(r) - 0.5) : 0;
    p.history_off = m * HISTORY;
    p.history_n = rig_int(r, 0, HISTORY);
    p.completion_n = rig_int(r, 0, p.history_n);
    p.bias_off = m * BIASES;
    p.bias_n = bits & 256 ? rig_int(r, 0, BIASES) : 0;
    p.top_n = bits & 512 ? rig_int(r, 0, TOP) : 0;
    p.mask = bits & 1024 ? rig_int(r, 1, MASKS) : 0;
    p.seed = (uint64_t)rig_u32(r) << 32 | rig_u32(r);
    p.counter = rig_u32(r) % 1000;
    return p;
}

/* From nearly all ids to nearly none, but one that all have. */
static void random_masks(struct rig *r, struct sample_case *c)
{
    size_t words = ((size_t)c->V + 31) / 32;
    uint32_t *masks = rig_host(r, MASKS * words, sizeof *masks);
    int common = rig_int(r, 0, c->V - 1);
    for (size_t i = 0; i < MASKS * words; i++) {
        masks[i] = rig_u32(r);
        for (size_t k = 0; k < i / words; k++)
            masks[i] &= rig_u32(r);
    }
    for (size_t i = 0; i < words; i++)
        masks[i] = ~masks[i];
    for (size_t i = 0; i < MASKS; i++)
        masks[i * words + (size_t)common / 32] |= 1u << (common % 32);
    c->masks = rig_bytes(r, "masks", LF_I32, masks, masks, MASKS * words);
}

static struct sample_case random_rows(struct rig *r, int M, int V, double scale)
{
    struct sample_case c = {.M = M, .V = V};
    rig_begin(r, "M %d V %d scale %g", M, V, scale);
    c.h_params = rig_host(r, (size_t)M, sizeof *c.h_params);
    int32_t *history = rig_host(r, (size_t)(M * HISTORY), sizeof *history);
    for (int m = 0; m < M; m++)
        c.h_params[m] = random_params(r, m);
    for (int i = 0; i < M * HISTORY; i++) /* repeats are common */
        history[i] = rig_int(r, 0, i % 3 ? V - 1 : V / 50);
    c.history = rig_bytes(r, "history", LF_I32, history, history, (size_t)(M * HISTORY));
    struct lf_logit_bias *bias = rig_host(r, (size_t)(M * BIASES), sizeof *bias);
    int32_t *given = rig_host(r, (size_t)M, sizeof *given);
    for (int i = 0; i < M * BIASES; i++) { /* a row's ids differ, by their remainders */
        int k = i % BIASES, more = (V - 1 - k) / BIASES;
        bias[i].id = k < V ? k + BIASES * rig_int(r, 0, more) : 0;
        bias[i].add = (float)(4 * rig_normal(r));
    }
    for (int m = 0; m < M; m++)
        given[m] = rig_int(r, 0, 3) ? -1 : rig_int(r, 0, V - 1);
    for (int m = 0; m < M && V < BIASES; m++)
        c.h_params[m].bias_n = rig_int(r, 0, V);
    c.bias = rig_bytes(r, "bias", LF_U8, bias, bias, (size_t)(M * BIASES) * sizeof *bias);
    c.given = rig_bytes(r, "given", LF_I32, given, given, (size_t)M);
    c.params =
        rig_bytes(r, "params", LF_U8, c.h_params, c.h_params, (size_t)M * sizeof *c.h_params);
    random_masks(r, &c);
    c.logits = rig_inout_f32(r, "logits", (size_t)M * (size_t)V, scale, ANY);
    c.logits->scratch = true;
    return c;
}

static void chooses_what_the_definition_chooses(void **state)
{
    struct rig *r = *state;
    static const int shapes[][2] = {{1, 7},      {5, 300},   {64, 4096},
                                    {200, 1000}, {3, 32000}, {2, 128256}};
    int rows = 0, others = 0;
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        struct sample_case c =
            random_rows(r, shapes[i / 2][0], shapes[i / 2][1], i % 2 ? 1.0 : 5.0);
        c.ids = rig_out(r, "ids", LF_I32, (size_t)c.M, ANY);
        c.logprob = rig_out(r, "logprob", LF_F32, (size_t)c.M, ANY);
        c.top_ids = rig_out(r, "top ids", LF_I32, (size_t)(c.M * TOP), EXACT);
        c.top_logprob = rig_out(r, "top logprob", LF_F32, (size_t)(c.M * TOP), LOGPROB);
        c.top_logprob->floor = 1; /* a logit less another number of its size: near 0 both cancel */
        rig_run(r, launch, &c);
        for (int m = 0; m < c.M; m++) {
            double error = fabs(rig_got(c.logprob, RIG_DUT, (size_t)m) -
                                rig_got(c.logprob, RIG_REF, (size_t)m));
            if (rig_got(c.ids, RIG_DUT, (size_t)m) != rig_got(c.ids, RIG_REF, (size_t)m))
                others++;
            else if (!(error < 2e-4))
                fail_msg("%s: row %d: log probability off by %g", r->label, m, error);
        }
        rows += c.M;
    }
    if (others > rows / 100)
        fail_msg("%d of %d rows chose another id", others, rows);
}

/* ---- Rows by hand ---- */

#define V_HAND 12

/* Chooses with many seeds from one row of logits; counts what came out. */
static void count_choices(struct rig *r, int *counts, const float *logits,
                          struct lf_sample_params p, const int32_t *history, int rows)
{
    struct sample_case c = {.M = rows, .V = V_HAND};
    float *all = rig_host(r, (size_t)(rows * V_HAND), sizeof *all);
    c.h_params = rig_host(r, (size_t)rows, sizeof *c.h_params);
    for (int m = 0; m < rows; m++) {
        c.h_params[m] = p;
        c.h_params[m].counter = (uint64_t)m;
        for (int v = 0; v < V_HAND; v++)
            all[m * V_HAND + v] = logits[v];
    }
    c.params =
        rig_bytes(r, "params", LF_U8, c.h_params, c.h_params, (size_t)rows * sizeof *c.h_params);
    c.history = rig_bytes(r, "history", LF_I32, history, history, (size_t)p.history_n);
    c.logits = rig_bytes(r, "logits", LF_F32, all, all, (size_t)(rows * V_HAND));
    c.logits->output = c.logits->scratch = true;
    c.ids = rig_out(r, "ids", LF_I32, (size_t)rows, EXACT);
    c.logprob = rig_out(r, "logprob", LF_F32, (size_t)rows, LOGPROB);
    rig_run(r, launch, &c);
    for (int v = 0; v < V_HAND; v++)
        counts[v] = 0;
    for (int m = 0; m < rows; m++) {
        int id = (int)rig_got(c.ids, RIG_DUT, (size_t)m);
        assert_true(id >= 0 && id < V_HAND);
        counts[id]++;
    }
}

static void lists_the_likeliest_before_biases_and_penalties(void **state)
{
    struct rig *r = *state;
    /* Ties by the lowest id; what is -INFINITY is not listed. */
    static const float logits[V_HAND] = {1, 3, 3, -INFINITY, 2, 0, 5, -INFINITY, 3, -1, -2, -3};
    static const int32_t order[V_HAND] = {6, 1, 2, 8, 4, 0, 5, 9, 10, 11, -1, -1};
    static const struct lf_logit_bias bias[] = {{6, -9}, {11, 40}};
    static const int32_t history[] = {6, 1}, given[] = {-1, 8};
    struct sample_case c = {.M = 2, .V = V_HAND};
    float all[2 * V_HAND];
    double lse = 0;
    rig_begin(r, "the likeliest");
    c.h_params = rig_host(r, 2, sizeof *c.h_params);
    for (int m = 0; m < 2; m++) {
        c.h_params[m] = (struct lf_sample_params){.top_p = 1,
                                                  .repetition_penalty = 3,
                                                  .history_n = 2,
                                                  .completion_n = 2,
                                                  .presence_penalty = 1,
                                                  .bias_n = 2,
                                                  .top_n = V_HAND};
        for (int v = 0; v < V_HAND; v++)
            all[m * V_HAND + v] = logits[v];
    }
    for (int v = 0; v < V_HAND; v++)
        lse += exp((double)logits[v]);
    lse = log(lse);
    c.params = rig_bytes(r, "params", LF_U8, c.h_params, c.h_params, 2 * sizeof *c.h_params);
    c.history = rig_bytes(r, "history", LF_I32, history, history, 2);
    c.bias = rig_bytes(r, "bias", LF_U8, bias, bias, sizeof bias);
    c.given = rig_bytes(r, "given", LF_I32, given, given, 2);
    c.logits = rig_bytes(r, "logits", LF_F32, all, all, (size_t)(2 * V_HAND));
    c.logits->output = c.logits->scratch = true;
    c.ids = rig_out(r, "ids", LF_I32, 2, EXACT);
    c.logprob = rig_out(r, "logprob", LF_F32, 2, LOGPROB);
    c.top_ids = rig_out(r, "top ids", LF_I32, (size_t)(2 * TOP), EXACT);
    c.top_logprob = rig_out(r, "top logprob", LF_F32, (size_t)(2 * TOP), ANY);
    rig_run(r, launch, &c);
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i < V_HAND; i++) {
            double got = rig_got(c.top_logprob, RIG_DUT, m * TOP + i);
            assert_int_equal((int)rig_got(c.top_ids, RIG_DUT, m * TOP + i), order[i]);
            assert_true(order[i] < 0 ? isinf(got) : fabs(got - (logits[order[i]] - lse)) < 1e-4);
        }
    assert_int_equal((int)rig_got(c.ids, RIG_DUT, 0), 11); /* by its bias */
    assert_int_equal((int)rig_got(c.ids, RIG_DUT, 1), 8);
    assert_true(fabs(rig_got(c.logprob, RIG_DUT, 0) - (-3 - lse)) < 1e-4);
    assert_true(fabs(rig_got(c.logprob, RIG_DUT, 1) - (3 - lse)) < 1e-4);
}

struct hand_case {
    const char *what;
    struct lf_sample_params p;
    unsigned may; /* bit v: id v may be chosen */
    int32_t history[4];
};

static void each_setting_means_what_it_says(void **state)
{
    struct rig *r = *state;
    /* Probabilities of ids 0..5 before any setting: .4 .2 .2 .1 .06 .04; others next to none. */
    static const float logits[V_HAND] = {-0.91629073f, -1.6094379f, -1.6094379f, -2.3025851f,
                                         -2.8134107f,  -3.2188758f, -60,         -60,
                                         -60,          -60,         -60,         -60};
#define PARAMS .temperature = 1, .top_p = 1, .repetition_penalty = 1
    static struct hand_case cases[] = {
        {"plain", {PARAMS}, 0x3F, {0}},
        {"greedy", {.temperature = 0, .top_p = 1, .repetition_penalty = 1}, 0x01, {0}},
        {"top-k 1", {PARAMS, .top_k = 1}, 0x01, {0}},
        {"top-k 2 keeps the tie", {PARAMS, .top_k = 2}, 0x07, {0}},
        {"top-k 4", {PARAMS, .top_k = 4}, 0x0F, {0}},
        {"min-p", {PARAMS, .min_p = 0.3f}, 0x07, {0}},
        {"cold", {.temperature = 0.01f, .top_p = 1, .repetition_penalty = 1}, 0x01, {0}},
        {"frequency twice",
         {PARAMS, .frequency_penalty = 40, .history_n = 3, .completion_n = 2},
         0x3C,
         {5, 0, 1}},
        {"presence",
         {PARAMS, .presence_penalty = 80, .history_n = 3, .completion_n = 3},
         0x1E,
         {0, 0, 5}},
        {"presence counts once",
         {.temperature = 0,
          .top_p = 1,
          .repetition_penalty = 1,
          .presence_penalty = 0.5f,
          .history_n = 3,
          .completion_n = 3},
         0x01,
         {0, 0, 0}},
        {"frequency counts each",
         {.temperature = 0,
          .top_p = 1,
          .repetition_penalty = 1,
          .frequency_penalty = 0.5f,
          .history_n = 3,
          .completion_n = 3},
         0x02,
         {0, 0, 0}},
        {"repetition counts once",
         {.temperature = 0, .top_p = 1, .repetition_penalty = 1.5f, .history_n = 3},
         0x01,
         {0, 0, 0}},
        {"repetition counts the prompt",
         {.temperature = 0, .top_p = 1, .repetition_penalty = 30, .history_n = 2},
         0x04,
         {0, 1}},
    };
#undef PARAMS
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int counts[V_HAND];
        rig_begin(r, "%s", cases[i].what);
        cases[i].p.seed = rig_u32(r);
        count_choices(r, counts, logits, cases[i].p, cases[i].history, 400);
        for (int v = 0; v < V_HAND; v++)
            if ((counts[v] > 0) != (cases[i].may >> v & 1))
                fail_msg("%s: id %d was chosen %d times", cases[i].what, v, counts[v]);
    }
}

static void top_p_keeps_ids_until_their_betters_suffice(void **state)
{
    struct rig *r = *state;
    static const float logits[V_HAND] = {-0.91629073f, -1.6094379f, -1.6094379f, -2.3025851f,
                                         -2.8134107f,  -3.2188758f, -60,         -60,
                                         -60,          -60,         -60,         -60};
    static const struct {
        float top_p;
        unsigned may;
    } cases[] = {{0.3f, 0x01},  {0.45f, 0x07}, {0.7f, 0x07},
                 {0.85f, 0x0F}, {0.95f, 0x1F}, {0.99f, 0x3F}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lf_sample_params p = plain();
        int counts[V_HAND];
        rig_begin(r, "top-p %g", (double)cases[i].top_p);
        p.top_p = cases[i].top_p;
        p.seed = rig_u32(r);
        count_choices(r, counts, logits, p, NULL, 400);
        for (int v = 0; v < V_HAND; v++)
            if ((counts[v] > 0) != (cases[i].may >> v & 1))
                fail_msg("top-p %g: id %d was chosen %d times", (double)cases[i].top_p, v,
                         counts[v]);
    }
}

static void draws_follow_the_probabilities(void **state)
{
    struct rig *r = *state;
    static const double share[6] = {.4, .2, .2, .1, .06, .04};
    enum { ROWS = 20000 };
    float logits[V_HAND];
    int counts[V_HAND];
    for (int v = 0; v < V_HAND; v++)
        logits[v] = v < 6 ? (float)log(share[v]) : -60;
    struct lf_sample_params p = plain();
    rig_begin(r, "draws");
    p.seed = rig_u32(r);
    count_choices(r, counts, logits, p, NULL, ROWS);
    for (int v = 0; v < 6; v++) { /* six standard deviations */
        double deviation = sqrt(ROWS * share[v] * (1 - share[v]));
        assert_true(fabs(counts[v] - ROWS * share[v]) < 6 * deviation);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses_what_the_definition_chooses),
        cmocka_unit_test(lists_the_likeliest_before_biases_and_penalties),
        cmocka_unit_test(each_setting_means_what_it_says),
        cmocka_unit_test(top_p_keeps_ids_until_their_betters_suffice),
        cmocka_unit_test(draws_follow_the_probabilities),
    };
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
