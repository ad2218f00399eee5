"""The reference checkpoints on a device: golden_device.py LORAFS DEVICE GOLDEN_DIR

For every folder: logits of the bf16, the NF4 and the adapted model against the fp32 references, the
training trajectory's losses, and that training twice gives the same bytes. A device that computes
in bf16 has to reach a cosine of 0.9995 and losses within 1%; the largest error is printed.
Exit status 77 where numpy, the folders or the device are missing.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("skipped: no numpy")
    sys.exit(77)

LORAFS, DEVICE, GOLDEN = sys.argv[1:4]
COSINE, LOSS = 0.9995, 0.01


def tensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    kinds = {"F32": np.float32, "I32": np.int32}
    return {
        k: np.frombuffer(data[slice(*v["data_offsets"])], kinds[v["dtype"]]).reshape(v["shape"])
        for k, v in header.items()
        if k != "__metadata__" and v["dtype"] in kinds
    }


def lorafs(*args):
    r = subprocess.run([LORAFS, *args], capture_output=True, text=True)
    if r.returncode:
        raise RuntimeError("lorafs %s: %s" % (" ".join(args[:1]), r.stderr.strip()[-300:]))
    return r.stdout


def compare(name, have, want):
    cosine = float((have * want).sum() / np.sqrt((have**2).sum() * (want**2).sum()))
    worst = float(np.abs(have - want).max())
    if not cosine > COSINE:
        raise RuntimeError("%s: cosine %.6f, largest error %.3f" % (name, cosine, worst))
    return "%s %.6f (%.3f)" % (name, cosine, worst)


def logits(folder, gold, work):
    ids, out = os.path.join(work, "ids.json"), os.path.join(work, "logits.safetensors")
    with open(ids, "w") as f:
        json.dump(gold["input_ids"].tolist(), f)
    said = []
    for name, base, quant, adapter in (
        ("logits_fp", "model", "none", []),
        ("logits_nf4", "model-nf4", "nf4", []),
        ("logits_nf4_lora", "model-nf4", "nf4", ["--adapter", os.path.join(folder, "adapter")]),
    ):
        base = os.path.join(folder, base)
        lorafs("logits", "--base", base, "--quant", quant, "--device", DEVICE, "--ids", ids,
               "--out", out, *adapter)  # fmt: skip
        said.append(compare(name, tensors(out)["logits"], gold[name]))
    return said


def train(folder, work, run):
    with open(os.path.join(folder, "train.json")) as f:
        t = json.load(f)
    rows, conf = os.path.join(work, "rows.jsonl"), os.path.join(work, "config.json")
    log, out = os.path.join(work, "log%d" % run), os.path.join(work, "out%d" % run)
    with open(rows, "w") as f:
        for ids, k in zip(t["batches"], t["prompt_tokens"]):
            f.write(json.dumps({"input_ids": ids, "labels": [-100] * k + ids[k:]}) + "\n")
    settings = dict(rank=t["r"], alpha=t["alpha"], batch_size=1, accumulation=t["accumulation"],
                    steps=t["steps"], learning_rate=t["peak_lr"], schedule="cosine",
                    warmup_steps=t["warmup_steps"], optimizer="adamw", weight_decay=0, dropout=0,
                    max_grad_norm=1.0, loss_normalization="micro_batch", shuffle=False)  # fmt: skip
    with open(conf, "w") as f:
        json.dump(settings, f)
    lorafs("train", "--base", os.path.join(folder, "model-nf4"), "--quant", "nf4", "--device",
           DEVICE, "--dataset", rows, "--config", conf, "--out", out, "--init-adapter",
           os.path.join(folder, "adapter-init"), "--log", log)  # fmt: skip
    with open(log) as f:
        losses = [json.loads(line)["micro_loss"] for line in f if "micro_loss" in line]
    off = max(abs(a / b - 1) for a, b in zip(losses, t["micro_losses"]))
    if len(losses) != len(t["micro_losses"]) or not off < LOSS:
        raise RuntimeError("losses: %d, off by %.2f%%" % (len(losses), 100 * off))
    with open(os.path.join(out, "adapter_model.safetensors"), "rb") as f:
        return off, f.read()


def check(folder):
    gold = tensors(os.path.join(folder, "golden.safetensors"))
    with tempfile.TemporaryDirectory() as work:
        said = logits(folder, gold, work)
        off, first = train(folder, work, 1)
        if train(folder, work, 2)[1] != first:
            raise RuntimeError("training twice gave different bytes")
    return ", ".join(said + ["losses %.3f%%" % (100 * off), "repeats"])


folders = sorted(
    os.path.join(GOLDEN, d)
    for d in (os.listdir(GOLDEN) if os.path.isdir(GOLDEN) else [])
    if os.path.exists(os.path.join(GOLDEN, d, "train.json"))
)
if not folders:
    print("skipped: no reference checkpoints")
    sys.exit(77)
failed = 0
for folder in folders:
    try:
        print("ok    ", os.path.basename(folder), check(folder), flush=True)
    except RuntimeError as e:
        if "cuda device" in str(e):
            print("skipped:", e)
            sys.exit(77)
        failed += 1
        print("FAILED", os.path.basename(folder), e, flush=True)
sys.exit(1 if failed else 0)
