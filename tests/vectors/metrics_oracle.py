#!/usr/bin/env python3
"""Metrics on random answers against other implementations: metrics_oracle.py SCORE_LINES

ROUGE against rouge-score and confusion matrices against scikit-learn, where they are there; LoRA
Land's rules against the same rules written down here with Python's own strings, numbers and regular
expressions. Where the study's rule has no answer (its float() fails, nothing is found on either
side) the metric scores 0, and where a number lies off STS-B's scale too.
"""
import json
import random
import re
import subprocess
import sys

try:
    from rouge_score import rouge_scorer
except ImportError:
    rouge_scorer = None
try:
    import sklearn.metrics
except ImportError:
    sklearn = None

draw = random.Random(11)


# ---- LoRA Land's rules ---------------------------------------------------------------------------

def number(text):
    try:
        return float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text) else None
    except ValueError:
        return None


def equal(got, want):
    got, want = got.strip(), want.strip()
    if number(got) is not None and number(want) is not None:
        return number(got) == number(want)
    return got.strip(" .").lower() == want.strip(" .").lower()


def truth(text):
    for i, word in enumerate(["1", "0", "yes", "no", "true", "false", "positive", "negative"]):
        if word in text.lower():
            return i % 2 == 0
    return None


def binary(got, want):
    return truth(got) is not None and truth(got) == truth(want)


def digits(some):
    return lambda got, want: equal(got, want) or any(d in got and d in want for d in some)


def first_number(text):
    found = re.search(r"[0-9]{1,3}(?:,[0-9]{3})*(?:\.[0-9]+)?", text)
    return found and found.group()


def choice_of_numbers(got, want):
    a, b = first_number(got), first_number(want)
    return equal(got, want) or (a is not None and a == b)


def mae(got, want):
    def read(text):
        whole = number(text.strip())
        if whole is not None:
            return whole
        first = first_number(text)
        return float(first.replace(",", "")) if first else None
    x, y = read(got), read(want)
    if x is None or y is None or not 0 <= x <= 5:
        return 0
    return max(0, 1 - abs(x - y) / 5)


def gsm8k(got, want):
    def last(text):
        for match in reversed(re.findall(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", text)):
            match = "".join(match).strip("$.").replace(",", "")
            match = re.sub(r"^-\$", "-", match)
            if number(match) is not None:
                return float(match)
        return None
    x, y = last(got), last(want)
    return x is not None and x == y


def support(got, want):
    return equal(got, want) or (want.strip() != "" and want.strip().lower() in got.strip().lower())


RULES = {
    "binary_accuracy_flex": binary, "mrpc_accuracy": digits("12"), "mnli_accuracy": digits("012"),
    "hellaswag_accuracy": digits("0123"), "winogrande_accuracy": choice_of_numbers, "mae": mae,
    "gsm8k": gsm8k, "customer_support_accuracy": support,
}

PIECES = ["1", "0", "2", "3", "12", "4.5", "1,100", "$5", "-7", "yes", "No", "true", "FALSE",
          "positive", "negative.", "the", "answer", "is", ".", "...", ",", "$", "-", "#### ", "\n",
          "check balance", "Check Balance.", "5.", "0.25", "10,00", "é", "日本", "\u00a0",
          "<<3*4=12>>", "$1,100.", "-$5", "1.2.3", "000", "١"]


def some_text():
    return "".join(draw.choice(PIECES) + draw.choice(["", " ", " "])
                   for _ in range(draw.randrange(6)))


def study_cases():
    wants = {"mae": ["0", "2.5", " 5", "3.8"], "gsm8k": ["so 7\n#### 12", "#### -7", " 1100"],
             "customer_support_accuracy": [" check balance", "none of the above", ""]}
    for metric, rule in RULES.items():
        for _ in range(600):
            want = draw.choice(wants.get(metric, [" 1", "0", " 2", "yes", " no", "3", "1.0", ""]))
            got = draw.choice([some_text(), want, f" {want}.", f"{want.upper()} {some_text()}"])
            yield {"metric": metric, "completion": got, "reference": want}, float(rule(got, want))


# ---- Libraries -----------------------------------------------------------------------------------

def rouge_cases():
    if not rouge_scorer:
        return
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    words = "the a Game is 3.5 e-sports ÉMILE naïve İ K 日本 under_score it's -- PC. \t x".split(" ")
    for n in (0, 1, 3, 10, 40, 200):
        for _ in range(25):
            want = " ".join(draw.choices(words, k=n))
            got = " ".join(draw.choices(words, k=draw.randrange(n + 2)))
            s = scorer.score(want, got)
            for name, key in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
                yield {"metric": name, "completion": got, "reference": want}, s[key].fmeasure


def confusion_cases():
    labels = ["Company", "Artist", "Film", "Village", "extremely negative"]
    noise = ["", "nothing", "Compan", "two words"]
    for n in (1, 2, 7, 60, 400):
        for _ in range(6):
            used = labels[:draw.randrange(1, len(labels) + 1)]
            want = draw.choices(used, k=n)
            got = [w if draw.random() < 0.6 else draw.choice(labels + noise) for w in want]
            yield list(zip(got, want))


def check_confusion(answers, made):
    want = [w for _, w in answers]
    names = sorted(set(want))
    got = [g if g in names else "(none)" for g, _ in answers]
    c = made["confusion"]
    assert c["labels"] == names, (c["labels"], names)
    whole = sklearn.metrics.confusion_matrix(want, got, labels=names + ["(none)"])
    assert [row for row in c["matrix"]] == whole[:-1].tolist(), answers
    p, r, f, n = sklearn.metrics.precision_recall_fscore_support(want, got, labels=names,
                                                                 zero_division=0)
    for i, row in enumerate(c["classes"]):
        for key, value in (("precision", p), ("recall", r), ("f1", f), ("support", n)):
            assert abs(row[key] - value[i]) < 1e-6, (key, row, value[i])
    for key, average in (("macro_f1", "macro"), ("weighted_f1", "weighted")):
        f1 = sklearn.metrics.f1_score(want, got, labels=names, average=average, zero_division=0)
        assert abs(c[key] - f1) < 1e-6, (key, c[key], f1)
    assert abs(c["accuracy"] - sklearn.metrics.accuracy_score(want, got)) < 1e-6
    assert made["scores"] == [float(a == b) for a, b in zip(got, want)]


def main():
    cases = [*study_cases(), *rouge_cases()]
    matrices = [*confusion_cases()] if sklearn else []
    lines = [json.dumps(c) for c, _ in cases]
    lines += [json.dumps({"metric": "accuracy", "answers": m}) for m in matrices]
    done = subprocess.run([sys.argv[1]], input="\n".join(lines) + "\n", text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    made = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(made) == len(lines)
    bad = [(case, out["score"], want) for (case, want), out in zip(cases, made)
           if abs(out["score"] - want) > 1e-6]
    for case, got, want in bad[:20]:
        print(f"{json.dumps(case)} scores {got}, not {want}")
    for answers, out in zip(matrices, made[len(cases):]):
        check_confusion(answers, out)
    print(f"{len(cases)} answers, {len(matrices)} matrices"
          f"{'' if rouge_scorer else '; no rouge-score'}{'' if sklearn else '; no scikit-learn'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
