/* LIBS: lf_trainer */
/* What only the optimizer reads (moments, and a master beside a copy) beside a full device: it goes
 * to host memory, and training gives the same bits. On the device of argv[1], else the cpu. */
#include "tests/unit/train_rig.h"

static enum lf_device_kind kind = LF_DEVICE_CPU;

/* The parameters of a job trained with so much device memory (0: all there is), and what it used
 * at its end; free(). */
static float *trained_within(size_t memory_bytes, size_t *n, size_t *used)
{
    struct tiny t;
    struct lf_train_settings s = rig_settings();
    struct lf_device_options options = {.threads = 2, .memory_bytes = memory_bytes};
    struct lf_device_info info;
    struct lf_exec_limits limits = rig_limits;
    limits.recompute =
        LF_RECOMPUTE_BLOCK; /* a card keeps no unpacked weights then, in either run */
    s.rank = 16;
    tiny_open_as(&t, TINY_CONFIG, kind, &options, 8, &limits);
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job *j = job_add(trainer, &t, &s, 1, NULL);
    run_to_end(trainer, 0);
    float *p = params_of(j, n);
    lf_device_info(t.dev, &info);
    *used = info.memory_used;
    lf_trainer_free(trainer);
    tiny_close(&t);
    return p;
}

static void optimizer_states_leave_a_full_device(void **state)
{
    (void)state;
    size_t n, m, all, less;
    float *want = trained_within(0, &n, &all);
    size_t moments = 2 * n * sizeof *want;
    float *got = trained_within(all - moments + n, &m, &less); /* room for part of one */
    assert_int_equal(n, m);
    assert_int_equal(less, all - moments);
    assert_memory_equal(got, want, n * sizeof *want);
    free(want);
    free(got);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(optimizer_states_leave_a_full_device)};
    struct lf_device *dev;
    struct lf_diag diag;
    if (argc > 1 && lf_device_kind_parse(&kind, argv[1], &diag) != LF_OK)
        return 2;
    enum lf_err rc = lf_device_open(&dev, kind, NULL, &diag);
    if (rc == LF_E_NOT_FOUND || rc == LF_E_UNSUPPORTED)
        return 77;
    if (rc == LF_OK)
        lf_device_free(dev);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
