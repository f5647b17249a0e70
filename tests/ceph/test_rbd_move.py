"""A guest with its disk in a real Ceph, and three machines: it goes from one to another while it runs, and whatever breaks,
one guest alone writes to the disk."""
import os
import re
import signal
import unittest

from rbd_lab import Ceph, CephPool, add_user, wait_until
import test_move
from test_shared_pool import MANAGER_ADDRESS


class RbdGuest(test_move.CountingGuest):
    """`mover` runs on beta and counts on a disk in Ceph, where its lease is too. Its kernel is in a shared directory."""

    disks = ("16M,pool=ceph",)
    # Those that have the pool; empty: all.
    hosts_with_ceph = ()

    def before_launch(self):
        self.ceph = Ceph(self.manager.directory / "ceph", MANAGER_ADDRESS, self.manager.enter)
        self.addCleanup(self.ceph.stop)
        self.ceph.start()
        add_user(self.ceph, "vms", "pool=rbd")
        self.ceph_pool = CephPool(self.ceph, user="vms")
        self.ceph_pool.create(self.manager, *[word for name in self.hosts_with_ceph for word in ("--host", name)])
        wait_until("the hosts have the pool", lambda: self.hosts_ready() == set(self.hosts_with_ceph or self.labs))

    def hosts_ready(self):
        names = {h["meta"]["id"]: h["meta"]["name"] for h in self.manager.json("host", "list")["items"]}
        pool = self.manager.json("pool", "show", "ceph")
        return {names[h["hostId"]] for h in pool["status"].get("hosts", []) if h.get("state") == "READY"}

    def volume(self):
        return self.manager.json("volume", "show", self.manager.vm("mover")["spec"]["disks"][0]["volume"])

    def kept(self):
        volume = self.volume()
        path = volume["status"]["path"]
        if path.startswith("rbd:"):
            text = self.ceph_pool.read(volume["meta"]["id"], 0, 512)
        else:
            with open(path, "rb") as disk:
                text = disk.read(512)
        return int(re.match(rb"kept (\d+)\n", text).group(1))


class RbdMoveTest(RbdGuest):
    def test_it_moves_and_loses_nothing(self):
        self.assertEqual(self.manager.vm("mover")["spec"]["leasePool"],
                         self.manager.json("pool", "show", "ceph")["meta"]["id"])
        for source, target in (("beta", "gamma"), ("gamma", "lab"), ("lab", "beta")):
            before = self.wait_for_count(source, 1)
            self.manager.gantry("move", "mover", target)
            self.assert_it_runs_on(target)
            counts = self.counts(target)
            self.assertGreater(counts[0], before)
            self.assertEqual(counts, list(range(counts[0], counts[-1] + 1)))
        self.manager.gantry("delete", "mover")
        self.assertEqual(self.ceph_pool.images(), [])

    def test_the_agent_of_the_target_is_killed(self):
        task = self.begin_slowly("gamma", "4M")
        self.hosts["gamma"].kill_daemon()
        self.hosts["gamma"].start()
        self.assert_it_ended_well(task)

    def test_its_process_is_killed_and_the_next_has_the_disk(self):
        """Ceph takes the one that died for alive at first: the next takes its lock away."""
        self.wait_for_count("beta", 3)
        (qemu,) = self.qemus("beta", self.vm_id)
        os.kill(qemu, signal.SIGKILL)
        self.manager.wait_for_state("mover", "CRASHED")
        self.manager.gantry("start", "mover")
        where = self.manager.wait_for_state("mover", "RUNNING") and self.where("mover")
        self.wait_for_count(where, 3)
        self.assertGreaterEqual(self.kept(), 1)

    def test_a_host_dies_and_begins_again(self):
        """As by a loss of power: all of it at once."""
        beta = self.hosts["beta"]
        beta.kill_daemon()
        for pid in beta.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.wait_for_host("beta", "LOST")
        beta.start()
        self.wait_for_host("beta", "CONNECTED")
        vm = wait_until("it is known what became of the guest", lambda: (
            (vm := self.manager.vm("mover"))["status"]["state"] in ("RUNNING", "CRASHED", "STOPPED") and vm))
        if vm["status"]["state"] != "RUNNING":
            self.manager.gantry("start", "mover")
        where = self.manager.wait_for_state("mover", "RUNNING") and self.where("mover")
        self.wait_for_count(where, 3)


class RbdDiskMoveTest(RbdGuest):
    hosts_with_ceph = ("beta", "lab")

    def test_its_disk_goes_with_it_to_a_host_without_ceph_and_back(self):
        self.manager.gantry("move", "mover", "gamma")
        self.assert_it_runs_on("gamma")
        self.assertTrue(self.volume()["status"]["path"].startswith("/"))
        self.manager.gantry("move", "mover", "beta", "--pool", "ceph")
        self.assert_it_runs_on("beta")
        self.assertTrue(self.volume()["status"]["path"].startswith("rbd:"))


if __name__ == "__main__":
    unittest.main()
