#!/usr/bin/env python3
"""A data set of many gigabytes becomes a version: how much memory the daemon takes for it, and how
long others wait.

    large.py --bin build/release/bin --base share/base [--gb 10]

Rows that all differ are put through HTTP, as the mount does, while another adapter trains over and
over. Takes three times their size of the disk below TMPDIR. The last line of output is a JSON
object of figures; the exit status is 1 where the daemon took more than a gigabyte, or the rows did
not become a version.
"""
import json
import os
import pathlib
import sys
import tempfile
import threading
import time

from load import SETTINGS, rows
from world import UnixConnection, World, parser

BLOCK_BYTES = 100_000_000
MB_MAX = 1024  # beside the base and its working memory, which are small here
REST_SECONDS = 2


def write_rows(path, n_bytes):
    """Of some 460 bytes each; the k-th block has its number in each row."""
    words = "red green blue round table seven lamps over the water".split()
    block, size = [], 0
    while size < min(BLOCK_BYTES, n_bytes):
        i = len(block)
        text = " ".join(words[(i * 7 + k) % 10] for k in range(75))
        block.append(f'{{"prompt": "Look: {text}. Item {i} is", "completion": " {i % 7}"}}\n')
        size += len(block[-1])
    block = "".join(block).encode()
    with open(path, "wb") as f:
        for k in range(max(1, n_bytes // BLOCK_BYTES)):
            f.write(block.replace(b' is", ', b" of %d is\", " % k))


class Watch(threading.Thread):
    """What the daemon takes, and what others of it wait, until it is told to stop."""

    def __init__(self, w):
        super().__init__(daemon=True)
        self.w, self.mb, self.waits, self.over = w, 0, [], False

    def took(self):
        with open(f"/proc/{self.w.daemon.pid}/status", encoding="utf-8") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("RssAnon")) // 1024

    def train_another(self):
        begun = time.monotonic()
        status, _ = self.w.call("PUT", "/v1/adapters/small/files/dataset.jsonl?train=1",
                                rows(f"w{len(self.waits)}", 8))
        self.waits.append(time.monotonic() - begun)
        if status != 200:
            self.w.lost.append(f"another adapter's rows: {status}")

    def run(self):
        due = 0
        while not self.over:
            self.mb = max(self.mb, self.took())
            if time.monotonic() >= due:
                self.train_another()
                due = time.monotonic() + REST_SECONDS
            time.sleep(0.05)


def put(w, path):
    c = UnixConnection(str(w.sock))
    c.timeout = 7200
    with open(path, "rb") as f:
        c.request("PUT", "/v1/adapters/big/files/dataset.jsonl?train=1&quiet=1", f,
                  {"Content-Length": str(os.fstat(f.fileno()).st_size)})
        r = c.getresponse()
        text = r.read()
    if r.status != 200:
        w.lost.append(f"the rows are refused: {r.status} {text}")
    return r.status == 200


def train(w, watch):
    while True:
        shown = w.shown("big")
        if shown["versions"] or shown["state"] == "failed":
            break
        time.sleep(0.5)
    if not shown["versions"]:
        w.lost.append(f"no version: {shown['status']}")
    if watch.mb > MB_MAX:
        w.lost.append(f"{watch.mb} MB of memory")


def main():
    p = parser(__doc__)
    p.add_argument("--gb", type=float, default=10)
    args = p.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lorafs-large-") as disk:
        path = pathlib.Path(disk) / "rows.jsonl"
        write_rows(path, int(args.gb * 1e9))
        w = World(args, data=pathlib.Path(disk) / "data")
        w.options = ("--kv-tokens", "4096")
        try:
            w.start()
            for name in ("big", "small"):
                w.call("POST", "/v1/adapters", json.dumps({"name": name, "config": SETTINGS}))
            watch = Watch(w)
            watch.start()
            put_begun = time.monotonic()
            taken = put(w, path)
            put_seconds = time.monotonic() - put_begun
            if taken:
                train(w, watch)
            watch.over = True
            watch.join()
            w.end()
        finally:
            w.close()
        return w.tell("large rows", begun, bytes=path.stat().st_size, mb=watch.mb,
                      put_seconds=round(put_seconds, 1), others_wait=round(max(watch.waits), 2))


if __name__ == "__main__":
    sys.exit(main())
