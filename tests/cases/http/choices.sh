# What evaluation harnesses ask: scores of prompts, alternatives, several choices, biases.
. "$TEST_LIB/http.sh"
mkdir "$WORK/chatty"
ln -s "$BASE"/* "$WORK/chatty/"
printf '{%% for m in messages %%}{{ m.role }}: {{ m.content }}\n{%% endfor %%}assistant:' \
    >"$WORK/chatty/chat_template.jinja"
BASE=$WORK/chatty
serve --train-tokens 0
py choices.py
wait_until 10 is_idle
