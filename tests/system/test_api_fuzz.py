"""Two thousand requests nobody would make, on every route, beside a guest that must not notice."""
import os
import pathlib
import random
import unittest

from api import Api
from api_fuzz import Maker
from lab import Lab, wait_until

REQUESTS = int(os.environ.get("GANTRY_REQUESTS", "2000"))
# A sanitizer keeps what was freed for a while.
GROWTH_MIB_MAX = 64 if os.environ.get("GANTRY_PRESET", "dev") in ("dev", "release") else 512


class ApiFuzzTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.lab.start()
        self.lab.import_test_guest()
        self.lab.launch("steady")
        self.lab.wait_for_console("steady", "gantry-test-guest ready")
        self.steady = self.lab.vm("steady")

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.lab.daemon.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) >> 10

    def check(self, request, answer):
        method, target, headers, body = request
        words = f"{method} {target[:300]} {headers} {body[:2000]!r} -> {answer.status} {answer.body[:500]!r}"
        self.assertLess(answer.status, 500, words)
        if answer.status >= 400 and method != "HEAD":
            problem = answer.json()
            self.assertEqual(problem["status"], answer.status, words)
            self.assertTrue(problem["code"] and problem["summary"], words)
            self.assertIsNone(self.lab.daemon.poll(), words)
        return answer.status

    def test_every_route_answers_with_a_reason_and_harms_nobody(self):
        lab = self.lab
        seed = int(os.environ.get("GANTRY_SEED", random.randrange(1 << 30)))
        print(f"GANTRY_SEED={seed}")
        api = Api(lab)
        maker = Maker(random.Random(seed), api.get("/api/v1/openapi.json").json(), lab.directory)
        # The steady guest, what it stands on, and this test's own access are changed by nobody.
        maker.protected = [self.steady["meta"]["id"], "steady"]
        operations = maker.operations()
        self.assertGreater(len(operations), 40)
        statuses = {}
        memory_mib = None
        for number in range(REQUESTS):
            method, path, operation = operations[number % len(operations)]
            request = maker.request(method, path, operation)
            answer = self.check(request, api.send(*request))
            statuses[answer] = statuses.get(answer, 0) + 1
            if number == REQUESTS // 2:
                memory_mib = self.resident_mib()
        print("answers:", dict(sorted(statuses.items())), "resident MiB:", memory_mib, self.resident_mib())
        self.assertLess(self.resident_mib(), memory_mib + GROWTH_MIB_MAX)
        self.assertGreater(statuses.get(200, 0), 50)  # not all of it is nonsense
        self.assertGreater(statuses.get(202, 0), 10)
        self.nobody_was_harmed()

    def nobody_was_harmed(self):
        lab = self.lab
        now = lab.vm("steady")
        for part, field in (("status", "bootId"), ("status", "startedAt"), ("status", "state"), ("meta", "generation")):
            self.assertEqual(now[part][field], self.steady[part][field])
        self.assertEqual(now["spec"], self.steady["spec"])
        lab.type_at_console("steady", "echo unharmed-$((40+2))\n")
        lab.wait_for_console("steady", "unharmed-42")
        # All that was accepted ends, and the daemon can still do its work, also anew.
        lab.kill_daemon()
        lab.start()
        for task in lab.json("task", "list", "--open").get("items", []):
            if task["progress"]["phase"].startswith("waiting for its content"):
                lab.gantry("task", "cancel", task["meta"]["id"])
        for vm in lab.json("list").get("items", []):
            if vm["status"]["state"] == "STOPPING":  # politely, for as long as somebody's wish allows: hours, perhaps
                lab.gantry("stop", vm["meta"]["id"], "--force")
        wait_until("every task ends", lambda: not lab.json("task", "list", "--open").get("items"))
        lab.gantry("host", "uncordon", "lab")
        lab.launch("later", "--network", "none")
        lab.wait_for_console("later", "gantry-test-guest ready")


RAW = [
    b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /api/v1/vms HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x00",
    b"POST /api/v1/vms HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/v1/vms HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /api/v1/vms HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"POST /api/v1/vms HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    b"POST /api/v1/vms HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"GET /api/v1/\xff\xfe HTTP/1.1\r\n\r\n", b"GET  /api/v1/vms  HTTP/1.1\r\nHost\r\n\r\n",
    b"GET /api/v1/vms HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /api/v1/vms/steady/console HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
]


class RawTest(unittest.TestCase):
    def test_what_is_hardly_http_ends_the_connection_and_nothing_else(self):
        lab = Lab()
        self.addCleanup(lab.close)
        lab.start()
        dice = random.Random(7)
        for data in RAW + [dice.randbytes(dice.randrange(1, 3000)) for _ in range(100)]:
            with Api(lab).connect() as tls:
                try:
                    tls.sendall(data)
                    tls.unwrap()
                except OSError:
                    pass
            with Api(lab).plain() as plain:
                try:
                    plain.sendall(data)
                except OSError:
                    pass
        self.assertIsNone(lab.daemon.poll())
        self.assertEqual(Api(lab).get("/api/v1/vms").status, 200)


if __name__ == "__main__":
    unittest.main()
