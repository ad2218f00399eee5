/* nf4: the definition's bytes, from every dtype, whole blocks and the end of a matrix, values on
 * the midpoints of codes, blocks of nothing and of denormal numbers. */
#include "tests/ops/rig.h"

#include "gpu/nf4.h"

static const struct rig_limits EQUAL = {.f32 = {0, 0}, .bf16 = {0, 0}};

struct nf4_case {
    enum lf_dtype dtype;
    size_t n;
    struct mirror *x, *codes, *absmax;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct nf4_case *c = arg;
    struct lf_nf4_args a = {.codes = rig_at(c->codes, side),
                            .absmax = rig_at(c->absmax, side),
                            .x = rig_at(c->x, side),
                            .dtype = c->dtype,
                            .n = c->n};
    r->stream[side]->ops->nf4(r->stream[side], &a);
}

/* A block in eight is one of the hard ones. */
static float value(struct rig *r, size_t i)
{
    size_t block = i / LF_NF4_BLOCK;
    if (block % 8 == 3)
        return i % LF_NF4_BLOCK == 5 ? -1 : lf_nf4_thresholds[i % 15];
    if (block % 24 == 6)
        return 0;
    return (float)(rig_normal(r) * (block % 24 == 14 ? 1e-41 : 0.02));
}

static void quantises(void **state)
{
    struct rig *r = *state;
    static const size_t sizes[] = {2, 62, 64, 66, 4096, 200 * 64 + 34, 1 << 18};
    static const enum lf_dtype dtypes[] = {LF_F32, LF_BF16, LF_F16};
    for (size_t i = 0; i < 3 * sizeof sizes / sizeof *sizes; i++) {
        struct nf4_case c = {.dtype = dtypes[i % 3], .n = sizes[i / 3]};
        rig_begin(r, "n %zu dtype %d", c.n, (int)c.dtype);
        float *x = rig_host(r, c.n, sizeof *x);
        void *stored = rig_host(r, c.n, lf_dtype_bytes(c.dtype));
        for (size_t k = 0; k < c.n; k++)
            x[k] = value(r, k);
        lf_from_f32(stored, c.dtype, x, c.n);
        c.x = rig_bytes(r, "x", c.dtype, stored, stored, c.n);
        c.codes = rig_out(r, "codes", LF_U8, c.n / 2, EQUAL);
        c.absmax = rig_out(r, "absmax", LF_F32, (c.n + LF_NF4_BLOCK - 1) / LF_NF4_BLOCK, EQUAL);
        rig_run(r, launch, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(quantises)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
