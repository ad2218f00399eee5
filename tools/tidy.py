#!/usr/bin/env python3
"""House rules that a machine can check: the test `tidy`, or by hand: tools/tidy.py [FILE...].

Lengths (columns, files, functions), layout (clang-format), banned calls, the direction of includes,
exports that nobody uses, head comments, and what does not belong into a finished tree. Rules with
their reasons: HACKING.md.
"""
import collections
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = 100
FILE_LINES = 900
FUNCTION_LINES = 70

# Functions that are longer than FUNCTION_LINES, and how long. May only shrink: an entry that is
# larger than its function, or not needed, fails too.
LONG_FUNCTIONS = {
}

# A room may include these rooms. tools/ and tests/ may include all.
ROOMS = {
    "core": {"core"},
    "names": {"core", "names"},
    "text": {"core", "text"},
    "score": {"core", "score"},
    "gpu": {"core", "gpu"},
    "model": {"core", "text", "gpu", "model"},
    "trainer": {"core", "text", "score", "gpu", "model", "trainer"},
    "meta": {"core", "meta"},
    "land": {"core", "text", "score", "gpu", "model", "trainer", "client", "land"},
    "daemon": {"core", "text", "score", "gpu", "model", "trainer", "meta", "names",
               "daemon"},
    "client": {"core", "client"},
    "fs": {"core", "client", "names", "fs"},
}

# A folder of a room that must not know these others of it.
FOLDERS = {
    "daemon/http": {"daemon/registry", "daemon/engine", "daemon/jobs", "daemon/api"},
    "daemon/registry": {"daemon/http", "daemon/engine", "daemon/jobs", "daemon/api"},
    "daemon/engine": {"daemon/http", "daemon/registry", "daemon/jobs", "daemon/api"},
    "daemon/jobs": {"daemon/http", "daemon/api"},
}

# Floors of a folder, from the ground up: a file may include headers of its own floor and of those
# below. ops_read.c is on the floor of ops.h.
FLOORS = {
    "fs": ["space", "stage", "timer", "node", "wait", "ask", "snapshot", "fs", "draft", "removal",
           "attr", "feed", "handle", "ops", "mount"],
}

BANNED = {
    "strcpy": "memcpy or snprintf", "strcat": "lf_buf", "sprintf": "snprintf",
    "vsprintf": "vsnprintf", "gets": "getline", "atoi": "strtol", "atol": "strtol",
    "atof": "strtod", "strtok": "strcspn", "alloca": "the heap", "rand": "lf_rng",
    "srand": "lf_rng", "usleep": "a condition",
}
# Libraries return errors; borders print and end.
BORDER_CALLS = {"exit", "_exit", "abort", "printf", "puts", "putchar", "perror", "vprintf"}
BORDERS = re.compile(r"^(tools/|tests/|bench/|core/(log|err)\.c$|land/(host|show)\.c$)|/main\.c$")

C_SUFFIXES = {".c", ".h", ".cu", ".cuh"}
CODE_SUFFIXES = C_SUFFIXES | {".py", ".sh"}
TEXT_SUFFIXES = CODE_SUFFIXES | {".txt", ".md", ".json", ".html", ".service", ""}

troubles = []


def trouble(path, line, text):
    troubles.append(f"{path}:{line}: {text}")


def tracked():
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         cwd=ROOT, capture_output=True, check=False)
    if out.returncode == 0:
        names = [n for n in out.stdout.decode().split("\0") if n]
    else:  # an unpacked archive
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file()]
    return [n for n in names if not n.startswith("build/") and (ROOT / n).is_file()]


def strip_comments(text):
    """Comments and the insides of literals become spaces; lines stay where they are."""
    def blank(m):
        s = m.group(0)
        return s if s[0] == "\n" else re.sub(r"[^\n]", " ", s)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def check_text(name, text):
    lines = text.split("\n")
    for i, line in enumerate(lines, 1):
        if line != line.rstrip():
            trouble(name, i, "space at the end of the line")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line) and name != "tools/tidy.py":
            trouble(name, i, "unfinished: a TODO")
        if re.search(r"(?<![\w.$}])/(home|work|Users)/\w", line):
            trouble(name, i, "a path of one machine")
    if text and not text.endswith("\n"):
        trouble(name, len(lines), "no newline at the end")


def check_code(name, text):
    lines = text.split("\n")
    for i, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            trouble(name, i, f"{len(line)} columns (at most {COLUMNS})")
    if len(lines) - 1 > FILE_LINES:
        trouble(name, len(lines), f"{len(lines) - 1} lines (at most {FILE_LINES})")
    first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
    if not first.startswith(("/*", "#", '"""')):
        trouble(name, 1, "no head comment")


def check_calls(name, code):
    for i, line in enumerate(code.split("\n"), 1):
        for m in re.finditer(r"(?<![\w.>])(\w+)\s*\(", line):
            word = m.group(1)
            if word in BANNED:
                trouble(name, i, f"{word}() is banned: use {BANNED[word]}")
            if word in BORDER_CALLS and not BORDERS.search(name):
                trouble(name, i, f"{word}() in a library: return the error")
        if re.search(r"typedef\s+(struct|union)\b[^;(]*\{?$", line):
            trouble(name, i, "typedef of a struct")


def floor(path):
    """(folder, height) of a file; height -1: no floor of its own, it may include all."""
    folder, _, file = path.rpartition("/")
    floors = FLOORS.get(folder, [])
    stem = file.split(".")[0]
    stem = stem if stem in floors else stem.split("_")[0]
    return folder, floors.index(stem) if stem in floors else -1


def check_includes(name, text):
    room = name.split("/")[0]
    never = FOLDERS.get("/".join(name.split("/")[:2]), ())
    for i, line in enumerate(text.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m:
            continue
        path = m.group(1)
        if not (ROOT / path).is_file():
            trouble(name, i, f'"{path}" is not a path from the root')
        elif room in ROOMS and path.split("/")[0] not in ROOMS[room]:
            trouble(name, i, f"{room}/ must not know {path.split('/')[0]}/")
        elif floor(path)[0] == floor(name)[0] and floor(path)[1] > floor(name)[1] >= 0:
            trouble(name, i, f'"{path}" is a floor above')
        elif any(path.startswith(folder + "/") for folder in never):
            trouble(name, i, f"{name.rpartition('/')[0]}/ must not know {path.rpartition('/')[0]}/")


def functions(code):
    """(name, first line, lines of the body with its braces): bodies open in column 0."""
    lines = code.split("\n")
    for i, line in enumerate(lines):
        if line != "{":
            continue
        head = ""
        for j in range(i - 1, max(i - 12, -1), -1):
            head = lines[j] + " " + head
            if lines[j] and not lines[j][0].isspace() and "(" in lines[j]:
                break
        m = re.search(r"(\w+)\s*\(", head)
        end = next((k for k in range(i, len(lines)) if lines[k].startswith("}")), len(lines))
        yield (m.group(1) if m else "?"), i + 1, end - i + 1


def check_functions(name, code, seen):
    for function, line, length in functions(code):
        allowed = LONG_FUNCTIONS.get((name, function))
        if allowed is not None:
            seen.add((name, function))
            if length > allowed or allowed <= FUNCTION_LINES:
                trouble(name, line, f"{function}: {length} lines, listed with {allowed}")
            elif length < allowed:
                trouble(name, line, f"{function}: {length} lines now; lower its entry of {allowed}")
        elif length > FUNCTION_LINES:
            trouble(name, line, f"{function}: {length} lines (at most {FUNCTION_LINES})")


def check_exports():
    """What a header declares is for others: some other file uses it, and not the tests alone."""
    names = [n for n in tracked() if pathlib.Path(n).suffix in C_SUFFIXES]
    code = {n: strip_comments((ROOT / n).read_text(encoding="utf-8")) for n in names}
    words = {n: collections.Counter(re.findall(r"\w+", text)) for n, text in code.items()}
    users = collections.defaultdict(list)
    for n in names:
        for word in words[n]:
            users[word].append(n)
    for header in names:
        if not header.endswith((".h", ".cuh")) or header.startswith("tests/"):
            continue
        for m in re.finditer(r"^(?!static|#|typedef|return)[A-Za-z_][\w *]*?\b(\w+)"
                             r"(?:\s*\([^;{}]*\)|(?:\[\w*\])+)?[^;{}()]*;", code[header], re.M):
            name = m.group(1)
            defined = re.compile(r"^(?!static|extern)\w[^;{}()\n]*\b%s\s*(\([^;]*?\)\s*\{|[\[=])"
                                 % name, re.M)
            own = [n for n in users[name] if n != header and defined.search(code[n])]
            others = [n for n in users[name] if n != header and n not in own]
            line = code[header].count("\n", 0, m.start(1)) + 1
            inline = words[header][name] > 1
            if own and not others and not inline:
                trouble(header, line, f"{name}: no other file uses it")
            elif own and not inline and all(n.startswith("tests/") for n in others) and \
                    all(words[n][name] == 1 for n in own):
                trouble(header, line, f"{name}: tests alone use it")


def check_format(names):
    """Layout is .clang-format's, by version 14: others break lines elsewhere."""
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    version = tool and subprocess.check_output([tool, "--version"], text=True)
    if not tool or " 14." not in version:
        return
    out = subprocess.run([tool, "--dry-run", *names], cwd=ROOT, capture_output=True,
                         text=True, check=True)
    for name, line in sorted(set(re.findall(r"^(\S+?):(\d+):\d+: warning", out.stderr, re.M))):
        trouble(name, line, "not as clang-format would lay it out")


def main(argv):
    names = argv or tracked()
    seen = set()
    for name in names:
        path = ROOT / name
        suffix = path.suffix
        data = name.startswith(("share/base/", "share/tasks/", "tests/fuzz/corpus/"))
        if suffix not in TEXT_SUFFIXES or data:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        check_text(name, text)
        script = suffix == "" and text.startswith("#!")
        if suffix in CODE_SUFFIXES or script:
            check_code(name, text)
        if suffix in C_SUFFIXES:
            code = strip_comments(text)
            check_calls(name, code)
            check_includes(name, text)
            check_functions(name, code, seen)
    check_format([name for name in names if pathlib.Path(name).suffix in C_SUFFIXES])
    if not argv:
        check_exports()
        for name, function in LONG_FUNCTIONS.keys() - seen:
            trouble(name, 0, f"{function} is listed as long and is not there")
    print("\n".join(sorted(troubles)) if troubles else "tidy")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
