#!/usr/bin/env python3
"""Files of rows against the libraries that write them: containers_oracle.py ROW_LINES

Parquet by pyarrow, in every way of writing that is read here, with random columns in random
nesting; CSV and TSV by Python's csv; texts packed by gzip and in UTF-16. Skips without pyarrow.
"""
import csv
import datetime
import decimal
import gzip
import io
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    print("no pyarrow")
    sys.exit(77)

draw = random.Random(5)
WORDS = ["", "a", "Ünïcode", "two words", "line\nend", "\"quoted\"", "\U0001f600", "x" * 300,
         "tab\t"]


# ---- What a value of pyarrow's is here -----------------------------------------------------------

def plain(v):
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()
                if not isinstance(x, (decimal.Decimal, datetime.time))}
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    if isinstance(v, float) and not math.isfinite(v):
        return None
    if isinstance(v, bytes):
        try:
            return v.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(v, datetime.datetime):
        text = v.strftime("%Y-%m-%dT%H:%M:%S")
        return text + (f".{v.microsecond:06d}" if v.microsecond else "")
    if isinstance(v, datetime.date):
        return v.isoformat()
    if isinstance(v, int) and not isinstance(v, bool) and v >= 2**63:
        return str(v)
    return v


# ---- Random tables -------------------------------------------------------------------------------

def scalar():
    return draw.choice([
        (pa.string(), lambda: draw.choice(WORDS)),
        (pa.large_string(), lambda: draw.choice(WORDS)),
        (pa.int64(), lambda: draw.randint(-2**63, 2**63 - 1)),
        (pa.int32(), lambda: draw.randint(-5, 5)),
        (pa.uint64(), lambda: draw.randint(0, 2**64 - 1)),
        (pa.uint8(), lambda: draw.randint(0, 255)),
        (pa.int16(), lambda: draw.randint(-2**15, 2**15 - 1)),
        (pa.float64(), lambda: draw.choice([0.0, 1.5, -2e300, float("nan"), float("inf")])),
        (pa.float32(), lambda: draw.choice([0.5, -1.25, 3.0])),
        (pa.bool_(), lambda: draw.random() < 0.5),
        (pa.date32(), lambda: datetime.date(1960, 1, 1)
         + datetime.timedelta(draw.randint(0, 40000))),
        (pa.timestamp("us"), lambda: datetime.datetime(1960, 1, 1)
         + datetime.timedelta(microseconds=draw.randint(0, 3 * 10**15))),
        (pa.binary(), lambda: draw.choice([b"abc", b"\xff\xfe", b""])),
        (pa.null(), lambda: None),
    ])


def column(depth):
    """(type, a function that draws a value)."""
    kind = draw.random()
    if depth == 0 or kind < 0.5:
        type_, make = scalar()
    elif kind < 0.75:
        inner, one = column(depth - 1)
        type_, make = pa.list_(inner), lambda: [one() for _ in range(draw.choice([0, 1, 2, 5]))]
    else:
        parts = [(f"f{i}", *column(depth - 1)) for i in range(draw.randint(1, 3))]
        type_ = pa.struct([(n, t) for n, t, _ in parts])
        make = lambda: {n: m() for n, _, m in parts}
    nulls = draw.choice([0, 0.1, 0.9])
    return type_, lambda: None if draw.random() < nulls else make()


def table():
    n = draw.choice([1, 2, 7, 100, 3000])
    columns = {f"c{i}": column(draw.randint(0, 3)) for i in range(draw.randint(1, 5))}
    return pa.table({k: pa.array([make() for _ in range(n)], type=t)
                     for k, (t, make) in columns.items()})


def fixed():
    """What people train on."""
    turns = [[{"role": "user", "content": f"question {i}", "tool_calls": None},
              {"role": "assistant", "content": None if i % 3 == 0 else f"answer {i % 5}",
               "tool_calls": [{"id": str(i), "args": []}] if i % 3 == 0 else None}]
             for i in range(5000)]
    yield pa.table({"messages": turns, "score": [i / 7 for i in range(5000)]})
    yield pa.table({"instruction": ["say it"] * 20000, "output": [str(i) for i in range(20000)]})
    yield pa.table({"input_ids": [list(range(i % 50)) for i in range(400)]})
    yield pa.table({"d": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(9, 2)),
                    "t": pa.array([datetime.time(1, 2), None], pa.time64("us")),
                    "kept": ["a", None]})
    yield pa.table({"s": pa.array(["a", "b", "a"]).dictionary_encode()})
    yield pa.table({"x": pa.array([], pa.string())})


def ways():
    for codec in ("none", "snappy", "gzip", "zstd"):
        for version in ("1.0", "2.0"):
            yield {"compression": codec, "data_page_version": version,
                   "use_dictionary": draw.random() < 0.5, "version": draw.choice(["1.0", "2.6"]),
                   "row_group_size": draw.choice([1, 10, 1000, 100000]),
                   "data_page_size": draw.choice([64, 1000, 1 << 20]),
                   "use_compliant_nested_type": draw.random() < 0.8}


OTHERS = {"INT32": ["DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
          "INT64": ["DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
          "FLOAT": ["BYTE_STREAM_SPLIT"], "DOUBLE": ["BYTE_STREAM_SPLIT"],
          "BYTE_ARRAY": ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"], "BOOLEAN": ["RLE"]}


def encoded(t, path):
    """Every column in one of the encodings that no writer takes unless it is told to."""
    pq.write_table(t, path)
    schema = pq.read_metadata(path).schema
    leaves = [schema.column(i) for i in range(len(schema))]
    encodings = {c.path: draw.choice(OTHERS[c.physical_type]) for c in leaves
                 if c.physical_type in OTHERS and "FIXED" not in c.physical_type}
    pq.write_table(t, path, use_dictionary=False, column_encoding=encodings,
                   data_page_version=draw.choice(["1.0", "2.0"]),
                   compression=draw.choice(["none", "zstd"]),
                   data_page_size=draw.choice([64, 1000, 1 << 20]),
                   row_group_size=draw.choice([1, 10, 1000, 100000]))


# ---- Texts ---------------------------------------------------------------------------------------

def delimited(rows, dialect, **options):
    out = io.StringIO()
    w = csv.DictWriter(out, list(rows[0]), dialect=dialect, **options)
    w.writeheader()
    w.writerows(rows)
    return out.getvalue()


def texts():
    rows = [{"prompt": draw.choice(WORDS) + str(i), "a;b": "x", "completion": draw.choice(WORDS)}
            for i in range(3000)]
    jsonl = "".join(json.dumps(r, ensure_ascii=draw.random() < 0.5) + "\r\n" for r in rows)
    yield rows, jsonl.encode()
    yield rows, ("\n [\n" + ",\n".join(json.dumps(r, indent=2) for r in rows) + "]\n").encode()
    yield rows, json.dumps(rows).encode("utf-8-sig")
    for text in (delimited(rows, "excel"), delimited(rows, "excel", lineterminator="\n"),
                 delimited(rows, "excel-tab"), delimited(rows, "excel", quoting=csv.QUOTE_ALL)):
        yield rows, text.encode()
        yield rows, text.encode("utf-16")
    semicolons = [{k.replace(";", "_"): v for k, v in r.items()} for r in rows]
    yield semicolons, delimited(semicolons, "excel", delimiter=";").encode()
    yield rows, jsonl.encode("utf-16")
    yield rows, b"\xfe\xff" + jsonl.encode("utf-16-be")


def main():
    program, cases = sys.argv[1], []
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)

        def case(rows, data=None, path=None):
            path = path or work / f"{len(cases)}"
            if data is not None:
                path.write_bytes(data)
            cases.append((path, rows))

        for rows, data in texts():
            case(rows, data)
            half = len(data) // 2
            case(rows, gzip.compress(data[:half]) + gzip.compress(data[half:]) + b"\0\0")
            case(rows, pa.Codec("zstd").compress(data).to_pybytes())
        for t in list(fixed()) + [table() for _ in range(60)]:
            rows = [plain(r) for r in t.drop_columns(
                [c for c in t.column_names if c in ("d", "t")]).to_pylist()]
            for way in ways():
                path = work / f"{len(cases)}"
                pq.write_table(t, path, **way)
                case(rows, path=path)
            path = work / f"{len(cases)}"
            encoded(t, path)
            case(rows, path=path)
        for path, rows in cases:
            got = subprocess.run([program, path], capture_output=True, check=True).stdout.decode()
            lines = got.split("\n")[:-2]
            if [json.loads(x) if x[:1] == "{" else x for x in lines] != rows:
                first = next((i for i, x in enumerate(lines)
                              if i >= len(rows) or x[:1] != "{" or json.loads(x) != rows[i]),
                             len(lines))
                print(path.name, "row", first + 1, "of", len(rows))
                print("got ", lines[first][:600] if first < len(lines) else "nothing")
                print("want", json.dumps(rows[first])[:600] if first < len(rows) else "nothing")
                return 1
    print(len(cases), "files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
