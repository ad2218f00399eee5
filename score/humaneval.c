/* HumanEval: a completion becomes a program, and the program is run. */
#include "score/humaneval.h"

#include "core/json.h"
#include "score/limits.h"
#include "score/sandbox.h"
#include "score/spans.h"

#include <stdbool.h>
#include <string.h>

#define SECONDS 5
#define MEMORY_BYTES (1u << 30)

/* The inside of the first fenced block, or all of it. */
static struct lf_span unfenced(const char *text)
{
    struct lf_span all = {text, strnlen(text, LF_PROGRAM_BYTES_MAX)};
    const char *open = memmem(all.s, all.n, "```", 3);
    if (!open)
        return all;
    const char *end = all.s + all.n, *line = memchr(open, '\n', (size_t)(end - open));
    if (!line)
        return all;
    line++;
    const char *shut = memmem(line, (size_t)(end - line), "```", 3);
    return (struct lf_span){line, (size_t)((shut ? shut : end) - line)};
}

/* Without empty lines at the start; the first line keeps its indentation. */
static struct lf_span from_first_line(struct lf_span t)
{
    for (;;) {
        const char *end = memchr(t.s, '\n', t.n);
        struct lf_span line = {t.s, end ? (size_t)(end - t.s) : t.n};
        if (!end || lf_span_trim(line, LF_SPACE).n > 0)
            return t;
        t.n -= line.n + 1;
        t.s = end + 1;
    }
}

/* Whether a line of t begins with `def name`; the first may be indented. */
static bool defines(struct lf_span t, const char *name)
{
    size_t n = strlen(name);
    for (bool more = true; more;) {
        const char *end = memchr(t.s, '\n', t.n);
        if (t.n > n + 4 && memcmp(t.s, "def ", 4) == 0 && memcmp(t.s + 4, name, n) == 0 &&
            lf_is_in(t.s[4 + n], " ("))
            return true;
        more = end != NULL;
        t.n -= more ? (size_t)(end + 1 - t.s) : t.n;
        t.s = more ? end + 1 : t.s;
    }
    return false;
}

/* Of the head's last line that has something: where its docstring ends. */
static size_t indentation(const char *head)
{
    size_t found = 4;
    for (const char *s = head; *s;) {
        size_t n = strcspn(s, "\n"), indent = strspn(s, " ");
        if (indent < n)
            found = indent;
        s += n + (s[n] == '\n');
    }
    return found;
}

static void put_completion(struct lf_buf *out, const char *completion, const char *head,
                           const char *name)
{
    struct lf_span t = from_first_line(unfenced(completion));
    struct lf_span bare = t;
    while (bare.n > 0 && (*bare.s == ' ' || *bare.s == '\t')) {
        bare.s++;
        bare.n--;
    }
    if (!defines(bare, name))
        for (size_t i = indentation(head); i > 0; i--)
            lf_buf_putc(out, ' ');
    lf_buf_append(out, bare.s, bare.n);
}

/* The program that is judged: the head and the completion.
 *
 * A completion is taken as a person would: of a fenced block (```) the inside; what defines the
 * function itself as a program; all else as the function's body, whose first line is indented as
 * the docstring is, since a completion's first spaces are lost easily. */
static void put_program(struct lf_buf *out, const char *completion, const char *head,
                        const char *name)
{
    lf_buf_puts(out, head);
    if (out->len > 0 && out->data[out->len - 1] != '\n')
        lf_buf_putc(out, '\n');
    put_completion(out, completion, head, name);
    lf_buf_putc(out, '\n');
}

/* The judge: the test and its call. Tests use the head's imports and helpers, too; the head's own
 * function is the docstring alone, in whose place the program's comes. */
static void put_judge(struct lf_buf *out, const char *head, const char *test, const char *name)
{
    lf_buf_printf(out, "%s\n%s = program('%s')\n%s\ncheck(%s)\n", head, name, name, test, name);
}

enum lf_err lf_humaneval(double *out, const char *completion, const json_t *row,
                         struct lf_diag *diag)
{
    static const char *const needed[] = {"raw_prompt", "test", "entry_point"};
    const struct lf_sandbox_limits limits = {SECONDS, MEMORY_BYTES};
    enum lf_sandbox_end end;
    const char *word[3];
    lf_buf_auto program = {0};
    lf_buf_auto judge = {0};
    struct lf_json_in in = lf_json_in(row, diag);
    for (int i = 0; i < 3; i++) {
        word[i] = lf_json_str(&in, needed[i], NULL);
        if (!word[i])
            return in.rc
                       ?: lf_fail(diag, LF_E_INVALID,
                                  "humaneval needs \"%s\" beside the completion", needed[i]);
    }
    put_program(&program, completion, word[0], word[2]);
    put_judge(&judge, word[0], word[1], word[2]);
    if (program.rc != LF_OK || judge.rc != LF_OK)
        return lf_no_memory(diag, "a program");
    enum lf_err rc = lf_sandbox_run(
        &end, &(struct lf_sandbox_job){program.data, program.len, judge.data, judge.len}, &limits,
        diag);
    if (rc == LF_OK)
        *out = end == LF_SANDBOX_PASSED;
    return rc;
}
