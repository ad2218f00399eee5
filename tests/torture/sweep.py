#!/usr/bin/env python3
"""The n-th call of the system fails, for every n, under each thing that a daemon is asked; or its
disk is full but for some room.

    sweep.py --bin build/release/bin --base share/base [--stride N] [--seed N]
    sweep.py ... --rooms 0,4,16,64     KB that are left, instead of calls that fail; for root

A daemon runs on disk.c, which makes one call of a kind fail, once or from then on, with an error,
or with a part of the bytes. Each act below is done again and again, each time with another of its
calls failing, until it goes through without meeting the fault. What it answered must be what is
found then, the daemon must live or end as one that says why, and, the fault gone, do what it is
asked. At the end of each sweep it is started again, and `lorafs fsck` finds nothing. The last line
of output is a JSON object of figures; the exit status is 1 where something was lost.
"""
import collections
import errno
import json
import mmap
import os
import pathlib
import random
import struct
import subprocess
import sys
import time

from load import SETTINGS, Adapter, Writer, rows, verify
from world import Gone, Lost, World, parser

KINDS = ("read", "write", "sync", "open", "mkdir", "rename", "remove", "link", "resize", "map",
         "look", "list", "close", "mode", "lock")  # enum kind of disk.c
ONCE, FOR_GOOD, HALF = range(3)
CONTROL = struct.Struct(f"=iiiiqq{len(KINDS)}q")
SLOW_SECONDS = 20  # of an act: it hangs
STARTS_EVERY = 40  # faults
VERSIONS = 3       # that are kept


def faults(wanted):
    """(kind, how, errno) of all sweeps of these kinds."""
    for kind, name in enumerate(KINDS):
        if name not in wanted:
            continue
        full = name in ("write", "mkdir", "rename", "link", "resize")
        error = errno.EMFILE if name == "open" else errno.EIO
        yield kind, ONCE, error
        yield kind, FOR_GOOD, errno.ENOSPC if full else error
        if name in ("read", "write"):
            yield kind, HALF, 0
        if name in ("read", "write", "open", "sync", "resize", "close"):
            yield kind, ONCE, errno.EINTR


class Fault:
    """The file that disk.c looks into."""

    def __init__(self, path):
        path.write_bytes(bytes(CONTROL.size))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), CONTROL.size)

    def arm(self, kind, how, error, n):
        self.map[4:32] = struct.pack("=iiiqq", kind, how, error, n, 0)[:28]
        self.map[0:4] = struct.pack("=i", 1)

    def disarm(self):
        """How often the call was met."""
        self.map[0:4] = bytes(4)
        return struct.unpack("=q", self.map[24:32])[0]

    def calls(self):
        return dict(zip(KINDS, CONTROL.unpack(self.map[:])[6:]))


DISK_MB = 64  # with the filler; what the acts need is a few


class Filler:
    """A file that leaves so much of a small disk."""

    def __init__(self, disk):
        self.path = disk / "filler"

    def fill(self, left):
        room = os.statvfs(self.path.parent)
        n = room.f_bavail * room.f_frsize - left
        if n > 0:
            with open(self.path, "wb") as f:
                os.posix_fallocate(f.fileno(), 0, n)

    def take_away(self):
        self.path.unlink(missing_ok=True)


class Acts(Writer):
    """Acts of one adapter, each from a state that `ready` makes."""

    def __init__(self, world):
        super().__init__(world, 0, 1)
        self.a = self.adapters[0]
        self.n = 0

    def ready(self):
        """An adapter with two versions, rows and a prompt; nothing in the trash but for one."""
        a = self.a
        if a.names == {None}:
            self.make(a)
        if not a.name:
            verify(self.w, a)
            return self.ready()
        self.w.call("DELETE", "/v1/trash")
        for file, data in (("prompt", b"hello"), ("dataset.jsonl", rows("red", 4))):
            if a.files.get(file) != {data}:
                self.put(a, file, data)
        while len(self.w.shown(a.name)["versions"]) < 2:
            self.n += 1
            self.put(a, "dataset.jsonl", rows(f"w{self.n}", 3), "?train=1")
            self.trained()
        a.trained = False
        self.look(a)
        for n in self.w.shown(a.name)["versions"][:-VERSIONS]:
            self.w.call("DELETE", f"/v1/adapters/{a.name}/files/versions/{n}")
            a.versions.pop(n, None)
        return None

    def trained(self):
        """Until a training is over; one that failed with the disk is tried again."""
        a, w = self.a, self.w
        w.until(lambda: w.shown(a.name)["state"] != "training", f"{a.name} is not trained", 60)
        if w.shown(a.name)["state"] == "failed":
            w.call("POST", f"/v1/adapters/{a.name}/ctl", "retry\n")
            w.until(lambda: w.shown(a.name)["state"] == "ready", f"{a.name} is not trained", 60)
        self.look(a)

    # ---- Acts

    def make_another(self):
        self.make(self.adapters[1])

    def write_prompt(self):
        self.n += 1
        self.put(self.a, "prompt", b"%d " % self.n * 3000)

    def write_settings(self):
        self.n += 1
        if "config.json" not in self.a.files:  # the one that it was made with
            self.a.files["config.json"] = {self.w.file(self.a.name, "config.json")}
        self.put(self.a, "config.json", json.dumps({**SETTINGS, "seed": self.n}).encode())

    def train(self):
        self.n += 1
        self.put(self.a, "dataset.jsonl", rows(f"w{self.n}", 3), "?train=1")
        end = time.monotonic() + 3
        while time.monotonic() < end and self.w.shown(self.a.name)["state"] == "training":
            time.sleep(0.005)

    def rename_it(self):
        self.rename(self.a)

    def forget_it(self):
        self.forget(self.a)

    def roll_back(self):
        self.rollback(self.a)

    def remove_it(self):
        a = self.a
        name = a.name
        a.knows(names={None, name})
        if self.told(self.w.call("DELETE", f"/v1/adapters/{name}")[0]):
            a.knows(names={None})

    def bring_back(self):
        """Of an adapter that was removed before the fault."""
        a, name = self.a, self.gone
        a.knows(names={None, name})
        if self.told(self.w.call("POST", f"/v1/trash/{name}/restore", "{}")[0]):
            a.knows(names={name})

    def remove_version(self):
        a = self.a
        n = min(self.w.shown(a.name)["versions"])
        was = a.versions.pop(n, None)  # in doubt: there as it was, or not
        status, _ = self.w.call("DELETE", f"/v1/adapters/{a.name}/files/versions/{n}")
        if not self.told(status) and was:
            a.versions[n] = was

    def answer(self):
        self.ask(self.a)

    def read_all(self):
        for file in ("prompt", "dataset.jsonl", "log", "config.json", "metrics.json"):
            self.w.file(self.a.name, file)
        for path in ("/v1/tree", "/v1/trash", "/health", "/metrics"):
            self.w.call("GET", path)

    def copy_in(self):
        """The two files of an adapter, in one that has none."""
        b = self.adapters[1]
        name = b.all_names[0]
        self.w.call("PUT", f"/v1/adapters/{name}/files/adapter/adapter_config.json", self.files[0])
        self.w.call("PUT", f"/v1/adapters/{name}/files/adapter/adapter_model.safetensors",
                    self.files[1])


ACTS = ("make_another", "write_prompt", "write_settings", "train", "rename_it", "forget_it",
        "roll_back", "remove_it", "bring_back", "remove_version", "answer", "read_all", "copy_in")


class Sweep:
    def __init__(self, w, args, fault):
        self.w, self.args, self.fault = w, args, fault
        self.acts = Acts(w)
        self.met = collections.Counter()  # faults, by kind
        self.where = ""

    def alive(self):
        """The daemon is there, or ended as it should, and another is."""
        w = self.w
        ended = w.daemon.poll() if w.daemon else None
        if ended is not None:
            w.daemon = None
            if ended <= 0:
                w.lost.append(f"{self.where}: it ended with {ended}")
        w.start()

    def again(self):
        """Started again, all is there; what could not be taken away is gone after that start."""
        w = self.w
        self.alive()
        for _ in range(2):
            w.end()
            w.start()
            self.check()
        w.end()
        w.fsck()
        w.start()

    def check(self):
        before = len(self.w.lost)
        for a in self.acts.adapters:
            verify(self.w, a)
        self.w.lost[before:] = [f"{self.where}: {line}" for line in self.w.lost[before:]]

    def prepare(self, name):
        acts = self.acts
        acts.ready()
        b = acts.adapters[1]
        if b.name and name in ("make_another", "copy_in"):
            self.w.call("DELETE", f"/v1/adapters/{b.name}")
            b.knows(names={None})
        if name == "copy_in":
            n = max(acts.a.versions)
            acts.files = [self.w.file(acts.a.name, f"versions/{n}/{file}")
                          for file in ("adapter_config.json", "adapter_model.safetensors")]
            b.all_names = b.all_names[:1]
            acts.make(b)
        if name == "bring_back":
            acts.gone = acts.a.name
            self.w.call("DELETE", f"/v1/adapters/{acts.gone}")
            acts.a.knows(names={None})

    def one(self, name, kind, how, error, n):
        """Whether the fault was met."""
        self.where = f"{name}: {KINDS[kind]} {n} {('once', 'for good', 'half')[how]} {error}"
        met = self.under(name, lambda: self.fault.arm(kind, how, error, n), self.fault.disarm) >= n
        if met:
            self.met[kind] += 1
        return met

    def under(self, name, begin, end):
        """The act, between the two; what `end` gives."""
        self.prepare(name)
        begun = time.monotonic()
        begin()
        try:
            getattr(self.acts, name)()
        except Gone:
            pass
        finally:
            given = end()
        if time.monotonic() - begun > SLOW_SECONDS:
            self.w.lost.append(f"{self.where}: it took {time.monotonic() - begun:.0f} s")
        self.alive()
        self.check()
        if name == "train":
            self.acts.trained()
        return given

    def fill(self, name, filler):
        for kb in map(int, self.args.rooms.split(",")):
            self.where = f"{name}: {kb} KB left"
            self.under(name, lambda kb=kb: filler.fill(kb << 10), filler.take_away)
            self.met["full"] += 1
        self.again()

    def start(self, kind, how, error, n):
        """A start, of which a call fails: it comes up, or says why not."""
        w = self.w
        self.where = f"start: {KINDS[kind]} {n} {('once', 'for good', 'half')[how]} {error}"
        w.end()
        self.fault.arm(kind, how, error, n)
        w.launch()
        end = time.monotonic() + SLOW_SECONDS
        while w.daemon.poll() is None and time.monotonic() < end:
            try:
                if w.call("GET", "/health")[0] == 200:
                    break
            except Gone:
                time.sleep(0.005)
        else:
            if w.daemon.poll() is None:
                w.lost.append(f"{self.where}: it hangs")
        met = self.fault.disarm() >= n
        self.alive()
        self.check()
        if met:
            self.met[kind] += 1
        return met

    def backup(self, kind, how, error, n):
        """A backup that says it was made is whole."""
        w = self.w
        self.where = f"backup: {KINDS[kind]} {n} {('once', 'for good', 'half')[how]} {error}"
        to, back = w.data.parent / "backup", w.dir / "back"
        self.fault.arm(kind, how, error, n)
        done = w.command("backup", to, "--data", w.data)
        met = self.fault.disarm() >= n
        if done.returncode < 0:
            w.lost.append(f"{self.where}: it ended with {done.returncode}")
        if done.returncode == 0:
            restored = w.command("restore", to, back)
            if restored.returncode != 0:
                w.lost.append(f"{self.where}: {restored.stderr}")
            else:
                w.fsck(back)
        w.remove(back)
        w.remove(to)
        if met:
            self.met[kind] += 1
        return met

    def give_up(self):
        """No sync of the store goes through any more: it ends, and says so to its supervisor."""
        w, self.where = self.w, "give_up"
        w.end()
        w.options = ("--store-seconds", "0.5")
        w.start()
        self.acts.ready()
        self.fault.arm(KINDS.index("sync"), FOR_GOOD, errno.EIO, 1)
        try:
            self.acts.rename_it()
        except Gone:
            pass
        end = time.monotonic() + SLOW_SECONDS
        while w.daemon.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        self.fault.disarm()
        if w.daemon.poll() is None:
            w.lost.append("give_up: it goes on without a store")
        self.alive()
        w.options = ()
        self.again()

    def sweep(self, name, act):
        for kind, how, error in faults(self.args.kinds.split(",")):
            rng = random.Random(f"{self.args.seed} {name} {kind} {how} {error}")
            n = rng.randint(1, self.args.stride)
            while act(kind, how, error, n) and len(self.w.lost) < self.args.enough:
                n += self.args.stride
                if sum(self.met.values()) % STARTS_EVERY == 0:
                    self.again()
        self.again()
        print(f"{name}: {sum(self.met.values())} faults so far, {len(self.w.lost)} losses",
              file=sys.stderr)

    def run_full(self, filler):
        self.w.start()
        for name in self.args.acts.split(",") if self.args.acts else ACTS:
            self.fill(name, filler)
        self.w.end()

    def run(self):
        self.w.start()
        all_acts = (*ACTS, "start", "backup", "give_up")
        for name in self.args.acts.split(",") if self.args.acts else all_acts:
            if name == "give_up":
                self.give_up()
            elif name in ACTS:
                self.sweep(name, lambda *f, name=name: self.one(name, *f))
            else:
                self.acts.ready()
                self.sweep(name, getattr(self, name))
        self.w.end()


def main():
    p = parser(__doc__)
    p.add_argument("--stride", type=int, default=1, help="1: every call; N: one of N")
    p.add_argument("--acts", help="of these alone")
    p.add_argument("--kinds", default=",".join(KINDS), help="of calls: these alone")
    p.add_argument("--rooms", help="KB that are left on the disk: these, and no calls that fail")
    p.add_argument("--enough", type=int, default=20, help="losses, after which it ends")
    args = p.parse_args()
    w = World(args)
    disk = w.dir / "disk"
    disk.mkdir()
    if args.rooms:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", disk], check=True)
    w.data = disk / "data"
    fault = Fault(w.dir / "fault")
    w.env |= {"LD_PRELOAD": str(pathlib.Path(args.bin).resolve() / "torture_disk.so"),
              "LF_DISK_ROOT": str(disk), "LF_DISK_FAULT": str(w.dir / "fault")}
    begun = time.monotonic()
    s = Sweep(w, args, fault)
    try:
        s.run_full(Filler(disk)) if args.rooms else s.run()
    except Lost as e:
        w.lost.append(f"{s.where}: {e}")
    finally:
        w.kill(("daemon",))
        if args.rooms:
            subprocess.run(["umount", "-l", disk], check=False)
        w.close()
    if args.rooms:
        return w.tell("full disks", begun, acts=s.met["full"])
    return w.tell("faults", begun, faults=sum(s.met.values()),
                  by_kind={KINDS[k]: n for k, n in sorted(s.met.items())}, calls_met=fault.calls())


if __name__ == "__main__":
    sys.exit(main())
