"""Records in etcd: managers that lead and stand by, killed and cut off; a move from one machine's own records. Whatever
happens, guests run on, and no accepted change is lost or made twice."""
import re
import signal
import subprocess
import threading
import unittest

from etcd_lab import GANTRYD, Cluster, Etcd, ManagerLab, alone
from lab import CommandFailed, Lab, wait_until

LOOPBACK = "127.0.0.1"


def process_of(lab, vm_id):
    found = lab.processes("guest=" + vm_id)
    if len(found) != 1:
        raise AssertionError(f"{len(found)} processes of {vm_id}")
    return found[0]


class Changes(threading.Thread):
    """Makes network after network with whoever leads, and knows which were accepted."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.accepted = []
        self.tried = 0
        self.stopping = False

    def run(self):
        while not self.stopping:
            for lab in self.cluster.machines:
                name = f"extra-{self.tried}"
                self.tried += 1
                try:
                    lab.gantry("network", "create", name, "--kind", "user", "--no-wait")
                    self.accepted.append(name)
                except CommandFailed:
                    continue

    def wait_for(self, count):
        wanted = len(self.accepted) + count
        wait_until(f"{count} more changes are accepted", lambda: len(self.accepted) >= wanted)

    def stop(self):
        self.stopping = True
        self.join()


class ManagersTest(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(self)
        self.cluster.start()

    def launch(self):
        """A guest on m0 while another machine's manager leads: that manager, the VM's id, its process."""
        first = self.cluster.machines[0]
        first.import_test_guest()
        first.launch("web")
        first.wait_for_console("web", "gantry-test-guest ready")
        vm_id = first.vm("web")["meta"]["id"]
        process = process_of(first, vm_id)
        leader = self.cluster.hand_over()
        self.assertEqual(process_of(first, vm_id), process)
        return leader, vm_id, process

    def others(self, leader):
        return [lab for lab in self.cluster.machines if lab is not leader]

    def check_changes(self, leader, changes):
        """Each accepted one was made, once, and its task has ended well."""
        def ended():
            return all(t["state"] in ("SUCCEEDED", "FAILED", "CANCELLED") for t in leader.json("task", "list")["items"])
        wait_until("all tasks have ended", ended)
        networks = [n["meta"]["name"] for n in leader.json("network", "list")["items"]]
        self.assertEqual(len(networks), len(set(networks)))
        tasks = {}
        for task in leader.json("task", "list")["items"]:
            tasks.setdefault(task["targetName"], []).append(task["state"])
        for name in changes.accepted:
            self.assertIn(name, networks)
            self.assertEqual(tasks[name], ["SUCCEEDED"], name)
        for name in networks:
            self.assertLessEqual(len(tasks.get(name, [])), 1, name)

    def test_a_killed_leader_is_followed_while_changes_go_on(self):
        leader, vm_id, process = self.launch()
        first = self.cluster.machines[0]
        changes = Changes(self.cluster)
        changes.start()
        self.addCleanup(changes.stop)
        changes.wait_for(5)
        for _ in range(2):
            leader.kill_daemon()
            killed = leader
            leader, seconds = self.cluster.wait_for_leader(self.others(killed))
            print(f"another manager leads {seconds:.1f} s after the leader was killed", flush=True)
            changes.wait_for(5)
            wait_until("m0 is connected to it", lambda: leader.host_state("m0") == "CONNECTED")
            killed.start()
            wait_until("the killed one stands by", lambda one=killed: "leader is" in one.refusal())
        changes.stop()
        self.check_changes(leader, changes)
        self.assertEqual(process_of(first, vm_id), process)
        # Only a manager that hears m0, and is heard, can do that.
        leader.gantry("stop", "web", "--force")
        leader.wait_for_state("web", "STOPPED")

    def test_a_leader_that_is_cut_off_or_stands_still_leads_no_more(self):
        leader, vm_id, process = self.launch()
        first = self.cluster.machines[0]
        if leader is first:
            raise AssertionError("the guest's own machine leads")
        self.cluster.cut_off(leader)
        new, seconds = self.cluster.wait_for_leader(self.others(leader))
        print(f"another manager leads {seconds:.1f} s after the leader was cut off", flush=True)
        wait_until("the old one knows", lambda: "leads no more" in leader.log_tail())
        self.cluster.plug_in(leader)
        wait_until("the old one stands by", lambda: "leader is" in leader.refusal())
        wait_until("m0 is connected", lambda: new.host_state("m0") == "CONNECTED")

        still = new
        # Before its lab is closed, whatever becomes of this test.
        self.addCleanup(lambda: still.daemon.send_signal(signal.SIGCONT))
        still.daemon.send_signal(signal.SIGSTOP)
        new, seconds = self.cluster.wait_for_leader(self.others(still))
        print(f"another manager leads {seconds:.1f} s after the leader was stopped", flush=True)
        # The host it is to be on stands still as well.
        new.gantry("network", "create", "after", "--kind", "user", "--no-wait")
        still.daemon.send_signal(signal.SIGCONT)
        wait_until("the one that stood still stands by", lambda: "leader is" in still.refusal())
        self.assertIn("after", new.gantry("network", "list"))
        self.assertEqual(process_of(first, vm_id), process)

    def test_changes_go_on_while_one_etcd_node_is_away(self):
        first = self.cluster.machines[0]
        changes = Changes(self.cluster)
        changes.start()
        self.addCleanup(changes.stop)
        changes.wait_for(3)
        for node in self.cluster.nodes:
            node.kill()
            changes.wait_for(3)
            node.start()
            changes.wait_for(3)
        changes.stop()
        leader = wait_until("a manager leads", self.cluster.leader)
        self.check_changes(leader, changes)
        wait_until("m0 is connected", lambda: leader.host_state("m0") == "CONNECTED")
        self.assertIsNone(first.daemon.poll())


class OneManagerTest(unittest.TestCase):
    def setUp(self):
        self.lab = ManagerLab(["--store", f"etcd://{LOOPBACK}:2379", "--host-name", "lab"])
        self.addCleanup(self.lab.close)
        self.etcd = Etcd(self.lab, host=LOOPBACK)
        self.addCleanup(self.etcd.kill)

    def wait_until_it_serves(self):
        wait_until("gantryd serves", lambda: self.lab.leads() and self.lab.host_state("lab") == "CONNECTED")

    def test_guests_run_on_while_etcd_is_away(self):
        lab = self.lab
        # It waits for its store, and says so.
        lab.start()
        wait_until("it says what it waits for", lambda: f"{LOOPBACK}:2379" in lab.refusal())
        self.etcd.start()
        self.wait_until_it_serves()
        self.assertFalse((lab.state / "gantry.db").exists())
        lab.import_test_guest()
        lab.launch("web")
        lab.wait_for_console("web", "gantry-test-guest ready")
        vm = lab.vm("web")
        process = process_of(lab, vm["meta"]["id"])

        self.etcd.kill()
        wait_until("it leads no more", lambda: "no manager is known to lead" in lab.refusal())
        self.etcd.start()
        self.wait_until_it_serves()
        self.assertEqual(process_of(lab, vm["meta"]["id"]), process)

        # A daemon that dies meanwhile finds its guest without its store.
        self.etcd.kill()
        lab.kill_daemon()
        lab.start()
        wait_until("it waits", lambda: f"{LOOPBACK}:2379" in lab.refusal())
        self.etcd.start()
        self.wait_until_it_serves()
        self.assertEqual(process_of(lab, vm["meta"]["id"]), process)
        self.assertEqual(lab.wait_for_state("web", "RUNNING")["status"]["bootId"], vm["status"]["bootId"])
        lab.gantry("stop", "web", "--force")
        lab.wait_for_state("web", "STOPPED")

    def test_a_store_that_falls_silent_as_it_begins_to_lead_does_not_end_it(self):
        lab = self.lab
        self.etcd.start()
        lab.start()
        # It leads, and has yet to read its users.
        wait_until("it begins to lead", lambda: "listening for hosts" in lab.log_tail(), pause_max=0.002)
        self.etcd.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.etcd.process.send_signal, signal.SIGCONT)
        wait_until("it has noticed", lambda: re.search("does not lead after all|leads no more", lab.log_tail()))
        self.etcd.process.send_signal(signal.SIGCONT)
        self.wait_until_it_serves()
        self.assertIsNone(lab.daemon.poll())

    def test_wrong_options_are_told(self):
        for options, part in ((["--store", "etcd://nowhere"], "nowhere"), (["--store", "mysql://a:1"], "etcd://"),
                              (["--store", f"etcd://{LOOPBACK}:2379", "--store-ca", "/nonexistent.pem"],
                               "/nonexistent.pem")):
            code, complaint = alone(self.lab, *options)
            self.assertEqual(code, 1, complaint)
            self.assertIn(part, complaint)
            self.assertIn("next: ", complaint)
        for options in (["--store-ca", "/x"], ["--store", f"etcd://{LOOPBACK}:2379", "--store-key", "/x"],
                        ["--store", f"etcd://{LOOPBACK}:2379", "--link-port", "0"], ["migrate-store"]):
            self.assertEqual(alone(self.lab, *options)[0], 2)


class StoreMoveTest(unittest.TestCase):
    def test_records_move_to_etcd_while_a_guest_runs(self):
        lab = Lab()
        self.addCleanup(lab.close)
        etcd = Etcd(lab, host=LOOPBACK)
        self.addCleanup(etcd.kill)
        store = f"etcd://{LOOPBACK}:2379"
        lab.start()
        lab.import_test_guest()
        lab.launch("web")
        lab.wait_for_console("web", "gantry-test-guest ready")
        for i in range(30):
            lab.gantry("network", "create", f"extra-{i}", "--kind", "user", "--no-wait")
        vm = lab.vm("web")
        process = process_of(lab, vm["meta"]["id"])
        code, complaint = alone(lab, "migrate-store", "--store", store)
        self.assertEqual(code, 1)
        self.assertIn("another gantryd", complaint)
        before = lab.json("network", "list")
        lab.stop_daemon()
        etcd.start()
        code, complaint = alone(lab, "--store", store)
        self.assertEqual(code, 1)
        self.assertIn("migrate-store", complaint)

        def migrate(*options):
            return subprocess.run(
                [*lab.enter, GANTRYD.replace("gantryd", "gantry"), "admin", "migrate-store", "--store", store,
                 "--state-dir", str(lab.state), *options], capture_output=True, text=True, check=False)
        plan = migrate("--dry-run")
        self.assertEqual(plan.returncode, 0, plan.stderr)
        self.assertIn("records", plan.stdout)
        # Killed at whatever moment, it goes on where it was; the last one finishes.
        for moment in (0.05, 0.1, 0.15, 0.2, 0.25):
            mover = subprocess.Popen([*lab.enter, GANTRYD, "migrate-store", "--store", store, "--state-dir",
                                      str(lab.state)], stdout=lab.log, stderr=lab.log)
            try:
                mover.wait(moment)
            except subprocess.TimeoutExpired:
                mover.kill()
                mover.wait()
        moved = migrate()
        self.assertTrue(moved.returncode == 0 or "moved before" in moved.stderr, moved.stderr)
        code, complaint = alone(lab)
        self.assertEqual(code, 1)
        self.assertIn(store, complaint)
        self.assertEqual(process_of(lab, vm["meta"]["id"]), process)

        lab.daemon_options = ["--store", store]
        lab.start()
        self.assertEqual(process_of(lab, vm["meta"]["id"]), process)
        self.assertEqual(lab.wait_for_state("web", "RUNNING")["status"]["bootId"], vm["status"]["bootId"])
        after = lab.json("network", "list")
        self.assertEqual([n["meta"]["id"] for n in after["items"]], [n["meta"]["id"] for n in before["items"]])
        lab.gantry("stop", "web", "--force")
        lab.wait_for_state("web", "STOPPED")


if __name__ == "__main__":
    unittest.main()
