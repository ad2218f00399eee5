#!/usr/bin/env python3
"""An hour of a mixed load, ten times torture.py's, in which nothing is killed: what the processes
hold does not grow, nobody waits for long, and everything that was acknowledged is there.

    soak.py --bin build/release/bin --base share/base [--seconds S] [--writers N] [--seed N]

What the daemon and the mount hold (anonymous memory, descriptors, threads) is noted every few
seconds; the last quarter's median may be above the second's by what the adapters' own growth
explains. The last line of output is a JSON object of figures; the exit status is 1 where something
was lost or grew.
"""
import os
import random
import statistics
import sys
import threading
import time

from load import Writer, rest, settle, verify
from world import World, parser

NOTE_SECONDS = 5
VERIFY_SECONDS = 60
# How much more the last quarter may have than the second: a part, and a number.
MAY_GROW = {"mb": (0.1, 16), "descriptors": (0.1, 16), "threads": (0, 8)}
WAIT_SECONDS_MAX = 60


def held(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        status = dict(line.split(":", 1) for line in f if ":" in line)
    return {"mb": int(status["RssAnon"].split()[0]) / 1024,
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")), "threads": int(status["Threads"])}


class Watch(threading.Thread):
    """What the processes hold, and how long the slowest look at the daemon's health took."""

    def __init__(self, w):
        super().__init__(daemon=True)
        self.w, self.over, self.longest = w, threading.Event(), 0
        self.processes = {n: getattr(w, n).pid for n in ("daemon", "mount") if getattr(w, n)}
        self.notes = {n: [] for n in self.processes}

    def run(self):
        while not self.over.wait(NOTE_SECONDS):
            for name, pid in self.processes.items():
                self.notes[name].append(held(pid))
            begun = time.monotonic()
            if self.w.call("GET", "/health")[0] != 200:
                self.w.lost.append("the daemon is not well")
            self.longest = max(self.longest, time.monotonic() - begun)

    def grown(self):
        """{process: {what: (median of the second quarter, of the last)}}; too much is lost."""
        out = {}
        for name, notes in self.notes.items():
            quarter = max(1, len(notes) // 4)
            for what, (part, number) in MAY_GROW.items():
                before, after = (statistics.median(n[what] for n in part_of)
                                 for part_of in (notes[quarter:2 * quarter], notes[-quarter:]))
                out.setdefault(name, {})[what] = (round(before), round(after))
                if after > before * (1 + part) + number:
                    self.w.lost.append(f"the {name}'s {what} grew from {before} to {after}")
        if self.longest > WAIT_SECONDS_MAX:
            self.w.lost.append(f"/health took {self.longest} s")
        return out


def run(w, args):
    rng = random.Random(args.seed)
    w.start()
    writers = [Writer(w, i, rng.random()) for i in range(args.writers)]
    adapters = [a for t in writers for a in t.adapters]
    watch = Watch(w)
    for t in (watch, *writers):
        t.start()
    end = time.monotonic() + args.seconds
    while time.monotonic() < end and not w.lost:
        time.sleep(min(VERIFY_SECONDS, args.seconds))
        rest(writers, True)
        for a in adapters:
            verify(w, a, False)
        rest(writers, False)
    rest(writers, True)
    for t in writers:
        t.stop = True
    watch.over.set()
    watch.join()
    for a in adapters:
        verify(w, a)
    settle(w, adapters)
    w.end()
    w.fsck()
    return {"held": watch.grown(), "slowest_health_s": round(watch.longest, 2)}


def main():
    p = parser(__doc__)
    p.add_argument("--seconds", type=float, default=3600)
    p.add_argument("--writers", type=int, default=40)
    p.add_argument("--no-mount", action="store_true")
    args = p.parse_args()
    w = World(args, fuse=not args.no_mount)
    begun = time.monotonic()
    try:
        figures = run(w, args)
    finally:
        w.close()
    return w.tell("soak", begun, writers=args.writers, **w.counts, **figures)


if __name__ == "__main__":
    sys.exit(main())
