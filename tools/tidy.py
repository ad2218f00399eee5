#!/usr/bin/env python3
"""House rules that a machine can check: the test `tidy`, or by hand: tools/tidy.py [FILE...].

tidy/lines.py: lengths, layout (clang-format), banned calls, head comments, leftovers.
tidy/names.py: exports that nobody uses, tags that clash, ceilings, files that comments name.
tidy/rooms.py: the direction of includes, circles, a room's share.
tidy/versions.py: one version everywhere.
With FILEs, only what one file shows. The rules with their reasons: HACKING.md.
"""
import sys

sys.dont_write_bytecode = True  # or a folder of them would stand in the tree

from tidy import lines, names, rooms, versions
from tidy.source import C_SUFFIXES, ROOT, tracked, troubles


def main(argv):
    files = argv or tracked()
    sources = [f for f in files if (ROOT / f).suffix in C_SUFFIXES]
    lines.check(files)
    names.check(sources)
    rooms.check(sources)
    if not argv:
        names.check_tree()
        rooms.check_tree()
        versions.check_tree()
    print("\n".join(sorted(troubles)) if troubles else "tidy")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
