/* Finite differences: is what an operation's backward says the slope of its forward?
 *
 * For L = sum_i c_i y_i with random c (the gradient that arrives at y), every element of the input
 * is moved by +-h and L compared, in double. Both directions run on the ref device, so this is a
 * test of the definitions; that the other devices agree with those is tests/ops'.
 */
#ifndef LF_TESTS_GRAD_FD_H
#define LF_TESTS_GRAD_FD_H

#include "tests/ops/rig.h"

/* What the forward's outputs are, for mirrors that are only read. */
extern const struct rig_limits FD_ANY;

struct fd {
    rig_launch forward;
    void *arg;
    const struct mirror *y;  /* the forward's output */
    const struct mirror *dy; /* c */
};

/* Compares grad, as the last run left it, with the slope of L along every element of x. */
void fd_check(struct rig *r, const struct fd *f, struct mirror *x, const struct mirror *grad);

#endif
