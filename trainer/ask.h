/* Asked as trained: a prompt that a person wrote becomes what stood before the answers in the rows
 * that an adapter learnt. Any thread. */
#ifndef LF_TRAINER_ASK_H
#define LF_TRAINER_ASK_H

#include "core/err.h"
#include "core/limits.h"
#include "model/model.h"
#include "trainer/settings.h"

#include <jansson.h>
#include <stdbool.h>

/* The forms of rows by which a prompt is made, as they are written down with a version. Others are
 * names of the table in trainer/form.c: "instruction", "question". */
#define LF_ASK_PROMPT "prompt"     /* the text itself */
#define LF_ASK_MESSAGES "messages" /* a user's message, through the chat template */
#define LF_ASK_IDS "input_ids"     /* the text itself; how rows were made is not known */
#define LF_ASK_TEXT "text"         /* the text itself, to be gone on with */

/* "auto" and the forms that config.json may name; NULL at the end. */
extern const char *const lf_ask_words[];

/* How an adapter is asked. */
struct lf_ask {
    char form[LF_NAME_MAX + 1]; /* "": not known */
    char *template_;            /* that its rows went through; NULL: none. Owned */
};
void lf_ask_free(struct lf_ask *a);

/* The ids that generation starts from. With a template the text is put into that; else the form
 * (ask NULL: not known) says what becomes of it. A text that is a JSON object gives the columns
 * of a template or form; one that is a list of messages, or an object with "messages" (and
 * "tools"), is a whole conversation, unless the adapter was trained on bare prompts. The text may
 * begin with a byte order mark and have \r\n for line ends, as rows may: neither reaches the model.
 */
enum lf_err lf_ask_encode(struct lf_ids *out, const struct lf_model *m, const struct lf_ask *ask,
                          const char *text, size_t n, struct lf_diag *diag) LF_MUST_CHECK;

/* The same for a conversation: `vars`, an object with "messages" as lf_messages_add makes them,
 * perhaps "tools", and what else the chat template may want. Chats go through that template, and
 * so do adapters of which nothing is known, or whose rows were ready-made ids or whole texts.
 * Others are asked with their template, form or bare prompt: it has the last message, the user's,
 * and before it stand the system's text and the earlier turns, each with its answer, an empty line
 * after each. Tools and their turns are LF_E_UNSUPPORTED there. */
enum lf_err lf_ask_chat(struct lf_ids *out, const struct lf_model *m, const struct lf_ask *ask,
                        json_t *vars, struct lf_diag *diag) LF_MUST_CHECK;
/* A text as vars: a conversation in JSON, else a user's message. Yours. */
enum lf_err lf_ask_said(json_t **vars, const char *text, size_t n,
                        struct lf_diag *diag) LF_MUST_CHECK;

/* Rows of this form, trained on with these settings; borrows their template. */
struct lf_ask lf_ask_of(const char *form, const struct lf_train_settings *s);
/* How a version is asked, in the file `form` beside its weights: the form's word, and, where it is
 * one, from the second line on the template. */
enum lf_err lf_ask_write(const char *dir, const struct lf_ask *ask,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* The same as a note for the file of the weights (lf_adapter_save): {"form", "template"}. Yours;
 * NULL: no memory. */
char *lf_ask_note(const struct lf_ask *ask);
/* From there, or else from the note in its weights. Free with lf_ask_free. */
enum lf_err lf_ask_read(struct lf_ask *out, const char *dir, struct lf_diag *diag) LF_MUST_CHECK;

#endif
