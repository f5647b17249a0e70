"""Requests made from the OpenAPI document: mostly plausible, partly absurd, sometimes broken on the way."""
import json

ABSURD = [None, True, False, -1, 0, 1.5, 1e308, 2**31, 2**32, 2**64, -2**63, "", " ", "a" * 300, "x" * 70_000, "\0", "\n",
          "../../etc/passwd", "%s%n", "ü💥", "\ud800", "'; drop table vm; --", "NaN", "18446744073709551616", [], {}, [[]],
          [[[[[]]]]], {"": ""}, {"a": {"b": {"c": []}}}, "-1", "1e9", "0x10", "true"]

# What really happens when nothing is broken on the way.
PLAUSIBLE = {
    "CreateVm": {"name": "fuzz-a", "spec": {"image": "tiny", "cpus": 1, "memoryMib": 64, "power": "STOPPED",
                                            "nics": [{"network": "default", "portForwards": [{"guestPort": 80}]}],
                                            "disks": [{"create": {"capacityBytes": "1048576"}}]}},
    "UpdateVm": {"cpus": 2, "labels": {"a": "b"}},
    "CreateVolume": {"name": "fuzz-b", "spec": {"capacityBytes": "1048576", "format": "RAW"}},
    "ResizeVolume": {"capacityBytes": "2097152"},
    "CreatePool": {"name": "fuzz-c", "spec": {"overcommitPercent": 100}},
    "CreateImage": {"name": "fuzz-a", "spec": {"upload": True}},
    "CreateNetwork": {"name": "fuzz-b", "spec": {"kind": "USER"}},
    "CreateToken": {"name": "fuzz-c"},
}


class Maker:
    def __init__(self, dice, document, lab_directory):
        self.dice = dice
        # How often a value is absurd; changes with each request.
        self.absurdity = 0.0
        self.document = document
        self.directory = lab_directory
        # Ids and names of what may be changed, and of what may not: those only in forms that name something else.
        self.names = ["tiny", "default", "lab", "nobody", "fuzz-a", "fuzz-b", "fuzz-c"]
        self.protected = []

    def operations(self):
        return [(method.upper(), path, operation) for path, methods in self.document["paths"].items()
                for method, operation in methods.items()]

    # Values

    def schema(self, schema):
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def value(self, schema, field="", depth=0):
        dice = self.dice
        if dice.random() < self.absurdity or depth > 8:
            return dice.choice(ABSURD)
        schema = self.schema(schema)
        if "enum" in schema:
            return dice.choice(schema["enum"] + ["NOTHING", 99])
        kind = schema.get("type")
        if kind == "object":
            return self.object(schema, depth)
        if kind == "array":
            return [self.value(schema["items"], field, depth + 1) for _ in range(dice.choice([0, 1, 1, 2, 3, 40]))]
        if kind == "boolean":
            return dice.random() < 0.5
        if kind in ("integer", "number"):
            return dice.choice([0, 1, 2, 15, 16, 64, 80, 65535, 65536, 2**32 - 1, dice.randrange(2**32)])
        if schema.get("pattern"):  # 64 bits, as text
            return str(dice.choice([0, 1, 1 << 20, (1 << 20) + 1, 5 << 20, 1 << 50, 2**64 - 1, dice.randrange(2**64)]))
        return self.text(field)

    def object(self, schema, depth):
        made = {}
        for name, inner in schema.get("properties", {}).items():
            if self.dice.random() < (0.9 if name in ("name", "spec") else 0.4):
                made[name] = self.value(inner, name, depth + 1)
        if isinstance(schema.get("additionalProperties"), dict):
            for _ in range(self.dice.choice([0, 1, 3, 100])):
                made[self.text("")] = self.value(schema["additionalProperties"], "", depth + 1)
        if self.dice.random() < 0.05:
            made[self.dice.choice(["unknown", "id", "__proto__", ""])] = self.dice.choice(ABSURD)
        return self.harmless(made)

    def harmless(self, made):
        """What a request may really do to this machine: small, and in the lab's directory."""
        if isinstance(made.get("path"), str) and made["path"].startswith("/"):
            made["path"] = str(self.directory / "pool")
        if made.get("recipe") == "debian-12":
            made["recipe"] = "debian-11"
        if "memoryMib" in made and made["memoryMib"] in (65535, 65536):
            made["memoryMib"] = 16
        if "user" in made:
            made["user"] = "fuzz"  # who really exists must not be locked out by wrong passwords
        return made

    def text(self, field):
        dice = self.dice
        if field == "path":
            return dice.choice([str(self.directory / f"pool{dice.randrange(4)}"), "relative", "", str(self.directory) + "/../x/.."])
        if field == "name":
            return dice.choice(["fuzz-a", "fuzz-b", "fuzz-c", f"fuzz-{dice.randrange(1000)}", "Bad Name", "-", "a" * 64, "tiny"])
        return dice.choice(self.names + ["", "10.99.1.0/24", "10.99.1.7", "999.1.1.1/99", "127.0.0.0/8", "0.0.0.0/0", "::1",
                                         "52:54:00:00:00:01", "ff:ff:ff:ff:ff:ff", "br0", "lo", "http://127.0.0.1:9/x",
                                         "https://127.0.0.1:9/x", "0" * 64, "a=b", "a=b,c", "vm,task", "#cloud-config\n",
                                         "console=ttyS0", "ssh-ed25519 AAAA x", "2026-01-01T00:00:00Z"])

    def id(self):
        dice = self.dice
        if dice.random() < 0.15:
            name = dice.choice(self.protected)
            return dice.choice([name + "x", name[:-1], name.upper(), name + "%00", name + "%2F", "%2e%2e", name + "%20"])
        if dice.random() < 0.2:
            return dice.choice(["%00", "%2F", "%ff", "..", "%2e%2e%2f", "a" * 256, "a" * 20_000, "%", "%zz", "%F0%9F%92%A5", "*"])
        return dice.choice(self.names)

    # Requests

    def request(self, method, path, operation):
        dice = self.dice
        self.absurdity = dice.choice([0, 0, 0.02, 0.1, 0.3])
        if self.absurdity == 0 and dice.random() < 0.6:
            return self.plausible(method, path, operation)
        target = path.replace("{id}", self.id())
        query = []
        for parameter in operation["parameters"]:
            if parameter["in"] == "query" and dice.random() < 0.3:
                query.append(f"{parameter['name']}={self.encoded(self.value(parameter['schema'], parameter['name']))}")
        if dice.random() < 0.1:
            query.append(dice.choice(["unknown=1", "=", "&&", "dry_run", "dry_run=maybe", "id=other", "%00=%00", "a" * 9000]))
        if query:
            target += "?" + "&".join(query)
        if dice.random() < 0.03:
            method = dice.choice(["HEAD", "GET", "PUT", "PATCH", "DELETE", "POST", "OPTIONS", "TRACE", "BREW"])
            if method == "DELETE" and "{id}" not in path:
                method = "HEAD"
        return method, target, self.headers(), self.body(operation)

    def plausible(self, method, path, operation):
        body = b""
        if method in ("POST", "PATCH"):
            made = json.loads(json.dumps(PLAUSIBLE.get(operation["operationId"], {})))
            if "name" in made:
                made["name"] = self.dice.choice(["fuzz-a", "fuzz-b", "fuzz-c"])
            if operation["operationId"] == "CreatePool":
                made["spec"]["path"] = self.text("path")
            body = json.dumps(made).encode()
        elif method == "PUT":
            body = self.dice.randbytes(1000)
        target = path.replace("{id}", self.dice.choice(self.names))
        return method, target, [], body

    def encoded(self, value):
        text = value if isinstance(value, str) else json.dumps(value)
        return "".join(c if c.isalnum() and c.isascii() else "".join(f"%{b:02x}" for b in c.encode("utf-8", "replace"))
                       for c in text)

    def headers(self):
        dice = self.dice
        made = []
        for name, values in (("If-Match", ['"1"', '"999999"', "*", "x", '""', 'W/"1"', '"18446744073709551616"']),
                             ("Idempotency-Key", ["k1", "k2", f"k{dice.randrange(10**9)}", "a/b", "a" * 129, "\x7f", ""]),
                             ("If-None-Match", ['"1"', "*", 'W/"1", "2"', ","]),
                             ("Content-Type", ["application/json", "text/plain", "application/json; charset=x", "", ";"]),
                             ("Last-Event-ID", ["0", "1", "-1", "x", "99999999999999999999"]),
                             ("Accept", ["*/*", "text/html", "\xff"]), ("Expect", ["100-continue", "x"]),
                             ("X-Long", ["y" * 9_000, "y" * 17_000]), ("Upgrade", ["websocket"]), ("Range", ["bytes=0-"]),
                             ("Authorization", ["Basic eDp5", "Bearer", "Bearer \xff"])):
            if dice.random() < 0.05:
                made.append((name, dice.choice(values)))
        return made

    def body(self, operation):
        dice = self.dice
        content = operation.get("requestBody", {}).get("content", {})
        if "application/octet-stream" in content:
            return dice.randbytes(dice.choice([0, 1, 512, 70_000]))
        if "application/json" not in content:
            return b"" if dice.random() < 0.9 else self.broken(b'{"id":"x"}')
        body = json.dumps(self.value(content["application/json"]["schema"])).encode()
        if dice.random() < 0.02:
            return b'{"name":"' + b"a" * (2 << 20) + b'"}'
        if dice.random() < 0.01:
            return b"[" * 100_000
        return self.broken(body) if dice.random() < 0.2 else body

    def broken(self, body):
        dice = self.dice
        data = bytearray(body)
        for _ in range(dice.choice([1, 1, 2, 8])):
            at = dice.randrange(len(data) + 1)
            change = dice.randrange(4)
            if change == 0:
                data[at:at + 1] = dice.randbytes(1)
            elif change == 1:
                del data[at:]
            elif change == 2:
                data[at:at] = data[at // 2:at]
            else:
                data[at:at] = dice.choice([b"\0", b"\xff\xfe", b"{", b"]", b'"', b",", b"\\u0000", b"1e999", b"//", b"'"])
        return bytes(data)
