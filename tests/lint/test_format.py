#!/usr/bin/python3
"""Layout is clang-format's business: the tree is as .clang-format says."""
import os
import shutil
import subprocess
import sys

SOURCE = os.environ.get("TIDE_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = 77


def sources():
    for top in ("src", "storage", "migrations", "tools", "tests", "include"):
        for where, _, names in os.walk(os.path.join(SOURCE, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.join(where, name)


def main():
    program = shutil.which("clang-format")
    if not program:
        print("SKIPPED: clang-format is not installed")
        return SKIPPED
    paths = list(sources())
    done = subprocess.run([program, "--dry-run", "--Werror", "--ferror-limit=1"] + paths, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr)
        print("to repair: clang-format -i FILE")
        return 1
    print("%d files are as .clang-format says" % len(paths))
    return 0


if __name__ == "__main__":
    sys.exit(main())
