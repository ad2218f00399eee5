/* A load on a server that speaks OpenAI's completions or LoRAX' /generate_stream, and what its
 * users see of it: ours and others are measured alike.
 *
 * Closed loop: so many users, each with its next request when the last one is answered. Open loop:
 * requests come at a rate, at random moments, whether others are answered or not. Every answer is
 * streamed; prompts are random, so that no two begin alike but where `prefix` says so. One thread,
 * with a few hundred users at the most: it must not be what is measured.
 */
#ifndef LF_BENCH_LOAD_H
#define LF_BENCH_LOAD_H

#include "core/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum lf_load_api { LF_LOAD_COMPLETIONS, LF_LOAD_LORAX };
enum lf_load_spread {
    LF_LOAD_UNIFORM,
    LF_LOAD_ZIPF, /* the i-th model's share is 1/i */
    LF_LOAD_HOT   /* half of the requests are the first model's */
};

struct lf_load {
    const char *url, *api_key, *cacert; /* as lf_client_new takes them */
    char *const *models;                /* (n_models) names; "": the base */
    int n_models;
    enum lf_load_api api;
    enum lf_load_spread spread;
    int users;              /* at once, at most */
    double rate;            /* requests a second; 0: a closed loop */
    double warmup, seconds; /* what happens before is not counted */
    int prompt[2];          /* tokens, least and most; of words, about */
    int completion[2];
    int prefix;     /* tokens that all prompts of a model begin with */
    int vocabulary; /* ids are below; 0: words instead of ids */
    int64_t seed;
};

struct lf_load_times {
    double p50, p90, p99; /* seconds; NAN where there are none */
};

struct lf_load_result {
    double seconds;
    int64_t requests, tokens; /* answers that ended in that time; tokens that came in it */
    int64_t failed, late;     /* open loop: moments at which all users were busy */
    char why[160];            /* of the first failure */
    struct lf_load_times first, next,
        whole;          /* to the first token; between two events; to the end */
    double least_share; /* answers of the model that had the fewest, of the mean; where they are
                           asked alike: 1 is fair */
    struct lf_load_times hot, others; /* to the first token, where one model is hot */
};

/* LF_E_UNREACHABLE and the like where nothing is answered at all. */
enum lf_err lf_load_run(struct lf_load_result *out, const struct lf_load *l,
                        struct lf_diag *diag) LF_MUST_CHECK;

/* `lorafs bench serve`. */
int lf_bench_serve(int argc, char **argv);

#endif
