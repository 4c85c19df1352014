#!/usr/bin/python3
"""The other compiler has nothing to say either: every source with the build's own flags, read by clang, -Werror."""
import concurrent.futures
import json
import os
import shlex
import shutil
import subprocess
import sys

BUILD = os.environ.get("TIDE_BUILD") or "build/release"
SKIPPED = 77


def check(clang, entry):
    words = shlex.split(entry["command"]) if "command" in entry else entry["arguments"]
    flags = []
    rest = iter(words[1:])
    for word in rest:
        if word in ("-o", "-MF", "-MT"):
            next(rest)
        elif word not in ("-c", "-MD", "--coverage") and not word.startswith("-fsanitize"):
            flags.append(word)
    done = subprocess.run([clang, "-fsyntax-only", "-Werror"] + flags, cwd=entry["directory"], capture_output=True, text=True)
    return done.returncode, done.stderr


def main():
    clang = shutil.which("clang")
    commands = os.path.join(BUILD, "compile_commands.json")
    if not clang:
        print("SKIPPED: clang is not installed")
        return SKIPPED
    if not os.path.exists(commands):
        print("SKIPPED: %s is not there" % commands)
        return SKIPPED
    with open(commands) as file:
        entries = json.load(file)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for status, said in pool.map(lambda entry: check(clang, entry), entries):
            if status:
                failed += 1
                print(said)
    print("%d sources, %d refused" % (len(entries), failed))
    return 1 if failed or not entries else 0


if __name__ == "__main__":
    sys.exit(main())
