"""Nasty requests. URL: the daemon, with an adapter `task`."""
import json
import os
import socket
from urllib.parse import urlparse

address = urlparse(os.environ["URL"])


def raw(data, end=False):
    """Sends bytes; the first line of what comes back, "" for a closed connection."""
    s = socket.create_connection((address.hostname, address.port))
    s.settimeout(10)
    try:
        s.sendall(data)
        if end:
            s.shutdown(socket.SHUT_WR)
        got = s.recv(4096)
    except (ConnectionResetError, BrokenPipeError):
        got = b""
    s.close()
    return got.split(b"\r\n")[0].decode(errors="replace")


def post(path, body, method="POST", headers=""):
    body = body if isinstance(body, bytes) else body.encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return raw(head.encode() + body)


def expect(line, *codes):
    if not any(f" {c} " in line + " " for c in codes):
        raise SystemExit(f"check failed: {line!r}, not one of {codes}")


JSON_ROUTES = ["/v1/completions", "/v1/chat/completions", "/generate", "/generate_stream",
               "/tokenize", "/v1/adapters", "/v1/adapters/task/rename"]
BODIES = ["", "{", "[]", "null", "1", '"x"', "{" * 100000, "[" * 70 + "]" * 70, '{"a":1,"a":2}',
          '{"model": 1}', '{"prompt": null}', '{"prompt": {}}', '{"prompt": [[]]}',
          '{"prompt": [1.5]}',
          '{"inputs": ""}', '{"inputs": 7}', '{"inputs": "x", "parameters": []}',
          '{"messages": []}', '{"messages": [1]}', '{"messages": [{"role": "user"}]}',
          '{"name": "../x"}', '{"name": "a\\u0000b"}', '{"to": "task/.."}', b"\xff\xfe\x00{}",
          '{"prompt": "x", "max_tokens": 1e99}', '{"prompt": "x", "max_tokens": -1}',
          '{"prompt": "x", "temperature": "hot"}', '{"prompt": "x", "stop": [[]]}',
          '{"prompt": "x", "stop": "\\u0000"}', '{"inputs": "x", "parameters": {"top_p": 7}}']
for path in JSON_ROUTES:
    for body in BODIES:
        if path == "/tokenize" and "inputs" in str(body) and "7" not in str(body)[:13]:
            continue  # any text is fine there
        expect(post(path, body), 400, 404)

# Sizes
expect(post("/v1/completions", b'{"prompt": "' + b"x" * (9 << 20) + b'"}'), 413)
expect(raw(b"PUT /v1/adapters/task/files/prompt HTTP/1.1\r\nHost: x\r\n"
           b"Content-Length: 99999999999999\r\n\r\n"), 413)
expect(post("/v1/adapters/task/files/prompt", b"x" * (5 << 20), "PUT"), 413)
expect(post("/v1/adapters/task/ctl", b"train " * 10000), 413)
expect(post("/v1/adapters/task/ctl", b"x" * 300), 400)
expect(post("/v1/adapters/task/ctl", b"tra\0in"), 400)
long_prompt = json.dumps({"prompt": "word " * 5000, "max_tokens": 1})
expect(post("/v1/completions", long_prompt), 400)

# The protocol itself
for data in [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
             b"\x16\x03\x01\x02\x00\x01" * 50,
             b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
             b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
             b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
             b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
             b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
             b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
             b"PUT /v1/adapters/task/files/dataset.jsonl?train=1 HTTP/1.1\r\nHost: x\r\n"
             b"Content-Length: 1000\r\n\r\n{\"prompt\""]:
    line = raw(data, end=True)
    if line and not line.startswith("HTTP/1."):
        raise SystemExit(f"check failed: {data[:40]!r} got {line!r}")
    if " 500 " in line:
        raise SystemExit(f"check failed: {data[:40]!r} is our fault: {line!r}")

# Ends of requests that two readers may find at different bytes: refused, the connection closed, and
# what follows is no request.
SMUGGLED = b"GET /v1/tree HTTP/1.1\r\nHost: x\r\n\r\n"
for head in ["Content-Length: 0\r\nContent-Length: 37", "Content-Length: 37\r\nContent-Length: 0",
             "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 37, 37",
             "Content-Length: +37", "Content-Length: 0x25", "Content-Length: ",
             "Content-Length: 5\r\nTransfer-Encoding: chunked",
             "Transfer-Encoding: chunked\r\nContent-Length: 5",
             "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
             "Transfer-Encoding: identity", "Transfer-Encoding: chunked, gzip",
             "Transfer-Encoding: xchunked", "Content-Length: 0\r\nHost: y"]:
    s = socket.create_connection((address.hostname, address.port))
    s.settimeout(10)
    s.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode()
              + b"0\r\n\r\n" + SMUGGLED)
    got = b""
    try:
        while piece := s.recv(65536):
            got += piece
    except ConnectionResetError:
        pass  # what it had not read
    s.close()
    lines = [line for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    if any(b" 400 " not in line for line in lines):  # it has no words for what follows, either
        raise SystemExit(f"check failed: {head!r} got {lines}")
chunked = (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
           b"2\r\n{}\r\n0\r\n\r\n")
expect(raw(chunked), 400)  # of the JSON: it was read

# Queries
for query in ["max_tokens=x", "max_tokens=0", "max_tokens=99999999999999999999", "temperature=nan",
              "temperature=-1", "top_p=2", "seed=1.5"]:
    expect(post(f"/v1/adapters/chatty/generate?{query}", "x"), 404)
    expect(post(f"/v1/adapters/{os.environ.get('BASE_NAME', 'base')}/generate?{query}", "x"), 400)
for path in ["/v1/tree?since=x", "/v1/tree?since=-1"]:
    expect(raw(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), 400)
for path in ["/v1/jobs/x", "/v1/jobs/-1", "/v1/jobs/99999999999999999999", "/v1/jobs/1/../2", "//",
             "/v1/adapters/%00", "/v1/adapters/.", "/v1/adapters/" + "a" * 65]:
    expect(raw(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), 404)
