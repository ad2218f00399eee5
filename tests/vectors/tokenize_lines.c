/* A filter for tokenizer_fuzz.py: `tokenize_lines DIR` reads JSON lines and answers each.
 *   {"text": "..."} -> {"ids": [with special tokens], "ids_plain": [without]}
 *   {"ids": [...]}  -> {"decoded": "...", "skipped": "..."}, special tokens left in, left out;
 *                      each decoded whole and one id at a time, which must agree */
#include "core/json.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static json_t *encode(const struct lf_tokenizer *t, const json_t *text, bool special)
{
    struct lf_ids ids = {0};
    struct lf_diag diag;
    json_t *list = json_array();
    if (lf_tokenizer_encode(t, &ids, json_string_value(text), json_string_length(text), special,
                            &diag) != LF_OK)
        die(diag.text);
    for (size_t i = 0; i < ids.n; i++)
        json_array_append_new(list, json_integer(ids.ids[i]));
    lf_ids_free(&ids);
    return list;
}

static json_t *decode(const struct lf_tokenizer *t, const json_t *list, bool skip)
{
    struct lf_ids ids = {0};
    struct lf_buf whole, stream;
    struct lf_decoder d;
    lf_buf_init(&whole, 0);
    lf_buf_init(&stream, 0);
    lf_decoder_init(&d, t, skip);
    for (size_t i = 0; i < json_array_size(list); i++) {
        int32_t id = (int32_t)json_integer_value(json_array_get(list, i));
        if (lf_ids_push(&ids, id) != LF_OK || lf_decoder_push(&d, &stream, id) != LF_OK)
            die("decode");
    }
    if (lf_decoder_finish(&d, &stream) != LF_OK ||
        lf_tokenizer_decode(t, &whole, ids.ids, ids.n, skip) != LF_OK)
        die("decode");
    if (whole.len != stream.len || (whole.len && memcmp(whole.data, stream.data, whole.len) != 0))
        die("a stream decodes otherwise than the whole");
    json_t *text = json_stringn(whole.len ? whole.data : "", whole.len);
    if (!text)
        die("decoded text is not UTF-8");
    lf_decoder_free(&d);
    lf_ids_free(&ids);
    lf_buf_free(&whole);
    lf_buf_free(&stream);
    return text;
}

static json_t *answer(const struct lf_tokenizer *t, const json_t *question)
{
    const json_t *text = json_object_get(question, "text");
    const json_t *ids = json_object_get(question, "ids");
    if (json_is_string(text))
        return json_pack("{s:o, s:o}", "ids", encode(t, text, true), "ids_plain",
                         encode(t, text, false));
    return json_pack("{s:o, s:o}", "decoded", decode(t, ids, false), "skipped",
                     decode(t, ids, true));
}

int main(int argc, char **argv)
{
    struct lf_tokenizer *t;
    struct lf_diag diag;
    char *line = NULL;
    size_t cap = 0;
    if (argc != 2)
        die("usage: tokenize_lines DIR");
    if (lf_tokenizer_open(&t, argv[1], &diag) != LF_OK)
        die(diag.text);
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        json_t *question;
        if (lf_json_parse(&question, line, (size_t)n, &diag) != LF_OK)
            die(diag.text);
        json_t *reply = answer(t, question);
        json_dumpf(reply, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(reply);
        json_decref(question);
    }
    free(line);
    lf_tokenizer_free(t);
    return 0;
}
