"""What four clients make of the daemon. URL: it; adapter `red` answers " red"."""
import asyncio
import json
import os
import urllib.error
import urllib.request

from asking import expect

URL = os.environ["URL"]
PROMPT = "Item 3 is"
CHAT = [{"role": "user", "content": "Who are you?"}]


def plain(path, **body):
    body = {"max_tokens": 6, "temperature": 0, **body}
    request = urllib.request.Request(URL + path, json.dumps(body).encode())
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


WANT = plain("/v1/completions", model="", prompt=PROMPT)["choices"][0]["text"]
CHATTED = plain("/v1/chat/completions", messages=CHAT)["choices"][0]["message"]["content"]


def lorax_client():
    import lorax
    client = lorax.Client(URL)
    r = client.generate(PROMPT, max_new_tokens=6, decoder_input_details=True,
                        return_k_alternatives=3)
    expect(r.generated_text == WANT and r.details.generated_tokens == 6, r)
    expect([t.logprob is None for t in r.details.prefill][:2] == [True, False], r.details.prefill)
    expect(all(len(t.alternative_tokens) == 3 for t in r.details.tokens), r.details.tokens)
    r = client.generate(PROMPT, adapter_id="red", max_new_tokens=4, do_sample=True, seed=3,
                        temperature=0.1, top_k=5, top_p=0.9, repetition_penalty=1.01,
                        stop_sequences=["no such thing"], return_full_text=True)
    expect(r.generated_text.startswith(PROMPT + " red"), r.generated_text)
    r = client.generate(PROMPT, max_new_tokens=4, best_of=3, do_sample=True)
    expect(len(r.details.best_of_sequences) == 2, r)
    events = list(client.generate_stream(PROMPT, max_new_tokens=6))
    expect("".join(e.token.text for e in events) == WANT, events)
    expect(events[-1].generated_text == WANT and events[-1].details.generated_tokens == 6, events)
    r = asyncio.run(lorax.AsyncClient(URL).generate(PROMPT, max_new_tokens=6))
    expect(r.generated_text == WANT, r)
    try:
        client.generate(PROMPT, adapter_id="nobody", max_new_tokens=4)
    except Exception as e:
        expect("nobody" in str(e), e)
    else:
        raise SystemExit("check failed: an adapter that is not there")


def merged(ids, weights, strategy="linear", density=0.0, method=None):
    return {"ids": ids, "weights": weights, "merge_strategy": strategy, "density": density,
            "majority_sign_method": method}


def lorax_merged():
    """A mixture of one adapter is that adapter; of it and its opposite, the base."""
    import lorax
    client = lorax.Client(URL)

    def ask(m):
        return client.generate(PROMPT, merged_adapters=m, max_new_tokens=4).generated_text
    red = client.generate(PROMPT, adapter_id="red", max_new_tokens=4).generated_text
    base = client.generate(PROMPT, max_new_tokens=4).generated_text
    expect(red != base, red)
    for m in (merged(["red"], [1.0]), merged(["red", "red"], [0.25, 0.75]),
              merged(["red"], [1.0], "dare_linear", 1.0), merged(["red"], [1.0], "ties", 1.0),
              merged(["red", "red"], [1.0, 1.0], "ties", 1.0, "frequency")):
        expect(ask(m) == red, (m, ask(m)))
    expect(ask(merged(["red", "red"], [1.0, -1.0])) == base, "an adapter and its opposite")
    for strategy in ("ties", "dare_linear", "dare_ties"):
        m = merged(["red", "red"], [0.5, 0.5], strategy, 0.5)
        expect(ask(m) == ask(m), (m, "the same again"))
    for m, why in ((merged(["red", "nobody"], [1, 1]), "nobody"),
                   (merged(["red"], [1.0], "ties"), "density"),
                   (merged(["red", "red"], [1.0]), "as many numbers"),
                   ({**merged(["red"], [1.0]), "ids": [""]}, "not an adapter"),
                   ({**merged(["red"], [1.0]), "merge_strategy": "best"}, "dare_ties")):
        body = {"inputs": PROMPT, "parameters": {"merged_adapters": m}}
        request = urllib.request.Request(URL + "/generate", json.dumps(body).encode())
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as e:
            text = e.read().decode()
            expect(e.code in (400, 404) and why in text, (m, text))
        else:
            raise SystemExit("check failed: merged %s" % m)


def huggingface_client():
    from huggingface_hub import InferenceClient
    client = InferenceClient(URL)
    expect(client.text_generation(PROMPT, max_new_tokens=6) == WANT, "text_generation")
    r = client.text_generation(PROMPT, max_new_tokens=6, details=True, top_n_tokens=2,
                               decoder_input_details=True)
    expect(r.generated_text == WANT and len(r.details.top_tokens[0]) == 2, r)
    expect(r.details.prefill[1].logprob < 0, r.details.prefill)
    red = client.text_generation(PROMPT, adapter_id="red", max_new_tokens=4)
    expect("red" in red, red)
    parts = list(client.text_generation(PROMPT, max_new_tokens=6, stream=True))
    expect("".join(parts) == WANT, parts)
    last = list(client.text_generation(PROMPT, max_new_tokens=6, stream=True, details=True))[-1]
    expect(last.details.finish_reason == "length" and last.generated_text == WANT, last)
    named = InferenceClient(base_url=URL + "/v1")
    for asked, model in ((client, None), (named, "chatty")): # None: it sends a placeholder
        r = asked.chat_completion(CHAT, model=model, max_tokens=6, temperature=0, logprobs=True,
                                  top_logprobs=2)
        expect(r.choices[0].message.content == CHATTED, r)
        expect(len(r.choices[0].logprobs.content[0].top_logprobs) == 2, r)
    parts = client.chat_completion(CHAT, max_tokens=6, temperature=0, stream=True)
    text = "".join(p.choices[0].delta.content or "" for p in parts)
    expect(text == CHATTED, text)


def langchain():
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI, OpenAI
    settings = {"base_url": URL + "/v1", "api_key": "x", "temperature": 0, "max_tokens": 6,
                "max_retries": 0}
    chat = ChatOpenAI(model="chatty", **settings)
    r = chat.invoke(CHAT[0]["content"])
    expect(r.content == CHATTED and r.usage_metadata["output_tokens"] == 6, r)
    parts = [c.content for c in chat.stream(CHAT[0]["content"])]
    expect("".join(parts) == CHATTED, parts)

    @tool
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    call = {"id": "1", "name": "add", "args": {"a": 1, "b": 1}}
    r = chat.bind_tools([add]).invoke([HumanMessage("1 and 1?"), AIMessage("", tool_calls=[call]),
                                       ToolMessage("2", tool_call_id="1")])
    expect(r.content and not r.tool_calls, r)
    r = chat.bind(logprobs=True, top_logprobs=3).invoke("hi")
    expect(len(r.response_metadata["logprobs"]["content"][0]["top_logprobs"]) == 3, r)
    texts = OpenAI(model="", n=2, best_of=2, **settings).generate([PROMPT, "He"])
    expect([g.text for g in texts.generations[0]] == [WANT, WANT], texts)
    red = OpenAI(model="red", **settings)
    expect("red" in red.invoke(PROMPT) and "red" in "".join(red.stream(PROMPT)), "an adapter")


def litellm_():
    import litellm
    settings = {"api_base": URL + "/v1", "api_key": "x", "max_tokens": 6, "temperature": 0,
                "num_retries": 0}
    for provider in ("openai", "hosted_vllm"):
        r = litellm.completion(model=provider + "/chatty", messages=CHAT, n=2, logprobs=True,
                               top_logprobs=3, **settings)
        expect([c.message.content for c in r.choices] == [CHATTED] * 2, r)
        expect(r.usage.completion_tokens == 12, r.usage)
        parts = litellm.completion(model=provider + "/chatty", messages=CHAT, stream=True,
                                   stream_options={"include_usage": True}, **settings)
        text = "".join(c.delta.content or "" for p in parts for c in p.choices)
        expect(text == CHATTED, f"{provider}: {text}")
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    r = litellm.completion(model="openai/chatty", messages=CHAT, tools=tools, tool_choice="auto",
                           **settings)
    expect(r.choices[0].message.content, r)
    r = litellm.text_completion(model="text-completion-openai/red", prompt=PROMPT, **settings)
    expect("red" in r.choices[0].text, r)


for check in (lorax_client, lorax_merged, huggingface_client, langchain, litellm_):
    print(check.__name__, flush=True)
    check()
