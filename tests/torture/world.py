"""A daemon and a mount of it, which can be killed at any time, and calls to them."""
import argparse
import http.client
import json
import os
import pathlib
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

COUNTS = ("acknowledged", "in_doubt", "versions", "backups")


class Gone(Exception):
    """The daemon or the mount went away: whether it was done is not known."""


class Lost(SystemExit):
    """It does not even start."""


def parser(doc):
    """The options of every harness, whose first line of text says what it is."""
    p = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    p.add_argument("--bin", default="build/release/bin")
    p.add_argument("--base", default="share/base")
    p.add_argument("--seed", type=int, default=int(time.time()))
    return p


def place():
    """Where nothing waits for a disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class World:
    def __init__(self, args, data=None, fuse=False, env=None):
        self.args, self.env = args, {**os.environ, **(env or {})}
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lorafs-torture-", dir=place()))
        self.data = pathlib.Path(data) if data else self.dir / "data"
        self.mnt = self.dir / "mnt"
        self.log = open(self.dir / "daemon.log", "ab")
        self.fuse = fuse and os.access("/dev/fuse", os.W_OK)
        self.daemon = self.mount = self.journal = None
        self.options = ()  # more of the daemon's
        self.counts = dict.fromkeys(COUNTS, 0)
        self.lock = threading.Lock()
        self.lost = []

    @property
    def sock(self):
        return self.data / "lorafsd.sock"

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def position(self):
        """Of the journal: what was written to the disk is before it."""
        return os.stat(self.journal).st_size if self.journal and self.journal.exists() else 0

    # ---- Processes

    def launch(self):
        self.daemon = subprocess.Popen(
            [f"{self.args.bin}/lorafsd", "--base", self.args.base, "--data", str(self.data),
             "--no-tcp", "--device", "cpu", *self.options], stderr=self.log, env=self.env)

    def start(self):
        if not self.daemon:
            self.launch()
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
                raise Lost(f"{what}: it ended with {self.daemon.returncode}; {self.dir}")
            if time.monotonic() > end:
                raise Lost(f"{what}; {self.dir}")
            time.sleep(0.005)

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

    def end(self):
        for name in ("mount", "daemon"):
            process = getattr(self, name)
            if process:
                process.terminate()
                if process.wait(120) != 0:
                    self.lost.append(f"the {name} ended with {process.returncode}")
                setattr(self, name, None)
        self.unmount()

    def unmount(self):
        if self.fuse:
            subprocess.run(["umount", "-l", str(self.mnt)], stderr=subprocess.DEVNULL, check=False)

    def close(self):
        """What is left of it; the directory stays where something was lost."""
        self.kill(("mount", "daemon"))
        self.unmount()
        self.log.close()
        for line in self.lost:
            print(f"LOST: {line}", file=sys.stderr)
        if self.lost or sys.exc_info()[0]:
            print(f"left behind: {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir)

    def tell(self, what, begun, **figures):
        """The last line of a harness's output; its exit status."""
        print(json.dumps({"what": what, "seed": self.args.seed, **figures, "lost": len(self.lost),
                          "seconds": round(time.monotonic() - begun, 1)}))
        return 1 if self.lost else 0

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

    def shown(self, name):
        """The adapter, or None."""
        status, body = self.call("GET", f"/v1/adapters/{name}")
        if status not in (200, 404):
            raise Gone
        return json.loads(body) if status == 200 else None

    def file(self, name, rel):
        status, body = self.call("GET", f"/v1/adapters/{name}/files/{rel}")
        return body if status == 200 else None

    def command(self, *words):
        """A command of ours: its process, whose output is kept."""
        return subprocess.run([f"{self.args.bin}/lorafs", *map(str, words)], text=True,
                              capture_output=True, check=False, env=self.env)

    @staticmethod
    def remove(path):
        shutil.rmtree(path, ignore_errors=True)

    def fsck(self, data=None):
        """Nothing may be wrong, and nothing left over by what was cut off."""
        done = self.command("fsck", data or self.data)
        if done.returncode != 0:
            self.lost.append(f"fsck: {done.stdout}{done.stderr}")
