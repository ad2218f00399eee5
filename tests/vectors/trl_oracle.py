"""trl_oracle.py LORAFS [LOSS...]: training by preferences against TRL's trainers.

The same rows in the same order from the same adapter, in fp32 on the CPU: the loss and the rewards
of each step agree, and so does what rows that are held out say at the end.
"""
import json
import math
import os
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1",
                  TOKENIZERS_PARALLELISM="false")
try:
    import datasets
    import peft
    import torch
    import transformers
    from plain_base import plain_base
    import trl
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

TOLERANCE = 1e-4
STEPS, BATCH, RATE, HELD_OUT = 5, 4, 2e-4, 8
FIGURES = ("loss", "reward_chosen", "reward_rejected", "reward_margin", "reward_accuracy")
TRAINERS = {"dpo": (trl.DPOTrainer, trl.DPOConfig), "orpo": (ORPOTrainer, ORPOConfig),
            "kto": (trl.KTOTrainer, trl.KTOConfig)}
OPTIONS = {"dpo": {"beta": 0.2}, "orpo": {"beta": 0.3},
           "kto": {"beta": 0.2, "desirable_weight": 1.2, "undesirable_weight": 0.8}}


def pair(i):
    """A question with a polite and a rude answer: what is preferred can be learnt from few."""
    thing = ("sky", "sea", "lemon", "coal", "rose", "raven", "fox", "cloud")[i % 8]
    place = ("garden", "harbour", "castle", "station", "forest")[i % 5]
    when = ("morning", "evening", "winter")[i % 3]
    return {"prompt": f"Question: What was in the {place} that {when}, near the {thing}?\nAnswer:",
            "chosen": f" There were {i + 2} of them, and I was glad to see the {thing}, thank you.",
            "rejected": f" {thing} {thing} {i}, do not ask me about the {place} again."}


def rows_of(loss, first, n):
    pairs = [pair(i) for i in range(first, first + n)]
    if loss != "kto":
        return pairs
    return [{"prompt": p["prompt"], "completion": p[key], "label": key == "chosen"}
            for p in pairs for key in ("chosen", "rejected")]


def write_lines(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)


def start(base, out):
    """The base in fp32 with a fresh adapter, which is saved for both."""
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = peft.get_peft_model(model, peft.LoraConfig(
        r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"))
    if not os.path.exists(out):
        model.save_pretrained(out)
    return model


def ours(tool, base, work, loss, train, held):
    """The figures of each step, and of the evaluation at the end."""
    config = {"loss": loss, "batch_size": BATCH, "steps": STEPS, "learning_rate": RATE,
              "schedule": "constant", "warmup_steps": 0, "shuffle": False, "dropout": 0,
              "max_length": 256, "eval_every": STEPS, **OPTIONS[loss]}
    path = {name: os.path.join(work, f"{loss}.{name}") for name in ("train", "eval", "json", "log")}
    write_lines(path["train"], train)
    write_lines(path["eval"], held)
    with open(path["json"], "w", encoding="utf-8") as f:
        json.dump(config, f)
    subprocess.run([tool, "train", "--base", base, "--quant", "none", "--device", "cpu",
                    "--cpu-products", "fp32", "--init-adapter", os.path.join(work, "start"),
                    "--dataset", path["train"], "--eval", path["eval"], "--config", path["json"],
                    "--out", os.path.join(work, loss), "--log", path["log"]],
                   check=True, stdout=subprocess.DEVNULL)
    with open(path["log"], encoding="utf-8") as f:
        lines = [json.loads(line) for line in f]
    steps = [line for line in lines if line["event"] == "step"]
    return steps, [line for line in lines if line["event"] == "eval"][-1]


def named(metrics, prefix=""):
    """TRL's figures under our names."""
    names = {"rewards/chosen": "reward_chosen", "rewards/rejected": "reward_rejected",
             "rewards/margins": "reward_margin", "rewards/accuracies": "reward_accuracy"}
    return {prefix + ours_: metrics[prefix + theirs_] for theirs_, ours_ in names.items()
            if prefix + theirs_ in metrics}


def theirs(base, work, loss, train, held):
    kind, config = TRAINERS[loss]
    kind.compute_loss, plain = (lambda self, *a, **k: seen(self, plain, a, k)), kind.compute_loss
    losses = []

    def seen(self, compute, a, k):  # its log rounds
        out = compute(self, *a, **k)
        if self.model.training:
            losses.append((out[0] if isinstance(out, tuple) else out).item())
        return out

    # Its evaluation takes means of batches' means; those of one batch are over rows or tokens.
    args = config(output_dir=os.path.join(work, "trl"), per_device_train_batch_size=BATCH,
                  per_device_eval_batch_size=BATCH if loss == "kto" else HELD_OUT,
                  max_steps=STEPS, learning_rate=RATE,
                  lr_scheduler_type="constant", optim="adamw_torch", max_grad_norm=1.0,
                  logging_steps=1, save_strategy="no", report_to=[], use_cpu=True, bf16=False,
                  disable_tqdm=True, gradient_checkpointing=False, max_length=256,
                  train_sampling_strategy="sequential", **OPTIONS[loss])
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = tokenizer.eos_token
    trainer = kind(model=start(base, os.path.join(work, "start")), args=args,
                   train_dataset=datasets.Dataset.from_list(train),
                   eval_dataset=datasets.Dataset.from_list(held), processing_class=tokenizer)
    trainer.train()
    kind.compute_loss = plain
    held_out = trainer.evaluate()
    steps = [named(line) for line in trainer.state.log_history if "rewards/chosen" in line]
    return ([{**step, "loss": value} for step, value in zip(steps, losses, strict=True)],
            {"eval_loss": held_out["eval_loss"], **named(held_out, "eval_")})


def compare(what, mine, other, keys):
    worst = 0
    for key in keys:
        if key not in other:  # kto has no accuracy there, and no margin of a batch of one kind
            continue
        difference = abs(mine.get(key, math.nan) - other[key])
        if not difference <= TOLERANCE:
            raise SystemExit(f"{what}: {key} is {mine.get(key)}, TRL's is {other[key]}")
        worst = max(worst, difference)
    return worst


def check(tool, base, work, loss):
    train, held = rows_of(loss, 0, STEPS * BATCH), rows_of(loss, 100, HELD_OUT)
    trl_steps, trl_evaluated = theirs(base, work, loss, train, held)
    steps, evaluated = ours(tool, base, work, loss, train, held)
    worst = max(compare(f"{loss}, step {i + 1}", step, other, FIGURES)
                for i, (step, other) in enumerate(zip(steps, trl_steps, strict=True)))
    compare(f"{loss}, held out", evaluated, trl_evaluated, ["eval_" + key for key in FIGURES])
    margin, trl_margin = (m["eval_reward_margin"] for m in (evaluated, trl_evaluated))
    print(f"{loss}: {STEPS} steps differ by {worst:.1e}; the reward margin on {len(held)} rows "
          f"that are held out is {margin:.4f}, TRL's {trl_margin:.4f}", flush=True)
    if loss == "dpo" and not margin > 0.3:  # an adapter that has learnt nothing has 0
        raise SystemExit("dpo: the margin on rows held out did not rise")


def main():
    tool, *losses = sys.argv[1:]
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as work:
        base = plain_base(os.path.join(work, "base"))
        start(base, os.path.join(work, "start"))
        for loss in losses or TRAINERS:
            check(tool, base, work, loss)


main()
