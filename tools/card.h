/* The model card of an adapter's version: README.md as hubs show it. */
#ifndef LF_TOOLS_CARD_H
#define LF_TOOLS_CARD_H

#include "core/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lf_card {
    const char *id;      /* "org/name" */
    const char *adapter; /* its name here */
    const char *base;    /* base_model_name_or_path */
    int64_t version;
    const json_t *metrics;  /* the version's metrics.json, or NULL */
    const json_t *settings; /* its config.json, or NULL */
    bool curve;             /* loss.svg is beside it */
};

/* Appends it; a failure stays in b. */
void lf_card_put(struct lf_buf *b, const struct lf_card *card);

#endif
