"""Holds answers of the REST port against src/api/openapi.json: path, status, headers, type and shape. rest.py does it with
every answer of every test; an answer that the file does not foresee fails the test that got it.

Of long arrays the first and the last items are looked at: their items are alike, and a validator in Python is slow."""
import json
import os
import re
import warnings

import msgpack

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import jsonschema  # Debian package python3-jsonschema

    REF_RESOLVER = jsonschema.RefResolver

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "api", "openapi.json")
ITEMS = 20


class Mismatch(AssertionError):
    pass


def shortened(value):
    if isinstance(value, dict):
        return {key: shortened(one) for key, one in value.items()}
    if isinstance(value, list):
        if len(value) > 2 * ITEMS:
            value = value[:ITEMS] + value[-ITEMS:]
        return [shortened(one) for one in value]
    return value


class Spec:
    def __init__(self, path=PATH):
        with open(path) as text:
            self.root = json.load(text)
        self.resolver = REF_RESOLVER.from_schema(self.root)
        self.validators = {}

    def resolve(self, node):
        while "$ref" in node:
            _, node = self.resolver.resolve(node["$ref"])
        return node

    def item(self, path):
        """The path item, None when the file does not have the path."""
        found = self.root["paths"].get(path)
        return self.resolve(found) if found is not None else None

    def paths(self):
        return list(self.root["paths"])

    def parameters(self, path):
        return [self.resolve(one) for one in self.item(path)["get"].get("parameters", [])]

    def check_schema(self, schema, value, what):
        key = json.dumps(schema, sort_keys=True)
        if key not in self.validators:
            self.validators[key] = jsonschema.Draft202012Validator(schema, resolver=self.resolver)
        error = jsonschema.exceptions.best_match(self.validators[key].iter_errors(value))
        if error is not None:
            raise Mismatch("%s: at %s: %s" % (what, "/".join(str(part) for part in error.absolute_path) or "its top",
                                              error.message[:500]))

    def foreseen(self, method, path, status, what):
        """The response object of the file for an answer."""
        responses = self.root["components"]["responses"]
        if status == 405 and method not in ("GET", "HEAD"):
            return responses["MethodNotAllowed"]
        item = self.item(path)
        if item is None:
            if status == 200 or str(status) not in ("400", "401", "404", "408", "411", "413", "414", "417", "431", "503", "505"):
                raise Mismatch(what + ": the path is not in openapi.json")
            return {"404": responses["NotFound"], "401": responses["Unauthorized"]}.get(str(status), responses["BadRequest"])
        if status == 204 and method == "OPTIONS":  # CORS is of the fetch standard, not of the API
            return {}
        found = item["get"]["responses"].get(str(status))
        if found is None:
            raise Mismatch("%s: status %d is not in openapi.json" % (what, status))
        return self.resolve(found)

    def check(self, method, path, answer):
        """Raises Mismatch unless the answer is one that the file promises."""
        what = "%s %s -> %d" % (method, path, answer.status)
        response = self.foreseen(method, path, answer.status, what)
        for name, header in response.get("headers", {}).items():
            header = self.resolve(header)
            value = answer.header(name)
            if value is not None:
                self.check_schema(header["schema"], value, "%s: header %s" % (what, name))
            elif header.get("required"):
                raise Mismatch("%s: header %s is missing" % (what, name))
        if "content" not in response:
            if answer.body:
                raise Mismatch("%s: a body where none is foreseen" % what)
            return
        content = response["content"].get(answer.header("Content-Type"))
        if content is None:
            raise Mismatch("%s: type %s is not in openapi.json" % (what, answer.header("Content-Type")))
        if method == "HEAD":
            if answer.body:
                raise Mismatch("%s: HEAD with a body" % what)
            return
        text = answer.plain()
        if "json" in answer.header("Content-Type"):
            self.check_schema(content["schema"], shortened(json.loads(text)), what)
        elif "msgpack" in answer.header("Content-Type"):
            self.check_schema(content["schema"], shortened(msgpack.unpackb(text)), what)
        else:
            self.check_schema(content["schema"], text[:1000].decode("utf-8", "replace"), what)


_spec = None


def spec():
    global _spec
    if _spec is None:
        _spec = Spec()
    return _spec


def path_of(target):
    return re.split(r"[?#]", target, maxsplit=1)[0]
