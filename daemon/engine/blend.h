/* Adapters that are mixed for a request (model/merge.h): made of the same versions in the same way
 * they are one adapter to the engine, merged once by a loader and kept like any other. Immutable;
 * any thread. */
#ifndef LF_DAEMON_ENGINE_BLEND_H
#define LF_DAEMON_ENGINE_BLEND_H

#include "daemon/engine/engine.h"
#include "model/merge.h"

/* *out picks the mixture of how->n adapters' versions (parts), none of them the base. The seeds of
 * *how are not read: what DARE drops follows from who is mixed, and from their order. Yours:
 * lf_blend_release(out->blend). */
enum lf_err lf_blend_pick(struct lf_pick *out, const struct lf_pick *parts,
                          const struct lf_merge *how, struct lf_diag *diag) LF_MUST_CHECK;
/* NULL is nothing. */
void lf_blend_hold(struct lf_blend *b);
void lf_blend_release(struct lf_blend *b);

/* Reads the adapters and merges them. Yours, lf_packed_free. */
enum lf_err lf_blend_load(struct lf_packed **out, const struct lf_blend *b,
                          const struct lf_config *c, enum lf_dtype type,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Whether a version's files are what was written (core/sums.h), as far as that is known. */
enum lf_err lf_version_check(const char *dir, struct lf_diag *diag) LF_MUST_CHECK;

#endif
