"""Answers in a form against jsonschema: whatever is drawn through a schema's masks is valid under
it, whatever is accepted is, too, and valid texts of the form that is answered are accepted.
Schemas are made at random, and some stand here.

    guide_oracle.py GUIDE_LINES BASE [SCHEMAS [SEED]]
"""
import json
import random
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    sys.exit(77)

NAMES = ["a", "b", "ab", "name", "value", "tag s", "kind", "x_y", "items", "né", "1"]
WORDS = ["", "red", "Green", "a\"b", "c\\d", "tab\there", "née", "日本", "😀", "x" * 30, "12"]
PATTERNS = ["^[a-z]+$", "^\\d{3}-\\d{4}$", "^(yes|no)$", "^[A-Z][a-z]*( [A-Z][a-z]*)?$", "b+",
            "^[^\"]{1,5}$", "^\\w+@\\w+\\.com$", "^.{2,4}$", "^[\\w .-]+$"]
MATCHES = {"^[a-z]+$": "abc", "^\\d{3}-\\d{4}$": "123-4567", "^(yes|no)$": "no",
           "^[A-Z][a-z]*( [A-Z][a-z]*)?$": "Ab Cd", "b+": "abba", "^[^\"]{1,5}$": "x\\y",
           "^\\w+@\\w+\\.com$": "me@x.com", "^.{2,4}$": "né\t", "^[\\w .-]+$": "a-b c"}


class Maker:
    """Schemas with values that they accept."""

    def __init__(self, rng):
        self.rng = rng

    def scalar(self):
        r = self.rng
        kind = r.randrange(11)
        if kind == 9:
            m, n = r.choice([2, 3, 10, 25, 128]), r.randrange(-40, 400)
            schema = {"type": "integer", "multipleOf": m, "minimum": r.choice([-1000, 0, 7])}
            return schema, n * m
        if kind == 10:
            p = r.choice(PATTERNS)
            schema = {"type": "string", "pattern": p, "maxLength": r.randrange(3, 12)}
            if r.random() < 0.4:
                schema["not"] = {"enum": r.sample(WORDS, 3)}
            return schema, MATCHES[p]
        if kind == 0:
            return {"type": "string"}, r.choice(WORDS)
        if kind == 1:
            lo, hi = sorted((r.randrange(6), r.randrange(6)))
            schema = {"type": "string", "minLength": lo, "maxLength": hi}
            return schema, "".join(r.choice("aé\"\\\n日") for _ in range(r.randint(lo, hi)))
        if kind == 2:
            p = r.choice(PATTERNS)
            return {"type": "string", "pattern": p}, MATCHES[p]
        if kind == 3:
            return {"type": "boolean"}, r.choice([True, False])
        if kind == 4:
            lo = r.choice([-1000, -17, -5, 0, 1, 3, 99, 100, 4711])
            hi = lo + r.choice([0, 1, 5, 9, 10, 999, 12345])
            schema = {"type": "integer", "minimum": lo, "maximum": hi}
            if r.random() < 0.3:
                schema = {"type": "integer", "exclusiveMinimum": lo - 1, "maximum": hi}
            if r.random() < 0.3:
                del schema["maximum"]
            return schema, r.randint(lo, hi)
        if kind == 5:
            lo = r.choice([-7, -1.25, -1, 0, 0.01, 0.5, 2])
            hi = lo + r.choice([1, 2.5, 10, 1000])
            keys = r.choice([("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum")])
            whole = [i for i in range(-8, 1010) if lo < i < hi] + [round(lo + 0.3, 3), hi]
            value = r.choice(whole) if whole and r.random() < 0.8 else None
            return {"type": "number", keys[0]: lo, keys[1]: hi}, value
        if kind == 6:
            values = r.sample([1, "one", None, True, 2.5, "née", [], {}], 3)
            return {"enum": values}, r.choice(values)
        if kind == 7:
            return {"type": ["null", "number"]}, r.choice([None, 0, -3, 2.25, 1e20])
        value = r.choice(["fixed", 7, None, "a\"b"])
        return {"const": value}, value

    def array(self, depth):
        r = self.rng
        lo, hi = sorted((r.randrange(4), r.randrange(4)))
        schema = {"type": "array"}
        values = []
        if r.random() < 0.3:
            pairs = [self.any(depth - 1) for _ in range(r.randint(1, 3))]
            schema["prefixItems"] = [s for s, _ in pairs]
            schema["items"] = False
            return schema, [v for _, v in pairs]
        if r.random() < 0.7:
            schema.update({"minItems": lo, "maxItems": hi})
        if r.random() < 0.15:
            schema.update({"items": {"enum": ["a", "b", 1, None]}, "uniqueItems": True})
            return schema, r.sample(["a", "b", 1, None], r.randint(lo, hi))
        schema["items"], value = self.any(depth - 1)
        values = [value] * r.randint(lo, hi)
        if r.random() < 0.2:
            schema["contains"], value = self.scalar()
            schema["items"] = True
            values.insert(0, value)
        return schema, values

    def object(self, depth):
        r = self.rng
        names = r.sample(NAMES, r.randrange(5))
        pairs = {n: self.any(depth - 1) for n in names}
        schema = {"type": "object", "properties": {n: s for n, (s, _) in pairs.items()}}
        required = [n for n in names if r.random() < 0.5]
        if required or r.random() < 0.5:
            schema["required"] = required
        value = {n: v for n, (_, v) in pairs.items() if n in required or r.random() < 0.6}
        if r.random() < 0.3:
            self.condition(schema, names, value)
        kind = r.randrange(4)
        if kind == 0:
            schema["additionalProperties"] = False
        elif kind == 2:
            schema["patternProperties"], _ = {}, None
            for pattern, key in r.sample([("^x_", "x_1"), ("[0-9]$", "n7"), ("^.{3}$", "abc")], 2):
                schema["patternProperties"][pattern], other = self.scalar()
                if key not in pairs and r.random() < 0.5:
                    value[key] = other
        elif kind == 1 and names:
            schema["additionalProperties"], other = self.any(0)
            for key in r.sample(["abc", "nam", "", "zz", "name2"], r.randrange(3)):
                if key not in pairs:
                    value[key] = other
        return schema, value

    def condition(self, schema, names, value):
        r = self.rng
        some = r.sample(NAMES, 2)
        kind = r.randrange(6)
        if kind == 0:
            schema["dependentRequired"] = {some[0]: [some[1]]}
        elif kind == 1:
            schema["not"] = {"required": some}
        elif kind == 2:
            schema["oneOf"] = [{"required": [some[0]]}, {"required": [some[1]]}]
        elif kind == 3:
            schema["minProperties"] = min(len(names), r.randrange(3))
        elif kind == 4:
            schema["maxProperties"] = r.randrange(1, 4)
        else:
            schema.update({"if": {"properties": {some[0]: {"type": "string"}}},
                           "then": {"required": [some[1]]}})

    def any(self, depth):
        r = self.rng
        kind = r.random()
        if depth <= 0 or kind < 0.4:
            return self.scalar()
        if kind < 0.6:
            return self.array(depth)
        if kind < 0.85:
            return self.object(depth)
        if kind < 0.95:
            parts = [self.any(depth - 1) for _ in range(2)]
            return {"anyOf": [s for s, _ in parts]}, parts[r.randrange(2)][1]
        a, b = self.object(depth), self.object(0)
        return {"allOf": [a[0], {"type": "object"}]}, a[1]


BY_HAND = [
    ({"type": "object"}, [{}, {"a": [1, {"b": None}]}]),
    (True, [1, "x", [], {"a": {}}]),
    ({"$defs": {"tree": {"type": "object", "properties": {
        "value": {"type": "integer"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
        "required": ["value"], "additionalProperties": False}}, "$ref": "#/$defs/tree"},
     [{"value": 1}, {"value": 1, "children": [{"value": 2, "children": []}, {"value": 3}]}]),
    ({"type": "object", "properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
      "required": ["next"]}, [{"next": None}, {"next": {"next": None}}]),
    ({"oneOf": [{"type": "object", "properties": {"t": {"const": "a"}, "x": {"type": "integer"}},
                 "required": ["t", "x"]},
                {"type": "object", "properties": {"t": {"const": "b"}, "y": {"type": "string"}},
                 "required": ["t"]}]}, [{"t": "a", "x": 3}, {"t": "b", "y": ""}, {"t": "b"}]),
    ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
      "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, [{"a": 1}, {"b": "x"}]),
    ({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"minimum": 3, "type": "integer"}}, "required": ["b"]}]},
     [{"a": 1, "b": 3}]),
    ({"type": "string", "format": "date-time"},
     ["2026-11-30T01:02:03Z", "1999-02-28T23:59:59.5+01:00"]),
    ({"type": "string", "format": "uuid"}, ["0b9e57e2-2b1c-4b8e-9d36-0242ac120002"]),
    ({"type": "array", "items": {"type": "number"}, "minItems": 2}, [[1, 2.5], [1, 2, 3, 4]]),
    ({"items": [{"type": "integer"}, {"type": "string"}], "type": "array",
      "$schema": "http://json-schema.org/draft-07/schema#"}, [[1, "x"], [1], []]),
    ({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
     [{"x": 1}, {"x": 1, "y": 2}]),
    ({"type": "number", "minimum": 0, "maximum": 1}, [0, 1, 0.5, 0.125]),
    ({"type": "number", "minimum": 0.1}, [0.1, 0.5, 7, 1234.5]),
    ({"type": "number", "minimum": 0}, [0, 1e-7, 1.5e+20, 0.25]),
    ({"type": "integer"}, [12345678901234567890]),
    ({"type": "string", "format": "email"}, ["john.doe@example.com"]),
    ({"type": "string", "format": "uri"}, ["https://example.com/a/b?c=d#e", "mailto:a@b.de"]),
    ({"type": "string", "format": "uri-reference"}, ["/a/b", "#x", "http://a.b/"]),
    ({"type": "string", "format": "hostname"}, ["example.com", "a-1.b.example.org"]),
    ({"type": "string", "format": "ipv6"}, ["::", "::1", "2001:db8::a:1", "1:2:3:4:5:6:7:8"]),
    ({"type": "string", "format": "duration"}, ["P1D", "PT5M", "P1Y2M3DT4H", "P2W"]),
    ({"type": "string", "format": "email", "maxLength": 12}, ["a.b@c.de"]),
    ({"properties": {"a": True}, "patternProperties": {"^x-": {"type": "integer"}}},
     [{"a": 1, "x-b": 2}]),
    ({"propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "integer"}},
     [{}, {"a": 1, "b": 2}]),
    ({"properties": {"a": True, "b": True}, "dependencies": {"a": ["b"]},
      "$schema": "http://json-schema.org/draft-07/schema#"}, [{}, {"b": 1}, {"a": 1, "b": 2}]),
    ({"type": "object", "properties": {"k": {"enum": ["x", "y"]}, "n": {"type": "integer"}},
      "required": ["k"], "if": {"properties": {"k": {"const": "x"}}}, "then": {"required": ["n"]},
      "else": {"properties": {"n": False}}}, [{"k": "x", "n": 1}, {"k": "y"}]),
    ({"oneOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}, "required": ["b"]}]},
     [{"a": 1}, {"b": ""}]),
    ({"type": "number", "exclusiveMinimum": 0}, [0.5, 1, 12.75]),
    ({"type": "string", "maxLength": 300}, ["x" * 300, ""]),
]

REFUSED = {
    '"not"': {"not": {"format": "date"}},
    '"if"': {"if": {"format": "date"}, "then": {"minLength": 3}},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    '"contains"': {"prefixItems": [True], "contains": {"type": "integer"}},
    "multipleOf": {"type": "number", "multipleOf": 0.01},
    "oneOf": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    "$ref": {"$ref": "https://example.com/schema.json"},
    "minProperties": {"minProperties": 2},
    "unevaluatedItems": {"unevaluatedItems": {"type": "string"}},
}


def valid(schema, text):
    """Whether a text is JSON that the schema accepts."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return cls(schema, format_checker=cls.FORMAT_CHECKER).is_valid(value)


def spoilt(rng, text):
    """A text that is like it, and maybe no more valid."""
    if not text:
        return "x"
    i = rng.randrange(len(text))
    other = rng.choice('"{}[]:,0129.-eaxn\\ ')
    return rng.choice([text[:i] + text[i + 1:], text[:i] + other + text[i:],
                       text[:i] + other + text[i + 1:], text[:i]])


def main():
    lines, base = sys.argv[1:3]
    n = int(sys.argv[3]) if len(sys.argv) > 3 else 400
    rng = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 7)
    maker = Maker(rng)
    cases = [(s, v) for s, v in BY_HAND]
    for _ in range(n):
        schema, value = maker.any(3)
        cases.append((schema, [value]))
    requests, wants = [], []
    for i, (schema, values) in enumerate(cases):
        values = [v for v in values if valid(schema, json.dumps(v))]
        good = [json.dumps(v, ensure_ascii=False, separators=s) for v in values
                for s in ((",", ":"), (", ", ": "))]
        good += [json.dumps(v, indent=2, ensure_ascii=False) for v in values]
        bad = [spoilt(rng, t) for t in good for _ in range(8)]
        requests.append({"schema": schema, "texts": good + bad, "draws": 3, "seed": 1000 * i})
        wants.append(len(good))
    requests += [{"schema": s, "texts": [], "draws": 0, "seed": 0} for s in REFUSED.values()]
    text = "".join(json.dumps(r) + "\n" for r in requests)
    done = subprocess.run([lines, base], input=text.encode(), stdout=subprocess.PIPE, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(requests), f"{len(answers)} answers"
    counts = {"schemas": len(cases), "refused": 0, "accepted": 0, "not accepted": 0, "drawn": 0,
              "endless": 0}
    failures = 0

    def failed(what, schema, text):
        nonlocal failures
        failures += 1
        if failures < 20:
            print(f"{what}: {json.dumps(schema, ensure_ascii=False)}: {text}")

    for (schema, _), request, good, a in zip(cases, requests, wants, answers):
        if "refused" in a:
            counts["refused"] += 1
            if good or not any(w in a["refused"] for w in ("no text fits", "fit at once")):
                failed("refused", schema, a["refused"])
            continue
        for i, (t, accepted) in enumerate(zip(request["texts"], a["accepts"])):
            counts["accepted"] += accepted
            open_else = "anyOf" in json.dumps(schema)  # it may be valid under an open branch
            if i < good and not accepted and not open_else:
                counts["not accepted"] += 1
                failed("valid, not accepted", schema, t)
            if accepted and not valid(schema, t):
                failed("accepted, not valid", schema, t)
        for t in a["drawn"]:
            counts["drawn"] += t is not None
            counts["endless"] += t is None
            if t is not None and not valid(schema, t):
                failed("drawn, not valid", schema, t)
    for (name, schema), a in zip(REFUSED.items(), answers[len(cases):]):
        if name not in a.get("refused", ""):
            failed("not refused by name", schema, a)
    print(", ".join(f"{v} {k}" for k, v in counts.items()))
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
