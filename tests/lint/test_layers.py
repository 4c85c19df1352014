#!/usr/bin/python3
"""The rooms keep to the arrows of src/rooms.txt: every #include is compared with them, and foreign libraries stay in
the hands they were given to."""
import os
import re
import shutil
import subprocess
import sys
import unittest

SOURCE = os.environ.get("TIDE_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOORS = os.path.join(SOURCE, "include", "tidemark")

# Whose door a header is. A room has one; those of base and model, one per noun, are known by their .c file.
ROOM_OF_DOOR = {
    "bytes": "base",  # inline, no .c
    "wire": "wire",
    "store": "storage",
    "raw": "storage",
    "verify": "storage",
    "backup": "storage",
    "migrate": "migrations",
    "transfer": "storage",
    "commit": "commit",
    "ingest": "ingest",
    "query": "query",
    "api": "api",
}

# Foreign libraries: header -> who may use it.
FOREIGN = [
    (r"lmdb\.h", {"storage"}),
    (r"msgpack(/.*|\.h)", {"wire", "api"}),
    (r"(event2/.*|evhttp\.h|event\.h)", {"ingest", "api", "tools"}),
    (r"jansson\.h", {"api", "daemon", "tools", "wire"}),
    (r"zlib\.h", {"wire", "api"}),
    (r"openssl/.*", {"base", "wire", "ingest", "api", "tools"}),
    (r"xxhash\.h", {"base"}),
]

SYSTEM = re.compile(r"(sys|netinet|arpa|net|linux)/.*|(assert|ctype|dirent|errno|fcntl|fenv|float|fnmatch|ftw|getopt|glob|"
                    r"inttypes|libgen|limits|locale|malloc|math|netdb|poll|pthread|sched|semaphore|setjmp|signal|"
                    r"stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|"
                    r"termios|threads|time|unistd|wchar|wctype|nmmintrin|immintrin|spawn|grp|pwd|execinfo|endian)\.h")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def arrows():
    found = {}
    with open(os.path.join(SOURCE, "src", "rooms.txt")) as lines:
        for line in lines:
            line = line.split("#")[0].strip()
            if line:
                room, _, allowed = line.partition("->")
                found[room.strip()] = set(allowed.split())
    return found


def folder(room):
    top = os.path.join(SOURCE, room)
    return top if room in ("storage", "migrations", "tools") else os.path.join(SOURCE, "src", room)


def sources(room):
    where = folder(room)
    if os.path.isdir(where):
        for name in sorted(os.listdir(where)):
            if name.endswith((".c", ".h")):
                yield os.path.join(where, name)


def includes(path):
    """(line, quote, header) of every include."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(1), match.group(2)


def room_of(door):
    noun = door[len("tidemark/"):-len(".h")]
    for room in ("base", "model"):
        if os.path.exists(os.path.join(folder(room), noun + ".c")):
            return room
    return ROOM_OF_DOOR.get(noun)


def complaint(room, allowed, quote, header, here):
    """What is wrong with `room` including `header`, or None. here: its folder."""
    if header.startswith("tidemark/"):
        owner = room_of(header)
        if owner is None:
            return "unknown door %s: name its room in ROOM_OF_DOOR" % header
        if owner != room and owner not in allowed:
            return "arrow %s -> %s is not in src/rooms.txt (%s)" % (room, owner, header)
        return None
    if quote == '"':
        if "/" in header or not os.path.exists(os.path.join(here, header)):
            return "%s is no header of room %s, and private ones of other rooms are out of reach" % (header, room)
        return None
    for pattern, hands in FOREIGN:
        if re.fullmatch(pattern, header):
            return None if room in hands else "%s belongs to %s only" % (header, ", ".join(sorted(hands)))
    return None if SYSTEM.fullmatch(header) else "unknown library header <%s>: a new dependency needs a reason" % header


class Layers(unittest.TestCase):
    def test_every_room_includes_only_what_its_arrows_allow(self):
        wrong = []
        for room, allowed in arrows().items():
            for path in sources(room):
                for line, quote, header in includes(path):
                    said = complaint(room, allowed, quote, header, folder(room))
                    if said:
                        wrong.append("%s:%d: %s" % (os.path.relpath(path, SOURCE), line, said))
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def test_every_door_stays_on_its_floor(self):
        allowed, wrong = arrows(), []
        for name in sorted(os.listdir(DOORS)):
            owner = room_of("tidemark/" + name)
            if owner is None:
                wrong.append("include/tidemark/%s: no room owns it: add it to ROOM_OF_DOOR" % name)
                continue
            for line, quote, header in includes(os.path.join(DOORS, name)):
                said = complaint(owner, allowed[owner], quote, header, DOORS)
                if said:
                    wrong.append("include/tidemark/%s:%d: %s" % (name, line, said))
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def test_arrows_never_form_a_circle(self):
        allowed = arrows()
        done = set()
        while len(done) < len(allowed):
            free = [room for room in allowed if room not in done and allowed[room] <= done]
            self.assertTrue(free, "circle among %s" % sorted(set(allowed) - done))
            done.update(free)

    def test_every_folder_with_code_is_a_room(self):
        rooms = {folder(room) for room in arrows()}
        for top in ("src", "storage", "migrations", "tools"):
            for where, _, names in os.walk(os.path.join(SOURCE, top)):
                if any(name.endswith((".c", ".h")) for name in names):
                    self.assertIn(where, rooms, "%s is in no room of src/rooms.txt" % os.path.relpath(where, SOURCE))

    def test_every_door_stands_alone(self):
        compiler = shutil.which("gcc") or shutil.which("cc")
        if not compiler:
            self.skipTest("no C compiler")
        for name in sorted(os.listdir(DOORS)):
            done = subprocess.run([compiler, "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
                                   "-Wno-unused-function", "-fsyntax-only", "-I", os.path.join(SOURCE, "include"),
                                   "-x", "c", os.path.join(DOORS, name)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, "%s needs another header in front\n%s" % (name, done.stderr))

    def test_the_check_itself_finds_what_it_looks_for(self):
        allowed = arrows()
        for room, quote, header in (("model", '"', "tidemark/store.h"), ("storage", '"', "tidemark/query.h"),
                                    ("query", "<", "lmdb.h"), ("storage", '"', "shard.h"), ("base", '"', "../wire/cursor.h"),
                                    ("ingest", "<", "curl/curl.h"), ("api", '"', "tidemark/nonsense.h")):
            self.assertIsNotNone(complaint(room, allowed[room], quote, header, folder(room)), (room, header))


if __name__ == "__main__":
    unittest.main(verbosity=2)
