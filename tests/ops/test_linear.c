/* linear and linear_bwd: every kind of weight, one to three of them, few and many tokens. */
#include "tests/ops/rig.h"

static const struct rig_limits LIMITS = {.f32 = {1e-11, 3e-5}, .bf16 = {3e-5, 3e-2}};

struct shape {
    int n, N[LF_GROUP_MAX], K;
    enum lf_weight_kind kind;
    bool bias, plain; /* plain: not nested */
    int block;
};

struct linear_case {
    struct shape s;
    int T, ldx, ldy;
    bool accumulate, y_f32;
    int ldcopy;
    struct mirror *copy; /* the weights unpacked before each call, or NULL */
    int col[LF_GROUP_MAX];
    struct lf_weight *w[LF_GROUP_MAX];
    struct mirror *x, *y;
};

static const struct shape shapes[] = {
    {1, {384}, 384, LF_WEIGHT_Q4, .block = 64},
    {3, {192, 64, 64}, 384, LF_WEIGHT_Q4, .block = 64},
    {2, {256, 256}, 192, LF_WEIGHT_Q4, .block = 64},
    {1, {96}, 1024, LF_WEIGHT_Q4, .block = 64},
    {1, {77}, 64, LF_WEIGHT_Q4, .bias = true, .plain = true, .block = 64},
    {1, {50}, 160, LF_WEIGHT_Q4, .block = 32},
    {1, {33}, 96, LF_WEIGHT_Q4, .bias = true, .block = 64},
    {2, {24, 40}, 200, LF_WEIGHT_Q4, .plain = true, .block = 64},
    {1, {130}, 512, LF_WEIGHT_Q4, .block = 128},
    {1, {17}, 5504, LF_WEIGHT_Q4, .block = 64},
    {3, {256, 64, 64}, 512, LF_WEIGHT_Q4, .block = 64},
    {2, {160, 192}, 1280, LF_WEIGHT_Q4, .block = 64},
    {2, {48, 16}, 256, LF_WEIGHT_Q4, .bias = true, .block = 64},
    {1, {64}, 768, LF_WEIGHT_Q4, .bias = true, .plain = true, .block = 64},
    {1, {32}, 14336, LF_WEIGHT_Q4, .block = 64},
    {1, {16}, 1024, LF_WEIGHT_Q4, .block = 64},
    {1, {501}, 384, LF_WEIGHT_BF16},
    {2, {63, 130}, 257, LF_WEIGHT_BF16, .bias = true},
    {1, {96}, 320, LF_WEIGHT_F32, .bias = true},
    {3, {64, 17, 1}, 100, LF_WEIGHT_F32},
};
static const int tokens[] = {1,  2,  3,  4,  5,  6,   7,   8,   16,  17,
                             31, 33, 64, 70, 90, 110, 128, 130, 300, 400};
#define N_SHAPES (sizeof shapes / sizeof *shapes)
#define N_TOKENS (sizeof tokens / sizeof *tokens)

/* Every shape with every number of tokens, overwriting and accumulating. */
static struct linear_case case_at(size_t i)
{
    size_t pair = i / 2;
    return (struct linear_case){
        .s = shapes[pair / N_TOKENS], .T = tokens[pair % N_TOKENS], .accumulate = i % 2};
}

/* The definition is slow: long runs go with narrow weights. */
static bool too_slow(const struct linear_case *c)
{
    return (double)c->T * c->s.N[0] * c->s.K > 4e6;
}

/* The case's weights into its copy; NULL: without one, or on a side that makes none. */
static void *unpack(struct rig *r, enum rig_side side, const struct linear_case *c)
{
    const struct lf_weight *w[LF_GROUP_MAX];
    struct lf_stream *s = r->stream[side];
    if (!c->copy || !s->ops->copy_weights)
        return NULL;
    for (int p = 0; p < c->s.n; p++)
        w[p] = &c->w[p][side];
    s->ops->copy_weights(s, rig_at(c->copy, side), c->ldcopy, w, c->s.n);
    return rig_at(c->copy, side);
}

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct linear_case *c = arg;
    struct lf_linear_args a = {.y = rig_at(c->y, side),
                               .x = rig_at(c->x, side),
                               .n = c->s.n,
                               .T = c->T,
                               .ldy = c->ldy,
                               .ldx = c->ldx,
                               .accumulate = c->accumulate,
                               .y_f32 = c->y_f32,
                               .copy = unpack(r, side, c),
                               .ldcopy = c->ldcopy};
    for (int p = 0; p < c->s.n; p++) {
        a.w[p] = &c->w[p][side];
        a.col[p] = c->col[p];
    }
    r->stream[side]->ops->linear(r->stream[side], &a);
}

static void backward(struct rig *r, enum rig_side side, void *arg)
{
    const struct linear_case *c = arg;
    struct lf_linear_bwd_args a = {.dx = rig_at(c->y, side),
                                   .dy = rig_at(c->x, side),
                                   .n = c->s.n,
                                   .T = c->T,
                                   .lddx = c->ldy,
                                   .lddy = c->ldx,
                                   .accumulate = c->accumulate,
                                   .copy = unpack(r, side, c),
                                   .ldcopy = c->ldcopy};
    for (int p = 0; p < c->s.n; p++) {
        a.w[p] = &c->w[p][side];
        a.col[p] = c->col[p];
    }
    r->stream[side]->ops->linear_bwd(r->stream[side], &a);
}

/* Weights, and columns with a gap between them; returns the width of the side that has N. */
static int begin(struct rig *r, struct linear_case *c, const char *what)
{
    rig_begin(r, "%s n %d N %d K %d kind %d block %d%s T %d%s", what, c->s.n, c->s.N[0], c->s.K,
              c->s.kind, c->s.block, c->s.plain ? " plain" : "", c->T,
              c->accumulate ? " accumulate" : "");
    int col = 0;
    for (int p = 0; p < c->s.n; p++) {
        c->w[p] = rig_weight(r, &(struct rig_weight_shape){c->s.kind, c->s.N[p], c->s.K, c->s.bias,
                                                           !c->s.plain, c->s.block});
        c->col[p] = col;
        col += c->s.N[p] + (c->accumulate ? 8 : 0);
    }
    c->ldcopy = c->s.K + (c->accumulate ? 24 : 0);
    if (c->T % 2 == 0) {
        c->copy = rig_out_act(r, "copy", (size_t)col * (size_t)c->ldcopy, LIMITS);
        c->copy->scratch = true;
    }
    return col;
}

static void maps_forward(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < 2 * N_SHAPES * N_TOKENS; i++) {
        struct linear_case c = case_at(i);
        if (too_slow(&c))
            continue;
        c.y_f32 = rig_u32(r) % 4 == 0;
        c.ldy = begin(r, &c, "forward");
        c.ldx = c.s.K + (c.accumulate ? 16 : 0);
        size_t n = (size_t)c.T * (size_t)c.ldy;
        c.x = rig_act(r, "x", (size_t)c.T * (size_t)c.ldx, 1);
        if (c.accumulate)
            c.y =
                c.y_f32 ? rig_inout_f32(r, "y", n, 1, LIMITS) : rig_inout_act(r, "y", n, 1, LIMITS);
        else
            c.y = c.y_f32 ? rig_out(r, "y", LF_F32, n, LIMITS) : rig_out_act(r, "y", n, LIMITS);
        rig_run(r, forward, &c);
    }
}

/* Maps so wide that a card gives a multiprocessor several runs of K: whole tiles, parts of them,
 * and both. On the CPU there is nothing of that to see. */
static void maps_wide(void **state)
{
    static const struct linear_case wide[] = {
        {.s = {1, {34048}, 512, LF_WEIGHT_Q4, .block = 64}, .T = 9},
        {.s = {1, {17152}, 512, LF_WEIGHT_Q4, .block = 64}, .T = 40},
        {.s = {1, {17152}, 512, LF_WEIGHT_Q4, .block = 64}, .T = 75},
        {.s = {1, {17152}, 512, LF_WEIGHT_Q4, .block = 64}, .T = 110},
        {.s = {1, {8704}, 512, LF_WEIGHT_Q4, .block = 64}, .T = 200}};
    struct rig *r = *state;
    if (r->dev[RIG_DUT]->kind != LF_DEVICE_CUDA)
        skip();
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        struct linear_case c = wide[i];
        c.ldy = begin(r, &c, "wide");
        c.ldx = c.s.K;
        c.x = rig_act(r, "x", (size_t)c.T * (size_t)c.ldx, 1);
        c.y = rig_out_act(r, "y", (size_t)c.T * (size_t)c.ldy, LIMITS);
        rig_run(r, forward, &c);
    }
}

static void carries_gradients_back(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < 2 * N_SHAPES * N_TOKENS; i++) {
        struct linear_case c = case_at(i);
        if (too_slow(&c))
            continue;
        c.ldx = begin(r, &c, "backward");
        c.ldy = c.s.K + (c.accumulate ? 16 : 0);
        size_t n = (size_t)c.T * (size_t)c.ldy;
        c.x = rig_act(r, "dy", (size_t)c.T * (size_t)c.ldx, 1);
        c.y = c.accumulate ? rig_inout_act(r, "dx", n, 1, LIMITS) : rig_out_act(r, "dx", n, LIMITS);
        rig_run(r, backward, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(maps_forward), cmocka_unit_test(maps_wide),
                                       cmocka_unit_test(carries_gradients_back)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
