"""Random models of every architecture, made on the spot: lorafs against transformers, peft and
bitsandbytes.

random_models.py LORAFS [--seed N] [--only ARCH,...] [--keep DIR]

For each architecture a checkpoint of random sizes is written, then compared on the CPU in fp32:
  logits      of the bf16 checkpoint; of our NF4 model, whose file transformers + bitsandbytes load;
              with a PEFT adapter of random rank, targets and patterns (2e-4)
  merging     `lorafs export --merged` of both, against peft's merge_and_unload
  generation  greedy ids, wherever the two best logits are far enough apart to be sure
  training    micro-batch losses (1e-4), the trained adapter (1e-3 of its norm), which PEFT reads
Exit status 77 where one of the libraries cannot be imported. The seed is printed.
"""

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
try:
    import torch
    import transformers
    from transformers import (
        AutoModelForCausalLM,
        Gemma2Config,
        Gemma3TextConfig,
        GemmaConfig,
        LlamaConfig,
        MinistralConfig,
        MistralConfig,
        Olmo2Config,
        Phi3Config,
        PhiConfig,
        Qwen2Config,
        Qwen3Config,
    )
    from peft import LoraConfig, PeftModel, get_peft_model
    import bitsandbytes
    import bnb_plain  # noqa: F401
    from safetensors.torch import load_file
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(2)
LOGITS = 2e-4


def sizes(rng):
    """Hidden, heads, kv heads, head dim, inner, layers, vocabulary: some no multiples of 64."""
    d = rng.choice([16, 24, 32, 64, 80])
    kv = rng.choice([1, 2, 3])
    heads = kv * rng.choice([1, 2, 3])
    return dict(
        d=d,
        kv=kv,
        heads=heads,
        hidden=heads * d,
        inner=rng.choice([160, 224, 288, 352]),
        layers=rng.choice([2, 3]),
        vocab=rng.choice([301, 512, 777]),
    )


def config(arch, rng):
    s = sizes(rng)
    plain = dict(
        vocab_size=s["vocab"],
        hidden_size=s["hidden"],
        intermediate_size=s["inner"],
        num_hidden_layers=s["layers"],
        num_attention_heads=s["heads"],
        num_key_value_heads=s["kv"],
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    wide = dict(
        plain, head_dim=rng.choice([16, 32, 48, 64]), hidden_size=s["heads"] * rng.choice([24, 40])
    )
    tied = rng.random() < 0.5
    if arch == "llama":
        return LlamaConfig(
            **plain,
            tie_word_embeddings=tied,
            attention_bias=rng.random() < 0.3,
            mlp_bias=rng.random() < 0.3
        )
    if arch == "llama3":
        return LlamaConfig(
            **plain,
            tie_word_embeddings=tied,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": rng.choice([4.0, 8.0]),
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        )
    if arch == "mistral":
        return MistralConfig(
            **wide, sliding_window=rng.choice([None, 5, 11]), tie_word_embeddings=tied
        )
    if arch == "gemma":
        return GemmaConfig(
            **wide, hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh"
        )
    if arch == "gemma2":
        return Gemma2Config(
            **wide,
            hidden_activation="gelu_pytorch_tanh",
            sliding_window=7,
            query_pre_attn_scalar=rng.choice([24, 48])
        )
    if arch == "phi":
        s["d"] = rng.choice([16, 32, 48, 80])
        h = s["heads"] * s["d"]
        return PhiConfig(
            **dict(plain, hidden_size=h, num_key_value_heads=rng.choice([s["heads"], s["kv"]])),
            partial_rotary_factor=rng.choice([0.25, 0.5, 1.0]),
            hidden_act="gelu_new",
            tie_word_embeddings=False
        )
    if arch == "gemma3":
        return Gemma3TextConfig(
            **wide,
            sliding_window=7,
            sliding_window_pattern=rng.choice([2, 3]),
            query_pre_attn_scalar=rng.choice([24, 48]),
            final_logit_softcapping=rng.choice([None, 20.0]),
            rope_parameters={
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            }
        )
    if arch == "ministral":
        types = [rng.choice(["sliding_attention", "full_attention"]) for _ in range(s["layers"])]
        return MinistralConfig(
            **wide, sliding_window=rng.choice([5, 11]), layer_types=types, tie_word_embeddings=tied
        )
    if arch == "olmo2":
        return Olmo2Config(**plain, tie_word_embeddings=tied, attention_bias=rng.random() < 0.3)
    window = {}
    if rng.random() < 0.5:
        window = dict(use_sliding_window=True, sliding_window=6, max_window_layers=1)
    if arch == "qwen2":
        return Qwen2Config(**plain, **window, tie_word_embeddings=tied)
    if arch == "qwen3":
        return Qwen3Config(**wide, **window, tie_word_embeddings=tied)
    if arch == "phi3":
        return Phi3Config(**plain, tie_word_embeddings=False, sliding_window=rng.choice([None, 9]))
    if arch == "phi3long":
        # Texts of 37 tokens are long, training rows either, and generation crosses over.
        partial = rng.choice([0.5, 0.75, 1.0])
        n = int(s["hidden"] // s["heads"] * partial) // 2
        return Phi3Config(
            **plain,
            tie_word_embeddings=rng.random() < 0.5,
            original_max_position_embeddings=rng.choice([12, 16]),
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "partial_rotary_factor": partial,
                "short_factor": [1 + 0.1 * rng.random() * i for i in range(n)],
                "long_factor": [1 + 4 * rng.random() * i for i in range(n)],
            }
        )
    raise ValueError(arch)


ARCHS = [
    "llama",
    "llama3",
    "mistral",
    "ministral",
    "gemma",
    "gemma2",
    "gemma3",
    "phi",
    "qwen2",
    "qwen3",
    "phi3",
    "phi3long",
    "olmo2",
]
LINEARS = {
    "phi": ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"],
    "phi3": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
    "phi3long": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
}
COMMON = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Failure(Exception):
    pass


def lorafs(*args):
    r = subprocess.run([LORAFS, *map(str, args)], capture_output=True, text=True)
    if r.returncode:
        raise Failure("lorafs %s: exit %d: %s" % (args[0], r.returncode, r.stderr.strip()[-400:]))
    return r.stdout


def close(what, ours, theirs, tolerance):
    worst = (ours - theirs).abs().max().item()
    if not worst <= tolerance:  # NaN fails
        raise Failure("%s: differs by %.2e, over %.0e" % (what, worst, tolerance))
    return "%s %.1e" % (what, worst)


def logits_of(base, quant, ids, work, adapter=None):
    out = os.path.join(work, "logits.safetensors")
    path = os.path.join(work, "ids.json")
    json.dump(ids.tolist(), open(path, "w"))
    lorafs(
        "logits",
        "--base",
        base,
        "--quant",
        quant,
        "--device",
        "cpu",
        "--ids",
        path,
        "--out",
        out,
        *(["--adapter", adapter] if adapter else [])
    )
    return load_file(out)["logits"]


def theirs(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits.float()


def make_checkpoint(arch, rng, seed, out):
    cfg = config(arch, rng)
    cfg._attn_implementation = "eager"
    cfg.initializer_range = 0.08
    torch.manual_seed(seed)
    m = AutoModelForCausalLM.from_config(cfg, attn_implementation="eager").to(torch.bfloat16)
    for _, p in m.named_parameters():
        if p.dim() == 1:
            p.data += torch.randn_like(p) * 0.1
    m.save_pretrained(out)
    return cfg


def load(path, **kw):
    return AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager", **kw
    ).eval()


def load_nf4(base, quantised):
    """The base in fp32 with block weights as bitsandbytes reads them from our file, unrounded."""
    m, file = load(base), load_file(os.path.join(quantised, "model.safetensors"))
    for k in [k[: -len(".absmax")] for k in file if k.endswith("weight.absmax")]:
        parts = {n: v for n, v in file.items() if n.startswith(k + ".")}
        state = bitsandbytes.functional.QuantState.from_dict(parts, torch.device("cpu"))
        state.dtype = torch.float32
        m.get_parameter(k).data = bitsandbytes.functional.dequantize_4bit(file[k], state)
    return m


def check_codes(base, quantised):
    """Our codes against those that bitsandbytes' CPU quantiser gives. Its 8-bit scale codes differ
    from its CUDA quantiser's (which ours follow) at ties, so a few of these may."""
    ours, weights, scales = load_file(os.path.join(quantised, "model.safetensors")), {}, [0, 0]
    for f in os.listdir(base):
        if f.endswith(".safetensors"):
            weights.update(load_file(os.path.join(base, f)))
    names = [k[: -len(".absmax")] for k in ours if k.endswith("weight.absmax")]
    for k in names:
        codes, state = bitsandbytes.functional.quantize_4bit(
            weights[k].float(), quant_type="nf4", compress_statistics=True
        )
        if not torch.equal(codes.flatten(), ours[k].flatten()):
            raise Failure("codes of %s differ" % k)
        scales[0] += int((state.absmax.flatten() != ours[k + ".absmax"].flatten()).sum())
        scales[1] += state.absmax.numel()
    if not names or scales[0] > 0.02 * scales[1]:
        raise Failure("%d of %d scale codes differ" % tuple(scales))
    return "%d/%d scale codes differ" % tuple(scales)


def lora_config(arch, rng):
    linears = LINEARS.get(arch, COMMON)
    two = rng.sample(linears, 2)
    regex = r".*layers\.[1-9]\.\w+\.(%s)" % "|".join(two)
    targets = rng.choice(["all-linear", two, linears, regex])
    r = rng.choice([1, 3, 8, 12, 100, 254])
    kw = {}
    if isinstance(targets, list) and rng.random() < 0.5:
        kw = dict(rank_pattern={targets[0]: r + 2}, alpha_pattern={targets[-1]: 5})
    if isinstance(targets, list) and rng.random() < 0.3:
        kw["layers_to_transform"] = [1]
    return LoraConfig(
        r=r,
        lora_alpha=rng.choice([4, 16]),
        target_modules=targets,
        lora_dropout=0.0,
        bias="none",
        use_rslora=rng.random() < 0.3,
        use_dora=rng.random() < 0.4,
        task_type="CAUSAL_LM",
        **kw
    )


def adapted(model, cfg, seed, zero_b):
    torch.manual_seed(seed)
    m = get_peft_model(model, cfg)
    for n, p in m.named_parameters():
        if "lora_A" in n:
            p.data = torch.randn_like(p, dtype=torch.float32) / math.sqrt(p.shape[1])
        if "lora_B" in n:
            p.data = (
                torch.zeros_like(p, dtype=torch.float32)
                if zero_b
                else torch.randn_like(p, dtype=torch.float32) * 0.05
            )
        if "lora_magnitude" in n and not zero_b:
            p.data *= 1 + 0.2 * torch.rand_like(p)
    return m


def targets_of(lora):
    t = lora.target_modules
    return t if isinstance(t, str) else "%d modules" % len(t) if len(t) > 4 else "+".join(sorted(t))


def rename_base(adapter, rng):
    """What an adapter says its base was called is no matter."""
    path = os.path.join(adapter, "adapter_config.json")
    c = json.load(open(path))
    c["base_model_name_or_path"] = rng.choice([None, "org/unknown", c["base_model_name_or_path"]])
    json.dump(c, open(path, "w"))


def check_greedy(model, base, adapter, ids, work):
    n, seq, sure = 16, ids.clone(), 0
    for _ in range(n):
        last = theirs(model, seq)[0, -1]
        top = last.topk(2).values
        if top[0] - top[1] < 20 * LOGITS:
            break
        seq = torch.cat([seq, last.argmax().view(1, 1)], 1)
        sure += 1
    path = os.path.join(work, "prompt.json")
    json.dump(ids[0].tolist(), open(path, "w"))
    got = json.loads(
        lorafs(
            "generate",
            "--base",
            base,
            "--adapter",
            adapter,
            "--quant",
            "nf4",
            "--device",
            "cpu",
            "--ids",
            path,
            "--greedy",
            "--ignore-eos",
            "--max-tokens",
            n,
            "--json",
        )
    )["ids"]
    want = seq[0, ids.shape[1] :].tolist()
    if got[:sure] != want:
        raise Failure("greedy ids differ: %s, not %s" % (got[:sure], want))
    return "greedy %d ids" % sure


def merged_by_peft(model, adapter):
    """Its state, and how far rounding may lie from it: that of a sum of r + 2 terms."""
    m = PeftModel.from_pretrained(model, adapter)
    slack = {}
    for name, x in m.named_modules():
        if getattr(x, "lora_A", None) and "default" in x.lora_A:
            A, B = (w["default"].weight.detach().abs() for w in (x.lora_A, x.lora_B))
            terms = x.base_layer.weight.abs() + x.scaling["default"] * (B @ A)
            name = name.removeprefix("base_model.model.") + ".weight"
            slack[name] = (A.shape[0] + 2) * 2.0**-23 * terms
            if x.use_dora["default"]:  # and its factor, some units off, within 2
                slack[name] = 2 * slack[name] + 2.0**-21 * terms
    return m.merge_and_unload().state_dict(), slack


def read_checkpoint(path):
    weights = {}
    for f in sorted(os.listdir(path)):
        if f.endswith(".safetensors"):
            weights.update(load_file(os.path.join(path, f)))
    return weights


def check_merged(base, model, adapter, ids, work):
    """A checkpoint with the adapter merged in: as peft merges it, as transformers loads it, in
    several files, and rounded to bf16."""
    out, half = os.path.join(work, "merged"), os.path.join(work, "half")
    lorafs("export", adapter, out, "--merged", "--base", base, "--dtype", "f32")
    lorafs("export", adapter, half, "--merged", "--base", base, "--shard", "100K")
    want, slack = merged_by_peft(model, adapter)
    got, rounded = read_checkpoint(out), read_checkpoint(half)
    if set(got) != set(rounded) or not set(got) <= set(want):
        raise Failure("merged: other tensors: %s" % (set(got) ^ set(want)))
    for k, w in got.items():
        if not ((w - want[k]).abs() <= slack.get(k, torch.zeros(()))).all():
            raise Failure("merged: %s differs by %.1e" % (k, (w - want[k]).abs().max()))
        if not torch.equal(rounded[k], w.bfloat16()):
            raise Failure("merged: %s is not rounded to bf16" % k)
    files = [f for f in os.listdir(half) if f.endswith(".safetensors")]
    index = json.load(open(os.path.join(half, "model.safetensors.index.json")))
    if len(files) < 2 or set(index["weight_map"].values()) != set(files):
        raise Failure("merged: the index is not of the files %s" % files)
    whole = theirs(load(half), ids)
    rounding = theirs(model_of(load(out), rounded), ids)
    shutil.rmtree(out)
    shutil.rmtree(half)
    return close("merged", whole, rounding, 1e-6)


def model_of(model, state):
    model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    return model


def training_rows(rng, vocab, n):
    rows = []
    for _ in range(n):
        ids = [rng.randrange(3, vocab) for _ in range(rng.randrange(6, 30))]
        k = rng.randrange(1, len(ids) - 2)
        rows.append({"input_ids": ids, "labels": [-100] * k + ids[k:]})
    return rows


def check_training(model, cfg, base, rng, seed, work):
    steps, accumulation, batch, lr = 3, 2, 2, 2e-3
    m = adapted(model, cfg, seed + 5, zero_b=True).train()
    init, out, log = (os.path.join(work, n) for n in ("init", "trained", "log.jsonl"))
    m.save_pretrained(init)
    rows = training_rows(rng, m.config.vocab_size, steps * accumulation * batch)
    params = [p for p in m.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=lr, weight_decay=0.01)
    losses = []
    for s in range(steps):
        for a in range(accumulation):
            at = (s * accumulation + a) * batch
            total, count = 0.0, 0
            for row in rows[at : at + batch]:
                out_ = m(input_ids=torch.tensor([row["input_ids"]])).logits.float()
                y = torch.tensor(row["labels"][1:])
                total = total + torch.nn.functional.cross_entropy(
                    out_[0, :-1], y, ignore_index=-100, reduction="sum"
                )
                count += int((y != -100).sum())
            losses.append((total / count).item())
            (total / count / accumulation).backward()
        torch.nn.utils.clip_grad_norm_(params, 0.7)
        opt.step()
        opt.zero_grad()
    settings = dict(
        rank=cfg.r,
        alpha=cfg.lora_alpha,
        batch_size=batch,
        accumulation=accumulation,
        steps=steps,
        learning_rate=lr,
        schedule="constant",
        warmup_steps=0,
        optimizer="adamw",
        weight_decay=0.01,
        max_grad_norm=0.7,
        dropout=0,
        loss_normalization="micro_batch",
        shuffle=False,
        max_length=64,
    )
    data, conf = os.path.join(work, "rows.jsonl"), os.path.join(work, "config.json")
    open(data, "w").write("".join(json.dumps(r) + "\n" for r in rows))
    json.dump(settings, open(conf, "w"))
    lorafs(
        "train",
        "--base",
        base,
        "--quant",
        "nf4",
        "--device",
        "cpu",
        "--dataset",
        data,
        "--config",
        conf,
        "--out",
        out,
        "--init-adapter",
        init,
        "--log",
        log,
    )
    got = [json.loads(x)["micro_loss"] for x in open(log) if "micro_loss" in x]
    if len(got) != len(losses):
        raise Failure("%d micro-batches in the log, not %d" % (len(got), len(losses)))
    said = close("micro losses", torch.tensor(got), torch.tensor(losses), 1e-4)
    want, have = os.path.join(work, "want"), load_file(
        os.path.join(out, "adapter_model.safetensors")
    )
    m.save_pretrained(want)
    ref = load_file(os.path.join(want, "adapter_model.safetensors"))
    if set(ref) != set(have):
        raise Failure("trained tensors differ in name: %s" % (set(ref) ^ set(have)))
    off = math.sqrt(
        sum(((ref[k] - have[k].float()) ** 2).sum().item() for k in ref)
        / sum((ref[k] ** 2).sum().item() for k in ref)
    )
    if not off < 1e-3:
        raise Failure("trained adapter differs by %.2e of its norm" % off)
    PeftModel.from_pretrained(load(base), out)
    return said + ", adapter %.1e" % off


def check(arch, seed, work):
    rng = random.Random("%s %d" % (arch, seed))
    base, quantised, adapter = (os.path.join(work, n) for n in ("base", "quantised", "adapter"))
    cfg = make_checkpoint(arch, rng, seed, base)
    ids = torch.randint(3, cfg.vocab_size, (2, 37))
    said = [
        "C%d H%d/%d D%d F%d V%d"
        % (
            cfg.hidden_size,
            cfg.num_attention_heads,
            cfg.num_key_value_heads or 0,
            getattr(cfg, "head_dim", None) or cfg.hidden_size // cfg.num_attention_heads,
            cfg.intermediate_size,
            cfg.vocab_size,
        )
    ]
    said.append(close("fp", logits_of(base, "none", ids, work), theirs(load(base), ids), LOGITS))
    lorafs("quantize", "--base", base, "--out", quantised)
    said.append(check_codes(base, quantised))
    m4 = load_nf4(base, quantised)
    said.append(close("nf4", logits_of(base, "nf4", ids, work), theirs(m4, ids), LOGITS))
    said.append(close("its file", logits_of(quantised, "none", ids, work), theirs(m4, ids), LOGITS))
    as_shipped = AutoModelForCausalLM.from_pretrained(quantised, attn_implementation="eager").eval()
    close("transformers in bf16", theirs(as_shipped, ids), theirs(m4, ids), 0.5)
    lora = lora_config(arch, rng)
    ml = adapted(m4, lora, seed + 2, zero_b=False).eval()
    ml.save_pretrained(adapter)
    rename_base(adapter, rng)
    said.append("r%d %s%s" % (lora.r, targets_of(lora), " DoRA" if lora.use_dora else ""))
    said.append(close("lora", logits_of(base, "nf4", ids, work, adapter), theirs(ml, ids), LOGITS))
    said.append(check_greedy(ml, base, adapter, ids[:1, :8], work))
    for path, model in ((base, load(base)), (quantised, load_nf4(base, quantised))):
        said.append(check_merged(path, model, adapter, ids, work))
    said.append(check_training(load_nf4(base, quantised), lora, base, rng, seed, work))
    return ", ".join(said)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("lorafs")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--only", default="")
    ap.add_argument("--keep", default="")
    a = ap.parse_args()
    LORAFS = a.lorafs
    failed = 0
    print("seed", a.seed)
    for arch in ARCHS:
        if a.only and arch not in a.only.split(","):
            continue
        work = os.path.join(a.keep, arch) if a.keep else tempfile.mkdtemp(prefix="lorafs-random-")
        os.makedirs(work, exist_ok=True)
        try:
            print("ok    ", arch, check(arch, a.seed, work), flush=True)
        except Failure as e:
            failed += 1
            print("FAILED", arch, e, flush=True)
        finally:
            if not a.keep:
                shutil.rmtree(work, ignore_errors=True)
    print("%d failed" % failed)
    sys.exit(1 if failed else 0)
