#!/usr/bin/env python3
"""Random strings and random ids: our tokenizer against the Hugging Face `tokenizers` library.

    tokenizer_fuzz.py TOKENIZE_LINES [--strings N] [--seed S] [--only NAME]

Runs over the tokenizers of $LF_SHARED/golden, $LF_SHARED/base and $LF_TOKENIZERS (from their
tokenizer.json and, where there is one, from their tokenizer.model alone), and over small ones made
here so that every kind of component comes up. Exits 77 without the library.
"""
import argparse
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

try:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers, processors
except ImportError:
    sys.exit(77)

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
         r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
PIECES = ["'s", "'S", "'ſ", "'ll", "'LL", "'re", "ﬁ", "ß", "İ", "ı", "K", "Å", "é", "e\u0301",
          "a\u0323\u0307", "\u0958", "가", "\u1100\u1161\u11a8", "▁", "▁▁", "Ġ", "<0x41>", "<s>",
          "</s>", "<unk>", "<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>", "[INST]", "\u200d",
          "\u200b", "\u180e", "\u0085", "\u00a0", "\u2028", "\u3000", "\ufeff", "\ufffd", "\ufffe",
          "\x00", "\x1c", "\x7f", "\r", "\n", "\r\n", "\t", " ", "  ", "   ", "0", "1", "١", "²",
          "½", "Ⅷ", "ⅷ", "①", "ⓐ", "_", "-", "--", "...", "?!", "(", ")", "{", "}", "https://",
          "👩‍👩‍👧", "🇫🇷", "🏽", "́", "​", "the", "The", "THE", "ing", "über", "naïve", "東京",
          "こんにちは", "привет", "שלום", "مرحبا", "नमस्ते", "ไทย", "\U00031350", "\U0001e030",
          "\u1c89", "TOK", "tok", "Tok", " TOK ", "<x>", "<xx>", "long token", "abc", "aaa"]


def random_char(rng):
    kind = rng.random()
    if kind < 0.35:
        return chr(rng.randrange(32, 127))
    if kind < 0.45:
        return rng.choice(" \n\t\r  ")
    if kind < 0.6:
        return chr(rng.randrange(0xa0, 0x250))
    if kind < 0.75:
        return chr(rng.choice([rng.randrange(0x300, 0x370), rng.randrange(0x370, 0x600),
                               rng.randrange(0x900, 0x980), rng.randrange(0x1100, 0x1200),
                               rng.randrange(0x2000, 0x2070), rng.randrange(0x3040, 0x3100),
                               rng.randrange(0x4e00, 0x9fff), rng.randrange(0xac00, 0xd7a4),
                               rng.randrange(0x1f300, 0x1f700)]))
    while True:
        c = rng.randrange(0, 0x110000)
        if not 0xd800 <= c < 0xe000:
            return chr(c)


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(0, rng.choice([4, 12, 40]))):
        kind = rng.random()
        if kind < 0.4:
            parts.append(rng.choice(PIECES))
        elif kind < 0.5:
            parts.append(rng.choice(" \nae1'") * rng.randrange(1, 40))
        else:
            parts.append(random_char(rng))
    return "".join(parts)


def byte_alphabet():
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def small_bpe(rng, symbols, extra, **options):
    """A random BPE model: symbols, then merges of what is there."""
    vocab = {}
    for s in ["<unk>"] + symbols + extra:
        vocab.setdefault(s, len(vocab))
    common = symbols[:]
    merges = []
    while len(merges) < 300:
        a, b = rng.choice(common), rng.choice(common)
        if len(a) + len(b) > 8 or (a, b) in merges:
            continue
        merges.append((a, b))
        vocab.setdefault(a + b, len(vocab))
        common.append(a + b)
    return models.BPE(vocab=vocab, merges=merges, **options)


def made_tokenizers():
    rng = random.Random(7)
    letters = list("abcdefghijklmnopqrstuvwxyzTHEIOK 0123456789.,'-_<>x▁\nßé") + ["東", "\u0301"]
    fallback = ["<0x%02X>" % i for i in range(256)]
    common = list(" etaoinshrdlu▁'") * 3

    def chars(fall=True, **options):
        return small_bpe(rng, letters + common, fallback if fall else [], **options)

    def level(drop=0, **options):
        return small_bpe(rng, byte_alphabet()[drop:] + list("Ġetaoinshr") * 8, [], **options)

    P, N, D = pre_tokenizers, normalizers, decoders
    split = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    out = {}

    def add(name, model, norm=None, pre=None, dec=None, post=None, tokens=()):
        t = Tokenizer(model)
        if norm:
            t.normalizer = norm
        if pre:
            t.pre_tokenizer = pre
        if dec:
            t.decoder = dec
        if post:
            t.post_processor = post
        t.add_tokens(list(tokens))
        out[name] = t

    spm = N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")])
    spm_dec = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    add("spm", chars(byte_fallback=True, fuse_unk=True, unk_token="<unk>"), spm, None, spm_dec)
    add("spm-strips", chars(byte_fallback=True, unk_token="<unk>"), spm, None,
        D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Strip(" ", 1, 0), D.Fuse(),
                    D.Strip(" ", 2, 0)]))
    add("unk", chars(False, unk_token="<unk>"))
    add("unk-fused", chars(False, unk_token="<unk>", fuse_unk=True), None, P.Whitespace())
    add("no-unk", chars(False), None, P.WhitespaceSplit())
    for i, form in enumerate([N.NFC(), N.NFD(), N.NFKC(), N.NFKD()]):
        add("nf%d" % i, level(), form, P.ByteLevel(add_prefix_space=False), D.ByteLevel())
    add("lower", level(), N.Sequence([N.Lowercase(), N.Strip()]),
        P.ByteLevel(add_prefix_space=True), D.ByteLevel())
    add("strip-left", chars(), N.Strip(left=True, right=False), P.Metaspace(prepend_scheme="first"),
        D.Metaspace(prepend_scheme="first"))
    add("replace-regex", chars(), N.Replace(Regex(r"\s+|(?<=a)b"), "▁"), None, D.Replace("▁", " "))
    for s in ["always", "first", "never"]:
        for cut in [True, False]:
            add("meta-%s-%s" % (s, cut), chars(byte_fallback=True), None,
                P.Metaspace(prepend_scheme=s, split=cut), D.Metaspace(prepend_scheme=s, split=cut),
                None, [AddedToken("TOK", normalized=False), AddedToken("<x>", lstrip=True)])
    for b in split:
        for inv in [False, True]:
            add("split-%s-%s" % (b, inv), chars(), None,
                P.Split(Regex(r"\d+|[ae]|\s"), b, invert=inv), D.Fuse())
        add("split-literal-" + b, chars(), None, P.Split(" ", b), D.Fuse())
        add("split-empty-" + b, chars(), None, P.Split(Regex("x*"), b), D.Fuse())
        add("punct-" + b, chars(), None, P.Punctuation(b), D.Fuse())
    for each in [False, True]:
        add("digits-%s" % each, level(), None,
            P.Sequence([P.Digits(individual_digits=each), P.ByteLevel(add_prefix_space=False)]),
            D.ByteLevel())
    add("falcon", level(), None,
        P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False),
                    P.Digits(False), P.Split(Regex("[0-9][0-9][0-9]"), "isolated")]),
        D.ByteLevel())
    add("o200k", level(ignore_merges=True), None,
        P.Sequence([P.Split(Regex(O200K), "isolated"),
                    P.ByteLevel(add_prefix_space=False, use_regex=False)]), D.ByteLevel())
    add("bloom", level(), None,
        P.Sequence([P.Split(Regex(BLOOM), "isolated"),
                    P.ByteLevel(add_prefix_space=False, use_regex=False)]), D.ByteLevel())
    for n, rx in enumerate([r"\w+|\W", r"\b", r"\h+|\H", r"[^\S\n]+", r"^.|.$", r"(?i)[a-k]+",
                            r"\p{Han}+|\p{^L}", r"[[a-c][x-z]]+", r"(?m:a.b)",
                            r"\p{M}|\P{L}", r"\S+\s?", r"(?<!\d)\d{2,}?(?=\d)", r"é{,2}b"]):
        add("regex-%d" % n, chars(), None, P.Split(Regex(rx), "isolated"), D.Fuse())
    add("bytes-missing", level(drop=40), None, P.ByteLevel(), D.ByteLevel())
    add("bytes-missing-unk", level(drop=40, unk_token="<unk>"), None, P.ByteLevel(), D.ByteLevel())
    add("added", level(), N.Lowercase(), P.ByteLevel(add_prefix_space=False), D.ByteLevel(),
        processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 400),
                                                                            ("</s>", 401)]),
        [AddedToken("<s>", special=True, normalized=False),
         AddedToken("</s>", special=True, normalized=False),
         AddedToken("TOK", single_word=True), AddedToken("Tokk", normalized=True),
         AddedToken("<x>", lstrip=True, rstrip=True, normalized=False),
         AddedToken("<xx>", normalized=False), AddedToken("long token", normalized=False),
         AddedToken("aaa", rstrip=True), AddedToken("  ", normalized=False)])
    add("added-spm", chars(byte_fallback=True, unk_token="<unk>"), spm, None, spm_dec, None,
        [AddedToken("<s>", special=True, normalized=True), AddedToken("TOK", special=True),
         AddedToken("abc"), AddedToken("tok", single_word=True, normalized=False)])
    add("no-decoder", chars(byte_fallback=True), None, P.Whitespace())
    add("fused-late", level(), None, P.ByteLevel(add_prefix_space=False),
        D.Sequence([D.Fuse(), D.Replace(Regex("Ġ+"), " "), D.ByteLevel()]))
    add("byte-level-then-replace", level(), None, P.ByteLevel(add_prefix_space=False),
        D.Sequence([D.ByteLevel(), D.Replace("th", "TH"), D.Metaspace("e")]))
    return out


def found_tokenizers():
    shared = os.environ.get("LF_SHARED", "../shared")
    real = os.environ.get("LF_TOKENIZERS", "tokenizers")
    out = {}
    for pattern in [shared + "/golden/*/model", shared + "/base/*", real + "/*"]:
        for d in sorted(glob.glob(pattern)):
            if os.path.exists(d + "/tokenizer.json"):
                out[d] = Tokenizer.from_file(d + "/tokenizer.json")
    return out


def ask(program, folder, questions):
    done = subprocess.run([program, folder], input="".join(json.dumps(q) + "\n" for q in questions),
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit("%s: %s" % (folder, done.stderr.strip()))
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def library_decode(t, ids, skip):
    try:
        return t.decode(ids, skip_special_tokens=skip)
    except BaseException as e:  # the library panics where a Strip cuts from both ends
        if "panic" not in type(e).__name__.lower():
            raise
        return None


def check(program, name, t, folder, rng, n):
    texts = [random_text(rng) for _ in range(n)]
    got = ask(program, folder, [{"text": s} for s in texts])
    bad = 0
    size = t.get_vocab_size() + 3
    lists = []
    for s, g in zip(texts, got):
        ids, plain = t.encode(s).ids, t.encode(s, add_special_tokens=False).ids
        lists.append(plain)
        if (g["ids"], g["ids_plain"]) != (ids, plain) and bad < 3:
            bad += 1
            print("%s: %r\n  want %s\n  got  %s" % (name, s, ids, g["ids"]))
    lists += [[rng.randrange(size) for _ in range(rng.randrange(12))] for _ in range(n // 2)]
    for ids, g in zip(lists, ask(program, folder, [{"ids": i} for i in lists])):
        for key, skip in [("decoded", False), ("skipped", True)]:
            want = library_decode(t, ids, skip)
            if want is not None and g[key] != want and bad < 6:
                bad += 1
                print("%s: decode %s\n  want %r\n  got  %r" % (name, ids, want, g[key]))
    return bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--strings", type=int, default=200)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", default="")
    a = p.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        todo = [(name, t, name) for name, t in found_tokenizers().items()]
        for i, (name, t, _) in enumerate(todo[:]):
            model = os.path.abspath(name + "/tokenizer.model")
            if os.path.exists(model):
                os.mkdir("%s/model%d" % (tmp, i))
                os.symlink(model, "%s/model%d/tokenizer.model" % (tmp, i))
                todo.append((name + "/tokenizer.model", t, "%s/model%d" % (tmp, i)))
        for name, t in made_tokenizers().items():
            os.mkdir(tmp + "/" + name)
            t.save(tmp + "/" + name + "/tokenizer.json")
            todo.append((name, t, tmp + "/" + name))
        todo = [x for x in todo if a.only in x[0]]
        for name, t, folder in todo:
            bad += check(a.program, name, t, folder, random.Random(a.seed), a.strings)
    print("%d tokenizers, %d strings each, %d differences" % (len(todo), a.strings, bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
