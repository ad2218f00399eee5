/* The routes of docs/http.md, one function each; api/routes.c is their table. */
#ifndef LF_DAEMON_API_H
#define LF_DAEMON_API_H

#include "daemon/http/http.h"

extern const struct lf_route lf_routes[];
extern const size_t lf_routes_n;

/* system.c */
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
/* files.c */
enum lf_err lf_api_file_read(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_file_write(struct lf_http *q, struct lf_diag *diag);
enum lf_err lf_api_file_remove(struct lf_http *q, struct lf_diag *diag);

#endif
