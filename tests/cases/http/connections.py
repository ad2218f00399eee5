"""Many connections, and slow ones. URL: the daemon; connections.py crowd SOCKET | dripping."""
import os
import select
import socket
import sys
import time
from urllib.parse import urlparse

address = urlparse(os.environ["URL"])
REQUEST = b"GET /v1/tree HTTP/1.1\r\nHost: x\r\n\r\n"


def connect():
    s = socket.create_connection((address.hostname, address.port))
    s.settimeout(60)
    return s


def answer(s):
    """The head of an answer; "" where the other side has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        if not more:
            return data.decode()
        data += more
    return data.decode()


def crowd(path):
    idle = [connect() for _ in range(250)]  # those that fit no more wait to be accepted
    unix = socket.socket(socket.AF_UNIX)
    unix.settimeout(20)
    unix.connect(path)
    begin = time.monotonic()
    unix.sendall(REQUEST)
    assert " 200 " in answer(unix), "the unix socket does not answer"
    assert time.monotonic() - begin < 5, "the unix socket waits for TCP"
    # Each that asks is answered, or told to come back: no reset.
    asking = [connect() for _ in range(100)]
    for s in asking:
        s.sendall(REQUEST)
    told = 0
    for s in asking:
        head = answer(s)
        if " 503 " in head.split("\r\n")[0]:
            told += 1
            assert "retry-after:" in head.lower() and "connection: close" in head.lower(), head
        else:
            assert " 200 " in head.split("\r\n")[0], head
    assert told > 0, "nobody was told to come back"
    # The idle ones are half open: closed, so that one that comes later is answered.
    end = time.monotonic() + 60
    while True:
        s = connect()
        s.sendall(REQUEST)
        if " 200 " in answer(s):
            break
        assert time.monotonic() < end, "the half-open ones keep others out"
        time.sleep(0.2)
    for s in idle + asking:
        s.close()


def dripping():
    """A head that comes a byte a second is cut off, however steadily it drips."""
    s = connect()
    begin = time.monotonic()
    for byte in b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * 100:
        try:
            s.sendall(bytes([byte]))
        except OSError:
            break
        if select.select([s], [], [], 1)[0]:
            break
    assert time.monotonic() - begin < 60, "it may drip for ever"


globals()[sys.argv[1]](*sys.argv[2:])
