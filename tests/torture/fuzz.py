#!/usr/bin/env python3
"""Every fuzz target for a while, from its seeds on.

    cmake --preset fuzz -DLF_TEST_KINDS=fuzz && cmake --build build/fuzz
    fuzz.py [--bin build/fuzz/bin] [--seconds S] [--jobs N] [--only NAME]

What one finds (a crash, a leak, a run of over 25 s or of over 2 GB) is left in a directory that is
named, to be given to the target again. The last line of output is a JSON object of figures; the
exit status is 1 where something was found.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "corpus"
LIMITS = ["-timeout=25", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"]


def run(target, seconds, work):
    """(runs, whether something was found)."""
    name = target.name.removeprefix("fuzz_")
    found, grown = work / name / "found", work / name / "corpus"
    found.mkdir(parents=True)
    grown.mkdir()
    done = subprocess.run([target, *LIMITS, f"-max_total_time={seconds}",
                           f"-artifact_prefix={found}/", grown, CORPUS / name],
                          text=True, errors="replace", capture_output=True, check=False)
    runs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    if done.returncode != 0:
        print(f"{target.name}: {done.stderr[-4000:]}\nleft behind: {found}", file=sys.stderr)
    return int(runs[1]) if runs else 0, done.returncode != 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--bin", default="build/fuzz/bin", type=pathlib.Path)
    p.add_argument("--seconds", type=int, default=600, help="each")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--only", default="", help="targets with this in their names")
    args = p.parse_args()
    begun = time.monotonic()
    targets = sorted(t for t in args.bin.resolve().glob("fuzz_*") if args.only in t.name)
    if not targets:
        sys.exit(f"no targets in {args.bin}")
    work = pathlib.Path(tempfile.mkdtemp(prefix="lorafs-fuzz-"))
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda t: run(t, args.seconds, work), targets))
    found = sum(bad for _, bad in results)
    print(json.dumps({"what": "fuzz", "targets": len(targets), "seconds_each": args.seconds,
                      "runs": sum(runs for runs, _ in results), "found": found,
                      "seconds": round(time.monotonic() - begun, 1)}))
    if found == 0:
        shutil.rmtree(work)
    return found > 0


if __name__ == "__main__":
    sys.exit(main())
