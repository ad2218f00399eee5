#!/usr/bin/env python3
"""Metric vectors from the reference implementations: rouge-score, and SQuAD 2.0's own script.

    metrics_vectors.py            writes metrics_vectors.json beside this file
    metrics_vectors.py --check    compares the file with what the libraries say now (77: not there)
"""
import collections
import json
import pathlib
import random
import re
import string
import sys

try:
    from rouge_score import rouge_scorer
except ImportError:
    print("rouge-score is not installed")
    sys.exit(77)

FILE = pathlib.Path(__file__).with_suffix(".json")

HAND = [
    ("", ""), ("the", ""), ("", "a cat"), ("a", "the"),
    ("The cat sat on the mat.", "the cat was on the mat"),
    ("The cat sat on the mat", "mat the on sat cat The"),
    ("the the the cat", "the cat"), ("one two three four", "one three two four"),
    ("It's an e-mail; isn't it?", "its an email isnt it"),
    ("Émile's naïve café", "emile s naive cafe"),
    ("\u212aelvin and \u0130stanbul", "kelvin and istanbul"),
    ("STRASSE Straße ÀÉÎ", "strasse straße àéî"),
    ("10,000 dollars ($10.50)", "10000 dollars 10.50"),
    ("日本語 の テスト", "日本語 テスト"), ("a\u00a0an\u2003the x", "x"), ("the-end a–b", "theend b"),
    ("word\u0000less".replace("\u0000", " "), "word less"),
    ("x " * 300 + "y", "y " + "x " * 200), ("under_score 3rd", "under score 3rd"),
]


def squad_f1(completion, reference):
    """compute_f1 of evaluate-v2.0.py."""
    def words(s):
        s = "".join(c for c in s.lower() if c not in set(string.punctuation))
        return re.sub(r"\b(a|an|the)\b", " ", s).split()
    got, want = words(completion), words(reference)
    if not got or not want:
        return float(got == want)
    same = sum((collections.Counter(got) & collections.Counter(want)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(got), same / len(want)
    return 2 * precision * recall / (precision + recall)


def cases():
    draw = random.Random(7)
    vocabulary = ["the", "a", "Game", "is", "rated", "M", "(for", "Mature),", "3.5", "e-sports",
                  "PC", "and", "Xbox.", "ÜBER", "it's", "2019", "--", "an", "platform", "player's"]
    for pair in HAND:
        yield pair
    for n in (1, 2, 5, 12, 40, 150):
        for _ in range(8):
            reference = [draw.choice(vocabulary) for _ in range(n)]
            completion = [w for w in reference if draw.random() < 0.8]
            completion += [draw.choice(vocabulary) for _ in range(draw.randrange(n + 1))]
            if draw.random() < 0.5:
                draw.shuffle(completion)
            yield " ".join(completion), " ".join(reference)


def vectors():
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    out = []
    for completion, reference in cases():
        s = scorer.score(reference, completion)
        out.append({"completion": completion, "reference": reference,
                    "rouge_1": s["rouge1"].fmeasure, "rouge_2": s["rouge2"].fmeasure,
                    "rouge_l": s["rougeL"].fmeasure, "token_f1": squad_f1(completion, reference)})
    return out


def main():
    made = vectors()
    if sys.argv[1:] == ["--check"]:
        kept = json.loads(FILE.read_text())
        bad = [a for a, b in zip(made, kept, strict=True)
               if any(abs(a[k] - b[k]) > 1e-9 for k in a if k.startswith(("rouge", "token")))
               or a["completion"] != b["completion"] or a["reference"] != b["reference"]]
        for row in bad:
            print("differs:", json.dumps(row))
        return 1 if bad else 0
    FILE.write_text("[\n" + ",\n".join(json.dumps(v) for v in made) + "\n]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
