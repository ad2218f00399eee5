"""A line to a server that is far away: what comes in on a port goes to another address late, no
faster than the line carries, and not at all while the line is cut.

line.py PORTFILE TARGET [--delay-ms N] [--rate BYTES]: TARGET is HOST:PORT or the path of a unix
socket. Each way takes N milliseconds (10); the line carries BYTES a second each way, over all its
connections (0: as many as come). stdin has one order a line, and each is answered by a line:
  cut        every connection is reset, and new ones are too
  cut N      the same, once N more bytes have gone to the server (up) or come from it
  hold       nothing goes any more, and nobody is told: what a pulled cable looks like
  heal       as it was at the start
  count      "CONNECTIONS UP DOWN CUTS": since the start, in bytes
It ends with its stdin.
"""

import argparse
import asyncio
import os
import socket
import struct
import sys

PIECE = 256 << 10

ap = argparse.ArgumentParser()
ap.add_argument("portfile")
ap.add_argument("target")
ap.add_argument("--delay-ms", type=float, default=10)
ap.add_argument("--rate", type=float, default=0)
args = ap.parse_args()


class Line:
    """What all connections share."""

    def __init__(self):
        self.is_cut = False
        self.held = asyncio.Event()
        self.held.set()
        self.cut_after = None  # bytes until the cut
        self.writers = set()
        self.connections = 0
        self.cuts = 0
        self.bytes = {"up": 0, "down": 0}
        self.free_at = {"up": 0.0, "down": 0.0}  # when the line has carried what it was given

    def take(self, way, n):
        """When n bytes that are given to it now have left the line's near end."""
        now = asyncio.get_running_loop().time()
        at = max(now, self.free_at[way])
        if args.rate:
            at += n / args.rate
        self.free_at[way] = at
        self.bytes[way] += n
        return at

    def cut(self):
        self.is_cut = True
        self.cuts += 1
        self.cut_after = None
        for w in list(self.writers):
            reset(w)


def reset(writer):
    """Ends a connection as a cut does: with a reset, whatever was under way."""
    s = writer.get_extra_info("socket")
    if s is not None and s.fileno() >= 0 and s.family != socket.AF_UNIX:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def carry(line, way, reader, writer):
    """One direction of a connection."""
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue(maxsize=64)

    async def deliver():
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await line.held.wait()
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    async def accept():
        data = b"more"
        while data:
            data = await reader.read(PIECE)
            await line.held.wait()
            if line.cut_after is not None:
                line.cut_after -= len(data)
                if line.cut_after <= 0:
                    line.cut()
                    return
            sent = line.take(way, len(data))
            await queue.put((sent + args.delay_ms / 1000, data))
            await asyncio.sleep(max(0.0, sent - loop.time()))  # the sender feels the rate

    await asyncio.gather(accept(), deliver())


async def connection(line, near_reader, near_writer):
    line.connections += 1
    if line.is_cut:
        reset(near_writer)
        return
    line.writers.add(near_writer)
    far_writer = None
    try:
        await asyncio.sleep(2 * args.delay_ms / 1000)  # the handshake's round trip
        if args.target.startswith("/"):
            far_reader, far_writer = await asyncio.open_unix_connection(args.target, limit=PIECE)
        else:
            host, port = args.target.rsplit(":", 1)
            far_reader, far_writer = await asyncio.open_connection(host, int(port), limit=PIECE)
        line.writers.add(far_writer)
        await asyncio.gather(carry(line, "up", near_reader, far_writer),
                             carry(line, "down", far_reader, near_writer))
    except OSError:
        pass
    finally:
        for w in (near_writer, far_writer):
            if w:
                reset(w) if line.is_cut else w.close()
                line.writers.discard(w)


def obey(line, words):
    answer = "ok"
    if words[:1] == ["cut"] and len(words) > 1:
        line.cut_after = int(words[1])
    elif words == ["cut"]:
        line.cut()
    elif words == ["hold"]:
        line.held.clear()
    elif words == ["heal"]:
        line.is_cut = False
        line.cut_after = None
        line.held.set()
    elif words == ["count"]:
        answer = f"{line.connections} {line.bytes['up']} {line.bytes['down']} {line.cuts}"
    else:
        answer = "what?"
    print(answer, flush=True)


async def main():
    line = Line()
    server = await asyncio.start_server(lambda r, w: connection(line, r, w), "127.0.0.1", 0,
                                        limit=PIECE)
    with open(args.portfile + ".part", "w", encoding="ascii") as f:
        f.write(str(server.sockets[0].getsockname()[1]))
    os.rename(args.portfile + ".part", args.portfile)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while True:
        words = (await orders.readline()).decode().split()
        if not words:
            os._exit(0)
        obey(line, words)


asyncio.run(main())
