/* What is shown of adapters: the tree's document, and the lines of `status` and `progress`. */
#include "daemon/registry/index.h"

#include "score/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BAR_CELLS 16

const char *lf_adapter_state_name(enum lf_adapter_state s)
{
    static const char *const names[] = {"empty", "ready", "queued", "training", "paused", "failed"};
    return names[s];
}

/* ---- The tree -------------------------------------------------------------------------------- */

static void put_stat(struct lf_buf *b, bool *first, const char *fmt_name, int32_t version,
                     const struct lf_file_stat *st)
{
    if (st->bytes < 0)
        return;
    lf_buf_puts(b, *first ? "\"" : ",\"");
    *first = false;
    if (version > 0)
        lf_buf_printf(b, "versions/%d/", (int)version);
    lf_buf_printf(b, "%s\":[%lld,%lld]", fmt_name, (long long)st->bytes, (long long)st->mtime_ms);
}

static void put_version(struct lf_buf *b, bool *first, const struct lf_version *v)
{
    for (size_t i = 0; i < LF_VERSION_FILES_N; i++)
        put_stat(b, first, lf_version_files[i].name, v->n, &v->file[i]);
}

/* The sizes of the texts of one that nothing is done about: they change with what the tree shows.
 */
static void put_texts(struct lf_buf *b, bool *first, const struct lf_entry *e)
{
    static const struct {
        enum lf_file_kind kind;
        enum lf_err (*text)(struct lf_buf *out, const struct lf_adapter_view *v);
    } texts[] = {{LF_FILE_STATUS, lf_adapter_status_text}, {LF_FILE_ERROR, lf_adapter_error_line}};
    struct lf_adapter_view v;
    if (e->activity.job || e->awaited || e->scores.versions > 0)
        return;
    lf_entry_view(&v, e);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lf_buf_auto t = {0};
        if (texts[i].text(&t, &v) == LF_OK)
            put_stat(b, first, lf_files[texts[i].kind].name, 0,
                     &(struct lf_file_stat){(int64_t)t.len + (t.len > 0), e->record.changed_ms});
    }
}

static void put_files(struct lf_buf *b, const struct lf_entry *e)
{
    bool first = true;
    for (int k = 0; k < LF_FILE_PLAIN_N; k++)
        put_stat(b, &first, lf_files[k].name, 0, &e->files[k]);
    const struct lf_version *current = lf_entry_version(e, e->record.current);
    const struct lf_version none = {.file = {{-1, 0}, {-1, 0}}}, *now = current ? current : &none;
    put_stat(b, &first, lf_files[LF_FILE_ADAPTER_CONFIG].name, 0,
             e->staged_config.bytes >= 0 ? &e->staged_config : &now->file[0]);
    put_stat(b, &first, lf_files[LF_FILE_ADAPTER_WEIGHTS].name, 0,
             e->staged_weights.bytes >= 0 ? &e->staged_weights : &now->file[1]);
    for (size_t i = 0; i < e->n_versions; i++)
        put_version(b, &first, &e->versions[i]);
    for (size_t i = 0; i < e->n_restored; i++)
        if (!lf_entry_version(e, e->restored[i].n))
            put_version(b, &first, &e->restored[i]);
    put_texts(b, &first, e);
}

/* Ascending; those that are being restored among them. */
static void put_numbers(struct lf_buf *b, const struct lf_entry *e)
{
    size_t i = 0, k = 0;
    while (i < e->n_versions || k < e->n_restored) {
        bool whole =
            k == e->n_restored || (i < e->n_versions && e->versions[i].n <= e->restored[k].n);
        int32_t n = whole ? e->versions[i].n : e->restored[k].n;
        if (k < e->n_restored && e->restored[k].n == n)
            k++;
        if (whole)
            i++;
        lf_buf_printf(b, i + k > 1 ? ",%d" : "%d", (int)n);
    }
}

static void put_told(struct lf_buf *b, const struct lf_told *t)
{
    const struct lf_metric *metric = t->eval.metric ? t->eval.metric : t->base.metric;
    if (metric)
        lf_buf_printf(b, "\"metric\":\"%s\",", lf_metric_name(metric));
    if (t->eval.metric)
        lf_buf_printf(b, "\"score\":%.6g,", t->eval.value);
    if (t->base.metric)
        lf_buf_printf(b, "\"base_score\":%.6g,", t->base.value);
}

/* Names are of [A-Za-z0-9._-]: nothing here needs escaping. */
static enum lf_err fragment_make(struct lf_entry *e)
{
    lf_buf_auto b = {0};
    const struct lf_adapter_record *a = &e->record;
    lf_buf_printf(&b,
                  "{\"name\":\"%s\",\"base\":\"%s\",\"created_ms\":%lld,\"changed_ms\":%lld,"
                  "\"state\":\"%s\",\"current\":%d,",
                  a->name, a->base, (long long)a->created_ms, (long long)a->changed_ms,
                  lf_adapter_state_name(lf_entry_state(e)),
                  (int)(a->current ? a->current : e->wanted));
    put_told(&b, &e->told);
    lf_buf_puts(&b, "\"versions\":[");
    put_numbers(&b, e);
    lf_buf_puts(&b, "],\"files\":{");
    put_files(&b, e);
    lf_buf_puts(&b, "}}");
    enum lf_err rc = b.rc;
    if (rc == LF_OK) {
        e->fragment_len = b.len;
        e->fragment = lf_buf_take(&b, NULL);
    }
    return rc;
}

static void put_base(struct lf_buf *out, const struct lf_base *base)
{
    lf_buf_printf(out,
                  "{\"name\":\"%s\",\"created_ms\":%lld,\"info_bytes\":%zu,\"config_bytes\":%zu}",
                  base->name, (long long)base->created_ms, base->info_bytes, base->config_bytes);
}

enum lf_err lf_registry_tree(struct lf_registry *r,
                             bool (*shown)(const void *arg, const char *name), const void *arg,
                             struct lf_buf *out)
{
    enum lf_err rc = LF_OK;
    bool first = true;
    pthread_mutex_lock(&r->index);
    lf_buf_printf(out, "{\"generation\":%llu,\"bases\":[", (unsigned long long)r->generation);
    for (int i = 0; i < r->bases->n; i++) {
        lf_buf_puts(out, i ? "," : "");
        put_base(out, r->bases->base[i]);
    }
    lf_buf_puts(out, "],\"adapters\":[");
    for (size_t i = 0; i < r->n && rc == LF_OK; i++) {
        struct lf_entry *e = r->by_name[i];
        if (shown && !shown(arg, e->record.name))
            continue;
        if (!e->fragment)
            rc = fragment_make(e);
        if (rc == LF_OK && !first)
            lf_buf_putc(out, ',');
        first = false;
        rc = rc ?: lf_buf_append(out, e->fragment, e->fragment_len);
    }
    pthread_mutex_unlock(&r->index);
    lf_buf_puts(out, "]}\n");
    return rc ?: out->rc;
}

/* ---- Lines for people ------------------------------------------------------------------------ */

/* "45s", "3m12s", "1h04m", "2d03h". */
static void put_duration(struct lf_buf *b, double seconds)
{
    long long s = seconds < 0 ? 0 : seconds > 1e9 ? 1000000000 : (long long)(seconds + 0.5);
    if (s < 60)
        lf_buf_printf(b, "%llds", s);
    else if (s < 3600)
        lf_buf_printf(b, "%lldm%02llds", s / 60, s % 60);
    else if (s < 86400)
        lf_buf_printf(b, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else
        lf_buf_printf(b, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

/* "120/2500 loss 0.83 4120 tok/s eta 3m12s", as far as it is known. */
static void put_work(struct lf_buf *b, const struct lf_progress *p)
{
    if (p->steps == 0) {
        lf_buf_puts(b, "preparing");
        return;
    }
    lf_buf_printf(b, "%lld/%lld", (long long)p->step, (long long)p->steps);
    if (isfinite(p->loss))
        lf_buf_printf(b, " loss %.2f", p->loss);
    if (isfinite(p->rewards.margin))
        lf_buf_printf(b, " margin %.2f accuracy %.2f", p->rewards.margin, p->rewards.accuracy);
    if (p->state != LF_JOB_RUNNING)
        return;
    if (isfinite(p->tokens_per_second) && p->tokens_per_second > 0)
        lf_buf_printf(b, " %.0f tok/s", p->tokens_per_second);
    if (isfinite(p->eta_seconds)) {
        lf_buf_puts(b, " eta ");
        put_duration(b, p->eta_seconds);
    }
}

/* "scoring 12/200". */
static void put_scores(struct lf_buf *b, const struct lf_scores_due *s)
{
    lf_buf_puts(b, "scoring");
    if (s->rows > 0)
        lf_buf_printf(b, " %lld/%lld", (long long)s->done, (long long)s->rows);
}

bool lf_adapter_is_settled(const struct lf_adapter_view *v)
{
    return v->activity.job == 0 && v->state != LF_ADAPTER_QUEUED &&
           (v->state == LF_ADAPTER_FAILED || v->scores.versions == 0);
}

/* A refusal of a name that means nothing, and not of ctl or generate. */
static bool is_of_stranger(const char *refusal)
{
    char name[LF_NAME_MAX + 1];
    size_t n = strcspn(refusal, ":");
    if (n == 0)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)(n < LF_NAME_MAX ? n : LF_NAME_MAX), refusal);
    return !lf_file_find(name);
}

enum lf_err lf_adapter_stranger(const struct lf_adapter_view *v, struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_BASE_DIFFERS,
                   "v%d was trained on the base %s (sha256 %.12s...), here is %s (%.12s...): it is "
                   "not served",
                   (int)v->record.current, v->record.base, v->record.base_sha256,
                   lf_base_title(v->base), v->base->sha256);
}

static enum lf_err put_stranger(struct lf_buf *b, const struct lf_adapter_view *v)
{
    struct lf_diag why = {""};
    (void)lf_adapter_stranger(v, &why);
    return lf_buf_printf(b, ": %s", why.text);
}

enum lf_err lf_adapter_status_line(struct lf_buf *b, const struct lf_adapter_view *v)
{
    const struct lf_adapter_record *a = &v->record;
    lf_buf_puts(b, lf_adapter_state_name(v->state));
    switch (v->state) {
    case LF_ADAPTER_EMPTY:
        break;
    case LF_ADAPTER_QUEUED:
        if (v->activity.waits)
            lf_buf_puts(b, ": waits for memory that other trainings have");
        else if (v->activity.preparing > 0)
            lf_buf_printf(b, ": tokenising its rows, %d%%", v->activity.preparing - 1);
        else if (v->activity.starting > 0)
            lf_buf_printf(b, ": decomposing the base's weights, %d%%", v->activity.starting - 1);
        break;
    case LF_ADAPTER_READY:
        lf_buf_printf(b, " v%d", (int)a->current);
        break;
    case LF_ADAPTER_TRAINING:
    case LF_ADAPTER_PAUSED:
        lf_buf_printf(b, " v%d ", (int)v->activity.version);
        put_work(b, &v->activity.progress);
        lf_buf_puts(b, v->activity.note);
        break;
    case LF_ADAPTER_FAILED:
        if (v->stranger)
            return put_stranger(b, v);
        lf_buf_printf(b, ": %s", a->trouble);
        if (a->current > 0)
            lf_buf_printf(b, "; serving v%d", (int)a->current);
        break;
    }
    if (a->trouble[0] && v->state != LF_ADAPTER_FAILED) /* refused while a job is open */
        lf_buf_printf(b, a->refused == LF_REFUSED_VERSION ? "; %s" : "; refused %s", a->trouble);
    if (v->named[0] && v->state == LF_ADAPTER_READY)
        lf_buf_printf(b, "; it names the base %s, here is %s", v->named, lf_base_title(v->base));
    if (v->later >= 0 && v->activity.job)
        lf_buf_printf(b, "; %s applies to the next training", lf_files[v->later].name);
    if (v->state == LF_ADAPTER_EMPTY && is_of_stranger(v->refusal))
        lf_buf_printf(b, "; refused %s", v->refusal);
    return b->rc;
}

enum lf_err lf_adapter_status_text(struct lf_buf *b, const struct lf_adapter_view *v)
{
    enum lf_err rc = lf_adapter_status_line(b, v);
    if (rc == LF_OK && v->warning[0])
        rc = lf_buf_printf(b, "\nwarning: %s", v->warning);
    return rc;
}

enum lf_err lf_adapter_error_line(struct lf_buf *b, const struct lf_adapter_view *v)
{
    struct lf_diag why = {""};
    if (v->stranger && lf_adapter_stranger(v, &why) != LF_OK)
        return lf_buf_puts(b, why.text);
    lf_buf_puts(b, v->record.trouble);
    if (v->refusal[0])
        lf_buf_printf(b, "%s%s", v->record.trouble[0] ? "\n" : "", v->refusal);
    return b->rc;
}

static void put_bar(struct lf_buf *b, int64_t step, int64_t steps)
{
    int full = steps > 0 ? (int)((double)step / (double)steps * BAR_CELLS) : 0;
    lf_buf_putc(b, '[');
    for (int i = 0; i < BAR_CELLS; i++)
        lf_buf_puts(b, i < full ? "\u2588" : "\u2591");
    lf_buf_putc(b, ']');
}

enum lf_err lf_adapter_progress_line(struct lf_buf *b, const struct lf_adapter_view *v)
{
    lf_buf_printf(b, "%s ", v->record.name);
    if (v->state == LF_ADAPTER_READY && v->scores.versions > 0) {
        bool held = v->record.refused == LF_REFUSED_VERSION;
        lf_buf_printf(b, "v%d ", (int)(held ? v->record.versions : v->record.current));
        put_bar(b, v->scores.done, v->scores.rows);
        lf_buf_putc(b, ' ');
        put_scores(b, &v->scores);
        return b->rc;
    }
    if (v->state != LF_ADAPTER_TRAINING && v->state != LF_ADAPTER_PAUSED)
        return lf_adapter_status_line(b, v);
    lf_buf_printf(b, "v%d ", (int)v->activity.version);
    put_bar(b, v->activity.progress.step, v->activity.progress.steps);
    lf_buf_puts(b, v->state == LF_ADAPTER_PAUSED ? " paused " : " ");
    put_work(b, &v->activity.progress);
    lf_buf_puts(b, v->activity.note);
    return b->rc;
}
