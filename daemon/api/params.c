/* The members of requests: those that are read, those that change nothing, those that are refused.
 * Taken from the references of OpenAI, vLLM, SGLang, llama.cpp's server, LoRAX and TGI. */
#include "daemon/api/params.h"

#include "daemon/api/form.h"
#include "daemon/api/sampling.h"

#include "core/nearest.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_N 128 /* of one list and the sampling parameters together */
#define KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What completions and chats have in common. */
static const struct lf_param openai[] = {
    {NULL, KEYS("model", "max_tokens", "n", "best_of", "stream", "stream_options", "stop",
                "logprobs", "logit_bias", "ignore_eos", "ignore_eos_token", "priority",
                "deadline_ms", "merged_adapters", LF_FORM_NAMES)},
    /* Who asks, how the answer is kept and billed, and how soon it comes */
    {"*", KEYS("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
               "prompt_cache_retention", "cache_prompt", "cache_salt", "request_id", "rid")},
    {"0", KEYS("min_tokens")},
    {"false", KEYS("use_beam_search", "early_stopping", "include_stop_str_in_output",
                   "no_stop_trim", "return_tokens_as_token_ids", "return_token_ids")},
    {"1 1.0", KEYS("length_penalty", "typical_p")},
    {"true", KEYS("skip_special_tokens", "detokenize")},
    {"true false", KEYS("spaces_between_special_tokens")},
    {"*", KEYS("guided_decoding_backend")},
    {"", KEYS("allowed_token_ids", "bad_words", "logits_processors", "guided_whitespace_pattern",
              "stop_token_ids", "stop_regex", "truncate_prompt_tokens", "prompt_logprobs",
              "kv_transfer_params", "vllm_xargs")},
    /* Other servers' ways to name an adapter; here as in OpenAI's it is "model" */
    {"", KEYS("adapter_id", "adapter_source", "api_token", "lora_path")},
    {0},
};

static const struct lf_param completion[] = {
    {NULL, KEYS("prompt", "echo")},
    {"true", KEYS("add_special_tokens")},
    {"", KEYS("suffix")},
    {0},
};

static const struct lf_param chat[] = {
    {NULL, KEYS("messages", "max_completion_tokens", "top_logprobs", "chat_template_kwargs",
                "tools", "tool_choice", "parallel_tool_calls")},
    {"*", KEYS("prediction")}, /* makes an answer quicker, not another one */
    {"\"none\" \"auto\"", KEYS("function_call")},
    {"[\"text\"]", KEYS("modalities")},
    {"true", KEYS("include_reasoning", "separate_reasoning", "add_generation_prompt")},
    {"\"medium\"", KEYS("verbosity")},
    {"false", KEYS("echo", "add_special_tokens", "continue_final_message")},
    {"", KEYS("functions", "audio", "web_search_options", "reasoning_effort", "chat_template",
              "documents", "mm_processor_kwargs")},
    {0},
};

static const struct lf_param stream_options[] = {
    {NULL, KEYS("include_usage")},
    {"*", KEYS("include_obfuscation")}, /* padding against who measures packets */
    {"false", KEYS("continuous_usage_stats")},
    {0},
};

static const struct lf_param lorax_body[] = {
    {NULL, KEYS("inputs", "parameters", "stream")},
    {"*", KEYS("model", "options")}, /* huggingface_hub's, for the server in front of models */
    {0},
};

/* A query's, of the mount's route. */
static const struct lf_param mount[] = {
    {NULL, KEYS("max_tokens", "stop", "ignore_eos", "chat")},
    {0},
};

static const struct lf_param lorax[] = {
    {NULL,
     KEYS("adapter_id", "merged_adapters", "max_new_tokens", "do_sample", "ignore_eos_token",
          "return_full_text", "details", "stop", "top_n_tokens", "return_k_alternatives",
          "decoder_input_details", "best_of", "priority", "deadline_ms", LF_FORM_NAMES_LORAX)},
    {"*", KEYS("adapter_source", "api_token")}, /* adapters are known by their names alone */
    {"1 1.0", KEYS("typical_p")},
    {"false", KEYS("watermark", "apply_chat_template")},
    {"", KEYS("truncate")},
    {0},
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
    for (; rows && rows->keys; rows++)
        for (const char *const *k = rows->keys; *k; k++)
            if (strcmp(*k, key) == 0)
                return rows;
    return NULL;
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
    for (; rows && rows->keys; rows++)
        for (const char *const *k = rows->keys; *k && !rows->idle && n < NAMES_N; k++)
            names[n++] = *k;
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
