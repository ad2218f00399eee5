/* Chat templates: the checkpoint's own `chat_template` (Jinja), rendered exactly as transformers
 * renders it (jinja2 sandbox, trim_blocks and lstrip_blocks on, raise_exception, strftime_now,
 * tojson). What is not understood is refused with its reason when the template is opened or
 * rendered; nothing is guessed. A template is immutable after open: any thread.
 */
#ifndef LF_MODEL_CHAT_H
#define LF_MODEL_CHAT_H

#include "core/buf.h"
#include "core/err.h"

#include <jansson.h>
#include <stdbool.h>

struct lf_chat;

/* DIR/chat_template.jinja, or "chat_template" of DIR/tokenizer_config.json (a string, or a list
 * of {name, template} of which "default" is taken); bos_token and eos_token are read there too.
 * LF_E_NOT_FOUND where the checkpoint has none. Yours, free with lf_chat_free. */
enum lf_err lf_chat_open(struct lf_chat **out, const char *dir, struct lf_diag *diag)
    LF_MUST_CHECK;
/* From the source text. bos and eos may be "". */
enum lf_err lf_chat_parse(struct lf_chat **out, const char *source, size_t n, const char *bos,
                          const char *eos, struct lf_diag *diag) LF_MUST_CHECK;
void lf_chat_free(struct lf_chat *c);

/* Renders with `vars` (an object: messages, and whatever else the caller passes, such as tools,
 * documents, enable_thinking); bos_token, eos_token and add_generation_prompt are set here.
 * The text is bounded (LF_PROMPT_BYTES_MAX), and so is the work of a template's loops. */
enum lf_err lf_chat_render(const struct lf_chat *c, struct lf_buf *out, json_t *vars,
                           bool add_generation_prompt, struct lf_diag *diag) LF_MUST_CHECK;

#endif
