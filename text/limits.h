/* Ceilings that text/ alone knows; those that several rooms know are in core/limits.h. Tokenizers
 * and chat templates. */
#ifndef LF_TEXT_LIMITS_H
#define LF_TEXT_LIMITS_H

#define LF_DECODER_STAGES_MAX 8 /* decoders of a tokenizer.json, in a line */
#define LF_TOK_STEPS_MAX 32     /* normalizers, pre-tokenizers or template pieces in a line */
#define LF_TOKEN_BYTES_MAX 1024 /* of a line of tokenizer.model */
#define LF_REGEX_BYTES_MAX (64u << 10) /* a pattern, as PCRE2 gets it */
#define LF_TOK_BUCKETS_MAX (1u << 15)  /* of the word cache: 10 MB when full */

#define LF_J_SOURCE_MAX (1u << 20)   /* bytes of a template */
#define LF_J_NODES_MAX (1u << 18)    /* of its tree */
#define LF_J_NESTING_MAX 200         /* tags and parentheses */
#define LF_J_STEPS_MAX 10000000      /* nodes visited, and work on long values: under a second */
#define LF_J_DEPTH_MAX 1500          /* nested evaluations: C stack, so macros cannot run away */
#define LF_J_MEMORY_MAX (128u << 20) /* of one run */
#define LF_J_VALUE_DEPTH_MAX 200     /* lists in lists */
#define LF_J_RANGE_MAX 100000        /* the sandbox's own, of jinja2 */
#define LF_J_PARAMS_MAX 6            /* of a method, filter or function */

#endif
