"""The mount over a long line, against curl over the same one.

line.py BIN [--adapters N] [--mb N] [--rate MB] [--delay-ms N] [--rounds N]: starts the daemon and
the mount of BIN (build/release/bin) on an empty data directory, with a line between them
(tests/lib/line.py) of N milliseconds each way (10) that carries MB a second each way (12.5), and
prints seconds, the least of the rounds, which take turns: `ls -lR` of N adapters (1000) over the
line and beside it, and N megabytes of rows (100) up and down, by curl and through the mount.
"""

import argparse
import filecmp
import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent.parent

ap = argparse.ArgumentParser()
ap.add_argument("bin", type=pathlib.Path)
ap.add_argument("--adapters", type=int, default=1000)
ap.add_argument("--mb", type=int, default=100)
ap.add_argument("--rate", type=float, default=12.5)
ap.add_argument("--delay-ms", type=float, default=10)
ap.add_argument("--rounds", type=int, default=3)
args = ap.parse_args()


def wait_for(what, found):
    end = time.monotonic() + 60
    while not found():
        if time.monotonic() > end:
            sys.exit(f"line.py: {what} does not come")
        time.sleep(0.05)


def took(*command):
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def write_rows(path, size):
    """Rows that differ, so that nothing can be told from the one before."""
    with open(path, "w", encoding="ascii") as f:
        i = 0
        while f.tell() < size:
            f.writelines(json.dumps({"prompt": f"{n:08d} " * 100, "completion": " red"}) + "\n"
                         for n in range(i, i + 1000))
            i += 1000


class Host:
    """A daemon, a line to it, and mounts over the line and beside it."""

    def __init__(self, work):
        self.work = work
        self.running = []
        log = work / "daemon.log"
        self.start([args.bin / "lorafsd", "--base", HERE / "share/base", "--data", work / "data",
                    "--device", "cpu", "--listen", "127.0.0.1:0", "--train-tokens", "0"], log)

        def address():
            for words in log.read_text().splitlines():
                if "listening on " in words:
                    return words.split("listening on ")[1].split()[0]
            return ""
        wait_for("the daemon", address)
        self.near = address()
        port = work / "port"
        self.line = subprocess.Popen(
            [sys.executable, HERE / "tests/lib/line.py", port, self.near, "--delay-ms",
             str(args.delay_ms), "--rate", str(args.rate * 1e6)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        wait_for("the line", port.exists)
        self.far = "127.0.0.1:" + port.read_text()

    def start(self, command, log):
        with open(log, "w", encoding="utf-8") as f:
            self.running.append(subprocess.Popen(command, stderr=f))

    def mount(self, name, address):
        at = self.work / name
        at.mkdir()
        self.start([args.bin / "lorafs", "mount", "--foreground", f"http://{address}", at],
                   self.work / f"{name}.log")
        wait_for("the mount", (at / "README").exists)
        return at

    def end(self):
        for p in reversed(self.running):
            p.terminate()
            p.wait()
        self.line.stdin.close()
        self.line.wait()


def make_adapters(address):
    c = http.client.HTTPConnection(address)
    for i in range(args.adapters):
        c.request("POST", "/v1/adapters", json.dumps({"name": f"a{i:05d}"}))
        c.getresponse().read()


def measure(host, rows):
    far, near = host.mount("far", host.far), host.mount("near", host.near)
    file = "v1/adapters/a00000/files/eval.jsonl"
    curl = ["curl", "-sSf", "-o", os.devnull]
    there = far / "model/a00001/eval.jsonl"
    seconds = {}
    for _ in range(args.rounds):
        for name, command in [
                ("ls beside the line", ["ls", "-lR", near]),
                ("ls over the line", ["ls", "-lR", far]),
                ("curl up", [*curl, "-T", rows, f"http://{host.far}/{file}"]),
                ("mount up", ["cp", rows, there]),
                ("curl down", [*curl, f"http://{host.far}/{file}"]),
                ("mount down", ["dd", f"if={there}", f"of={os.devnull}", "bs=1M", "status=none"])]:
            time.sleep(1)  # so that no listing is remembered
            t = took(*command)
            seconds[name] = min(seconds.get(name, t), t)
    if not filecmp.cmp(there, rows, shallow=False):
        sys.exit("line.py: the bytes differ")
    for name, t in seconds.items():
        print(f"{name:20s} {t:8.3f} s")
    for way in ("up", "down"):
        ratio = seconds[f"mount {way}"] / seconds[f"curl {way}"]
        print(f"mount/curl {way:9s} {ratio:8.3f}")


def main():
    with tempfile.TemporaryDirectory(prefix="lorafs-line.") as name:
        work = pathlib.Path(name)
        rows = work / "rows"
        write_rows(rows, args.mb * 1000000)
        host = Host(work)
        try:
            make_adapters(host.near)
            measure(host, rows)
        finally:
            host.end()


main()
