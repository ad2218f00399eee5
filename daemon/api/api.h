/* The routes of docs/http.md, one function each; api/routes.c is their table. */
#ifndef LF_DAEMON_API_H
#define LF_DAEMON_API_H

#include "daemon/http/http.h"

extern const struct lf_route lf_routes[];
extern const size_t lf_routes_n;

/* system.c */
lf_http_fn lf_api_page, lf_api_page_file, lf_api_openapi, lf_api_health, lf_api_metrics,
    lf_api_rates, lf_api_bases, lf_api_base, lf_api_base_file;
/* rows.c */
lf_http_fn lf_api_rows;
/* adapters.c */
lf_http_fn lf_api_tree, lf_api_adapters, lf_api_adapter_create, lf_api_adapter,
    lf_api_adapter_remove, lf_api_adapter_rename, lf_api_adapter_ctl;
struct lf_adapter_view;
/* result.c: the answer to a GET of `result`; with `wait` once there is something to answer. */
enum lf_err lf_api_result(struct lf_http *q, struct lf_adapter_view *v, bool wait,
                          struct lf_diag *diag);
/* parts.c */
extern const struct lf_http_sink lf_api_part; /* of lf_api_part_look as a PUT */
lf_http_fn lf_api_part_look;
struct lf_upload;
struct lf_api_claim {
    const char *id; /* of the upload that becomes a file */
    uint64_t owner;
    char answer[LF_SHA256_HEX];
};
/* The upload's bytes are `u`'s. LF_E_EXISTS: they were before, and that was answered so. Every
 * claim that is LF_OK is answered; NULL: it was refused. */
enum lf_err lf_api_parts_claim(struct lf_http *q, struct lf_upload *u, struct lf_api_claim *c,
                               struct lf_diag *diag) LF_MUST_CHECK;
void lf_api_parts_answer(struct lf_http *q, const struct lf_api_claim *c, const char *answer);
/* files.c */
lf_http_fn lf_api_file_read;
extern const struct lf_http_sink lf_api_upload; /* of lf_api_file_write */
lf_http_fn lf_api_file_write, lf_api_file_remove;

/* generate.c, openai.c, lorax.c */
lf_http_fn lf_api_generate_text, lf_api_models, lf_api_model, lf_api_model_remove,
    lf_api_completions, lf_api_chat_completions, lf_api_lorax_generate, lf_api_lorax_root,
    lf_api_lorax_generate_stream, lf_api_lorax_info;
/* tokenize.c */
lf_http_fn lf_api_tokenize, lf_api_detokenize, lf_api_version;
/* load.c */
lf_http_fn lf_api_load, lf_api_unload;
/* jobs.c */
lf_http_fn lf_api_jobs, lf_api_job, lf_api_job_order;
/* uploads.c */
extern const struct lf_http_sink lf_api_receive; /* of lf_api_kept_file_create */
lf_http_fn lf_api_kept_file_create, lf_api_kept_files, lf_api_kept_file, lf_api_kept_file_content,
    lf_api_kept_file_remove;
/* tuning.c */
lf_http_fn lf_api_tuning_create, lf_api_tunings, lf_api_tuning, lf_api_tuning_order,
    lf_api_tuning_events, lf_api_tuning_checkpoints;
/* batches.c */
lf_http_fn lf_api_batch_create, lf_api_batches, lf_api_batch, lf_api_batch_cancel;
/* publications.c */
lf_http_fn lf_api_publications, lf_api_publication_file;
/* trash.c */
lf_http_fn lf_api_trash, lf_api_trash_restore, lf_api_trash_empty;

#endif
