/* lorafs plan: what a base and trainings need of a device, before there is one. The layout is the
 * daemon's own (daemon/engine/plan.h); here are the question, the search for what would fit, and
 * how the answer is written. */
#include "tools/commands.h"

#include "core/budget.h"
#include "core/file.h"
#include "core/json.h"
#include "daemon/engine/plan.h"
#include "tools/hub_cache.h"
#include "tools/offline.h"
#include "tools/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB 1048576.0
#define TRAIN_TOKENS_LEAST 512 /* a batch below that leaves the device idle */

struct planned_job {
    const char *path; /* NULL: the defaults */
    struct lf_train_settings s;
    struct lf_training_needs needs;
};

struct plan_run {
    const char *base;
    struct lf_daemon_options o;
    char draft_dir[LF_PATH_MAX];
    struct lf_config config;
    struct lf_budget *host;
    struct planned_job jobs[LF_JOBS_FUSED_MAX];
    int n_jobs, n_settings; /* n_settings of the jobs have their settings */
    struct lf_memory_plan layout;
    bool laid_out, fits;
    uint64_t taken;                  /* by the jobs, of the rest */
    struct lf_diag why;              /* it does not fit */
    struct lf_daemon_options better; /* with which it does; train_tokens 0: there are none */
    int rank; /* the highest with which the first job that does not fit alone does */
};

/* ---- The question ---------------------------------------------------------------------------- */

static enum lf_err load_base(struct plan_run *r, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    enum lf_err rc = LF_OK;
    if (r->o.draft_dir) {
        rc = lf_hub_base(r->draft_dir, r->o.draft_dir, false, diag);
        r->o.draft_dir = r->draft_dir;
    }
    if (!lf_file_exists(r->base) && lf_config_shape(&r->config, r->base, NULL) == LF_OK)
        return rc;
    rc = rc ?: lf_hub_base(dir, r->base, false, diag);
    return rc ?: lf_config_load(&r->config, dir, diag);
}

static enum lf_err load_jobs(struct plan_run *r, char *const *paths, int n, struct lf_diag *diag)
{
    r->n_jobs = n > 0 ? n : 1;
    if (n > LF_JOBS_FUSED_MAX)
        return lf_fail(diag, LF_E_INVALID, "%d trainings; up to %d run beside each other", n,
                       LF_JOBS_FUSED_MAX);
    enum lf_err rc = LF_OK;
    for (int i = 0; i < r->n_jobs && rc == LF_OK; i++) {
        struct planned_job *j = &r->jobs[i];
        j->path = n > 0 ? paths[i] : NULL;
        if (j->path)
            rc = lf_train_settings_load(&j->s, j->path, diag);
        else
            lf_train_settings_default(&j->s);
        r->n_settings += rc == LF_OK;
    }
    return rc;
}

/* The device of this machine, where none is described. */
static enum lf_err find_device(struct plan_run *r, struct lf_diag *diag)
{
    struct lf_device *dev;
    struct lf_device_info info;
    if (r->o.gpu_memory_bytes > 0) {
        r->o.device = r->o.device == LF_DEVICE_AUTO ? LF_DEVICE_CUDA : r->o.device;
        return LF_OK;
    }
    enum lf_err rc = lf_device_open(&dev, r->o.device, NULL, diag);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc, "--memory says how much a card has that is not here");
    lf_device_info(dev, &info);
    r->o.device = dev->kind;
    r->o.gpu_memory_bytes = (int64_t)info.memory_total;
    lf_device_free(dev);
    return LF_OK;
}

/* ---- The answer ------------------------------------------------------------------------------ */

/* Whether all is there with these options; why not is the reason. */
static enum lf_err try_layout(struct plan_run *r, const struct lf_daemon_options *o,
                              struct lf_diag *diag)
{
    enum lf_err rc = lf_plan_layout(&r->layout, o, &r->config, r->host, diag);
    r->laid_out = rc == LF_OK;
    r->taken = 0;
    for (int i = 0; i < r->n_jobs && rc == LF_OK; i++) {
        struct planned_job *j = &r->jobs[i];
        rc = lf_plan_training(&j->needs, &r->layout, &r->config, &j->s, diag);
        r->taken += j->needs.least;
    }
    if (rc == LF_OK && r->taken > r->layout.rest)
        rc = lf_fail(diag, LF_E_DEVICE_FULL, "%s of %.0f MiB, and %.0f are left",
                     r->n_jobs == 1 ? "the training's adapter" : "the trainings' adapters",
                     (double)r->taken / MIB, (double)r->layout.rest / MIB);
    return rc;
}

/* Settings that give up as little speed as can be: first what backward keeps, then the size of a
 * batch, last the cache of keys and values. */
static bool search(struct plan_run *r)
{
    const enum lf_recompute hows[] = {r->o.recompute, LF_RECOMPUTE_OFFLOAD, LF_RECOMPUTE_BLOCK};
    const int64_t caches[] = {r->o.kv_tokens, r->config.positions_max, 8192, 2048};
    for (size_t k = 0; k < sizeof caches / sizeof *caches; k++)
        for (int tokens = r->o.train_tokens; tokens >= TRAIN_TOKENS_LEAST; tokens /= 2)
            for (size_t h = 0; h < sizeof hows / sizeof *hows; h++) {
                struct lf_daemon_options o = r->o;
                o.kv_tokens = caches[k];
                o.train_tokens = tokens;
                o.recompute = hows[h];
                if (o.batch_tokens_max > tokens)
                    o.batch_tokens_max = tokens;
                if (try_layout(r, &o, NULL) == LF_OK) {
                    r->better = o;
                    return true;
                }
            }
    return false;
}

static enum lf_err answer(struct plan_run *r, struct lf_diag *diag)
{
    enum lf_err rc = try_layout(r, &r->o, &r->why);
    r->fits = rc == LF_OK;
    if (rc != LF_OK && rc != LF_E_DEVICE_FULL)
        return lf_fail(diag, rc, "%s", r->why.text);
    if (r->fits || search(r))
        return LF_OK;
    r->better.train_tokens = 0;
    for (int i = 0; r->laid_out && i < r->n_jobs && r->rank == 0; i++)
        r->rank = lf_plan_rank(&r->layout, &r->config, &r->jobs[i].s);
    return LF_OK;
}

/* How many more such trainings run beside, and how many such adapters answer. */
static int64_t more_trainings(const struct plan_run *r)
{
    const struct lf_training_needs *n = &r->jobs[r->n_jobs - 1].needs;
    uint64_t fit = n->least > 0 ? (r->layout.rest - r->taken) / n->least : 0;
    int64_t most = LF_JOBS_FUSED_MAX - r->n_jobs;
    return (int64_t)fit < most ? (int64_t)fit : most;
}

static int64_t more_adapters(const struct plan_run *r)
{
    const struct lf_training_needs *n = &r->jobs[r->n_jobs - 1].needs;
    uint64_t fit = n->served > 0 ? (r->layout.rest - r->taken) / n->served : 0;
    return (int64_t)fit < r->o.slots ? (int64_t)fit : r->o.slots;
}

/* ---- As text --------------------------------------------------------------------------------- */

static void print_line(const char *what, uint64_t bytes, const char *more)
{
    printf("%-20s %9.0f%s%s\n", what, (double)bytes / MIB, *more ? "   " : "", more);
}

static void print_layout(const struct plan_run *r, const struct lf_daemon_options *o)
{
    const struct lf_memory_plan *p = &r->layout;
    char text[128];
    printf("%-20s %9s\n", "", "MiB");
    print_line("weights", p->weights, "");
    print_line("  unpacked", p->copies, "");
    snprintf(text, sizeof text, "%lld tokens", (long long)p->kv_tokens);
    print_line("KV cache", p->kv, text);
    if (p->draft > 0)
        print_line("draft base", p->draft, "with its cache");
    snprintf(text, sizeof text, "recompute %s, %.0f MiB of the host's, %d tokens a batch",
             lf_recompute_word(p->recompute), (double)p->host / MIB, o->train_tokens);
    print_line("saved for backward", p->saved, text);
    print_line("working", p->working, "");
    if (o->device == LF_DEVICE_CUDA)
        print_line("driver", LF_DRIVER_BYTES, "");
    print_line("left for adapters", p->rest, "");
}

static void print_jobs(const struct plan_run *r)
{
    printf("\n%-32s %5s %12s %9s %9s %9s\n", "training", "rank", "parameters", "device", "or host",
           "served");
    for (int i = 0; i < r->n_jobs; i++) {
        const struct planned_job *j = &r->jobs[i];
        printf("%-32.32s %5d %12lld %9.1f %9.1f %9.1f\n", j->path ? j->path : "(defaults)",
               j->needs.rank, (long long)j->needs.params, (double)j->needs.trains.device / MIB,
               (double)j->needs.trains.paged / MIB, (double)j->needs.served / MIB);
    }
    printf("\nbeside %s: %lld more such training%s, or %lld such adapters that answer\n",
           r->n_jobs == 1 ? "it" : "them", (long long)more_trainings(r),
           more_trainings(r) == 1 ? "" : "s", (long long)more_adapters(r));
}

static void print_better(const struct plan_run *r)
{
    printf("it does not fit: %s\n", r->why.text);
    if (r->better.train_tokens > 0) {
        printf("it fits with --recompute %s --train-tokens %d --batch-tokens %d",
               lf_recompute_word(r->better.recompute), r->better.train_tokens,
               r->better.batch_tokens_max);
        if (r->better.kv_tokens > 0)
            printf(" --kv-tokens %lld", (long long)r->better.kv_tokens);
        printf(":\n\n");
    } else if (r->rank > 0) {
        printf("alone, and with the least of all else, it would with \"rank\": %d\n", r->rank);
    } else {
        printf("no settings fit\n");
    }
}

static void print_text(const struct plan_run *r)
{
    const char *where = lf_device_kind_word(r->o.device);
    printf("%s in %s on %s with %.0f MiB\n\n", r->base, r->o.quant == LF_QUANT_NF4 ? "nf4" : "bf16",
           where, (double)r->o.gpu_memory_bytes / MIB);
    if (!r->fits)
        print_better(r);
    if (!r->fits && r->better.train_tokens == 0)
        return;
    print_layout(r, r->fits ? &r->o : &r->better);
    print_jobs(r);
}

/* ---- As JSON --------------------------------------------------------------------------------- */

static json_t *layout_json(const struct lf_memory_plan *p)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "weights_bytes",
                     (json_int_t)p->weights, "unpacked_bytes", (json_int_t)p->copies, "kv_bytes",
                     (json_int_t)p->kv, "draft_bytes", (json_int_t)p->draft, "kv_tokens",
                     (json_int_t)p->kv_tokens, "saved_bytes", (json_int_t)p->saved, "working_bytes",
                     (json_int_t)p->working, "left_bytes", (json_int_t)p->rest, "host_bytes",
                     (json_int_t)p->host, "recompute", lf_recompute_word(p->recompute));
}

static json_t *jobs_json(const struct plan_run *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_jobs; i++) {
        const struct planned_job *j = &r->jobs[i];
        json_array_append_new(list, json_pack("{s:s?, s:i, s:I, s:I, s:I, s:I}", "settings",
                                              j->path, "rank", j->needs.rank, "parameters",
                                              (json_int_t)j->needs.params, "device_bytes",
                                              (json_int_t)j->needs.trains.device, "paged_bytes",
                                              (json_int_t)j->needs.trains.paged, "served_bytes",
                                              (json_int_t)j->needs.served));
    }
    return list;
}

static json_t *better_json(const struct plan_run *r)
{
    const struct lf_daemon_options *b = &r->better;
    if (b->train_tokens > 0)
        return json_pack("{s:s, s:i, s:i, s:I}", "recompute", lf_recompute_word(b->recompute),
                         "train_tokens", b->train_tokens, "batch_tokens", b->batch_tokens_max,
                         "kv_tokens", (json_int_t)b->kv_tokens);
    return r->rank > 0 ? json_pack("{s:i}", "rank", r->rank) : json_null();
}

static enum lf_err print_json(const struct plan_run *r, struct lf_diag *diag)
{
    json_auto_t *out = json_pack("{s:s, s:s, s:I, s:b}", "base", r->base, "device",
                                 lf_device_kind_word(r->o.device), "memory_bytes",
                                 (json_int_t)r->o.gpu_memory_bytes, "fits", r->fits);
    if (!r->fits) {
        json_object_set_new(out, "why", json_string(r->why.text));
        json_object_set_new(out, "would_fit", better_json(r));
    }
    if (r->fits || r->better.train_tokens > 0) {
        json_object_set_new(out, "layout", layout_json(&r->layout));
        json_object_set_new(out, "trainings", jobs_json(r));
        json_object_set_new(out, "beside",
                            json_pack("{s:I, s:I}", "trainings", (json_int_t)more_trainings(r),
                                      "adapters", (json_int_t)more_adapters(r)));
    }
    if (!out || json_dumpf(out, stdout, JSON_INDENT(1)) != 0)
        return lf_no_memory(diag, "the plan");
    putchar('\n');
    return LF_OK;
}

int lf_cmd_plan(int argc, char **argv)
{
    struct plan_run r = {.rank = 0};
    lf_daemon_options_default(&r.o);
    int device = LF_DEVICE_AUTO, quant = LF_QUANT_NF4, recompute = (int)r.o.recompute;
    int64_t slots = r.o.slots, batch_tokens = r.o.batch_tokens_max, train = r.o.train_tokens;
    bool json = false;
    const struct lf_option options[] = {
        {"memory", 'm', LF_OPT_BYTES, "BYTES", &r.o.gpu_memory_bytes,
         "what the device has, 24GB; 0: the device of this machine", .hi = 1e15},
        {"device", 'd', LF_OPT_CHOICE, LF_DEVICE_WORDS, &device,
         "its kind; auto: a card where --memory is given"},
        {"quant", 'q', LF_OPT_CHOICE, LF_OFFLINE_QUANTS, &quant, "form of the blocks' weights"},
        {"recompute", 0, LF_OPT_CHOICE, LF_RECOMPUTE_WORDS, &recompute,
         "what a training makes again in backward, or keeps in host memory"},
        {"train-tokens", 0, LF_OPT_INT, "N", &train, "most tokens of a training batch", .lo = 1,
         .hi = 1 << 20},
        {"batch-tokens", 0, LF_OPT_INT, "N", &batch_tokens, "most tokens of a serving step",
         .lo = 1, .hi = 1 << 20},
        {"kv-tokens", 0, LF_OPT_INT, "N", &r.o.kv_tokens,
         "tokens of all live sequences together; 0: what the memory allows", .hi = 1e9},
        {"draft", 0, LF_OPT_STR, "BASE", &r.o.draft_dir, "a small base that drafts answers"},
        {"slots", 0, LF_OPT_INT, "N", &slots, "most adapters on the device", .lo = 1,
         .hi = LF_SLOTS_MAX},
        {"host-memory", 0, LF_OPT_BYTES, "BYTES", &r.o.host_memory_bytes,
         "of the host, half of it for what waits for backward; 0: half of what there is",
         .hi = 1e15},
        {"json", 0, LF_OPT_FLAG, NULL, &json, "one JSON object instead of text"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs plan",
        "BASE [SETTINGS...] [options]",
        "Foretells what a daemon with these options lays a device's memory out for, what trainings "
        "with these settings take of the rest and what fits beside them; where they do not fit, "
        "with what options or rank they would. Nothing is loaded, and the device need not be "
        "here. Exit status 1: it does not fit.\n\n"
        "BASE is a checkpoint directory, of which config.json is read, a name at the hub, or a "
        "shape: llama-3-70b. SETTINGS are files as an adapter's config.json, of trainings that run "
        "beside each other.",
        options,
        1,
        -1,
        "  lorafs plan ~/models/Mistral-7B-v0.3 viggo/config.json --memory 24GB\n"
        "  lorafs plan llama-3-70b --memory 141GB --json"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    r.base = args.v[0];
    r.o.device = (enum lf_device_kind)device;
    r.o.quant = (enum lf_quant)quant;
    r.o.recompute = (enum lf_recompute)recompute;
    r.o.slots = (int)slots;
    r.o.train_tokens = (int)train;
    r.o.batch_tokens_max = (int)batch_tokens;
    uint64_t host =
        r.o.host_memory_bytes > 0 ? (uint64_t)r.o.host_memory_bytes : lf_memory_limit() / 2;
    r.host = lf_budget_new(host, "--host-memory");
    enum lf_err rc = r.host ? LF_OK : lf_no_memory(&diag, "a plan");
    rc = rc ?: load_jobs(&r, args.v + 1, args.n - 1, &diag) ?: load_base(&r, &diag);
    rc = rc ?: find_device(&r, &diag) ?: answer(&r, &diag);
    if (rc == LF_OK && json)
        rc = print_json(&r, &diag);
    else if (rc == LF_OK)
        print_text(&r);
    for (int i = 0; i < r.n_settings; i++)
        lf_train_settings_free(&r.jobs[i].s);
    lf_budget_free(r.host);
    return rc != LF_OK ? lf_command_failed(&usage, rc, &diag) : r.fits ? 0 : 1;
}
