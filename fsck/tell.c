/* How a problem is told, and what becomes of its thing. */
#include "fsck/inside.h"

#include <stdio.h>

void lf_fsck_tell(struct lf_fsck *f, const char *where, const char *what, enum lf_err rc,
                  const char *how, const struct lf_diag *why)
{
    char both[2 * LF_DIAG_MAX];
    bool mended = f->repair && rc == LF_OK;
    f->n.problems++;
    f->n.left += !mended;
    snprintf(both, sizeof both, "%s (not mended: %s)", what,
             why && why->text[0] ? why->text : lf_err_name(rc));
    f->say(f->arg, &(struct lf_fsck_problem){where, f->repair && !mended ? both : what,
                                             mended ? how : NULL});
}

void lf_fsck_take(struct lf_fsck *f, const char *where, const char *what, bool aside)
{
    struct lf_diag why = {""};
    enum lf_err rc = !f->repair ? LF_OK
                     : aside    ? lf_registry_aside(&f->r, where, &why)
                                : lf_registry_drop(&f->r, where, &why);
    lf_fsck_tell(f, where, what, rc, aside ? "moved to the trash" : "removed", &why);
}
