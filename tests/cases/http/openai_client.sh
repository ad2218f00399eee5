# OpenAI's own client: completions and chats, in one piece and streamed, usage, stop strings,
# errors.
. "$TEST_LIB/http.sh"
need_module openai

# A copy of the embedded base with a chat template of its own.
cp -r "$BASE" "$WORK/chatty"
chmod -R u+w "$WORK/chatty"
cat >"$WORK/chatty/chat_template.jinja" <<'TEMPLATE'
{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}
TEMPLATE
BASE=$WORK/chatty
serve
train red red
await red '^ready v1$'
py openai_client.py
