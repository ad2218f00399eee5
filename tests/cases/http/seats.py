"""seats.py make DIR N: N adapters of random weights, as PEFT writes them, in DIR/a0 ...
seats.py load DIR N: the daemon at URL is told of them. seats.py ask N OUT: all answer at once,
several prompts each, greedily; what they say is in OUT, in a fixed order. seats.py same ONE TWO:
both say the same, but for what comes after two tokens that are as likely up to rounding."""
import array
import concurrent.futures
import json
import os
import pathlib
import random
import struct
import sys
import urllib.request

HIDDEN, RANK, LAYER = 384, 4, 5
ROUNDING = 1e-3  # of a logit: sums of fp32 in another order, through eight layers


def weights(rng):
    names = {}
    for name, shape in (("lora_A", (RANK, HIDDEN)), ("lora_B", (HIDDEN, RANK))):
        key = f"base_model.model.model.layers.{LAYER}.self_attn.q_proj.{name}.weight"
        names[key] = (shape, array.array("f", (rng.uniform(-1, 1) for _ in range(RANK * HIDDEN))))
    header, at = {}, 0
    for key, (shape, values) in names.items():
        end = at + 4 * len(values)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for _, v in names.values())


def make(folder, n):
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 2 * RANK,
              "target_modules": ["q_proj"], "layers_to_transform": [LAYER],
              "base_model_name_or_path": "base"}
    for i in range(int(n)):
        path = pathlib.Path(folder) / f"a{i}"
        path.mkdir(parents=True)
        (path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        (path / "adapter_model.safetensors").write_bytes(weights(random.Random(i)))


def post(path, body):
    request = urllib.request.Request(os.environ["URL"] + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def load(folder, n):
    for i in range(int(n)):
        post("/v1/load_lora_adapter", {"lora_name": f"a{i}", "lora_path": f"{folder}/a{i}"})


def ask(n, out):
    def one(k):
        body = {"model": f"a{k % n}", "prompt": f"Once upon a time {k // n}", "max_tokens": 12,
                "temperature": 0, "ignore_eos": True, "logprobs": 2}
        logprobs = json.loads(post("/v1/completions", body))["choices"][0]["logprobs"]
        return [[token, max(best.values()) - min(best.values())]
                for token, best in zip(logprobs["tokens"], logprobs["top_logprobs"])]

    n = int(n)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(one, range(3 * n)))
    assert len({json.dumps([t for t, _ in a]) for a in answers}) > 1.5 * n, "they say the same"
    pathlib.Path(out).write_text(json.dumps(answers), encoding="utf-8")


def same(one, two):
    alike = all_ = 0
    for a, b in zip(*(json.loads(pathlib.Path(p).read_text("utf-8")) for p in (one, two))):
        for (token, apart), (other, _) in zip(a, b):
            assert token == other or apart < ROUNDING, (a, b)
            if token != other:
                break
            alike += 1
        all_ += len(a)
    assert alike > 0.9 * all_, (alike, all_)


{"make": make, "load": load, "ask": ask, "same": same}[sys.argv[1]](*sys.argv[2:])
