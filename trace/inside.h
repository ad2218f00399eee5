/* What the files of this room have in common. */
#ifndef LF_TRACE_INSIDE_H
#define LF_TRACE_INSIDE_H

#include <jansson.h>

/* Appends {"key": key, "value": {type: value}}; takes value. */
void lf_attribute_set(json_t *attributes, const char *key, const char *type, json_t *value);
/* The span has ended now. */
void lf_span_close(json_t *span);

#endif
