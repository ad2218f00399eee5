/* Asks guides about schemas: each line of the input is {"schema", "texts": [...], "draws": n,
 * "seed"}, each line of the output {"refused": why} or {"accepts": [whether each text is an
 * answer], "drawn": [answers drawn at random through the masks of a base's tokenizer], "masks": how
 * many masks that took, "mask_us": and how long each, without what the machine did besides}.
 *
 *     guide_lines BASE
 */
#include "core/clock.h"
#include "core/json.h"
#include "core/rng.h"
#include "text/guide.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS_MAX 3000

static struct lf_tokenizer *tokenizer;
static struct lf_token_trie *trie;
static int n_ids;
static int32_t eos;
static bool *closing; /* (n_ids) its bytes are JSON's own */
static int64_t n_masks;
static uint64_t mask_ns;

static bool open_base(const char *dir, struct lf_diag *diag)
{
    lf_buf_auto b = {0};
    if (lf_tokenizer_open(&tokenizer, dir, diag) != LF_OK)
        return false;
    while (lf_tokenizer_token(tokenizer, n_ids))
        n_ids++;
    eos = lf_tokenizer_eos(tokenizer);
    closing = calloc((size_t)n_ids, sizeof *closing);
    for (int32_t id = 0; id < n_ids; id++) {
        lf_buf_reset(&b);
        if (lf_tokenizer_bytes(tokenizer, &b, id) != LF_OK)
            return false;
        closing[id] = b.len > 0 && strspn(b.data, "\"}],:0") == b.len;
    }
    return lf_token_trie_new(&trie, tokenizer, n_ids, &eos, 1, diag) == LF_OK;
}

static bool accepts(struct lf_grammar *g, const json_t *text)
{
    struct lf_guide *u;
    if (lf_guide_new(&u, g, NULL) != LF_OK)
        exit(2);
    bool whole = lf_guide_bytes(u, json_string_value(text), json_string_length(text)) == LF_OK &&
                 lf_guide_whole(u);
    lf_guide_free(u);
    return whole;
}

/* One of the allowed ids, one of JSON's own where one of the first few is. */
static int32_t choose(const uint32_t *mask, uint64_t seed, uint64_t step)
{
    int32_t found = -1, n = 0;
    bool wanted = lf_rng_u32(seed, step, 1) % 3 == 0;
    for (int32_t id = 0; id < n_ids; id++) {
        if (!(mask[id / 32] >> (id % 32) & 1) || (wanted && !closing[id] && id != eos))
            continue;
        n++;
        if (lf_rng_u32(seed, step, 2 + (uint64_t)id) % (uint32_t)n == 0)
            found = id;
    }
    return found < 0 && wanted ? choose(mask, seed, step + TOKENS_MAX) : found;
}

static json_t *draw(struct lf_grammar *g, uint64_t seed)
{
    struct lf_guide *u;
    lf_buf_auto text = {0};
    uint32_t *mask = calloc(lf_guide_words(n_ids), sizeof *mask);
    int32_t id = -1;
    if (lf_guide_new(&u, g, NULL) != LF_OK)
        exit(2);
    for (uint64_t step = 0; step < TOKENS_MAX && id != eos; step++) {
        uint64_t begin = lf_clock_thread_ns();
        if (lf_guide_mask(u, mask) != LF_OK)
            break;
        mask_ns += lf_clock_thread_ns() - begin;
        n_masks++;
        id = choose(mask, seed, step);
        if (id < 0 || lf_guide_accept(u, id) != LF_OK) {
            fprintf(stderr, "token %d of a mask was refused\n", id);
            exit(2);
        }
        if (id != eos && lf_tokenizer_bytes(tokenizer, &text, id) != LF_OK)
            exit(2);
    }
    bool whole = id == eos && lf_guide_whole(u);
    if (id == eos && !whole)
        fprintf(stderr, "a dead end after: %s\n", lf_buf_str(&text));
    lf_guide_free(u);
    free(mask);
    return whole ? json_stringn(lf_buf_str(&text), text.len) : json_null();
}

static json_t *answer(const json_t *line)
{
    lf_buf_auto gbnf = {0};
    struct lf_diag diag = {""};
    struct lf_grammar *g;
    const json_t *texts = json_object_get(line, "texts");
    uint64_t seed = (uint64_t)json_integer_value(json_object_get(line, "seed"));
    if (lf_grammar_of_schema(&gbnf, json_object_get(line, "schema"), "root", &diag) != LF_OK ||
        lf_grammar_new(&g, lf_buf_str(&gbnf), gbnf.len, trie, &diag) != LF_OK)
        return json_pack("{s:s}", "refused", diag.text);
    json_t *accepted = json_array(), *drawn = json_array();
    n_masks = 0;
    mask_ns = 0;
    for (size_t i = 0; i < json_array_size(texts); i++)
        json_array_append_new(accepted, json_boolean(accepts(g, json_array_get(texts, i))));
    for (json_int_t i = 0; i < json_integer_value(json_object_get(line, "draws")); i++)
        json_array_append_new(drawn, draw(g, seed + (uint64_t)i));
    lf_grammar_release(g);
    return json_pack("{s:o, s:o, s:I, s:f}", "accepts", accepted, "drawn", drawn, "masks",
                     (json_int_t)n_masks, "mask_us",
                     n_masks > 0 ? (double)mask_ns / 1e3 / (double)n_masks : 0.0);
}

int main(int argc, char **argv)
{
    struct lf_diag diag = {""};
    char *line = NULL;
    size_t cap = 0;
    if (argc != 2 || !open_base(argv[1], &diag)) {
        fprintf(stderr, "guide_lines BASE: %s\n", diag.text);
        return 2;
    }
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        json_t *in;
        if (lf_json_parse(&in, line, (size_t)n, &diag) != LF_OK) {
            fprintf(stderr, "%s\n", diag.text);
            return 2;
        }
        json_t *out = answer(in);
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(out);
        json_decref(in);
    }
    free(line);
    free(closing);
    lf_token_trie_free(trie);
    lf_tokenizer_free(tokenizer);
    return 0;
}
