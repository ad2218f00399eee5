#!/usr/bin/env python3
"""Kills of daemon, mount and both at random moments under a mixed load; everything that was
acknowledged is looked for afterwards.

    torture.py --bin build/release/bin --base share/base [--kills N | --seconds S] [--seed N]

Promises, each checked after every kill:
    an adapter that was made is there, one that was removed is not
    a file has the bytes of its last acknowledged write, or of the one under way
    a version that was seen ready has the same weights
and at the end: every training that was acknowledged becomes a version; the last backup that was
made restores to a directory that is whole; `lorafs fsck` finds nothing wrong, and nothing a crash
left. The last line of output is a JSON object of figures; the exit status is 1 where something was
lost.
"""
import random
import sys
import threading
import time

from load import Writer, rest, settle, verify
from world import World, parser

ALL_EVERY = 25  # kills: all versions are looked at, else an adapter's newest


class Keeper(threading.Thread):
    """Makes one backup after the other, some of which are killed."""

    def __init__(self, world, seed):
        super().__init__(daemon=True)
        self.w, self.rng = world, random.Random(seed)
        self.stop = False
        self.to = world.data.parent / "backup"
        self.made = []  # positions of the journal

    def run(self):
        while not self.stop:
            done = self.w.command("backup", self.to, "--data", self.w.data)
            if done.returncode == 0:
                self.made.append(self.w.position())
                self.w.count("backups")
            time.sleep(self.rng.uniform(0.2, 2))


def restored(w, backup):
    """The last backup is of one moment, and whole."""
    to = w.dir / "restored"
    done = w.command("restore", backup, to)
    if done.returncode != 0:
        w.lost.append(f"restore: {done.stdout}{done.stderr}")
    else:
        w.fsck(to)


def run(w, args):
    rng = random.Random(args.seed)
    w.start()
    writers = [Writer(w, i, rng.random()) for i in range(args.writers)]
    adapters = [a for t in writers for a in t.adapters]
    keeper = Keeper(w, rng.random())
    for t in (*writers, keeper):
        t.start()
    kills, end = 0, time.monotonic() + args.seconds if args.seconds else None
    while kills < args.kills if not end else time.monotonic() < end:
        time.sleep(rng.uniform(0.02, args.between))
        which = rng.choice((("daemon",), ("daemon",), ("mount",), ("daemon", "mount")))
        w.kill(which if w.fuse else ("daemon",))
        kills += 1
        w.counts["kills"] = kills
        rest(writers, True)
        w.start()
        for a in adapters:
            verify(w, a, kills % ALL_EVERY == 0)
        if w.lost:
            break
        rest(writers, False)
    rest(writers, True)
    for t in (*writers, keeper):
        t.stop = True
    keeper.join()
    for a in adapters:
        verify(w, a)
    settle(w, adapters)
    w.end()
    w.fsck()
    if keeper.made:
        restored(w, keeper.to)


def main():
    p = parser(__doc__)
    p.add_argument("--kills", type=int, default=200)
    p.add_argument("--seconds", type=float, default=0, help="instead of --kills")
    p.add_argument("--between", type=float, default=0.4, help="seconds between kills, at most")
    p.add_argument("--writers", type=int, default=4)
    p.add_argument("--no-mount", action="store_true")
    args = p.parse_args()
    w = World(args, fuse=not args.no_mount)
    begun = time.monotonic()
    try:
        run(w, args)
    finally:
        w.close()
    return w.tell("kills", begun, **w.counts)


if __name__ == "__main__":
    sys.exit(main())
