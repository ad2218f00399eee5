# What evaluation harnesses ask: scores of prompts, alternatives, several choices, biases.
. "$TEST_LIB/http.sh"
chatty
serve --train-tokens 0
py choices.py
wait_until 10 is_idle
