"""weights_oracle.py LORAFS: weights of rows and of classes in the loss, against torch.

The same rows in the same order from the same adapter, in fp32 on the CPU: the loss and the
gradient's norm of each step agree, and so does the loss of rows that are held out.
"""
import json
import os
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
try:
    import peft
    import torch
    import transformers
    from plain_base import plain_base
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

TOLERANCE = 1e-4
STEPS, BATCH, ACCUMULATION, RATE, HELD_OUT = 2, 3, 2, 2e-4, 4
CLASSES = {"the sky": 3, "a fox, at noon": 0.25}
ANSWERS = [*CLASSES, "coal", "nobody knows which of them it was"]


def rows_of(first, n):
    """Answers of several lengths and classes; every third row has a weight of its own."""
    return [{"prompt": f"Question {i}: What was near the harbour?\nAnswer:",
             "completion": " " + ANSWERS[i % len(ANSWERS)],
             **({"weight": 0.5 + i % 5} if i % 3 == 0 else {})} for i in range(first, first + n)]


def write_lines(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)


def ours(tool, base, work, by, train, held):
    """The steps, and the evaluation at the end."""
    config = {"batch_size": BATCH, "accumulation": ACCUMULATION, "steps": STEPS,
              "loss_normalization": by, "class_weights": CLASSES, "learning_rate": RATE,
              "schedule": "constant", "warmup_steps": 0, "shuffle": False, "dropout": 0,
              "max_length": 128, "eval_every": STEPS}
    path = {name: os.path.join(work, f"{by}.{name}") for name in ("train", "eval", "json", "log")}
    write_lines(path["train"], train)
    write_lines(path["eval"], held)
    with open(path["json"], "w", encoding="utf-8") as f:
        json.dump(config, f)
    subprocess.run([tool, "train", "--base", base, "--quant", "none", "--device", "cpu",
                    "--cpu-products", "fp32", "--init-adapter", os.path.join(work, "start"),
                    "--dataset", path["train"], "--eval", path["eval"], "--config", path["json"],
                    "--out", os.path.join(work, by), "--log", path["log"]],
                   check=True, stdout=subprocess.DEVNULL)
    with open(path["log"], encoding="utf-8") as f:
        lines = [json.loads(line) for line in f]
    return ([line for line in lines if line["event"] == "step"],
            [line for line in lines if line["event"] == "eval"][-1])


def loss_of(model, tokenizer, rows):
    """The mean of the tokens' losses by the weights of their rows."""
    total = weights = 0
    for row in rows:
        prompt = tokenizer(row["prompt"]).input_ids
        answer = tokenizer(row["completion"], add_special_tokens=False).input_ids
        answer.append(tokenizer.eos_token_id)
        ids = torch.tensor([prompt + answer])
        logits = model(input_ids=ids).logits[0, len(prompt) - 1:-1]
        weight = row.get("weight", 1) * CLASSES.get(row["completion"].strip(), 1)
        total = total + weight * torch.nn.functional.cross_entropy(
            logits, ids[0, len(prompt):], reduction="sum")
        weights += weight * len(answer)
    return total / weights


def agree(what, mine, other):
    if not abs(mine - other) <= TOLERANCE:
        raise SystemExit(f"{what} is {mine}, torch's is {other}")
    return abs(mine - other)


def check(tool, base, work, by, model, tokenizer):
    n = BATCH * ACCUMULATION
    train, held = rows_of(0, STEPS * n), rows_of(100, HELD_OUT)
    steps, evaluated = ours(tool, base, work, by, train, held)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer, worst = torch.optim.AdamW(params, lr=RATE, weight_decay=0), 0
    for i, step in enumerate(steps):
        rows = train[i * n:(i + 1) * n]
        parts = [rows] if by == "tokens" else [rows[:BATCH], rows[BATCH:]]
        optimizer.zero_grad()
        loss = sum(loss_of(model, tokenizer, part) for part in parts) / len(parts)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(params, 1.0).item()
        optimizer.step()
        worst = max(worst, agree(f"{by}, step {i + 1}: the loss", step["loss"], loss.item()),
                    agree(f"{by}, step {i + 1}: the gradient", step["grad_norm"] / norm, 1))
    with torch.no_grad():
        agree(f"{by}, held out: the loss", evaluated["eval_loss"],
              loss_of(model, tokenizer, held).item())
        plain = loss_of(model, tokenizer, [{**row, "weight": 1} for row in held]).item()
    if abs(plain - evaluated["eval_loss"]) < 10 * TOLERANCE:
        raise SystemExit("these rows do not tell whether their weights are used")
    print(f"{by}: {STEPS} steps differ by {worst:.1e}", flush=True)


def main():
    tool, = sys.argv[1:]
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as work:
        base = plain_base(os.path.join(work, "base"))
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        for by in ("tokens", "micro_batch"):
            torch.manual_seed(3)
            model = peft.get_peft_model(
                transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
                peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear",
                                task_type="CAUSAL_LM"))
            model.save_pretrained(os.path.join(work, "start"))
            check(tool, base, work, by, model, tokenizer)


main()
