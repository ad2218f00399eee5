#!/usr/bin/env python3
"""Which layers settings give an adapter, against peft: sites_oracle.py SITE_LINES

Random target_modules, rank_pattern, alpha_pattern and layers_to_transform, in peft's LoraConfig and
in ours, on a small Llama: the same layers have adapters, with the same ranks and scales. What is
written is loaded by peft with the same again. Skips without peft.
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

try:
    import peft
    import torch
    import transformers
except ImportError as e:
    print(e)
    sys.exit(77)

warnings.simplefilter("ignore")
draw = random.Random(11)
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LAYERS = 3


def model():
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64))


def patterns(targets, layers, values):
    """Some that fit a targeted layer, in each way that peft knows."""
    made = {}
    for _ in range(draw.randint(0, 3)):
        module, layer = draw.choice(targets), draw.choice(layers)
        part = "self_attn" if module in MODULES[:4] else "mlp"
        made[draw.choice([module, f"{part}.{module}", f"layers.{layer}.{part}.{module}",
                          f"model.layers.{layer}.{part}.{module}", rf"layers\.{layer}\..*",
                          f"layers.[{layer}].{part}.{module}"])] = draw.choice(values)
    return made


def settings():
    targets = draw.sample(MODULES, draw.randint(1, 5))
    layers = sorted(draw.sample(range(LAYERS), draw.randint(1, LAYERS)))
    s = {"rank": draw.choice([2, 5, 8]), "alpha": draw.choice([1, 8, 24]),
         "rslora": draw.random() < 0.3, "target_modules": targets}
    if draw.random() < 0.2:
        s["target_modules"], targets = "all-linear", MODULES
    if draw.random() < 0.5:
        s["layers_to_transform"] = layers
    else:
        layers = range(LAYERS)
    for key, values in (("rank_pattern", [1, 3, 12]), ("alpha_pattern", [2, 7.5, 32])):
        made = patterns(targets, layers, values)
        if made:
            s[key] = made
    return s


def sites(m):
    """(rank, scale) of each layer that has an adapter."""
    return {name.removeprefix("base_model.model."): (x.r["default"], x.scaling["default"])
            for name, x in m.named_modules() if isinstance(x, peft.tuners.lora.LoraLayer)}


def expect(what, got, want, s):
    same = got.keys() == want.keys() and all(
        got[k][0] == want[k][0] and abs(got[k][1] - want[k][1]) < 1e-6 * want[k][1] for k in want)
    assert same, (what, s, sorted(got.items()), sorted(want.items()))


with tempfile.TemporaryDirectory() as work:
    work = pathlib.Path(work)
    model().save_pretrained(work / "base")
    for i in range(40):
        s = settings()
        (work / "settings").write_text(json.dumps(s))
        lines = subprocess.run([sys.argv[1], work / "base", work / "settings", work / f"out{i}"],
                               capture_output=True, text=True)
        assert lines.returncode == 0, (s, lines.stderr)
        ours = {name: (int(rank), float(scale)) for name, rank, scale in
                (line.split() for line in lines.stdout.splitlines())}
        theirs = peft.get_peft_model(model(), peft.LoraConfig(
            r=s["rank"], lora_alpha=s["alpha"], use_rslora=s["rslora"],
            target_modules=MODULES if s["target_modules"] == "all-linear" else s["target_modules"],
            rank_pattern=s.get("rank_pattern", {}), task_type="CAUSAL_LM",
            alpha_pattern=s.get("alpha_pattern", {}),
            layers_to_transform=s.get("layers_to_transform")))
        expect("made", ours, sites(theirs), s)
        expect("written", sites(peft.PeftModel.from_pretrained(model(), work / f"out{i}")), ours, s)
print("40 settings")
