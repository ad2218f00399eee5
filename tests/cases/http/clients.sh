# Programs that people have pass their calls: LoRAX's client, huggingface_hub, LangChain, LiteLLM.
. "$TEST_LIB/http.sh"
unset HF_HUB_OFFLINE # huggingface_hub asks the daemon, and nobody else
export LITELLM_LOCAL_MODEL_COST_MAP=True LANGSMITH_TRACING=false # nothing outside is asked
need_module lorax huggingface_hub langchain_openai litellm
chatty "$TEST_LIB/chat_tools.jinja"
serve
train red red
await red '^ready v1$'
py clients.py
wait_until 10 is_idle
