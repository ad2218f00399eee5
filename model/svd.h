/* The first singular values and vectors of a matrix, by subspace iteration from random vectors
 * (Halko, Martinsson, Tropp: "Finding structure with randomness", 2011, algorithm 4.4): what
 * torch.svd_lowrank does, and where it is asked for by iterations until nothing more comes in, the
 * exact ones to some digits. The products are a device's, the rest is done in double. */
#ifndef LF_MODEL_SVD_H
#define LF_MODEL_SVD_H

#include "core/err.h"
#include "gpu/device.h"
#include "model/limits.h"

#include <stdint.h>

struct lf_svd {
    int rank;
    double *s; /* (rank) descending */
    float *u;  /* (rank, N), a vector a row */
    float *v;  /* (rank, K) */
};

/* Of w (N, K), in memory of a stream's device, which is a host's. iterations 0: as many as change
 * something. The same seed gives the same bytes. rank: at most the lesser of N and K. Yours,
 * lf_svd_free. */
enum lf_err lf_svd_first(struct lf_svd *out, struct lf_stream *stream, const float *w, int N, int K,
                         int rank, int iterations, uint64_t seed,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_svd_free(struct lf_svd *d);

#endif
