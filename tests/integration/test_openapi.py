#!/usr/bin/python3
"""The OpenAPI file is true: it is what the daemon serves, it knows every route and parameter there is, its examples work.
That every answer fits it is held by rest.py in all tests; that this would notice a lie is held here."""
import copy
import glob
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import openapi
from case import Case
from daemon import source_dir, tidemarkd
from rest import Answer


class OpenApi(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.spec = openapi.spec()
        cls.send(cls.operations("checkout", 20, 1, 12.5, memory_bytes=1048576, correlation_id="c-1")
                 + [{"module_id": "checkout", "event": "metric", "name": "depth", "value": 3}])
        cls.send([{"module_id": "checkout", "event": "response", "duration_ms": "soon"}])

    def test_the_file_is_served_as_it_is_and_has_our_version(self):
        with open(openapi.PATH, "rb") as text:
            written = text.read()
        answer = self.rest.get("/api/v3/openapi.json")
        self.assertEqual(answer.body, written)
        said = subprocess.run([tidemarkd(), "--version"], capture_output=True, text=True, check=True).stdout
        self.assertEqual("tidemarkd %s\n" % answer.json()["info"]["version"], said)

    def test_every_route_is_in_the_file_and_nothing_else(self):
        routes = set()
        for path in glob.glob(os.path.join(source_dir(), "src", "api", "*.c")):
            with open(path) as text:
                routes |= set(re.findall(r'\.(?:path|alias) = "([^"]+)"', text.read()))
        self.assertGreater(len(routes), 10)
        self.assertEqual(set(self.spec.paths()), routes)

    def test_every_reference_leads_somewhere_and_every_part_is_used(self):
        text = json.dumps(self.spec.root)
        for reference in set(re.findall(r'"\$ref": "([^"]+)"', text)):
            self.spec.resolver.resolve(reference)
        unused = []
        for kind, parts in self.spec.root["components"].items():
            if kind != "securitySchemes":
                unused += [name for name in parts if '"#/components/%s/%s"' % (kind, name) not in text]
        self.assertEqual(unused, ["MethodNotAllowed"])  # of any path: its method is no operation

    def test_the_examples_work(self):
        for path in self.spec.paths():
            parameters = {one["name"]: one["example"] for one in self.spec.parameters(path) if "example" in one}
            with self.subTest(path=path, parameters=parameters):
                answer = self.rest.get(path, **parameters)
                self.assertEqual(answer.status, 200, answer.body)
                for name, value in parameters.items():  # and each alone, with what is required
                    alone = {one["name"]: one["example"] for one in self.spec.parameters(path) if one.get("required")}
                    alone[name] = value
                    self.assertEqual(self.rest.get(path, **alone).status, 200, alone)
                self.assertEqual(self.rest.ask("HEAD", path, **parameters).status, 200)

    def test_a_parameter_that_the_file_does_not_have_is_refused(self):
        names = {one["name"] for path in self.spec.paths() for one in self.spec.parameters(path)}
        self.assertGreater(len(names), 10)
        for path in self.spec.paths():
            known = {one["name"] for one in self.spec.parameters(path)}
            for name in names | {"nonsense"}:
                answer = self.rest.get(path, **{name: "x"})
                if name in known:
                    self.assertNotIn("unknown parameter", answer.text(), (path, name))
                else:
                    self.assertEqual(answer.status, 400, (path, name))
                    self.assertIn("unknown parameter '%s'" % name, answer.json()["detail"])

    def test_a_lie_would_be_noticed(self):
        good = self.rest.get("/api/v3/metrics/module", module_id="checkout")
        path = "/api/v3/metrics/module"

        def lie(change, status=200, where=path, headers=None):
            body = copy.deepcopy(good.json())
            change(body)
            answer = Answer(status, headers or good.headers, json.dumps(body).encode())
            with self.assertRaises(openapi.Mismatch):
                self.spec.check("GET", where, answer)

        def nothing(body):
            del body

        lie(lambda body: body["metrics"].pop("errors"))
        lie(lambda body: body["metrics"].update(extra=1))
        lie(lambda body: body["metrics"].update(error_rate=1.5))
        lie(lambda body: body["metrics"].update(errors="3"))
        lie(lambda body: body["metrics"].update(first_seen="yesterday"))
        lie(lambda body: body["metrics"]["custom"]["depth"].pop("last"))
        lie(lambda body: body.update(more=1))
        lie(nothing, status=404)
        lie(nothing, status=418)
        lie(nothing, where="/api/v3/metrics/nothing")
        lie(nothing, headers=[one for one in good.headers if one[0] != "Cache-Control"])
        lie(nothing, headers=[("Content-Type", "text/html") if one[0] == "Content-Type" else one for one in good.headers])
        self.spec.check("GET", path, good)


if __name__ == "__main__":
    unittest.main(verbosity=2)
