/* LIBS: lf_core */
/* Extents: side by side, apart, joined when free; the cheapest neighbours against all there are. */
#include "core/extents.h"

#include "core/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define USERS 24
#define BYTES 1000

/* They lie side by side, free ones not beside each other, and the sums are right. */
static void assert_whole(const struct lf_extents *r)
{
    size_t at = 0, used = 0;
    for (const struct lf_extent *g = r->first; g; g = g->next) {
        assert_int_equal(g->at, at);
        assert_true(g->bytes > 0);
        assert_true(g->user || !g->next || g->next->user);
        assert_ptr_equal(g->next ? g->next->prev : g, g);
        at += g->bytes;
        used += g->user ? g->bytes : 0;
    }
    assert_int_equal(at, r->bytes);
    assert_int_equal(used, r->used);
}

static double cost_of(const void *user, const void *arg)
{
    (void)arg;
    return *(const double *)user;
}

/* The least sum over all runs of neighbours that hold the bytes; below 0: there is none. */
static double cheapest_by_trying(const struct lf_extents *r, size_t bytes)
{
    double best = -1;
    for (const struct lf_extent *from = r->first; from; from = from->next) {
        double sum = 0;
        size_t held = 0;
        for (const struct lf_extent *to = from; to; to = to->next) {
            double c = to->user ? cost_of(to->user, NULL) : 0;
            if (c < 0)
                break;
            sum += c;
            held += to->bytes;
            if (held >= bytes && (best < 0 || sum < best))
                best = sum;
        }
    }
    return best;
}

static void what_is_given_back_is_whole_again(void **state)
{
    (void)state;
    struct lf_extents r;
    struct lf_extent *out[USERS] = {0};
    double cost[USERS];
    uint64_t draw = 0;
    assert_int_equal(lf_extents_init(&r, BYTES), LF_OK);
    for (int step = 0; step < 3000; step++) {
        size_t i = lf_rng_u32(7, draw++, 0) % USERS, bytes = 1 + lf_rng_u32(7, draw++, 0) % 90;
        cost[i] = (double)(lf_rng_u32(7, draw++, 0) % 20) - 3;
        if (out[i]) {
            lf_extents_give(&r, out[i]);
            out[i] = NULL;
        } else {
            out[i] = lf_extents_take(&r, bytes, &cost[i]);
            assert_true(!out[i] || out[i]->bytes == bytes);
        }
        assert_whole(&r);
        size_t need = 1 + lf_rng_u32(7, draw++, 0) % 400, held = 0;
        struct lf_extent *first, *last;
        double least = cheapest_by_trying(&r, need), sum;
        assert_int_equal(lf_extents_cheapest(&r, need, cost_of, NULL, &first, &last, &sum),
                         least >= 0);
        for (const struct lf_extent *g = least >= 0 ? first : NULL; g;
             g = g == last ? NULL : g->next)
            held += g->bytes;
        assert_true(least < 0 || (sum == least && held >= need));
    }
    for (int i = 0; i < USERS; i++)
        if (out[i])
            lf_extents_give(&r, out[i]);
    assert_whole(&r);
    assert_int_equal(r.first->bytes, BYTES);
    lf_extents_free(&r);
}

static void the_smallest_gap_that_fits_is_taken(void **state)
{
    (void)state;
    struct lf_extents r;
    int a, b;
    assert_int_equal(lf_extents_init(&r, 100), LF_OK);
    struct lf_extent *wide = lf_extents_take(&r, 40, &a);
    assert_non_null(lf_extents_take(&r, 10, &b));
    struct lf_extent *tight = lf_extents_take(&r, 20, &a);
    assert_non_null(lf_extents_take(&r, 5, &b));
    lf_extents_give(&r, wide);
    lf_extents_give(&r, tight);
    assert_null(lf_extents_take(&r, 41, &a));
    assert_int_equal(lf_extents_take(&r, 18, &a)->at, 50);
    lf_extents_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_back_is_whole_again),
        cmocka_unit_test(the_smallest_gap_that_fits_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
