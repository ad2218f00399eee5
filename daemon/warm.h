/* Versions that come onto the device before they are asked for: those that are about to take the
 * place of one that is there, and those of adapters that stay (--pin). What cannot be brought is
 * logged, and comes with its first request. Any thread. */
#ifndef LF_DAEMON_WARM_H
#define LF_DAEMON_WARM_H

#include <stdbool.h>
#include <stdint.h>

struct lf_base;
struct lf_daemon;

#define LF_WARM_MS 10000 /* that a version waits at the most before it is served */

/* A version that is served from soon on: waits until it is there, up to timeout_ms. */
void lf_warm(const struct lf_daemon *d, uint64_t id, int32_t version, int timeout_ms);
bool lf_warm_is_pinned(const struct lf_daemon *d, const char *name);
/* It is named itself, or an adapter of it is. */
bool lf_warm_base_is_pinned(const struct lf_daemon *d, const struct lf_base *base);
/* The pinned ones, as the engine comes up. */
void lf_warm_pinned(const struct lf_daemon *d);

#endif
