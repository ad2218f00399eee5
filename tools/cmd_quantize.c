/* `lorafs quantize`: write a 4-bit copy of a base model. */
#include "tools/commands.h"

#include "model/model.h"
#include "tools/bar.h"
#include "tools/options.h"

#include <stdio.h>

int lf_cmd_quantize(int argc, char **argv)
{
    const char *base = NULL, *out = NULL;
    bool quiet = false;
    const struct lf_option options[] = {
        {"base", 'b', LF_OPT_STR, "DIR", &base, "the base model: a checkpoint directory",
         .required = true},
        {"out", 'o', LF_OPT_STR, "DIR", &out, "where the copy goes; made, or replaced file by file",
         .required = true},
        {"quiet", 0, LF_OPT_FLAG, NULL, &quiet, "no progress bar"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs quantize", "--base DIR --out DIR",
        "Writes a copy of a base model whose blocks' linear weights are NF4 with double "
        "quantisation (4.127 bits a weight), in the form that transformers and bitsandbytes read "
        "and write. Everything else of the checkpoint stays as it was.",
        options, 0, 0, "  lorafs quantize --base mistral-7b --out mistral-7b-nf4"};
    struct lf_args args;
    int status;
    if (!lf_options_parse(&args, &usage, argc, argv, &status))
        return status;
    struct lf_diag diag = {""};
    struct lf_bar bar;
    lf_bar_init(&bar, quiet);
    enum lf_err rc = lf_model_quantize(base, out, lf_bar_update, &bar, &diag);
    lf_bar_end(&bar);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    printf("%s\n", out);
    return 0;
}
