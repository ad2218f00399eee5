#!/usr/bin/env python3
"""Power cuts: what was acknowledged is there after every one of them.

    power.py --bin build/release/bin --base share/base [--cuts N] [--seconds S] [--seed N]

A load runs once, on a disk of which every change is recorded (disk.c), with kills of the daemon in
between, so that its starts are recorded as well. Then, for each of N moments, the disk is made that
a cut could have left there (journal.py): what was synced, and any of the rest. A daemon starts on
it, and must keep the promises that torture.py checks; some of those starts are cut in their turn.
The last line of output is a JSON object of figures; the exit status is 1 where something was lost.
"""
import pathlib
import random
import shutil
import sys
import time

from journal import Disk, records
from load import Writer, rest, settle, verify
from torture import Keeper, restored
from world import Lost, World, parser

AGAIN = 0.25    # of the cuts: the start after it is cut as well
TRAINED = 0.25  # of the cuts: trainings are waited for
RESTORED = 0.1  # of the cuts: the last backup before it is restored


def preload(args, root, journal):
    return {"LD_PRELOAD": str(pathlib.Path(args.bin).resolve() / "torture_disk.so"),
            "LF_DISK_ROOT": str(root), "LF_DISK_JOURNAL": str(journal)}


def record(w, args, rng):
    """The load; the adapters, with all that was known of them, and when backups were made."""
    writers = [Writer(w, i, rng.random()) for i in range(args.writers)]
    adapters = [a for t in writers for a in t.adapters]
    for a in adapters:
        a.knows()
    w.start()
    keeper = Keeper(w, rng.random())
    for t in (*writers, keeper):
        t.start()
    end = time.monotonic() + args.seconds
    while time.monotonic() < end:
        time.sleep(rng.uniform(0.2, 2))
        rest(writers, True)
        if rng.random() < 0.3:
            w.kill(("daemon",))
        w.start()
        for a in adapters:
            verify(w, a)
        rest(writers, False)
    rest(writers, True)
    for t in (*writers, keeper):
        t.stop = True
    keeper.join()
    w.end()
    return adapters, keeper.made


def moments(journal, n, rng):
    """Where the power goes: half of them just before something is synced."""
    all_of_them, before_sync, last = [], [], 0
    for at, fields in records(journal):
        if fields[0] == "F":
            before_sync.append(last)
        all_of_them.append(at)
        last = at
    return sorted(rng.choice(rng.choice((all_of_them, before_sync))) for _ in range(n))


def again(args, w, disk_dir, rng):
    """The daemon's start on this disk, cut short: another disk."""
    journal = w.dir / "again.journal"
    journal.unlink(missing_ok=True)
    disk = Disk.of(disk_dir)
    x = World(args, data=disk_dir / "data", env=preload(args, disk_dir, journal))
    try:
        x.start()
        x.kill(("daemon",))
    finally:
        x.close()
    done = list(records(journal))
    for _, fields in done[:rng.randint(0, len(done))]:
        disk.do(*fields)
    shutil.rmtree(disk_dir)
    disk.cut(disk_dir, rng)


def look(args, w, disk, known, saved, rng):
    """Starts a daemon on what the cut left; a list of what was lost."""
    at = w.dir / "cut"
    shutil.rmtree(at, ignore_errors=True)
    disk.cut(at, rng)
    if rng.random() < AGAIN:
        w.counts["cut_starts"] += 1
        again(args, w, at, rng)
    (at / "data").mkdir(exist_ok=True)
    x = World(args, data=at / "data")
    try:
        x.start()
        for a in known:
            a.world = x
            verify(x, a)
        w.counts["looked_for"] += sum(len(a.names) + len(a.files) + len(a.versions) for a in known)
        if rng.random() < TRAINED:
            settle(x, known)
        x.end()
        x.fsck()
        if saved and rng.random() < RESTORED:
            restored(x, at / "backup")
    except Lost as e:
        x.lost.append(str(e))
    finally:
        lost = list(x.lost)
        x.close()
    return lost


def run(w, args):
    rng = random.Random(args.seed)
    adapters, made = record(w, args, rng)
    if w.lost:
        return
    disk = Disk()
    cuts = moments(w.journal, args.cuts, rng)
    w.counts.update(cuts=0, cut_starts=0, looked_for=0, changes=0)
    for at, fields in records(w.journal):
        while cuts and cuts[0] < at:
            cut = cuts.pop(0)
            seed = rng.random()
            for line in look(args, w, disk, [a.at(cut) for a in adapters],
                             any(m <= cut for m in made), random.Random(seed)):
                w.lost.append(f"cut at {cut}: {line}")
            w.counts["cuts"] += 1
        if not (args.deaf and fields[0] == "F"):
            disk.do(*fields)
        w.counts["changes"] += 1
        if len(w.lost) >= args.enough or not cuts:
            break


def main():
    p = parser(__doc__)
    p.add_argument("--cuts", type=int, default=50)
    p.add_argument("--seconds", type=float, default=10, help="of the load")
    p.add_argument("--writers", type=int, default=3)
    p.add_argument("--enough", type=int, default=20, help="losses, after which it ends")
    p.add_argument("--deaf", action="store_true", help="a disk that ignores fsync: this must lose")
    args = p.parse_args()
    w = World(args)
    disk = w.dir / "disk"
    disk.mkdir()
    w.data, w.journal = disk / "data", w.dir / "journal"
    w.env |= preload(args, disk, w.journal)
    begun = time.monotonic()
    try:
        run(w, args)
    finally:
        w.close()
    return w.tell("power cuts", begun, **w.counts)


if __name__ == "__main__":
    sys.exit(main())
