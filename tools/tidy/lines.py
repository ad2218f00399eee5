"""Checks of one file: lengths, layout, banned calls, head comments, leftovers."""
import pathlib
import re
import shutil
import subprocess

from tidy.source import C_SUFFIXES, ROOT, code_of, text_of, trouble

COLUMNS = 100
FILE_LINES = 900
FUNCTION_LINES = 70

BANNED = {
    "strcpy": "memcpy or snprintf", "strcat": "lf_buf", "sprintf": "snprintf",
    "vsprintf": "vsnprintf", "gets": "getline", "atoi": "strtol", "atol": "strtol",
    "atof": "strtod", "strtok": "strcspn", "alloca": "the heap", "rand": "lf_rng",
    "srand": "lf_rng", "usleep": "a condition",
}
# Libraries return errors; borders print and end.
BORDER_CALLS = {"exit", "_exit", "abort", "printf", "puts", "putchar", "perror", "vprintf"}
BORDERS = re.compile(
    r"^(tools/|tests/|bench/|core/(log|err)\.c$|land/(host|show)\.c$|meta/rewrite\.c$)|/main\.c$"
)

CODE_SUFFIXES = C_SUFFIXES | {".py", ".sh", ".js"}
TEXT_SUFFIXES = CODE_SUFFIXES | {".txt", ".md", ".json", ".html", ".css", ".svg", ".service", ""}
DATA = ("share/base/", "share/tasks/", "tests/fuzz/corpus/", "docs/study/")


def check_text(name, text):
    lines = text.split("\n")
    for i, line in enumerate(lines, 1):
        if line != line.rstrip():
            trouble(name, i, "space at the end of the line")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line) and name != "tools/tidy/lines.py":
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


def check_calls(name):
    for i, line in enumerate(code_of(name).split("\n"), 1):
        for m in re.finditer(r"(?<![\w.>])(\w+)\s*\(", line):
            word = m.group(1)
            if word in BANNED:
                trouble(name, i, f"{word}() is banned: use {BANNED[word]}")
            if word in BORDER_CALLS and not BORDERS.search(name):
                trouble(name, i, f"{word}() in a library: return the error")
        if re.search(r"typedef\s+(struct|union)\b[^;(]*\{?$", line):
            trouble(name, i, "typedef of a struct")


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


def check_functions(name):
    for function, line, length in functions(code_of(name)):
        if length > FUNCTION_LINES:
            trouble(name, line, f"{function}: {length} lines (at most {FUNCTION_LINES})")


def check_format(names):
    """Layout is .clang-format's, by version 14: others break lines elsewhere."""
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    version = tool and subprocess.check_output([tool, "--version"], text=True)
    if not names or not tool or " 14." not in version:
        return
    out = subprocess.run([tool, "--dry-run", *names], cwd=ROOT, capture_output=True,
                         text=True, check=True)
    for name, line in sorted(set(re.findall(r"^(\S+?):(\d+):\d+: warning", out.stderr, re.M))):
        trouble(name, line, "not as clang-format would lay it out")


def check(names):
    for name in names:
        suffix = pathlib.Path(name).suffix
        if suffix not in TEXT_SUFFIXES or name.startswith(DATA) or text_of(name) is None:
            continue
        text = text_of(name)
        check_text(name, text)
        if suffix in CODE_SUFFIXES or suffix == "" and text.startswith("#!"):
            check_code(name, text)
        if suffix in C_SUFFIXES:
            check_calls(name)
            check_functions(name)
    check_format([name for name in names if pathlib.Path(name).suffix in C_SUFFIXES])
