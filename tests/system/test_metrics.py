"""What guests and their host use: measured, kept over a restart, and told to people, programs and Prometheus."""
import json
import math
import pathlib
import re
import unittest

from api import Api
from lab import Lab, wait_until
from test_join import MANAGER_ADDRESS, JoinedLab, connect

DASHBOARD = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "grafana.json"


def by_name(metrics):
    """The averages of each metric that were measured."""
    return {m["name"]: [float(v) for v in m["averages"] if not math.isnan(float(v))] for m in metrics["metrics"]}


class MetricsTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.lab.start()
        self.lab.import_test_guest()

    def top_of(self, name):
        return next((entry["sample"]["vm"] for entry in self.lab.json("top")["vms"] if entry["name"] == name), {})

    def history(self, name, *options):
        return by_name(self.lab.json("metrics", name, *options))

    def test_what_a_busy_guest_uses_is_seen_and_kept(self):
        lab = self.lab
        lab.launch("idle")
        lab.launch("busy")
        lab.wait_for_console("busy", "gantry-test-guest ready")
        lab.wait_for_console("idle", "gantry-test-guest ready")
        lab.type_at_console("busy", "while :; do :; done\n")
        # One processor that never rests; beside it others of this machine may, so that waiting counts as well.
        wait_until("the busy guest is seen to be busy",
                   lambda: self.top_of("busy").get("cpuPercent", 0) + self.top_of("busy").get("cpuWaitPercent", 0) > 60)
        # A guest or a QEMU that had no time to answer is told without it, once.
        idle = wait_until("the idle guest is measured, its memory by itself too",
                          lambda: {"cpuPercent", "diskReadsPerSecond", "memoryUsedBytes"} <= (it := self.top_of("idle")).keys()
                          and it)
        busy = wait_until("the busy guest is measured",
                          lambda: {"cpuPercent", "memoryResidentBytes"} <= (it := self.top_of("busy")).keys() and it)
        self.assertLess(idle["cpuPercent"], busy["cpuPercent"] + busy["cpuWaitPercent"])
        self.assertGreater(busy["memoryResidentBytes"], 32 << 20)
        self.assertLess(idle["memoryUsedBytes"], 192 << 20)
        host = self.lab.json("top")["hosts"][0]["sample"]["host"]
        self.assertGreater(host["cpuPercent"], 0)
        self.assertGreater(host["memoryTotalBytes"], host["memoryUsedBytes"])
        shown = lab.gantry("top", "--vms", "1")
        self.assertIn("busy", shown)
        self.assertNotIn("idle", shown)

        wait_until("it is in the history", lambda: max(self.history("busy")["cpu_percent"], default=0) > 0)
        lab.kill_daemon()
        lab.start()
        kept = self.history("busy", "--names", "cpu_percent,memory_resident_bytes")
        self.assertEqual(set(kept), {"cpu_percent", "memory_resident_bytes"})
        self.assertGreater(max(kept["cpu_percent"]), 0, "killed, it lost nothing of what it had")
        self.assertGreater(max(self.history("--host", "lab")["cpu_percent"]), 0)
        self.assertIn("cpu_percent", lab.gantry("metrics", "busy", "--rows", "5"))

    def test_a_guest_that_is_off_has_no_zeros(self):
        lab = self.lab
        lab.launch("web")
        wait_until("it is measured", lambda: self.top_of("web").get("cpuPercent") is not None)
        lab.gantry("stop", "web", "--force")
        wait_until("nothing new comes of it", lambda: not self.top_of("web"))
        answer = Api(lab).get("/api/v1/vms/web/metrics?names=cpu_percent").json()
        self.assertEqual(answer["stepSeconds"], 10)
        averages = answer["metrics"][0]["averages"]
        self.assertEqual(averages[-1], "NaN")
        self.assertEqual(averages[0], "NaN", "nor was it there an hour ago")

    def test_what_cannot_be_asked_for_is_said(self):
        api = Api(self.lab)
        for query, cause in (("?names=colour", "colour"), ("?from=yesterday", "time"),
                             ("?from=2027-01-02T00:00:00Z&to=2027-01-01T00:00:00Z", "time")):
            answer = api.get("/api/v1/hosts/lab/metrics" + query)
            self.assertEqual(answer.status, 400, query)
            self.assertIn(cause, json.dumps(answer.json()))
        self.assertEqual(api.get("/api/v1/vms/nobody/metrics").status, 404)
        far = api.get("/api/v1/hosts/lab/metrics?from=0001-01-01T00:00:00Z&to=9999-01-01T00:00:00Z&points_max=4294967295")
        self.assertEqual(far.status, 200)

    def test_prometheus_has_all_that_the_dashboard_shows(self):
        lab = self.lab
        lab.launch("web")
        api = Api(lab)

        def told():
            answer = api.get("/metrics")
            self.assertEqual(answer.status, 200)
            return answer.body.decode()
        wanted = set(re.findall(r"\bgantry_\w+", DASHBOARD.read_text()))
        # A guest that writes nothing has no time that a write took; this host has no network card.
        wanted -= {"gantry_vm_disk_write_milliseconds"} | {name for name in wanted if name.startswith("gantry_host_network_")}
        text = wait_until("all of them are told", lambda: wanted <= set(re.findall(r"^(\w+)\{", text := told(), re.M)) and text)
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [-+.\de]+)$')
        self.assertIn('gantry_vms{state="RUNNING"} 1\n', text)
        self.assertEqual(Api(lab, token="").get("/metrics").status, 401)


class MetricsOfManyHostsTest(unittest.TestCase):
    def test_a_host_that_joined_and_its_guest_are_seen_too(self):
        manager = Lab(["--link-listen", MANAGER_ADDRESS, "--link-port", "8444"])
        self.addCleanup(manager.close)
        beta = JoinedLab("beta")
        self.addCleanup(beta.close)
        connect(manager, beta)
        manager.start()
        joined = beta.join(manager.json("host", "token")["token"])
        self.assertEqual(joined.returncode, 0, joined.stderr)
        beta.start()
        wait_until("host beta has told of itself",
                   lambda: manager.json("host", "show", "beta")["status"].get("accelerator"))
        manager.gantry("host", "set", "beta", "--label", "for=web")
        made = Api(manager).post("/api/v1/vms", {
            "name": "web",
            "spec": {"memoryMib": 64, "disks": [{"create": {"capacityBytes": "1048576"}}], "hostLabels": {"for": "web"}}})
        self.assertEqual(made.status, 202, made.body)
        manager.wait_for_state("web", "RUNNING")

        def seen():
            top = manager.json("top")
            return ({entry["name"] for entry in top["hosts"]} == {"lab", "beta"}
                    and any(entry["host"] == "beta" and "memoryResidentBytes" in entry["sample"]["vm"] for entry in top["vms"]))
        wait_until("the manager has heard what both hosts and the guest use", seen)
        wait_until("it is in the history",
                   lambda: max(by_name(manager.json("metrics", "web"))["memory_resident_bytes"], default=0) > 0)


if __name__ == "__main__":
    unittest.main()
