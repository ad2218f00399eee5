#!/usr/bin/env python3
"""The rates of the lora-land preset against torch: schedule_oracle.py RATE_LINES

Ludwig's schedule counts micro-batches: a linear LambdaLR for the first 3% of them, then
CosineAnnealingWarmRestarts, one after the other in a SequentialLR, stepped after each micro-batch.
The optimizer takes every sixteenth with the rate that it has then. Skips without torch.
"""
import subprocess
import sys
import tempfile
import warnings

try:
    import torch
    from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LambdaLR, SequentialLR
except ImportError:
    print("no torch")
    sys.exit(77)

warnings.simplefilter("ignore")  # of an optimizer that takes no steps


def ludwig(rate, micros, accumulation, warmup_fraction, restart_every):
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    warmup = warmup_fraction * micros
    rise = LambdaLR(optimizer, lambda step: step / max(1, warmup))
    fall = CosineAnnealingWarmRestarts(optimizer, T_0=restart_every)
    both = SequentialLR(optimizer, [rise, fall], milestones=[warmup])
    rates = []
    for micro in range(micros):
        if (micro + 1) % accumulation == 0:
            rates.append(optimizer.param_groups[0]["lr"])
        both.step()
    return rates


with tempfile.NamedTemporaryFile("w", suffix=".json") as settings:
    settings.write('{"preset": "lora-land"}')
    settings.flush()
    lines = subprocess.run([sys.argv[1], settings.name], check=True, capture_output=True, text=True)
ours = [float(x) for x in lines.stdout.split()]
theirs = ludwig(2e-4, 40000, 16, 0.03, 1000)
assert len(ours) == len(theirs) == 2500, (len(ours), len(theirs))
worst = max(abs(a - b) for a, b in zip(ours, theirs))
# torch's warm restarts and its warm-up are closed forms of the step: rounding is all there is.
assert worst < 1e-15, worst
print(f"2,500 rates, the farthest apart {worst:.1e}")
