"""What a disk holds after a power cut, from the journal that disk.c writes.

A node is a file or a directory. Of a file's bytes the disk has those that were synced, and any of
the pages written since; of a directory's names those of its last sync, and any of the changes
since. A rename is one change. Changes of one name reach the disk in their order.
"""
import pathlib
import struct

RECORD = struct.Struct("=IIiiQQIIII")
PAGE = 4096
TRUNCATES, SYNCED = 1, 2


class Unknown(Exception):
    """The program did something to the disk that this does not know."""


class File:
    def __init__(self):
        self.bytes = bytearray()  # on the disk
        self.pending = []         # (offset, bytes, kept whatever happens), or (size,)

    def write(self, at, data, synced):
        self.pending.append((at, data, synced))

    def sync(self):
        for change in self.pending:
            apply(self.bytes, change)
        self.pending.clear()

    def cut(self, rng, chance):
        """The bytes after a cut: pages of what is pending reach the disk, each with this chance."""
        out, size = bytearray(self.bytes), len(self.bytes)
        n = len(self.pending)
        reached = rng.randint(0, n) if 0 < chance < 1 else n * chance
        for i, change in enumerate(self.pending):
            kept = len(change) == 3 and change[2]
            if len(change) == 1:
                if i < reached:
                    apply(out, change)
                    size = change[0]
                continue
            at, data, _ = change
            for start in range(at - at % PAGE, at + len(data), PAGE):
                if kept or rng.random() < chance:
                    a, b = max(start, at), min(start + PAGE, at + len(data))
                    apply(out, (a, data[a - at:b - at], False))
            if i < reached or kept:
                size = max(size, at + len(data))
        return bytes(out[:size]) + bytes(max(0, size - len(out)))


def apply(out, change):
    if len(change) == 1:
        size = change[0]
        del out[size:]
        out.extend(bytes(size - len(out)))
        return
    at, data, _ = change
    if len(out) < at:
        out.extend(bytes(at - len(out)))
    out[at:at + len(data)] = data


class Dir:
    def __init__(self):
        self.names = {}  # as the program sees it: name -> node
        self.disk = {}   # on the disk


class Change:
    """Of names: [(directory, name, node or None)], which reach the disk together."""

    def __init__(self, sets):
        self.sets = sets

    def keys(self):
        return {(d, name) for d, name, _ in self.sets}


class Disk:
    def __init__(self):
        self.root = Dir()
        self.pending = []  # changes of names
        self.fds = {}      # (pid, fd) -> (node, synced with each write)
        self.quiet = set()  # files whose bytes no program counts on

    @classmethod
    def of(cls, path):
        """One that holds this directory, synced."""
        disk, links = cls(), {}

        def take(d, at):
            for entry in at.iterdir():
                if entry.is_dir():
                    node = Dir()
                    take(node, entry)
                elif entry.is_file():
                    node = links.setdefault(entry.stat().st_ino, File())
                    node.bytes = bytearray(entry.read_bytes())
                    if entry.name == "lock.mdb":
                        disk.quiet.add(node)
                else:
                    continue
                d.names[entry.name] = d.disk[entry.name] = node

        take(disk.root, pathlib.Path(path))
        return disk

    # ---- Names

    def find(self, path):
        node = self.root
        for word in filter(None, path.split("/")):
            if not isinstance(node, Dir):
                return None
            node = node.names.get(word)
        return node

    def place(self, path):
        head, _, name = path.rpartition("/")
        return self.find(head), name

    def change(self, *sets):
        for d, name, node in sets:
            if node is None:
                d.names.pop(name, None)
            else:
                d.names[name] = node
        self.pending.append(Change(sets))

    def sync_dir(self, d):
        self.reach([c for c in self.pending if any(x is d for x, _, _ in c.sets)])

    def reach(self, changes):
        """These are on the disk, and before them all that names the same."""
        left, self.pending, wanted = self.pending, [], set(changes)
        keys = set()
        for c in reversed(left):
            if c in wanted or c.keys() & keys:
                keys |= c.keys()
                wanted.add(c)
        for c in left:
            if c in wanted:
                put(c, lambda d: d.disk)
            else:
                self.pending.append(c)

    # ---- Records

    def do(self, op, flags, pid, fd, at, n, path, to, data):
        key = (pid, fd)
        if op == "O":
            self.open(key, flags, path)
        elif op == "C":
            self.fds.pop(key, None)
        elif op in "WTAFP":
            node, synced = self.fds.get(key, (None, False))
            if isinstance(node, File):
                self.file(op, node, synced, at, n, data, path)
            elif op == "F" and node:
                self.sync_dir(node)
        elif op == "M":
            self.change((*self.place(path), Dir()))
        elif op == "U" and self.find(path):  # not a socket
            self.change((*self.place(path), None))
        elif op == "L":
            self.change((*self.place(to), self.find(path)))
        elif op == "R" and self.find(path):
            self.change((*self.place(path), None), (*self.place(to), self.find(path)))
        elif op == "X":
            self.change((*self.place(path), self.find(to)), (*self.place(to), self.find(path)))
        elif op == "?":
            raise Unknown(path)

    def open(self, key, flags, path):
        node = self.find(path)
        if node is None:
            node = File()
            if path.endswith("lock.mdb"):
                self.quiet.add(node)
            self.change((*self.place(path), node))
        if flags & TRUNCATES and (node.bytes or node.pending):
            node.pending.append((0,))
        self.fds[key] = (node, bool(flags & SYNCED))

    def file(self, op, node, synced, at, n, data, path):
        if op == "W":
            node.write(at, data, synced)
        elif op == "T":
            node.pending.append((n,))
        elif op == "A":
            node.write(n - 1, b"\0", False)
        elif op == "F":
            node.sync()
        elif node not in self.quiet:
            raise Unknown(f"{path}: written through a map")

    # ---- The cut

    def cut(self, to, rng):
        """Materialises a disk that may be left at this moment as the directory `to`."""
        chance = rng.choice((0, 0, 1, 0.5, 0.1, 0.9))
        disk = {}  # directory -> names

        def names(d):
            return disk.setdefault(d, dict(d.disk))

        # Most file systems order changes of names; what is asked of them does not.
        if rng.random() < 0.5:
            kept = set(self.pending[:int(len(self.pending) * rng.random() + 0.5)])
        else:
            kept = {c for c in self.pending if rng.random() < chance}
        keys = set()
        for c in reversed(self.pending):
            if c in kept or c.keys() & keys:
                keys |= c.keys()
                kept.add(c)
        for c in self.pending:
            if c in kept:
                put(c, names)
        self.write(pathlib.Path(to), self.root, names, rng, chance, {})

    def write(self, at, d, names, rng, chance, made):
        at.mkdir()
        for name, node in names(d).items():
            if isinstance(node, Dir):
                self.write(at / name, node, names, rng, chance, made)
            elif node in made:
                (at / name).hardlink_to(made[node])
            else:
                data = b"" if node in self.quiet else node.cut(rng, chance)
                (at / name).write_bytes(data)
                (at / name).chmod(0o600)
                made[node] = at / name


def put(change, names):
    for d, name, node in change.sets:
        if node is None:
            names(d).pop(name, None)
        else:
            names(d)[name] = node


def records(path, start=0):
    """(the position after it, its fields) of each whole record."""
    with open(path, "rb") as f:
        f.seek(start)
        at = start
        while head := f.read(RECORD.size):
            op, flags, pid, fd, pos, n, a, b, c, _ = RECORD.unpack(head)
            body = f.read(a + b + c)
            at += RECORD.size + len(body)
            yield at, (chr(op), flags, pid, fd, pos, n, body[:a].decode(), body[a:a + b].decode(),
                       body[a + b:])
