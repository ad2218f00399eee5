"""What HTTP allows and clients do. URL: the daemon; `task` an adapter on it."""
import gzip
import http.client
import json
import os
import socket
import time
import zlib

from asking import expect

HOST, PORT = os.environ["URL"].removeprefix("http://").split(":")
LONG = 100 if os.environ.get("SANITIZE") else 600  # tokens
SECONDS = 300
ASK = {"prompt": "The old man", "max_tokens": 4, "temperature": 0}


def send(target, body=None, method="POST", **headers):
    c = http.client.HTTPConnection(HOST, int(PORT), timeout=SECONDS)
    c.request(method, target, body, {k.replace("_", "-"): v for k, v in headers.items()})
    r = c.getresponse()
    return r.status, r.read()


def text_of(answer):
    status, body = answer
    expect(status == 200, f"{status} {body}")
    return json.loads(body)["choices"][0]["text"]


bare = json.dumps(ASK).encode()
want = text_of(send("/v1/completions", bare))

# Packed bodies, bounded by what they unpack to
packed = gzip.compress(bare)
for coding, body in (("gzip", packed), ("GZIP", packed), ("x-gzip", packed), ("identity", bare),
                     ("deflate", zlib.compress(bare)),
                     ("gzip", gzip.compress(bare[:9]) + gzip.compress(bare[9:]))):
    expect(text_of(send("/v1/completions", body, Content_Encoding=coding)) == want, coding)
bomb = gzip.compress(b'{"prompt": "' + b" " * (64 << 20) + b'"}')
for body, code, word in ((packed[:-9], 400, "breaks off"), (b"{}", 400, "unpacked"),
                         (packed[:20] + b"xx" + packed[22:], 400, "unpacked"), (bomb, 413, "over")):
    status, said = send("/v1/completions", body, Content_Encoding="gzip")
    expect(status == code and word in said.decode(), f"{status} {said}")
status, said = send("/v1/completions", bare, Content_Encoding="br")
expect(status == 400 and "br" in said.decode(), f"{status} {said}")
rows = b'{"prompt": "a", "completion": " b"}\n' * 4
status, said = send("/v1/adapters/task/files/dataset.jsonl", gzip.compress(rows), "PUT",
                    Content_Encoding="gzip")
expect(status == 200 and json.loads(said)["bytes"] == len(rows), f"{status} {said}")

# Targets: absolute, with slashes of a base address that ends in one
for target in (f"http://{HOST}:{PORT}/v1/completions", "HTTP://any.host/v1/completions",
               "//v1/completions", "/v1//completions"):
    expect(text_of(send(target, bare)) == want, target)
expect(send(f"http://{HOST}:{PORT}", method="GET")[0] == 200, "the page, absolute")
expect(send("http://a/v1/nothing", method="GET")[0] == 404, "an absolute target of nothing")


# A client that has said all and listens on: answered, in one piece and streamed
def half_close(body):
    with socket.create_connection((HOST, int(PORT)), timeout=SECONDS) as s:
        head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        s.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while piece := s.recv(65536):
            got += piece
    return got.decode()


long = {**ASK, "max_tokens": LONG, "ignore_eos": True}
for stream in (False, True):
    start = time.monotonic()
    got = half_close(json.dumps({**long, "stream": stream}).encode())
    expect(time.monotonic() - start > 0.2, "too quick to be looked at meanwhile")
    final = got.removeprefix("HTTP/1.1 100 Continue\r\n\r\n")
    expect(final.startswith("HTTP/1.1 200 "), got[:300])
    expect("[DONE]" in final if stream else f'"completion_tokens":{LONG}' in final, got[-300:])
