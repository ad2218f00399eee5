/* The table of routes. */
#include "daemon/api/api.h"

#include "core/limits.h"
#include "daemon/limits.h"

/* method, path, handler, ceiling of its body */
const struct lf_route lf_routes[] = {
    {LF_HTTP_GET, "/", lf_api_page, .open = true},
    {LF_HTTP_GET, "/health", lf_api_health, .open = true, .polled = true},
    {LF_HTTP_GET, "/openapi.json", lf_api_openapi, .open = true},
    {LF_HTTP_GET, "/metrics", lf_api_metrics, .polled = true},
    {LF_HTTP_GET, "/v1/models", lf_api_models},
    {LF_HTTP_GET, "/v1/models/{name}", lf_api_model},
    {LF_HTTP_POST, "/v1/completions", lf_api_completions, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, "/v1/chat/completions", lf_api_chat_completions, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, "/", lf_api_lorax_root, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, "/generate", lf_api_lorax_generate, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, "/generate_stream", lf_api_lorax_generate_stream, LF_HTTP_BODY_MAX},
    {LF_HTTP_GET, "/info", lf_api_lorax_info},
    {LF_HTTP_POST, "/tokenize", lf_api_tokenize, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, "/detokenize", lf_api_detokenize, LF_HTTP_BODY_MAX},
    {LF_HTTP_GET, "/version", lf_api_version, .open = true},
    {LF_HTTP_GET, "/ping", lf_api_health, .open = true},
    {LF_HTTP_POST, "/ping", lf_api_health, .open = true},
    {LF_HTTP_POST, "/v1/load_lora_adapter", lf_api_load, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, "/v1/unload_lora_adapter", lf_api_unload, LF_HTTP_BODY_MAX},
    {LF_HTTP_GET, "/v1/bases", lf_api_bases},
    {LF_HTTP_GET, "/v1/bases/{name}", lf_api_base},
    {LF_HTTP_GET, "/v1/bases/{name}/files/{path*}", lf_api_base_file},
    {LF_HTTP_GET, "/v1/tree", lf_api_tree, .polled = true},
    {LF_HTTP_GET, "/v1/adapters", lf_api_adapters},
    {LF_HTTP_POST, "/v1/adapters", lf_api_adapter_create, LF_HTTP_BODY_MAX},
    {LF_HTTP_GET, "/v1/adapters/{name}", lf_api_adapter},
    {LF_HTTP_DELETE, "/v1/adapters/{name}", lf_api_adapter_remove},
    {LF_HTTP_POST, "/v1/adapters/{name}/rename", lf_api_adapter_rename, LF_HTTP_BODY_MAX},
    {LF_HTTP_POST, "/v1/adapters/{name}/ctl", lf_api_adapter_ctl, LF_CTL_BYTES_MAX},
    {LF_HTTP_POST, "/v1/adapters/{name}/generate", lf_api_generate_text, LF_PROMPT_BYTES_MAX},
    {LF_HTTP_GET, "/v1/adapters/{name}/files/{path*}", lf_api_file_read, .polled = true},
    {LF_HTTP_PUT, "/v1/adapters/{name}/files/{path*}", lf_api_file_write, .sink = &lf_api_upload,
     .file = true},
    {LF_HTTP_DELETE, "/v1/adapters/{name}/files/{path*}", lf_api_file_remove},
    {LF_HTTP_GET, "/v1/jobs", lf_api_jobs, .polled = true},
    {LF_HTTP_GET, "/v1/jobs/{id}", lf_api_job},
    {LF_HTTP_POST, "/v1/jobs/{id}/cancel", lf_api_job_order},
    {LF_HTTP_POST, "/v1/jobs/{id}/pause", lf_api_job_order},
    {LF_HTTP_POST, "/v1/jobs/{id}/resume", lf_api_job_order},
    {LF_HTTP_POST, "/v1/jobs/{id}/finish", lf_api_job_order},
    {LF_HTTP_POST, "/v1/jobs/{id}/retry", lf_api_job_order},
};

const size_t lf_routes_n = sizeof lf_routes / sizeof *lf_routes;
