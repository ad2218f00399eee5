/* Chat templates: the checkpoint's own `chat_template` (Jinja), rendered exactly as transformers
 * renders it (jinja2 sandbox, trim_blocks and lstrip_blocks on, raise_exception, strftime_now,
 * tojson). What is not understood is refused with its reason when the template is opened or
 * rendered; nothing is guessed. A template is immutable after open: any thread.
 */
#ifndef LF_TEXT_CHAT_H
#define LF_TEXT_CHAT_H

#include "core/buf.h"
#include "core/err.h"

#include <jansson.h>
#include <stdbool.h>

struct lf_chat;

/* DIR/chat_template.jinja, or "chat_template" of DIR/tokenizer_config.json (a string, or a list
 * of {name, template} of which "default" is taken); bos_token, eos_token and the other named
 * special tokens are read there too. LF_E_NOT_FOUND where the checkpoint has none; LF_E_INVALID
 * with the line where the template is broken or uses what is not known here. Yours, free with
 * lf_chat_free. */
enum lf_err lf_chat_open(struct lf_chat **out, const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* From the source text. bos and eos may be NULL: undefined. */
enum lf_err lf_chat_parse(struct lf_chat **out, const char *source, size_t n, const char *bos,
                          const char *eos, struct lf_diag *diag) LF_MUST_CHECK;
void lf_chat_free(struct lf_chat *c);

/* Appends the text of `vars` (an object: messages, and whatever else the caller passes, such as
 * tools, documents, enable_thinking, which wins over the tokens' names); tools and documents are
 * none where they are not passed, a message's reasoning is there as reasoning_content and thinking,
 * add_generation_prompt is set here: all as transformers does. What raise_exception says is the
 * reason of LF_E_INVALID. The text is bounded (LF_PROMPT_BYTES_MAX), and so is the work of a
 * template's loops. Nothing is appended on an error. */
enum lf_err lf_chat_render(const struct lf_chat *c, struct lf_buf *out, json_t *vars,
                           bool add_generation_prompt, struct lf_diag *diag) LF_MUST_CHECK;

#endif
