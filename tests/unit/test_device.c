/* LIBS: lf_gpu lf_core */
/* Devices, their memory, their streams, and the 16-bit floats. */
#include "gpu/device.h"
#include "gpu/ops.h"

#include "core/rng.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct lf_device *open_cpu(const struct lf_device_options *options)
{
    struct lf_diag diag;
    struct lf_device *dev;
    assert_int_equal(lf_device_open(&dev, LF_DEVICE_CPU, options, &diag), LF_OK);
    return dev;
}

static void *must_alloc(struct lf_device *dev, size_t bytes)
{
    struct lf_diag diag;
    void *p;
    assert_int_equal(lf_device_alloc(dev, &p, bytes, &diag), LF_OK);
    return p;
}

static void kinds_have_names(void **state)
{
    (void)state;
    struct lf_diag diag;
    enum lf_device_kind kind;
    assert_int_equal(lf_device_kind_parse(&kind, "cuda", &diag), LF_OK);
    assert_int_equal(kind, LF_DEVICE_CUDA);
    assert_int_equal(lf_device_kind_parse(&kind, "cpu", &diag), LF_OK);
    assert_int_equal(kind, LF_DEVICE_CPU);
    assert_int_equal(lf_device_kind_parse(&kind, "CPU ", &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "CPU "));
}

static void the_words_of_kinds_are_in_their_order(void **state)
{
    (void)state;
    char words[64] = "";
    for (int k = LF_DEVICE_AUTO; k <= LF_DEVICE_CUDA; k++) {
        enum lf_device_kind kind;
        const char *word = lf_device_kind_word((enum lf_device_kind)k);
        assert_int_equal(lf_device_kind_parse(&kind, word, NULL), LF_OK);
        assert_int_equal(kind, k);
        size_t n = strlen(words);
        snprintf(words + n, sizeof words - n, n ? "|%s" : "%s", word);
    }
    assert_string_equal(words, LF_DEVICE_WORDS);
}

static void auto_opens_what_the_machine_has(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_device *dev, *card;
    bool has_card = lf_device_open(&card, LF_DEVICE_CUDA, NULL, &diag) == LF_OK;
    if (has_card)
        lf_device_free(card);
    assert_int_equal(lf_device_open(&dev, LF_DEVICE_AUTO, NULL, &diag), LF_OK);
    assert_int_equal(dev->kind, has_card ? LF_DEVICE_CUDA : LF_DEVICE_CPU);
    assert_string_equal(dev->traits->word, has_card ? "cuda" : "cpu");
    assert_int_equal(lf_device_on_host(dev), !has_card);
    lf_device_free(dev);
}

static void says_what_it_is(void **state)
{
    (void)state;
    struct lf_device_info info;
    struct lf_device *dev = open_cpu(&(struct lf_device_options){.threads = 2});
    lf_device_info(dev, &info);
    assert_non_null(strstr(info.name, "2 threads"));
    assert_int_equal(info.units, 2);
    assert_true(info.memory_total >= info.memory_free && info.memory_free > 0);
    assert_int_equal(dev->act, LF_F32);
    lf_device_free(dev);
}

static void memory_is_aligned_and_counted(void **state)
{
    (void)state;
    struct lf_device_info info;
    struct lf_device *dev = open_cpu(NULL);
    void *a = must_alloc(dev, 1), *b = must_alloc(dev, 1000), *none = must_alloc(dev, 0);
    void *large = must_alloc(dev, (size_t)5 << 20);
    assert_null(none);
    assert_int_equal((uintptr_t)a % 256, 0);
    assert_int_equal((uintptr_t)b % 256, 0);
    assert_int_equal((uintptr_t)large % 256, 0);
    lf_device_info(dev, &info);
    assert_int_equal(info.memory_used, 1001 + ((size_t)5 << 20));
    lf_device_release(dev, large);
    lf_device_release(dev, a);
    lf_device_release(dev, b);
    lf_device_release(dev, NULL);
    lf_device_info(dev, &info);
    assert_int_equal(info.memory_used, 0);
    assert_int_equal(info.memory_peak, 1001 + ((size_t)5 << 20));
    lf_device_free(dev);
}

static void the_ceiling_holds(void **state)
{
    (void)state;
    struct lf_diag diag;
    void *p = NULL;
    struct lf_device *dev = open_cpu(&(struct lf_device_options){.memory_bytes = 1000});
    void *a = must_alloc(dev, 600);
    struct lf_device_info info;
    lf_device_info(dev, &info);
    assert_int_equal(info.memory_total, 1000);
    assert_int_equal(info.memory_free, 400);
    assert_int_equal(lf_device_alloc(dev, &p, 401, &diag), LF_E_DEVICE_FULL);
    assert_int_equal(lf_device_alloc(dev, &p, SIZE_MAX, &diag), LF_E_DEVICE_FULL);
    assert_null(p);
    void *b = must_alloc(dev, 400);
    lf_device_release(dev, a);
    a = must_alloc(dev, 600);
    lf_device_release(dev, a);
    lf_device_release(dev, b);
    lf_device_free(dev);
}

static void paged_memory_goes_to_the_host(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_device_info info;
    struct lf_device *dev = open_cpu(&(struct lf_device_options){.memory_bytes = 1000});
    void *p[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lf_device_alloc_paged(dev, &p[i], 600, &diag), LF_OK);
        memset(p[i], i, 600);
    }
    lf_device_info(dev, &info);
    assert_int_equal(info.memory_used, 600);
    lf_device_release(dev, p[1]);
    lf_device_release(dev, p[0]);
    lf_device_info(dev, &info);
    assert_int_equal(info.memory_used, 0);
    assert_int_equal(((char *)p[2])[599], 2);
    lf_device_release(dev, p[2]);
    assert_int_equal(lf_device_alloc_paged(dev, &p[0], SIZE_MAX, &diag), LF_E_NO_MEMORY);
    lf_device_free(dev);
}

static void an_impossible_size_is_refused(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_device_info info;
    void *p = NULL;
    struct lf_device *dev = open_cpu(NULL);
    assert_int_equal(lf_device_alloc(dev, &p, SIZE_MAX, &diag), LF_E_NO_MEMORY);
    assert_null(p);
    lf_device_info(dev, &info);
    assert_int_equal(info.memory_used, 0);
    lf_device_free(dev);
}

/* Allocations come and go in no order; the ledger must forget the right ones. */
static void the_ledger_keeps_up(void **state)
{
    (void)state;
    enum { LIVE = 700, ROUNDS = 6000 };
    static void *live[LIVE];
    static size_t size[LIVE];
    struct lf_device_info info;
    struct lf_device *dev = open_cpu(NULL);
    size_t used = 0;
    for (int i = 0; i < ROUNDS; i++) {
        size_t at = lf_rng_u32(7, (uint64_t)i, 0) % LIVE;
        used -= live[at] ? size[at] : 0;
        lf_device_release(dev, live[at]);
        live[at] = NULL;
        if (lf_rng_u32(7, (uint64_t)i, 1) % 3 == 0)
            continue;
        size[at] = 1 + lf_rng_u32(7, (uint64_t)i, 2) % 900;
        live[at] = must_alloc(dev, size[at]);
        used += size[at];
        lf_device_info(dev, &info);
        assert_int_equal(info.memory_used, used);
    }
    for (int i = 0; i < LIVE; i++)
        lf_device_release(dev, live[i]);
    lf_device_info(dev, &info);
    assert_int_equal(info.memory_used, 0);
    lf_device_free(dev);
}

static void streams_move_bytes(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_stream *s;
    struct lf_device *dev = open_cpu(NULL);
    assert_int_equal(lf_stream_new(&s, dev, 1, &diag), LF_OK);
    assert_int_equal(lf_stream_reserve(s, 1 << 16, &diag), LF_OK);
    char text[8] = "abcdefg", back[8];
    char *a = must_alloc(dev, 8), *b = must_alloc(dev, 8);
    lf_stream_upload(s, a, text, 8);
    lf_stream_zero(s, a + 2, 2);
    lf_stream_copy(s, b, a, 8);
    lf_stream_download(s, back, b, 8);
    lf_stream_copy(s, NULL, NULL, 0);
    assert_int_equal(lf_stream_wait(s, &diag), LF_OK);
    assert_memory_equal(back, "ab\0\0efg", 8);
    lf_device_release(dev, a);
    lf_device_release(dev, b);
    lf_stream_free(s);
    lf_device_free(dev);
}

static void copies_follow_another_stream(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_stream *s, *copies;
    struct lf_mark *made;
    void *host;
    struct lf_device *dev = open_cpu(NULL);
    char *p = must_alloc(dev, 8), back[8];
    assert_int_equal(lf_stream_new(&s, dev, 0, &diag), LF_OK);
    assert_int_equal(lf_stream_new(&copies, dev, LF_STREAM_COPIES, &diag), LF_OK);
    assert_int_equal(lf_mark_new(&made, s, &diag), LF_OK);
    assert_int_equal(lf_device_alloc_host(dev, &host, 8, &diag), LF_OK);
    lf_stream_follow(copies, made); /* never set: nothing to wait for */
    lf_stream_upload(s, p, "abcdefg", 8);
    lf_mark_set(made);
    lf_stream_follow(copies, made);
    lf_stream_copy(copies, host, p, 8);
    lf_stream_zero(copies, p, 8);
    lf_stream_copy(copies, p, host, 8);
    assert_int_equal(lf_stream_wait(copies, &diag), LF_OK);
    lf_stream_download(s, back, p, 8);
    assert_int_equal(lf_stream_wait(s, &diag), LF_OK);
    assert_string_equal(back, "abcdefg");
    lf_mark_free(made);
    lf_device_release_host(dev, host);
    lf_device_release(dev, p);
    lf_stream_free(copies);
    lf_stream_free(s);
    lf_device_free(dev);
}

static void host_devices_record_nothing(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_stream *s;
    struct lf_device *dev = open_cpu(NULL);
    assert_int_equal(lf_stream_new(&s, dev, 0, &diag), LF_OK);
    assert_int_equal(lf_stream_record_begin(s, &diag), LF_E_UNSUPPORTED);
    lf_stream_free(s);
    lf_device_free(dev);
}

/* ---- Two streams at once ---- */

enum { T = 40, N = 96, K = 64, RUNS = 50 };

struct user {
    struct lf_stream *stream;
    struct lf_weight w;
    float x[T * K], y[T * N];
    pthread_t thread;
};

static void a_mark_of_a_host_device_is_reached_at_once(void **state)
{
    (void)state;
    struct lf_device *dev = NULL;
    struct lf_stream *s = NULL;
    struct lf_mark *mark = NULL;
    struct lf_diag diag = {""};
    assert_int_equal(lf_device_open(&dev, LF_DEVICE_CPU, NULL, &diag), LF_OK);
    assert_int_equal(lf_stream_new(&s, dev, 0, &diag), LF_OK);
    assert_false(lf_stream_async(s));
    assert_int_equal(lf_mark_new(&mark, s, &diag), LF_OK);
    lf_mark_set(mark);
    assert_int_equal(lf_mark_wait(mark, &diag), LF_OK);
    lf_mark_free(mark);
    lf_mark_free(NULL);
    lf_stream_free(s);
    lf_device_free(dev);
}

static void *use(void *arg)
{
    struct user *u = arg;
    struct lf_linear_args a = {
        .y = u->y, .x = u->x, .w = {&u->w}, .n = 1, .T = T, .ldy = N, .ldx = K};
    for (int i = 0; i < RUNS; i++)
        u->stream->ops->linear(u->stream, &a);
    return NULL;
}

static void two_streams_do_not_mix(void **state)
{
    (void)state;
    static struct user users[2];
    static float weights[2][N * K];
    struct lf_diag diag;
    struct lf_device *dev = open_cpu(&(struct lf_device_options){.threads = 2});
    for (int i = 0; i < 2; i++) {
        struct user *u = &users[i];
        for (int j = 0; j < N * K; j++)
            weights[i][j] = (float)(int)(lf_rng_u32(1, (uint64_t)j, (uint64_t)i) % 9) - 4;
        for (int j = 0; j < T * K; j++)
            u->x[j] = (float)(int)(lf_rng_u32(2, (uint64_t)j, (uint64_t)i) % 9) - 4;
        u->w = (struct lf_weight){.kind = LF_WEIGHT_F32, .N = N, .K = K, .data = weights[i]};
        assert_int_equal(lf_stream_new(&u->stream, dev, i, &diag), LF_OK);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
    for (int i = 0; i < 2; i++) {
        struct user *u = &users[i];
        pthread_join(u->thread, NULL);
        lf_stream_free(u->stream);
        for (int t = 0; t < T; t++)
            for (int n = 0; n < N; n++) { /* small integers: exact in any order */
                float sum = 0;
                for (int k = 0; k < K; k++)
                    sum += u->x[t * K + k] * weights[i][n * K + k];
                assert_true(u->y[t * N + n] == sum);
            }
    }
    lf_device_free(dev);
}

/* ---- 16-bit floats ---- */

static void every_16_bit_float_comes_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float a = lf_bf16_to_f32((uint16_t)h), b = lf_f16_to_f32((uint16_t)h);
        if (!isnan(a))
            assert_int_equal(lf_f32_to_bf16(a), h);
        else
            assert_true(isnan(lf_bf16_to_f32(lf_f32_to_bf16(a))));
        if (!isnan(b))
            assert_int_equal(lf_f32_to_f16(b), h);
        else
            assert_true(isnan(lf_f16_to_f32(lf_f32_to_f16(b))));
    }
}

static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(lf_f32_to_bf16(1.0f + 1.0f / 256), 0x3F80); /* tie: down to even */
    assert_int_equal(lf_f32_to_bf16(1.0f + 3.0f / 256), 0x3F82); /* tie: up to even */
    assert_int_equal(lf_f32_to_bf16(3.4e38f), 0x7F80);
    assert_int_equal(lf_f32_to_f16(65519.99f), 0x7BFF);
    assert_int_equal(lf_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(lf_f32_to_f16(-ldexpf(1, -25)), 0x8000); /* tie with zero */
    assert_int_equal(lf_f32_to_f16(ldexpf(1.001f, -25)), 0x0001);
    for (uint32_t h = 0; h + 1 < 0x7C00; h++) { /* between every two neighbours */
        float low = lf_f16_to_f32((uint16_t)h), high = lf_f16_to_f32((uint16_t)(h + 1));
        float middle = low + (high - low) / 2;
        assert_int_equal(lf_f32_to_f16(middle), h % 2 ? h + 1 : h);
        assert_int_equal(lf_f32_to_f16(nextafterf(middle, high)), h + 1);
        assert_int_equal(lf_f32_to_f16(nextafterf(middle, low)), h);
    }
}

static void rows_convert_too(void **state)
{
    (void)state;
    static const float x[5] = {0, -1.5f, 2, 0.25f, -65504};
    uint16_t half[5];
    float back[5];
    static const enum lf_dtype types[] = {LF_BF16, LF_F16};
    for (int i = 0; i < 2; i++) {
        lf_from_f32(half, types[i], x, 4);
        lf_to_f32(back, half, types[i], 4);
        assert_memory_equal(back, x, 4 * sizeof *x);
    }
    lf_from_f32(back, LF_F32, x, 5);
    assert_memory_equal(back, x, sizeof x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(the_words_of_kinds_are_in_their_order),
        cmocka_unit_test(auto_opens_what_the_machine_has),
        cmocka_unit_test(says_what_it_is),
        cmocka_unit_test(memory_is_aligned_and_counted),
        cmocka_unit_test(the_ceiling_holds),
        cmocka_unit_test(paged_memory_goes_to_the_host),
        cmocka_unit_test(an_impossible_size_is_refused),
        cmocka_unit_test(the_ledger_keeps_up),
        cmocka_unit_test(streams_move_bytes),
        cmocka_unit_test(host_devices_record_nothing),
        cmocka_unit_test(copies_follow_another_stream),
        cmocka_unit_test(a_mark_of_a_host_device_is_reached_at_once),
        cmocka_unit_test(two_streams_do_not_mix),
        cmocka_unit_test(every_16_bit_float_comes_back),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(rows_convert_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
