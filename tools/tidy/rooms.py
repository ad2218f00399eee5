"""Checks of the floor plan: a room's includes follow CMake's link edges, files form no circle, and
no room holds too much. tools/rooms draws the same edges."""
import collections
import functools
import pathlib
import re

from tidy.source import ROOT, c_files, code_of, room_of, text_of, trouble

# The link edges may never come to these: (room, what it must not know).
NEVER = [("text", "gpu"), ("text", "model"), ("score", "gpu"), ("score", "model"),
         ("score", "trainer"), ("client", "daemon"), ("fs", "daemon"), ("fs", "meta"),
         ("fs", "model"), ("daemon", "fs"), ("daemon", "client"), ("daemon", "tools")]
TOP = {"tools", "bench", "tests"}  # may include all
SHARE = 0.20  # of the lines of all rooms, in one room (gpu/ is the largest)

# A folder that must not know these, whose room it is or knows.
FOLDERS = {
    "daemon/http": {"daemon/registry", "daemon/engine", "daemon/jobs", "daemon/api"},
    "daemon/registry": {"daemon/http", "daemon/engine", "daemon/jobs", "daemon/api"},
    "daemon/engine": {"daemon/http", "daemon/registry", "daemon/jobs", "daemon/api"},
    "daemon/jobs": {"daemon/http", "daemon/api"},
    "fsck": {"daemon/http", "daemon/api", "daemon/engine"},
}

# Floors of a folder, from the ground up: a file may include headers of its own floor and of
# those below. ops_read.c is on the floor of ops.h.
FLOORS = {
    "fs": ["space", "stage", "timer", "node", "wait", "request", "outgoing", "snapshot", "fs",
           "draft", "removal", "attr", "feed", "ahead", "handle", "ops", "mount"],
}

# Files that call each other in a circle. Each by its nature, and none may join.
CIRCLES = [
    {"text/chat/expressions.c", "text/chat/parser.c"},  # a grammar: parentheses hold expressions
    {"text/guide/schema.c", "text/guide/schema_array.c", "text/guide/schema_not.c",
     "text/guide/schema_object.c", "text/guide/schema_text.c"},  # likewise: schemas hold schemas
    {"text/chat/eval.c", "text/chat/run.c"},            # an interpreter: macros run statements
    {"model/exec.c", "model/exec_backward.c", "model/exec_batch.c", "model/exec_forward.c",
     "model/exec_gain.c", "model/exec_group.c", "model/exec_head.c", "model/exec_memory.c",
     "model/exec_parts.c", "model/exec_step.c"},  # one object, whose parts stand in files
    {"daemon/jobs/jobs.c", "daemon/jobs/prepare.c", "daemon/jobs/quiet.c",
     "daemon/jobs/record.c"},  # likewise
    {"land/rows.c", "land/rows_conll.c", "land/rows_csv.c", "land/rows_json.c",
     "land/rows_xml.c"},  # the reader chooses a format, the format hands it rows
    {"daemon/api/metrics.c", "daemon/api/routes.c"},  # the route of metrics counts by route
    {"gpu/backend_cpu.c", "gpu/backend_ref.c", "gpu/device.c", "gpu/host.c",
     "gpu/paper.c"},  # a device opens its backend, whose table has functions of the device
]


@functools.cache
def edges():
    """{room: rooms that its library links}, in CMake's order."""
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    rooms = re.search(r"set\(lf_rooms ([^)]*)\)", cmake).group(1).split()
    out = {}
    for room in rooms:
        text = (ROOT / room / "CMakeLists.txt").read_text(encoding="utf-8")
        call = re.search(r"lf_room\(%s\b([^)]*)\)" % room, text).group(1)
        out[room] = [r for r in re.findall(r"\blf_(\w+)", call) if r in rooms]
    return out


@functools.cache
def known(room):
    """The rooms that a room may include: itself, and those that it links, directly or not."""
    return {room}.union(*(known(r) for r in edges()[room]))


@functools.cache
def lines_of(room):
    return sum(text_of(n).count("\n") for n in c_files() if room_of(n) == room)


def floor(path):
    """(folder, height) of a file; height -1: no floor of its own, it may include all."""
    folder, _, file = path.rpartition("/")
    floors = FLOORS.get(folder, [])
    stem = file.split(".")[0]
    stem = stem if stem in floors else stem.split("_")[0]
    return folder, floors.index(stem) if stem in floors else -1


def check_includes(name):
    room = room_of(name)
    never = FOLDERS.get(name.rpartition("/")[0], ())
    for i, line in enumerate(text_of(name).split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m:
            continue
        path = m.group(1)
        if not (ROOT / path).is_file():
            trouble(name, i, f'"{path}" is not a path from the root')
        elif room not in TOP and room in edges() and room_of(path) not in known(room):
            trouble(name, i, f"{room}/ must not know {room_of(path)}/")
        elif floor(path)[0] == floor(name)[0] and floor(path)[1] > floor(name)[1] >= 0:
            trouble(name, i, f'"{path}" is a floor above')
        elif any(path.startswith(folder + "/") for folder in never):
            trouble(name, i, f"{name.rpartition('/')[0]}/ must not know {path.rpartition('/')[0]}/")


def calls():
    """{file: files that define what it uses}, of the product's C."""
    files = [n for n in c_files() if n.endswith(".c") and room_of(n) in edges()]
    define = re.compile(r"^(?!static|extern|typedef|#)[A-Za-z][\w *]*?\b(lf_\w+)\s*"
                        r"(?:\([^;{}]*\)\s*\{|(?:\[\w*\])* = )", re.M)
    where = collections.defaultdict(set)
    for name in files:
        for m in define.finditer(code_of(name)):
            where[m.group(1)].add(name)
    return {name: set().union(*(where[w] for w in set(re.findall(r"\blf_\w+", code_of(name)))
                                if len(where.get(w, ())) == 1)) - {name} for name in files}


def circles(graph):
    """Strongly connected sets of more than one file (Tarjan)."""
    index, low, stack, out = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in sorted(graph[v]):
            if w not in index:
                visit(w)
            if w in stack:
                low[v] = min(low[v], low[w])
        if low[v] == index[v]:
            at = stack.index(v)
            found = set(stack[at:])
            del stack[at:]
            if len(found) > 1:
                out.append(found)

    for v in graph:
        if v not in index:
            visit(v)
    return out


def check_circles():
    for found in circles(calls()):
        if not any(found <= allowed for allowed in CIRCLES):
            trouble(min(found), 1, "files call each other in a circle: " + " ".join(sorted(found)))
    for allowed in CIRCLES:
        for name in sorted(allowed):
            if not (ROOT / name).is_file():
                trouble("tools/tidy/rooms.py", 1, f"{name} of CIRCLES is not there")


def check_tree():
    for room, never in NEVER:
        if never in known(room):
            trouble(f"{room}/CMakeLists.txt", 1, f"{room}/ must never know {never}/")
    total = sum(lines_of(room) for room in edges())
    for room in edges():
        if lines_of(room) > SHARE * total:
            trouble(f"{room}/", 0, f"{100 * lines_of(room) / total:.1f}% of the lines "
                                   f"(at most {100 * SHARE:.0f}%)")
    check_circles()


def check(names):
    for name in names:
        if pathlib.Path(name).suffix in {".c", ".h", ".cu", ".cuh"}:
            check_includes(name)
