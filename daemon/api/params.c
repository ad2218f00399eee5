/* The members of requests: those that are read, those that change nothing, those that are refused.
 * Taken from the references of OpenAI, vLLM, SGLang, llama.cpp's server, LoRAX and TGI. */
#include "daemon/api/params.h"

#include "daemon/api/sampling.h"

#include "core/nearest.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_N 128 /* of one list and the sampling parameters together */

/* What completions and chats have in common. */
static const struct lf_param openai[] = {
    {"model", NULL},
    {"max_tokens", NULL},
    {"n", NULL},
    {"best_of", NULL},
    {"stream", NULL},
    {"stream_options", NULL},
    {"stop", NULL},
    {"logprobs", NULL},
    {"ignore_eos", NULL},
    {"ignore_eos_token", NULL},
    /* Who asks, how the answer is kept and billed, and how soon it comes */
    {"user", "*"},
    {"metadata", "*"},
    {"store", "*"},
    {"service_tier", "*"},
    {"safety_identifier", "*"},
    {"prompt_cache_key", "*"},
    {"prompt_cache_retention", "*"},
    {"cache_prompt", "*"},
    {"cache_salt", "*"},
    {"request_id", "*"},
    {"rid", "*"},
    {"priority", "0"},
    /* Which tokens there may be, and how they are chosen */
    {"logit_bias", ""},
    {"allowed_token_ids", ""},
    {"bad_words", ""},
    {"logits_processors", ""},
    {"grammar", ""},
    {"json_schema", ""},
    {"structured_outputs", ""},
    {"guided_json", ""},
    {"guided_regex", ""},
    {"guided_choice", ""},
    {"guided_grammar", ""},
    {"guided_decoding_backend", ""},
    {"guided_whitespace_pattern", ""},
    {"regex", ""},
    {"ebnf", ""},
    {"response_format", "{\"type\":\"text\"}"},
    {"use_beam_search", "false"},
    {"length_penalty", "1 1.0"},
    {"early_stopping", "false"},
    {"typical_p", "1 1.0"},
    /* Where it ends */
    {"min_tokens", "0"},
    {"stop_token_ids", ""},
    {"stop_regex", ""},
    {"include_stop_str_in_output", "false"},
    {"no_stop_trim", "false"},
    /* How it is written */
    {"skip_special_tokens", "true"},
    {"spaces_between_special_tokens", "true false"},
    {"detokenize", "true"},
    {"return_tokens_as_token_ids", "false"},
    {"return_token_ids", "false"},
    {"truncate_prompt_tokens", ""},
    {"prompt_logprobs", ""},
    {"kv_transfer_params", ""},
    {"vllm_xargs", ""},
    /* Other servers' ways to name an adapter; here as in OpenAI's it is "model" */
    {"adapter_id", ""},
    {"adapter_source", ""},
    {"api_token", ""},
    {"merged_adapters", ""},
    {"lora_path", ""},
    {NULL, NULL},
};

static const struct lf_param completion[] = {
    {"prompt", NULL}, {"echo", NULL}, {"add_special_tokens", "true"}, {"suffix", ""}, {NULL, NULL},
};

static const struct lf_param chat[] = {
    {"messages", NULL},
    {"max_completion_tokens", NULL},
    {"top_logprobs", NULL},
    {"chat_template_kwargs", NULL},
    {"tools", ""},
    {"tool_choice", "\"none\" \"auto\""},
    {"parallel_tool_calls", "*"}, /* without tools */
    {"functions", ""},
    {"function_call", "\"none\" \"auto\""},
    {"modalities", "[\"text\"]"},
    {"audio", ""},
    {"prediction", "*"}, /* makes an answer quicker, not another one */
    {"web_search_options", ""},
    {"reasoning_effort", ""},
    {"include_reasoning", "true"},
    {"separate_reasoning", "true"},
    {"verbosity", "\"medium\""},
    {"echo", "false"},
    {"add_special_tokens", "false"},
    {"add_generation_prompt", "true"},
    {"continue_final_message", "false"},
    {"chat_template", ""},
    {"documents", ""},
    {"mm_processor_kwargs", ""},
    {NULL, NULL},
};

static const struct lf_param stream_options[] = {
    {"include_usage", NULL},
    {"include_obfuscation", "*"}, /* padding against who measures packets */
    {"continuous_usage_stats", "false"},
    {NULL, NULL},
};

static const struct lf_param lorax_body[] = {
    {"inputs", NULL}, {"parameters", NULL},
    {"stream", NULL}, {"model", "*"}, /* huggingface_hub's: which server it has asked */
    {"options", "*"},                 /* whether that one waits, and may answer from its cache */
    {NULL, NULL},
};

/* A query's, of the mount's route. */
static const struct lf_param mount[] = {
    {"max_tokens", NULL},
    {"stop", NULL},
    {"ignore_eos", NULL},
    {NULL, NULL},
};

static const struct lf_param lorax[] = {
    {"adapter_id", NULL},
    {"adapter_source", "*"}, /* adapters are known by their names, wherever they are from */
    {"api_token", "*"},
    {"max_new_tokens", NULL},
    {"do_sample", NULL},
    {"ignore_eos_token", NULL},
    {"return_full_text", NULL},
    {"details", NULL},
    {"stop", NULL},
    {"best_of", "1"},
    {"typical_p", "1 1.0"},
    {"top_n_tokens", "0"},
    {"return_k_alternatives", "0"},
    {"watermark", "false"},
    {"decoder_input_details", "false"},
    {"apply_chat_template", "false"},
    {"truncate", ""},
    {"merged_adapters", ""},
    {"response_format", ""},
    {"grammar", ""},
    {"schema", ""},
    {NULL, NULL},
};

const struct lf_params lf_params_completion = {completion, openai, true};
const struct lf_params lf_params_chat = {chat, openai, true};
const struct lf_params lf_params_stream_options = {stream_options, NULL, false};
const struct lf_params lf_params_lorax_body = {lorax_body, NULL, false};
const struct lf_params lf_params_lorax = {lorax, NULL, true};
const struct lf_params lf_params_text = {mount, NULL, true};

/* An empty list, object or string asks for nothing. */
static bool is_nothing(const json_t *v)
{
    return (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_string(v) && json_string_length(v) == 0);
}

/* One of the blank-separated values. */
static bool is_one_of(const json_t *v, const char *values)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t n = text ? strlen(text) : 0;
    bool found = false;
    while (n > 0 && *values && !found) {
        size_t len = strcspn(values, " ");
        found = len == n && memcmp(values, text, n) == 0;
        values += len + strspn(values + len, " ");
    }
    free(text);
    return found;
}

static const struct lf_param *row_find(const struct lf_param *rows, const char *key)
{
    while (rows && rows->key && strcmp(rows->key, key) != 0)
        rows++;
    return rows && rows->key ? rows : NULL;
}

static bool is_sampling(const char *key)
{
    const struct lf_sampling_param *p = lf_sampling_params;
    while (p->key && strcmp(p->key, key) != 0)
        p++;
    return p->key || strcmp(key, "seed") == 0;
}

static size_t add_read(const char **names, size_t n, const struct lf_param *rows)
{
    for (; rows && rows->key && n < NAMES_N; rows++)
        if (!rows->idle)
            names[n++] = rows->key;
    return n;
}

/* The names that do something; a NULL after them. */
static void names_of(const char *names[NAMES_N + 1], const struct lf_params *list)
{
    size_t n = add_read(names, add_read(names, 0, list->own), list->common);
    for (const struct lf_sampling_param *p = lf_sampling_params; list->sampling && p->key; p++)
        if (n < NAMES_N)
            names[n++] = p->key;
    if (list->sampling && n < NAMES_N)
        names[n++] = "seed";
    names[n] = NULL;
}

enum lf_err lf_params_check(const json_t *obj, const struct lf_params *list, struct lf_diag *diag)
{
    const char *key, *names[NAMES_N + 1];
    json_t *v;
    names_of(names, list);
    json_object_foreach((json_t *)(uintptr_t)obj, key, v) {
        if (json_is_null(v) || (list->sampling && is_sampling(key)))
            continue;
        const struct lf_param *p = row_find(list->own, key) ?: row_find(list->common, key);
        if (!p)
            return lf_fail_unknown(diag, "parameter", key, names);
        if (!p->idle || strcmp(p->idle, "*") == 0 || is_nothing(v) || is_one_of(v, p->idle))
            continue;
        return *p->idle ? lf_fail(diag, LF_E_UNSUPPORTED, "\"%s\" other than %s is not done here",
                                  key, p->idle)
                        : lf_fail(diag, LF_E_UNSUPPORTED, "\"%s\" is not done here", key);
    }
    return LF_OK;
}

enum lf_err lf_params_check_query(struct lf_http *q, const struct lf_params *list,
                                  struct lf_diag *diag)
{
    const char *names[NAMES_N + 1];
    names_of(names, list);
    return lf_http_query_only(q, names, diag);
}
