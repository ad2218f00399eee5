"""starts_oracle.py LORAFS: moments of 8 bits against bitsandbytes', and PiSSA's and LoftQ's
starts against peft's and torch's decompositions.

Rows in the same order, fp32 on the CPU. Trainings: the losses agree. Starts: the product of A and B
is the best of its rank. A version of a PiSSA training is an adapter that peft reads beside the
base as it was.
"""
import json
import os
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
try:
    import bitsandbytes
    import peft
    import torch
    import transformers
    from plain_base import plain_base
    from safetensors.torch import load_file
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

TOLERANCE = 1e-4  # of losses
STEPS, BATCH, RATE, RANK, ALPHA = 6, 4, 1e-3, 16, 32
TARGETS = ["q_proj", "down_proj"]
ROWS = [{"prompt": f"Question {i}: What was near the harbour?\nAnswer:",
         "completion": f" {'a fox' if i % 3 else 'coal'}, and {i} ships"}
        for i in range(STEPS * BATCH)]


def ours(tool, base, work, config, quant="none", start=None):
    """The losses, and the directory of the version."""
    out = tempfile.mkdtemp(dir=work)
    paths = {name: os.path.join(out, name) for name in ("rows.jsonl", "config.json", "log", "to")}
    config = {"rank": RANK, "alpha": ALPHA, "target_modules": TARGETS, "batch_size": BATCH,
              "steps": STEPS, "learning_rate": RATE, "schedule": "constant", "warmup_steps": 0,
              "shuffle": False, "dropout": 0, "max_length": 128, **config}
    with open(paths["rows.jsonl"], "w", encoding="utf-8") as f:
        f.writelines(json.dumps(row) + "\n" for row in ROWS)
    with open(paths["config.json"], "w", encoding="utf-8") as f:
        json.dump(config, f)
    subprocess.run([tool, "train", "--base", base, "--quant", quant, "--device", "cpu",
                    "--cpu-products", "fp32", "--dataset", paths["rows.jsonl"],
                    "--config", paths["config.json"], "--out", paths["to"], "--log", paths["log"],
                    *(["--init-adapter", start] if start else [])],
                   check=True, stdout=subprocess.DEVNULL)
    with open(paths["log"], encoding="utf-8") as f:
        lines = [json.loads(line) for line in f]
    return [line["loss"] for line in lines if line["event"] == "step"], paths["to"]


def plain(base):
    return transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def adapted(base, **settings):
    torch.manual_seed(3)
    return peft.get_peft_model(plain(base), peft.LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=TARGETS,
        task_type="CAUSAL_LM", **settings))


def loss_of(model, tokenizer, rows):
    total = n = 0
    for row in rows:
        prompt = tokenizer(row["prompt"]).input_ids
        answer = tokenizer(row["completion"], add_special_tokens=False).input_ids
        answer.append(tokenizer.eos_token_id)
        ids = torch.tensor([prompt + answer])
        logits = model(input_ids=ids).logits[0, len(prompt) - 1:-1]
        total = total + torch.nn.functional.cross_entropy(logits, ids[0, len(prompt):],
                                                          reduction="sum")
        n += len(answer)
    return total / n


def theirs(model, tokenizer, optimizer):
    losses = []
    for i in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, tokenizer, ROWS[i * BATCH:(i + 1) * BATCH])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained(model), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def trained(model):
    return [p for p in model.parameters() if p.requires_grad]


def agree(what, mine, other):
    worst = max(abs(a - b) for a, b in zip(mine, other, strict=True))
    print(f"{what}: {len(mine)} losses of {mine[0]:.3f} to {mine[-1]:.3f} differ by {worst:.1e}",
          flush=True)
    if not worst <= TOLERANCE:
        raise SystemExit(f"{what}: {mine}, not {other}")


def factors(directory):
    """{module: (A, B)} of an adapter, and its scale."""
    with open(os.path.join(directory, "adapter_config.json"), encoding="utf-8") as f:
        config = json.load(f)
    if config.get("alpha_pattern") or config.get("rank_pattern"):
        raise SystemExit("all sites are alike, and there are patterns")
    tensors = load_file(os.path.join(directory, "adapter_model.safetensors"))
    names = {k[len("base_model.model."):].rsplit(".lora_", 1)[0] for k in tensors}
    return {n: tuple(tensors[f"base_model.model.{n}.lora_{x}.weight"].double() for x in "AB")
            for n in sorted(names)}, config["lora_alpha"] / config["r"]


def check_best(what, of, product, rank, within):
    """A product of this rank leaves what the first singular values leave, but for a part."""
    values = torch.linalg.svdvals(of)
    best, left = values[rank:].square().sum().sqrt(), torch.linalg.norm(of - product)
    if not left <= best * (1 + within):
        raise SystemExit(f"{what}: {left:.6g} is left, and the best leaves {best:.6g}")
    return (left / best - 1).item()


def check_8bit(tool, base, work, tokenizer):
    start = os.path.join(work, "start")
    model = adapted(base)
    model.save_pretrained(start)
    optimizer = bitsandbytes.optim.AdamW8bit(trained(model), lr=RATE, weight_decay=0.01)
    other = theirs(model, tokenizer, optimizer)
    if not any(s["state1"].dtype == torch.uint8 for s in optimizer.state.values()):
        raise SystemExit("bitsandbytes keeps no moment of this adapter in 8 bits")
    mine, _ = ours(tool, base, work, {"optimizer": "adamw_8bit", "weight_decay": 0.01},
                   start=start)
    agree("adamw_8bit", mine, other)
    wide, _ = ours(tool, base, work, {"optimizer": "adamw", "weight_decay": 0.01}, start=start)
    if max(abs(a - b) for a, b in zip(wide, mine, strict=True)) == 0:
        raise SystemExit("moments of 32 bits give the same")


def check_pissa(tool, base, work, tokenizer):
    model = adapted(base, init_lora_weights="pissa")
    other = theirs(model, tokenizer, torch.optim.AdamW(trained(model), lr=RATE, weight_decay=0))
    mine, version = ours(tool, base, work, {"init": "pissa"})
    agree("pissa", mine, other)
    weights, (parts, scale) = dict(plain(base).named_parameters()), factors(version)
    worst = max(check_best(n, weights[f"{n}.weight"].double(), -scale * b[:, RANK:] @ a[RANK:],
                           RANK, 1e-6) for n, (a, b) in parts.items())
    print(f"pissa: starts leave at most {worst:.1e} more than the best", flush=True)
    read = peft.PeftModel.from_pretrained(plain(base), version)
    with torch.no_grad():
        agree("pissa, read by peft", [loss_of(read, tokenizer, ROWS).item()],
              [loss_of(model, tokenizer, ROWS).item()])
    quick, _ = ours(tool, base, work, {"init": "pissa_niter_4"})
    if not abs(quick[0] - mine[0]) <= TOLERANCE:
        raise SystemExit("a start changes the base")


def check_loftq(tool, base, work):
    config = {"init": "loftq", "steps": 1, "learning_rate": 1e-9}
    _, version = ours(tool, base, work, config, quant="nf4")
    weights, (parts, scale) = dict(plain(base).named_parameters()), factors(version)
    worst = 0
    for n, (a, b) in parts.items():
        w = weights[f"{n}.weight"].detach()
        codes, state = bitsandbytes.functional.quantize_4bit(
            w.to(torch.bfloat16), quant_type="nf4", compress_statistics=True)
        lost = (w - bitsandbytes.functional.dequantize_4bit(codes, state).float()).double()
        worst = max(worst, check_best(n, lost, scale * b @ a, RANK, 1e-3))
    print(f"loftq: starts leave at most {worst:.1e} more than the best", flush=True)


def main():
    tool, = sys.argv[1:]
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as work:
        base = plain_base(os.path.join(work, "base"))
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        check_8bit(tool, base, work, tokenizer)
        check_pissa(tool, base, work, tokenizer)
        check_loftq(tool, base, work)


main()
