"""Answers in a form against the JSON-Schema-Test-Suite: no text is an answer that the suite calls
invalid, whatever is drawn is valid, and what is refused is refused by the name of a keyword. Prints
how many schemas are done, and which keywords the others were refused for.

    schema_suite.py GUIDE_LINES BASE [SUITE]

SUITE is where tools/oracles put it.
"""
import collections
import json
import pathlib
import re
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    sys.exit(77)

DRAFTS = {"draft2020-12": jsonschema.Draft202012Validator, "draft7": jsonschema.Draft7Validator}


def cases(suite):
    """(draft, file, description, schema, tests) of all schemas that need no other document."""
    for draft, validator in DRAFTS.items():
        for path in sorted((suite / "tests" / draft).glob("*.json")):
            for group in json.loads(path.read_text()):
                yield validator, path.stem, group["description"], group["schema"], group["tests"]


def ask(lines, base, requests):
    text = "".join(json.dumps(r) + "\n" for r in requests)
    done = subprocess.run([lines, base], input=text.encode(), stdout=subprocess.PIPE, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(requests), f"{len(answers)} answers to {len(requests)}"
    return answers


def main():
    lines, base, *given = sys.argv[1:]
    suite = pathlib.Path(*given or (sys.prefix, "json-schema-test-suite"))
    if not (suite / "tests").is_dir():
        sys.exit(77)
    every = list(cases(suite))
    answers = ask(lines, base, [
        {"schema": schema, "texts": [json.dumps(t["data"], ensure_ascii=False) for t in tests],
         "draws": 3, "seed": 1000 * i} for i, (_, _, _, schema, tests) in enumerate(every)])
    counts, refused, failures = collections.Counter(), collections.Counter(), []
    for (validator, file, what, schema, tests), a in zip(every, answers):
        if "refused" in a:
            counts["refused"] += 1
            refused[file] += 1
            continue
        counts["done"] += 1
        for t, accepted in zip(tests, a["accepts"]):
            said = "valid" if t["valid"] else "invalid"
            counts[said + (", an answer" if accepted else ", none")] += 1
            if accepted and not t["valid"]:
                failures.append((file, what, "is no answer", t["data"]))
        for text in a["drawn"]:
            counts["drawn" if text is not None else "endless"] += 1
            if text is not None and not validator(schema).is_valid(json.loads(text)):
                failures.append((file, what, "was drawn", text))
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    done = [a for a in answers if a.get("masks")]
    n = sum(a["masks"] for a in done)
    mean, most = sum(a["masks"] * a["mask_us"] for a in done) / n, max(a["mask_us"] for a in done)
    print(f"a mask takes {mean:.1f} us ({n} of them), for one schema {most:.1f} us on average")
    print("refused, of the files: " + ", ".join(f"{f} {n}" for f, n in sorted(refused.items())))
    for f in failures[:20]:
        print(*f, sep=": ")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
