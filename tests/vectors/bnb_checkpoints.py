"""Checkpoints in every 4-bit form of bitsandbytes, there and back: lorafs against transformers with
bitsandbytes on the CPU, whole models, fp32 compute.

bnb_checkpoints.py LORAFS [--seed N]

  reads   what transformers serialises: NF4 and FP4, scales quantised in turn or not, block sizes 32
          to 4096, codes stored as bytes, bf16, fp16 or fp32, with and without the head: the logits
          of both agree (2e-4)
  writes  what `lorafs quantize` writes of fp32, fp16 and bf16 checkpoints, sharded ones too: loads
          in transformers, whose logits agree; a second time gives the same bytes
Exit status 77 where one of the libraries cannot be imported.
"""

import argparse
import filecmp
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
try:
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GemmaConfig, LlamaConfig
    from transformers import PhiConfig
    import bitsandbytes as bnb
    import bnb_plain  # noqa: F401
    from safetensors.torch import load_file
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(2)
LOGITS = 2e-4
SIZES = dict(vocab_size=301, hidden_size=96, intermediate_size=224, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
             bos_token_id=1, eos_token_id=2, pad_token_id=0)
CONFIGS = {
    "llama": LlamaConfig(**SIZES, attention_bias=True),
    "gemma": GemmaConfig(**SIZES, head_dim=32),
    "phi": PhiConfig(**SIZES),
}
# kind, scales quantised in turn, block size, what the codes are stored as
FORMS = [
    ("nf4", True, 64, "uint8"),
    ("nf4", False, 64, "uint8"),
    ("fp4", True, 64, "uint8"),
    ("fp4", False, 64, "uint8"),
    ("nf4", True, 32, "uint8"),
    ("nf4", False, 128, "bfloat16"),
    ("fp4", True, 256, "float16"),
    ("nf4", True, 512, "float32"),
    ("fp4", False, 1024, "uint8"),
    ("nf4", False, 2048, "bfloat16"),
    ("nf4", True, 4096, "uint8"),
]
failed = 0


def lorafs(*args):
    r = subprocess.run([LORAFS, *map(str, args)], capture_output=True, text=True, check=False)
    if r.returncode:
        raise SystemExit("lorafs %s: %s" % (args[0], r.stderr.strip()[-400:]))


def ours(base, ids, work):
    path, out = os.path.join(work, "ids.json"), os.path.join(work, "logits.safetensors")
    with open(path, "w") as f:
        json.dump(ids.tolist(), f)
    lorafs("logits", "--base", base, "--quant", "none", "--device", "cpu", "--ids", path, "--out",
           out)
    return load_file(out)["logits"]


def theirs(model, ids):
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits.float()


def compare(what, a, b):
    global failed
    worst = (a - b).abs().max().item()
    ok = worst <= LOGITS
    failed += not ok
    print("%s %s: %.1e" % ("ok    " if ok else "FAILED", what, worst), flush=True)


def checkpoint(config, out, dtype=torch.float32, shard="1GB"):
    config.initializer_range = 0.1
    m = AutoModelForCausalLM.from_config(config).to(dtype)
    for p in m.parameters():
        if p.dim() == 1:
            p.data += (torch.randn(p.shape) * 0.1).to(dtype)
    m.save_pretrained(out, max_shard_size=shard)


def requantise(model, kind, nested, block, storage):
    """transformers has no setting for the block size; bitsandbytes' parameters do."""
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            full = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            module.weight = bnb.nn.Params4bit(
                full, requires_grad=False, blocksize=block, compress_statistics=nested,
                quant_type=kind, quant_storage=storage, module=module).to("cpu")
            assert module.weight.quant_state.blocksize == block


def check_reading(base, form, ids, work, head=False):
    kind, nested, block, storage = form
    m = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, attn_implementation="eager", device_map={"": "cpu"},
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=nested,
            bnb_4bit_compute_dtype=torch.float32,
            bnb_4bit_quant_storage=getattr(torch, storage),
            llm_int8_skip_modules=["none"] if head else None))
    assert isinstance(m.lm_head, bnb.nn.Linear4bit) == head
    if block != 64:
        requantise(m, kind, nested, block, getattr(torch, storage))
    out = os.path.join(work, "quantised")
    m.save_pretrained(out)
    compare("reads %s block %d%s as %s%s" % (kind, block, " nested" if nested else "", storage,
                                             ", the head too" if head else ""),
            ours(out, ids, work), theirs(m, ids))


def check_writing(name, config, dtype, shard, ids, work):
    base, out, again = (os.path.join(work, n) for n in ("plain", "written", "again"))
    checkpoint(config, base, dtype, shard)
    lorafs("quantize", "--base", base, "--out", out)
    lorafs("quantize", "--base", base, "--out", again)
    assert filecmp.cmp(out + "/model.safetensors", again + "/model.safetensors", shallow=False)
    # What the file says, but computing in fp32: weights of an fp32 checkpoint are not rounded then.
    with open(out + "/config.json") as f:
        c = json.load(f)
    c["quantization_config"]["bnb_4bit_compute_dtype"] = "float32"
    with open(out + "/config.json", "w") as f:
        json.dump(c, f)
    m = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager",
                                             device_map={"": "cpu"})
    four = [x for x in m.modules() if isinstance(x, bnb.nn.Linear4bit)]
    assert len(four) >= 6 * config.num_hidden_layers, len(four)
    for x in four:  # bitsandbytes rounds dequantised weights to what the checkpoint had been
        x.weight.quant_state.dtype = torch.float32
    for p in m.parameters():
        if p.is_floating_point():
            p.data = p.data.float()
    n = len([f for f in os.listdir(base) if f.endswith(".safetensors")])
    compare("writes %s of %s in %d files" % (name, str(dtype)[6:], n), ours(out, ids, work),
            theirs(m, ids))


def main():
    torch.manual_seed(a.seed)
    rng = random.Random(a.seed)
    ids = torch.randint(3, SIZES["vocab_size"], (2, 21))
    for name, config in CONFIGS.items():
        with tempfile.TemporaryDirectory() as work:
            base = os.path.join(work, "base")
            checkpoint(config, base)
            print(name)
            for form in FORMS if name == "llama" else rng.sample(FORMS, 2):
                check_reading(base, form, ids, work)
            if not config.tie_word_embeddings:
                check_reading(base, FORMS[0], ids, work, head=True)
    for name, dtype, shard in [("llama", torch.float32, "1GB"), ("gemma", torch.bfloat16, "100KB"),
                               ("phi", torch.float16, "60KB")]:
        with tempfile.TemporaryDirectory() as work:
            check_writing(name, CONFIGS[name], dtype, shard, ids, work)
    print("%d failed" % failed)
    return 1 if failed else 0


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("lorafs")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    LORAFS = a.lorafs
    sys.exit(main())
