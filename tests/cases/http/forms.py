"""Answers in a form. URL: the daemon; its base answers anything, adapter `label` was scored on the
answers "red" and "dark blue"."""
import json
import re
from concurrent.futures import ThreadPoolExecutor

from asking import ask, expect, post


def complete(**body):
    body = {"model": "", "prompt": "The answer is", "max_tokens": 300, "temperature": 0.8, **body}
    choice = json.loads(post("/v1/completions", **body))["choices"][0]
    return choice["text"], choice["finish_reason"]


def streamed(**body):
    body = {"model": "", "prompt": "The answer is", "max_tokens": 300, "stream": True, **body}
    events = post("/v1/completions", **body).split("\n\n")
    return "".join(c["text"] for e in events if e.startswith("data: {")
                   for c in json.loads(e[6:])["choices"])


SCHEMA = {"type": "object", "properties": {
    "colour": {"enum": ["red", "green"]}, "size": {"type": "integer", "minimum": 1, "maximum": 99},
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 6}, "maxItems": 3}},
    "required": ["colour", "size", "tags"], "additionalProperties": False}


def check_schema(text):
    v = json.loads(text)
    expect(list(v) == ["colour", "size", "tags"] and v["colour"] in ("red", "green"), text)
    expect(1 <= v["size"] <= 99, text)
    expect(all(len(t) <= 6 for t in v["tags"]) and len(v["tags"]) < 4, text)


json_schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
for body in ({"response_format": json_schema}, {"guided_json": SCHEMA},
             {"guided_json": json.dumps(SCHEMA)}, {"structured_outputs": {"json": SCHEMA}},
             {"json_schema": SCHEMA}, {"grammar": {"type": "json", "value": SCHEMA}},
             {"response_format": {"type": "json_object", "schema": SCHEMA}}):
    for seed in range(3):
        text, finish = complete(seed=seed, **body)
        expect(finish == "stop", f"{finish} {text}")
        check_schema(text)
check_schema(complete(temperature=0, repetition_penalty=1.2, logit_bias={"300": 5},
                      guided_json=SCHEMA)[0])
check_schema(streamed(guided_json=SCHEMA))
chat = json.loads(post("/v1/chat/completions", model="", max_tokens=300,
                       response_format=json_schema, messages=[{"role": "user", "content": "Hi"}]))
check_schema(chat["choices"][0]["message"]["content"])

# What each of many gets does not depend on the others: greedy answers, alone and all at once.
forms = [{"guided_json": SCHEMA}, {"guided_regex": "[a-z]{4,9}"}, {}, {"choices": ["no", "yes"]},
         {"repetition_penalty": 1.3}, {"grammar": "root ::= [0-9]+ \".\""}]
alone = [complete(temperature=0, max_tokens=40, **f) for f in forms]
with ThreadPoolExecutor(24) as pool:
    jobs = [pool.submit(complete, temperature=0, max_tokens=40, **f) for f in forms * 4]
    together = [j.result() for j in jobs]
expect(together == alone * 4, f"{together} {alone}")

text, finish = complete(response_format={"type": "json_object"}, max_tokens=60, seed=3)
expect(text[0] == "{" and (finish == "length" or isinstance(json.loads(text), dict)), text)
for body in ({"guided_regex": "(ab|cd)+\\d"}, {"regex": "(ab|cd)+\\d"},
             {"structured_outputs": {"regex": "(ab|cd)+\\d"}}):
    text, finish = complete(**body)
    expect(finish == "length" or re.fullmatch("(ab|cd)+\\d", text), text)
for body in ({"guided_choice": ["yes", "no way"]}, {"choices": ["yes", "no way"]},
             {"structured_outputs": {"choice": ["yes", "no way"]}},
             {"ebnf": 'root ::= "yes" | "no" " way"'}):
    text, finish = complete(**body)
    expect(text in ("yes", "no way") and finish == "stop", f"{text} {finish}")
text, finish = complete(model="label", choices="labels")
expect(text.strip() in ("red", "dark blue") and finish == "stop", f"labels: {text!r} {finish}")

# LoRAX
def lorax(**parameters):
    body = {"inputs": "The answer is", "parameters": {"max_new_tokens": 300, **parameters}}
    return json.loads(post("/generate", **body))["generated_text"]


check_schema(lorax(response_format={"type": "json_object", "schema": SCHEMA}))
check_schema(lorax(schema=json.dumps(SCHEMA)))
check_schema(lorax(grammar={"type": "json", "value": SCHEMA}))
expect(lorax(adapter_id="label", choices="labels").strip() in ("red", "dark blue"), "labels")


# Neither priority nor a deadline that is far away changes an answer; a near one ends it
text = complete(temperature=0, max_tokens=20)
expect(complete(temperature=0, max_tokens=20, priority=-3, deadline_ms=60000) == text, "priority")
expect("deadline" in post("/v1/completions", 504, model="", prompt="x", max_tokens=1900,
                          ignore_eos=True, deadline_ms=50), "a deadline")
expect("deadline" in post("/generate", 504, inputs="x", parameters={
    "max_new_tokens": 1900, "ignore_eos_token": True, "deadline_ms": 50}), "LoRAX's deadline")
for ms in (50, 100, 200, 400, 800, 1600):  # until a stream begins before it; without, it is 504
    status, text = ask("/v1/completions", model="", prompt="x", max_tokens=1900, ignore_eos=True,
                       deadline_ms=ms, stream=True)
    if status == 200:
        break
expect(status == 200 and "timed_out" in text, f"a stream's deadline: {status} {text[-200:]}")

# What is refused is named
def refused(word, **body):
    text = post("/v1/completions", 400, model="", prompt="x", **body)
    expect(word in text, f"{text} does not say {word}")


refused("uniqueItems", guided_json={"type": "array", "uniqueItems": True})
refused("looking around", guided_regex="a(?=b)")
refused("line 2", grammar="root ::= (\n")
refused("exclude each other", guided_regex="a", ignore_eos=True)
refused("both say", guided_regex="a", guided_choice=["a"])
refused("json_schema", response_format={"type": "xml"})
refused("no text", guided_choice=[[]])
refused("was not scored", choices="labels")
refused("guided_whitespace_pattern", guided_json=SCHEMA, guided_whitespace_pattern=" ?")


# Calls that are required, of any tool or of one
def tool(name, **properties):
    return {"type": "function", "function": {"name": name, "parameters": {
        "type": "object", "properties": properties, "required": list(properties)}}}


TOOLS = [tool("add", a={"type": "integer"}, b={"type": "integer"}),
         tool("paint", colour={"enum": ["red", "blue"]})]


def called(choice, **body):
    r = json.loads(post("/v1/chat/completions", model="", max_tokens=400, tools=TOOLS,
                        tool_choice=choice, messages=[{"role": "user", "content": "Hi"}], **body))
    c = r["choices"][0]
    expect(c["finish_reason"] == "tool_calls", c)
    return [(t["function"]["name"], json.loads(t["function"]["arguments"]))
            for t in c["message"]["tool_calls"]]


for seed in range(4):
    for name, arguments in called("required", seed=seed):
        expect(name in ("add", "paint") and arguments, f"{name} {arguments}")
[(name, arguments)] = called({"type": "function", "function": {"name": "paint"}},
                             parallel_tool_calls=False)
expect(name == "paint" and arguments["colour"] in ("red", "blue"), f"{name} {arguments}")
for choice, word in ((({"type": "function", "function": {"name": "x"}}), "no tool"),
                     ("always", "required")):
    text = post("/v1/chat/completions", 400, model="", tools=TOOLS, tool_choice=choice,
                messages=[{"role": "user", "content": "Hi"}])
    expect(word in text, text)
