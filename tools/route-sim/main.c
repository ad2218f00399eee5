/* route_sim: requests of many adapters on 1 to 128 cards, as route/route.h sends them, and as two
 * simpler rules would. What comes where, when and how fast is made up from a seed and the costs
 * below; the choice is the daemon's own. Prints the tables of docs/scale.md.
 *
 * A card steps as the engine does: each sequence that decodes gets a token, prompts have the rest
 * of a step; adapters are brought from host memory or files and leave by their last use, and so do
 * the pages of instructions. */
#include "core/limits.h"
#include "core/rng.h"
#include "route/prefix.h"
#include "route/route.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a card, an H200 with a base of 8 billion weights and adapters of rank 16, to the first digit
 * (docs/benchmarks.md). */
#define STEP_S 8e-3
#define SEQUENCE_S 30e-6     /* more, for each sequence that decodes */
#define PROMPT_TOKEN_S 20e-6 /* and for each token of a prompt */
#define COPY_S 5e-3          /* an adapter from host memory */
#define READ_S 60e-3         /* and from its files */
#define SEQS 256
#define STEP_TOKENS 2048
#define SLOTS 512    /* adapters on the device, ... */
#define ON_HOST 2048 /* ... in host memory */
#define PAGES 8192   /* of instructions */
/* Of the load. */
#define ADAPTERS 10000
#define ZIPF 1.0
#define RATE 24.0 /* requests a second and card */
#define INSTRUCTION_TOKENS 480
#define INSTRUCTION_PAGES (INSTRUCTION_TOKENS / LF_KV_PAGE_TOKENS)
#define OWN_TOKENS 120
#define ANSWER_TOKENS 80 /* on average */
#define SECONDS 120.0
#define WARM_S 40.0 /* that are not counted */
#define SEED 17

struct request {
    double came;
    int adapter, unread, left, tokens;
    double ready; /* its adapter is there */
    bool counted;
};

/* What leaves by its last use. */
struct lru {
    double used[ADAPTERS]; /* 0: it is not there */
    int n, max;
};

struct card {
    double now; /* the end of its last step */
    struct request live[SEQS];
    int n_live;
    struct request *waiting;
    int n_waiting, cap_waiting;
    struct lru device, host, instructions;
    struct lf_prefixes prefixes;
};

enum rule { ROUTED, BY_HASH, BY_LOAD };

struct sim {
    struct card *card;
    int n;
    enum rule rule;
    double cdf[ADAPTERS];
    double *first; /* (n_first) seconds to the first token */
    size_t n_first, cap_first;
    int64_t requests, on_device, on_host, prompt_tokens, found;
    uint64_t draws;
};

static double draw(struct sim *s)
{
    return (lf_rng_unit(lf_rng_u32(SEED, s->draws++, 0)) + 1e-9);
}

static bool touch(struct lru *l, int i, double now)
{
    bool was = l->used[i] > 0;
    l->used[i] = now;
    l->n += !was;
    if (l->n <= l->max)
        return was;
    int oldest = i;
    for (int k = 0; k < ADAPTERS; k++)
        if (l->used[k] > 0 && l->used[k] < l->used[oldest])
            oldest = k;
    l->used[oldest] = 0;
    l->n--;
    return was;
}

/* ---- A card ---------------------------------------------------------------------------------- */

static void come_in(struct card *c)
{
    int kept = 0;
    for (int i = 0; i < c->n_waiting; i++) {
        if (c->waiting[i].ready <= c->now && c->n_live < SEQS)
            c->live[c->n_live++] = c->waiting[i];
        else
            c->waiting[kept++] = c->waiting[i];
    }
    c->n_waiting = kept;
}

static void first_token(struct sim *s, const struct request *r, double now)
{
    if (!r->counted)
        return;
    if (s->n_first == s->cap_first) {
        s->cap_first = s->cap_first ? 2 * s->cap_first : 4096;
        s->first = realloc(s->first, s->cap_first * sizeof *s->first);
        if (!s->first)
            abort();
    }
    s->first[s->n_first++] = now - r->came;
}

static void step(struct sim *s, struct card *c)
{
    int prompts = 0, decoding = 0, kept = 0;
    for (int i = 0; i < c->n_live; i++) {
        struct request *r = &c->live[i];
        int room = STEP_TOKENS - prompts, n = r->unread < room ? r->unread : room;
        decoding += r->unread == 0;
        prompts += n;
        r->left -= r->unread == n; /* a token is made */
        r->unread -= n;
    }
    c->now += STEP_S + decoding * SEQUENCE_S + prompts * PROMPT_TOKEN_S;
    for (int i = 0; i < c->n_live; i++) {
        struct request *r = &c->live[i];
        if (r->unread == 0 && r->left == r->tokens - 1)
            first_token(s, r, c->now);
        if (r->left > 0)
            c->live[kept++] = *r;
    }
    c->n_live = kept;
}

/* Until a time, or there is nothing more to do. */
static void go_on(struct sim *s, struct card *c, double until)
{
    while (c->now < until) {
        come_in(c);
        if (c->n_live > 0) {
            step(s, c);
            continue;
        }
        double next = until;
        for (int i = 0; i < c->n_waiting; i++)
            next = fmin(next, c->waiting[i].ready);
        c->now = next;
    }
}

/* ---- The door -------------------------------------------------------------------------------- */

static int by_rule(const struct sim *s, struct lf_route_seat *table, int adapter)
{
    for (int i = 0; i < s->n && s->rule != ROUTED; i++) {
        table[i].adapter = LF_ROUTE_PRESENT;
        table[i].cached = 0;
        table[i].requests = s->rule == BY_LOAD ? table[i].requests : 0;
    }
    return lf_route_request(table, s->n, (uint64_t)adapter + 1, INSTRUCTION_TOKENS + OWN_TOKENS);
}

static int choose(struct sim *s, struct lf_route_seat *table, const uint64_t *chain, int n_chain,
                  int adapter)
{
    for (int i = 0; i < s->n; i++) {
        const struct card *c = &s->card[i];
        int known = lf_prefixes_known(&c->prefixes, chain, n_chain, PAGES);
        table[i] =
            (struct lf_route_seat){.open = true,
                                   .requests = c->n_live + c->n_waiting,
                                   .adapter = c->device.used[adapter] > 0 ? LF_ROUTE_PRESENT
                                              : c->host.used[adapter] > 0 ? LF_ROUTE_ON_HOST
                                                                          : LF_ROUTE_ABSENT,
                                   .cached = known > 0 ? (known - 1) * LF_KV_PAGE_TOKENS : 0};
    }
    return by_rule(s, table, adapter);
}

static void arrive(struct sim *s, struct card *c, int adapter, double now)
{
    bool counted = now > WARM_S;
    bool device = touch(&c->device, adapter, now), host = touch(&c->host, adapter, now);
    bool found = touch(&c->instructions, adapter, now);
    struct request r = {.came = now,
                        .adapter = adapter,
                        .unread = OWN_TOKENS + (found ? 0 : INSTRUCTION_TOKENS),
                        .tokens = 1 - (int)(ANSWER_TOKENS * log(draw(s))),
                        .ready = now + (device ? 0
                                        : host ? COPY_S
                                               : READ_S),
                        .counted = counted};
    r.left = r.tokens;
    if (c->n_waiting == c->cap_waiting) {
        c->cap_waiting = c->cap_waiting ? 2 * c->cap_waiting : 256;
        c->waiting = realloc(c->waiting, (size_t)c->cap_waiting * sizeof *c->waiting);
        if (!c->waiting)
            abort();
    }
    c->waiting[c->n_waiting++] = r;
    s->requests += counted;
    s->on_device += counted && device;
    s->on_host += counted && !device && host;
    s->prompt_tokens += counted ? INSTRUCTION_TOKENS + OWN_TOKENS : 0;
    s->found += counted && found ? INSTRUCTION_TOKENS : 0;
}

static int some_adapter(struct sim *s)
{
    double u = draw(s) * s->cdf[ADAPTERS - 1];
    int low = 0, high = ADAPTERS - 1;
    while (low < high) {
        int mid = (low + high) / 2;
        if (s->cdf[mid] < u)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void run(struct sim *s)
{
    struct lf_route_seat *table = calloc((size_t)s->n, sizeof *table);
    static uint64_t chain[LF_PREFIX_PAGES];
    int32_t ids[INSTRUCTION_TOKENS];
    if (!table)
        abort();
    for (double now = 0; now < SECONDS; now -= log(draw(s)) / (RATE * s->n)) {
        int adapter = some_adapter(s);
        for (int i = 0; i < INSTRUCTION_TOKENS; i++)
            ids[i] = i;
        int n_chain = lf_prefix_chain((uint64_t)adapter + 1, ids, INSTRUCTION_TOKENS, chain);
        for (int i = 0; i < s->n; i++)
            go_on(s, &s->card[i], now);
        struct card *c = &s->card[choose(s, table, chain, n_chain, adapter)];
        lf_prefixes_note(&c->prefixes, chain, n_chain, PAGES);
        arrive(s, c, adapter, now);
    }
    free(table);
}

/* ---- The tables ------------------------------------------------------------------------------ */

static int less(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sim_of(int n, enum rule rule)
{
    static const char *const words[] = {"as lorafs", "by name alone", "by load alone"};
    struct sim s = {.n = n, .rule = rule, .card = calloc((size_t)n, sizeof *s.card)};
    double sum = 0;
    for (int i = 0; i < ADAPTERS; i++)
        s.cdf[i] = sum += pow(i + 1, -ZIPF);
    for (int i = 0; i < n; i++) {
        struct card *c = s.card ? &s.card[i] : NULL;
        if (!c || lf_prefixes_init(&c->prefixes, NULL) != LF_OK)
            abort();
        c->device.max = SLOTS;
        c->host.max = ON_HOST;
        c->instructions.max = PAGES / INSTRUCTION_PAGES;
    }
    run(&s);
    qsort(s.first, s.n_first, sizeof *s.first, less);
    double all = (double)s.requests / 100;
    printf("| %d | %s | %.0f | %.1f%% | %.1f%% | %.1f%% | %.0f | %.0f | %.0f |\n", n, words[rule],
           (double)s.requests / (SECONDS - WARM_S), (double)s.on_device / all,
           (double)s.on_host / all, 100 * (double)s.found / (double)s.prompt_tokens,
           1e3 * s.first[s.n_first / 2], 1e3 * s.first[s.n_first * 99 / 100],
           1e3 * s.first[s.n_first * 999 / 1000]);
    fflush(stdout);
    for (int i = 0; i < n; i++) {
        lf_prefixes_free(&s.card[i].prefixes);
        free(s.card[i].waiting);
    }
    free(s.card);
    free(s.first);
}

int main(void)
{
    puts("| cards | a request goes | requests/s | on the device | in host memory "
         "| of prompts, found | first token, p50 ms | p99 | p99.9 |\n"
         "|---|---|---|---|---|---|---|---|---|");
    for (int n = 1; n <= 128; n *= 2)
        for (int rule = ROUTED; rule <= (n > 1 ? BY_LOAD : ROUTED); rule++)
            sim_of(n, (enum rule)rule);
    return 0;
}
