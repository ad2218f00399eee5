"""What a program that speaks OpenAI's API sees. URL: the daemon; adapter `red` answers " red"."""
import os

import openai
from asking import expect

client = openai.OpenAI(base_url=os.environ["URL"] + "/v1", api_key="none", max_retries=0)


names = [m.id for m in client.models.list()]
expect(names == ["chatty", "red"], f"models: {names}")
for name in ("red", "red/1", "chatty"):
    expect(client.models.retrieve(name).id == name, f"retrieve {name}")

# In one piece
r = client.completions.create(model="red", prompt="Item 3 is", max_tokens=4, temperature=0)
expect("red" in r.choices[0].text, f"red says {r.choices[0].text!r}")
expect(r.usage.total_tokens == r.usage.prompt_tokens + r.usage.completion_tokens, "usage")
base = client.completions.create(model="", prompt="Item 3 is", max_tokens=8, temperature=0)
expect("red" not in base.choices[0].text and base.model == "chatty", "the base by \"\"")
expect(base.choices[0].finish_reason == "length" and base.usage.completion_tokens == 8, "length")

# What was read before is not read again; an adapter's is not the base's
long = "The old man and the sea, " * 12 + "and"
answers = [client.completions.create(model=m, prompt=long, max_tokens=6, temperature=0)
           for m in ("", "red", "", "red")]
cached = [a.usage.prompt_tokens_details.cached_tokens for a in answers]
n = answers[0].usage.prompt_tokens
expect(n > 32 and cached == [0, 0, (n - 1) // 16 * 16, (n - 1) // 16 * 16], f"cached {cached}")
expect(answers[0].choices[0].text == answers[2].choices[0].text, "the base's answer repeats")
expect(answers[1].choices[0].text == answers[3].choices[0].text, "red's answer repeats")

# The same, streamed, joins to the same text
parts = list(client.completions.create(model="", prompt="Item 3 is", max_tokens=8, temperature=0,
                                       stream=True, stream_options={"include_usage": True}))
text = "".join(p.choices[0].text for p in parts if p.choices)
expect(text == base.choices[0].text, f"streamed {text!r}, whole {base.choices[0].text!r}")
expect(parts[-1].usage.completion_tokens == 8 and not parts[-1].choices, "usage at the end")
expect([p.choices[0].finish_reason for p in parts if p.choices][-1] == "length", "finish")

# Stop strings, also where they begin inside one token and end in another
whole = client.completions.create(model="", prompt="The old man", max_tokens=24, temperature=0)
text = whole.choices[0].text
for start in range(1, 12, 3):
    stop = text[start:start + 5]
    cut = client.completions.create(model="", prompt="The old man", max_tokens=24, temperature=0,
                                    stop=[stop, "no such thing"])
    left = cut.choices[0].text
    expect(left == text[:text.index(stop)], f"stop {stop!r}: {left!r}")
    expect(cut.choices[0].finish_reason == "stop", "finish_reason of a stop")
    expect(cut.usage.completion_tokens <= 24, "usage of a stop")

# Lists, ids, echo, log-probabilities, seeds
many = client.completions.create(model="", prompt=["The old man", "Item 3 is"], max_tokens=8,
                                 temperature=0)
expect([c.index for c in many.choices] == [0, 1], "indices")
expect(many.choices[1].text == base.choices[0].text, "the second of a list")
ids = client.completions.create(model="", prompt=[1, 300, 301], max_tokens=2, echo=True)
expect(ids.usage.prompt_tokens == 3, "ids")
echoed = client.completions.create(model="", prompt="Item 3 is", max_tokens=8, temperature=0,
                                   echo=True)
expect(echoed.choices[0].text == "Item 3 is" + base.choices[0].text, "echo")
p = client.completions.create(model="", prompt="Item 3 is", max_tokens=5, temperature=0, logprobs=1)
l = p.choices[0].logprobs
expect("".join(l.tokens) == p.choices[0].text and len(l.token_logprobs) == 5, "logprobs")
expect(all(x <= 0 for x in l.token_logprobs), "log-probabilities are not above 0")
p = client.completions.create(model="", prompt="Item 3 is", max_tokens=5, temperature=0, logprobs=5,
                              n=2, echo=True, logit_bias={"300": -100})
expect(len(p.choices) == 2 and p.choices[1].logprobs.token_logprobs[0] is None, "n, echo, logprobs")
expect(all(len(t) >= 5 for t in p.choices[0].logprobs.top_logprobs[1:]), "five alternatives")
a, b = (client.completions.create(model="", prompt="He", max_tokens=12, seed=7).choices[0].text
        for _ in range(2))
expect(a == b, "a seed repeats")

# Chats
messages = [{"role": "user", "content": "Who are you?"}]
c = client.chat.completions.create(model="chatty", messages=messages, max_tokens=6, temperature=0)
expect(c.choices[0].message.role == "assistant" and c.choices[0].message.content, "chat")
t = client.chat.completions.create(model="chatty", messages=messages, max_tokens=2, temperature=0,
                                   logprobs=True, top_logprobs=4, n=2, tool_choice="auto")
expect(len(t.choices[1].logprobs.content[0].top_logprobs) == 4, "a chat's alternatives")
parts = client.chat.completions.create(model="chatty", messages=messages, max_tokens=6,
                                       temperature=0, stream=True)
text = "".join(x.choices[0].delta.content or "" for x in parts)
expect(text == c.choices[0].message.content, f"chat streamed {text!r}")
parts = [{"role": "user", "content": [{"type": "text", "text": "Who are "},
                                      {"type": "text", "text": "you?"}]}]
same = client.chat.completions.create(model="chatty", messages=parts, max_tokens=6, temperature=0)
expect(same.choices[0].message.content == c.choices[0].message.content, "parts of a message")

# A whole number is an integer however it is written: prompts of ids, too
ids = [client.completions.create(model="", prompt=p, max_tokens=n, temperature=0, seed=n)
       for p, n in (([5, 6, 7], 4), ([5.0, 6.0, 7.0], 4.0))]
expect(ids[0].choices[0].text == ids[1].choices[0].text, "ids with a point")


# Errors are the client's own kinds
def refused(kind, **arguments):
    try:
        client.completions.create(**{"model": "", "prompt": "x", "max_tokens": 4, **arguments})
    except kind as e:
        expect(e.body and e.body["message"], "an error says why")
        return
    raise SystemExit(f"check failed: {arguments} was not refused with {kind.__name__}")


refused(openai.NotFoundError, model="nobody")
refused(openai.BadRequestError, max_tokens=1000000)
refused(openai.BadRequestError, temperature=-1)
refused(openai.BadRequestError, n=0)
refused(openai.BadRequestError, prompt=[99999999])
refused(openai.BadRequestError, prompt=[[1], "x"])
refused(openai.BadRequestError, stop=["x"] * 17)
refused(openai.BadRequestError, logprobs=21)

# A model is removed, for everybody, and comes back from the trash; a base stays.
gone = client.models.delete("red")
expect(gone.id == "red" and gone.deleted and gone.object == "model", f"delete: {gone}")
refused(openai.NotFoundError, model="red")
expect([m.id for m in client.models.list()] == ["chatty"], "it is listed no more")
for name, kind in (("red", openai.NotFoundError), ("red/1", openai.NotFoundError),
                   ("chatty", openai.PermissionDeniedError)):
    try:
        client.models.delete(name)
    except kind:
        continue
    raise SystemExit(f"check failed: {name} was not refused with {kind.__name__}")
client.post("/trash/red/restore", cast_to=object)
expect(client.models.retrieve("red").id == "red", "it is back")
