/* Training by Slurm. */
#include "tools/train_slurm.h"

#include "core/json.h"
#include "slurm/array.h"
#include "tools/bar.h"
#include "tools/interrupt.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define TAIL_BYTES 8192 /* of a log: some micro-batches, and a step's line among them */

struct train_array {
    const struct lf_train_flags *o;
    const struct lf_train_list *l;
    const char *base;
    const struct lf_usage *u;
    struct lf_slurm slurm;
    struct lf_bar bar;
    bool *ended; /* (l->n) */
    double *at;  /* (elements) how many of its adapters are done, with parts of them */
    bool *open;  /* (elements) */
    int each;    /* adapters of an element */
    int n;       /* elements */
    int n_failed;
};

static int first_of(const struct train_array *x, int k)
{
    return k * x->each;
}

static int end_of(const struct train_array *x, int k)
{
    int end = first_of(x, k) + x->each;
    return end < x->l->n ? end : x->l->n;
}

/* ---- What an element runs -------------------------------------------------------------------- */

static void put_word(void *arg, const char *text)
{
    struct lf_buf *out = arg;
    lf_buf_putc(out, ' ');
    (void)!lf_slurm_quote(out, text);
}

/* The paths are as they were given, and so is the place that they are from. */
static enum lf_err print_script(struct lf_buf *out, const struct train_array *x, int k,
                                struct lf_diag *diag)
{
    static const char *const theirs[] = {
        "config",       "set",       "out",         "checkpoint", "checkpoint-seconds",
        "batch-tokens", "recompute", "quant",       "device",     "threads",
        "cpu-products", "gpu",       "tensorboard", "mlflow",     NULL};
    char *here = getcwd(NULL, 0);
    if (!here)
        return lf_fail_errno(diag, errno, "the working directory");
    lf_buf_puts(out, "cd");
    put_word(out, here);
    lf_buf_puts(out, " || exit\n");
    free(here);
    enum lf_err rc = lf_slurm_self(out, diag);
    lf_buf_puts(out, " train --quiet --base");
    put_word(out, x->base);
    lf_options_words(x->u, theirs, put_word, out);
    lf_buf_puts(out, " --");
    for (int i = first_of(x, k); i < end_of(x, k); i++)
        put_word(out, x->l->items[i].arg);
    lf_buf_putc(out, '\n');
    return rc == LF_OK && out->rc != LF_OK ? lf_no_memory(diag, "a command") : rc;
}

/* What failed in an earlier run is tried again. */
static enum lf_err prepare(void *arg, int k, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], number[16];
    lf_buf_auto text = {0};
    const struct train_array *x = arg;
    enum lf_err rc = print_script(&text, x, k, diag);
    for (int i = first_of(x, k); i < end_of(x, k) && rc == LF_OK; i++)
        if (!x->ended[i])
            rc = lf_train_result_forget(&x->l->items[i], diag);
    snprintf(number, sizeof number, "%d", k);
    rc = rc ?: lf_path_join(path, x->slurm.dir, number, diag) ?: lf_dir_make(path, diag);
    snprintf(number, sizeof number, "%d/train.sh", k);
    rc = rc ?: lf_path_join(path, x->slurm.dir, number, diag);
    return rc ?: lf_file_write(path, text.data, text.len, diag);
}

/* ---- What came of it ------------------------------------------------------------------------- */

/* The part of its steps that its log has last. */
static double part_of(const struct lf_train_item *it)
{
    static const char mark[] = "\"event\":\"step\",\"step\":";
    char tail[TAIL_BYTES + 1];
    long long step = 0, steps = 0;
    int fd = open(it->log, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    off_t end = lseek(fd, 0, SEEK_END);
    ssize_t n = pread(fd, tail, TAIL_BYTES, end > TAIL_BYTES ? end - TAIL_BYTES : 0);
    close(fd);
    tail[n > 0 ? n : 0] = '\0';
    const char *last = NULL;
    for (const char *at = strstr(tail, mark); at; at = strstr(at + 1, mark))
        last = strchr(at, '\n') ? at : last; /* a whole line */
    if (!last || sscanf(last + sizeof mark - 1, "%lld,\"steps\":%lld", &step, &steps) != 2)
        return 0;
    return steps > 0 ? (double)step / (double)steps : 0;
}

/* A result that counts: of one that failed when nothing tries it any more. */
static bool take_result(struct train_array *x, int i, bool ended)
{
    json_auto_t *result = lf_train_result_read(&x->l->items[i]);
    bool done = strcmp(lf_json_text_of(result, "state"), "done") == 0;
    if (!result || (!done && !ended))
        return false;
    lf_bar_end(&x->bar);
    x->n_failed += !lf_train_result_print(&x->l->items[i], result, x->o->json);
    x->ended[i] = true;
    return true;
}

static enum lf_err take(void *arg, int k, bool ended, bool *open, double *progress,
                        struct lf_diag *diag)
{
    struct train_array *x = arg;
    (void)diag;
    *open = false;
    *progress = 0;
    for (int i = first_of(x, k); i < end_of(x, k); i++) {
        bool over = x->ended[i] || take_result(x, i, ended);
        *progress += over ? 1 : part_of(&x->l->items[i]);
        *open = *open || !over;
    }
    x->at[k] = *progress;
    return LF_OK;
}

static enum lf_err give_up(void *arg, int k, const char *reason, struct lf_diag *diag)
{
    struct train_array *x = arg;
    enum lf_err rc = LF_OK;
    for (int i = first_of(x, k); i < end_of(x, k) && rc == LF_OK; i++)
        if (!x->ended[i]) {
            rc = lf_train_result_write(&x->l->items[i], json_object(), reason, diag);
            if (rc == LF_OK)
                take_result(x, i, true);
        }
    return rc;
}

static enum lf_err look(void *arg, struct lf_diag *diag)
{
    struct train_array *x = arg;
    char what[64];
    double sum = 0;
    int done = 0;
    for (int k = 0; k < x->n; k++)
        sum += x->at[k];
    for (int i = 0; i < x->l->n; i++)
        done += x->ended[i];
    snprintf(what, sizeof what, "%d of %d done", done, x->l->n);
    lf_bar_update(&x->bar, sum / x->l->n, what);
    return lf_interrupted ? lf_fail(diag, LF_E_INTERRUPTED,
                                    "interrupted; Slurm goes on, and the same command follows it")
                          : LF_OK;
}

/* ---- All ------------------------------------------------------------------------------------- */

static enum lf_err begin(struct train_array *x, struct lf_diag *diag)
{
    x->each = x->o->slurm_tasks ? (int)x->o->slurm_tasks : LF_JOBS_FUSED_MAX;
    x->n = (x->l->n + x->each - 1) / x->each;
    x->ended = calloc((size_t)x->l->n, sizeof *x->ended);
    x->at = calloc((size_t)x->n, sizeof *x->at);
    x->open = calloc((size_t)x->n, sizeof *x->open);
    if (!x->ended || !x->at || !x->open)
        return lf_no_memory(diag, "the adapters");
    for (int k = 0; k < x->n; k++)
        (void)!take(x, k, false, &x->open[k], &x->at[k], diag);
    return LF_OK;
}

static enum lf_err take_lock(int *fd, const struct train_array *x, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, x->slurm.dir, "lock", diag);
    if (rc != LF_OK)
        return rc;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0)
        return lf_fail_errno(diag, errno, "%s", path);
    return flock(*fd, LOCK_EX | LOCK_NB) == 0
               ? LF_OK
               : lf_fail(diag, LF_E_BUSY, "%s: another command follows this job", x->o->out);
}

enum lf_err lf_train_slurm(const struct lf_train_flags *o, const struct lf_train_list *l,
                           const char *base, const struct lf_usage *u, int *failed,
                           struct lf_diag *diag)
{
    struct train_array x = {.o = o, .l = l, .base = base, .u = u};
    const struct lf_slurm_work work = {
        .prepare = prepare, .take = take, .give_up = give_up, .look = look, .arg = &x};
    char dir[LF_PATH_MAX];
    int lock = -1;
    lf_bar_init(&x.bar, o->o.quiet);
    enum lf_err rc = lf_path_join(dir, o->out, ".slurm", diag);
    rc = rc ?: lf_slurm_init(&x.slurm, dir, o->sbatch.s, o->sbatch.n, diag);
    rc = rc ?: take_lock(&lock, &x, diag) ?: begin(&x, diag);
    rc = rc
             ?: lf_slurm_run(&x.slurm, "exec sh \"$SLURM_ARRAY_TASK_ID/train.sh\"", x.open, x.n,
                             &work, diag);
    lf_bar_end(&x.bar);
    *failed = x.n_failed;
    if (lock >= 0)
        close(lock);
    free(x.ended);
    free(x.at);
    free(x.open);
    return rc;
}
