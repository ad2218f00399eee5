/* The table of ctl's words. */
#include "names/ctl.h"

#include <stdio.h>
#include <string.h>

const struct lf_ctl_row lf_ctl[LF_CTL_N] = {
    [LF_CTL_TRAIN] = {"train", "", false, "train the same rows once more"},
    [LF_CTL_CANCEL] = {"cancel", "", true, "end the training; the version before stays"},
    [LF_CTL_PAUSE] = {"pause", "", true, "hold the training at a step boundary"},
    [LF_CTL_RESUME] = {"resume", "", true, "go on with it"},
    [LF_CTL_FINISH] = {"finish", "", true, "end it after this step; what is trained is a version"},
    [LF_CTL_RETRY] = {"retry", "", true, "train again what failed or was cancelled"},
    [LF_CTL_ROLLBACK] = {"rollback", " N", false, "serve version N"},
};

enum lf_err lf_ctl_parse(struct lf_ctl_order *out, const char *line, struct lf_diag *diag)
{
    for (size_t i = 0; i < LF_CTL_N; i++) {
        size_t n = strlen(lf_ctl[i].word);
        int version = 0, used = 0;
        if (strncmp(line, lf_ctl[i].word, n) != 0)
            continue;
        if (*lf_ctl[i].argument && sscanf(line + n, " %d%n", &version, &used) != 1)
            continue;
        if (line[n + (size_t)used] != '\0')
            continue;
        *out = (struct lf_ctl_order){(enum lf_ctl_word)i, version};
        return LF_OK;
    }
    lf_buf_auto words = {0};
    enum lf_err rc = lf_ctl_list(&words, ", ");
    if (rc == LF_OK)
        rc = lf_fail(diag, LF_E_INVALID, "unknown command \"%.60s\"; there are %s", line,
                     words.data);
    return rc;
}

enum lf_err lf_ctl_list(struct lf_buf *out, const char *between)
{
    for (size_t i = 0; i < LF_CTL_N; i++)
        lf_buf_printf(out, "%s%s%s", i ? between : "", lf_ctl[i].word, lf_ctl[i].argument);
    return out->rc;
}
