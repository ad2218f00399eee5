/* The rig: mirrors, runs and comparison. */
#include "tests/ops/rig.h"

#include "core/clock.h"
#include "core/rng.h"
#include "gpu/backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUARD 256 /* bytes on each side of an array */
#define GUARD_BYTE 0xA5
#define POISON_BYTE 0xFF /* NaN in fp32 and bf16, -1 in integers */
#define EXIT_SKIPPED 77

static enum lf_device_kind dut_kind;
static const char *dut_isa; /* the set of a cpu, instead of the best one; or NULL */

/* ---- Random numbers ---- */

uint32_t rig_u32(struct rig *r)
{
    return lf_rng_u32(r->seed, r->draws++, 0);
}

double rig_unit(struct rig *r)
{
    return (rig_u32(r) + 0.5) / 4294967296.0;
}

double rig_normal(struct rig *r)
{
    double u = rig_unit(r), v = rig_unit(r);
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

int rig_int(struct rig *r, int low, int high)
{
    return low + (int)(rig_u32(r) % (uint32_t)(high - low + 1));
}

/* ---- Life of the rig ---- */

static void must(enum lf_err rc, const struct lf_diag *diag)
{
    if (rc)
        fail_msg("%s", diag->text);
}

static int open_side(struct rig *r, enum rig_side side, enum lf_device_kind kind)
{
    struct lf_diag diag = {{0}};
    enum lf_err rc = lf_device_open(&r->dev[side], kind, NULL, &diag);
    if (!rc && side == RIG_DUT && dut_isa)
        lf_cpu_use(r->dev[side], dut_isa);
    if (!rc)
        rc = lf_stream_new(&r->stream[side], r->dev[side], 0, &diag);
    if (rc)
        print_error("%s\n", diag.text);
    return rc;
}

static void end_case(struct rig *r)
{
    for (int i = 0; i < r->n_weights; i++) {
        for (int side = 0; side < 2; side++)
            if (r->dev[side]->ops->release_weight)
                r->dev[side]->ops->release_weight(r->dev[side], &r->weights[i][side]);
    }
    for (int i = 0; i < r->n_mirrors; i++)
        for (int side = 0; side < 2; side++) {
            free(r->mirrors[i].init[side]);
            free(r->mirrors[i].got[side]);
            lf_device_release(r->dev[side], r->mirrors[i].base[side]);
        }
    for (int i = 0; i < r->n_owned; i++)
        free(r->owned[i]);
    r->n_mirrors = r->n_weights = r->n_owned = 0;
}

static int rig_setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    if (!r)
        return -1;
    const char *seed = getenv("LF_TEST_SEED");
    r->seed = seed ? strtoull(seed, NULL, 0) : lf_clock_ns();
    print_message("LF_TEST_SEED=%llu\n", (unsigned long long)r->seed);
    *state = r;
    if (open_side(r, RIG_REF, LF_DEVICE_REF) || open_side(r, RIG_DUT, dut_kind))
        return -1;
    r->act = r->dev[RIG_DUT]->act;
    struct lf_diag diag = {{0}};
    size_t bytes = r->dev[RIG_DUT]->ops->linear_scratch_bytes(r->dev[RIG_DUT], 1024, 4096, 4096);
    return lf_stream_reserve(r->stream[RIG_DUT], bytes, &diag);
}

static int rig_teardown(void **state)
{
    struct rig *r = *state;
    end_case(r);
    for (int side = 0; side < 2; side++) {
        lf_stream_free(r->stream[side]);
        lf_device_free(r->dev[side]);
    }
    free(r);
    return 0;
}

int rig_main_ref(const struct CMUnitTest *tests, size_t n_tests)
{
    dut_kind = LF_DEVICE_REF;
    return _cmocka_run_group_tests("rig", tests, n_tests, rig_setup, rig_teardown);
}

int rig_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n_tests)
{
    struct lf_diag diag = {{0}};
    const char *word = argc > 1 ? argv[1] : "cpu";
    if (strncmp(word, "cpu-", 4) == 0) {
        dut_isa = word + 4;
        word = "cpu";
    }
    if (lf_device_kind_parse(&dut_kind, word, &diag)) {
        print_error("%s\n", diag.text);
        return EXIT_FAILURE;
    }
    struct lf_device *probe;
    enum lf_err rc = lf_device_open(&probe, dut_kind, NULL, &diag);
    if (rc == LF_E_UNSUPPORTED || rc == LF_E_NOT_FOUND) {
        print_message("skipped: %s\n", diag.text);
        return EXIT_SKIPPED;
    }
    if (rc) {
        print_error("%s\n", diag.text);
        return EXIT_FAILURE;
    }
    bool there = !dut_isa || lf_cpu_use(probe, dut_isa);
    lf_device_free(probe);
    if (!there) {
        print_message("skipped: this machine or build has no %s\n", dut_isa);
        return EXIT_SKIPPED;
    }
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return _cmocka_run_group_tests("rig", tests, n_tests, rig_setup, rig_teardown);
}

void rig_begin(struct rig *r, const char *fmt, ...)
{
    end_case(r);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->label, sizeof r->label, fmt, ap);
    va_end(ap);
}

void *rig_host(struct rig *r, size_t n, size_t size)
{
    assert_true(r->n_owned < RIG_CASE_MAX);
    void *p = calloc(n ? n : 1, size);
    assert_non_null(p);
    return r->owned[r->n_owned++] = p;
}

/* ---- Mirrors ---- */

static size_t bytes_of(const struct mirror *m, enum rig_side side)
{
    return m->n * lf_dtype_bytes(m->dtype[side]);
}

static void upload(struct rig *r, struct mirror *m, enum rig_side side)
{
    size_t bytes = bytes_of(m, side);
    char *whole = malloc(bytes + 2 * GUARD);
    assert_non_null(whole);
    memset(whole, GUARD_BYTE, bytes + 2 * GUARD);
    memcpy(whole + GUARD, m->init[side], bytes);
    lf_stream_upload(r->stream[side], m->base[side], whole, bytes + 2 * GUARD);
    free(whole);
}

/* A mirror whose init bytes are poison; uploaded once they are final. */
static struct mirror *add(struct rig *r, const char *name, enum lf_dtype ref, enum lf_dtype dut,
                          size_t n)
{
    assert_true(r->n_mirrors < RIG_MIRRORS_MAX);
    struct mirror *m = &r->mirrors[r->n_mirrors++];
    *m = (struct mirror){.name = name, .dtype = {ref, dut}, .n = n};
    for (int side = 0; side < 2; side++) {
        struct lf_diag diag;
        size_t bytes = bytes_of(m, side);
        m->init[side] = malloc(bytes + 1);
        m->got[side] = malloc(bytes + 2 * GUARD);
        assert_true(m->init[side] && m->got[side]);
        memset(m->init[side], POISON_BYTE, bytes);
        must(lf_device_alloc(r->dev[side], &m->base[side], bytes + 2 * GUARD, &diag), &diag);
    }
    return m;
}

static void upload_both(struct rig *r, struct mirror *m)
{
    upload(r, m, RIG_REF);
    upload(r, m, RIG_DUT);
}

/* Rounds the ref side's values to what the other side's dtype can hold. */
static struct mirror *finish_floats(struct rig *r, struct mirror *m)
{
    lf_from_f32(m->init[RIG_DUT], m->dtype[RIG_DUT], m->init[RIG_REF], m->n);
    lf_to_f32(m->init[RIG_REF], m->init[RIG_DUT], m->dtype[RIG_DUT], m->n);
    upload_both(r, m);
    return m;
}

static struct mirror *add_normal(struct rig *r, const char *name, enum lf_dtype dut, size_t n,
                                 double scale)
{
    struct mirror *m = add(r, name, LF_F32, dut, n);
    float *ref = m->init[RIG_REF];
    for (size_t i = 0; i < n; i++)
        ref[i] = (float)(scale * rig_normal(r));
    return finish_floats(r, m);
}

struct mirror *rig_act(struct rig *r, const char *name, size_t n, double scale)
{
    return add_normal(r, name, r->act, n, scale);
}

struct mirror *rig_act_of(struct rig *r, const char *name, const float *x, size_t n)
{
    struct mirror *m = add(r, name, LF_F32, r->act, n);
    memcpy(m->init[RIG_REF], x, n * sizeof *x);
    return finish_floats(r, m);
}

struct mirror *rig_f32(struct rig *r, const char *name, size_t n, double scale)
{
    return add_normal(r, name, LF_F32, n, scale);
}

struct mirror *rig_bytes(struct rig *r, const char *name, enum lf_dtype t, const void *ref,
                         const void *dut, size_t n)
{
    struct mirror *m = add(r, name, t, t, n);
    if (n) {
        memcpy(m->init[RIG_REF], ref, bytes_of(m, RIG_REF));
        memcpy(m->init[RIG_DUT], dut, bytes_of(m, RIG_DUT));
    }
    upload_both(r, m);
    return m;
}

static struct mirror *as_output(struct mirror *m, struct rig_limits limits)
{
    m->output = true;
    m->limits = limits;
    return m;
}

struct mirror *rig_out(struct rig *r, const char *name, enum lf_dtype t, size_t n,
                       struct rig_limits limits)
{
    return as_output(add(r, name, t, t, n), limits);
}

struct mirror *rig_out_act(struct rig *r, const char *name, size_t n, struct rig_limits limits)
{
    return as_output(add(r, name, LF_F32, r->act, n), limits);
}

struct mirror *rig_inout_act(struct rig *r, const char *name, size_t n, double scale,
                             struct rig_limits limits)
{
    return as_output(rig_act(r, name, n, scale), limits);
}

struct mirror *rig_inout_f32(struct rig *r, const char *name, size_t n, double scale,
                             struct rig_limits limits)
{
    return as_output(rig_f32(r, name, n, scale), limits);
}

void *rig_at(const struct mirror *m, enum rig_side side)
{
    return m ? (char *)m->base[side] + GUARD : NULL;
}

const void *rig_init_of(const struct rig *r, const char *name)
{
    for (int i = 0; i < r->n_mirrors; i++)
        if (strcmp(r->mirrors[i].name, name) == 0)
            return r->mirrors[i].init[RIG_REF];
    fail_msg("%s: no array %s", r->label, name);
    return NULL;
}

/* ---- Runs ---- */

static const void *data_got(const struct mirror *m, enum rig_side side)
{
    return (const char *)m->got[side] + GUARD;
}

double rig_got(const struct mirror *m, enum rig_side side, size_t i)
{
    const void *data = data_got(m, side);
    float x;
    if (m->dtype[side] == LF_I32)
        return ((const int32_t *)data)[i];
    if (m->dtype[side] == LF_U8)
        return ((const uint8_t *)data)[i];
    lf_to_f32(&x, (const char *)data + i * lf_dtype_bytes(m->dtype[side]), m->dtype[side], 1);
    return x;
}

static bool poisoned(const struct mirror *m, enum rig_side side, size_t i)
{
    size_t size = lf_dtype_bytes(m->dtype[side]);
    const unsigned char *p = (const unsigned char *)data_got(m, side) + i * size;
    for (size_t b = 0; b < size; b++)
        if (p[b] != POISON_BYTE)
            return false;
    return true;
}

static void check_guards(const struct rig *r, const struct mirror *m, enum rig_side side)
{
    const unsigned char *p = m->got[side];
    size_t bytes = bytes_of(m, side);
    for (size_t i = 0; i < GUARD; i++)
        if (p[i] != GUARD_BYTE || p[GUARD + bytes + i] != GUARD_BYTE)
            fail_msg("%s: side %d wrote outside of %s", r->label, side, m->name);
    if (!m->output && !m->taken && bytes && memcmp(data_got(m, side), m->init[side], bytes) != 0)
        fail_msg("%s: side %d changed its input %s", r->label, side, m->name);
}

void rig_run_side(struct rig *r, enum rig_side side, rig_launch launch, void *arg)
{
    struct lf_diag diag = {{0}};
    for (int i = 0; i < r->n_mirrors; i++)
        if (r->mirrors[i].output)
            upload(r, &r->mirrors[i], side);
    launch(r, side, arg);
    for (int i = 0; i < r->n_mirrors; i++) {
        struct mirror *m = &r->mirrors[i];
        lf_stream_download(r->stream[side], m->got[side], m->base[side],
                           bytes_of(m, side) + 2 * GUARD);
    }
    must(lf_stream_wait(r->stream[side], &diag), &diag);
    for (int i = 0; i < r->n_mirrors; i++)
        check_guards(r, &r->mirrors[i], side);
}

static void compare(const struct rig *r, const struct mirror *m)
{
    struct rig_limit limit = r->act == LF_F32 ? m->limits.f32 : m->limits.bf16;
    double diff2 = 0, ref2 = 0, worst = 0;
    size_t n = 0, worst_at = 0;
    for (size_t i = 0; i < m->n; i++) {
        double x = rig_got(m, RIG_REF, i);
        if (poisoned(m, RIG_REF, i) || x == -INFINITY)
            continue;
        ref2 += x * x;
        n++;
    }
    ref2 = fmax(ref2, m->floor * m->floor * (double)n);
    double rms = n ? sqrt(ref2 / (double)n) : 0;
    for (size_t i = 0; i < m->n; i++) {
        double x = rig_got(m, RIG_REF, i), y = rig_got(m, RIG_DUT, i);
        if (poisoned(m, RIG_REF, i)) {
            if (!m->loose && !poisoned(m, RIG_DUT, i))
                fail_msg("%s: %s[%zu] is not the operation's to write", r->label, m->name, i);
            continue;
        }
        if (x == y)
            continue;
        double error = fabs(x - y), relative = error / (fabs(x) + rms);
        if (!isfinite(y) || relative > worst) {
            worst = isfinite(y) ? relative : INFINITY;
            worst_at = i;
        }
        diff2 += error * error;
    }
    double nmse = ref2 > 0 ? diff2 / ref2 : diff2;
    if (!(nmse <= limit.nmse) || !(worst <= limit.max))
        fail_msg("%s: %s: nmse %.3g (limit %.3g), worst %.3g (limit %.3g) at %zu: %.9g, not %.9g",
                 r->label, m->name, nmse, limit.nmse, worst, limit.max, worst_at,
                 rig_got(m, RIG_DUT, worst_at), rig_got(m, RIG_REF, worst_at));
}

void rig_run(struct rig *r, rig_launch launch, void *arg)
{
    void *first[RIG_MIRRORS_MAX];
    rig_run_side(r, RIG_REF, launch, arg);
    rig_run_side(r, RIG_DUT, launch, arg);
    for (int i = 0; i < r->n_mirrors; i++) {
        struct mirror *m = &r->mirrors[i];
        first[i] = malloc(bytes_of(m, RIG_DUT) + 1);
        assert_non_null(first[i]);
        memcpy(first[i], data_got(m, RIG_DUT), bytes_of(m, RIG_DUT));
        if (m->output && !m->scratch)
            compare(r, m);
    }
    rig_run_side(r, RIG_DUT, launch, arg);
    for (int i = 0; i < r->n_mirrors; i++) {
        struct mirror *m = &r->mirrors[i];
        if (!m->scratch && memcmp(first[i], data_got(m, RIG_DUT), bytes_of(m, RIG_DUT)) != 0)
            fail_msg("%s: %s has other bytes the second time", r->label, m->name);
        free(first[i]);
    }
}
