/* `lorafs top`: what a daemon is doing, drawn over and over. */
#include "core/buf.h"
#include "core/clock.h"
#include "core/json.h"
#include "client/remote.h"
#include "client/samples.h"
#include "tools/commands.h"
#include "tools/interrupt.h"
#include "tools/options.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define BAR_CELLS 20

/* By what the adapters are ordered, and the key of the keyboard that chooses it. */
static const struct order {
    char key;
    const char *field; /* of an adapter's object in the picture, the greatest first */
} orders[] = {{'t', "tokens_per_second"},
              {'r', "requests_per_second"},
              {'f', "first_token_seconds"},
              {'w', "waiting"}};
#define N_ORDERS ((int)(sizeof orders / sizeof *orders))

struct top {
    double interval_s;
    bool json, once;
    bool tty; /* drawn over and over, and keys are read */
    struct termios before;
    int order;
    struct lf_samples now, last;
    uint64_t now_ns, last_ns; /* 0: not asked yet */
    json_t *jobs;             /* those of GET /v1/jobs */
};

/* ---- Asking ---------------------------------------------------------------------------------- */

static enum lf_err ask_metrics(struct lf_remote *c, struct lf_buf *out, struct lf_diag *diag)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    if (!to)
        return lf_no_memory(diag, "metrics");
    enum lf_err rc = lf_remote_stream(c, "/metrics", to, diag);
    if (fclose(to) != 0 && rc == LF_OK)
        rc = lf_no_memory(diag, "metrics");
    rc = rc ?: lf_buf_append(out, text, n);
    free(text);
    return rc;
}

static enum lf_err ask(struct top *t, struct lf_remote *c, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    json_auto_t *jobs = NULL;
    enum lf_err rc = ask_metrics(c, &text, diag);
    rc = rc ?: lf_remote_json(c, &jobs, "GET", "/v1/jobs", NULL, diag);
    if (rc != LF_OK)
        return rc;
    lf_samples_free(&t->last);
    t->last = t->now;
    t->last_ns = t->now_ns;
    t->now_ns = lf_clock_ns();
    json_decref(t->jobs);
    t->jobs = json_incref(json_object_get(jobs, "jobs"));
    return lf_samples_parse(&t->now, &text, diag);
}

/* ---- The picture: an object, which is drawn, or printed as it is ----------------------------- */

static double value(const struct top *t, const char *name)
{
    return lf_samples_value(&t->now, name, NULL);
}

/* Since it was asked last; since the daemon's start, where it is asked for the first time. */
static double more(const struct top *t, const char *name, const char *label)
{
    double n = lf_samples_value(&t->now, name, label) - lf_samples_value(&t->last, name, label);
    return n > 0 ? n : 0; /* another daemon counts anew */
}

static double rate(const struct top *t, const char *name, const char *label)
{
    double seconds = t->last_ns ? (double)(t->now_ns - t->last_ns) / LF_NS_PER_S
                                : value(t, "lorafs_uptime_seconds");
    return seconds > 0 ? more(t, name, label) / seconds : 0;
}

/* Of a sum and a count; null: there was none. */
static json_t *mean(const struct top *t, const char *name, const char *label)
{
    char sum[96], count[96];
    snprintf(sum, sizeof sum, "%s_sum", name);
    snprintf(count, sizeof count, "%s_count", name);
    double n = more(t, count, label);
    return n > 0 ? json_real(more(t, sum, label) / n) : json_null();
}

static json_t *adapter_picture(const struct top *t, const char *label, const char *name)
{
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:o, s:o}", "adapter", name, "running",
                     lf_samples_value(&t->now, "lorafs_adapter_requests_running", label), "waiting",
                     lf_samples_value(&t->now, "lorafs_adapter_requests_waiting", label),
                     "requests_per_second", rate(t, "lorafs_adapter_requests_total", label),
                     "tokens_per_second", rate(t, "lorafs_adapter_completion_tokens_total", label),
                     "first_token_seconds", mean(t, "lorafs_adapter_first_token_seconds", label),
                     "token_seconds", mean(t, "lorafs_adapter_token_seconds", label));
}

static bool was_asked(const struct top *t, const char *label)
{
    return lf_samples_value(&t->now, "lorafs_adapter_requests_total", label) +
               lf_samples_value(&t->now, "lorafs_adapter_requests_running", label) +
               lf_samples_value(&t->now, "lorafs_adapter_requests_waiting", label) >
           0;
}

static double field(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static int greater(const void *a, const void *b, void *arg)
{
    double x = field(*(json_t *const *)a, arg), y = field(*(json_t *const *)b, arg);
    return (x < y) - (x > y);
}

/* Those that were asked since the daemon's start, in their order. */
static json_t *adapters_picture(const struct top *t)
{
    json_t *list = json_array(), **v = calloc(t->now.n + 1, sizeof *v);
    size_t n = 0;
    for (size_t i = 0; v && i < t->now.n; i++) {
        char name[128];
        const struct lf_sample_line *s = &t->now.v[i]; /* one of each adapter has no other label */
        if (strcmp(s->name, "lorafs_adapter_loads_total") != 0 || !was_asked(t, s->labels))
            continue;
        bool named = sscanf(s->labels, "adapter=\"%127[^\"]", name) == 1;
        v[n++] = adapter_picture(t, s->labels, named ? name : "(base)");
    }
    if (n > 0)
        qsort_r(v, n, sizeof *v, greater, (char *)orders[t->order].field);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, v[i]);
    free(v);
    return list;
}

static json_t *memory_picture(const struct top *t)
{
    return json_pack(
        "{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "device", value(t, "lorafs_device_memory_bytes"),
        "used", value(t, "lorafs_device_memory_used_bytes"), "weights",
        value(t, "lorafs_memory_weights_bytes"), "kv_cache", value(t, "lorafs_memory_kv_bytes"),
        "training", value(t, "lorafs_memory_saved_bytes"), "adapters",
        value(t, "lorafs_adapter_memory_used_bytes"), "process",
        value(t, "process_resident_memory_bytes"));
}

/* A number of a seat, which its labels name. */
static double of_seat(const struct top *t, const char *labels, const char *metric)
{
    char name[96];
    snprintf(name, sizeof name, "lorafs_seat_%s", metric);
    return lf_samples_value(&t->now, name, labels);
}

/* Where there are several. */
static json_t *seats_picture(const struct top *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->now.n; i++) {
        const struct lf_sample_line *s = &t->now.v[i];
        const char *device = strstr(s->labels, "device=\""), *base = strstr(s->labels, "base=\"");
        char name[128] = "", of[LF_NAME_MAX + 1] = "";
        if (strcmp(s->name, "lorafs_seat_ready") != 0)
            continue;
        if (device)
            sscanf(device, "device=\"%127[^\"]", name);
        if (base)
            snprintf(of, sizeof of, "%.*s", (int)strcspn(base + 6, "\""), base + 6);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:b, s:b, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "base",
                            of, "device", name, "ready", s->value > 0, "absent",
                            of_seat(t, s->labels, "absent") > 0, "running",
                            of_seat(t, s->labels, "requests_live"), "waiting",
                            of_seat(t, s->labels, "requests_waiting"), "tokens_per_second",
                            rate(t, "lorafs_seat_completion_tokens_total", s->labels), "trainings",
                            of_seat(t, s->labels, "trainings_running"), "helping",
                            of_seat(t, s->labels, "trainings_helped"), "adapters",
                            of_seat(t, s->labels, "adapter_slots_used"), "memory_used_bytes",
                            of_seat(t, s->labels, "device_memory_used_bytes"), "memory_bytes",
                            of_seat(t, s->labels, "device_memory_bytes")));
    }
    return list;
}

static json_t *picture(const struct top *t)
{
    double pages = value(t, "lorafs_kv_pages");
    return json_pack(
        "{s:f, s:b, s:{s:f, s:f, s:o, s:o}, s:{s:f, s:f, s:f, s:f}, s:f, s:{s:f, s:f, s:f}, s:o, "
        "s:o, s:O, s:o}",
        "uptime_seconds", value(t, "lorafs_uptime_seconds"), "ready", value(t, "lorafs_ready") > 0,
        "requests", "running", value(t, "lorafs_requests_live"), "waiting",
        value(t, "lorafs_requests_waiting"), "first_token_seconds",
        mean(t, "lorafs_first_token_seconds", NULL), "token_seconds",
        mean(t, "lorafs_token_seconds", NULL), "tokens_per_second", "prompts",
        rate(t, "lorafs_prompt_tokens_total", NULL), "cached",
        rate(t, "lorafs_cached_tokens_total", NULL), "made",
        rate(t, "lorafs_completion_tokens_total", NULL), "trained",
        rate(t, "lorafs_train_tokens_total", NULL), "kv_cache_used",
        pages > 0 ? 1 - value(t, "lorafs_kv_pages_free") / pages : 0, "resident", "device",
        value(t, "lorafs_adapter_slots_used"), "slots", value(t, "lorafs_adapter_slots"), "host",
        value(t, "lorafs_adapters_in_host_memory"), "memory_bytes", memory_picture(t), "seats",
        seats_picture(t), "jobs", t->jobs, "adapters", adapters_picture(t));
}

/* ---- Drawing --------------------------------------------------------------------------------- */

static void put_bar(struct lf_buf *out, double part)
{
    int full = (int)(part * BAR_CELLS + 0.5);
    for (int i = 0; i < BAR_CELLS; i++)
        lf_buf_puts(out, i < full ? "█" : "░");
}

/* "35 ms", "1.2 s", "-": ten columns. */
static void put_time(struct lf_buf *out, const json_t *seconds)
{
    double s = json_number_value(seconds);
    if (!json_is_number(seconds))
        lf_buf_printf(out, "%10s", "-");
    else if (s < 1)
        lf_buf_printf(out, "%7.1f ms", s * 1e3);
    else
        lf_buf_printf(out, "%8.1f s", s);
}

static void put_requests(struct lf_buf *out, const json_t *p)
{
    const json_t *r = json_object_get(p, "requests"), *n = json_object_get(p, "tokens_per_second");
    lf_buf_printf(out, "requests   %.0f on the device, %.0f waiting; first token",
                  field(r, "running"), field(r, "waiting"));
    put_time(out, json_object_get(r, "first_token_seconds"));
    lf_buf_puts(out, ", between tokens");
    put_time(out, json_object_get(r, "token_seconds"));
    lf_buf_printf(out, "\ntokens/s   %.0f of prompts (%.0f found), %.0f made, %.0f trained\n",
                  field(n, "prompts") + field(n, "cached"), field(n, "cached"), field(n, "made"),
                  field(n, "trained"));
}

static void put_memory(struct lf_buf *out, const json_t *p)
{
    const json_t *m = json_object_get(p, "memory_bytes"), *r = json_object_get(p, "resident");
    double device = field(m, "device"), used = device > 0 ? field(m, "used") / device : 0;
    lf_buf_puts(out, "memory     ");
    put_bar(out, used);
    lf_buf_printf(out,
                  " %3.0f%% of %.1f GB: weights %.1f, KV cache %.1f, training %.1f, adapters %.1f; "
                  "the process %.1f\n",
                  used * 100, device / 1e9, field(m, "weights") / 1e9, field(m, "kv_cache") / 1e9,
                  field(m, "training") / 1e9, field(m, "adapters") / 1e9,
                  field(m, "process") / 1e9);
    lf_buf_puts(out, "KV cache   ");
    put_bar(out, field(p, "kv_cache_used"));
    lf_buf_printf(out, " %3.0f%%; %.0f adapters on the device, of %.0f, %.0f in host memory\n",
                  field(p, "kv_cache_used") * 100, field(r, "device"), field(r, "slots"),
                  field(r, "host"));
}

/* Of more than one base. */
static bool several_bases(const json_t *seats)
{
    const json_t *first = json_array_get(seats, 0);
    const json_t *last = json_array_get(seats, json_array_size(seats) - 1);
    return strcmp(lf_json_text_of(first, "base"), lf_json_text_of(last, "base")) != 0;
}

static void put_seats(struct lf_buf *out, const json_t *p)
{
    size_t i;
    json_t *s;
    const json_t *seats = json_object_get(p, "seats");
    bool several = several_bases(seats);
    json_array_foreach(seats, i, s) {
        const char *base = lf_json_text_of(s, "base"), *device = lf_json_text_of(s, "device");
        char name[LF_NAME_MAX + 128];
        if (i == 0)
            lf_buf_printf(out, "\n%-4s %-20s %8s %8s %8s %8s %8s %8s %15s\n", "SEAT",
                          several ? "BASE, DEVICE" : "DEVICE", "RUNNING", "WAITING", "TOK/S",
                          "TRAINING", "HELPING", "ADAPTERS", "MEMORY, GB");
        snprintf(name, sizeof name, "%s%s%s", several ? base : "", several ? ", " : "", device);
        lf_buf_printf(out, "%-4zu %-20.20s %8.0f %8.0f %8.1f %8.0f %8.0f %8.0f %6.1f of %5.1f%s\n",
                      i, name, field(s, "running"), field(s, "waiting"),
                      field(s, "tokens_per_second"), field(s, "trainings"), field(s, "helping"),
                      field(s, "adapters"), field(s, "memory_used_bytes") / 1e9,
                      field(s, "memory_bytes") / 1e9,
                      json_is_true(json_object_get(s, "ready"))    ? ""
                      : json_is_true(json_object_get(s, "absent")) ? "  away"
                                                                   : "  lost");
    }
}

static bool is_open(const json_t *job)
{
    const char *state = lf_json_text_of(job, "state");
    return strcmp(state, "queued") == 0 || strcmp(state, "running") == 0 ||
           strcmp(state, "paused") == 0;
}

static void put_jobs(struct lf_buf *out, const json_t *p)
{
    size_t i, n = 0;
    json_t *job;
    json_array_foreach(json_object_get(p, "jobs"), i, job) {
        if (!is_open(job))
            continue;
        if (n++ == 0)
            lf_buf_printf(out, "\n%-8s %-20s %-*s %13s %8s %8s\n", "TRAINING", "ADAPTER", BAR_CELLS,
                          "", "STEP", "LOSS", "TOK/S");
        double step = field(job, "step"), steps = field(job, "steps");
        lf_buf_printf(out, "%-8s %-20.20s ", lf_json_text_of(job, "state"),
                      lf_json_text_of(job, "adapter"));
        put_bar(out, steps > 0 ? step / steps : 0);
        lf_buf_printf(out, " %6.0f/%-6.0f %8.4g %8.0f\n", step, steps, field(job, "loss"),
                      field(job, "tokens_per_second"));
    }
}

static void put_adapters(struct lf_buf *out, const json_t *p)
{
    size_t i;
    json_t *a;
    lf_buf_printf(out, "\n%-20s %8s %8s %8s %8s %10s %10s\n", "ADAPTER", "RUNNING", "WAITING",
                  "REQ/S", "TOK/S", "FIRST", "BETWEEN");
    json_array_foreach(json_object_get(p, "adapters"), i, a) {
        lf_buf_printf(out, "%-20.20s %8.0f %8.0f %8.2f %8.1f", lf_json_text_of(a, "adapter"),
                      field(a, "running"), field(a, "waiting"), field(a, "requests_per_second"),
                      field(a, "tokens_per_second"));
        put_time(out, json_object_get(a, "first_token_seconds"));
        put_time(out, json_object_get(a, "token_seconds"));
        lf_buf_putc(out, '\n');
    }
}

static void put_frame(struct lf_buf *out, const struct top *t, const json_t *p)
{
    long s = (long)field(p, "uptime_seconds");
    lf_buf_printf(
        out, "lorafs     %s, up %ld:%02ld:%02ld%s\n",
        json_is_true(json_object_get(p, "ready")) ? "ready" : "loading", s / 3600, s / 60 % 60,
        s % 60, t->tty ? "; order by (t)okens, (r)equests, (f)irst token, (w)aiting; (q)uit" : "");
    put_requests(out, p);
    put_memory(out, p);
    put_seats(out, p);
    put_jobs(out, p);
    put_adapters(out, p);
}

/* What fits the terminal: its first lines, each cut at its columns. A byte that continues a
 * character takes no column. */
static void put_cut(struct lf_buf *out, const char *frame)
{
    struct winsize w = {0};
    int columns = 80, rows = 24, column = 0, row = 1;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0) {
        columns = w.ws_col;
        rows = w.ws_row;
    }
    for (const char *c = frame; *c && row < rows; c++) {
        if (*c == '\n') {
            lf_buf_puts(out, "\033[K\n");
            column = 0;
            row++;
            continue;
        }
        column += ((unsigned char)*c & 0xc0) != 0x80;
        if (column <= columns)
            lf_buf_putc(out, *c);
    }
}

static enum lf_err show(const struct top *t, struct lf_diag *diag)
{
    lf_buf_auto frame = {0}, screen = {0};
    json_auto_t *p = picture(t);
    if (!p)
        return lf_no_memory(diag, "the picture");
    if (t->json) {
        lf_json_put(&frame, json_incref(p), JSON_COMPACT | JSON_REAL_PRECISION(6));
        lf_buf_putc(&frame, '\n');
    } else {
        put_frame(&frame, t, p);
    }
    if (t->tty) {
        lf_buf_puts(&screen, "\033[H");
        put_cut(&screen, lf_buf_str(&frame));
        lf_buf_puts(&screen, "\033[J");
    }
    const struct lf_buf *out = t->tty ? &screen : &frame;
    if (frame.rc != LF_OK || screen.rc != LF_OK)
        return lf_no_memory(diag, "the picture");
    fwrite(lf_buf_str(out), 1, out->len, stdout);
    return fflush(stdout) == 0 ? LF_OK : lf_fail_errno(diag, errno, "stdout");
}

/* ---- The terminal ---------------------------------------------------------------------------- */

/* Keys come at once, and are not shown; the screen before comes back at the end. */
static void terminal_take(struct top *t)
{
    if (!t->tty || tcgetattr(STDIN_FILENO, &t->before) != 0)
        return;
    struct termios raw = t->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\033[?1049h\033[?25l\033[2J", stdout);
}

static void terminal_give(struct top *t)
{
    if (!t->tty)
        return;
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
}

/* Waits for the next time, or a key; false: it is to end. */
static bool wait_for_next(struct top *t)
{
    uint64_t end_ns = lf_clock_ns() + (uint64_t)(t->interval_s * LF_NS_PER_S);
    for (uint64_t now = lf_clock_ns(); now < end_ns && !lf_interrupted; now = lf_clock_ns()) {
        struct pollfd p = {t->tty ? STDIN_FILENO : -1, POLLIN, 0};
        char key;
        if (poll(&p, 1, (int)((end_ns - now) / LF_NS_PER_MS) + 1) <= 0)
            continue;
        if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q')
            return false;
        for (int i = 0; i < N_ORDERS; i++)
            if (orders[i].key == key) {
                t->order = i;
                return true;
            }
    }
    return !lf_interrupted;
}

static enum lf_err run(struct top *t, struct lf_remote *c, struct lf_diag *diag)
{
    enum lf_err rc = ask(t, c, diag);
    if (rc != LF_OK)
        return rc;
    terminal_take(t);
    rc = show(t, diag);
    while (rc == LF_OK && !t->once && wait_for_next(t))
        rc = ask(t, c, diag) ?: show(t, diag);
    terminal_give(t);
    return lf_interrupted ? LF_OK : rc;
}

int lf_cmd_top(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct top t = {.interval_s = 2};
    const struct lf_option options[] = {
        {"seconds", 's', LF_OPT_REAL, "S", &t.interval_s, "between two looks", .lo = 0.1,
         .hi = 3600},
        {"once", 0, LF_OPT_FLAG, NULL, &t.once,
         "look once, at rates since the daemon's start; so it is where stdout is no terminal, too"},
        {"json", 0, LF_OPT_FLAG, NULL, &t.json, "print an object, on a line, each time"},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs top", "[-s S]",
        "Shows what a daemon is doing, over and over: requests and their times, tokens a second, "
        "memory by what holds it, trainings, and the adapters that are asked. Rates and times are "
        "of the last interval.",
        options};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_remote *c = NULL;
    t.tty = !t.json && !t.once && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
    t.once |= !t.json && !t.tty;
    lf_interrupt_watch();
    enum lf_err rc = lf_remote_new(&c, &o, &diag);
    if (rc == LF_OK) {
        lf_remote_stop_on(c, &lf_interrupted);
        rc = run(&t, c, &diag);
    }
    lf_remote_free(c);
    json_decref(t.jobs);
    lf_samples_free(&t.now);
    lf_samples_free(&t.last);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
