"""Fills the queue with requests that nobody reads, and sees who is refused. URL: the daemon."""
import json
import os
import select
import socket
import time
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
end = time.monotonic() + 60
poll = select.poll()
by_fd = {s.fileno(): s for s in waiting}
for fd in by_fd:
    poll.register(fd, select.POLLIN)
while refused == 0 and time.monotonic() < end:
    for fd, _ in poll.poll(1000):
        poll.unregister(fd)
        head = by_fd[fd].recv(4096).decode()
        if " 429 " not in head.split("\r\n")[0]:
            continue
        refused += 1
        assert "retry-after: 1" in head.lower(), head
        assert '"code":"overloaded"' in head, head
assert refused > 0, "nobody was refused"
for s in waiting:
    s.close()
