/* GGUF, llama.cpp's files. Checkpoints and LoRA adapters are imported, that is rewritten in the
 * forms that everything else here reads, and adapters are exported. Host work, one thread. */
#ifndef LF_TOOLS_GGUF_GGUF_H
#define LF_TOOLS_GGUF_GGUF_H

#include "core/err.h"
#include "model/adapter.h"

/* Writes DIR: config.json, model.safetensors in `dtype` (LF_BF16 or LF_F32), and the tokenizer with
 * its chat template. Architectures: llama (Llama, Mistral), qwen2, qwen3, gemma, gemma2, phi2,
 * phi3; weights: F32, F16, BF16, Q4_0, Q8_0, Q4_K, Q6_K. Anything else is LF_E_UNSUPPORTED, named;
 * a file whose parts do not fit together LF_E_DAMAGED; a DIR with a config.json LF_E_EXISTS.
 * progress may be NULL. */
enum lf_err lf_gguf_import(const char *path, const char *dir, enum lf_dtype dtype,
                           void (*progress)(void *arg, double fraction, const char *what),
                           void *progress_arg, struct lf_diag *diag) LF_MUST_CHECK;

/* Writes DIR as PEFT does, of a LoRA adapter's file; base: the checkpoint that it was made on, and
 * what adapter_config.json calls it. LF_E_BASE_DIFFERS: it was made on another. */
enum lf_err lf_gguf_import_adapter(const char *path, const char *dir, const char *base,
                                   const char *base_name, struct lf_diag *diag) LF_MUST_CHECK;
/* The other way, in LF_F32, LF_F16 or LF_BF16. Scales that differ from map to map are multiplied
 * into B, for the file has one alpha. LF_E_UNSUPPORTED: llama.cpp does not know the architecture.
 */
enum lf_err lf_gguf_export_adapter(const char *path, const struct lf_adapter *a,
                                   const struct lf_config *c, enum lf_dtype dtype,
                                   struct lf_diag *diag) LF_MUST_CHECK;

#endif
