#!/usr/bin/env python3
"""Curves as TensorBoard and MLflow read them: track_oracle.py TRACK_LINES

A log of several jobs, one of which is resumed and repeats steps, one that fails and one that is a
sweep, becomes runs; TensorBoard's accumulator and MLflow's client find every point in them, and
after a resume what came last. Each is skipped where its package is missing; both: 77.
"""
import datetime
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as e:
    print(e)
    EventAccumulator = None
try:
    from mlflow.tracking import MlflowClient
except ImportError as e:
    print(e)
    MlflowClient = None
if not EventAccumulator and not MlflowClient:
    sys.exit(77)

draw = random.Random(3)
clock = datetime.datetime(2026, 11, 28, 9, 51, 50, 194000, datetime.timezone.utc)
TAGS = {"loss": "train/loss", "learning_rate": "train/learning_rate",
        "grad_norm": "train/grad_norm", "tokens_per_second": "train/tokens_per_second",
        "eval_loss": "eval/loss"}
log, want, ends = [], {}, {}


def say(run, **line):
    global clock
    clock += datetime.timedelta(milliseconds=draw.randint(1, 5000))
    time = clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    log.append({"time": time, **line, **({"job": run[0]} if run[0] else {}),
                **({"trial": run[1]} if run[1] is not None else {})})
    points = want.setdefault(run, {})
    for key in TAGS.keys() & line.keys():
        if line[key] is not None:
            points.setdefault(key, {})[line["step"]] = (line[key], clock.timestamp())
    return clock.timestamp()


def train(run, first, last, end=None):
    say(run, event="started", step=first, steps=last)
    for points in want[run].values():  # what is said again
        for step in [s for s in points if s > first]:
            del points[step]
    for step in range(first + 1, last + 1):
        say(run, event="step", step=step, steps=last, loss=draw.uniform(0, 9), tokens=step,
            learning_rate=draw.uniform(0, 1e-3), grad_norm=draw.choice([None, draw.random()]),
            tokens_per_second=draw.uniform(1, 1e5))
        if step % 3 == 0:
            say(run, event="eval", step=step, eval_loss=draw.uniform(0, 9), kept_step=step)
    if end:
        ends[run] = (end, say(run, event=end, step=last))


log.append({"time": "2026-11-28T09:00:00.000Z", "event": "queued", "job": 1, "version": 1})
train((1, None), 0, 40)
say((1, None), event="checkpoint", step=20)
train((1, None), 20, 50, "done")
train((2, None), 0, 3, "failed")
for trial in range(3):
    train((4, trial), 0, 5, "cancelled" if trial == 2 else "done")
train((0, None), 0, 2)
NAMES = {run: f"job-{run[0]}" if run[0] else "viggo" for run in want}
NAMES.update({run: f"job-{run[0]}-trial-{run[1]}" for run in want if run[1] is not None})
STATUS = {"done": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}


def single(x):
    import struct
    return struct.unpack("f", struct.pack("f", x))[0]


def tensorboard_has(dir):
    for run, points in want.items():
        found = EventAccumulator(str(dir / NAMES[run]), size_guidance={"scalars": 0}).Reload()
        for key, of in points.items():
            got = [(e.step, e.value, e.wall_time) for e in found.Scalars(TAGS[key])]
            assert got == [(s, single(v), t) for s, (v, t) in sorted(of.items())], (run, key)
    return sum(len(of) for points in want.values() for of in points.values())


def mlflow_has(dir):
    client = MlflowClient(tracking_uri=f"file://{dir}")
    experiment = client.get_experiment_by_name("viggo")
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == sorted(NAMES.values()), runs
    for run, points in want.items():
        r = runs[NAMES[run]]
        assert r.data.params["rank"] == "16" and r.data.params["schedule"] == "cosine", r.data
        assert r.info.status == (STATUS[ends[run][0]] if run in ends else "RUNNING"), r.info
        if run in ends:
            assert abs(r.info.end_time / 1000 - ends[run][1]) < 0.002, r.info
        for key, of in points.items():
            history = client.get_metric_history(r.info.run_id, key)
            last = {m.step: m for m in sorted(history, key=lambda m: m.timestamp)}
            for step, (value, time) in of.items():
                m = last[step]
                assert m.value == value and abs(m.timestamp / 1000 - time) < 0.002, (run, m)


with tempfile.TemporaryDirectory() as work:
    work = pathlib.Path(work)
    (work / "log").write_text("".join(json.dumps(line) + "\n" for line in log))
    for _ in range(2):  # the second time takes the place of the first
        subprocess.run([sys.argv[1], work / "log", work / "tb", work / "ml"], check=True)
    if EventAccumulator:
        print(tensorboard_has(work / "tb"), "points in TensorBoard's files")
    if MlflowClient:
        mlflow_has(work / "ml")
        print(len(want), "runs of MLflow's")
