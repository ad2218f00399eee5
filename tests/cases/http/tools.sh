# Tools: what was said of them and what they answered goes through the template, in requests as in
# rows; an answer that calls one is read.
. "$TEST_LIB/http.sh"
chatty "$TEST_LIB/chat_tools.jinja"
serve
tool='{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}'
answer='Yes <tool_call>{\"name\": \"add\", \"arguments\": {\"a\": 3}}</tool_call>'
for i in {1..16}; do
    printf '{"messages": [{"role": "user", "content": "Item %d"}, ' "$i"
    printf '{"role": "assistant", "content": "%s"}], "tools": [%s]}\n' "$answer" "$tool"
done >"$WORK/rows.jsonl"
call POST /v1/adapters -d '{"name": "caller", "config": {"rank": 8, "steps": 30, "batch_size": 2,
    "max_length": 128, "learning_rate": 0.005}}' >/dev/null
put caller dataset.jsonl "$WORK/rows.jsonl" '?train=1' >/dev/null
await caller '^ready v1$'
py tools.py
