#!/usr/bin/env python3
"""Other projects' vectors: llama.cpp's vocabularies with strings and ids, swift-transformers' too.

    tokenizer_vectors.py TOKENIZE_LINES

A GGUF vocabulary becomes a tokenizer.json (byte-level ones) or a tokenizer.model (SentencePiece's),
which our tokenizer then opens; swift-transformers' ids are held against these and against the real
tokenizers, all of $LF_TOKENIZERS. Exits 77 where that is not there.
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

SEPARATOR = "\n__ggml_vocab_test__\n"

# --- GGUF, as far as a vocabulary needs it ---

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
           12: "d"}


class Gguf:
    def __init__(self, path):
        self.bytes, self.at = path.read_bytes(), 4
        assert self.bytes[:4] == b"GGUF"
        self.take("I")
        self.take("Q")
        self.keys = {}
        for _ in range(self.take("Q")):
            key = self.text()
            self.keys[key] = self.value(self.take("I"))

    def take(self, form):
        value = struct.unpack_from("<" + form, self.bytes, self.at)[0]
        self.at += struct.calcsize("<" + form)
        return value

    def text(self):
        n = self.take("Q")
        self.at += n
        return self.bytes[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            each, n = self.take("I"), self.take("Q")
            return [self.value(each) for _ in range(n)]
        return self.take(SCALARS[kind])


# --- byte-level vocabularies ---

def split(regex):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
            "use_regex": use_regex}


# What the original files of these vocabularies cut words by (DeepSeek's writes cased letters out).
PRE = {
    "gpt-2": [byte_level(True)],
    "falcon": [{"type": "Punctuation", "behavior": "Contiguous"}, byte_level(True),
               {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")],
    "deepseek-llm": [split("[\r\n]"), split(r"\s?[\p{Lu}\p{Ll}\p{Lt}]+"),
                     split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"),
                     split(r"\s+$"), split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
                     {"type": "Digits", "individual_digits": True}, byte_level(False)],
}


def write_json(keys, folder):
    tokens = keys["tokenizer.ggml.tokens"]
    kinds = keys["tokenizer.ggml.token_type"]
    added = [i for i, kind in enumerate(kinds) if kind in (3, 4)]  # control, user defined
    steps = PRE[keys["tokenizer.ggml.pre"]]
    whole = {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": tokens[i], "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": kinds[i] == 3}
                         for i in added],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens) if i not in added},
                  "merges": keys["tokenizer.ggml.merges"]},
    }
    # What is not in the vocabulary is numbered behind it: added tokens at its start stay in it.
    if added and added[0] < len(tokens) - len(added):
        whole["model"]["vocab"] = {t: i for i, t in enumerate(tokens)}
    (folder / "tokenizer.json").write_text(json.dumps(whole))


# --- SentencePiece's vocabularies ---

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def nested(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def write_model(keys, folder):
    out = b""
    for piece, score, kind in zip(keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.scores"],
                                  keys["tokenizer.ggml.token_type"]):
        out += nested(1, nested(1, piece.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score)
                      + number(3, kind))
    trainer = number(3, 2) + number(35, 1)  # BPE, byte fallback
    normalizer = nested(1, b"identity") + number(3, 1) + number(4, 0) + number(5, 1)
    out += nested(2, trainer) + nested(3, normalizer)
    (folder / "tokenizer.model").write_bytes(out)


# --- comparing ---

def ask(folder, questions):
    done = subprocess.run([sys.argv[1], folder], capture_output=True, text=True, check=False,
                          input="".join(json.dumps(q) + "\n" for q in questions))
    if done.returncode:
        raise SystemExit("%s: %s" % (folder, done.stderr.strip()))
    return [json.loads(x) for x in done.stdout.split("\n") if x]


def compare(name, folder, cases, key):
    """cases: (text, ids)."""
    bad = 0
    for (text, want), got in zip(cases, ask(folder, [{"text": t} for t, _ in cases])):
        if got[key] != want:
            bad += 1
            print("%s: %r\n  want %s\n  got  %s" % (name, text[:200], want[:80], got[key][:80]))
    print("%s: %d strings, %d differ" % (name, len(cases), bad), flush=True)
    return bad


def ggml_cases(path):
    texts = pathlib.Path(str(path) + ".inp").read_text().split(SEPARATOR)
    ids = [[int(x) for x in line.split()]
           for line in pathlib.Path(str(path) + ".out").read_text().split("\n")]
    return list(zip(texts, ids))


def swift_cases(folder, file, name):
    cases = []
    if file:
        whole = json.loads((folder / file).read_text())
        cases.append((whole["text"], whole["token_ids"]))
    tests = json.loads((folder / "tokenizer_tests.json").read_text())
    return cases + [(c["input"], c["encoded"]["input_ids"]) for c in tests[name]]


def main():
    real = pathlib.Path(os.environ.get("LF_TOKENIZERS", "tokenizers"))
    vectors, bad = real / "vectors", 0
    if not vectors.is_dir():
        sys.exit(77)
    with tempfile.TemporaryDirectory() as tmp:
        made = {}
        for path in sorted(vectors.glob("*.gguf")):
            name = path.stem.replace("ggml-vocab-", "")
            keys = Gguf(path).keys
            made[name] = pathlib.Path(tmp) / name
            made[name].mkdir()
            byte_level_one = keys["tokenizer.ggml.model"] == "gpt2"
            (write_json if byte_level_one else write_model)(keys, made[name])
            bad += compare("llama.cpp " + name, made[name], ggml_cases(path), "ids_plain")
        for name, folder, file in [
                ("coreml-projects/Llama-2-7b-chat-coreml", real / "llama-2", "llama_encoded.json"),
                ("pcuenq/Llama-3.2-1B-Instruct-tokenizer", real / "llama-3",
                 "llama_3.2_encoded.json"),
                ("distilgpt2", real / "gpt2", "gpt2_encoded_tokens.json"),
                ("tiiuae/falcon-7b", made["falcon"], "falcon_encoded.json")]:
            cases = swift_cases(vectors / "swift-transformers", file, name)
            bad += compare("swift-transformers " + name, folder, cases, "ids")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
