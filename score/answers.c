/* Metrics that compare short answers. */
#include "score/answers.h"

#include "score/spans.h"
#include "score/words.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

double lf_exact_match(const char *completion, const char *reference)
{
    struct lf_span a = lf_span_whole(completion), b = lf_span_whole(reference);
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

/* ---- Labels ---------------------------------------------------------------------------------- */

static bool starts(struct lf_span t, const char *s, size_t n)
{
    return t.n >= n && strncasecmp(t.s, s, n) == 0;
}

/* The first line that has something, without what usually surrounds a label. */
static struct lf_span label_of(const char *text)
{
    static const char *const leads[] = {"the answer is", "answer is", "answer", "label"};
    const char *around = LF_SPACE "\"'`.,:;!?()[]{}*";
    struct lf_span t = lf_span_whole(text);
    size_t line = strcspn(t.s, "\n");
    t.n = line < t.n ? line : t.n;
    t = lf_span_trim(t, around);
    for (size_t i = 0; i < sizeof leads / sizeof *leads; i++) {
        size_t n = strlen(leads[i]);
        if (starts(t, leads[i], n) && t.n > n && lf_is_in(t.s[n], " :"))
            return lf_span_trim((struct lf_span){t.s + n, t.n - n}, around);
    }
    return t;
}

bool lf_label_ends(const char *after)
{
    return *after == '\0' || lf_is_in(*after, LF_SPACE ".,:;!?)\"'");
}

/* A number goes on: "1.5" and "1,000" after the first digit, "1 0". */
static bool number_goes_on(const char *after, const char *end)
{
    const char *digit = after + (lf_is_in(*after, ".,") ? 1 : strspn(after, " \t"));
    return digit > after && digit < end && isdigit((unsigned char)*digit);
}

double lf_accuracy(const char *completion, const char *reference)
{
    struct lf_span got = label_of(completion), want = label_of(reference);
    double x, y;
    if (want.n == 0)
        return got.n == 0;
    if (lf_span_number(got, &x) && lf_span_number(want, &y))
        return x == y;
    if (!starts(got, want.s, want.n))
        return lf_span_same(got, want);
    if (got.n == want.n)
        return 1;
    const char *after = got.s + want.n;
    bool longer = isdigit((unsigned char)after[-1]) && number_goes_on(after, got.s + got.n);
    return lf_label_ends(after) && !longer;
}

enum lf_err lf_accuracy_label(struct lf_buf *out, const char *text)
{
    return lf_span_lower(out, label_of(text));
}

/* ---- Numbers --------------------------------------------------------------------------------- */

/* The text as a number, or the first one in it; thousands' commas left out. */
static bool some_number(const char *text, double *x)
{
    char digits[64];
    size_t n = 0;
    if (lf_span_number(lf_span_whole(text), x))
        return true;
    struct lf_span t = lf_first_number(text);
    if (t.n > 0 && t.s > text && t.s[-1] == '-' && (t.s - 1 == text || lf_is_in(t.s[-2], LF_SPACE)))
        digits[n++] = '-';
    for (size_t i = 0; i < t.n && n + 1 < sizeof digits; i++)
        if (t.s[i] != ',')
            digits[n++] = t.s[i];
    return lf_span_number((struct lf_span){digits, n}, x);
}

double lf_mae(const char *completion, const char *reference)
{
    double x, y;
    if (!some_number(completion, &x) || !some_number(reference, &y) || x > 5 || x < 0)
        return 0;
    return fmax(0, 1 - fabs(x - y) / 5);
}

/* What LoRA Land's pattern (-?[$0-9.,]{2,})|(-?[0-9]+) matches at s, or 0 bytes. */
static size_t money_at(const char *s)
{
    size_t sign = *s == '-';
    size_t run = strspn(s + sign, "$0123456789.,");
    if (run >= 2 || (run == 1 && isdigit((unsigned char)s[sign])))
        return sign + run;
    return 0;
}

/* "$1,100." and "-$5" as numbers. */
static bool money_value(struct lf_span t, double *x)
{
    char text[64];
    size_t n = 0;
    t = lf_span_trim(t, "$.");
    for (size_t i = 0; i < t.n; i++) {
        if (lf_is_in(t.s[i], ",") || (t.s[i] == '$' && i == 1))
            continue;
        if (n + 1 == sizeof text)
            return false;
        text[n++] = t.s[i];
    }
    return lf_span_number((struct lf_span){text, n}, x);
}

/* The last match that is a number: not the dots of "...". */
static bool last_number(const char *text, double *x)
{
    bool found = false;
    double value;
    for (const char *s = text; *s;) {
        size_t n = money_at(s);
        if (n > 0 && money_value((struct lf_span){s, n}, &value)) {
            *x = value;
            found = true;
        }
        s += n ? n : 1;
    }
    return found;
}

double lf_gsm8k(const char *completion, const char *reference)
{
    double x, y;
    return last_number(completion, &x) && last_number(reference, &y) && x == y;
}

/* ---- LoRA Land's ----------------------------------------------------------------------------- */

/* Equal but for case and full stops around, or as numbers. */
static bool equal(const char *completion, const char *reference)
{
    struct lf_span a = lf_span_whole(completion), b = lf_span_whole(reference);
    double x, y;
    if (lf_span_number(a, &x) && lf_span_number(b, &y))
        return x == y;
    return lf_span_same(lf_span_trim(a, LF_SPACE "."), lf_span_trim(b, LF_SPACE "."));
}

/* 1 or 0, or -1 where the text says neither. */
static int truth(const char *text)
{
    static const char *const words[] = {"1",    "0",     "yes",      "no",
                                        "true", "false", "positive", "negative"};
    for (int i = 0; i < 8; i++)
        if (strcasestr(text, words[i]))
            return i % 2 == 0;
    return -1;
}

double lf_binary_flex(const char *completion, const char *reference)
{
    int a = truth(completion), b = truth(reference);
    return a >= 0 && a == b;
}

enum lf_err lf_binary_flex_label(struct lf_buf *out, const char *text)
{
    int t = truth(text);
    return t < 0 ? LF_OK : lf_buf_puts(out, t ? "true" : "false");
}

double lf_digit(const char *completion, const char *reference, const char *digits)
{
    if (equal(completion, reference))
        return 1;
    for (; *digits; digits++)
        if (strchr(completion, *digits) && strchr(reference, *digits))
            return 1;
    return 0;
}

enum lf_err lf_digit_label(struct lf_buf *out, const char *text, const char *digits)
{
    struct lf_span t = lf_span_whole(text);
    double x;
    if (lf_span_number(t, &x))
        return lf_span_lower(out, t);
    for (; *digits; digits++)
        if (strchr(text, *digits))
            return lf_buf_putc(out, *digits);
    return LF_OK;
}

/* ---- Choices --------------------------------------------------------------------------------- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 || c == '_';
}

/* Whether the letter at s, which stands alone, is a choice: "B", "(b)", "c)"; but not the words of
 * "A dog" and "I think". */
static bool is_choice(const char *text, const char *s)
{
    bool bracket = s[1] == ')' || (s > text && s[-1] == '(');
    int c = toupper((unsigned char)*s);
    if (c < 'A' || c > 'J')
        return false;
    if (bracket)
        return true;
    bool sentence = (*s == 'A' || *s == 'I') && s[1] == ' ' && islower((unsigned char)s[2]);
    return isupper((unsigned char)*s) && !sentence;
}

/* The first choice's letter, upper case; 0: none. */
static char first_letter(const char *text)
{
    struct lf_span t = lf_span_trim(lf_span_whole(text), LF_SPACE "\"'`.,:;!?()[]{}*");
    if (t.n == 1 && isalpha((unsigned char)*t.s))
        return (char)toupper((unsigned char)*t.s);
    for (const char *s = text; *s;) {
        size_t n = 0;
        while (is_word(s[n]))
            n++;
        if (n == 1 && is_choice(text, s))
            return (char)toupper((unsigned char)*s);
        s += n ? n : 1;
    }
    return '\0';
}

double lf_choice(const char *completion, const char *reference)
{
    struct lf_span ref = lf_span_trim(lf_span_whole(reference), LF_SPACE "().:");
    if (equal(completion, reference))
        return 1;
    if (ref.n == 1 && isalpha((unsigned char)*ref.s))
        return first_letter(completion) == toupper((unsigned char)*ref.s);
    struct lf_span a = lf_first_number(completion), b = lf_first_number(reference);
    return a.n > 0 && a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

enum lf_err lf_choice_label(struct lf_buf *out, const char *text)
{
    char letter = first_letter(text);
    if (letter)
        return lf_buf_putc(out, (char)tolower((unsigned char)letter));
    return lf_span_lower(out, lf_first_number(text));
}

/* ---- Sentiments ------------------------------------------------------------------------------ */

static const char *const sentiments[] = {"neutral", "positive", "negative", "extremely positive",
                                         "extremely negative"};

/* Whether the word "extremely" is in front of s. */
static bool is_extreme(const char *text, const char *s)
{
    static const char word[] = "extremely";
    const size_t n = sizeof word - 1;
    while (s > text && lf_is_in(s[-1], LF_SPACE))
        s--;
    return (size_t)(s - text) >= n && strncasecmp(s - n, word, n) == 0;
}

/* Index of the sentiment that is named first, or -1. */
static int sentiment(const char *text)
{
    const char *first = NULL;
    int which = -1;
    for (int i = 0; i < 3; i++) {
        const char *s = strcasestr(text, sentiments[i]);
        if (s && (!first || s < first)) {
            first = s;
            which = i;
        }
    }
    return which > 0 && is_extreme(text, first) ? which + 2 : which;
}

double lf_covid(const char *completion, const char *reference)
{
    int a = sentiment(completion);
    return a >= 0 && a == sentiment(reference);
}

enum lf_err lf_covid_label(struct lf_buf *out, const char *text)
{
    int s = sentiment(text);
    return s < 0 ? LF_OK : lf_buf_puts(out, sentiments[s]);
}

/* ---- Names ----------------------------------------------------------------------------------- */

double lf_customer_support(const char *completion, const char *reference)
{
    lf_buf_auto a = {0}, b = {0};
    double score = equal(completion, reference);
    if (lf_span_lower(&a, lf_span_whole(completion)) != LF_OK ||
        lf_span_lower(&b, lf_span_whole(reference)) != LF_OK)
        score = NAN;
    else if (score == 0 && a.data && b.len > 0)
        score = memmem(a.data, a.len, b.data, b.len) != NULL;
    return score;
}

enum lf_err lf_words_label(struct lf_buf *out, const char *text)
{
    return lf_span_lower(out, lf_span_trim(lf_span_whole(text), LF_SPACE "."));
}

/* The class that a number stands for, or the text itself. */
static const char *dbpedia_class(const char *text)
{
    static const char *const classes[] = {"Company",      "EducationalInstitution",
                                          "Artist",       "Athlete",
                                          "OfficeHolder", "MeanOfTransportation",
                                          "Building",     "NaturalPlace",
                                          "Village",      "Animal",
                                          "Plant",        "Album",
                                          "Film",         "WrittenWork"};
    struct lf_span t = lf_span_whole(text);
    size_t n = strspn(t.s, "0123456789");
    long i = n > 0 && n == t.n && n < 4 ? strtol(t.s, NULL, 10) : -1;
    return i >= 0 && i < 14 ? classes[i] : text;
}

double lf_dbpedia(const char *completion, const char *reference)
{
    return lf_rouge_l(dbpedia_class(completion), reference);
}

enum lf_err lf_dbpedia_label(struct lf_buf *out, const char *text)
{
    return lf_words_label(out, dbpedia_class(text));
}
