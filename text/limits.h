/* Ceilings that text/ alone knows; those that several rooms know are in core/limits.h. Tokenizers,
 * chat templates, grammars. */
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

#define LF_GUIDE_BYTES_MAX (4 << 20)    /* of a grammar's text */
#define LF_GUIDE_RULES_MAX 50000        /* of a grammar; a large schema makes a thousand */
#define LF_GUIDE_NODES_MAX (1 << 20)    /* of its program: 12 MB */
#define LF_GUIDE_GROUPS_MAX 100         /* one in another */
#define LF_GUIDE_TIMES_MAX 10000        /* {m,n} */
#define LF_GUIDE_CALLS_MAX 500          /* rules in rules: how deep an answer may be nested */
#define LF_GUIDE_PLACES_MAX 16384       /* that a state may be in at once */
#define LF_GUIDE_MEMORY_MAX (32u << 20) /* of a grammar's states, before they are made anew */
#define LF_GUIDE_SCHEMAS_MAX 20000      /* subschemas, those that references lead to again too */

#define LF_GUIDE_STATES_MAX 4096      /* of a language; a power of two */
#define LF_GUIDE_SPENT_MAX (1u << 18) /* of all that a schema makes: some seconds */
#define LF_GUIDE_EDGES_MAX (1u << 18) /* of it: 3 MB */
#define LF_GUIDE_SCHEMAS_DEEP 64      /* schemas in schemas, references that lead on among them */
#define LF_GUIDE_COUNTS_MAX 5000      /* rules of an object or array that counts */
#define LF_GUIDE_UNIQUE_MAX 8         /* constants of which an array has none twice */
#define LF_GUIDE_BRANCHES_MAX 64      /* of what parts of a schema leave together */

#endif
