/* Calls of tools in an answer, as models write them into their text. Only what is certainly one is
 * taken for a call: the whole of it parses, and its name is that of a tool that was offered. Pure;
 * any thread. */
#ifndef LF_TEXT_TOOL_CALLS_H
#define LF_TEXT_TOOL_CALLS_H

#include "core/err.h"

#include <jansson.h>
#include <stdbool.h>

/* *calls, yours: a list of {"name", "arguments": an object}; NULL where the text (n bytes) is an
 * answer in words. *n_content: bytes in front of the first call that are the answer's text.
 *   - Hermes, Qwen: text, then <tool_call>{"name", "arguments"}</tool_call> up to the end;
 *   - Llama 3: {"name", "parameters"} and nothing else;
 *   - Mistral: a list of {"name", "arguments"} and nothing else, [TOOL_CALLS] in front or not (it
 *     is a special token, which has no text).
 * tools: what lf_tools_normal made. LF_E_NO_MEMORY alone. */
enum lf_err lf_tool_calls_find(json_t **calls, size_t *n_content, const char *text, size_t n,
                               const json_t *tools) LF_MUST_CHECK;

/* How many bytes of an answer's beginning are content whatever follows: the others may turn out to
 * be a call. after_content: content was in front of these bytes already. */
size_t lf_tool_calls_settled(const char *text, size_t n, bool after_content);

#endif
