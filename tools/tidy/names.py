"""Checks of names: exports, tags, ceilings, and files that comments name."""
import collections
import re

from tidy.source import c_files, code_of, comments_of, room_of, text_of, tracked, trouble, words_of

# Sources of other projects, which comments name by their file.
FOREIGN = {
    "llama.cpp", "ggml-quants.c", "csrc/kernels.cu", "functional.py", "modeling_rope_utils.py",
    "tuners/tuners_utils.py", "utils/other.py", "golden/README.md", "SOURCE.md",
}


def check_exports():
    """What a header declares is for others: some other file uses it, and not the tests alone."""
    users = collections.defaultdict(list)
    for name in c_files():
        for word in words_of(name):
            users[word].append(name)
    for header in c_files():
        if not header.endswith((".h", ".cuh")) or header.startswith("tests/"):
            continue
        code = code_of(header)
        for m in re.finditer(r"^(?!static|#|typedef|return)[A-Za-z_][\w *]*?\b(\w+)"
                             r"(?:\s*\([^;{}]*\)|(?:\[\w*\])+)?[^;{}()]*;", code, re.M):
            export = m.group(1)
            defined = re.compile(r"^(?!static|extern)\w[^;{}()\n]*\b%s\s*(\([^;]*?\)\s*\{|[\[=])"
                                 % export, re.M)
            own = [n for n in users[export] if n != header and defined.search(code_of(n))]
            others = [n for n in users[export] if n != header and n not in own]
            line = code.count("\n", 0, m.start(1)) + 1
            inline = words_of(header)[export] > 1
            if own and not others and not inline:
                trouble(header, line, f"{export}: no other file uses it")
            elif own and not inline and all(n.startswith("tests/") for n in others) and \
                    all(words_of(n)[export] == 1 for n in own):
                trouble(header, line, f"{export}: tests alone use it")


def check_tags():
    """A tag stands for one thing: one file defines it. The forms of an operation, the files of a
    folder of gpu/ops, share tags among themselves; tests stand each alone."""
    where = collections.defaultdict(dict)
    for name in c_files():
        if room_of(name) == "tests":
            continue
        code = code_of(name)
        for m in re.finditer(r"^[ \t]*(?:static |const |typedef )*(struct|enum|union) (\w+)\s*\{",
                             code, re.M):
            where[m.group(2)].setdefault(name, code.count("\n", 0, m.start(1)) + 1)
    for tag, places in where.items():
        first = next(iter(places))
        forms = first.rpartition("/")[0] if first.startswith("gpu/ops/") else None
        for name, line in places.items():
            if name != first and name.rpartition("/")[0] != forms:
                trouble(name, line, f"the tag {tag} is {first}'s")


def check_comments(names):
    """A file that a comment names exists."""
    files = set(tracked())
    by_base = collections.defaultdict(list)
    for name in files:
        by_base[name.rsplit("/", 1)[-1]].append("/" + name)
    for name in names:
        for line, text in comments_of(name):
            for m in re.finditer(r"(?<![\w/.<*-])(?:[\w-]+/)*[\w-]+\.(?:cuh?|[ch]|cpp|py|sh|md)\b"
                                 r"(?![.\w])", text):
                file = m.group(0)
                known = by_base[file.rsplit("/", 1)[-1]]
                if file not in FOREIGN and not any(k.endswith("/" + file) for k in known):
                    trouble(name, line + text.count("\n", 0, m.start()), f"{file} is not there")


def check_manuals():
    """A source file that a manual names exists."""
    files = set(tracked())
    for name in files & {"README.md", "HACKING.md", "CONTRIBUTING.md", "docs/architecture.md"}:
        for line, text in enumerate(text_of(name).split("\n"), 1):
            for m in re.finditer(r"`(\w+/[\w./-]+\.(?:cuh?|[ch]|py|sh))`", text):
                if m.group(1) not in files:
                    trouble(name, line, f"{m.group(1)} is not there")


def check_ceilings(names):
    """A ceiling is where ceilings are looked for. gpu/ has none: there a *_MAX is a launch's shape,
    which stands with its kernel."""
    for name in names:
        room = room_of(name)
        if room in ("gpu", "tests") or name.endswith("/limits.h"):
            continue
        for m in re.finditer(r"^#define (\w+_MAX)\b", code_of(name), re.M):
            line = code_of(name).count("\n", 0, m.start()) + 1
            trouble(name, line, f"{m.group(1)} belongs into {room}/limits.h or core/limits.h")


def check(names):
    check_comments(names)
    check_ceilings(names)


def check_tree():
    check_exports()
    check_tags()
    check_manuals()
