/* A model's memory: device allocations and the files that host devices read in place. Private to
 * model/. */
#ifndef LF_MODEL_MEMORY_H
#define LF_MODEL_MEMORY_H

#include "model/model.h"
#include "model/safetensors.h"

struct lf_model_memory {
    struct lf_tensors *checkpoint; /* mapped while weights point into it; or NULL */
    struct lf_tensors *cache;      /* of what was quantised as it was loaded; or NULL */
    void **p;                      /* (n) device allocations */
    size_t n, cap;
};

/* bytes of device memory that live with the model, counted in weight_bytes. */
enum lf_err lf_model_alloc(struct lf_model *m, void **out, size_t bytes,
                           struct lf_diag *diag) LF_MUST_CHECK;

/* An empty model with its layers, or nothing on error. */
enum lf_err lf_model_new(struct lf_model **out, struct lf_device *dev,
                         const struct lf_config *config, const char *name,
                         struct lf_diag *diag) LF_MUST_CHECK;

/* Moves a weight whose pointers are host memory to the device, and prepares it. With `lasting`
 * the host memory stays for the model's life, and a host device uses it in place. */
enum lf_err lf_model_place(struct lf_model *m, struct lf_stream *s, struct lf_weight *w,
                           bool lasting, struct lf_diag *diag) LF_MUST_CHECK;
/* n floats to the device. */
enum lf_err lf_model_place_floats(struct lf_model *m, struct lf_stream *s, const float **out,
                                  const float *x, size_t n, struct lf_diag *diag) LF_MUST_CHECK;
/* The rotary tables. */
enum lf_err lf_model_place_ropes(struct lf_model *m, struct lf_stream *s,
                                 struct lf_diag *diag) LF_MUST_CHECK;

#endif
