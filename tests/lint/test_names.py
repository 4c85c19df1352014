#!/usr/bin/python3
"""No two rooms define the same name: every program may link them all."""
import collections
import glob
import os
import re
import shutil
import subprocess
import sys

BUILD = os.environ.get("TIDE_BUILD") or "build/release"
SKIPPED = 77


def main():
    archives = sorted(glob.glob(os.path.join(BUILD, "libtide_*.a")))
    if not shutil.which("nm") or not archives:
        print("SKIPPED: no nm, or nothing built in %s" % BUILD)
        return SKIPPED
    rooms = collections.defaultdict(set)
    for archive in archives:
        said = subprocess.run(["nm", "--extern-only", "--defined-only", archive], capture_output=True, text=True).stdout
        for match in re.finditer(r"^[0-9a-f]+ [TDBRSC] (\S+)$", said, re.MULTILINE):
            rooms[match.group(1)].add(os.path.basename(archive)[len("libtide_"):-2])
    wrong = ["%s is defined by %s" % (name, " and ".join(sorted(where))) for name, where in rooms.items() if len(where) > 1]
    print("\n".join(sorted(wrong)) or "%d names, each of one room" % len(rooms))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
