#!/usr/bin/env python3
"""`lorafs pull` of several shards against a hub on this machine (tests/lib/hub_server.py), and a
hub in trouble; what a pull of one file is held to is in tests/cases/hub.

LORAFS names the program, LF_SOURCE the checkout.
"""
import filecmp
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest

LORAFS = os.environ["LORAFS"]
SOURCE = pathlib.Path(os.environ["LF_SOURCE"])
SHARDS = ["model-%05d-of-00003.safetensors" % (i + 1) for i in range(3)]
SMALL = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
         "model.safetensors.index.json"]
UNWANTED = ["consolidated.safetensors", "training_args.json"]


class Pull(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self.tmp.name)
        self.repo = self.dir / "hub" / "org" / "tiny"
        self.repo.mkdir(parents=True)
        rng = random.Random(1)
        for name in SHARDS + UNWANTED:
            (self.repo / name).write_bytes(rng.randbytes(300000))
        for name in SMALL:
            (self.repo / name).write_bytes(b"%d %s" % (len(name), name.encode()))
        self.server = None

    def tearDown(self):
        self.stop()
        self.tmp.cleanup()

    def stop(self):
        if self.server:
            self.server.kill()
            self.server.wait()
            self.server = None

    def serve(self, *options):
        self.stop()
        port = self.dir / "port"
        port.unlink(missing_ok=True)
        self.log = self.dir / "log"
        with open(self.log, "w") as log:
            self.server = subprocess.Popen(
                [sys.executable, SOURCE / "tests/lib/hub_server.py", self.dir / "hub", port,
                 *options], stdout=log, stderr=subprocess.DEVNULL)
        while not port.exists():
            self.assertIsNone(self.server.poll())
            time.sleep(0.02)
        self.endpoint = "http://127.0.0.1:" + port.read_text()

    def start(self, *args):
        env = dict(os.environ, HF_ENDPOINT=self.endpoint, HF_TOKEN="", no_proxy="*")
        return subprocess.Popen([LORAFS, "pull", *args], cwd=self.dir, env=env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def pull(self, *args, status=0):
        p = self.start(*args)
        out, err = p.communicate(timeout=120)
        self.assertEqual(p.returncode, status, err)
        return out if status == 0 else err

    def requests(self):
        return [x.split() for x in self.log.read_text().splitlines()]

    def wait_for_parts(self, names):
        parts = [self.dir / "tiny" / (n + ".part") for n in names]
        while not all(p.exists() and p.stat().st_size > 0 for p in parts):
            time.sleep(0.02)

    def assert_whole(self, name="tiny"):
        got = self.dir / name
        source = "lorafs-source.json"  # where it came from
        self.assertEqual(sorted(os.listdir(got)), sorted(SHARDS + SMALL + [source]))
        for f in SHARDS + SMALL:
            self.assertTrue(filecmp.cmp(got / f, self.repo / f, shallow=False), f)

    def test_takes_what_it_can_use(self):
        self.serve()
        lines = self.pull("org/tiny@refs/pr/1", "--list").splitlines()
        marked = [x.split()[-1] for x in lines if x.startswith("*")]
        self.assertEqual(sorted(marked), sorted(SHARDS + SMALL))
        self.assertIn("refs%2Fpr%2F1", self.requests()[0][1])
        self.assertFalse((self.dir / "tiny").exists())
        self.assertEqual(self.pull("org/tiny"), "tiny\n")
        self.assert_whole()
        self.assertIn("config.json", self.requests()[-1][1])  # the last one

    def test_shards_come_side_by_side(self):
        self.serve("--stall", "100000")
        p = self.start("org/tiny")
        self.wait_for_parts(SHARDS)
        p.kill()
        p.communicate()
        self.serve()
        self.pull("org/tiny")
        self.assert_whole()

    def test_starts_again_where_ranges_are_ignored(self):
        self.serve("--cut", "100000", "--whole")
        self.pull("org/tiny")
        self.assert_whole()

    def test_an_update_that_is_stopped_does_not_look_whole(self):
        self.serve()
        self.pull("org/tiny")
        for shard in SHARDS[1:]:
            (self.repo / shard).write_bytes(b"new" + (self.repo / shard).read_bytes())
        self.serve("--stall", "100000")
        p = self.start("org/tiny")
        self.wait_for_parts(SHARDS[1:])
        p.kill()
        p.communicate()
        self.assertFalse((self.dir / "tiny" / "config.json").exists())
        self.serve()
        self.pull("org/tiny")
        self.assert_whole()
        self.assertFalse([r for r in self.requests() if "config.json" in r[1]])  # it was kept

    def test_an_overloaded_hub_is_asked_again(self):
        self.serve("--fail", "2")
        self.pull("org/tiny")
        self.assert_whole()
        self.serve("--fail", "99")
        start = time.monotonic()
        self.assertIn("answers 503", self.pull("org/tiny", "--out", "bad", status=1))
        self.assertGreater(time.monotonic() - start, 3)  # not all at once

    def test_takes_no_more_than_was_said(self):
        self.serve("--bare")
        self.assertIn("no digest", self.pull("org/tiny", status=1))
        for name in ("config.json", SHARDS[0]):
            self.serve("--endless", name)
            self.assertIn("more comes", self.pull("org/tiny", "--out", name + ".d", status=1))
            parts = [p.stat().st_size for p in (self.dir / (name + ".d")).glob("*.part")]
            self.assertLessEqual(sum(parts), 300000 * len(SHARDS))

    def test_says_what_is_wrong_with_a_name(self):
        self.serve()
        for name in ["tiny", "org/tiny@", "../tiny", "org/ti ny", "org/tiny@a?b", "/tiny"]:
            self.assertIn("org/name", self.pull(name, status=1))


if __name__ == "__main__":
    unittest.main(verbosity=1)
