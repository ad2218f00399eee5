/* Rows of a file, by what its first bytes say. */
#include "container/container.h"

#include "container/inside.h"
#include "container/parquet.h"
#include "core/json.h"
#include "core/limits.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lf_container {
    struct lf_text_rows text;
    struct lf_parquet *parquet; /* or NULL */
    int64_t bytes;              /* of the file */
    enum lf_err (*next)(struct lf_text_rows *t, json_t **row, int64_t *place, struct lf_diag *diag);
};

/* ---- JSON lines ------------------------------------------------------------------------------ */

#define LEFT_OVER "end of file expected" /* jansson's words for what stands behind a value */

/* What may help where jansson's words say little. */
static const char *hint_of(const char *text, const char *why)
{
    if (strstr(why, "near 'NaN'") || strstr(why, "Infinity'") ||
        (strstr(why, "near '-'") && strstr(text, "-Infinity")))
        return ": null is what JSON has";
    if (text[0] == '{' && strstr(why, LEFT_OVER))
        return ": a line is one row, and nothing is between two";
    if (text[0] == '{' && text[1 + strspn(text + 1, " ")] == '\'')
        return ": JSON's quotes are double ones";
    return text[0] == '{' || text[0] == '[' ? "" : ": a row is an object {...}";
}

/* The line's JSON. jansson's own "line 1 " says nothing here. */
static enum lf_err next_line(struct lf_text_rows *t, json_t **row, int64_t *place,
                             struct lf_diag *diag)
{
    struct lf_lines *l = &t->lines;
    struct lf_diag inner = {""};
    const char *text, *why = inner.text;
    size_t n;
    enum lf_err rc = lf_lines_next(l, &text, &n, diag);
    *place = l->number;
    if (rc != LF_OK || !text) {
        *row = NULL;
        return rc;
    }
    bool opens = n == 1 && text[0] == '{';
    rc = lf_text_rows_parse(t, row, text, n, &inner);
    if (rc == LF_OK)
        return rc;
    if (opens)
        return lf_fail(diag, rc, "line %lld: a row that does not end in its line",
                       (long long)l->number);
    if (strncmp(why, "line 1 ", 7) == 0)
        why += 7;
    if (!l->ended && text[0] == '{' && !strstr(why, LEFT_OVER))
        return lf_fail(diag, rc, "line %lld is cut off: it ends without a newline, and %s",
                       (long long)l->number, why);
    return lf_fail(diag, rc, "line %lld: %s%s", (long long)l->number, why, hint_of(text, why));
}

/* ---- What it is ------------------------------------------------------------------------------ */

/* A table of one column has no delimiter to be known by: these are its names. */
static bool is_column(const char *s, size_t n)
{
    static const char *const names[] = {"text", "messages", "conversations", "conversation",
                                        "input_ids"};
    if (n > 2 && s[0] == '"' && s[n - 1] == '"') {
        s++;
        n -= 2;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == n && memcmp(s, names[i], n) == 0)
            return true;
    return false;
}

/* The delimiter of a first line that is no JSON, outside its quotes; '\0': it has none. */
static char delimiter_of(const char *s, size_t n)
{
    static const char delimiters[] = "\t,;";
    bool seen[sizeof delimiters - 1] = {false}, quoted = false;
    size_t end = 0;
    for (; end < n && s[end] != '\n' && s[end] != '\r'; end++) {
        const char *d = memchr(delimiters, s[end], sizeof seen);
        quoted = quoted != (s[end] == '"');
        if (d && !quoted)
            seen[d - delimiters] = true;
    }
    for (size_t i = 0; i < sizeof seen; i++)
        if (seen[i])
            return delimiters[i];
    return is_column(s, end) ? ',' : '\0';
}

/* Chooses by the first byte that is no white space; the text before it may be long. */
static enum lf_err choose(struct lf_container *c, struct lf_diag *diag)
{
    struct lf_lines *l = &c->text.lines;
    size_t i = 0, n;
    enum lf_err rc;
    do {
        rc = lf_lines_need(l, i + LF_HEADER_SEEN, diag);
        n = l->buf.len - l->used;
        while (i < n && strchr(" \t\r\n", l->buf.data[l->used + i]))
            i++;
    } while (rc == LF_OK && i == n && !l->source.at_end && n < LF_DATASET_LINE_MAX);
    c->next = next_line;
    if (rc != LF_OK || i == n)
        return rc;
    const char *s = l->buf.data + l->used + i;
    if (*s == '[')
        c->next = lf_array_next;
    else if (*s != '{' && (c->text.delimiter = delimiter_of(s, n - i)) != '\0')
        c->next = lf_table_next;
    return LF_OK;
}

/* Only what lies on a disk: a pipe's bytes are read once. */
static bool is_parquet(const char *path)
{
    char magic[4];
    struct stat st;
    int fd = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool is = fd >= 0 && pread(fd, magic, 4, 0) == 4 && memcmp(magic, "PAR1", 4) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

enum lf_err lf_container_open(struct lf_container **out, const char *path, struct lf_diag *diag)
{
    struct lf_container *c = calloc(1, sizeof *c);
    if (!c)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to read rows");
    c->text.lines.source.fd = -1;
    c->bytes = lf_file_size(path);
    enum lf_err rc;
    if (is_parquet(path))
        rc = lf_parquet_open(&c->parquet, path, diag);
    else
        rc = lf_lines_open(&c->text.lines, path, diag) ?: choose(c, diag);
    if (rc == LF_OK)
        *out = c;
    else
        lf_container_close(c);
    return rc;
}

void lf_container_budget(struct lf_container *c, struct lf_budget *b)
{
    c->text.budget = b;
    if (c->parquet)
        lf_parquet_budget(c->parquet, b);
}

void lf_container_close(struct lf_container *c)
{
    if (!c)
        return;
    lf_text_rows_give(&c->text);
    lf_parquet_close(c->parquet);
    lf_text_rows_free(&c->text);
    free(c);
}

enum lf_err lf_container_next(struct lf_container *c, json_t **row, int64_t *place,
                              struct lf_diag *diag)
{
    return c->parquet ? lf_parquet_next(c->parquet, row, place, diag)
                      : c->next(&c->text, row, place, diag);
}

bool lf_container_goes_on(const struct lf_container *c)
{
    return !c->parquet && c->next == next_line;
}

double lf_container_done(const struct lf_container *c)
{
    if (c->parquet)
        return lf_parquet_done(c->parquet);
    double done = c->bytes > 0 ? (double)c->text.lines.source.growth.packed / (double)c->bytes : 0;
    return done < 1 ? done : 1;
}

const char *lf_container_unit(const struct lf_container *c)
{
    return c->parquet ? "row" : "line";
}

void lf_container_sha256(struct lf_container *c, char out[LF_SHA256_HEX])
{
    if (c->parquet)
        lf_parquet_sha256(c->parquet, out);
    else
        lf_source_sha256(&c->text.lines.source, out);
}
