/* `lorafs quantize`: write a 4-bit copy of a base model. */
#include "core/file.h"
#include "tools/commands.h"

#include "tools/bar.h"
#include "tools/offline.h"

#include <stdio.h>
#include <unistd.h>

static enum lf_err quantize(const struct lf_offline_options *o, const char *out,
                            struct lf_diag *diag)
{
    struct lf_offline c = {0};
    struct lf_bar bar;
    lf_bar_init(&bar, o->quiet);
    bool there = lf_file_exists(out);
    enum lf_err rc = lf_offline_open_device(&c, o, diag);
    rc = rc ?: lf_model_quantize(c.stream, o->base, out, lf_bar_update, &bar, diag);
    lf_bar_end(&bar);
    lf_offline_close(&c);
    if (rc != LF_OK && !there)
        rmdir(out); /* where nothing came into it */
    return rc;
}

int lf_cmd_quantize(int argc, char **argv)
{
    const char *out = NULL;
    struct lf_offline_options o = {.quant = LF_QUANT_NF4};
    const struct lf_option options[] = {
        LF_OFFLINE_OPTION_BASE(o),
        {"out", 'o', LF_OPT_STR, "DIR", &out, "where the copy goes; made, or replaced file by file",
         .required = true},
        LF_OFFLINE_OPTIONS_DEVICE(o),
        {"quiet", 0, LF_OPT_FLAG, NULL, &o.quiet, "no progress bar"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs quantize", "--base DIR --out DIR",
        "Writes a copy of a base model whose blocks' linear weights are NF4 with double "
        "quantisation (4.127 bits a weight), in the form that transformers and bitsandbytes read "
        "and write. Everything else of the checkpoint stays as it was.",
        options, .examples = "  lorafs quantize --base mistral-7b --out mistral-7b-nf4"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    enum lf_err rc = quantize(&o, out, &diag);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    printf("%s\n", out);
    return 0;
}
