/* A card that faults: everything after the fault does nothing, waiting says so, and the same
 * process opens the card again and computes. The argument is the device, as for the operations'
 * tests. */
#include "gpu/device.h"
#include "gpu/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define EXIT_SKIPPED 77
#define N 4096

static enum lf_device_kind kind;

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

static void a_lost_card_is_opened_again(void **state)
{
    (void)state;
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_diag diag;
    void *x;
    for (int i = 0; i < 2; i++) {
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
    }
    open_device(&dev, &stream);
    computes(dev, stream);
    close_device(dev, stream);
}

int main(int argc, char **argv)
{
    struct lf_diag diag;
    struct lf_device *dev;
    if (argc != 2 || lf_device_kind_parse(&kind, argv[1], &diag) ||
        lf_device_open(&dev, kind, NULL, &diag)) {
        print_message("skipped: %s\n", argc == 2 ? diag.text : "no device is named");
        return EXIT_SKIPPED;
    }
    lf_device_free(dev);
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_lost_card_is_opened_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
