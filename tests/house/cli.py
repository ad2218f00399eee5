#!/usr/bin/env python3
"""The manners of `lorafs` and `lorafsd`, and the commands that need no daemon.

Help pages, exit status, suggestions; tokenize, logits, generate and bench on the embedded base.
LORAFS and LORAFSD name the programs, LF_SOURCE the checkout.
"""
import json
import os
import pathlib
import re
import struct
import subprocess
import tempfile
import unittest

LORAFS = os.environ["LORAFS"]
LORAFSD = os.environ["LORAFSD"]
BASE = str(pathlib.Path(os.environ["LF_SOURCE"]) / "share" / "base")
CPU = ["--device", "cpu"]


# Without presets of whoever runs this.
ENV = {k: v for k, v in os.environ.items() if not k.startswith("LORAFS_")}
ENV["XDG_CONFIG_HOME"] = "/nonexistent"


def run(*args, stdin="", program=LORAFS, env=None):
    return subprocess.run([program, *map(str, args)], input=stdin, text=True, capture_output=True,
                          check=False, timeout=300, env={**ENV, **(env or {})})


def read_tensor(path, name):
    """(shape, floats) of an fp32 tensor of a safetensors file."""
    raw = pathlib.Path(path).read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    entry = json.loads(raw[8:8 + n])[name]
    assert entry["dtype"] == "F32"
    lo, hi = entry["data_offsets"]
    return entry["shape"], memoryview(raw[8 + n + lo:8 + n + hi]).cast("f")


class Manners(unittest.TestCase):
    def commands(self):
        return re.findall(r"^  ([a-z]+) ", run("help").stdout, re.M)

    def test_help_pages_fit_a_terminal(self):
        commands = self.commands()
        self.assertIn("serve", commands)
        for page in [("help",), *((c, "--help") for c in commands)]:
            done = run(*page)
            self.assertEqual((done.returncode, done.stderr), (0, ""), page)
            for line in done.stdout.splitlines():
                self.assertLessEqual(len(line), 80, f"{page}: {line}")
        self.assertEqual(run("--help", program=LORAFSD).returncode, 0)

    def test_help_of_a_command_is_its_help_page(self):
        self.assertEqual(run("help", "bench").stdout, run("bench", "--help").stdout)

    def test_versions_agree(self):
        """The programs' and the API's; the programs' with the commit, where it is known."""
        version = run("--version").stdout
        self.assertRegex(version, r"^lorafs \d+\.\d+\.\d+( \([\w.-]+\))?\n$")
        self.assertEqual(run("--version", program=LORAFSD).stdout, version.replace(" ", "d ", 1))
        api = pathlib.Path(os.environ["LF_SOURCE"]) / "daemon/api/openapi.json"
        self.assertEqual(json.loads(api.read_text())["info"]["version"], version.split()[1])

    def test_wrong_command_lines_end_with_2_and_say_why(self):
        for args, reason in [
            (("stauts",), "did you mean 'status'?"), (("frobnicate",), "no command"),
            (("tokenize",), "--base BASE is needed"),
            (("train", "-i", "x"), "--base DIR and --out DIR are needed, or the NAME"),
            (("train", "a", "-i", "x", "--out", "y"), "--out is of a training here"),
            (("cp", "a"), "an argument is missing"), (("rollback", "a"), "an argument is missing"),
            (("tokenize", "--bas", "x"), "did you mean --base?"),
            (("bench", "sleep", "--base", BASE), "decode, prefill, train, step or tokenize"),
            (("bench", "decode"), "--base or --shape"),
            (("generate", "--base", BASE, "--top-p", "2"), "--top-p must lie in"),
            (("generate", "--base", BASE, "--max-tokens", "ten"), "whole number"),
            (("generate", "--base"), "wants a value"),
            (("generate", "--base", BASE, "--prompt", "a", "--ids", "b"), "exclude"),
            (("logits", "--base", BASE, "--ids", "a", "--out", "b", "stray"), "too many arguments"),
            (("status", "--follow"), "one name"), ((), "usage"),
        ]:
            done = run(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertIn(reason, done.stderr, args)
            self.assertEqual(done.stdout, "", args)

    def test_failures_end_with_1_and_say_why(self):
        with tempfile.TemporaryDirectory() as tmp:
            bad = pathlib.Path(tmp, "bad.json")
            for text, reason in [("[[1, 4096]]", "4095"), ("[]", "list"), ("[[1], []]", "list 1"),
                                 ("{}", "list"), ("[[1", "line 1"), ("[1.5]", "element 0")]:
                bad.write_text(text)
                done = run("logits", "--base", BASE, "--ids", bad, "--out", tmp + "/x", *CPU)
                self.assertEqual(done.returncode, 1, text)
                self.assertIn(reason, done.stderr, text)
            self.assertFalse(pathlib.Path(tmp, "x").exists())
            done = run("tokenize", "--base", tmp)
            self.assertEqual(done.returncode, 1)
            done = run("ls", "--url", tmp + "/no.sock")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"no daemon answers at {tmp}/no.sock", done.stderr)
            self.assertIn("lorafs serve", done.stderr)
        done = run("rm", "../etc", "--url", "./no.sock")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not a name", done.stderr)


class Presets(unittest.TestCase):
    """The environment and lorafs.conf; tests/cases/http/command_line.sh has the rest."""

    def pages(self):
        commands = re.findall(r"^  ([a-z]+) ", run("help").stdout, re.M)
        nested = [(c, word) for c in ("land", "key")
                  for word in re.findall(r"^  ([a-z]+) ", run(c, "--help").stdout, re.M)]
        for c in [*((c,) for c in commands if c not in ("land", "key")), *nested,
                  ("bench", "serve")]:
            yield " ".join(c), run(*c, "--help").stdout
        yield "lorafsd", run("--help", program=LORAFSD).stdout

    def test_a_file_may_name_every_option_of_every_command(self):
        with tempfile.TemporaryDirectory() as tmp:
            conf = pathlib.Path(tmp, "lorafs", "lorafs.conf")
            conf.parent.mkdir()
            env = {"XDG_CONFIG_HOME": tmp}
            lines = [f"[{name}]\n" + "".join(f"{o} = x\n" for o in re.findall(
                r"^  (?:-.,|   ) --([a-z-]+)", page, re.M) if o != "help")
                for name, page in self.pages() if name != "tokenize"]
            self.assertGreater(len(lines), 25)
            conf.write_text("".join(lines))
            done = run("tokenize", "--base", BASE, stdin='{"text": "a"}\n', env=env)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_preset_stands_in_for_an_option_and_gives_way_to_one(self):
        line = '{"text": "a"}\n'
        self.assertEqual(run("tokenize", stdin=line).returncode, 2)
        plain = run("tokenize", "--base", BASE, stdin=line).stdout
        for name in ("LORAFS_BASE", "LORAFS_TOKENIZE_BASE"):
            self.assertEqual(run("tokenize", stdin=line, env={name: BASE}).stdout, plain)
        done = run("tokenize", stdin=line, env={"LORAFS_BASE": "x", "LORAFS_TOKENIZE_BASE": BASE})
        self.assertEqual(done.stdout, plain, "what is for one command goes first")
        done = run("tokenize", "--base", BASE, stdin=line, env={"LORAFS_BASE": "/nonexistent"})
        self.assertEqual(done.stdout, plain, "the command line goes first")
        done = run("generate", "--base", BASE, "--prompt", "a", env={"LORAFS_TOP_P": "2"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("LORAFS_TOP_P", done.stderr)
        done = run("train", "x", "-i", "/nonexistent", "--url", "./no.sock",
                   env={"LORAFS_BASE": BASE})
        self.assertIn("no daemon answers", done.stderr, "a preset base decides nothing")


class Tokenize(unittest.TestCase):
    def test_ids_with_and_without_what_is_added(self):
        texts = ["Hello, world", "", "naïve café, 日本語 🙂", "two\nlines\t"]
        lines = "".join(json.dumps({"text": t}) + "\n" for t in texts)
        done = run("tokenize", "--base", BASE, stdin=lines)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([r["decoded"] for r in rows], texts)
        for row in rows:
            self.assertEqual(row["ids"], [1, *row["ids_plain"]])  # bos

    def test_a_bad_line_is_named(self):
        done = run("tokenize", "--base", BASE, stdin='{"text": "a"}\n{"txt": 1}\n')
        self.assertEqual(done.returncode, 1)
        self.assertIn("line 2", done.stderr)


class Logits(unittest.TestCase):
    def test_lists_of_unequal_length(self):
        lists = [[1, 72, 101, 300, 5], [1, 9]]
        with tempfile.TemporaryDirectory() as tmp:
            both, alone = pathlib.Path(tmp, "both"), pathlib.Path(tmp, "alone")
            ids = pathlib.Path(tmp, "ids.json")
            ids.write_text(json.dumps(lists))
            command = ["logits", "--base", BASE, "--ids", ids, *CPU]
            done = run(*command, "--out", both, "--quant", "nf4")
            self.assertEqual(done.returncode, 0, done.stderr)
            shape, x = read_tensor(both, "logits")
            self.assertEqual(shape, [2, 5, 4096])
            row = 5 * 4096
            self.assertTrue(any(x[row:row + 2 * 4096]))
            self.assertFalse(any(x[row + 2 * 4096:]), "padding is zero")
            ids.write_text(json.dumps(lists[1]))
            done = run(*command, "--out", alone, "--quant", "none")
            self.assertEqual(done.returncode, 0, done.stderr)
            shape, y = read_tensor(alone, "logits")
            self.assertEqual(shape, [1, 2, 4096])
            self.assertEqual(list(x[row:row + 2 * 4096]), list(y), "a 4-bit base is used as it is")


class Generate(unittest.TestCase):
    PROMPT = "It was the best of times, it was"

    def generate(self, *args, stdin=""):
        done = run("generate", "--base", BASE, "--max-tokens", "24", *CPU, *args, stdin=stdin)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_json_text_and_ids_agree(self):
        a = json.loads(self.generate("--prompt", self.PROMPT, "--greedy", "--ignore-eos", "--json"))
        self.assertEqual((len(a["ids"]), a["finish"]), (24, "length"))
        plain = self.generate("--prompt", self.PROMPT, "--temperature", "0", "--ignore-eos")
        self.assertEqual(plain, a["text"] + "\n")
        self.assertEqual(self.generate("--greedy", "--ignore-eos", stdin=self.PROMPT), plain)

    def test_a_seed_repeats_and_another_differs(self):
        draws = [self.generate("--prompt", self.PROMPT, "--seed", s, "--json") for s in (5, 5, 6)]
        self.assertEqual(draws[0], draws[1])
        self.assertNotEqual(draws[0], draws[2])

    def test_a_stop_text_ends_it(self):
        command = ["--prompt", self.PROMPT, "--greedy", "--json"]
        whole = json.loads(self.generate(*command))["text"]
        stop = whole[5:9]
        cut = json.loads(self.generate(*command, "--stop", stop))
        self.assertEqual(cut["text"], whole[:whole.index(stop)])
        self.assertEqual(cut["finish"], "stop")

    def test_prompts_together_come_in_order(self):
        out = self.generate("--prompt", "Once", "--prompt", self.PROMPT, "--greedy", "--json")
        rows = [json.loads(line) for line in out.splitlines()]
        alone = json.loads(self.generate("--prompt", self.PROMPT, "--greedy", "--json"))
        self.assertEqual(len(rows), 2)
        self.assertEqual(rows[1]["ids"][:4], alone["ids"][:4])

    def test_ids_are_taken_as_they_are(self):
        with tempfile.TemporaryDirectory() as tmp:
            row = json.loads(run("tokenize", "--base", BASE,
                                 stdin=json.dumps({"text": self.PROMPT}) + "\n").stdout)
            path = pathlib.Path(tmp, "ids.json")
            path.write_text(json.dumps([row["ids"]]))
            self.assertEqual(self.generate("--ids", path, "--greedy", "--json"),
                             self.generate("--prompt", self.PROMPT, "--greedy", "--json"))


class Bench(unittest.TestCase):
    def test_figures_stand_beside_a_floor(self):
        cases = [("decode", ["--adapters", "2"]), ("prefill", []), ("train", ["--rank", "4"])]
        for kind, more in cases:
            done = run("bench", kind, "--base", BASE, "--batch", "2x16", "--iters", "2", "--warmup",
                       "1", "--json", *CPU, *more)
            self.assertEqual(done.returncode, 0, done.stderr)
            row = json.loads(done.stdout)
            self.assertEqual((row["bench"], row["seqs"]), (kind, 2))
            tokens, seconds = (2 if kind == "decode" else 32), row["batch_seconds"]
            self.assertGreater(row["floor_seconds"], 0)
            self.assertAlmostEqual(row["tokens_per_second"] * seconds / tokens, 1, places=4)
            self.assertAlmostEqual(row["share"] * seconds / row["floor_seconds"], 1, places=4)


if __name__ == "__main__":
    unittest.main()
