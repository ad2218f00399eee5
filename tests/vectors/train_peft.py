"""Trains an adapter as transformers + peft + bitsandbytes do, with the settings of a config.json of
lorafs, for comparison with `lorafs train`; `lorafs eval --adapter OUT` scores both.

    train_peft.py BASE DATASET.jsonl CONFIG.json OUT [--seed N] [--steps N]

BASE is a checkpoint in NF4 or one that is made NF4 at load; rows are {prompt, completion}. The
loss is the mean over the supervised tokens of a batch, in bf16 autocast, adapters in fp32.
"""

import argparse
import json
import random
import time

import peft
import torch
import transformers

PROMPT_MAX, COMPLETION_MAX, WARMUP, DROPOUT = 440, 160, 0.03, 0.05

ap = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
ap.add_argument("base")
ap.add_argument("dataset")
ap.add_argument("config")
ap.add_argument("out")
ap.add_argument("--seed", type=int, default=0)
ap.add_argument("--steps", type=int, help="stop after so many")
a = ap.parse_args()
device = "cuda" if torch.cuda.is_available() else "cpu"
with open(a.config, encoding="utf-8") as f:
    config = json.load(f)
torch.manual_seed(a.seed)
random.seed(a.seed)


def load():
    kind = {}
    if not hasattr(transformers.AutoConfig.from_pretrained(a.base), "quantization_config"):
        kind["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        a.base, dtype=torch.bfloat16, device_map={"": device}, **kind)
    return peft.get_peft_model(model, peft.LoraConfig(
        r=config["rank"], lora_alpha=config["alpha"], target_modules=config["target_modules"],
        lora_dropout=config.get("dropout", DROPOUT), task_type="CAUSAL_LM"))


def examples(tokenizer):
    bos = tokenizer.bos_token_id
    with open(a.dataset, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    for row in rows:
        prompt = tokenizer.encode(row["prompt"], add_special_tokens=False)
        prompt = ([bos] if bos is not None else []) + prompt
        completion = tokenizer.encode(row["completion"], add_special_tokens=False)
        yield prompt[-PROMPT_MAX:], completion[:COMPLETION_MAX] + [tokenizer.eos_token_id]


def padded(batch):
    """ids, labels and mask, padded at the end."""
    n = max(len(p) + len(c) for p, c in batch)
    ids = torch.zeros(len(batch), n, dtype=torch.long)
    labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
    for i, (p, c) in enumerate(batch):
        ids[i, :len(p) + len(c)] = torch.tensor(p + c)
        labels[i, len(p):len(p) + len(c)] = torch.tensor(c)
        mask[i, :len(p) + len(c)] = 1
    return ids.to(device), labels.to(device), mask.to(device)


tok = transformers.AutoTokenizer.from_pretrained(a.base)
model = load()
params = [p for p in model.parameters() if p.requires_grad]
for p in params:
    p.data = p.data.float()
rows = list(examples(tok))
size, epochs = config["batch_size"], config["epochs"]
total = epochs * len(rows) // size
optimizer = torch.optim.AdamW(params, lr=config["learning_rate"], weight_decay=0.0)
schedule = transformers.get_cosine_schedule_with_warmup(optimizer, int(WARMUP * total), total)
start, step = time.time(), 0
for epoch in range(epochs):
    random.shuffle(rows)
    for at in range(0, len(rows) - size + 1, size):
        if a.steps and step >= a.steps:
            break
        ids, labels, mask = padded(rows[at:at + size])
        with torch.autocast(device, torch.bfloat16):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        step += 1
model.save_pretrained(a.out)
print(f"{a.out}: {step} steps, loss {loss.item():.3f}, {time.time() - start:.0f} s")
