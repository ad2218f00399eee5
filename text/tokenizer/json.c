/* tokenizer.json: the model's vocabulary and merges read in place, then the components. */
#include "core/json.h"
#include "core/json_reader.h"
#include "text/tokenizer/load.h"

#include <string.h>

/* The members of the file, as byte ranges. */
struct members {
    struct lf_str version, added_tokens, normalizer, pre_tokenizer, post_processor, decoder;
    struct lf_str model, ignored;
};

static struct lf_str *member_of(struct members *m, struct lf_str key)
{
    struct {
        const char *name;
        struct lf_str *range;
    } known[] = {
        {"version", &m->version},
        {"truncation", &m->ignored},
        {"padding", &m->ignored},
        {"added_tokens", &m->added_tokens},
        {"normalizer", &m->normalizer},
        {"pre_tokenizer", &m->pre_tokenizer},
        {"post_processor", &m->post_processor},
        {"decoder", &m->decoder},
        {"model", &m->model},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (lf_str_is(key, known[i].name))
            return known[i].range;
    return NULL;
}

static enum lf_err find_members(struct members *m, struct lf_json_reader *r)
{
    enum lf_err rc = lf_json_reader_expect(r, '{');
    for (size_t count = 0; rc == LF_OK; count++) {
        bool more;
        struct lf_str key;
        rc = lf_json_reader_more(r, '}', count, &more);
        if (rc != LF_OK || !more)
            break;
        rc = lf_json_reader_key(r, &key);
        struct lf_str *range = rc == LF_OK ? member_of(m, key) : NULL;
        if (rc == LF_OK && !range)
            rc = lf_fail(r->diag, LF_E_UNSUPPORTED, "unknown key \"%.*s\"", (int)key.n, key.s);
        rc = rc ?: lf_json_reader_skip(r, range);
    }
    return rc ?: lf_json_reader_end(r);
}

/* --- the model --- */

struct model {
    struct lf_str vocab, merges;
    json_t *rest; /* its small members */
};

static enum lf_err find_model(struct model *m, struct lf_json_reader *r)
{
    enum lf_err rc = lf_json_reader_expect(r, '{');
    for (size_t count = 0; rc == LF_OK; count++) {
        bool more;
        struct lf_str key, value;
        rc = lf_json_reader_more(r, '}', count, &more);
        if (rc != LF_OK || !more)
            break;
        rc = lf_json_reader_key(r, &key);
        char name[64] = "";
        if (rc == LF_OK)
            memcpy(name, key.s, key.n < sizeof name ? key.n : sizeof name - 1);
        rc = rc ?: lf_json_reader_skip(r, &value);
        if (rc != LF_OK)
            break;
        json_t *small = NULL;
        if (strcmp(name, "vocab") == 0)
            m->vocab = value;
        else if (strcmp(name, "merges") == 0)
            m->merges = value;
        else
            rc = lf_json_parse(&small, value.s, value.n, r->diag);
        if (small && json_object_set_new(m->rest, name, small) != 0)
            rc = lf_json_reader_fail(r, "a key that is not UTF-8");
    }
    return rc;
}

enum lf_err lf_tok_read_vocab(struct lf_tokenizer *t, struct lf_str range, struct lf_diag *diag)
{
    struct lf_json_reader r;
    lf_json_reader_init(&r, range.s, range.n, diag);
    enum lf_err rc = lf_json_reader_expect(&r, '{');
    for (size_t count = 0; rc == LF_OK; count++) {
        bool more;
        uint32_t id;
        struct lf_str key, kept;
        rc = lf_json_reader_more(&r, '}', count, &more);
        if (rc != LF_OK || !more)
            break;
        rc = lf_json_reader_key(&r, &key);
        rc = rc ?: lf_tok_strdup(&t->arena, &kept, key.s, key.n, diag);
        rc = rc ?: lf_json_reader_uint(&r, &id);
        rc = rc ?: lf_tok_bpe_add(&t->bpe, kept, id, diag);
    }
    lf_json_reader_free(&r);
    return rc == LF_OK ? lf_tok_bpe_index(&t->bpe, diag) : lf_fail_within(diag, rc, "vocab");
}

/* One merge: "a b" or ["a", "b"], copied so that both sides stand behind each other in `both`. */
static enum lf_err read_merge(struct lf_json_reader *r, struct lf_buf *both, size_t *left)
{
    struct lf_str s;
    lf_buf_reset(both);
    if (lf_json_reader_peek(r) == '"') {
        enum lf_err rc = lf_json_reader_string(r, &s);
        if (rc != LF_OK)
            return rc;
        const char *space = memchr(s.s, ' ', s.n);
        *left = space ? (size_t)(space - s.s) : 0;
        if (!space || memchr(space + 1, ' ', s.n - *left - 1))
            return lf_json_reader_fail(r, "a merge must be two tokens with a space between");
        lf_buf_append(both, s.s, *left);
        return lf_buf_append(both, space + 1, s.n - *left - 1);
    }
    enum lf_err rc = lf_json_reader_expect(r, '[');
    for (int side = 0; side < 2 && rc == LF_OK; side++) {
        rc = side ? lf_json_reader_expect(r, ',') : LF_OK;
        rc = rc ?: lf_json_reader_string(r, &s);
        rc = rc ?: lf_buf_append(both, s.s, s.n);
        if (side == 0)
            *left = both->len;
    }
    return rc ?: lf_json_reader_expect(r, ']');
}

enum lf_err lf_tok_merge_add(struct lf_buf *list, const struct lf_tok_bpe *b,
                             const struct lf_buf *both, size_t left, struct lf_diag *diag)
{
    const char *s = lf_buf_str(both);
    struct lf_str parts[] = {{s, left}, {s + left, both->len - left}, {s, both->len}};
    uint32_t rank = (uint32_t)(list->len / sizeof(struct lf_tok_merge));
    int32_t id[3];
    if (left == 0 || left == both->len)
        return lf_fail(diag, LF_E_INVALID, "merge %u: \"%s\" is joined with nothing", rank, s);
    for (size_t i = 0; i < 3; i++) {
        id[i] = lf_tok_bpe_find(b, parts[i]);
        if (id[i] < 0)
            return lf_fail(diag, LF_E_INVALID, "merge %u: \"%.*s\" is not in the vocabulary", rank,
                           (int)parts[i].n, parts[i].s);
    }
    struct lf_tok_merge m = {LF_TOK_PAIR(id[0], id[1]), rank, id[2]};
    lf_buf_append(list, &m, sizeof m);
    return LF_OK;
}

static enum lf_err read_merges(struct lf_tokenizer *t, struct lf_str range, struct lf_diag *diag)
{
    struct lf_json_reader r;
    lf_json_reader_init(&r, range.s, range.n, diag);
    lf_buf_auto both = {.max = range.n + 1}, merges = {0};
    enum lf_err rc = lf_json_reader_expect(&r, '[');
    for (size_t count = 0; rc == LF_OK; count++) {
        bool more;
        size_t left = 0;
        rc = lf_json_reader_more(&r, ']', count, &more);
        if (rc != LF_OK || !more)
            break;
        rc = read_merge(&r, &both, &left);
        rc = rc ?: lf_tok_merge_add(&merges, &t->bpe, &both, left, diag);
    }
    lf_json_reader_free(&r);
    return rc ?: lf_tok_bpe_merges(&t->bpe, &merges, diag);
}

/* A prefix or suffix of subwords is not known here; "" is as good as none. */
static void refuse_affix(struct lf_json_in *in, const char *key)
{
    const char *value = lf_json_str(in, key, "");
    if (in->rc == LF_OK && *value)
        in->rc = lf_fail(in->diag, LF_E_UNSUPPORTED, "%s \"%s\" is not supported", key, value);
}

static enum lf_err read_flags(struct lf_tokenizer *t, const json_t *rest, struct lf_diag *diag)
{
    static const char *const known[] = {"type",
                                        "dropout",
                                        "unk_token",
                                        "continuing_subword_prefix",
                                        "end_of_word_suffix",
                                        "fuse_unk",
                                        "byte_fallback",
                                        "ignore_merges",
                                        NULL};
    struct lf_json_in in = lf_json_in(rest, diag);
    const char *type = lf_json_str(&in, "type", "BPE");
    if (in.rc == LF_OK && strcmp(type, "BPE") != 0)
        in.rc = lf_fail(diag, LF_E_UNSUPPORTED, "model type \"%s\" is not supported", type);
    in.rc = in.rc ?: lf_json_only(rest, known, diag);
    lf_json_real(&in, "dropout", 0, 0, 0);
    refuse_affix(&in, "continuing_subword_prefix");
    refuse_affix(&in, "end_of_word_suffix");
    const char *unk = lf_json_str(&in, "unk_token", NULL);
    t->bpe.fuse_unk = lf_json_bool(&in, "fuse_unk", t->bpe.fuse_unk);
    t->bpe.byte_fallback = lf_json_bool(&in, "byte_fallback", t->bpe.byte_fallback);
    t->bpe.ignore_merges = lf_json_bool(&in, "ignore_merges", t->bpe.ignore_merges);
    return in.rc == LF_OK && unk ? lf_tok_strdup(&t->arena, &t->bpe.unk, unk, strlen(unk), diag)
                                 : in.rc;
}

static enum lf_err read_model(struct lf_tokenizer *t, struct lf_str range, struct lf_diag *diag)
{
    struct model m = {.rest = json_object()};
    struct lf_json_reader r;
    lf_json_reader_init(&r, range.s, range.n, diag);
    enum lf_err rc = m.rest ? find_model(&m, &r) : lf_fail(diag, LF_E_NO_MEMORY, "no memory");
    rc = rc ?: read_flags(t, m.rest, diag);
    if (rc == LF_OK && (!m.vocab.s || !m.merges.s))
        rc = lf_fail(diag, LF_E_INVALID, "\"vocab\" or \"merges\" is missing");
    rc = rc ?: lf_tok_read_vocab(t, m.vocab, diag);
    rc = rc ?: read_merges(t, m.merges, diag);
    lf_json_reader_free(&r);
    json_decref(m.rest);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "model");
}

/* --- added tokens --- */

static enum lf_err read_added(struct lf_tokenizer *t, const json_t *item, struct lf_diag *diag)
{
    static const char *const known[] = {"id",     "content",    "single_word", "lstrip",
                                        "rstrip", "normalized", "special",     NULL};
    struct lf_tok_added a = {0};
    struct lf_json_in in = lf_json_in(item, diag);
    in.rc = lf_json_only(item, known, diag);
    lf_json_int(&in, "id", 0, 0, LF_VOCAB_MAX - 1);
    a.single_word = lf_json_bool(&in, "single_word", false);
    a.lstrip = lf_json_bool(&in, "lstrip", false);
    a.rstrip = lf_json_bool(&in, "rstrip", false);
    a.normalized = lf_json_bool(&in, "normalized", true);
    a.special = lf_json_bool(&in, "special", false);
    lf_tok_get_text(t, &a.content, &in, "content");
    return in.rc ?: lf_tok_added_put(t, &a, diag);
}

static enum lf_err read_added_all(struct lf_tokenizer *t, const json_t *list, struct lf_diag *diag)
{
    if (!json_is_array(list) && !json_is_null(list))
        return lf_fail(diag, LF_E_INVALID, "added_tokens must be a list");
    enum lf_err rc = lf_tok_added_init(t, json_array_size(list), diag);
    for (size_t i = 0; rc == LF_OK && i < json_array_size(list); i++) {
        rc = read_added(t, json_array_get(list, i), diag);
        if (rc != LF_OK)
            rc = lf_fail_within(diag, rc, "added_tokens[%zu]", i);
    }
    return rc;
}

/* --- the file --- */

/* Parses a member and hands it on; a missing one is null. */
static enum lf_err read_member(struct lf_tokenizer *t, struct lf_str range, const char *name,
                               lf_tok_read_fn read, struct lf_diag *diag)
{
    json_auto_t *value = NULL;
    enum lf_err rc = range.s ? lf_json_parse(&value, range.s, range.n, diag) : LF_OK;
    rc = rc ?: read(t, range.s ? value : json_null(), diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", name);
}

static enum lf_err read_version(struct lf_tokenizer *t, const json_t *value, struct lf_diag *diag)
{
    (void)t;
    const char *s = json_string_value(value);
    if (json_is_null(value) || (s && strcmp(s, "1.0") == 0))
        return LF_OK;
    return lf_fail(diag, LF_E_UNSUPPORTED, "only version \"1.0\" is supported");
}

enum lf_err lf_tokenizer_parse(struct lf_tokenizer **out, const char *json, size_t n,
                               struct lf_diag *diag)
{
    struct lf_tokenizer *t = NULL;
    struct members m = {0};
    struct lf_json_reader r;
    if (n > LF_JSON_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "tokenizer.json of %zu bytes is over the limit", n);
    lf_json_reader_init(&r, json, n, diag);
    enum lf_err rc = find_members(&m, &r);
    if (rc == LF_OK && !m.model.s)
        rc = lf_fail(diag, LF_E_INVALID, "\"model\" is missing");
    rc = rc ?: lf_tok_new(&t, diag);
    rc = rc ?: read_member(t, m.version, "version", read_version, diag);
    rc = rc ?: read_model(t, m.model, diag);
    rc = rc ?: read_member(t, m.normalizer, "normalizer", lf_tok_read_normalizer, diag);
    rc = rc ?: read_member(t, m.pre_tokenizer, "pre_tokenizer", lf_tok_read_pre_tokenizer, diag);
    rc = rc ?: read_member(t, m.post_processor, "post_processor", lf_tok_read_post_processor, diag);
    rc = rc ?: read_member(t, m.decoder, "decoder", lf_tok_read_decoder, diag);
    rc = rc ?: read_member(t, m.added_tokens, "added_tokens", read_added_all, diag);
    rc = rc ?: lf_tok_ready(t, diag);
    lf_json_reader_free(&r);
    if (rc == LF_OK)
        *out = t;
    else
        lf_tokenizer_free(t);
    return rc;
}
