/* Sampling parameters out of bodies and queries. */
#include "daemon/api/sampling.h"
#include "daemon/limits.h"

#include "core/clock.h"
#include "core/json.h"

#include <math.h>
#include <stddef.h>

#define LEAST_TOP_P 1e-6f
#define AT(field) offsetof(struct lf_sample_params, field)

const struct lf_sampling_param lf_sampling_params[] = {
    {"temperature", AT(temperature), 0, 100},
    {"top_p", AT(top_p), 0, 1},
    {"top_k", AT(top_k), -1, INT32_MAX},
    {"min_p", AT(min_p), 0, 1},
    {"repetition_penalty", AT(repetition_penalty), 0.01, 100},
    {"presence_penalty", AT(presence_penalty), -2, 2},
    {"frequency_penalty", AT(frequency_penalty), -2, 2},
    {NULL, 0, 0, 0},
};

enum lf_err lf_request_sampling(struct lf_request *a, const json_t *body, struct lf_http *q,
                                struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(body, diag);
    enum lf_err rc = LF_OK;
    int ms = lf_json_int(&in, "deadline_ms", 0, 1, LF_DEADLINE_MS_MAX);
    a->priority = lf_json_int(&in, "priority", 0, INT32_MIN, INT32_MAX);
    a->deadline_ns = ms > 0 ? lf_clock_ns() + (uint64_t)ms * 1000000 : 0;
    const int64_t drawn = a->seed;
    a->seed = lf_json_bits(&in, "seed", drawn);
    if (!body)
        rc = lf_http_query_int(q, "seed", INT64_MIN, INT64_MAX, &a->seed, diag);
    const json_t *seed = json_object_get(body, "seed");
    if (a->seed == -1 && (!body || json_is_number(seed)))
        a->seed = drawn; /* -1 is llama.cpp's and vLLM's word for any; 2^64 - 1 is a seed */
    for (const struct lf_sampling_param *p = lf_sampling_params; p->key && rc == LF_OK; p++) {
        if (p->at == AT(top_k)) {
            int64_t lo = (int64_t)p->lo, hi = (int64_t)p->hi;
            int64_t k = lf_json_int64(&in, p->key, a->sample.top_k, lo, hi);
            rc = body ? in.rc : lf_http_query_int(q, p->key, lo, hi, &k, diag);
            a->sample.top_k = k > 0 ? (int32_t)k : 0;
            continue;
        }
        float *at = (float *)((char *)&a->sample + p->at);
        double x = lf_json_real(&in, p->key, (double)*at, p->lo, p->hi);
        rc = body ? in.rc : lf_http_query_real(q, p->key, p->lo, p->hi, &x, diag);
        *at = (float)x;
    }
    /* 0 is the likeliest token alone; the sampler's is over 0. */
    a->sample.top_p = fmaxf(a->sample.top_p, LEAST_TOP_P);
    return rc;
}
