#!/usr/bin/env python3
"""Small random models of many configurations, with what transformers and peft make of them.

  transformers_oracle.py make OUT    writes OUT/<name>/{model,adapter,golden.safetensors} for every
                                     variant below: logits of the base, logits with the adapter,
                                     and the adapter's gradients of a loss
  transformers_oracle.py check OUT   loads OUT/<name>/saved with peft; its logits must be those
                                     that `make` wrote for OUT/<name>/adapter

Exit status 77: torch, transformers or peft is not installed.
"""
import json
import os
import sys

try:
    import torch
    import transformers as tf
    from peft import LoraConfig, PeftModel, get_peft_model
    from safetensors.torch import load_file, save_file
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

V = 96
TINY = dict(vocab_size=V, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128)
LONG = {"rope_type": "longrope", "rope_theta": 10000.0,
        "short_factor": [1.0, 1.1, 1.3], "long_factor": [2.0, 3.0, 5.0]}


def old_keys(c):
    """config.json as transformers 4 wrote it."""
    r = c.pop("rope_parameters")
    c["rope_theta"] = r.pop("rope_theta")
    if r.pop("partial_rotary_factor", None) is not None:
        c["partial_rotary_factor"] = 0.5
    kind = r.pop("rope_type")
    c["rope_scaling"] = None if kind == "default" else dict(r, type=kind)
    c["torch_dtype"] = c.pop("dtype", "float32")
    c.pop("layer_types", None)


def old_ministral(c):
    """Layer types, and rope as before."""
    types = c["layer_types"]
    old_keys(c)
    c["layer_types"] = types


def old_gemma3(c):
    """Two ropes as transformers 4 wrote them, and layers by a pattern."""
    r = c.pop("rope_parameters")
    full = r["full_attention"]
    c["rope_theta"] = full.pop("rope_theta")
    c["rope_scaling"] = full
    c["rope_local_base_freq"] = r["sliding_attention"]["rope_theta"]
    c["sliding_window_pattern"] = 2
    c["torch_dtype"] = c.pop("dtype", "float32")
    c.pop("layer_types")
    c.pop("_sliding_window_pattern", None)


def legacy_gemma(c):
    old_keys(c)
    c["hidden_act"] = "gelu"


ALL = dict(target_modules="all-linear")
DORA = dict(target_modules="all-linear", use_dora=True)
SLIDING, FULL = "sliding_attention", "full_attention"
TWO_ROPES = {FULL: {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
             SLIDING: {"rope_type": "default", "rope_theta": 1e4}}
# name: configuration, how the checkpoint is saved, a change of config.json, LoRA's settings, tokens
VARIANTS = {
    "llama-biases": (tf.LlamaConfig(**TINY, attention_bias=True, mlp_bias=True, rope_parameters={
        "rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}), {}, None, ALL, 20),
    "llama-yarn": (tf.LlamaConfig(**TINY, rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
        "original_max_position_embeddings": 32}), {}, None,
        dict(target_modules=["q_proj", "o_proj"], use_rslora=True), 60),
    "llama-old": (tf.LlamaConfig(**TINY, tie_word_embeddings=True, rope_parameters={
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 32}), {}, old_keys,
        dict(target_modules=r".*layers\.[02]\.(mlp\.up_proj|self_attn\.k_proj)"), 40),
    "mistral-half-sharded": (tf.MistralConfig(**TINY, head_dim=8, sliding_window=None),
        dict(dtype=torch.float16, shard="20KB"), old_keys,
        dict(target_modules=["q_proj", "v_proj", "down_proj"], layers_to_transform=[1, 2]), 20),
    "qwen2-window": (tf.Qwen2Config(**TINY, use_sliding_window=True, sliding_window=6,
        max_window_layers=1), dict(dtype=torch.bfloat16), None,
        dict(target_modules="all-linear", exclude_modules=["k_proj"]), 20),
    "qwen3-bias": (tf.Qwen3Config(**TINY, head_dim=16, attention_bias=True), {}, None, ALL, 20),
    "phi-grouped": (tf.PhiConfig(**TINY, hidden_act="gelu"), {}, None, ALL, 20),
    "phi-old": (tf.PhiConfig(**TINY), {}, old_keys,
        dict(target_modules=["dense", "fc2"], rank_pattern={"fc2": 2},
             alpha_pattern={"layers.1.mlp.fc2": 3, "dense": 5}), 20),
    "phi-dora": (tf.PhiConfig(**dict(TINY, max_position_embeddings=300)), {}, None, DORA, 280),
    "llama-dora": (tf.LlamaConfig(**TINY, attention_bias=True, mlp_bias=True), {}, None,
        dict(target_modules=["q_proj", "o_proj", "gate_proj", "down_proj"], use_dora=True,
             use_rslora=True), 20),
    "phi3-long": (tf.Phi3Config(**TINY, pad_token_id=0, original_max_position_embeddings=32,
        rope_parameters=dict(LONG, partial_rotary_factor=0.5)), {}, None, ALL, 40),
    "phi3-short": (tf.Phi3Config(**TINY, pad_token_id=0, original_max_position_embeddings=32,
        sliding_window=11, rope_parameters=dict(LONG, partial_rotary_factor=0.5)), {}, old_keys,
        dict(target_modules=["gate_up_proj", "qkv_proj"], use_dora=True), 30),
    "gemma-old": (tf.GemmaConfig(**TINY, head_dim=24), {}, legacy_gemma, ALL, 20),
    "gemma2-uncapped": (tf.Gemma2Config(**TINY, head_dim=16, sliding_window=5,
        query_pre_attn_scalar=20, attn_logit_softcapping=None, final_logit_softcapping=None),
        {}, old_keys, ALL, 20),
    "gemma2-capped": (tf.Gemma2Config(**TINY, head_dim=16, sliding_window=64,
        attn_logit_softcapping=2.0, final_logit_softcapping=1.5), {}, None, ALL, 20),
    "mistral-nemo": (tf.MistralConfig(**TINY, head_dim=20, sliding_window=None, rope_parameters={
        "rope_type": "default", "rope_theta": 1e6}), dict(dtype=torch.bfloat16), old_keys, ALL, 20),
    "ministral": (tf.MinistralConfig(**TINY, head_dim=20, sliding_window=6,
        layer_types=[FULL, SLIDING, SLIDING]), {}, None, ALL, 20),
    "ministral-old": (tf.MinistralConfig(**TINY, head_dim=8, sliding_window=5,
        layer_types=[SLIDING, FULL, SLIDING]), {}, old_ministral,
        dict(target_modules=["q_proj", "k_proj", "gate_proj"]), 30),
    "olmo2": (tf.Olmo2Config(**TINY, attention_bias=True), {}, None, ALL, 20),
    "olmo2-old": (tf.Olmo2Config(**dict(TINY, num_key_value_heads=4), tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 5e5}), {}, old_keys,
        dict(target_modules=["k_proj", "o_proj", "up_proj"], layers_to_transform=[1, 2]), 30),
    "gemma3": (tf.Gemma3TextConfig(**TINY, head_dim=16, sliding_window=5,
        query_pre_attn_scalar=20, layer_types=[SLIDING, FULL, SLIDING],
        rope_parameters=TWO_ROPES), {}, None, ALL, 20),
    "gemma3-dora": (tf.Gemma3TextConfig(**TINY, head_dim=16, sliding_window=5,
        query_pre_attn_scalar=20, layer_types=[SLIDING, FULL, SLIDING],
        rope_parameters=TWO_ROPES), {}, None, DORA, 20),
    "gemma3-old": (tf.Gemma3TextConfig(**TINY, head_dim=24, sliding_window=6,
        layer_types=[SLIDING, FULL, SLIDING], final_logit_softcapping=1.5,
        rope_parameters=TWO_ROPES), {}, old_gemma3,
        dict(target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True), 40),
}


def load(path):
    return tf.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32,
                                                   attn_implementation="eager").eval()


def save_model(d, config, how, change):
    config.initializer_range = 0.2
    m = tf.AutoModelForCausalLM.from_config(config).to(how.get("dtype", torch.float32))
    for p in m.parameters():
        if p.dim() == 1:
            p.data += (torch.randn_like(p.float()) * 0.1).to(p.dtype)
    m.save_pretrained(d, max_shard_size=how.get("shard", "1GB"))
    if change:
        path = os.path.join(d, "config.json")
        with open(path) as f:
            c = json.load(f)
        change(c)
        with open(path, "w") as f:
            json.dump(c, f)


def gradients(m, ids, out):
    labels = ids.clone()
    labels[:, :5] = -100
    m(input_ids=ids, labels=labels).loss.backward()
    for name, p in m.named_parameters():
        if p.grad is not None and "lora_" in name:
            out["grad." + name.replace(".default", "")] = p.grad.contiguous()


def make(out):
    for seed, (name, (config, how, change, lora, tokens)) in enumerate(VARIANTS.items()):
        torch.manual_seed(seed)
        d = os.path.join(out, name)
        save_model(os.path.join(d, "model"), config, how, change)
        m = load(os.path.join(d, "model"))
        ids = torch.randint(3, V, (1, tokens))
        gold = {"input_ids": ids.int()}
        with torch.no_grad():
            gold["logits"] = m(ids).logits
        m = get_peft_model(m, LoraConfig(r=4, lora_alpha=6, task_type="CAUSAL_LM", **lora))
        for n, p in m.named_parameters():
            if "lora_B" in n:
                p.data.normal_(0, 0.3)
            elif "lora_magnitude" in n:
                p.data *= 1 + 0.3 * torch.rand_like(p)
        with torch.no_grad():
            gold["logits_lora"] = m.eval()(ids).logits
        gradients(m, ids, gold)
        m.save_pretrained(os.path.join(d, "adapter"))
        save_file({k: v.contiguous() for k, v in gold.items()},
                  os.path.join(d, "golden.safetensors"))


def check(out):
    for name in VARIANTS:
        d = os.path.join(out, name)
        gold = load_file(os.path.join(d, "golden.safetensors"))
        m = PeftModel.from_pretrained(load(os.path.join(d, "model")), os.path.join(d, "saved"))
        with torch.no_grad():
            got = m.eval()(gold["input_ids"].long()).logits
        worst = (got - gold["logits_lora"]).abs().max().item()
        print(name, "saved adapter in peft: largest difference", worst)
        assert worst <= 1e-5, name


if __name__ == "__main__":
    tf.logging.set_verbosity_error()
    torch.set_num_threads(1)
    {"make": make, "check": check}[sys.argv[1]](sys.argv[2])
