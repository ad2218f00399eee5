"""GGUF files made here with the `gguf` package, imported by lorafs, against transformers; and LoRA
adapters that lorafs writes as GGUF, against the package, and read again.

gguf_import.py LORAFS [--seed N]

For every architecture a random model's weights are stored in one of the forms, put back into the
model as the package widens them, and the logits of both must agree (2e-4). Where transformers reads
the file itself, its logits are held against ours too. Vocabularies come from
$LF_TOKENIZERS/vectors: their strings give their ids. Exit status 77 where one of the libraries
cannot be imported.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["TQDM_DISABLE"] = "1"
try:
    import gguf
    import numpy as np
    import torch
    import transformers as tf
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load_file
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

tf.logging.set_verbosity_error()
tf.utils.logging.disable_progress_bar()
torch.set_num_threads(2)
LOGITS = 2e-4
SIZES = dict(vocab_size=320, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
             bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
        "short_factor": [1 + 0.05 * i for i in range(24)],
        "long_factor": [1 + 0.5 * i for i in range(24)]}
GEMMA3 = dict(SIZES, num_hidden_layers=7, head_dim=256, sliding_window=7,
              query_pre_attn_scalar=256)
# name: configuration, architecture, whether transformers reads such a file
CASES = {
    "llama": (tf.LlamaConfig(**SIZES), gguf.MODEL_ARCH.LLAMA, True),
    "llama3": (tf.LlamaConfig(**SIZES, tie_word_embeddings=True, rope_parameters=LLAMA3),
               gguf.MODEL_ARCH.LLAMA, False),
    "qwen2": (tf.Qwen2Config(**SIZES), gguf.MODEL_ARCH.QWEN2, True),
    "qwen3": (tf.Qwen3Config(**SIZES, head_dim=32), gguf.MODEL_ARCH.QWEN3, False),
    "gemma": (tf.GemmaConfig(**SIZES, head_dim=96), gguf.MODEL_ARCH.GEMMA, False),
    "gemma2": (tf.Gemma2Config(**SIZES, head_dim=256, query_pre_attn_scalar=256, sliding_window=7),
               gguf.MODEL_ARCH.GEMMA2, True),
    "gemma3": (tf.Gemma3TextConfig(**GEMMA3), gguf.MODEL_ARCH.GEMMA3, True),
    "gemma3long": (tf.Gemma3TextConfig(**GEMMA3, rope_parameters={
        "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}),
        gguf.MODEL_ARCH.GEMMA3, False),
    "olmo2": (tf.Olmo2Config(**SIZES), gguf.MODEL_ARCH.OLMO2, False),
    "phi2": (tf.PhiConfig(**dict(SIZES, num_key_value_heads=4), partial_rotary_factor=0.5),
             gguf.MODEL_ARCH.PHI2, False),
    "phi3": (tf.Phi3Config(**SIZES, sliding_window=9), gguf.MODEL_ARCH.PHI3, False),
    "phi3long": (tf.Phi3Config(**SIZES, original_max_position_embeddings=16, rope_parameters=LONG),
                 gguf.MODEL_ARCH.PHI3, False),
}
TYPES = [gguf.GGMLQuantizationType[n]
         for n in ["F32", "F16", "BF16", "Q4_0", "Q8_0", "Q4_K", "Q6_K"]]
failed = 0


def lorafs(*args, stdin=None):
    r = subprocess.run([LORAFS, *map(str, args)], capture_output=True, text=True, check=False,
                       input=stdin)
    if r.returncode:
        raise SystemExit("lorafs %s: %s" % (args[0], r.stderr.strip()[-400:]))
    return r.stdout


def report(what, good, detail):
    global failed
    failed += not good
    print("%s %s: %s" % ("ok    " if good else "FAILED", what, detail), flush=True)


# --- weights ---

def random_blocks(kind, shape, rng):
    """Bytes of K-quants, which the package only reads: small scales, random the rest."""
    per, size = gguf.GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (shape[0], shape[1] // per, size), dtype=np.uint8)
    scale = np.frombuffer(np.float16(3e-4).tobytes(), dtype=np.uint8)
    if kind == gguf.GGMLQuantizationType.Q4_K:
        raw[:, :, 0:2] = raw[:, :, 2:4] = scale
    else:
        raw[:, :, 208:210] = scale
        raw[:, :, 192:208] = rng.integers(0, 40, raw[:, :, 192:208].shape)
    return raw.reshape(shape[0], -1)


def stored(data, kind, rng):
    """What goes into the file, its form and its values. Rows of no whole blocks are halves."""
    if data.shape[1] % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = gguf.GGMLQuantizationType.F16
    if kind.name in ("Q4_K", "Q6_K"):
        raw = random_blocks(kind, data.shape, rng)
    else:
        raw = gguf.quants.quantize(data, kind)
    return raw, kind, gguf.quants.dequantize(raw, kind)


def turned(w, heads, back=False):
    """Rows of q and k as llama.cpp wants them: a rotation's pairs side by side; and back."""
    a, b = (w.shape[0] // heads // 2, 2) if back else (2, w.shape[0] // heads // 2)
    return w.reshape(heads, a, b, -1).swapaxes(1, 2).reshape(w.shape)


def add_tensors(out, model, arch, config, kind, rng):
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    llama, gemma = arch == gguf.MODEL_ARCH.LLAMA, "gemma" in config.model_type
    for name, p in model.named_parameters():
        data = p.detach().numpy().astype(np.float32)
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        heads = 0
        if llama and ".q_proj." in name:
            heads = config.num_attention_heads
        if llama and ".k_proj." in name:
            heads = config.num_key_value_heads
        if heads:
            data = turned(data, heads)
        if gemma and data.ndim == 1:
            data = data + 1
        if data.ndim == 1 or name.endswith("embed_tokens.weight"):
            out.add_tensor(new, data)
            continue
        raw, form, values = stored(data, kind, rng)
        out.add_tensor(new, raw, raw_dtype=form)
        p.data = torch.from_numpy(turned(values, heads, back=True) if heads else values.copy())


# --- keys ---

def add_rope(out, config, rot):
    r = config.rope_parameters
    r = r.get("full_attention", r)
    out.add_rope_freq_base(r["rope_theta"])
    if r["rope_type"] == "linear":
        out.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        out.add_rope_scaling_factor(r["factor"])
    if r["rope_type"] == "llama3":
        base = 1 / r["rope_theta"] ** (np.arange(0, rot, 2) / rot)
        wave = 2 * np.pi / base
        smooth = (8192 / wave - 1) / 3
        middle = 1 / ((1 - smooth) / 8 + smooth)
        factors = np.where(wave > 8192, 8, np.where(wave < 2048, 1, middle))
        out.add_tensor("rope_freqs.weight", factors.astype(np.float32))
    if r["rope_type"] == "longrope":
        out.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        for key in ["long", "short"]:
            factors = np.array(r[key + "_factor"], np.float32)
            out.add_tensor("rope_factors_%s.weight" % key, factors)


def write(path, model, config, arch, kind, rng, vocabulary=None):
    out = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    out.add_block_count(config.num_hidden_layers)
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_vocab_size(config.vocab_size)
    usual = config.hidden_size // config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or usual
    if head_dim != usual:
        out.add_key_length(head_dim)
        out.add_value_length(head_dim)
    rot = int(head_dim * (config.rope_parameters.get("partial_rotary_factor") or 1))
    out.add_rope_dimension_count(rot)
    if config.model_type == "phi":
        out.add_layer_norm_eps(config.layer_norm_eps)
    else:
        out.add_layer_norm_rms_eps(config.rms_norm_eps)
    if config.model_type in ("phi3", "gemma2", "gemma3_text") and config.sliding_window:
        out.add_sliding_window(config.sliding_window)
    if config.model_type == "gemma2":
        out.add_attn_logit_softcapping(config.attn_logit_softcapping)
        out.add_final_logit_softcapping(config.final_logit_softcapping)
    add_rope(out, config, rot)
    for key, value in (vocabulary or {}).items():
        out.add_key_value(key, *value)
    add_tensors(out, model, arch, config, kind, rng)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


# --- comparing ---

def random_model(config):
    config.initializer_range = 0.08
    m = tf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    for p in m.parameters():
        if p.dim() == 1:
            p.data += torch.randn_like(p) * 0.1
    return m


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits.float()


def check(name, kind, work):
    config, arch, readable = CASES[name]
    model, rng = random_model(config), np.random.default_rng(a.seed)
    path, base = os.path.join(work, "model.gguf"), os.path.join(work, "imported")
    write(path, model, config, arch, kind, rng)
    lorafs("import", path, "--out", base, "--dtype", "f32")
    ids = torch.randint(3, config.vocab_size, (2, 21))
    with open(os.path.join(work, "ids.json"), "w") as f:
        json.dump(ids.tolist(), f)
    got_path = os.path.join(work, "logits.safetensors")
    lorafs("logits", "--base", base, "--quant", "none", "--device", "cpu", "--ids",
           os.path.join(work, "ids.json"), "--out", got_path)
    got = load_file(got_path)["logits"]
    # In fp64: gemma2's soft ceilings lose 1e-3 in transformers' fp32 on some of these weights.
    worst = (got - logits(model.double(), ids)).abs().max().item()
    report("%s %s" % (name, kind.name), worst <= LOGITS, "%.1e" % worst)
    if readable and kind.name in ("F32", "F16", "Q8_0", "Q4_0"):
        theirs = tf.AutoModelForCausalLM.from_pretrained(
            work, gguf_file="model.gguf", dtype=torch.float32, attn_implementation="eager").eval()
        worst = (got - logits(theirs, ids)).abs().max().item()
        report("%s %s as transformers reads it" % (name, kind.name), worst <= LOGITS,
               "%.1e" % worst)


# --- adapters ---

ADAPTERS = {
    "llama": dict(r=4, lora_alpha=6, target_modules=["q_proj", "k_proj", "o_proj", "down_proj"]),
    "mistral": dict(r=4, lora_alpha=8, use_rslora=True, target_modules="all-linear"),
    "gemma2": dict(r=3, lora_alpha=16, target_modules=["q_proj", "up_proj"],
                   rank_pattern={"up_proj": 5}, alpha_pattern={"q_proj": 7}),
    "phi2": dict(r=8, lora_alpha=8, target_modules=["q_proj", "dense", "fc1"]),
    "phi3": dict(r=2, lora_alpha=4, target_modules=["qkv_proj", "gate_up_proj"]),
}
MISTRAL = tf.MistralConfig(**SIZES)


def random_adapter(config, settings, path):
    """A PEFT directory; what it does to each map, scale B A, and its factors."""
    model = get_peft_model(random_model(config), LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.data = torch.randn_like(p) * 0.1
    model.save_pretrained(path)
    sites = {}
    for name, m in model.named_modules():
        if getattr(m, "lora_A", None):
            A, B = (x["default"].weight.detach().numpy() for x in (m.lora_A, m.lora_B))
            sites[name.removeprefix("base_model.model.")] = (m.scaling["default"], A, B)
    return sites


def same_product(scale, A, B, want):
    scale_w, A_w, B_w = want
    got, product = scale * (B @ A), scale_w * (B_w @ A_w)
    return np.abs(got - product).max() <= 1e-6 * np.abs(product).max()


def check_adapter(name, work):
    config, arch, _ = CASES.get(name, (MISTRAL, gguf.MODEL_ARCH.LLAMA, False))
    base, adapter, file, again = (os.path.join(work, x) for x in ("base", "a", "a.gguf", "again"))
    config.save_pretrained(base)
    sites = random_adapter(config, ADAPTERS[name], adapter)
    lorafs("export", adapter, file, "--gguf", "--base", base)
    read = gguf.GGUFReader(file)
    keys = {k: read.fields[k].contents() for k in read.fields}
    heads = (keys["general.type"], keys["adapter.type"], keys["general.architecture"])
    good = heads == ("adapter", "lora", gguf.MODEL_ARCH_NAMES[arch])
    tensors = {t.name: t.data for t in read.tensors}
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for site, want in sites.items():
        new = names.get_name(site + ".weight", try_suffixes=(".weight",))
        A, B = tensors.pop(new + ".lora_a"), tensors.pop(new + ".lora_b")
        if arch == gguf.MODEL_ARCH.LLAMA and site.endswith(("q_proj", "k_proj")):
            q = site.endswith("q_proj")
            B = turned(B, config.num_attention_heads if q else config.num_key_value_heads, True)
        good = good and same_product(keys["adapter.lora.alpha"] / A.shape[0], A, B, want)
    lorafs("import", file, "--out", again, "--base", base)
    config_again = json.load(open(os.path.join(again, "adapter_config.json")))
    ours = load_file(os.path.join(again, "adapter_model.safetensors"))
    for site, want in sites.items():
        A, B = (ours.pop("base_model.model.%s.lora_%s.weight" % (site, ab)).numpy() for ab in "AB")
        alpha = config_again.get("alpha_pattern", {}).get(site, config_again["lora_alpha"])
        good = good and same_product(alpha / A.shape[0], A, B, want)
        if alpha / A.shape[0] == want[0]:  # else the scale is in B
            good = good and np.array_equal(A, want[1]) and np.array_equal(B, want[2])
    report("adapter " + name, good and not tensors and not ours, "%d maps" % len(sites))


def refused(text, *args):
    r = subprocess.run([LORAFS, *map(str, args)], capture_output=True, text=True, check=False)
    report("refused: " + text, r.returncode == 1 and text in r.stderr, r.stderr.strip()[-100:])


def check_adapters():
    for name in ADAPTERS:
        with tempfile.TemporaryDirectory() as work:
            check_adapter(name, work)
            if name != "llama":
                continue
            file, other = os.path.join(work, "a.gguf"), os.path.join(work, "other")
            refused("say with --base", "import", file, "--out", other)
            tf.Qwen2Config(**SIZES).save_pretrained(other)
            refused('of a base of architecture "llama"', "import", file, "--out",
                    os.path.join(work, "x"), "--base", other)
            tf.LlamaConfig(**dict(SIZES, intermediate_size=480)).save_pretrained(other)
            refused("of the base's", "import", file, "--out", os.path.join(work, "x"), "--base",
                    other)


def check_vocabulary(name, case, vectors, work):
    """llama.cpp's vocabulary in a model of its size; its strings through what is imported."""
    source = gguf.GGUFReader(vectors / ("ggml-vocab-%s.gguf" % name))
    keys = {}
    for k, field in source.fields.items():
        if k.startswith("tokenizer."):
            kinds = field.types
            keys[k] = (field.contents(), kinds[0], kinds[1] if len(kinds) > 1 else None)
    config, arch, _ = CASES[case]
    config = type(config)(**dict(config.to_dict(), num_hidden_layers=1,
                                 vocab_size=len(keys["tokenizer.ggml.tokens"][0])))
    path, base = os.path.join(work, "model.gguf"), os.path.join(work, "imported")
    write(path, random_model(config), config, arch, gguf.GGMLQuantizationType.F16,
          np.random.default_rng(1), keys)
    lorafs("import", path, "--out", base)
    separator = "\n__ggml_vocab_test__\n"
    texts = (vectors / ("ggml-vocab-%s.gguf.inp" % name)).read_text().split(separator)
    want = [[int(x) for x in line.split()]
            for line in (vectors / ("ggml-vocab-%s.gguf.out" % name)).read_text().split("\n")]
    out = lorafs("tokenize", "--base", base,
                 stdin="".join(json.dumps({"text": t}) + "\n" for t in texts))
    got = [json.loads(x) for x in out.splitlines()]
    bad = sum(g["ids_plain"] != w for g, w in zip(got, want))
    report("vocabulary " + name, not bad and len(got) == len(texts),
           "%d strings, %d differ" % (len(texts), bad))


def main():
    torch.manual_seed(a.seed)
    choice = random.Random(a.seed)
    for name in CASES:
        # llama takes every form, the others two each.
        for kind in TYPES if name == "llama" else choice.sample(TYPES, 2):
            with tempfile.TemporaryDirectory() as work:
                check(name, kind, work)
    check_adapters()
    vectors = pathlib.Path(os.environ.get("LF_TOKENIZERS", "tokenizers")) / "vectors"
    if vectors.is_dir():
        for name, case in [("llama-spm", "llama"), ("gpt-2", "phi2"), ("phi-3", "phi3")]:
            with tempfile.TemporaryDirectory() as work:
                check_vocabulary(name, case, vectors, work)
    print("%d failed" % failed)
    return 1 if failed else 0


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("lorafs")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    LORAFS = a.lorafs
    sys.exit(main())
