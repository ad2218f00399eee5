/* Errors: the reason text and the two-way map to errno. */
#include "core/err.h"

#include "core/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum lf_err rc;
    const char *name;
} names[] = {
    {LF_OK, "ok"},
    {LF_E_INVALID, "invalid"},
    {LF_E_NOT_FOUND, "not_found"},
    {LF_E_EXISTS, "exists"},
    {LF_E_NOT_EMPTY, "not_empty"},
    {LF_E_NO_MEMORY, "no_memory"},
    {LF_E_IO, "io"},
    {LF_E_NO_SPACE, "no_space"},
    {LF_E_TOO_BIG, "too_big"},
    {LF_E_DAMAGED, "damaged"},
    {LF_E_UNSUPPORTED, "unsupported"},
    {LF_E_BASE_DIFFERS, "base_differs"},
    {LF_E_BUSY, "busy"},
    {LF_E_OVERLOADED, "overloaded"},
    {LF_E_CANCELLED, "cancelled"},
    {LF_E_INTERRUPTED, "interrupted"},
    {LF_E_TIMED_OUT, "timed_out"},
    {LF_E_DEVICE_FULL, "device_full"},
    {LF_E_DEVICE_LOST, "device_lost"},
    {LF_E_DENIED, "denied"},
    {LF_E_READ_ONLY, "read_only"},
    {LF_E_UNREACHABLE, "unreachable"},
    {LF_E_FAILED, "failed"},
    {LF_E_NO_PROMPT, "no_prompt"},
};

/* The reason, fit to be shown: it may quote a file's bytes. */
static void set(struct lf_diag *diag, const char *text)
{
    lf_utf8_printable(diag->text, sizeof diag->text, text, strlen(text));
}

/* The text, and ": why" where there is one (it may be diag's own), as far as there is room. */
static void set_text(struct lf_diag *diag, const char *why, const char *fmt, va_list ap)
{
    char raw[LF_DIAG_MAX], both[2 * LF_DIAG_MAX + 2];
    if (!diag)
        return;
    vsnprintf(raw, sizeof raw, fmt, ap);
    snprintf(both, sizeof both, "%s%s%.*s", raw, why ? ": " : "", LF_DIAG_MAX - 1, why ? why : "");
    set(diag, both);
}

enum lf_err lf_fail(struct lf_diag *diag, enum lf_err rc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(diag, NULL, fmt, ap);
    va_end(ap);
    return rc;
}

enum lf_err lf_no_memory(struct lf_diag *diag, const char *fmt, ...)
{
    struct lf_diag what = {""};
    va_list ap;
    va_start(ap, fmt);
    set_text(&what, NULL, fmt, ap);
    va_end(ap);
    return lf_fail(diag, LF_E_NO_MEMORY, "no memory for %s", what.text);
}

enum lf_err lf_fail_errno(struct lf_diag *diag, int errnum, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(diag, strerror(errnum), fmt, ap);
    va_end(ap);
    return lf_err_from_errno(errnum);
}

enum lf_err lf_fail_within(struct lf_diag *diag, enum lf_err rc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(diag, diag ? diag->text : NULL, fmt, ap);
    va_end(ap);
    return rc;
}

enum lf_err lf_err_from_errno(int errnum)
{
    for (size_t i = 1; i < sizeof names / sizeof *names; i++)
        if ((int)names[i].rc == -errnum)
            return names[i].rc;
    return LF_E_IO;
}

const char *lf_err_name(enum lf_err rc)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].rc == rc)
            return names[i].name;
    return "io";
}

enum lf_err lf_err_from_name(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].rc;
    return LF_OK;
}

void lf_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "lorafs: broken invariant at %s:%d: %s\n", file, line, cond);
    abort();
}
