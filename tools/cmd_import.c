/* `lorafs import`: a GGUF file into a checkpoint's directory. */
#include "tools/commands.h"

#include "tools/gguf/gguf.h"
#include "tools/bar.h"
#include "tools/options.h"

#include <stdio.h>

int lf_cmd_import(int argc, char **argv)
{
    const char *out = NULL;
    int dtype = 0;
    bool quiet = false;
    const struct lf_option options[] = {
        {"out", 'o', LF_OPT_STR, "DIR", &out, "where the checkpoint goes", .required = true},
        {"dtype", 0, LF_OPT_CHOICE, "bf16|f32", &dtype,
         "of the weights; f32 keeps what the file says to the bit"},
        {"quiet", 0, LF_OPT_FLAG, NULL, &quiet, "no progress bar"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs import",
        "FILE.gguf --out DIR",
        "Writes a GGUF file as the checkpoint directory that everything else here reads: weights, "
        "configuration, tokenizer, chat template.\n\n"
        "Weights: F32, F16, BF16, Q4_0, Q8_0, Q4_K and Q6_K (Q4_K_M files have both). Another "
        "architecture than those that are read is refused, naming them.",
        options,
        .args_min = 1,
        .args_max = 1,
        .examples = "  lorafs import llama-3.2-1b.Q8_0.gguf --out bases/llama-3.2-1b"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_bar bar;
    lf_bar_init(&bar, quiet);
    enum lf_err rc =
        lf_gguf_import(args.v[0], out, dtype ? LF_F32 : LF_BF16, lf_bar_update, &bar, &diag);
    lf_bar_end(&bar);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    printf("%s\n", out);
    return 0;
}
