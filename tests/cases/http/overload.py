"""Fills the queue with requests that nobody reads, and sees who is refused. URL: the daemon."""
import json
import os
import socket
from urllib.parse import urlparse

QUEUE_MAX = 1024  # LF_QUEUE_MAX
SEQS_MAX = 128    # of the cpu device

address = urlparse(os.environ["URL"])
body = json.dumps({"prompt": "The old man", "max_tokens": 1500, "ignore_eos": True}).encode()
request = (f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
           .encode() + body)


def ask():
    s = socket.create_connection((address.hostname, address.port))
    s.sendall(request)
    return s


waiting = [ask() for _ in range(QUEUE_MAX + SEQS_MAX + 32)]
refused = 0
for s in waiting[-64:]:
    s.settimeout(5)
    try:
        head = s.recv(4096).decode()
    except TimeoutError:
        continue
    if " 429 " in head.split("\r\n")[0]:
        refused += 1
        assert "retry-after: 1" in head.lower(), head
        assert '"code":"overloaded"' in head, head
assert refused > 0, "nobody was refused"
for s in waiting:
    s.close()
