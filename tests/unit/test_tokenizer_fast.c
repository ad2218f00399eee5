/* LIBS: lf_text */
/* The tokenizer's short cuts give what the long way gives: ASCII text cut by hand against the regex
 * engine, and merging in both of its ways against the definition. */
#include "core/rng.h"
#include "text/tokenizer/parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t drawn;

static uint32_t draw(uint32_t n)
{
    return lf_rng_u32(11, drawn++, 0) % n;
}

/* --- cutting --- */

static struct lf_str random_text(char *out, size_t cap)
{
    /* Each class of ASCII, and what is a letter, digit or white space beyond it; U+017F and U+212A
     * are s and k to a regex that ignores case. */
    static const char *const pieces[] = {
        "a",
        "Z",
        "the",
        "'",
        "'s",
        "'S",
        "'ll",
        "'Ll",
        "'re",
        "'VE",
        "'t",
        "'x",
        "'\xc5\xbf",
        "0",
        "12",
        "345",
        "6789",
        " ",
        " ",
        "  ",
        "   ",
        "\n",
        "\r\n",
        "\n\n",
        "\t",
        "\v",
        "\f",
        "\r",
        ".",
        ",",
        "!?",
        "(",
        "_",
        "\x01",
        "\x1c",
        "\x7f",
        "\xc3\xa9",
        "\xe2\x84\xaa",
        "\xc2\xa0",
        "\xe2\x80\xa8",
        "\xe3\x80\x80",
        "\xd9\xa1",
        "\xe6\x9d\xb1",
        "\xcc\x81",
        "\xc2\x85",
        "\xf0\x9f\x98\x80",
        "\xc2\xb2",
    };
    size_t n = 0, want = draw(24);
    for (size_t i = 0; i < want; i++) {
        /* Half of the texts are ASCII all through. */
        const char *p = pieces[draw(want % 2 ? 36 : sizeof pieces / sizeof *pieces)];
        if (n + strlen(p) > cap)
            break;
        memcpy(out + n, p, strlen(p));
        n += strlen(p);
    }
    return (struct lf_str){out, n};
}

static void check_text(const struct lf_tok_pattern *fast, const struct lf_tok_pattern *plain,
                       struct lf_str text)
{
    struct lf_diag diag;
    pcre2_match_data *match = NULL;
    struct lf_tok_search a = {fast, text, 0, SIZE_MAX, &match};
    struct lf_tok_search b = {plain, text, 0, SIZE_MAX, &match};
    for (bool found = true; found;) {
        bool also;
        size_t start, end, start2, end2;
        assert_int_equal(lf_tok_search_next(&a, &found, &start, &end, &diag), LF_OK);
        assert_int_equal(lf_tok_search_next(&b, &also, &start2, &end2, &diag), LF_OK);
        if (found != also || (found && (start != start2 || end != end2)))
            fail_msg("\"%.*s\": %zu to %zu, not %zu to %zu", (int)text.n, text.s, start, end,
                     start2, end2);
    }
    pcre2_match_data_free(match);
}

static void ascii_is_cut_as_the_engine_cuts_it(void **state)
{
    (void)state;
    static const char *const known[] = {LF_TOK_GPT2_REGEX, LF_TOK_LLAMA3_REGEX("\\p{N}{1,3}"),
                                        LF_TOK_LLAMA3_REGEX("\\p{N}")};
    for (size_t k = 0; k < 3; k++) {
        struct lf_diag diag;
        struct lf_tok_pattern fast, plain;
        char grouped[512], text[256];
        snprintf(grouped, sizeof grouped, "(?:%s)", known[k]);
        assert_int_equal(lf_tok_pattern_regex(&fast, known[k], strlen(known[k]), &diag), LF_OK);
        assert_int_equal(lf_tok_pattern_regex(&plain, grouped, strlen(grouped), &diag), LF_OK);
        assert_int_not_equal(fast.known, LF_TOK_UNKNOWN);
        assert_int_equal(plain.known, LF_TOK_UNKNOWN);
        for (int i = 0; i < 40000; i++)
            check_text(&fast, &plain, random_text(text, sizeof text));
        lf_tok_pattern_free(&fast);
        lf_tok_pattern_free(&plain);
    }
}

/* --- merging --- */

#define N_LETTERS 4
#define N_MERGES 60
#define WORD_MAX 80

struct merge {
    int left, right;
};

/* Letters are tokens 0 to 3; merge i makes token 4 + i of two earlier ones. */
static struct lf_tokenizer *random_bpe(struct merge *merges)
{
    static char spelling[N_LETTERS + N_MERGES][WORD_MAX];
    struct lf_buf vocab, list, json;
    struct lf_diag diag;
    struct lf_tokenizer *t;
    lf_buf_init(&vocab, 0);
    lf_buf_init(&list, 0);
    lf_buf_init(&json, 0);
    for (int i = 0; i < N_LETTERS + N_MERGES; i++) {
        struct merge *m = &merges[i - N_LETTERS];
        bool fresh = i < N_LETTERS;
        if (fresh)
            snprintf(spelling[i], WORD_MAX, "%c", 'a' + i);
        while (!fresh) {
            *m = (struct merge){(int)draw((uint32_t)i), (int)draw((uint32_t)i)};
            fresh = strlen(spelling[m->left]) + strlen(spelling[m->right]) < 12;
            if (fresh)
                snprintf(spelling[i], WORD_MAX, "%.20s%.20s", spelling[m->left],
                         spelling[m->right]);
            for (int k = 0; k < i; k++)
                fresh = fresh && strcmp(spelling[k], spelling[i]) != 0;
        }
        lf_buf_printf(&vocab, "%s\"%s\":%d", i ? "," : "", spelling[i], i);
        if (i >= N_LETTERS)
            lf_buf_printf(&list, "%s[\"%s\",\"%s\"]", i > N_LETTERS ? "," : "", spelling[m->left],
                          spelling[m->right]);
    }
    lf_buf_printf(&json, "{\"model\":{\"type\":\"BPE\",\"vocab\":{%s},\"merges\":[%s]}}",
                  vocab.data, list.data);
    if (lf_tokenizer_parse(&t, json.data, json.len, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    lf_buf_free(&vocab);
    lf_buf_free(&list);
    lf_buf_free(&json);
    return t;
}

/* The definition: the merge of lowest rank, the leftmost of it, until there is none. */
static int merge_all(const struct merge *merges, int32_t *ids, int n)
{
    for (int m = 0; m < N_MERGES; m++) {
        for (int i = 0; i + 1 < n; i++) {
            if (ids[i] != merges[m].left || ids[i + 1] != merges[m].right)
                continue;
            ids[i] = N_LETTERS + m;
            memmove(ids + i + 1, ids + i + 2, (size_t)(n - i - 2) * sizeof *ids);
            n--;
            m = -1; /* what it made may merge at a lower rank */
            break;
        }
    }
    return n;
}

static void words_of_every_length_merge_by_rank(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct merge merges[N_MERGES];
        struct lf_tokenizer *t = random_bpe(merges);
        for (int i = 0; i < 400; i++) {
            char word[WORD_MAX];
            int32_t want[WORD_MAX];
            struct lf_ids got = {0};
            struct lf_diag diag;
            int n = 1 + i % (WORD_MAX - 1);
            for (int k = 0; k < n; k++) {
                want[k] = (int32_t)draw(N_LETTERS);
                word[k] = (char)('a' + want[k]);
            }
            assert_int_equal(lf_tokenizer_encode(t, &got, word, (size_t)n, false, &diag), LF_OK);
            int n_want = merge_all(merges, want, n);
            assert_int_equal(got.n, n_want);
            assert_memory_equal(got.ids, want, (size_t)n_want * sizeof *want);
            lf_ids_free(&got);
        }
        lf_tokenizer_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ascii_is_cut_as_the_engine_cuts_it),
        cmocka_unit_test(words_of_every_length_merge_by_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
