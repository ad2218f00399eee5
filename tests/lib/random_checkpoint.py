"""A Hugging Face checkpoint of random bf16 weights.

    random_checkpoint.py OUT TOKENIZER_DIR [OPTION...]

The shape is Mistral-7B's unless options say otherwise; the tokenizer is copied. Shards of about
2 GiB with their index, as the hub has them. A megabyte of noise is written over and over, from
another place for each tensor: it is the bytes that cost, not the numbers. Its length is prime, in
numbers, so that no two tokens have the same row: the first of equals, a byte, was all that such a
base said.
"""

import argparse
import json
import os
import random
import shutil
import struct
import sys

SHARD = 2 << 30
NOISE = 2 * 524309

ap = argparse.ArgumentParser()
ap.add_argument("out")
ap.add_argument("tokenizer")
ap.add_argument("--hidden", type=int, default=4096)
ap.add_argument("--layers", type=int, default=32)
ap.add_argument("--heads", type=int, default=32)
ap.add_argument("--kv-heads", type=int, default=8)
ap.add_argument("--inner", type=int, default=14336)
ap.add_argument("--vocab", type=int, default=32000)
ap.add_argument("--seed", type=int, default=1)
a = ap.parse_args()

rng = random.Random(a.seed)
# bf16 in +-0.035, a standard deviation of 0.02: signs, exponents and fractions of such numbers.
table = [struct.pack("<f", rng.uniform(-0.035, 0.035))[2:] for _ in range(4096)]
noise = b"".join(rng.choices(table, k=NOISE // 2)) * 2
ones = struct.pack("<f", 1.0)[2:]


def tensors():
    kv = a.hidden // a.heads * a.kv_heads
    yield "model.embed_tokens.weight", (a.vocab, a.hidden)
    for i in range(a.layers):
        layer = f"model.layers.{i}."
        yield layer + "input_layernorm.weight", (a.hidden,)
        yield layer + "post_attention_layernorm.weight", (a.hidden,)
        for name, rows, cols in (
            ("self_attn.q_proj", a.hidden, a.hidden),
            ("self_attn.k_proj", kv, a.hidden),
            ("self_attn.v_proj", kv, a.hidden),
            ("self_attn.o_proj", a.hidden, a.hidden),
            ("mlp.gate_proj", a.inner, a.hidden),
            ("mlp.up_proj", a.inner, a.hidden),
            ("mlp.down_proj", a.hidden, a.inner),
        ):
            yield f"{layer}{name}.weight", (rows, cols)
    yield "model.norm.weight", (a.hidden,)
    yield "lm_head.weight", (a.vocab, a.hidden)


def size(shape):
    n = 2
    for d in shape:
        n *= d
    return n


def write_values(f, shape):
    left = size(shape)
    if len(shape) == 1:
        f.write(ones * shape[0])
        return
    start = rng.randrange(NOISE // 2) * 2
    while left:
        n = min(left, NOISE)
        f.write(memoryview(noise)[start : start + n])
        left -= n


def write_shard(name, part):
    header, at = {}, 0
    for tensor, shape in part:
        header[tensor] = {
            "dtype": "BF16",
            "shape": list(shape),
            "data_offsets": [at, at + size(shape)],
        }
        at += size(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(a.out, name), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, shape in part:
            write_values(f, shape)


def shards():
    part, total = [], 0
    for tensor, shape in tensors():
        if part and total + size(shape) > SHARD:
            yield part
            part, total = [], 0
        part.append((tensor, shape))
        total += size(shape)
    yield part


def warn_of_silence():
    """Most that such a base says has no text where the tokenizer has few of its ids: streams have
    no event for that, and whoever times them is misled."""
    path = os.path.join(a.tokenizer, "tokenizer.json")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as f:
        tokenizer = json.load(f)
    ids = len(tokenizer["model"]["vocab"]) + len(tokenizer.get("added_tokens", []))
    if ids < a.vocab // 2:
        print(f"random_checkpoint: of {a.vocab} ids {a.tokenizer} has a text for {ids} at the most",
              file=sys.stderr)


warn_of_silence()
os.makedirs(a.out)
parts = list(shards())
index = {}
for number, part in enumerate(parts, 1):
    shard = f"model-{number:05}-of-{len(parts):05}.safetensors"
    write_shard(shard, part)
    index.update({tensor: shard for tensor, _ in part})
with open(os.path.join(a.out, "model.safetensors.index.json"), "w") as f:
    json.dump({"metadata": {}, "weight_map": index}, f)
for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
    shutil.copy(os.path.join(a.tokenizer, file), a.out)
with open(os.path.join(a.out, "config.json"), "w") as f:
    json.dump(
        {
            "architectures": ["MistralForCausalLM"],
            "model_type": "mistral",
            "hidden_size": a.hidden,
            "num_hidden_layers": a.layers,
            "num_attention_heads": a.heads,
            "num_key_value_heads": a.kv_heads,
            "intermediate_size": a.inner,
            "vocab_size": a.vocab,
            "hidden_act": "silu",
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "sliding_window": None,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "bos_token_id": 1,
            "eos_token_id": 0,
        },
        f,
    )
