/* The texts of the mount itself, from the tables of names/. */
#include "fs/space.h"

#include "names/ctl.h"

#include <string.h>

static const char examples[] =
    "Every directory in model/ is a LoRA adapter of one shared 4-bit base model.\n"
    "  mkdir model/mytask                          make an adapter\n"
    "  cp train.jsonl model/mytask/dataset.jsonl   train it; a line of the file is\n"
    "                                              {\"prompt\": ..., \"completion\": ...}\n"
    "  cat model/mytask/result                     wait for it\n"
    "  echo 'Great film. Sentiment:' > model/mytask/prompt; cat model/mytask/generate\n"
    "  exec 3<>model/mytask/chat; echo 'Hello!' >&3; cat <&3; echo 'And then?' >&3; cat <&3\n"
    "  ln -sfn 2 model/mytask/versions/current     serve version 2 again\n"
    "  mv model/mytask model/other                 rename\n"
    "  rm -r model/other                           remove (the daemon keeps it for 7 days)\n"
    "\n"
    "Files of an adapter; those with * are for writing. One that is refused fails at close with\n"
    "EINVAL, and error says why, as it does of ctl, generate and chat, and of other names, which\n"
    "are refused where they are made but for those of temporaries: .x, x~, config.json.tmp.\n"
    "\n"
    "A directory is copied into model/ as any other (cp -r, rsync -a, tar, mv); one of PEFT's two\n"
    "files is imported. What the daemon makes (status, log) may be copied along: it is dropped.\n"
    "\n";

enum lf_err lf_space_readme(struct lf_buf *out)
{
    lf_buf_puts(out, examples);
    for (size_t i = 0; i < LF_FILE_N; i++) {
        enum lf_file_form form = lf_files[i].form;
        bool reads = form == LF_FORM_GROWN || form == LF_FORM_MADE || form == LF_FORM_FOLLOWED;
        lf_buf_printf(out, "%c %-34s %s\n", reads ? ' ' : '*', lf_files[i].name,
                      lf_files[i].purpose);
    }
    lf_buf_puts(out, "  versions/<n>/                      every version, in PEFT's form\n"
                     "\n"
                     "Commands, as in `echo pause > model/mytask/ctl`:\n");
    for (size_t i = 0; i < LF_CTL_N; i++)
        lf_buf_printf(out, "  %s%-*s %s\n", lf_ctl[i].word, (int)(34 - strlen(lf_ctl[i].word)),
                      lf_ctl[i].argument, lf_ctl[i].purpose);
    return out->rc;
}

enum lf_err lf_space_ctl(struct lf_buf *out)
{
    return lf_ctl_list(out, "\n") ?: lf_buf_putc(out, '\n');
}
