/* OpenAI's dialect, for completions and chats. */
#ifndef LF_DAEMON_API_OPENAI_H
#define LF_DAEMON_API_OPENAI_H

#include "daemon/api/completion.h"
#include "daemon/limits.h"

#include <stdbool.h>

/* A request's body, read. */
struct lf_openai {
    bool chat;
    struct lf_request request;
    bool stream, include_usage, echo, logprobs;
    json_t *tools;                        /* that the answer may call; owned; NULL: none */
    bool call_once;                       /* one of them at most */
    int n, best_of;                       /* choices of a prompt: answered, and made */
    struct lf_ids prompt[LF_PROMPTS_MAX]; /* owned */
    int n_prompts;
    char id[48]; /* "cmpl-..." */
    int64_t created;
};

/* Checks and reads all but the prompt. What this program does not do is LF_E_UNSUPPORTED, what it
 * does not know LF_E_INVALID (daemon/api/params.h). `body` must outlive out (stop strings). */
enum lf_err lf_openai_parse(struct lf_openai *out, struct lf_http *q, const json_t *body, bool chat,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* "prompt": a string, strings, ids, or lists of ids. */
enum lf_err lf_openai_prompts(struct lf_openai *o, const json_t *prompt,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* "messages" as the adapter was trained to be asked (lf_ask_chat), and what else of the body a chat
 * template may want. */
enum lf_err lf_openai_messages(struct lf_openai *o, struct lf_http *q, const json_t *body,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* Appends a number of a JSON list, where it is an id of the model. */
enum lf_err lf_openai_id(struct lf_ids *ids, const json_t *number, const struct lf_model *m,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_openai_free(struct lf_openai *o);

/* Writers (openai_write.c): the answer in one, and as a stream. Both take the completions: best_of
 * of each prompt, one prompt's after the other's. */
enum lf_err lf_openai_reply(struct lf_http *q, struct lf_openai *o, struct lf_completion *list,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Takes what o owns too, and holds on to body. */
enum lf_err lf_openai_reply_stream(struct lf_http *q, struct lf_openai *o, json_t *body,
                                   struct lf_completion *list, struct lf_diag *diag) LF_MUST_CHECK;

#endif
