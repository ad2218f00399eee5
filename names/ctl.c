/* The table of ctl's words. */
#include "names/ctl.h"

#include "core/limits.h"
#include "core/nearest.h"
#include "names/files.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const struct lf_ctl_row lf_ctl[LF_CTL_N] = {
    [LF_CTL_TRAIN] = {"train", "", false, "train the same rows once more"},
    [LF_CTL_CANCEL] = {"cancel", "", true, "end the training; the version before stays"},
    [LF_CTL_PAUSE] = {"pause", "", true, "hold the training at a step boundary"},
    [LF_CTL_RESUME] = {"resume", "", true, "go on with it"},
    [LF_CTL_FINISH] = {"finish", "", true, "end it after this step; what is trained is a version"},
    [LF_CTL_RETRY] = {"retry", "", true, "go on with what failed or was cancelled"},
    [LF_CTL_ROLLBACK] = {"rollback", " N", false, "serve version N"},
};

/* What people write instead. */
static const struct {
    const char *theirs;
    enum lf_ctl_word ours;
} synonyms[] = {{"start", LF_CTL_TRAIN},     {"run", LF_CTL_TRAIN},       {"stop", LF_CTL_CANCEL},
                {"abort", LF_CTL_CANCEL},    {"kill", LF_CTL_CANCEL},     {"suspend", LF_CTL_PAUSE},
                {"continue", LF_CTL_RESUME}, {"unpause", LF_CTL_RESUME},  {"end", LF_CTL_FINISH},
                {"restart", LF_CTL_RETRY},   {"revert", LF_CTL_ROLLBACK}, {"undo", LF_CTL_ROLLBACK},
                {"serve", LF_CTL_ROLLBACK},  {"version", LF_CTL_ROLLBACK}};
#define N_SYNONYMS (sizeof synonyms / sizeof *synonyms)

/* The command that is near to a line's first word, NULL: none. */
static const struct lf_ctl_row *nearest(const char *line)
{
    const char *words[LF_CTL_N + 1] = {NULL};
    char word[LF_CTL_LINE_MAX];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(line, " \t"), line);
    for (size_t i = 0; i < N_SYNONYMS; i++)
        if (strcasecmp(word, synonyms[i].theirs) == 0)
            return &lf_ctl[synonyms[i].ours];
    for (size_t i = 0; i < LF_CTL_N; i++)
        words[i] = lf_ctl[i].word;
    const char *near = lf_nearest_word(word, words);
    for (size_t i = 0; near && i < LF_CTL_N; i++)
        if (near == lf_ctl[i].word)
            return &lf_ctl[i];
    return NULL;
}

/* " 3": a version, and no more; 0: it is none. */
static int32_t version_of(const char *rest)
{
    char *end;
    int32_t n = lf_version_number(rest + strspn(rest, " \t"), &end);
    return n > 0 && *end == '\0' ? n : 0;
}

enum lf_err lf_ctl_parse(struct lf_ctl_order *out, const char *line, struct lf_diag *diag)
{
    for (size_t i = 0; i < LF_CTL_N; i++) {
        size_t n = strlen(lf_ctl[i].word);
        if (strncmp(line, lf_ctl[i].word, n) != 0)
            continue;
        int32_t version = *lf_ctl[i].argument ? version_of(line + n) : 0;
        if (*lf_ctl[i].argument ? version == 0 : line[n] != '\0')
            continue;
        *out = (struct lf_ctl_order){(enum lf_ctl_word)i, version};
        return LF_OK;
    }
    lf_buf_auto words = {0};
    const struct lf_ctl_row *near = nearest(line);
    enum lf_err rc = lf_ctl_list(&words, ", ");
    if (rc != LF_OK)
        return rc;
    return near ? lf_fail(diag, LF_E_INVALID,
                          "unknown command \"%.60s\"; did you mean \"%s%s\"? There are %s", line,
                          near->word, near->argument, words.data)
                : lf_fail(diag, LF_E_INVALID, "unknown command \"%.60s\"; there are %s", line,
                          words.data);
}

const struct lf_ctl_row *lf_ctl_find(const char *word)
{
    for (size_t i = 0; i < LF_CTL_N; i++)
        if (strcmp(lf_ctl[i].word, word) == 0)
            return &lf_ctl[i];
    return NULL;
}

enum lf_err lf_ctl_list(struct lf_buf *out, const char *between)
{
    for (size_t i = 0; i < LF_CTL_N; i++)
        lf_buf_printf(out, "%s%s%s", i ? between : "", lf_ctl[i].word, lf_ctl[i].argument);
    return out->rc;
}
