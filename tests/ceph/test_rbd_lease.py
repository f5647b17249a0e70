"""A real guest whose disk and lease are in a real Ceph: it outlives a Ceph that is away, and its own sentinel."""
import os
import pathlib
import signal
import unittest

from rbd_lab import Ceph, CephPool, Lab, boot_disk, wait_until


def state_of(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class RbdLeaseTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.ceph = Ceph(self.lab.directory / "ceph", enter=self.lab.enter)
        self.addCleanup(self.ceph.stop)
        self.ceph.start()
        self.lab.start()
        self.pool = CephPool(self.ceph)
        self.pool.create(self.lab)
        self.lab.gantry("image", "import", boot_disk(self.lab.directory / "boot.raw"), "--name", "boot", "--pool", "ceph")
        self.lab.gantry("launch", "boot", "--name", "web", "--pool", "ceph", "--memory", "64M", "--no-ssh-key")
        self.lab.wait_for_console("web", "B")
        self.vm_id = self.lab.vm("web")["meta"]["id"]
        (self.qemu,) = self.lab.processes(f"guest={self.vm_id}")

    def lease(self):
        return self.lab.vm("web")["status"].get("lease", {})

    def make_it_write(self, count):
        self.lab.type_at_console("web", "w")
        wait_until("it wrote", lambda: self.lab.console_log("web").count("W") == count)

    def assert_nothing_was_lost(self):
        self.assertEqual(self.lab.processes(f"guest={self.vm_id}"), [self.qemu])
        self.assertEqual(self.lab.console_log("web").count("B"), 1)
        self.assertEqual(self.ceph.json("ceph", "osd", "blocklist", "ls"), [])

    def test_while_ceph_is_away_it_stands_still_and_then_goes_on(self):
        self.make_it_write(1)
        self.ceph.kill_daemon("osd")
        wait_until("it stands still", lambda: self.lease().get("state") == "LAPSED")
        self.assertIn("did not answer in time", self.lease()["reason"])
        wait_until("its process is frozen", lambda: state_of(self.qemu) == "T")
        self.ceph.start_daemon("osd")
        wait_until("it goes on", lambda: self.lease().get("state") == "HELD")
        self.make_it_write(2)
        self.assert_nothing_was_lost()

    def test_both_processes_of_the_sentinel_die_and_others_go_on(self):
        self.make_it_write(1)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in self.lab.processes("gantry-sentinel"):
                os.kill(pid, number)
        wait_until("its process is frozen", lambda: state_of(self.qemu) == "T")
        wait_until("it goes on", lambda: state_of(self.qemu) != "T" and self.lease().get("state") == "HELD")
        self.make_it_write(2)
        self.assert_nothing_was_lost()

    def test_its_record_goes_with_it(self):
        self.assertIn(f"gantry.lease.{self.vm_id}", self.pool.objects())
        self.lab.gantry("stop", "web", "--force")
        self.lab.gantry("start", "web")
        self.lab.wait_for_state("web", "RUNNING")
        self.lab.gantry("stop", "web", "--force")
        self.lab.gantry("delete", "web")
        self.assertNotIn(f"gantry.lease.{self.vm_id}", self.pool.objects())


if __name__ == "__main__":
    unittest.main()
