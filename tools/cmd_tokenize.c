/* `lorafs tokenize`: JSON lines of text on stdin, JSON lines of token ids on stdout. */
#include "tools/commands.h"

#include "core/json.h"
#include "text/tokenizer.h"
#include "tools/hub_cache.h"
#include "tools/options.h"

#include <stdio.h>
#include <stdlib.h>

/* Appends ", 123"; printf would take longer than the tokenizer. */
static void put_id(struct lf_buf *out, int32_t id)
{
    char digits[16], *p = digits + sizeof digits;
    for (uint32_t rest = (uint32_t)id; p == digits + sizeof digits || rest > 0; rest /= 10)
        *--p = (char)('0' + rest % 10);
    *--p = ' ';
    *--p = ',';
    lf_buf_append(out, p, (size_t)(digits + sizeof digits - p));
}

/* "key": [1, 2, 3],  */
static enum lf_err put_ids(struct lf_buf *out, const char *key, const struct lf_ids *ids)
{
    lf_buf_printf(out, "\"%s\": [", key);
    if (ids->n > 0)
        lf_buf_printf(out, "%d", ids->ids[0]);
    for (size_t i = 1; i < ids->n; i++)
        put_id(out, ids->ids[i]);
    return lf_buf_puts(out, "], ");
}

static enum lf_err put_answer(struct lf_buf *out, const struct lf_tokenizer *t,
                              const struct lf_ids *ids, const struct lf_ids *plain)
{
    lf_buf_auto text = {0};
    enum lf_err rc = lf_tokenizer_decode(t, &text, plain->ids, plain->n, false);
    if (rc == LF_OK) {
        lf_buf_reset(out);
        lf_buf_putc(out, '{');
        put_ids(out, "ids", ids);
        put_ids(out, "ids_plain", plain);
        lf_buf_puts(out, "\"decoded\": ");
        lf_buf_json(out, text.data, text.len);
        rc = lf_buf_puts(out, "}\n");
    }
    return rc;
}

static enum lf_err answer_line(struct lf_buf *out, const struct lf_tokenizer *t, const char *line,
                               size_t n, struct lf_diag *diag)
{
    json_auto_t *row = NULL;
    lf_ids_auto ids = {0}, plain = {0};
    enum lf_err rc = lf_json_parse(&row, line, n, diag);
    const json_t *text = json_object_get(row, "text");
    const char *s = json_string_value(text);
    size_t len = json_string_length(text);
    if (rc == LF_OK && !s)
        rc = lf_fail(diag, LF_E_INVALID, "an object with a string \"text\" is wanted");
    rc = rc ?: lf_tokenizer_encode(t, &ids, s, len, true, diag);
    rc = rc ?: lf_tokenizer_encode(t, &plain, s, len, false, diag);
    return rc ?: put_answer(out, t, &ids, &plain);
}

static enum lf_err answer_all(const struct lf_tokenizer *t, struct lf_diag *diag)
{
    lf_buf_auto out = {0};
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    enum lf_err rc = LF_OK;
    for (int64_t i = 1; rc == LF_OK && (n = getline(&line, &cap, stdin)) > 0; i++) {
        rc = answer_line(&out, t, line, (size_t)n, diag);
        if (rc != LF_OK)
            rc = lf_fail_within(diag, rc, "line %lld", (long long)i);
        else if (fwrite(out.data, 1, out.len, stdout) != out.len)
            rc = lf_fail_errno(diag, errno, "stdout");
    }
    free(line);
    if (rc == LF_OK && fflush(stdout) != 0)
        rc = lf_fail_errno(diag, errno, "stdout");
    return rc;
}

int lf_cmd_tokenize(int argc, char **argv)
{
    const char *base = NULL;
    const struct lf_option options[] = {
        {"base", 'b', LF_OPT_STR, "BASE", &base,
         "the checkpoint whose tokenizer to use: a directory, or one at the hub", .required = true},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs tokenize", "--base DIR < LINES.jsonl",
        "Reads lines {\"text\": ...} and answers each with {\"ids\", \"ids_plain\", "
        "\"decoded\"}: the ids with what the checkpoint adds (a beginning-of-text token, say), the "
        "ids without, and the text that the latter stand for.",
        options,
        .examples = "  echo '{\"text\": \"Hello, world\"}' | lorafs tokenize --base share/base"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_tokenizer *t = NULL;
    char dir[LF_PATH_MAX];
    enum lf_err rc = lf_hub_base(dir, base, false, &diag);
    rc = rc ?: lf_tokenizer_open(&t, dir, &diag) ?: answer_all(t, &diag);
    lf_tokenizer_free(t);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
