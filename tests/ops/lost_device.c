/* A card that faults: everything after the fault does nothing, waiting says so, opening it again
 * says why not, and another process computes on it. The argument is the device, as for the
 * operations' tests; a second one: compute, and no more. */
#include "gpu/device.h"
#include "gpu/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define EXIT_SKIPPED 77
#define N 4096

static enum lf_device_kind kind;
static const char *device_name;

static void open_device(struct lf_device **dev, struct lf_stream **stream)
{
    struct lf_diag diag;
    if (lf_device_open(dev, kind, NULL, &diag) || lf_stream_new(stream, *dev, 0, &diag))
        fail_msg("%s", diag.text);
}

static void close_device(struct lf_device *dev, struct lf_stream *stream)
{
    lf_stream_free(stream);
    lf_device_free(dev);
}

/* y = x + x of ones: all is well. */
static void computes(struct lf_device *dev, struct lf_stream *stream)
{
    static uint16_t ones[N], got[N];
    struct lf_diag diag;
    void *y, *x;
    for (int i = 0; i < N; i++)
        ones[i] = lf_f32_to_bf16(1);
    assert_int_equal(lf_device_alloc(dev, &y, sizeof ones, &diag), LF_OK);
    assert_int_equal(lf_device_alloc(dev, &x, sizeof ones, &diag), LF_OK);
    lf_stream_upload(stream, y, ones, sizeof ones);
    lf_stream_upload(stream, x, ones, sizeof ones);
    stream->ops->add(stream, &(struct lf_add_args){.y = y, .x = x, .n = N});
    lf_stream_download(stream, got, y, sizeof got);
    if (lf_stream_wait(stream, &diag))
        fail_msg("%s", diag.text);
    for (int i = 0; i < N; i++)
        assert_int_equal(got[i], lf_f32_to_bf16(2));
    lf_device_release(dev, x);
    lf_device_release(dev, y);
}

/* This program in another process: what comes after a fault for a daemon. */
static int computes_elsewhere(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_lost_device", device_name, "compute", NULL);
        _exit(127);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_lost_card_is_for_other_processes(void **state)
{
    (void)state;
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_diag diag;
    void *x;
    open_device(&dev, &stream);
    computes(dev, stream);
    assert_int_equal(lf_device_alloc(dev, &x, 2 * N, &diag), LF_OK);
    stream->ops->add(stream, &(struct lf_add_args){.y = (void *)4096, .x = x, .n = N});
    assert_int_equal(lf_stream_wait(stream, &diag), LF_E_DEVICE_LOST);
    print_message("%s\n", diag.text);
    lf_stream_zero(stream, x, 2 * N);
    assert_int_equal(lf_stream_wait(stream, &diag), LF_E_DEVICE_LOST);
    lf_device_release(dev, x);
    close_device(dev, stream);
    assert_int_equal(lf_device_open(&dev, kind, NULL, &diag), LF_E_NOT_FOUND);
    print_message("%s\n", diag.text);
    assert_int_equal(computes_elsewhere(), 0);
}

static void a_card_computes(void **state)
{
    (void)state;
    struct lf_device *dev;
    struct lf_stream *stream;
    open_device(&dev, &stream);
    computes(dev, stream);
    close_device(dev, stream);
}

int main(int argc, char **argv)
{
    struct lf_diag diag;
    struct lf_device *dev;
    if (argc < 2 || lf_device_kind_parse(&kind, argv[1], &diag) ||
        lf_device_open(&dev, kind, NULL, &diag)) {
        print_message("skipped: %s\n", argc > 1 ? diag.text : "no device is named");
        return EXIT_SKIPPED;
    }
    lf_device_free(dev);
    device_name = argv[1];
    const struct CMUnitTest first[] = {cmocka_unit_test(a_lost_card_is_for_other_processes)};
    const struct CMUnitTest second[] = {cmocka_unit_test(a_card_computes)};
    return argc > 2 ? cmocka_run_group_tests(second, NULL, NULL)
                    : cmocka_run_group_tests(first, NULL, NULL);
}
