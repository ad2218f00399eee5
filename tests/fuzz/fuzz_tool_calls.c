/* LIBS: lf_text lf_core */
/* Any answer of a model, in which calls of tools are looked for: what is content whatever follows
 * lies in front of the calls. */
#include "text/tool_calls.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *tools = json_pack("[{s:s, s:{s:s, s:{}}}]", "type", "function", "function", "name",
                              "weather", "parameters");
    json_t *calls = NULL, *call;
    size_t content = n, i;
    enum lf_err rc = lf_tool_calls_find(&calls, &content, (const char *)data, n, tools);
    lf_assert(rc == LF_OK && content <= n);
    json_array_foreach(calls, i, call)
        lf_assert(json_is_string(json_object_get(call, "name")) &&
                  json_is_object(json_object_get(call, "arguments")));
    for (size_t k = 0; k <= n; k += 1 + n / 8) {
        lf_assert(lf_tool_calls_settled((const char *)data, k, false) <= k);
        if (calls)
            lf_assert(lf_tool_calls_settled((const char *)data, k, false) <= content);
    }
    json_decref(calls);
    json_decref(tools);
    return 0;
}
