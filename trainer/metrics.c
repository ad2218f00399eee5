/* Metrics by name, and those that compare answers as a whole. */
#include "trainer/metrics.h"

#include "trainer/words.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Part of a text. */
struct span {
    const char *s;
    size_t n;
};

static bool is_in(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

static struct span trim(struct span t, const char *set)
{
    while (t.n > 0 && is_in(t.s[0], set)) {
        t.s++;
        t.n--;
    }
    while (t.n > 0 && is_in(t.s[t.n - 1], set))
        t.n--;
    return t;
}

#define SPACE " \t\r\n\f\v"

static double exact_match(const char *completion, const char *reference)
{
    struct span a = trim((struct span){completion, strlen(completion)}, SPACE);
    struct span b = trim((struct span){reference, strlen(reference)}, SPACE);
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

/* ---- Labels ---------------------------------------------------------------------------------- */

/* The whole span is one number. */
static bool as_number(struct span t, double *x)
{
    char text[64], *end;
    if (t.n == 0 || t.n >= sizeof text || !strchr("+-.0123456789", t.s[0]))
        return false;
    memcpy(text, t.s, t.n);
    text[t.n] = '\0';
    *x = strtod(text, &end);
    return *end == '\0' && isfinite(*x);
}

static bool starts(struct span t, const char *s, size_t n)
{
    return t.n >= n && strncasecmp(t.s, s, n) == 0;
}

/* The first line that has something, without what usually surrounds a label. */
static struct span label_of(const char *text)
{
    static const char *const leads[] = {"the answer is", "answer is", "answer", "label"};
    const char *around = SPACE "\"'`.,:;!?()[]{}*";
    struct span t = trim((struct span){text, strlen(text)}, SPACE);
    size_t line = strcspn(t.s, "\n");
    t.n = line < t.n ? line : t.n;
    t = trim(t, around);
    for (size_t i = 0; i < sizeof leads / sizeof *leads; i++) {
        size_t n = strlen(leads[i]);
        if (starts(t, leads[i], n) && t.n > n && is_in(t.s[n], " :"))
            return trim((struct span){t.s + n, t.n - n}, around);
    }
    return t;
}

static double accuracy(const char *completion, const char *reference)
{
    struct span got = label_of(completion), want = label_of(reference);
    double x, y;
    if (want.n == 0)
        return got.n == 0;
    if (as_number(got, &x) && as_number(want, &y))
        return x == y;
    if (!starts(got, want.s, want.n))
        return 0;
    if (got.n == want.n)
        return 1;
    const char *after = got.s + want.n;
    bool decimals = is_in(after[0], ".,") && got.n > want.n + 1 && isdigit((unsigned char)after[1]);
    return !decimals && !isalnum((unsigned char)after[0]) && (unsigned char)after[0] < 0x80;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

/* A number of digits, thousands' commas and a decimal point at s: its value and where it ends. */
static const char *read_number(const char *s, double *x)
{
    char text[64];
    size_t n = 0;
    while (n + 1 < sizeof text) {
        bool comma = *s == ',' && isdigit((unsigned char)s[1]);
        bool point = *s == '.' && isdigit((unsigned char)s[1]);
        if (!comma && !point && !isdigit((unsigned char)*s))
            break;
        if (!comma)
            text[n++] = *s;
        s++;
    }
    text[n] = '\0';
    char *end;
    *x = strtod(text, &end);
    return s;
}

static bool first_number(const char *s, double *x)
{
    while (*s && !isdigit((unsigned char)*s))
        s++;
    if (!*s)
        return false;
    read_number(s, x);
    return true;
}

/* A minus belongs to the number, also before a dollar sign: -$5. */
static bool last_number(const char *text, double *x)
{
    bool found = false;
    for (const char *s = text; *s;) {
        if (!isdigit((unsigned char)*s)) {
            s++;
            continue;
        }
        const char *sign = s > text ? s - 1 : s;
        if (*sign == '$' && sign > text)
            sign--;
        double sign_of = *sign == '-' ? -1 : 1;
        s = read_number(s, x);
        *x *= sign_of;
        found = true;
    }
    return found;
}

static double mae(const char *completion, const char *reference)
{
    double x, y;
    if (!first_number(completion, &x) || !first_number(reference, &y) || x > 5)
        return 0;
    return fmax(0, 1 - fabs(x - y) / 5);
}

static double gsm8k(const char *completion, const char *reference)
{
    double x, y;
    return last_number(completion, &x) && last_number(reference, &y) && x == y;
}

/* ---- By name --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    lf_metric_fn fn;
} metrics[] = {
    {"rouge_1", lf_rouge_1},     {"rouge_2", lf_rouge_2},   {"rouge_l", lf_rouge_l},
    {"token_f1", lf_token_f1},   {"accuracy", accuracy},    {"exact_match", exact_match},
    {"mae", mae},                {"gsm8k", gsm8k},
};

lf_metric_fn lf_metric_find(const char *name)
{
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        if (strcmp(metrics[i].name, name) == 0)
            return metrics[i].fn;
    return NULL;
}

const char *lf_metric_names(void)
{
    return "rouge_1, rouge_2, rouge_l, token_f1, accuracy, exact_match, mae, gsm8k";
}
