"""Log-probabilities, choices and biases of OpenAI's routes. URL: the daemon."""
import json

from asking import expect, post

PROMPT = "The old man"


def ask(path="/v1/completions", **body):
    return json.loads(post(path, **{"temperature": 0, **body}))


def stream(path="/v1/completions", **body):
    """The chunks of a streamed answer."""
    lines = post(path, **{"temperature": 0, "stream": True, **body}).split("\n\n")
    return [json.loads(l[6:]) for l in lines if l.startswith("data: {")]


def refused(path="/v1/completions", **body):
    return json.loads(post(path, 400, **{"temperature": 0, **body}))["error"]["message"]


def near(a, b, text):
    same = len(a) == len(b) and all(abs(x - y) < 2e-3 for x, y in zip(a, b))
    expect(same, f"{text}: {a} and {b}")


# What a completion's tokens were worth when they were made is what they are worth as a prompt.
ids = json.loads(post("/tokenize", **{"inputs": PROMPT}))
ids = [t["id"] for t in ids]
whole = ask(prompt=ids, max_tokens=8, logprobs=5, echo=True)
lp = whole["choices"][0]["logprobs"]
n = len(ids)
expect({len(v) for v in lp.values()} == {n + 8}, "lengths")
expect(lp["token_logprobs"][0] is None and lp["top_logprobs"][0] is None, "the first has no score")
expect("".join(lp["tokens"][1:]) == whole["choices"][0]["text"], "but for <|begin_of_text|>")
expect(whole["choices"][0]["text"].startswith(PROMPT), "echo")
for token, offset in list(zip(lp["tokens"], lp["text_offset"]))[1:]:
    expect(whole["choices"][0]["text"][offset:].startswith(token), f"{token!r} is at {offset}")
for token, worth, top in list(zip(lp["tokens"], lp["token_logprobs"], lp["top_logprobs"]))[1:]:
    expect(5 <= len(top) <= 6 and abs(top[token] - worth) < 1e-6, f"{token!r} in {top}")
    values = list(top.values())
    expect(sorted(values, reverse=True)[:5] == values[:5], f"order of {top}")
    expect(all(v <= 0 for v in top.values()), "log-probabilities")
for token, top in list(zip(lp["tokens"], lp["top_logprobs"]))[n:]:
    expect(max(top, key=top.get) == token, "a greedy token is the likeliest")
expect(list(whole["usage"].values())[:3] == [n, 8, n + 8], "usage")

plain = ask(prompt=ids, max_tokens=8, logprobs=0)["choices"][0]
near(plain["logprobs"]["token_logprobs"], lp["token_logprobs"][n:], "echo changes nothing")
expect(all(len(t) == 1 for t in plain["logprobs"]["top_logprobs"]), "logprobs 0: the token alone")

text = whole["choices"][0]["text"]
again = ask(prompt=text, max_tokens=0, logprobs=1, echo=True)
expect(again["choices"][0]["text"] == text, "read only")
expect(again["usage"]["completion_tokens"] == 0, "usage of none")
expect(again["choices"][0]["finish_reason"] == "length", "finish of none")
near(again["choices"][0]["logprobs"]["token_logprobs"][1:], lp["token_logprobs"][1:], "again")
empty = ask(prompt=text, max_tokens=0)
expect(empty["choices"][0]["text"] == "" and empty["choices"][0]["logprobs"] is None, "nothing")

# A prompt that is longer than a batch's head holds, in company
long = ask(prompt=[(ids * 200)[:700], ids], max_tokens=1, logprobs=1, echo=True)
expect(len(long["choices"][0]["logprobs"]["tokens"]) == 701, "a long prompt")
near(long["choices"][1]["logprobs"]["token_logprobs"][1:n], lp["token_logprobs"][1:n], "company")

# Streams say the same
chunks = stream(prompt=ids, max_tokens=8, logprobs=5, echo=True,
                stream_options={"include_usage": True})
parts = [c["choices"][0]["logprobs"] for c in chunks if c["choices"]]
for key in ("tokens", "text_offset"):
    expect(sum((p[key] for p in parts), []) == lp[key], f"streamed {key}")
near(sum((p["token_logprobs"] for p in parts), [])[1:], lp["token_logprobs"][1:], "streamed")
expect(chunks[-1]["usage"] == whole["usage"], "streamed usage") # a scored prompt is read in whole
chunks = stream(prompt=text, max_tokens=0, logprobs=1, echo=True)
expect(chunks[-1]["choices"][0]["finish_reason"] == "length", "a stream of none")
expect("".join(c["choices"][0]["text"] for c in chunks) == text, "its echo")

# Choices
one = ask(prompt=PROMPT, max_tokens=6, temperature=1, seed=5)["choices"][0]["text"]
many = ask(prompt=[PROMPT, "Item 3 is"], max_tokens=6, temperature=1, seed=5, n=3)
texts = [c["text"] for c in many["choices"]]
expect([c["index"] for c in many["choices"]] == list(range(6)), "indices")
expect(texts[0] == one and len(set(texts[:3])) > 1, f"choices {texts}")
expect(many["usage"]["completion_tokens"] == 36, "all choices count")
prompts = ask(prompt=[PROMPT, "Item 3 is"], max_tokens=1)["usage"]["prompt_tokens"]
expect(many["usage"]["prompt_tokens"] == prompts, "a prompt counts once")
streamed = [""] * 6
for c in stream(prompt=[PROMPT, "Item 3 is"], max_tokens=6, temperature=1, seed=5, n=3):
    for choice in c["choices"]:
        streamed[choice["index"]] += choice["text"]
expect(streamed == texts, f"streamed {streamed}, whole {texts}")

all8 = ask(prompt=PROMPT, max_tokens=6, temperature=1, seed=5, n=8, logprobs=0)["choices"]
mean = [sum(c["logprobs"]["token_logprobs"]) / len(c["logprobs"]["tokens"]) for c in all8]
best = ask(prompt=PROMPT, max_tokens=6, temperature=1, seed=5, n=2, best_of=8)
order = sorted(sorted(range(8), key=lambda i: -mean[i])[:2])
expect([c["text"] for c in best["choices"]] == [all8[i]["text"] for i in order], "best_of")
expect(best["usage"]["completion_tokens"] == 48, "best_of counts what it made")
refused(prompt=PROMPT, n=2, best_of=1)
refused(prompt=PROMPT, best_of=2, stream=True)
refused(prompt=[PROMPT] * 5, n=100)
refused(prompt=PROMPT, n=0)

# Biases: one id is all, one id is never
favoured = ask(prompt=PROMPT, max_tokens=3, logit_bias={str(ids[-1]): 100}, logprobs=1)
favoured = favoured["choices"][0]
expect(favoured["text"] == lp["tokens"][n - 1] * 3, "a bias")
expect(all(x < -1e-3 for x in favoured["logprobs"]["token_logprobs"]), "without the bias")
first = [t["id"] for t in json.loads(post("/tokenize", **{"inputs": plain["text"],
                                                       "add_special_tokens": False}))][0]
banned = ask(prompt=PROMPT, max_tokens=1, logit_bias={str(first): -100})["choices"][0]["text"]
expect(banned != lp["tokens"][n], "a banned token")
for bias in ({"x": 1}, {"99999999": 1}, {"-1": 1}, {"01": 1}, {"1": 101}, {"1": "a"}, [1], 3):
    expect("logit_bias" in refused(prompt=PROMPT, logit_bias=bias), "a bias is refused by name")

# Chats
chat = {"path": "/v1/chat/completions", "messages": [{"role": "user", "content": "Who are you?"}]}
c = ask(**chat, max_tokens=4, logprobs=True, top_logprobs=20, n=2)
expect(len(c["choices"]) == 2, "two choices of a chat")
tokens = c["choices"][0]["logprobs"]["content"]
expect(len(tokens) == 4 and all(len(t["top_logprobs"]) == 20 for t in tokens), "alternatives")
expect("".join(t["token"] for t in tokens) == c["choices"][0]["message"]["content"], "chat tokens")
for t in tokens:
    expect(t["top_logprobs"][0]["token"] == t["token"], "greedy")
    expect(t["bytes"] is None or bytes(t["bytes"]).decode() == t["token"], "bytes")
got = [""] * 2
for chunk in stream(**chat, max_tokens=4, n=2):
    for choice in chunk["choices"]:
        got[choice["index"]] += choice["delta"].get("content") or ""
expect(got == [x["message"]["content"] for x in c["choices"]], "chat choices streamed")
expect(ask(**chat, max_tokens=0)["choices"][0]["message"]["content"] == "", "a chat of none")
refused(**chat, top_logprobs=3)
refused(**chat, logprobs=True, top_logprobs=21)
refused(prompt=PROMPT, logprobs=21)
