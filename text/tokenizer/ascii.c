/* The three regexes that nearly every byte-level tokenizer cuts words by, matched by hand where the
 * match and the character behind it are ASCII: most text is, and the regex engine takes three times
 * as long. Whatever is not decided by ASCII alone is left to the engine, which knows Unicode. */
#include "text/tokenizer/pattern.h"

#include <string.h>

enum kind { OTHER, LETTER, DIGIT, SPACE, NEWLINE, BLANK, END, NOT_ASCII };

/* The space itself, line ends, and the other white space are told apart. */
/* clang-format off */
static const unsigned char classes[128] = {
    ['\t'] = BLANK,  ['\n'] = NEWLINE, ['\v'] = BLANK, ['\f'] = BLANK, ['\r'] = NEWLINE,
    [' '] = SPACE,   ['0'] = DIGIT,    ['1'] = DIGIT,  ['2'] = DIGIT,  ['3'] = DIGIT,
    ['4'] = DIGIT,   ['5'] = DIGIT,    ['6'] = DIGIT,  ['7'] = DIGIT,  ['8'] = DIGIT,
    ['9'] = DIGIT,   ['A'] = LETTER,   ['B'] = LETTER, ['C'] = LETTER, ['D'] = LETTER,
    ['E'] = LETTER,  ['F'] = LETTER,   ['G'] = LETTER, ['H'] = LETTER, ['I'] = LETTER,
    ['J'] = LETTER,  ['K'] = LETTER,   ['L'] = LETTER, ['M'] = LETTER, ['N'] = LETTER,
    ['O'] = LETTER,  ['P'] = LETTER,   ['Q'] = LETTER, ['R'] = LETTER, ['S'] = LETTER,
    ['T'] = LETTER,  ['U'] = LETTER,   ['V'] = LETTER, ['W'] = LETTER, ['X'] = LETTER,
    ['Y'] = LETTER,  ['Z'] = LETTER,   ['a'] = LETTER, ['b'] = LETTER, ['c'] = LETTER,
    ['d'] = LETTER,  ['e'] = LETTER,   ['f'] = LETTER, ['g'] = LETTER, ['h'] = LETTER,
    ['i'] = LETTER,  ['j'] = LETTER,   ['k'] = LETTER, ['l'] = LETTER, ['m'] = LETTER,
    ['n'] = LETTER,  ['o'] = LETTER,   ['p'] = LETTER, ['q'] = LETTER, ['r'] = LETTER,
    ['s'] = LETTER,  ['t'] = LETTER,   ['u'] = LETTER, ['v'] = LETTER, ['w'] = LETTER,
    ['x'] = LETTER,  ['y'] = LETTER,   ['z'] = LETTER,
};
/* clang-format on */

static enum kind class_at(struct lf_str s, size_t i)
{
    if (i >= s.n)
        return END;
    unsigned char c = (unsigned char)s.s[i];
    return c < 128 ? (enum kind)classes[c] : NOT_ASCII;
}

static bool is_white(enum kind c)
{
    return c == SPACE || c == NEWLINE || c == BLANK;
}

/* The end of the run of one class that starts at i. */
static size_t run_of(struct lf_str s, size_t i, enum kind c)
{
    while (class_at(s, i) == c)
        i++;
    return i;
}

/* The end of 's, 't, 're, 've, 'm, 'll, 'd at i, or i. any_case: of capitals, too. */
static size_t contraction(struct lf_str s, size_t i, bool any_case)
{
    if (s.s[i] != '\'' || i + 1 >= s.n)
        return i;
    char fold = any_case ? 0x20 : 0;
    char a = (char)(s.s[i + 1] | fold), b = i + 2 < s.n ? (char)(s.s[i + 2] | fold) : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return i + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return i + 3;
    return i;
}

/* \s+(?!\S)|\s+ for the white space [i, end): a last one that a word follows is left to it. */
static size_t white(struct lf_str s, size_t i, size_t end)
{
    return end < s.n && end - i > 1 ? end - 1 : end;
}

static size_t white_end(struct lf_str s, size_t i)
{
    while (is_white(class_at(s, i)))
        i++;
    return i;
}

static size_t gpt2(struct lf_str s, size_t i)
{
    size_t end = contraction(s, i, false);
    if (end > i)
        return end;
    size_t word = i + (class_at(s, i) == SPACE);
    enum kind c = class_at(s, word);
    if (c == LETTER || c == DIGIT || c == OTHER)
        return run_of(s, word, c);
    return white(s, i, white_end(s, i));
}

static size_t llama3(struct lf_str s, size_t i, size_t digits)
{
    size_t end = contraction(s, i, true);
    if (end > i)
        return end;
    enum kind c = class_at(s, i), next = class_at(s, i + 1);
    if (c == LETTER)
        return run_of(s, i, LETTER);
    if (c == DIGIT) {
        end = i + 1;
        while (end < i + digits && class_at(s, end) == DIGIT)
            end++;
        return end;
    }
    if (c != NEWLINE && next == LETTER)
        return run_of(s, i + 1, LETTER);
    if (c == OTHER || (c == SPACE && next == OTHER)) {
        end = run_of(s, c == OTHER ? i : i + 1, OTHER);
        return run_of(s, end, NEWLINE);
    }
    end = white_end(s, i);
    for (size_t last = end; last > i; last--)
        if (class_at(s, last - 1) == NEWLINE)
            return last;
    return white(s, i, end);
}

enum lf_tok_known lf_tok_known_regex(const char *regex, size_t n)
{
    static const char *const names[] = {
        [LF_TOK_KNOWN_GPT2] = LF_TOK_GPT2_REGEX,
        [LF_TOK_KNOWN_LLAMA3] = LF_TOK_LLAMA3_REGEX("\\p{N}{1,3}"),
        [LF_TOK_KNOWN_QWEN2] = LF_TOK_LLAMA3_REGEX("\\p{N}"),
    };
    for (int k = LF_TOK_KNOWN_GPT2; k <= LF_TOK_KNOWN_QWEN2; k++)
        if (strlen(names[k]) == n && memcmp(names[k], regex, n) == 0)
            return (enum lf_tok_known)k;
    return LF_TOK_UNKNOWN;
}

size_t lf_tok_known_match(enum lf_tok_known known, struct lf_str s, size_t i)
{
    if (class_at(s, i) == NOT_ASCII || i >= s.n)
        return i;
    size_t end = known == LF_TOK_KNOWN_GPT2 ? gpt2(s, i)
                                            : llama3(s, i, known == LF_TOK_KNOWN_LLAMA3 ? 3 : 1);
    /* What follows might have belonged to the match: to white space, after more of it, too. */
    size_t behind = is_white(class_at(s, end - 1)) ? white_end(s, end) : end;
    return class_at(s, behind) == NOT_ASCII ? i : end;
}
