/* Finite differences. */
#include "tests/grad/fd.h"

#include <math.h>
#include <stdlib.h>

#define STEP 1e-2
#define TOLERANCE 2e-3 /* of |gradient| + rms(gradient); fp32 outputs and h^2 leave about 1e-4 */

const struct rig_limits FD_ANY = {{INFINITY, INFINITY}, {INFINITY, INFINITY}};

static void set(struct mirror *m, size_t i, float value)
{
    ((float *)m->init[RIG_REF])[i] = value;
    ((float *)rig_at(m, RIG_REF))[i] = value;
}

static double loss(struct rig *r, const struct fd *f)
{
    double sum = 0;
    rig_run_side(r, RIG_REF, f->forward, f->arg);
    for (size_t i = 0; i < f->y->n; i++) {
        double y = rig_got(f->y, RIG_REF, i);
        sum += isnan(y) ? 0 : y * rig_got(f->dy, RIG_REF, i); /* NaN: not written */
    }
    return sum;
}

void fd_check(struct rig *r, const struct fd *f, struct mirror *x, const struct mirror *grad)
{
    double *want = rig_host(r, grad->n, sizeof *want), rms = 0;
    for (size_t i = 0; i < grad->n; i++) {
        want[i] = rig_got(grad, RIG_REF, i);
        rms += isnan(want[i]) ? 0 : want[i] * want[i] / (double)grad->n;
    }
    rms = sqrt(rms);
    for (size_t i = 0; i < x->n; i++) {
        if (isnan(want[i])) /* rows that the backward leaves alone */
            continue;
        float saved = ((float *)x->init[RIG_REF])[i];
        float up = saved + (float)STEP, down = saved - (float)STEP;
        set(x, i, up);
        double above = loss(r, f);
        set(x, i, down);
        double below = loss(r, f);
        set(x, i, saved);
        double slope = (above - below) / ((double)up - (double)down);
        if (!(fabs(slope - want[i]) <= TOLERANCE * (fabs(want[i]) + rms)))
            fail_msg("%s: d/d%s[%zu] is %.6g, not %.6g", r->label, x->name, i, slope, want[i]);
    }
}
