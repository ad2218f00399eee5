"""Tools of chats. URL: the daemon; adapter `caller` answers with a call of `add`."""
import json

from asking import expect, post

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
USER = {"role": "user", "content": "Item 3"}


def ask(status=200, **body):
    body = {"model": "caller", "max_tokens": 60, "temperature": 0, "messages": [USER], **body}
    return post("/v1/chat/completions", status, **body)


def check_calls(message, finish):
    calls = message.get("tool_calls")
    expect(calls, f"no call: {message}")
    expect(message["content"] == "Yes" and finish == "tool_calls", f"{message} {finish}")
    expect(len(calls) == 1 and calls[0]["type"] == "function" and calls[0]["id"], calls)
    expect(calls[0]["function"]["name"] == "add", calls)
    expect(json.loads(calls[0]["function"]["arguments"]) == {"a": 3}, calls)


whole = json.loads(ask(tools=[TOOL]))["choices"][0]
check_calls(whole["message"], whole["finish_reason"])

message, finish = {"content": "", "tool_calls": []}, None
for line in ask(tools=[TOOL], stream=True).split("\n\n"):
    if line.startswith("data: {"):
        choice = json.loads(line[6:])["choices"][0]
        message["content"] += choice["delta"].get("content") or ""
        message["tool_calls"] += choice["delta"].get("tool_calls", [])
        finish = choice["finish_reason"] or finish
expect([c.pop("index") for c in message["tool_calls"]] == [0], message)
check_calls(message, finish)

# Not asked to call, or another tool alone: the text as it is
for body in ({"tools": [TOOL], "tool_choice": "none"}, {}, {"tools": []},
             {"tools": [{"type": "function", "function": {"name": "other"}}]}):
    message = json.loads(ask(**body))["choices"][0]["message"]
    expect("tool_calls" not in message, f"{body}: {message}")
    expect(message["content"], f"{body}: {message}")


# What the model reads of a history is what rows of the same turns teach
def prompt_tokens(*messages, **body):
    return json.loads(ask(messages=messages, max_tokens=1, **body))["usage"]["prompt_tokens"]


call = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 3}"}}]}
answer = {"role": "tool", "tool_call_id": "1", "content": "4"}
opened = json.loads(json.dumps(call))
opened["tool_calls"][0]["function"]["arguments"] = {"a": 3}
n = prompt_tokens(USER, call, answer, USER)
expect(n == prompt_tokens(USER, opened, answer, USER), "arguments are the object that they spell")
expect(n > prompt_tokens(USER, answer, USER) > prompt_tokens(USER), "turns are read")
expect(prompt_tokens(USER, tools=[TOOL]) > prompt_tokens(USER), "tools are read")
del opened["content"]
prompt_tokens(USER, opened, answer)

for body in ({"tool_choice": "always"}, {"tools": "x"}, {"tools": {"a": 1}}, {"tools": [1]},
             {"tools": [{"type": "function", "function": {}}]}, {"functions": [{"name": "add"}]},
             {"function_call": {"name": "add"}},
             {"chat_template_kwargs": {"add_generation_prompt": False}},
             {"messages": [USER, {"role": "assistant", "content": "", "function_call": {}}, USER]},
             {"messages": [USER, {"role": "function", "name": "f", "content": "3"}]},
             {"messages": [USER, {"role": "assistant", "content": "S", "prefix": True}]},
             {"messages": [{"role": "user", "content": True}]},
             {"tool_choice": {"type": "function", "function": {"name": "other"}}},
             {"messages": [{"role": "assistant", "content": None}]}):
    text = ask(400, **{"tools": [TOOL], **body})
    name = next(iter(body))
    expect(any(word in text for word in (name, "message ", "add_generation_prompt")), text)
