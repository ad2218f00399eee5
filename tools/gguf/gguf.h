/* GGUF, llama.cpp's files: imported, that is rewritten as a Hugging Face checkpoint, which is
 * the one form that everything else here reads. Host work, one thread. */
#ifndef LF_TOOLS_GGUF_GGUF_H
#define LF_TOOLS_GGUF_GGUF_H

#include "core/err.h"
#include "gpu/device.h"

/* Writes DIR: config.json, model.safetensors in `dtype` (LF_BF16 or LF_F32), and the tokenizer with
 * its chat template. Architectures: llama (Llama, Mistral), qwen2, qwen3, gemma, gemma2, phi2,
 * phi3; weights: F32, F16, BF16, Q4_0, Q8_0, Q4_K, Q6_K. Anything else is LF_E_UNSUPPORTED, named;
 * a file whose parts do not fit together LF_E_DAMAGED; a DIR with a config.json LF_E_EXISTS.
 * progress may be NULL. */
enum lf_err lf_gguf_import(const char *path, const char *dir, enum lf_dtype dtype,
                           void (*progress)(void *arg, double fraction, const char *what),
                           void *progress_arg, struct lf_diag *diag) LF_MUST_CHECK;

#endif
