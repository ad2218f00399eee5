/* The form that a request wants its answer in, under the names that servers have for it: OpenAI's
 * response_format, vLLM's guided_* and structured_outputs, SGLang's regex, ebnf and json_schema,
 * llama.cpp's grammar, LoRAX' schema, text-generation-inference's grammar, and here `choices`. The
 * connection's thread. */
#ifndef LF_DAEMON_API_FORM_H
#define LF_DAEMON_API_FORM_H

#include "daemon/api/completion.h"

/* The names that a body, and LoRAX' parameters, may have for it. */
#define LF_FORM_NAMES                                                                    \
    "response_format", "guided_json", "guided_regex", "guided_choice", "guided_grammar", \
        "structured_outputs", "grammar", "json_schema", "regex", "ebnf", "choices"
#define LF_FORM_NAMES_LORAX "response_format", "grammar", "schema", "choices"

/* Sets a->grammar where the body wants a form; a->model is known. LF_E_INVALID: two at once, or
 * what is wrong with it; LF_E_UNSUPPORTED: what of it is not done. */
enum lf_err lf_request_form(struct lf_request *a, struct lf_http *q, const json_t *body,
                            struct lf_diag *diag) LF_MUST_CHECK;

/* The answer is calls of the tools (lf_tools_normal's list), of one alone where `only` is its name,
 * written as the base writes them; several one after the other, but with `once`. */
enum lf_err lf_request_calls(struct lf_request *a, const json_t *tools, const char *only, bool once,
                             struct lf_diag *diag) LF_MUST_CHECK;

#endif
