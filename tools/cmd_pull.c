/* `lorafs pull`: fetch a checkpoint or an adapter from a Hugging Face-compatible hub. */
#include "tools/bar.h"
#include "tools/commands.h"
#include "tools/hub.h"
#include "tools/interrupt.h"
#include "tools/options.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

struct pull {
    struct lf_bar bar;
    char what[96];
};

static int pull_progress(void *arg, int64_t done, int64_t total)
{
    struct pull *p = arg;
    lf_bar_update(&p->bar, total > 0 ? (double)done / (double)total : 1, p->what);
    return lf_interrupted;
}

/* "org/name@rev" without --out goes to ./name. */
static const char *default_dir(const struct lf_hub_repo *r)
{
    const char *slash = strrchr(r->id, '/');
    return slash ? slash + 1 : r->id;
}

static int64_t wanted_bytes(const struct lf_hub_repo *r, size_t *n)
{
    int64_t bytes = 0;
    *n = 0;
    for (size_t i = 0; i < r->n_files; i++)
        if (lf_hub_wanted(r->files[i].name)) {
            bytes += r->files[i].bytes > 0 ? r->files[i].bytes : 0;
            ++*n;
        }
    return bytes;
}

static void list_print(const struct lf_hub_repo *r)
{
    printf("%s at %s\n", r->id, r->revision);
    for (size_t i = 0; i < r->n_files; i++)
        printf("%c %14lld  %s\n", lf_hub_wanted(r->files[i].name) ? '*' : ' ',
               (long long)r->files[i].bytes, r->files[i].name);
}

int lf_cmd_pull(int argc, char **argv)
{
    const char *out = NULL, *endpoint = NULL;
    int64_t parallel = 4;
    bool list = false, quiet = false;
    const struct lf_option options[] = {
        {"out", 'o', LF_OPT_STR, "DIR", &out, "where to; the repository's name if not given"},
        {"endpoint", 0, LF_OPT_STR, "URL", &endpoint, "the hub; otherwise HF_ENDPOINT's"},
        {"parallel", 'j', LF_OPT_INT, "N", &parallel, "files at once", .lo = 1, .hi = 16},
        {"list", 'l', LF_OPT_FLAG, NULL, &list, "only list the files; * marks what a pull fetches"},
        {"quiet", 0, LF_OPT_FLAG, NULL, &quiet, "no progress bar"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs pull",
        "ORG/NAME[@REVISION]",
        "Fetches a checkpoint or an adapter from a hub that speaks Hugging Face's routes.\n\n"
        "Files are checked against the hub's digests; a pull that was stopped goes on where it "
        "was. HF_TOKEN, when set, is sent to the hub (gated and private repositories).",
        options,
        .args_min = 1,
        .args_max = 1,
        .examples = "lorafs pull mistralai/Mistral-7B-v0.1 --out bases/mistral-7b\n"
                    "lorafs pull org/adapter@v2"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_hub_repo repo;
    struct pull p = {0};
    struct lf_hub_options hub = {.endpoint = endpoint,
                                 .parallel = (int)parallel,
                                 .progress = pull_progress,
                                 .progress_arg = &p};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum lf_err rc = lf_hub_list(&repo, args.v[0], &hub, &diag);
    if (rc != LF_OK) {
        curl_global_cleanup();
        return lf_command_failed(&usage, rc, &diag);
    }
    if (list) {
        list_print(&repo);
    } else {
        size_t n;
        int64_t bytes = wanted_bytes(&repo, &n);
        const char *dir = out ? out : default_dir(&repo);
        snprintf(p.what, sizeof p.what, "%zu files, %.1f MB", n, (double)bytes / 1e6);
        lf_interrupt_watch();
        lf_bar_init(&p.bar, quiet);
        rc = n ? lf_hub_fetch(&repo, dir, &hub, &diag)
               : lf_fail(&diag, LF_E_NOT_FOUND, "%s: nothing in it that lorafs reads", repo.id);
        lf_bar_end(&p.bar);
        if (rc == LF_OK)
            printf("%s\n", dir);
    }
    lf_hub_repo_free(&repo);
    curl_global_cleanup();
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
