/* The messages of a chat as a chat template wants them, from what people and clients write: one
 * definition for rows that are learnt and for requests, so that an adapter is asked as it was
 * trained. Pure; any thread. */
#ifndef LF_TEXT_MESSAGES_H
#define LF_TEXT_MESSAGES_H

#include "core/err.h"

#include <jansson.h>

/* Appends to `out`, a list, copies of `turns`, a list of objects {"role", "content", ...}:
 *   - ShareGPT's "from" and "value" are "role" and "content", its human and gpt user and assistant;
 *   - a content that is a list of text parts is one text, and so is a number; other parts, and a
 *     content that is an object or a boolean, are refused;
 *   - "function_call" and the role function, OpenAI's before tools, are refused, and so is a
 *     message that is to be gone on with ("prefix": true);
 *   - a call's arguments that are the text of a JSON object are that object, no text is none;
 *   - null is absent, at every depth, but for the content of a turn that calls tools: templates
 *     tell null from none there.
 * Every message has a role, and a content or calls of tools, afterwards. Reasons count messages
 * from out's first. Where it fails, out may have some of them. */
enum lf_err lf_messages_add(json_t *out, const json_t *turns, struct lf_diag *diag) LF_MUST_CHECK;

/* *out, yours: the tools that a chat may call, without nulls; a text is read as JSON, as datasets
 * keep them whose columns have one type. *out is NULL where there are none (NULL or null). */
enum lf_err lf_tools_normal(json_t **out, const json_t *tools, struct lf_diag *diag) LF_MUST_CHECK;

#endif
