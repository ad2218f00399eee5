"""Requests that would become many times as large in memory. URL: the daemon; memory.py PID."""
import http.client
import json
import os
import sys
import threading
import time
from urllib.parse import urlparse

address = urlparse(os.environ["URL"])
MB = 1 << 20


def resident(what):
    with open(f"/proc/{sys.argv[1]}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) >> 10 for line in f if line.startswith(what + ":"))


def send(method, path, body, headers=None):
    c = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
    c.request(method, path, body, headers or {})
    r = c.getresponse()
    return r.status, r.read()


def expect(answer, *codes):
    status, body = answer
    if status not in codes:
        raise SystemExit(f"check failed: {status}, not {codes}: {body[:300]}")


before = resident("VmRSS")
objects = b'{"prompt": [' + b",".join([b"{}"] * (2 * MB)) + b"]}"
for path in ("/v1/completions", "/v1/chat/completions", "/generate", "/tokenize", "/detokenize",
             "/v1/adapters"):
    expect(send("POST", path, objects), 413)
expect(send("POST", "/v1/adapters", json.dumps({"name": "f"})), 201)
for file, body in (("config.json", b"[" + b",".join([b"{}"] * 300000) + b"]"),
                   ("dataset.jsonl", b'{"prompt": [' + b",".join([b"{}"] * (2 * MB)) + b"]}"),
                   ("adapter/adapter_config.json", b"[" + b"[]," * 300000 + b"[]]")):
    expect(send("PUT", f"/v1/adapters/f/files/{file}", body), 413, 422)
long = b"a" * (8 * MB - 100)
expect(send("POST", "/tokenize", b'{"inputs": "' + long + b'"}'), 413)
expect(send("POST", "/tokenize", b'{"prompt": "' + long + b'"}'), 413)
expect(send("POST", "/v1/adapters/base/generate", long[:4 * MB]), 400, 413)

# What fits is answered, many at once: in turn, or told to come again, and then when it does.
half = b'{"inputs": "' + b"a" * (300 << 10) + b'"}'
got = []


def ask(k):
    answer = send("POST", "/tokenize", half)
    for _ in range(200):
        if answer[0] != 429:
            break
        time.sleep(0.05 + k * 0.02)
        answer = send("POST", "/tokenize", half)
    got.append(answer)


threads = [threading.Thread(target=ask, args=(k,)) for k in range(16)]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert len(got) == 16
for answer in got:
    expect(answer, 200)
    assert len(json.loads(answer[1])) > 1000
peak, after = resident("VmHWM"), resident("VmRSS")
if peak > before + 400 or after > before + 150:
    raise SystemExit(f"check failed: {before} MB before, {peak} at the peak, {after} after")
