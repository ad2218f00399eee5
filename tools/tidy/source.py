"""What the checks read: tracked files, their text, their code without comments; the findings."""
import collections
import functools
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
C_SUFFIXES = {".c", ".h", ".cu", ".cuh"}

troubles = []


def trouble(path, line, text):
    troubles.append(f"{path}:{line}: {text}")


@functools.cache
def tracked():
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         cwd=ROOT, capture_output=True, check=False)
    if out.returncode == 0:
        names = [n for n in out.stdout.decode().split("\0") if n]
    else:  # an unpacked archive
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file()]
    return [n for n in names if not n.startswith("build/") and (ROOT / n).is_file()]


def c_files():
    return [n for n in tracked() if pathlib.Path(n).suffix in C_SUFFIXES]


@functools.cache
def text_of(name):
    """None: not text."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


COMMENT_OR_LITERAL = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


@functools.cache
def code_of(name):
    """Comments and literals become spaces; lines stay where they are."""
    return COMMENT_OR_LITERAL.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text_of(name))


@functools.cache
def comments_of(name):
    """[(line, text)]"""
    text = text_of(name)
    return [(text.count("\n", 0, m.start()) + 1, m.group(0))
            for m in COMMENT_OR_LITERAL.finditer(text) if m.group(0)[0] == "/"]


@functools.cache
def words_of(name):
    return collections.Counter(re.findall(r"\w+", code_of(name)))


def room_of(name):
    return name.split("/")[0]
