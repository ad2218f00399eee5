# OpenAI's own client: completions and chats, in one piece and streamed, usage, stop strings,
# errors.
. "$TEST_LIB/http.sh"
need_module openai

chatty
serve
train red red
await red '^ready v1$'
py openai_client.py
