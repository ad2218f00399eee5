/* `lorafs export`: an adapter for other programs, as PEFT's directory, as llama.cpp's file, or
 * merged into its base. */
#include "tools/commands.h"

#include "core/file.h"
#include "core/json.h"
#include "model/export.h"
#include "names/files.h"
#include "tools/adapter_remote.h"
#include "tools/bar.h"
#include "tools/gguf/gguf.h"
#include "tools/hub_cache.h"
#include "tools/interrupt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct export_flags {
    const char *out;  /* NULL: named as the adapter */
    const char *base; /* NULL: what the adapter says */
    int64_t version;  /* 0: the one that is served */
    int64_t shard_bytes;
    int dtype; /* 0: what the form has, else of dtypes */
    bool merged, gguf, quiet;
};

static enum lf_dtype dtype_of(const struct export_flags *x)
{
    static const enum lf_dtype dtypes[] = {LF_BF16, LF_F16, LF_F32};
    if (x->dtype == 0)
        return x->merged ? LF_BF16 : LF_F32;
    return dtypes[x->dtype - 1];
}

/* ---- Other forms ----------------------------------------------------------------------------- */

/* The checkpoint that the adapter was made on. */
static enum lf_err find_base(char out[LF_PATH_MAX], const struct export_flags *x,
                             const char *adapter, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *config = NULL;
    if (x->base)
        return lf_hub_base(out, x->base, x->quiet, diag);
    enum lf_err rc = lf_path_join(path, adapter, LF_ADAPTER_CONFIG_NAME, diag);
    rc = rc ?: lf_json_load(&config, path, diag);
    if (rc != LF_OK)
        return rc;
    const char *name = json_string_value(json_object_get(config, "base_model_name_or_path"));
    rc = name && *name ? lf_hub_base(out, name, x->quiet, diag) : LF_E_NOT_FOUND;
    if (rc == LF_OK && lf_path_join(path, out, "config.json", NULL) == LF_OK &&
        lf_file_exists(path))
        return LF_OK;
    return lf_fail(diag, rc ?: LF_E_NOT_FOUND,
                   "the adapter's base is \"%.128s\": say with --base where its checkpoint is",
                   name ? name : "");
}

static enum lf_err write_merged(const struct export_flags *x, const char *base, const char *adapter,
                                const char *out, struct lf_diag *diag)
{
    struct lf_merged_base m = {0};
    struct lf_bar bar;
    const struct lf_export_options o = {.dtype = dtype_of(x),
                                        .shard_bytes = x->shard_bytes,
                                        .progress = lf_bar_update,
                                        .progress_arg = &bar,
                                        .stop = &lf_interrupted};
    lf_interrupt_watch();
    lf_bar_init(&bar, x->quiet);
    enum lf_err rc = lf_merged_open(&m, base, adapter, diag);
    rc = rc ?: lf_export_checkpoint(&m, base, out, &o, diag);
    lf_bar_end(&bar);
    lf_merged_close(&m);
    return rc;
}

static enum lf_err write_gguf(const struct export_flags *x, const char *base, const char *adapter,
                              const char *out, struct lf_diag *diag)
{
    struct lf_config c;
    struct lf_adapter *a = NULL;
    enum lf_err rc = lf_config_load(&c, base, diag) ?: lf_adapter_load(&a, &c, adapter, diag);
    rc = rc ?: lf_gguf_export_adapter(out, a, &c, dtype_of(x), diag);
    lf_adapter_free(a);
    return rc;
}

static enum lf_err write_form(const struct export_flags *x, const char *adapter, const char *out,
                              struct lf_diag *diag)
{
    char base[LF_PATH_MAX];
    enum lf_err rc = find_base(base, x, adapter, diag);
    if (rc != LF_OK)
        return rc;
    return (x->merged ? write_merged : write_gguf)(x, base, adapter, out, diag);
}

/* By way of a directory of ours, unless the adapter is one already. */
static enum lf_err convert(const struct export_flags *x, struct lf_remote *c, const char *name,
                           const char *out, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    if (strchr(name, '/'))
        return write_form(x, name, out, diag);
    snprintf(dir, sizeof dir, "%s/lorafs-export-XXXXXX", lf_dir_of_temporaries());
    if (!mkdtemp(dir))
        return lf_fail_errno(diag, errno, "%s", dir);
    enum lf_err rc =
        lf_remote_peft(c, name, x->version, dir, diag) ?: write_form(x, dir, out, diag);
    (void)!lf_dir_remove(dir, NULL);
    return rc;
}

/* ---- The command ----------------------------------------------------------------------------- */

/* "viggo", "viggo-merged" or "viggo.gguf", without a path; or what was asked for, without slashes
 * at its end. */
static void output_name(char out[LF_PATH_MAX], const struct export_flags *x, const char *name)
{
    size_t n = strlen(name);
    while (n > 1 && name[n - 1] == '/')
        n--;
    size_t from = n;
    while (from > 0 && name[from - 1] != '/')
        from--;
    if (x->out)
        snprintf(out, LF_PATH_MAX, "%s", x->out);
    else
        snprintf(out, LF_PATH_MAX, "%.*s%s", (int)(n - from), name + from,
                 x->merged ? "-merged"
                 : x->gguf ? ".gguf"
                           : "");
    for (n = strlen(out); n > 1 && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
}

static enum lf_err export_one(void *arg, struct lf_remote *c, const char *name,
                              struct lf_diag *diag)
{
    const struct export_flags *x = arg;
    char out[LF_PATH_MAX];
    output_name(out, x, name);
    enum lf_err rc;
    bool there = lf_file_exists(out);
    if (x->merged || x->gguf)
        rc = convert(x, c, name, out, diag);
    else
        rc = lf_dir_make(out, diag) ?: lf_remote_peft(c, name, x->version, out, diag);
    if (rc != LF_OK && !there)
        rmdir(out); /* where nothing came into it */
    if (rc == LF_OK)
        printf("%s\n", out);
    return rc;
}

int lf_cmd_export(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct export_flags x = {.shard_bytes = 5ll << 30};
    const struct lf_option options[] = {
        {"version", 'v', LF_OPT_INT, "N", &x.version, "this one; otherwise the one that is served",
         .lo = 1, .hi = INT32_MAX},
        {"merged", 'm', LF_OPT_FLAG, NULL, &x.merged,
         "merged into its base: a checkpoint that needs no adapter"},
        {"gguf", 'g', LF_OPT_FLAG, NULL, &x.gguf, "as llama.cpp's file of a LoRA adapter"},
        {"base", 'b', LF_OPT_STR, "BASE", &x.base,
         "the base's checkpoint, or its name at the hub; otherwise what the adapter says"},
        {"dtype", 0, LF_OPT_CHOICE, "auto|bf16|f16|f32", &x.dtype,
         "of the weights; auto is bf16 of merged ones and f32 of an adapter's"},
        {"shard", 0, LF_OPT_BYTES, "BYTES", &x.shard_bytes, "of a merged checkpoint's files",
         .lo = 1 << 10, .hi = 1e15},
        {"quiet", 0, LF_OPT_FLAG, NULL, &x.quiet, "no progress bar"},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs export",
        "NAME [OUT]",
        "Writes a version of an adapter as a PEFT directory, OUT or ./NAME: what transformers, "
        "vLLM and others load, and what `cp` to another daemon's adapter/ imports. NAME with a '/' "
        "in it is a PEFT directory, and needs no daemon.\n\n"
        "With --merged OUT is a whole checkpoint, base + scale B A in bf16, with the base's "
        "tokenizer. It is written in little memory, and is there whole or not at all. Of a 4-bit "
        "checkpoint the weights are widened; a base that the daemon quantised itself is merged as "
        "it is stored.\n\n"
        "With --gguf OUT is a file that llama.cpp loads beside a GGUF of the same base "
        "(`llama-cli --lora`).",
        options,
        1,
        2,
        "  lorafs export viggo out && python -c 'from peft import PeftModel; ...'\n"
        "  lorafs export viggo viggo-7b --merged --base bases/mistral-7b\n"
        "  lorafs export viggo --gguf --base bases/mistral-7b"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    if (x.merged && x.gguf)
        return lf_usage_error(&usage, "--merged and --gguf exclude each other");
    x.out = args.n == 2 ? args.v[1] : NULL;
    return lf_remote_each(&usage, &o, &args, 1, export_one, &x);
}
