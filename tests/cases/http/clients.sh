# Programs that people have pass their calls: LoRAX's client, huggingface_hub, LangChain, LiteLLM.
. "$TEST_LIB/http.sh"
unset HF_HUB_OFFLINE # huggingface_hub asks the daemon, and nobody else
export LITELLM_LOCAL_MODEL_COST_MAP=True LANGSMITH_TRACING=false # nothing outside is asked
need_module lorax huggingface_hub langchain_openai litellm
mkdir "$WORK/chatty"
ln -s "$BASE"/* "$WORK/chatty/"
cat >"$WORK/chatty/chat_template.jinja" <<'TEMPLATE'
{% if tools %}{{ tools | map(attribute="function.name") | join(" ") }}
{% endif %}
{% for m in messages %}{{ m.role }}:{% for c in m.tool_calls %}{{ c.function.name }}
{{- c.function.arguments | tojson }}{% endfor %}{{ m.content or "" }}{{ eos_token }}{% endfor %}
{% if add_generation_prompt %}assistant:{% endif %}
TEMPLATE
BASE=$WORK/chatty
serve
train red red
await red '^ready v1$'
py clients.py
wait_until 10 is_idle
