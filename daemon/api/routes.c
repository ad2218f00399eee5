/* The table of routes. */
#include "daemon/api/api.h"

#include "core/limits.h"
#include "daemon/limits.h"

/* method, role, path, handler, ceiling of its body */
const struct lf_route lf_routes[] = {
    {LF_HTTP_GET, LF_ROLE_OPEN, "/", lf_api_page},
    {LF_HTTP_GET, LF_ROLE_OPEN, "/health", lf_api_health, .polled = true},
    {LF_HTTP_GET, LF_ROLE_OPEN, "/openapi.json", lf_api_openapi},
    {LF_HTTP_GET, LF_ROLE_GENERATE, "/metrics", lf_api_metrics, .polled = true},
    {LF_HTTP_GET, LF_ROLE_GENERATE, "/v1/models", lf_api_models},
    {LF_HTTP_GET, LF_ROLE_GENERATE, "/v1/models/{name}", lf_api_model},
    {LF_HTTP_POST, LF_ROLE_GENERATE, "/v1/completions", lf_api_completions, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, LF_ROLE_GENERATE, "/v1/chat/completions", lf_api_chat_completions,
     LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, LF_ROLE_GENERATE, "/", lf_api_lorax_root, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, LF_ROLE_GENERATE, "/generate", lf_api_lorax_generate, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, LF_ROLE_GENERATE, "/generate_stream", lf_api_lorax_generate_stream,
     LF_HTTP_BODY_MAX},
    {LF_HTTP_GET, LF_ROLE_GENERATE, "/info", lf_api_lorax_info},
    {LF_HTTP_POST, LF_ROLE_GENERATE, "/tokenize", lf_api_tokenize, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, LF_ROLE_GENERATE, "/detokenize", lf_api_detokenize, LF_HTTP_BODY_MAX},
    {LF_HTTP_GET, LF_ROLE_OPEN, "/version", lf_api_version},
    {LF_HTTP_GET, LF_ROLE_OPEN, "/ping", lf_api_health},
    {LF_HTTP_POST, LF_ROLE_OPEN, "/ping", lf_api_health},
    {LF_HTTP_POST, LF_ROLE_ADMIN, "/v1/load_lora_adapter", lf_api_load, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, LF_ROLE_ADMIN, "/v1/unload_lora_adapter", lf_api_unload, LF_HTTP_BODY_MAX},
    {LF_HTTP_GET, LF_ROLE_GENERATE, "/v1/bases", lf_api_bases},
    {LF_HTTP_GET, LF_ROLE_GENERATE, "/v1/bases/{name}", lf_api_base},
    {LF_HTTP_GET, LF_ROLE_GENERATE, "/v1/bases/{name}/files/{path*}", lf_api_base_file},
    {LF_HTTP_GET, LF_ROLE_TRAIN, "/v1/tree", lf_api_tree, .polled = true},
    {LF_HTTP_GET, LF_ROLE_TRAIN, "/v1/adapters", lf_api_adapters},
    {LF_HTTP_POST, LF_ROLE_TRAIN, "/v1/adapters", lf_api_adapter_create, LF_HTTP_BODY_MAX},
    {LF_HTTP_GET, LF_ROLE_TRAIN, "/v1/adapters/{name}", lf_api_adapter},
    {LF_HTTP_DELETE, LF_ROLE_TRAIN, "/v1/adapters/{name}", lf_api_adapter_remove},
    {LF_HTTP_POST, LF_ROLE_TRAIN, "/v1/adapters/{name}/rename", lf_api_adapter_rename,
     LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, LF_ROLE_TRAIN, "/v1/adapters/{name}/ctl", lf_api_adapter_ctl, LF_CTL_BYTES_MAX},
    {LF_HTTP_POST, LF_ROLE_GENERATE, "/v1/adapters/{name}/generate", lf_api_generate_text,
     LF_PROMPT_BYTES_MAX},
    {LF_HTTP_GET, LF_ROLE_TRAIN, "/v1/adapters/{name}/files/{path*}", lf_api_file_read,
     .polled = true},
    {LF_HTTP_PUT, LF_ROLE_TRAIN, "/v1/adapters/{name}/files/{path*}", lf_api_file_write,
     .sink = &lf_api_upload, .file = true},
    {LF_HTTP_DELETE, LF_ROLE_TRAIN, "/v1/adapters/{name}/files/{path*}", lf_api_file_remove},
    {LF_HTTP_GET, LF_ROLE_TRAIN, "/v1/jobs", lf_api_jobs, .polled = true},
    {LF_HTTP_GET, LF_ROLE_TRAIN, "/v1/jobs/{id}", lf_api_job},
    {LF_HTTP_POST, LF_ROLE_TRAIN, "/v1/jobs/{id}/cancel", lf_api_job_order},
    {LF_HTTP_POST, LF_ROLE_TRAIN, "/v1/jobs/{id}/pause", lf_api_job_order},
    {LF_HTTP_POST, LF_ROLE_TRAIN, "/v1/jobs/{id}/resume", lf_api_job_order},
    {LF_HTTP_POST, LF_ROLE_TRAIN, "/v1/jobs/{id}/finish", lf_api_job_order},
    {LF_HTTP_POST, LF_ROLE_TRAIN, "/v1/jobs/{id}/retry", lf_api_job_order},
};

const size_t lf_routes_n = sizeof lf_routes / sizeof *lf_routes;
