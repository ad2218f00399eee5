/* `lorafs bench serve`: a load on a server, from the command line. */
#include "bench/limits.h"
#include "bench/load.h"

#include "client/paths.h"
#include "client/remote.h"
#include "core/json.h"
#include "tools/commands.h"
#include "tools/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct serve_flags {
    struct lf_remote_options remote;
    const char *models;
    struct lf_option_ints prompt, completion;
    int64_t users, prefix, vocabulary, seed;
    double rate, seconds, warmup;
    int api, spread;
    bool json;
};

/* ---- Models ---------------------------------------------------------------------------------- */

static void models_free(char **models, int n)
{
    for (int i = 0; models && i < n; i++)
        free(models[i]);
    free(models);
}

/* "a,b,c", or "task:25" for task0 to task24. */
static char **models_of(const char *text, int *n)
{
    const char *colon = strchr(text, ':');
    char **out = calloc(LF_LOAD_MODELS_MAX, sizeof *out), name[LF_NAME_MAX + 16];
    long count = colon ? strtol(colon + 1, NULL, 10) : 0;
    *n = 0;
    for (; out && colon && *n < count && *n < LF_LOAD_MODELS_MAX; ++*n) {
        snprintf(name, sizeof name, "%.*s%d", (int)(colon - text < LF_NAME_MAX ? colon - text : 0),
                 text, *n);
        out[*n] = strdup(name);
    }
    while (out && !colon && *n < LF_LOAD_MODELS_MAX) {
        size_t len = strcspn(text, ",");
        out[(*n)++] = strndup(text, len);
        if (!text[len])
            break;
        text += len + 1;
    }
    return out;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static json_t *times_json(const struct lf_load_times *t)
{
    return json_pack("[o, o, o]", lf_json_finite(t->p50 * 1e3), lf_json_finite(t->p90 * 1e3),
                     lf_json_finite(t->p99 * 1e3));
}

static void print_json(const struct lf_load *l, const struct lf_load_result *r)
{
    json_t *j =
        json_pack("{s:s, s:i, s:i, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:o, s:f}", "bench",
                  "serve", "models", l->n_models, "users", l->users, "rate", l->rate, "seconds",
                  r->seconds, "requests", (json_int_t)r->requests, "failed", (json_int_t)r->failed,
                  "late", (json_int_t)r->late, "tokens_per_second", (double)r->tokens / r->seconds,
                  "requests_per_second", (double)r->requests / r->seconds, "first_token_ms",
                  times_json(&r->first), "between_tokens_ms", times_json(&r->next), "answer_ms",
                  times_json(&r->whole), "least_share", r->least_share);
    if (j && r->failed)
        json_object_set_new(j, "why", json_string(r->why));
    if (j && l->spread == LF_LOAD_HOT) {
        json_object_set_new(j, "hot_first_token_ms", times_json(&r->hot));
        json_object_set_new(j, "others_first_token_ms", times_json(&r->others));
    }
    if (j) {
        json_dumpf(j, stdout, JSON_REAL_PRECISION(6));
        putchar('\n');
    }
    json_decref(j);
}

static void print_times(const char *what, const struct lf_load_times *t)
{
    if (!isnan(t->p50))
        printf("%-22s %10.1f %10.1f %10.1f\n", what, t->p50 * 1e3, t->p90 * 1e3, t->p99 * 1e3);
}

static void print(const struct lf_load *l, const struct lf_load_result *r)
{
    printf("%d users, %d models, %.0f s: %.0f tok/s, %.2f requests/s, %lld failed", l->users,
           l->n_models, r->seconds, (double)r->tokens / r->seconds,
           (double)r->requests / r->seconds, (long long)r->failed);
    if (l->rate > 0)
        printf(", %lld late", (long long)r->late);
    printf("\n%-22s %10s %10s %10s\n", "ms", "p50", "p90", "p99");
    print_times("to the first token", &r->first);
    print_times("between two", &r->next);
    print_times("to the end", &r->whole);
    print_times("the hot one's first", &r->hot);
    print_times("the others' first", &r->others);
    if (l->n_models > 1 && l->spread == LF_LOAD_UNIFORM)
        printf("fewest answers of a model: %.2f of the mean\n", r->least_share);
    if (r->failed)
        printf("first failure: %s\n", r->why);
}

/* ---- The command ----------------------------------------------------------------------------- */

static bool range_of(int out[2], const struct lf_option_ints *v)
{
    out[0] = (int)v->v[0];
    out[1] = (int)v->v[v->n - 1];
    return v->n <= 2 && out[0] <= out[1];
}

static int run(const struct lf_usage *u, const struct serve_flags *f)
{
    char socket[LF_PATH_MAX];
    lf_path_socket(socket);
    struct lf_load l = {.url = f->remote.url ? f->remote.url : socket,
                        .cacert = f->remote.cacert,
                        .api = (enum lf_load_api)f->api,
                        .spread = (enum lf_load_spread)f->spread,
                        .users = (int)f->users,
                        .rate = f->rate,
                        .warmup = f->warmup,
                        .seconds = f->seconds,
                        .prefix = (int)f->prefix,
                        .vocabulary = f->api == LF_LOAD_LORAX ? 0 : (int)f->vocabulary,
                        .seed = f->seed};
    struct lf_load_result r;
    struct lf_diag diag = {""};
    lf_buf_auto key = {0};
    if (!range_of(l.prompt, &f->prompt) || !range_of(l.completion, &f->completion))
        return lf_usage_error(u, "--prompt-tokens and --completion-tokens are LEAST,MOST");
    enum lf_err rc = lf_remote_key(&key, &f->remote, &diag);
    l.api_key = key.len ? key.data : NULL;
    char **models = models_of(f->models, &l.n_models);
    l.models = models;
    if (rc == LF_OK && !models)
        rc = lf_fail(&diag, LF_E_NO_MEMORY, "no memory for the models' names");
    if (rc == LF_OK && l.n_models == 0)
        rc = lf_fail(&diag, LF_E_INVALID, "--models names none");
    rc = rc ?: lf_load_run(&r, &l, &diag);
    if (rc == LF_OK)
        (f->json ? print_json : print)(&l, &r);
    models_free(models, l.n_models);
    return rc == LF_OK ? 0 : lf_command_failed(u, rc, &diag);
}

int lf_bench_serve(int argc, char **argv)
{
    struct serve_flags f = {.models = "",
                            .prompt = {{30, 500}, 2},
                            .completion = {{1, 120}, 2},
                            .users = 50,
                            .seconds = 20,
                            .warmup = 2,
                            .vocabulary = 32000};
    const struct lf_option options[] = {
        LF_REMOTE_OPTIONS(f.remote),
        {"models", 'm', LF_OPT_STR, "NAMES", &f.models,
         "adapters: a,b,c, or task:25 for task0 to task24; otherwise the base"},
        {"api", 0, LF_OPT_CHOICE, "completions|lorax", &f.api,
         "POST /v1/completions, or LoRAX' /generate_stream"},
        {"users", 'n', LF_OPT_INT, "N", &f.users, "requests at once, at most", .lo = 1,
         .hi = LF_LOAD_USERS_MAX},
        {"rate", 0, LF_OPT_REAL, "X", &f.rate,
         "requests a second, whether others are answered or not; 0: each user's next one when its "
         "last is answered",
         .hi = 1e5},
        {"spread", 0, LF_OPT_CHOICE, "uniform|zipf|hot", &f.spread,
         "of requests over the models; hot: half are the first one's"},
        {"prompt-tokens", 'p', LF_OPT_INTS, "LEAST,MOST", &f.prompt, "tokens", .lo = 1,
         .hi = 1 << 20},
        {"completion-tokens", 0, LF_OPT_INTS, "LEAST,MOST", &f.completion, "tokens", .lo = 1,
         .hi = 1 << 20},
        {"prefix", 0, LF_OPT_INT, "N", &f.prefix, "tokens that a model's prompts begin with",
         .hi = 1 << 20},
        {"vocabulary", 0, LF_OPT_INT, "N", &f.vocabulary,
         "token ids of prompts are below; 0: words, as with lorax", .hi = 1 << 22},
        {"seconds", 0, LF_OPT_REAL, "X", &f.seconds, "measured", .lo = 0.1, .hi = 1e5},
        {"warmup", 0, LF_OPT_REAL, "X", &f.warmup, "seconds before", .hi = 1e4},
        {"seed", 0, LF_OPT_INT, "N", &f.seed, "of all that is random", .hi = 1e15},
        {"json", 0, LF_OPT_FLAG, NULL, &f.json, "a JSON object"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs bench serve", "[--url URL]",
        "Puts a load on a server and prints what its users see: tokens a second, the time to the "
        "first token, between two, to the end, and how evenly models are served. Any server that "
        "has OpenAI's completions, or LoRAX' stream, so others are measured alike; prompts are "
        "random, lengths even, and each answer has as many tokens as it was asked for "
        "(ignore_eos). The defaults are LoRA Land's lengths.",
        options,
        .examples = "  lorafs bench serve --url http://127.0.0.1:8080 --models task:25 --users 50\n"
                    "  lorafs bench serve --models a,b,c --spread hot --rate 20 --json"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    return run(&usage, &f);
}
