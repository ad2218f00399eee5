/* Every ceiling that several rooms know, each with its reason; those of one room are in its own
 * limits.h (text/limits.h, ...). */
#ifndef LF_CORE_LIMITS_H
#define LF_CORE_LIMITS_H

/* Names */
#define LF_NAME_MAX 64   /* adapter and base names: [A-Za-z0-9._-], no leading '.' */
#define LF_PATH_MAX 4096 /* PATH_MAX of the kernel */

/* Parsers of bytes from outside */
#define LF_JSON_DEPTH_MAX 64 /* deepest honest document seen: tokenizer.json, 7 */
/* A document of 2 bytes a value becomes 100 times as large in memory: no small one may, and of a
 * large one 16 times is more than lists of ids or a vocabulary need. */
#define LF_JSON_TREE_MAX (64u << 20)
#define LF_JSON_TREE_TIMES 16
#define LF_JSON_BYTES_MAX (256u << 20)         /* Gemma's tokenizer.json is 34 MB */
#define LF_SAFETENSORS_HEADER_MAX (100u << 20) /* the format's own ceiling */
#define LF_SAFETENSORS_TENSORS_MAX 1000000
#define LF_ADAPTER_HEADER_MAX (4u << 20)   /* an adapter of 100 layers x 7 x 2 is 0.2 MB */
#define LF_TARGETS_BYTES_MAX (128u << 10)  /* target_modules: 256 x 7 names in full */
#define LF_PATTERN_BYTES_MAX 65536         /* a regular expression of an adapter_config.json */
#define LF_PATTERN_STEPS_MAX 100000        /* ends those that backtrack without end */
#define LF_DATASET_BYTES_MAX (32ull << 30) /* rows are on disk: tokenised, as much twice over */
#define LF_DATASET_LINE_MAX (16u << 20)
#define LF_SETTINGS_BYTES_MAX (1u << 20)   /* an adapter's config.json or template */
#define LF_WEIGHTS_BYTES_MAX (16ull << 30) /* LF_RANK_MAX on all maps of a 70B base, in fp32 */
#define LF_HTTP_BODY_MAX (8u << 20)        /* JSON bodies; uploads have their own ceilings */
#define LF_CTL_LINE_MAX 256
#define LF_PROMPT_BYTES_MAX (4u << 20)
#define LF_VOCAB_MAX (2 << 20)       /* token ids; the largest known: 262,144 */
#define LF_TEXT_BYTES_MAX (1u << 30) /* one call of the tokenizer: 32-bit offsets */

/* What core itself keeps */
#define LF_BUF_BYTES_MAX ((size_t)1 << 30) /* a buffer that was given no ceiling */
#define LF_DIAG_MAX 512                    /* a reason; longer ones are cut */
#define LF_NEAR_WORD_MAX 32                /* a mistyped word; longer ones are not looked up */
#define LF_POOL_THREADS_MAX 256            /* of one pool */
#define LF_KEY_FILE_MAX 4096               /* a file whose first line is an API key */

/* The model */
#define LF_LAYERS_MAX 256
#define LF_HEAD_DIM_MAX 256
#define LF_RANK_MAX 256
#define LF_PROJ_MAX 7  /* q k v o gate up down; fewer in some architectures */
#define LF_GROUP_MAX 3 /* projections that share one input: q, k, v */

/* Serving and training */
#define LF_SLOTS_MAX 4096    /* adapters resident on the device */
#define LF_SEQS_MAX 1024     /* sequences in one ragged batch */
#define LF_QUEUE_MAX 1024    /* waiting requests before 429, as LoRAX */
#define LF_JOBS_FUSED_MAX 64 /* training jobs in one ragged batch */
#define LF_BASES_MAX 16      /* of one daemon */
#define LF_SEATS_MAX 16      /* devices that one daemon keeps a base on; bits of a word */
#define LF_MERGE_PARTS_MAX 8 /* adapters that one request merges */
#define LF_ADAPTERS_MAX 100000
#define LF_KV_PAGE_TOKENS 16     /* tokens in a page of the KV cache */
#define LF_STOPS_MAX 16          /* OpenAI allows 4; LoRAX 16 */
#define LF_TOP_LOGPROBS_MAX 20   /* alternatives listed with a token, as OpenAI */
#define LF_LOGIT_BIASES_MAX 1024 /* of one request; OpenAI takes 300 */

/* Files that are read in pieces at once (core/pins.h) */
#define LF_PINS_MAX 64

/* Files that come in parts at once (core/parts.h) */
#define LF_PARTS_MAX 256
#define LF_PARTS_ID_MAX 64 /* bytes of the names that their senders make up */

/* The mount */
#define LF_STAGED_BYTES_MAX (64ull << 30) /* of all files being written through one mount */
#define LF_STAGED_FILES_MAX 1024          /* a descriptor each */

#endif
