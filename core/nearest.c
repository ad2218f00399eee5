/* "Did you mean": the nearest of a few known words. */
#include "core/nearest.h"
#include "core/limits.h"

#include <string.h>

/* Levenshtein distance; both at most LF_NEAR_WORD_MAX bytes. */
static int edit_distance(const char *a, const char *b)
{
    int row[LF_NEAR_WORD_MAX + 1];
    int n = (int)strlen(b);
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *lf_nearest_word(const char *word, const char *const *words)
{
    size_t len = strlen(word);
    if (len == 0 || len > LF_NEAR_WORD_MAX)
        return NULL;
    const char *best = NULL;
    int best_distance = 1 + (int)len / 3; /* a third of its letters may be wrong */
    for (; *words; words++) {
        if (strlen(*words) > LF_NEAR_WORD_MAX)
            continue;
        int d = edit_distance(word, *words);
        if (strncmp(word, *words, len) == 0)
            d = 1; /* the beginning of a longer word */
        if (d <= best_distance && (!best || d < best_distance)) {
            best = *words;
            best_distance = d;
        }
    }
    return best;
}

enum lf_err lf_fail_unknown(struct lf_diag *diag, const char *kind, const char *word,
                            const char *const *words)
{
    const char *near = lf_nearest_word(word, words);
    return near ? lf_fail(diag, LF_E_INVALID, "unknown %s \"%.100s\"; did you mean \"%s\"?", kind,
                          word, near)
                : lf_fail(diag, LF_E_INVALID, "unknown %s \"%.100s\"", kind, word);
}
