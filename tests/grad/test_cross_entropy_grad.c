/* The loss's gradient with respect to the logits, also through the soft ceiling. */
#include "tests/grad/fd.h"

enum { M = 4, V = 9 };

struct entropy_case {
    float softcap;
    struct mirror *raw, *logits, *loss, *dlogits, *labels, *weight;
};

/* logits = cap(raw), then the loss. */
static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct entropy_case *c = arg;
    struct lf_stream *s = r->stream[side];
    lf_stream_copy(s, rig_at(c->logits, side), rig_at(c->raw, side), M * V * sizeof(float));
    if (c->softcap > 0)
        s->ops->softcap(s, &(struct lf_softcap_args){rig_at(c->logits, side), M * V, c->softcap});
    struct lf_cross_entropy_args a = {.loss = rig_at(c->loss, side),
                                      .dlogits = rig_at(c->dlogits, side),
                                      .logits = rig_at(c->logits, side),
                                      .labels = rig_at(c->labels, side),
                                      .weight = rig_at(c->weight, side),
                                      .M = M,
                                      .V = V,
                                      .softcap = c->softcap};
    s->ops->cross_entropy(s, &a);
}

static void is_the_slope(void **state)
{
    struct rig *r = *state;
    static const int32_t labels[M] = {0, V - 1, -1, 4};
    for (int i = 0; i < 2; i++) {
        struct entropy_case c = {.softcap = i ? 2 : 0};
        rig_begin(r, "softcap %g", (double)c.softcap);
        c.raw = rig_f32(r, "raw", M * V, 1);
        c.weight = rig_f32(r, "weight", M, 1);
        c.labels = rig_bytes(r, "labels", LF_I32, labels, labels, M);
        c.logits = rig_out(r, "logits", LF_F32, M * V, FD_ANY);
        c.loss = rig_out(r, "loss", LF_F32, M, FD_ANY);
        c.dlogits = rig_out(r, "dlogits", LF_F32, M * V, FD_ANY);
        rig_run_side(r, RIG_REF, forward, &c);
        fd_check(r, &(struct fd){forward, &c, c.loss, c.weight}, c.raw, c.dlogits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_slope)};
    return rig_main_ref(tests, sizeof tests / sizeof *tests);
}
