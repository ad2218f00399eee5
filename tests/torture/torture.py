#!/usr/bin/env python3
"""Kills of daemon, mount and both at random moments under a mixed load; everything that was
acknowledged is looked for afterwards.

    torture.py --bin build/release/bin --base share/base [--kills N | --seconds S] [--seed N]

The load is writers over HTTP and, where there is /dev/fuse, through the mount: adapters made and
removed, prompts and rows replaced, trainings, roll-backs, the trash. Each writer knows what it was
told is done, and what it was waiting for when the kill came: of that, either may be found.

Promises, each checked after every kill:
    an adapter that was made is there, one that was removed is not
    a file has the bytes of its last acknowledged write, or of the one under way
    a version that was seen ready has the same weights
and at the end: every training that was acknowledged becomes a version; `lorafs fsck` finds nothing
wrong in the directory, and nothing a crash left. The last line of output is a JSON object of
figures; the exit status is 1 where something was lost.
"""
import argparse
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # of what is imported beside the sources
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cases" / "lib"))
from checks import UnixConnection

SETTINGS = {"rank": 2, "steps": 2, "batch_size": 2, "max_length": 32, "max_tokens": 4}
WEIGHTS = "adapter_model.safetensors"


def rows(word, n):
    return "".join(json.dumps({"prompt": f"Item {i} is", "completion": f" {word}"}) + "\n"
                   for i in range(n)).encode()


class Gone(Exception):
    """The daemon or the mount went away: whether it was done is not known."""


class Adapter:
    """What a writer knows. A set of values: any of them may be found."""

    def __init__(self, name):
        self.name = name
        self.exists = {False}
        self.files = {}     # name -> set of bytes or None (not there)
        self.trained = False  # a training was acknowledged
        self.versions = {}  # number -> digest of its weights


class World:
    def __init__(self, args):
        self.args = args
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lorafs-torture-"))
        self.data, self.mnt = self.dir / "data", self.dir / "mnt"
        self.sock = self.data / "lorafsd.sock"
        self.log = open(self.dir / "daemon.log", "ab")
        self.fuse = os.access("/dev/fuse", os.W_OK) and not args.no_mount
        self.daemon = self.mount = None
        self.counts = dict.fromkeys(("kills", "acknowledged", "in_doubt", "versions"), 0)
        self.lock = threading.Lock()
        self.lost = []

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    # ---- Processes

    def start(self):
        if not self.daemon:
            self.daemon = subprocess.Popen(
                [f"{self.args.bin}/lorafsd", "--base", self.args.base, "--data", str(self.data),
                 "--no-tcp", "--device", "cpu"], stderr=self.log)
            self.until(lambda: self.call("GET", "/health")[0] == 200, "the daemon does not start")
        if self.fuse and not self.mount:
            subprocess.run(["umount", "-l", str(self.mnt)], stderr=subprocess.DEVNULL, check=False)
            self.mnt.mkdir(exist_ok=True)
            self.mount = subprocess.Popen(
                [f"{self.args.bin}/lorafs", "mount", "--foreground", f"unix:{self.sock}",
                 str(self.mnt)], stderr=self.log)
            self.until(lambda: (self.mnt / "README").read_bytes(), "nothing is mounted")

    def until(self, holds, what, seconds=120):
        end = time.monotonic() + seconds
        while True:
            try:
                if holds():
                    return
            except (OSError, Gone, http.client.HTTPException):
                pass
            if self.daemon and self.daemon.poll() is not None:
                raise SystemExit(f"{what}: it ended with {self.daemon.returncode}; {self.dir}")
            if time.monotonic() > end:
                raise SystemExit(f"{what}; {self.dir}")
            time.sleep(0.02)

    def kill(self, which):
        for name in which:
            process = getattr(self, name)
            if process:
                process.send_signal(signal.SIGKILL)
        for name in which:
            process = getattr(self, name)
            if process:
                process.wait()
            setattr(self, name, None)
        self.counts["kills"] += 1

    def end(self):
        for name in ("mount", "daemon"):
            process = getattr(self, name)
            if process:
                process.terminate()
                if process.wait(120) != 0:
                    self.lost.append(f"the {name} ended with {process.returncode}")
                setattr(self, name, None)
        subprocess.run(["umount", "-l", str(self.mnt)], stderr=subprocess.DEVNULL, check=False)

    # ---- Calls

    def call(self, method, path, body=None):
        c = UnixConnection(str(self.sock))
        try:
            c.request(method, path, body)
            r = c.getresponse()
            return r.status, r.read()
        except (OSError, http.client.HTTPException) as e:
            raise Gone from e
        finally:
            c.close()

    def file(self, a, rel):
        status, body = self.call("GET", f"/v1/adapters/{a.name}/files/{rel}")
        return body if status == 200 else None


class Writer(threading.Thread):
    """One thread, whose adapters no other touches."""

    def __init__(self, world, index, seed):
        super().__init__(daemon=True)
        self.w, self.rng = world, random.Random(seed)
        self.adapters = [Adapter(f"w{index}-{i}") for i in range(3)]
        self.stop = self.paused = False
        self.resting = threading.Event()

    def run(self):
        while not self.stop:
            if self.paused:
                self.resting.set()
                time.sleep(0.005)
                continue
            try:
                self.step(self.rng.choice(self.adapters))
            except Gone:
                self.w.count("in_doubt")
                time.sleep(0.01)

    def told(self, status):
        """True: done. False: refused. What is neither may be done or not."""
        if status >= 500 or status in (408, 429):
            raise Gone
        self.w.count("acknowledged")
        return status < 300

    def step(self, a):
        if a.exists == {False}:
            return self.make(a)
        if a.exists != {True}:
            return None  # in doubt until the next look
        act = self.rng.choice((self.prompt, self.prompt, self.rows, self.rows, self.look,
                               self.rollback, self.remove))
        return act(a)

    def make(self, a):
        a.exists = {True, False}
        a.files, a.trained, a.versions = {}, False, {}
        body = json.dumps({"name": a.name, "config": SETTINGS})
        if self.told(self.w.call("POST", "/v1/adapters", body)[0]):
            a.exists = {True}

    def remove(self, a):
        if self.rng.random() < 0.7:
            return
        a.exists = {True, False}
        if self.told(self.w.call("DELETE", f"/v1/adapters/{a.name}")[0]):
            a.exists = {False}
        if self.rng.random() < 0.5:
            a.exists = {True, False}
            trained, a.trained = a.trained, False  # a training under way does not come back
            status = self.w.call("POST", f"/v1/trash/{a.name}/restore", "{}")[0]
            a.exists = {self.told(status)}
            a.trained = trained and bool(a.versions)

    def put(self, a, name, data, query=""):
        a.files[name] = a.files.get(name, {None}) | {data}
        if self.w.fuse and self.w.mount and self.rng.random() < 0.5:
            try:
                (self.w.mnt / "model" / a.name / name).write_bytes(data)
            except OSError as e:
                raise Gone from e
            self.w.count("acknowledged")
        elif not self.told(self.w.call("PUT", f"/v1/adapters/{a.name}/files/{name}{query}",
                                       data)[0]):
            raise Gone
        a.files[name] = {data}

    def prompt(self, a):
        self.put(a, "prompt", f"{self.rng.random()} ".encode() * self.rng.randint(1, 3000))

    def rows(self, a):
        word = self.rng.choice(("red", "blue", "green", "black"))
        self.put(a, "dataset.jsonl", rows(word, self.rng.randint(2, 400)), "?train=1")
        a.trained = True

    def rollback(self, a):
        if len(a.versions) > 1:
            n = self.rng.choice(sorted(a.versions))
            self.told(self.w.call("POST", f"/v1/adapters/{a.name}/ctl", f"rollback {n}\n")[0])

    def look(self, a):
        """What versions there are, and what their weights are."""
        status, body = self.w.call("GET", f"/v1/adapters/{a.name}")
        if status != 200:
            return
        for n in json.loads(body)["versions"]:
            if n not in a.versions:
                weights = self.w.file(a, f"versions/{n}/{WEIGHTS}")
                if weights:
                    a.versions[n] = hashlib.sha256(weights).hexdigest()
                    self.w.count("versions")


def verify(w, a):
    """Every acknowledged thing; what was in doubt is known from now on."""
    status, body = w.call("GET", f"/v1/adapters/{a.name}")
    there = status == 200
    if there not in a.exists:
        w.lost.append(f"{a.name} {'is there' if there else 'is lost'}")
    a.exists = {there}
    if not there:
        a.files, a.trained, a.versions = {}, False, {}
        return
    for name, may in a.files.items():
        data = w.file(a, name)
        if data not in may:
            w.lost.append(f"{a.name}/{name}: {None if data is None else len(data)} bytes, none of "
                          f"{sorted(-1 if x is None else len(x) for x in may)}")
        a.files[name] = {data}
    for n, digest in a.versions.items():
        weights = w.file(a, f"versions/{n}/{WEIGHTS}")
        if weights is None or hashlib.sha256(weights).hexdigest() != digest:
            w.lost.append(f"{a.name}: version {n} is lost or another")


def rest(writers, paused):
    for t in writers:
        t.resting.clear()
        t.paused = paused
    for t in writers if paused else ():
        if not t.resting.wait(60):
            raise SystemExit("a writer hangs")


def settle(w, adapters):
    """Every acknowledged training becomes a version."""
    for a in adapters:
        if a.exists == {True} and a.trained:
            if b"set aside" in w.file(a, "status"):  # two kills in the same few milliseconds
                w.call("POST", f"/v1/adapters/{a.name}/ctl", "retry\n")
            w.until(lambda a=a: json.loads(w.call("GET", f"/v1/adapters/{a.name}")[1])["state"]
                    in ("ready", "failed"), f"{a.name} is not trained", 300)
            shown = json.loads(w.call("GET", f"/v1/adapters/{a.name}")[1])
            if not shown["versions"]:
                w.lost.append(f"{a.name}: its training is lost: {shown['status']}")


def run(w, args):
    rng = random.Random(args.seed)
    w.start()
    writers = [Writer(w, i, rng.random()) for i in range(args.writers)]
    adapters = [a for t in writers for a in t.adapters]
    for t in writers:
        t.start()
    end = time.monotonic() + args.seconds if args.seconds else None
    while (w.counts["kills"] < args.kills if not end else time.monotonic() < end):
        time.sleep(rng.uniform(0.05, args.between))
        which = rng.choice((("daemon",), ("daemon",), ("mount",), ("daemon", "mount")))
        w.kill(which if w.fuse else ("daemon",))
        rest(writers, True)
        w.start()
        for a in adapters:
            verify(w, a)
        if w.lost:
            break
        rest(writers, False)
    rest(writers, True)
    for t in writers:
        t.stop = True
    settle(w, adapters)
    w.end()
    fsck = subprocess.run([f"{args.bin}/lorafs", "fsck", str(w.data)], text=True,
                          capture_output=True, check=False)
    if fsck.returncode != 0:
        w.lost.append(f"fsck: {fsck.stdout}{fsck.stderr}")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--bin", default="build/release/bin")
    p.add_argument("--base", default="share/base")
    p.add_argument("--kills", type=int, default=200)
    p.add_argument("--seconds", type=float, default=0, help="instead of --kills")
    p.add_argument("--between", type=float, default=1.5, help="seconds between kills, at most")
    p.add_argument("--writers", type=int, default=4)
    p.add_argument("--seed", type=int, default=int(time.time()))
    p.add_argument("--no-mount", action="store_true")
    args = p.parse_args()
    w = World(args)
    begun = time.monotonic()
    try:
        run(w, args)
    finally:
        for name in ("mount", "daemon"):
            if getattr(w, name):
                getattr(w, name).kill()
        subprocess.run(["umount", "-l", str(w.mnt)], stderr=subprocess.DEVNULL, check=False)
    for line in w.lost:
        print(f"LOST: {line}", file=sys.stderr)
    if not w.lost:
        shutil.rmtree(w.dir)
    else:
        print(f"left behind: {w.dir}", file=sys.stderr)
    print(json.dumps({"seed": args.seed, **w.counts, "lost": len(w.lost),
                      "seconds": round(time.monotonic() - begun, 1)}))
    return 1 if w.lost else 0


if __name__ == "__main__":
    sys.exit(main())
