#!/usr/bin/env python3
"""How fast our tokenizer is beside the Hugging Face `tokenizers` library: the same texts, one
thread each, processor time, in one run.

    tokenizer_speed.py LORAFS [--text FILE] [--only NAME]

Runs over the tokenizers of $LF_SHARED/base and $LF_TOKENIZERS. Without --text the texts are this
project's own sources and task rows. Fails where the ids differ, or where ours is not faster. Exits
77 without the library.
"""
import argparse
import glob
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
try:
    from tokenizers import Tokenizer
except ImportError:
    sys.exit(77)

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
TEXT_BYTES = 1024  # as in bench/tokenize.c
TEXT_CHARS = 1 << 19  # in all


def own_text():
    parts = []
    for pattern in ["docs/*.md", "*.md", "*/*.[ch]", "*/*/*.[ch]", "share/tasks/*/*.jsonl"]:
        for p in sorted(SOURCE.glob(pattern)):
            if p.suffix == ".jsonl":
                rows = [json.loads(x) for x in p.read_text().splitlines()]
                parts.append("\n".join(str(v) for r in rows for v in r.values()) + "\n")
            else:
                parts.append(p.read_text())
    return "".join(parts)[:TEXT_CHARS]


def texts_of(path):
    data, at, out = pathlib.Path(path).read_bytes(), 0, []
    while at < len(data):
        end = data.find(b"\n", min(at + TEXT_BYTES, len(data)))
        end = len(data) if end < 0 else end + 1
        out.append(data[at:end].decode())
        at = end
    return out


def best_of(fn, n=2):
    """Seconds of processor time; and what fn gave."""
    best, result = 1e9, None
    for _ in range(n):
        start = time.process_time()
        result = fn()
        best = min(best, time.process_time() - start)
    return best, result


def measure(program, folder, path):
    texts, t = texts_of(path), Tokenizer.from_file(folder + "/tokenizer.json")
    done = subprocess.run([program, "bench", "tokenize", "--base", folder, "--text", path,
                           "--iters", "3", "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit("%s: %s" % (folder, done.stderr.strip()))
    ours = json.loads(done.stdout)
    batch = getattr(t, "encode_batch_fast", t.encode_batch)
    theirs, encodings = best_of(lambda: batch(texts, add_special_tokens=False))
    mb = os.path.getsize(path) / 1e6
    same = (ours["texts"], ours["tokens"]) == (len(texts), sum(len(e.ids) for e in encodings))
    print("%-12s %6.1f MB/s, first time %6.1f, decode %6.1f; the library %5.1f MB/s: %4.1f times%s"
          % (os.path.basename(folder), mb / ours["encode_seconds"], mb / ours["first_seconds"],
             mb / ours["decode_seconds"], mb / theirs, theirs / ours["encode_seconds"],
             "" if same else ", OTHER TOKENS"), flush=True)
    return same and theirs > ours["encode_seconds"]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--text", default="")
    p.add_argument("--only", default="")
    a = p.parse_args()
    shared = os.environ.get("LF_SHARED", "../shared")
    real = os.environ.get("LF_TOKENIZERS", "tokenizers")
    folders = [d for pattern in [shared + "/base/llama*-nf4", real + "/*"]
               for d in sorted(glob.glob(pattern))
               if os.path.exists(d + "/tokenizer.json") and a.only in d]
    if not folders:
        sys.exit(77)
    with tempfile.TemporaryDirectory() as tmp:
        path = a.text or tmp + "/text"
        if not a.text:
            pathlib.Path(path).write_text(own_text())
        print("%.1f MB of text" % (os.path.getsize(path) / 1e6))
        good = [measure(a.program, d, path) for d in folders]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
