/* LIBS: lf_model lf_gpu lf_core */
/* bitsandbytes' 4-bit tensors in all their forms (nested or not, other block sizes, FP4, codes
 * stored as another dtype) and with a part missing or wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/rng.h"
#include "gpu/nf4.h"
#include "gpu/weight.h"
#include "model/bnb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N 12
#define K 64
#define ELEMENTS (N * K)

static char dir[] = "/tmp/lf-bnb-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : 1;
}

static int tear_down(void **state)
{
    struct lf_diag diag;
    (void)state;
    return lf_dir_remove(dir, &diag);
}

/* A file to be written: one 4-bit matrix "w" and its parts. */
struct form {
    int block, block2; /* block2 0: not nested */
    bool fp4;
    enum lf_dtype storage;
    const char *state; /* instead of the right one */
    const char *skip;  /* leave this part out */
    int extra;         /* that many elements too many in absmax */
};

static uint8_t codes[ELEMENTS / 2], absmax_q[64];
static float absmax[64], absmax2[8], map2[256];

static void random_parts(void)
{
    for (int i = 0; i < ELEMENTS / 2; i++)
        codes[i] = (uint8_t)lf_rng_u32(1, (uint64_t)i, 0);
    for (int i = 0; i < 64; i++) {
        absmax_q[i] = (uint8_t)lf_rng_u32(1, (uint64_t)i, 1);
        absmax[i] = 0.1f + lf_rng_unit(lf_rng_u32(1, (uint64_t)i, 2));
    }
    for (int i = 0; i < 8; i++)
        absmax2[i] = 0.01f * (float)(i + 1);
    memcpy(map2, lf_dynamic_map, sizeof map2);
}

static void add(struct lf_tensor *t, size_t *n, const struct form *f, const char *name,
                enum lf_dtype dtype, size_t count, const void *data)
{
    if (!f->skip || strcmp(f->skip, name) != 0)
        t[(*n)++] = (struct lf_tensor){
            .name = name, .dtype = dtype, .n_dims = 1, .dims = {(int64_t)count}, .data = data};
}

static struct lf_tensors *write_form(const struct form *f)
{
    struct lf_diag diag;
    struct lf_tensor t[8];
    struct lf_tensors *out;
    size_t n = 0, blocks = (size_t)(ELEMENTS / f->block);
    char path[64], state[256], nested[96] = "";
    const char *state_name =
        f->fp4 ? "w.quant_state.bitsandbytes__fp4" : "w.quant_state.bitsandbytes__nf4";
    if (f->block2)
        snprintf(nested, sizeof nested,
                 ", \"nested_blocksize\": %d, \"nested_dtype\": "
                 "\"float32\", \"nested_offset\": 0.3",
                 f->block2);
    snprintf(state, sizeof state,
             "{\"quant_type\": \"x\", \"blocksize\": %d, \"dtype\": "
             "\"bfloat16\", \"shape\": [%d, %d]%s}",
             f->block, N, K, nested);
    if (f->state)
        snprintf(state, sizeof state, "%s", f->state);
    add(t, &n, f, "w.quant_map", LF_F32, 16, f->fp4 ? lf_fp4_code : lf_nf4_code);
    if (f->block2) {
        size_t blocks2 = (blocks + (size_t)f->block2 - 1) / (size_t)f->block2;
        add(t, &n, f, "w.nested_absmax", LF_F32, blocks2, absmax2);
        add(t, &n, f, "w.nested_quant_map", LF_F32, 256, map2);
    } else {
        add(t, &n, f, "w.absmax", LF_F32, blocks + (size_t)f->extra, absmax);
    }
    add(t, &n, f, "w", f->storage, ELEMENTS / 2 / lf_dtype_bytes(f->storage), codes);
    if (f->block2)
        add(t, &n, f, "w.absmax", LF_U8, blocks + (size_t)f->extra, absmax_q);
    add(t, &n, f, state_name, LF_U8, strlen(state), state);
    snprintf(path, sizeof path, "%s/w.safetensors", dir);
    if (lf_tensors_write(path, t, n, &diag) != LF_OK ||
        lf_tensors_open(&out, path, LF_ADAPTER_HEADER_MAX, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    return out;
}

static void reads_every_form(void **state)
{
    (void)state;
    static const struct form forms[] = {
        {.block = 64, .block2 = 256, .storage = LF_U8},
        {.block = 64, .storage = LF_U8},
        {.block = 32, .block2 = 8, .storage = LF_BF16},
        {.block = 128, .block2 = 256, .storage = LF_F32},
        {.block = 256, .fp4 = true, .storage = LF_F16},
        {.block = 64, .block2 = 256, .fp4 = true, .storage = LF_U8},
    };
    random_parts();
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const struct form *f = &forms[i];
        struct lf_tensors *t = write_form(f);
        struct lf_weight w;
        struct lf_diag diag;
        bool found;
        if (lf_bnb_read(&found, &w, t, "w", N, K, &diag) != LF_OK)
            fail_msg("%s", diag.text);
        assert_true(found);
        for (int e = 0; e < ELEMENTS; e++) {
            int nibble = e % 2 ? codes[e / 2] & 15 : codes[e / 2] >> 4, b = e / f->block;
            float scale = absmax[b];
            if (f->block2) {
                scale = map2[absmax_q[b]] * absmax2[b / f->block2];
                scale += 0.3f;
            }
            assert_true(lf_weight_at(&w, e / K, e % K) ==
                        (f->fp4 ? lf_fp4_code : lf_nf4_code)[nibble] * scale);
        }
        lf_tensors_free(t);
    }
}

static void names_the_part_that_is_wrong(void **state)
{
    (void)state;
    static const struct {
        struct form form;
        enum lf_err want;
        const char *word;
    } bad[] = {
        {{.block = 64, .block2 = 256, .skip = "w.absmax"}, LF_E_DAMAGED, "absmax"},
        {{.block = 64, .block2 = 256, .skip = "w.nested_quant_map"},
         LF_E_DAMAGED,
         "nested_quant_map"},
        {{.block = 64, .skip = "w.quant_state.bitsandbytes__nf4"}, LF_E_DAMAGED, "quant_state"},
        {{.block = 64, .extra = 1}, LF_E_DAMAGED, "absmax"},
        {{.block = 64, .block2 = 256, .extra = 1}, LF_E_DAMAGED, "absmax"},
        {{.block = 64, .state = "{\"blocksize\":64,\"shape\":[12,63]}"}, LF_E_DAMAGED, "shape"},
        {{.block = 64, .state = "{\"blocksize\":64}"}, LF_E_DAMAGED, "shape"},
        {{.block = 64, .state = "{\"blocksize\":48,\"shape\":[12,64]}"}, LF_E_UNSUPPORTED, "48"},
        {{.block = 64, .state = "{\"blocksize\":0,\"shape\":[12,64]}"}, LF_E_INVALID, "blocksize"},
        {{.block = 64, .state = "{\"blocksize\":32,\"shape\":[12,64]}"}, LF_E_DAMAGED, "absmax"},
        {{.block = 64, .state = "nonsense"}, LF_E_INVALID, "quant_state"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct form f = bad[i].form;
        struct lf_weight w;
        struct lf_diag diag;
        bool found;
        f.storage = LF_U8;
        struct lf_tensors *t = write_form(&f);
        enum lf_err rc = lf_bnb_read(&found, &w, t, "w", N, K, &diag);
        if (rc != bad[i].want || !strstr(diag.text, bad[i].word) || !strstr(diag.text, "\"w\""))
            fail_msg("case %zu gave %s: \"%s\"", i, lf_err_name(rc), diag.text);
        assert_int_equal(lf_bnb_read(&found, &w, t, "w", N, K / 2, &diag), LF_E_DAMAGED);
        lf_tensors_free(t);
    }
}

static void a_plain_tensor_is_not_4_bit(void **state)
{
    (void)state;
    struct form f = {.block = 64, .storage = LF_U8, .skip = "w.quant_map"};
    struct lf_tensors *t = write_form(&f);
    struct lf_weight w;
    struct lf_diag diag;
    bool found = true;
    assert_int_equal(lf_bnb_read(&found, &w, t, "w", N, K, &diag), LF_OK);
    assert_false(found);
    assert_int_equal(lf_bnb_read(&found, &w, t, "v", N, K, &diag), LF_OK);
    assert_false(found);
    lf_tensors_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form),
        cmocka_unit_test(names_the_part_that_is_wrong),
        cmocka_unit_test(a_plain_tensor_is_not_4_bit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
