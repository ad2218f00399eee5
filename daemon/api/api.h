/* The routes of docs/http.md, one function each; api/routes.c is their table. */
#ifndef LF_DAEMON_API_H
#define LF_DAEMON_API_H

#include "daemon/http/http.h"

extern const struct lf_route lf_routes[];
extern const size_t lf_routes_n;

/* system.c */
enum lf_err lf_api_page(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_openapi(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_health(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_metrics(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_bases(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_base(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_base_file(struct lf_http *q, struct lf_diag *diag);
/* adapters.c */
enum lf_err lf_api_tree(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_adapters(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_adapter_create(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_adapter(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_adapter_remove(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_adapter_rename(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_adapter_ctl(struct lf_http *q, struct lf_diag *diag);
struct lf_adapter_view;
/* result.c: the answer to a GET of `result`; with `wait` once there is something to answer. */
enum lf_err lf_api_result(struct lf_http *q, struct lf_adapter_view *v, bool wait,
                          struct lf_diag *diag);
/* files.c */
enum lf_err lf_api_file_read(struct lf_http *q, struct lf_diag *diag);
extern const struct lf_http_sink lf_api_upload; /* of lf_api_file_write */
enum lf_err lf_api_file_write(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_file_remove(struct lf_http *q, struct lf_diag *diag);

/* generate.c, openai.c, lorax.c */
enum lf_err lf_api_generate_text(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_models(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_model(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_completions(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_chat_completions(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_lorax_generate(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_lorax_root(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_lorax_generate_stream(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_lorax_info(struct lf_http *q, struct lf_diag *diag);
/* tokenize.c */
enum lf_err lf_api_tokenize(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_detokenize(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_version(struct lf_http *q, struct lf_diag *diag);
/* load.c */
enum lf_err lf_api_load(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_unload(struct lf_http *q, struct lf_diag *diag);
/* jobs.c */
enum lf_err lf_api_jobs(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_job(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_job_order(struct lf_http *q, struct lf_diag *diag);
/* trash.c */
enum lf_err lf_api_trash(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_trash_restore(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_trash_empty(struct lf_http *q, struct lf_diag *diag);

#endif
