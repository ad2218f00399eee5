/* Asked as trained: a prompt that a person wrote becomes what stood before the answers in the rows
 * that an adapter learnt. Any thread. */
#ifndef LF_TRAINER_ASK_H
#define LF_TRAINER_ASK_H

#include "core/err.h"
#include "model/model.h"
#include "trainer/settings.h"

/* The forms of rows by which a prompt is made, as they are written down with a version. Others are
 * names of the table in trainer/form.c: "instruction", "question". */
#define LF_ASK_PROMPT "prompt"     /* the text itself */
#define LF_ASK_MESSAGES "messages" /* a user's message, through the chat template */
#define LF_ASK_IDS "input_ids"     /* the text itself; how rows were made is not known */
#define LF_ASK_TEXT "text"         /* the text itself, to be gone on with */

/* "auto" and the forms that config.json may name; NULL at the end. */
extern const char *const lf_ask_words[];

/* The ids that generation starts from. With s->template_ the text is put into that; else `form`
 * (NULL or "": not known) says what becomes of it. A text that is a JSON object gives the columns
 * of a template or form; one that is a list of messages, or an object with "messages" (and
 * "tools"), is a whole conversation, unless the adapter was trained on bare prompts. The text may
 * begin with a byte order mark and have \r\n for line ends, as rows may: neither reaches the model.
 */
enum lf_err lf_ask_encode(struct lf_ids *out, const struct lf_model *m,
                          const struct lf_train_settings *s, const char *form, const char *text,
                          size_t n, struct lf_diag *diag) LF_MUST_CHECK;

/* The form of a version's rows, as a word in the file `form` beside its weights. */
enum lf_err lf_ask_write(const char *dir, const char *form, struct lf_diag *diag) LF_MUST_CHECK;
/* "" where there is no such file. */
enum lf_err lf_ask_read(char out[LF_NAME_MAX + 1], const char *dir,
                        struct lf_diag *diag) LF_MUST_CHECK;

#endif
