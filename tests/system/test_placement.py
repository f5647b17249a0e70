"""Placement over two machines: rules, labels, processors, maintenance, and what is told of it."""
import pathlib
import unittest

from api import Api
from lab import CommandFailed, Lab, wait_until
from test_join import MANAGER_ADDRESS, HOST_ADDRESS, JoinedLab, connect


class PlacementTest(unittest.TestCase):
    def setUp(self):
        self.manager = Lab(["--link-listen", MANAGER_ADDRESS, "--link-port", "8444"])
        self.addCleanup(self.manager.close)
        self.beta = JoinedLab("beta")
        self.addCleanup(self.beta.close)
        connect(self.manager, self.beta)
        self.manager.start()
        joined = self.beta.join(self.manager.json("host", "token")["token"])
        self.assertEqual(joined.returncode, 0, joined.stderr)
        self.beta.start()
        wait_until("host beta is connected and has told of itself", lambda: self.host("beta")["status"].get("accelerator"))

    def host(self, name):
        return self.manager.json("host", "show", name)

    def ids(self):
        return {h["meta"]["id"]: h["meta"]["name"] for h in self.manager.json("host", "list")["items"]}

    def make(self, name, **spec):
        """A VM that is bound to no host: it has a blank disk and no image. Its firmware finds nothing to boot, and runs."""
        labels = spec.pop("labels", {})
        answer = Api(self.manager).post("/api/v1/vms", {
            "name": name, "labels": labels,
            "spec": {"memoryMib": 64, "disks": [{"create": {"capacityBytes": "1048576"}}], **spec}})
        self.assertEqual(answer.status, 202, answer.body)
        self.manager.gantry("task", "wait", answer.json()["task"]["meta"]["id"])
        return answer.json()["task"]

    def where(self, name):
        return self.ids()[self.manager.vm(name)["placement"]["hostId"]]

    def qemu_of(self, name):
        vm = self.manager.vm(name)
        lab = self.manager if self.where(name) == "lab" else self.beta
        lines = [pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in lab.processes(vm["meta"]["id"])]
        return next(line for line in lines if "-cpu" in line)

    def test_a_rule_keeps_two_apart_and_the_explanation_says_so(self):
        manager = self.manager
        manager.gantry("rule", "create", "spread", "--kind", "apart", "--vm-label", "tier=db")
        task = self.make("db1", labels={"tier": "db"})
        self.assertEqual({c["hostName"] for c in task["plan"]["placement"]["candidates"]}, {"lab", "beta"})
        self.make("db2", labels={"tier": "db"})
        first, second = self.where("db1"), self.where("db2")
        self.assertEqual({first, second}, {"lab", "beta"})
        for name in ("db1", "db2"):
            manager.wait_for_state(name, "RUNNING")
            self.assertIn("max", self.qemu_of(name))
        said = manager.gantry("explain", "db1")
        self.assertIn(f"VM db1 is on host {first}", said)
        self.assertIn('rule "spread" keeps it apart from VM "db2"', said)
        refused = Api(manager).post("/api/v1/vms?dry_run=true", {
            "name": "db3", "labels": {"tier": "db"},
            "spec": {"memoryMib": 64, "disks": [{"create": {"capacityBytes": "1048576"}}]}})
        self.assertEqual(refused.status, 409)
        self.assertEqual(refused.json()["code"], "no_host_fits")
        self.assertIn('VM "db1"', refused.json()["cause"])
        # What comes later warns of what runs, and binds its next start.
        warned = manager.gantry("rule", "create", "away", "--kind", "not-on-hosts", "--vm", "db1", "--host", first,
                                "--dry-run")
        self.assertIn(f"stays on host {first}", warned)
        manager.gantry("rule", "create", "away", "--kind", "not-on-hosts", "--vm", "db1", "--host", first)
        manager.wait_for_state("db1", "RUNNING")
        manager.gantry("stop", "--force", "db1")
        with self.assertRaises(CommandFailed) as failed:
            manager.gantry("start", "db1")
        self.assertEqual(failed.exception.code, 4)
        self.assertIn('rule "away" keeps it off this host', failed.exception.stderr)
        manager.gantry("rule", "delete", "away")
        manager.gantry("start", "db1")

    def test_labels_and_processors_choose_the_host(self):
        manager = self.manager
        facts = self.host("beta")["status"]
        self.assertEqual(facts["address"], HOST_ADDRESS)
        self.assertIn("qemu64", facts["cpuModels"])
        self.assertNotIn("max", facts["cpuModels"])
        self.assertGreater(sum(node["cpus"] for node in facts["numaNodes"]), 0)
        self.assertEqual(self.host("lab")["status"]["address"], MANAGER_ADDRESS)
        manager.gantry("host", "set", "beta", "--label", "disk=ssd")
        self.make("fast", hostLabels={"disk": "ssd"}, cpuModel="Nehalem")
        self.assertEqual(self.where("fast"), "beta")
        self.assertIn("Nehalem,enforce", self.qemu_of("fast"))
        self.assertIn("it has no label disk=ssd", manager.gantry("explain", "fast"))
        manager.gantry("set", "fast", "--no-cpu-model")
        manager.gantry("restart", "--force", "fast")
        self.assertNotIn("Nehalem,enforce", self.qemu_of("fast"))

    def test_nothing_is_placed_or_started_in_maintenance(self):
        manager = self.manager
        self.make("a", host="beta")
        planned = manager.gantry("host", "maintenance", "beta", "--dry-run")
        self.assertIn("VM a stays", planned)
        task = manager.gantry("host", "maintenance", "beta", "--no-wait").strip()
        manager.gantry("stop", "--force", "a")
        manager.gantry("task", "wait", task)
        self.assertIn("(maintenance)", manager.gantry("host", "list"))
        with self.assertRaises(CommandFailed) as refused:
            manager.gantry("start", "a")
        self.assertIn("it is in maintenance", refused.exception.stderr)
        for name in ("b", "c"):
            self.make(name)
            self.assertEqual(self.where(name), "lab")
        manager.gantry("host", "maintenance", "beta", "--end")
        manager.gantry("start", "a")


if __name__ == "__main__":
    unittest.main()
