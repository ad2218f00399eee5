/* LoRA adapters: PEFT directories on disk, flat runs in memory, slots on a device.
 *
 * An adapter's parameters are one flat run: for each layer, for each targeted projection in config
 * order, A (R, K) then B (N, R), then of DoRA the magnitudes (N), each starting at a multiple of 8
 * floats (the gaps are zero and stay so). Training, Adam, checkpoints and uploads work on that run;
 * a slot's device table (struct lf_lora_site) points into it.
 */
#ifndef LF_MODEL_ADAPTER_H
#define LF_MODEL_ADAPTER_H

#include "core/err.h"
#include "gpu/ops.h"
#include "model/config.h"
#include "model/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* What an adapter is, without its numbers. */
struct lf_adapter_shape {
    int n_sites;           /* lf_config_sites */
    int *rank;             /* (n_sites) 0 where not targeted; owned */
    float *scale;          /* (n_sites) alpha/r or alpha/sqrt(r); owned */
    size_t *a_off, *b_off; /* (n_sites) offsets of A and B in the flat run, in floats; owned */
    size_t *m_off;         /* (n_sites) of the magnitudes, where there are some; owned */
    size_t n_params;       /* floats in the run */
    bool dora;             /* each site that has ranks has magnitudes (model/dora.h) */
    bool half_trains;      /* training leaves the second half of each site's ranks as it is */
    int rank_max;
};

struct lf_lora_settings;
/* The shape that settings ask for; rank, scale and the lay-out are set. Yours. */
enum lf_err lf_adapter_shape_new(struct lf_adapter_shape *out, const struct lf_config *c,
                                 const struct lf_lora_settings *s,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* Sets the offsets, n_params and rank_max from rank[]. */
void lf_adapter_shape_lay(struct lf_adapter_shape *s, const struct lf_config *c);
/* The same, and zeros for n_params of the type. LF_E_INVALID when every rank is 0. *out: yours. */
enum lf_err lf_adapter_shape_params(void **out, struct lf_adapter_shape *s,
                                    const struct lf_config *c, enum lf_dtype type,
                                    struct lf_diag *diag) LF_MUST_CHECK;
/* Outputs of all sites together. */
size_t lf_shape_outputs(const struct lf_adapter_shape *s, const struct lf_config *c);
enum lf_err lf_adapter_shape_copy(struct lf_adapter_shape *out,
                                  const struct lf_adapter_shape *s) LF_MUST_CHECK;
void lf_adapter_shape_free(struct lf_adapter_shape *s);
void lf_adapter_site_name(char out[LF_SITE_NAME_MAX], const struct lf_config *c, int site);
/* PEFT's rule: the name (n bytes) is the site's, or its end from a dot on: "q_proj",
 * "self_attn.q_proj", "model.layers.3.self_attn.q_proj". */
bool lf_site_is_named(const char *site, const char *name, size_t n);

struct lf_adapter {
    struct lf_adapter_shape shape;
    float *params; /* (n_params) host */
    bool served;   /* of DoRA: these are what a forward reads (model/dora.h) */
    float *row_sq; /* of DoRA, to train it: (lf_shape_outputs) |W|^2 of each; NULL: not known */
    /* For adapter_config.json: the common values; sites that differ are written as patterns. */
    int rank;
    double alpha;
    bool rslora;
    double dropout;
};

struct lf_lora_settings {
    int rank; /* 1 .. LF_RANK_MAX */
    double alpha;
    bool rslora;
    double dropout;
    /* NULL or "all-linear": every linear map; or module names ("q_proj", or in full to name a
     * single layer's), comma separated. Unknown names are refused, listing the model's. */
    const char *target_modules;
    /* JSON, as PEFT has them: patterns that end a site's name, with its rank or alpha; the layers
     * that have sites. NULL: none; all. What fits no site is refused. */
    const char *rank_pattern, *alpha_pattern, *layers;
    bool doubled; /* twice these ranks, of the same scales; the second halves do not train */
    bool dora;    /* magnitudes, too */
};

/* alpha / rank, or alpha / sqrt(rank) with rsLoRA. */
float lf_lora_scale(double alpha, int rank, bool rslora);

/* For readers: with every rank 0 and no parameters. When the caller has set shape.rank and
 * shape.scale, lf_adapter_shape_params lays them out. */
enum lf_err lf_adapter_alloc(struct lf_adapter **out, const struct lf_config *c,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* A fresh adapter as PEFT initialises it: A kaiming-uniform with a = sqrt(5), that is
 * U(-1/sqrt(K), 1/sqrt(K)), B zero. Drawn from lf_rng with the seed. DoRA's magnitudes are zero,
 * for lf_dora_measure. */
enum lf_err lf_adapter_new(struct lf_adapter **out, const struct lf_config *c,
                           const struct lf_lora_settings *s, uint64_t seed,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* A PEFT directory: adapter_config.json and adapter_model.safetensors. target_modules as a list, a
 * regex or "all-linear", exclude_modules, rank_pattern, alpha_pattern, rsLoRA,
 * layers_to_transform, DoRA; fp32, fp16 or bf16. Sites without tensors are rank 0. Biases,
 * modules_to_save, embeddings and other variants that change the arithmetic: LF_E_UNSUPPORTED,
 * named. A shape that does not fit: LF_E_BASE_DIFFERS, named. Yours, free with lf_adapter_free. */
enum lf_err lf_adapter_load(struct lf_adapter **out, const struct lf_config *c, const char *dir,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Writes DIR as PEFT does, fp32; the directory appears whole or not at all (one that exists is
 * replaced). base_name goes into base_model_name_or_path, note (NULL: none) with the weights
 * (lf_tensors_note). */
enum lf_err lf_adapter_save(const struct lf_adapter *a, const struct lf_config *c, const char *dir,
                            const char *base_name, const char *note,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_adapter_free(struct lf_adapter *a);
/* w (K) += scale * B A of a site's output n, summed by itself first. */
void lf_adapter_add_row(float *w, const struct lf_adapter *a, int site, int64_t n, size_t K);
/* DoRA's factor of a row w (K) of W + scale * B A (model/dora.h); 1 where that is zero. */
double lf_dora_factor(const float *w, size_t K, float m);
/* Whether the model has all that they name. */
enum lf_err lf_lora_settings_check(const struct lf_config *c, const struct lf_lora_settings *s,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* The same again. Yours. */
enum lf_err lf_adapter_copy(struct lf_adapter **out, const struct lf_adapter *a,
                            struct lf_diag *diag) LF_MUST_CHECK;

/* ---- Packed ----------------------------------------------------------------------------------
 * What a device's forward reads of an adapter, in host memory: from there it comes onto the device
 * as often as it is wanted, and without arithmetic. */

struct lf_packed {
    struct lf_adapter_shape shape;
    void *params; /* (n_params) of the dtype that it was packed for */
    size_t bytes; /* of params */
};

struct lf_model;
/* A PEFT directory, for devices of this act dtype (fp32 or bf16); errors as of lf_adapter_load, and
 * with DoRA of lf_dora_serve. Yours, lf_packed_free. */
enum lf_err lf_packed_load(struct lf_packed **out, const struct lf_model *m, enum lf_dtype type,
                           const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* The same of an adapter in memory, which with DoRA is served. */
enum lf_err lf_packed_of(struct lf_packed **out, const struct lf_adapter *a, enum lf_dtype type,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_packed_free(struct lf_packed *p);

/* ---- Slots ----------------------------------------------------------------------------------- */

/* The adapters on a device, by slot. One thread (the stream's) at a time. */
struct lf_slots {
    struct lf_device *dev;
    const struct lf_config *config;
    int n_slots, n_sites;
    struct lf_lora_site *sites;   /* device (n_slots, n_sites) */
    struct lf_lora_site *h_sites; /* host mirror */
    struct lf_slot *slot;         /* (n_slots) */
};

struct lf_slot {
    bool used, trains;
    bool lent;                     /* copy is the caller's: lf_slots_lend */
    struct lf_adapter_shape shape; /* copied; owned */
    void *copy;    /* (n_params) act: what the forward reads; = master on fp32 devices */
    float *master; /* (n_params) fp32; NULL when only served on a bf16 device */
    float *grad;   /* trains: (n_params), zero at the start of a step */
    float *norms;  /* trains with DoRA: (lf_shape_outputs) as in struct lf_dora_args */
    float *row_sq; /* the same; behind norms, in its allocation */
    void *moments; /* trains: those of the optimizer (model/moments.h) */
    bool moments8; /* they are of 8 bits */
    bool targets[LF_PROJ_MAX]; /* by config.proj index: in some layer; with shape.dora gains, too */
    int layer_first;           /* the lowest layer with a target */
};

enum lf_err lf_slots_new(struct lf_slots **out, struct lf_device *dev, const struct lf_config *c,
                         int n_slots, struct lf_diag *diag) LF_MUST_CHECK;
void lf_slots_free(struct lf_slots *s);
/* Puts an adapter into a free slot; where it trains, gradients and moments (zero) too. The moments,
 * and a master beside a copy, go to host memory where the device is full (lf_device_alloc_paged).
 * LF_E_DEVICE_FULL when no slot or memory is left. With DoRA what serves is served already, and
 * what trains is measured (model/dora.h): the caller makes what a forward reads of it
 * (lf_exec_dora). */
enum lf_slot_use { LF_SLOT_SERVES, LF_SLOT_TRAINS, LF_SLOT_TRAINS_8BIT /* its moments */ };
enum lf_err lf_slots_load(struct lf_slots *s, struct lf_stream *stream, int *slot,
                          const struct lf_adapter *a, enum lf_slot_use use,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* What lf_slots_load takes for such an adapter on devices of this act dtype. */
struct lf_slot_bytes {
    size_t device; /* on the device in any case */
    size_t paged;  /* likewise where it has room, else in host memory */
};
struct lf_slot_bytes lf_slot_bytes(const struct lf_adapter_shape *s, const struct lf_config *c,
                                   enum lf_dtype act, enum lf_slot_use use);
/* A slot for parameters that lie in the caller's device memory, (n_params) act, and stay there
 * until the slot is unloaded: their copy must be done. LF_E_DEVICE_FULL when no slot is left. */
enum lf_err lf_slots_lend(struct lf_slots *s, struct lf_stream *stream, int *slot,
                          const struct lf_adapter_shape *shape, void *copy,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Another slot with what `from` holds, which does not train. */
enum lf_err lf_slots_copy(struct lf_slots *s, struct lf_stream *stream, int *slot, int from,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Waits for the stream, unless what is in it was lent: what is on the stream by now may read that
 * still. */
void lf_slots_unload(struct lf_slots *s, struct lf_stream *stream, int slot);
/* Copies the slot's parameters into a->params (same shape). Waits. */
enum lf_err lf_slots_read(struct lf_slots *s, struct lf_stream *stream, int slot,
                          struct lf_adapter *a, struct lf_diag *diag) LF_MUST_CHECK;

#endif
