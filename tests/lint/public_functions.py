#!/usr/bin/python3
"""Compares the functions that the doors declare with gcovr's report: every public function was run by some test.

    public_functions.py gcovr.json
"""
import json
import os
import re
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOORS = os.path.join(SOURCE, "include", "tidemark")


def declared():
    """name -> door, of every function that a door declares and does not define inline."""
    found = {}
    for door in sorted(os.listdir(DOORS)):
        with open(os.path.join(DOORS, door)) as file:
            text = file.read()
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
        text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", " ", text, flags=re.MULTILINE)
        depth = 0
        outside = []
        for char in text:  # bodies of structs and of inline functions are not declarations
            depth -= char == "}"
            if depth == 0:
                outside.append(char)
            depth += char == "{"
        for statement in re.split(r"[;{}]", "".join(outside)):
            if "typedef" in statement or "static inline" in statement:
                continue
            match = re.search(r"\b(tide_\w+)\s*\(", statement)
            if match:
                found[match.group(1)] = door
    return found


def counts(path):
    with open(path) as file:
        report = json.load(file)
    found = {}
    for unit in report["files"]:
        for function in unit.get("functions", ()):
            found[function["name"]] = max(found.get(function["name"], 0), function["execution_count"])
    return found


def main():
    doors, run = declared(), counts(sys.argv[1])
    idle = sorted(name for name in doors if run.get(name, 0) == 0)
    print("public functions: %d declared, %d run by tests" % (len(doors), len(doors) - len(idle)))
    for name in idle:
        print("  never run: %s (%s)" % (name, doors[name]))
    return 1 if idle or not doors else 0


if __name__ == "__main__":
    sys.exit(main())
