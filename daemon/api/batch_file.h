/* A batch's lines, and what they were answered: the bytes of a file document, and two files that
 * grow beside the batch's. One thread at a time. */
#ifndef LF_DAEMON_API_BATCH_FILE_H
#define LF_DAEMON_API_BATCH_FILE_H

#include "core/buf.h"
#include "core/file.h"

#include <jansson.h>
#include <stdbool.h>

struct lf_batch_entry {
    size_t off, n; /* of its line */
    bool answered;
};

struct lf_batch_file {
    struct lf_mapping input;
    struct lf_batch_entry *v; /* (total) owned */
    size_t cap, next;
    int fd[2]; /* answers, errors; -1: not open */
    int64_t total, completed, failed;
};

/* Nothing is open; counts: "request_counts" as it was written down, or NULL. */
void lf_batch_file_init(struct lf_batch_file *f, const json_t *counts);
/* Reads the lines of the document `input` and checks them: *errors, which are yours, says what is
 * wrong with them (OpenAI's "errors" of a batch); and what the batch `id` was answered before. What
 * a crash tore off is taken away. */
enum lf_err lf_batch_file_open(struct lf_batch_file *f, const char *dir, const char *id,
                               const char *input, const char *endpoint, json_t **errors,
                               struct lf_diag *diag) LF_MUST_CHECK;
void lf_batch_file_close(struct lf_batch_file *f);
/* {"total", "completed", "failed"}; yours. */
json_t *lf_batch_file_counts(const struct lf_batch_file *f);

/* The next line without an answer; false: all were given out. */
bool lf_batch_file_next(struct lf_batch_file *f, size_t *entry);
/* What it asks: the body, which is yours. The line may be read while others are added. */
enum lf_err lf_batch_file_body(const struct lf_batch_file *f, size_t entry, struct lf_buf *body,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* What it was answered. A failure leaves the files as they were. */
enum lf_err lf_batch_file_add(struct lf_batch_file *f, size_t entry, unsigned status,
                              const struct lf_buf *answer, struct lf_diag *diag) LF_MUST_CHECK;
/* Lines without an answer get the error that the batch expired. */
enum lf_err lf_batch_file_expire(struct lf_batch_file *f, struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_batch_file_sync(struct lf_batch_file *f, struct lf_diag *diag) LF_MUST_CHECK;

/* A batch's document gets the ids of the files that its answers and its errors, as far as there are
 * some, will be. */
enum lf_err lf_batch_file_name(json_t *batch, const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* Makes them. A call that was cut short is made again. */
enum lf_err lf_batch_file_publish(const json_t *batch, const char *dir,
                                  struct lf_diag *diag) LF_MUST_CHECK;

#endif
