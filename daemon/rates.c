/* A ring of what was noted. */
#include "daemon/rates.h"

#include "core/clock.h"
#include "core/lock.h"
#include "daemon/state.h"
#include "daemon/team.h"

static const char *const names[] = {
    [LF_RATE_COMPLETION] = "completion_tokens_total", [LF_RATE_PROMPT] = "prompt_tokens_total",
    [LF_RATE_TRAIN] = "train_tokens_total",           [LF_RATE_LIVE] = "requests_live",
    [LF_RATE_WAITING] = "requests_waiting",           [LF_RATE_TRAININGS] = "trainings_running"};

void lf_rates_init(struct lf_rates *r)
{
    pthread_mutex_init(&r->lock, NULL);
}

static struct lf_rate_note look(const struct lf_daemon *d)
{
    struct lf_rate_note now = {.ms = lf_clock_unix_ms(),
                               .value = {[LF_RATE_COMPLETION] = d->counters.completion_tokens,
                                         [LF_RATE_PROMPT] = d->counters.prompt_tokens,
                                         [LF_RATE_TRAIN] = d->counters.train_tokens}};
    for (int i = 0; i < d->teams->n; i++)
        for (int k = 0; k < d->teams->team[i].n; k++) {
            struct lf_engine_status s;
            lf_engine_status(d->teams->team[i].seat[k].engine, &s);
            now.value[LF_RATE_LIVE] += (uint64_t)s.gen.live;
            now.value[LF_RATE_WAITING] += (uint64_t)s.waiting;
            now.value[LF_RATE_TRAININGS] += (uint64_t)s.trainings;
        }
    return now;
}

void lf_rates_note(struct lf_rates *r, struct lf_daemon *d)
{
    if (lf_clock_ns() < r->next_ns)
        return;
    r->next_ns = lf_clock_ns() + (uint64_t)LF_RATE_EVERY_MS * LF_NS_PER_MS;
    struct lf_rate_note now = look(d);
    lf_lock_auto held = lf_lock(&r->lock);
    r->note[(r->first + r->n) % LF_RATE_NOTES_MAX] = now;
    if (r->n < LF_RATE_NOTES_MAX)
        r->n++;
    else
        r->first = (r->first + 1) % LF_RATE_NOTES_MAX;
}

static json_t *note_json(const struct lf_rate_note *note)
{
    json_t *o = json_pack("{s:I}", "ms", (json_int_t)note->ms);
    for (int i = 0; i < LF_RATE_N; i++)
        json_object_set_new(o, names[i], json_integer((json_int_t)note->value[i]));
    return o;
}

json_t *lf_rates_json(struct lf_rates *r)
{
    json_t *notes = json_array();
    lf_lock_auto held = lf_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++)
        json_array_append_new(notes, note_json(&r->note[(r->first + i) % LF_RATE_NOTES_MAX]));
    return json_pack("{s:i, s:o}", "every_ms", LF_RATE_EVERY_MS, "notes", notes);
}
