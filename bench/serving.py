#!/usr/bin/env python3
"""What `lorafs bench serve` does not load a server with: cold adapters, answers that repeat
themselves, answers in a form. Prompts are token ids, so that any base with a tokenizer will do.

    bench/serving.py URL cold NAME:COUNT    adapters NAME0.. (COUNT of them), one question each at
                                            once, twice, beside a stream of the base
    bench/serving.py URL load NAME:COUNT DIR...   makes them first: of these PEFT folders in turn
                                            (lorafsd --allow-load)
    bench/serving.py URL repeats            the same token again and again, a random order of three,
                                            free text; 1, 4 and 16 users, each twice
    bench/serving.py URL forms              a JSON schema, free text, choices; 1, 16 and 64 users
    bench/serving.py URL beside             a stream and a training, alone and together; requests
                                            now and then, beside the training
    bench/serving.py URL fair A B           one adapter's requests, alone and behind 300 of another
    bench/serving.py URL sweep              eight learning rates against one, a row a step
"""
import http.client
import json
import random
import sys
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

SCHEMA = {"type": "object", "additionalProperties": False,
          "required": ["name", "age", "tags", "note"],
          "properties": {"name": {"type": "string", "maxLength": 20},
                         "age": {"type": "integer", "minimum": 0, "maximum": 120},
                         "tags": {"type": "array", "items": {"enum": ["a", "bb", "ccc"]},
                                  "minItems": 2, "maxItems": 5},
                         "note": {"type": "string"}}}


class Server:
    def __init__(self, url):
        self.at = urllib.parse.urlsplit(url)

    def request(self, method, path, body=None):
        c = http.client.HTTPConnection(self.at.hostname, self.at.port, timeout=120)
        text = body if isinstance(body, str) else body and json.dumps(body)
        c.request(method, path, text, {"Content-Type": "application/json"})
        r = c.getresponse()
        if r.status >= 300:
            raise SystemExit(f"{path}: {r.status} {r.read(300).decode(errors='replace')}")
        return r

    def complete(self, **body):
        return json.loads(self.request("POST", "/v1/completions", body).read())

    def times(self, **body):
        """Seconds at which the tokens of a stream came."""
        begun = time.perf_counter()
        return [time.perf_counter() - begun for line in
                self.request("POST", "/v1/completions", {**body, "stream": True})
                if line.startswith(b"data: {")]

    def metric(self, name):
        lines = self.request("GET", "/metrics").read().decode().splitlines()
        return sum(float(x.split()[-1]) for x in lines if x.startswith(name + " "))


def part(values, share):
    values = sorted(values)
    return 1e3 * values[min(len(values) - 1, int(share * len(values)))]


def names(what):
    name, count = what.split(":")
    return [f"{name}{i}" for i in range(int(count))]


def load(server, what, *folders):
    for i, name in enumerate(names(what)):
        server.request("POST", "/v1/load_lora_adapter",
                       {"lora_name": name, "lora_path": folders[i % len(folders)]}).read()


def cold(server, what):
    def ask(model, tokens=8):
        return server.times(model=model, prompt=[5, 77, 123] * 8, max_tokens=tokens,
                            temperature=0, ignore_eos=True)
    models = names(what)
    for time_ in ("the first time", "again"):
        with ThreadPoolExecutor(len(models) + 1) as pool:
            beside = pool.submit(ask, "", 400)
            time.sleep(0.3)
            begun = time.perf_counter()
            first = [t[0] for t in pool.map(ask, models)]
            took = time.perf_counter() - begun
            came = beside.result()
        gaps = [b - a for a, b in zip(came, came[1:])]
        print(f"{len(models)} adapters, {time_}: all answered in {took:.3f} s; to the first token "
              f"p50 {part(first, .5):.1f} p90 {part(first, .9):.1f} ms; a stream beside them waits "
              f"p99 {part(gaps, .99):.1f}, at most {part(gaps, 1):.1f} ms", flush=True)


def crowd(server, users, what, **body):
    """So many at once, each with a seed of its own: tokens a second."""
    def ask(i):
        return server.complete(model="", prompt=[5 + i, 77, 123] * 20, temperature=1, seed=i,
                               **body)
    drafted = [server.metric(f"lorafs_{x}_tokens_total") for x in ("drafted", "accepted")]
    begun = time.perf_counter()
    with ThreadPoolExecutor(users) as pool:
        answers = list(pool.map(ask, range(users)))
    took = time.perf_counter() - begun
    drafted = [server.metric(f"lorafs_{x}_tokens_total") - was
               for x, was in zip(("drafted", "accepted"), drafted)]
    tokens = sum(a["usage"]["completion_tokens"] for a in answers)
    print(f"{what}, {users} users: {tokens / took:.0f} tok/s; {drafted[0]:.0f} tokens drafted, "
          f"{drafted[1]:.0f} accepted", flush=True)
    return [a["choices"][0] for a in answers]


def repeats(server):
    for users in (1, 4, 16):
        for _ in range(2):
            for what, likely in (("one token", {"90": 100}),
                                 ("three tokens", {"90": 40, "91": 40, "92": 40}), ("free", {})):
                crowd(server, users, what, logit_bias=likely, max_tokens=256, ignore_eos=True)


def forms(server):
    for users in (1, 16, 64):
        for what in ("a schema", "a schema again"):
            for choice in crowd(server, users, what, guided_json=SCHEMA, max_tokens=128):
                if choice["finish_reason"] == "stop":
                    said = json.loads(choice["text"])
                    if sorted(said) != sorted(SCHEMA["required"]):
                        raise SystemExit(f"that is not of the schema: {choice['text']}")
        crowd(server, users, "free", max_tokens=128, ignore_eos=True)
        crowd(server, users, "choices", choices=["positive", "negative", "neutral"], max_tokens=128)


def rate(server, seconds):
    """Tokens a second that are trained on."""
    begun, was = time.perf_counter(), server.metric("lorafs_train_tokens_total")
    time.sleep(seconds)
    return (server.metric("lorafs_train_tokens_total") - was) / (time.perf_counter() - begun)


def beside(server):
    draw = random.Random(1)
    words = "time year people way day man thing woman life child world school".split()
    rows = "".join(json.dumps({"prompt": " ".join(draw.choices(words, k=430)),
                               "completion": " " + " ".join(draw.choices(words, k=20))}) + "\n"
                   for _ in range(2000))

    def ask(tokens):
        return server.times(model="", prompt=[5, 77, 123] * 30, max_tokens=tokens, temperature=1,
                            ignore_eos=True)

    def stream():
        came = ask(400)
        return (len(came) - 1) / (came[-1] - came[0])
    stream()
    print(f"the stream alone: {stream():.0f} tok/s", flush=True)
    name, config = f"beside{time.time():.0f}", {"rank": 8, "steps": 100000, "batch_size": 16,
                                               "target_modules": ["q_proj", "v_proj"]}
    server.request("POST", "/v1/adapters", {"name": name, "config": config}).read()
    server.request("PUT", f"/v1/adapters/{name}/files/dataset.jsonl?train=1", rows).read()
    steps = server.metric("lorafs_train_steps_total") + 3
    while server.metric("lorafs_train_steps_total") < steps:
        time.sleep(0.1)
    print(f"the training alone: {rate(server, 4):.0f} tok/s", flush=True)
    first = []
    for _ in range(100):
        time.sleep(draw.uniform(0.02, 0.1))
        first.append(ask(2)[0])
    print(f"requests now and then: to the first token p50 {part(first, .5):.1f} p99 "
          f"{part(first, .99):.1f} ms", flush=True)
    with ThreadPoolExecutor(1) as pool:
        streams = pool.submit(lambda: [stream() for _ in range(5)])
        time.sleep(0.5)
        trained = rate(server, 3)
        print(f"together: the training {trained:.0f}, the stream "
              f"{sorted(streams.result())[2]:.0f} tok/s", flush=True)
    server.request("POST", f"/v1/adapters/{name}/ctl", "cancel").read()


def fair(server, crowded, other):
    draw = random.Random(1)

    def question(model, tokens):
        return {"model": model, "prompt": draw.choices(range(300, 4000), k=180),
                "max_tokens": tokens, "temperature": 0, "ignore_eos": True}

    def first():
        came = [server.times(**question(other, 8))[0] for _ in range(100)]
        return f"p50 {part(came, .5):.1f} p99 {part(came, .99):.1f} ms"
    server.complete(**question(crowded, 8))
    first()
    print(f"to the first token of 180: {first()} alone", flush=True)
    with ThreadPoolExecutor(300) as pool:
        for _ in range(300):
            pool.submit(server.complete, **question(crowded, 1500))  # nobody reads so many streams
        time.sleep(2)
        behind, left = first(), server.metric("lorafs_requests_live")
    print(f"{behind} behind 300 requests of another, of which {left:.0f} were on the device at the "
          "end", flush=True)


def sweep(server):
    def took(name, rates, rows, steps):
        config = {"rank": 8, "target_modules": ["q_proj", "v_proj"], "learning_rate": rates,
                  "steps": steps, "batch_size": 1, "eval_every": steps // 4, "max_tokens": 2}
        server.request("POST", "/v1/adapters", {"name": name, "config": config}).read()
        path = f"/v1/adapters/{name}/files/"
        server.request("PUT", path + "eval.jsonl", "".join(rows[:16])).read()
        begun = time.perf_counter()
        server.request("PUT", path + "dataset.jsonl?train=1", "".join(rows[16:])).read()
        while not (status := server.request("GET", path + "status").read()).startswith(b"ready v1"):
            if status.startswith(b"failed"):
                raise SystemExit(status.decode())
            time.sleep(0.05)
        return time.perf_counter() - begun

    words = "time year people way day man thing woman life child world school".split()
    for tokens, steps in ((64, 192), (64, 600), (128, 600), (480, 192)):
        draw = random.Random(tokens)
        rows = [json.dumps({"prompt": " ".join(draw.choices(words, k=tokens - 24)),
                            "completion": " " + " ".join(draw.choices(words, k=16))}) + "\n"
                for _ in range(16 + steps)]
        name = f"sweep{tokens}-{time.time():.0f}"
        one = took(name + "-one", 1e-4, rows, steps)
        eight = took(name, [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3], rows, steps)
        print(f"{steps} steps of a row of about {tokens} tokens: one {one:.2f} s, eight rates "
              f"{eight:.2f} s, {eight / one:.2f} times", flush=True)


def main():
    kinds = {f.__name__: f for f in (load, cold, repeats, forms, beside, fair, sweep)}
    if len(sys.argv) < 3 or sys.argv[2] not in kinds:
        raise SystemExit(__doc__)
    kinds[sys.argv[2]](Server(sys.argv[1]), *sys.argv[3:])


if __name__ == "__main__":
    main()
