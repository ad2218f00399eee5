/* `lorafs import`: a GGUF file into a checkpoint's directory, or an adapter's. */
#include "tools/commands.h"

#include "tools/gguf/gguf.h"
#include "tools/bar.h"
#include "tools/hub_cache.h"
#include "tools/options.h"

#include <stdio.h>

struct import_flags {
    const char *out, *base;
    int dtype; /* 0: bf16, 1: f32 */
    bool quiet;
};

static enum lf_err import_one(const struct import_flags *x, const char *file, struct lf_diag *diag)
{
    char base[LF_PATH_MAX];
    struct lf_bar bar;
    if (x->base)
        return lf_hub_base(base, x->base, x->quiet, diag)
                   ?: lf_gguf_import_adapter(file, x->out, base, x->base, diag);
    lf_bar_init(&bar, x->quiet);
    enum lf_err rc =
        lf_gguf_import(file, x->out, x->dtype ? LF_F32 : LF_BF16, lf_bar_update, &bar, diag);
    lf_bar_end(&bar);
    return rc;
}

int lf_cmd_import(int argc, char **argv)
{
    struct import_flags x = {0};
    const struct lf_option options[] = {
        {"out", 'o', LF_OPT_STR, "DIR", &x.out, "where the checkpoint goes", .required = true},
        {"dtype", 0, LF_OPT_CHOICE, "bf16|f32", &x.dtype,
         "of the weights; f32 keeps what the file says to the bit"},
        {"base", 'b', LF_OPT_STR, "BASE", &x.base,
         "of an adapter: the checkpoint that it was made on, or its name at the hub"},
        {"quiet", 0, LF_OPT_FLAG, NULL, &x.quiet, "no progress bar"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs import",
        "FILE.gguf --out DIR [--base BASE]",
        "Writes a GGUF file as the checkpoint directory that everything else here reads: weights, "
        "configuration, tokenizer, chat template.\n\n"
        "Weights: F32, F16, BF16, Q4_0, Q8_0, Q4_K and Q6_K (Q4_K_M files have both). Another "
        "architecture than those that are read is refused, naming them.\n\n"
        "A LoRA adapter's file (llama.cpp's) becomes a PEFT directory; --base says what it was "
        "made on.",
        options,
        .args_min = 1,
        .args_max = 1,
        .examples = "  lorafs import llama-3.2-1b.Q8_0.gguf --out bases/llama-3.2-1b\n"
                    "  lorafs import viggo.gguf --out viggo --base bases/llama-3.2-1b"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    enum lf_err rc = import_one(&x, args.v[0], &diag);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    printf("%s\n", x.out);
    return 0;
}
