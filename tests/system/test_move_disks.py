"""A guest whose disks only its host reaches goes to another machine with them, and whatever breaks on the way, nothing of
them is lost and nothing is left behind."""
import hashlib
import os
import pathlib
import re
import shutil
import signal
import tempfile
import unittest

from lab import run, wait_until
import test_move

DATA_MIB = 24


def checksum(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


class GuestWithDisks(test_move.CountingGuest):
    # What it counts on, what was written before it came to be, and one of another format.
    disks = ("16M,format=raw", "data", "8M")

    def setUp(self):
        # Here and not later: the daemons see mounts that were there before them.
        self.small = pathlib.Path(tempfile.mkdtemp(prefix="gantry-lab-small-"))
        self.addCleanup(os.rmdir, self.small)
        self.small.chmod(0o755)
        run("mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", self.small)
        self.addCleanup(run, "umount", "-l", self.small)
        super().setUp()

    def before_launch(self):
        pools = self.manager.json("pool", "list")["items"]
        self.pools = {host["meta"]["name"]: next(
            pool["meta"]["name"] for pool in pools if pool["spec"].get("hostId") == host["meta"]["id"])
            for host in self.manager.json("host", "list")["items"]}
        self.manager.gantry("volume", "create", "data", "--size", f"{DATA_MIB}M", "--format", "raw", "--pool", self.pools["beta"])
        path = self.manager.json("volume", "show", "data")["status"]["path"]
        with open(path, "r+b") as disk:
            disk.write(os.urandom(DATA_MIB << 20))
        self.checksum = checksum(path)

    def files(self, host):
        """Whatever is in that host's own pools."""
        folders = [self.labs[host].state / "pools", *([self.small] if host == "gamma" else [])]
        return sorted(os.path.join(folder, name) for top in folders for folder, _, names in os.walk(top) for name in names
                      if name.startswith("vol-") or name.startswith("vm-"))

    def assert_its_disks_are(self, host):
        """They alone, as they were, under their names."""
        volumes = {v["meta"]["name"]: v for v in wait_until("no volume is on its way", self.settled_volumes)}
        disks = [disk["volume"] for disk in self.manager.vm("mover")["spec"]["disks"]]
        names = ("mover-disk0", "data", "mover-disk2")
        self.assertEqual([volumes[name]["meta"]["id"] for name in names], disks)
        self.assertEqual(set(volumes), set(names))
        for volume in volumes.values():
            self.assertTrue(os.path.exists(volume["status"]["path"]), volume)
        self.assertEqual(checksum(volumes["data"]["status"]["path"]), self.checksum)
        for other in self.labs:
            if other != host:
                wait_until(f"no file of it is left on {other}", lambda: not self.files(other))

    def settled_volumes(self):
        volumes = self.manager.json("volume", "list")["items"]
        settled = all(v["status"]["state"] == "READY" and not v["spec"].get("copyOf") for v in volumes)
        return volumes if settled and len(volumes) == len(self.disks) else None

    def assert_it_runs_on(self, host):
        super().assert_it_runs_on(host)
        self.assert_its_disks_are(host)

    def begin_copying(self, *arguments):
        task = self.manager.gantry("move", "mover", "gamma", "--bandwidth", "4M", "--no-wait", *arguments).strip()
        self.assertEqual(self.vm_that_moves()["status"]["move"]["progress"]["phase"], "copying disks")
        return task

    def assert_it_failed(self, task, word):
        ended = self.assert_it_ended_well(task)
        self.assertEqual(ended["state"], "FAILED")
        self.assertIn(word, ended["problem"]["summary"] + ended["problem"]["cause"])


class BackToASharedPoolTest(test_move.CountingGuest):
    """Its disk and its lease are where gamma does not reach them."""
    disks = ("16M,format=raw,pool=part",)

    def before_launch(self):
        self.part = pathlib.Path(tempfile.mkdtemp(prefix="gantry-lab-part-"))
        self.addCleanup(shutil.rmtree, self.part, True)
        self.part.chmod(0o755)
        self.manager.gantry("pool", "create", "part", "--shared", "--path", self.part, "--host", "lab", "--host", "beta")
        wait_until("both have it", lambda: [host.get("state") for host in self.manager.json("pool", "show", "part")[
            "status"].get("hosts", [])] == ["READY", "READY"])

    def test_it_goes_and_comes_back(self):
        self.manager.gantry("move", "mover", "gamma")
        self.assert_it_runs_on("gamma")
        self.assertFalse(self.disk_path(0).startswith(str(self.part)))
        self.manager.gantry("move", "mover", "beta", "--pool", "part")
        self.assert_it_runs_on("beta")
        self.assertTrue(self.disk_path(0).startswith(str(self.part)))


class DisksMoveTest(GuestWithDisks):
    def test_its_disks_go_with_it_and_back(self):
        manager = self.manager
        known = self.serials("beta")
        planned = manager.gantry("move", "mover", "gamma", "--dry-run")
        self.assertIn(f"copy volume data ({DATA_MIB} MiB) to pool {self.pools['gamma']} on host gamma", planned)
        self.assertEqual(len(manager.json("volume", "list")["items"]), len(self.disks))
        for source, target in (("beta", "gamma"), ("gamma", "beta")):
            before = self.wait_for_count(source, 1)
            said = manager.gantry("move", "mover", target)
            self.assertRegex(said, r"moved in [\d.]+ m?s, of which the guest stood still for [\d.]+ m?s")
            self.assert_it_runs_on(target)
            counts = self.counts(target)
            self.assertGreater(counts[0], before)
            self.assertEqual(counts, list(range(counts[0], counts[-1] + 1)), "the console lost something")
        manager.gantry("move", "mover", "gamma", "--pool", "shared")
        self.assert_it_runs_on("gamma")
        self.assertTrue(self.disk_path(0).startswith(str(self.shared)))
        # Another boot finds them, under the serial numbers that it knew.
        manager.gantry("restart", "mover", "--force")
        self.boot_id = manager.wait_for_state("mover", "RUNNING")["status"]["bootId"]
        self.assert_it_runs_on("gamma")
        self.assertEqual(self.serials("gamma"), known)
        manager.gantry("delete", "mover")
        manager.gantry("volume", "delete", "data")
        for host in self.labs:
            self.assertEqual(self.left_on(host, self.vm_id) + self.files(host), [])
        self.assertEqual(os.listdir(self.shared / "leases"), [])

    def serials(self, host):
        return re.search(r"serials (vol-.*) end", self.console(host)).group(1)

    def test_a_full_pool_at_the_target_leaves_everything_where_it_is(self):
        self.manager.gantry("pool", "create", "small", "--path", self.small / "pool", "--host", "gamma", "--overcommit", "10000")
        before = self.wait_for_count("beta", 1)
        task = self.manager.gantry("move", "mover", "gamma", "--pool", "small", "--no-wait").strip()
        self.assert_it_failed(task, "No space left")
        counts = self.counts("beta")
        self.assertGreater(counts[-1], before)
        self.assertEqual(counts, list(range(counts[0], counts[-1] + 1)))
        # It may go elsewhere all the same.
        self.manager.gantry("move", "mover", "gamma")
        self.assert_it_runs_on("gamma")

    def test_the_process_at_the_target_is_killed(self):
        task = self.begin_copying()
        for pid in self.qemus("gamma", self.vm_id):
            os.kill(pid, signal.SIGKILL)
        self.assert_it_failed(task, "")

    def test_the_agent_of_the_source_is_killed(self):
        task = self.begin_copying()
        self.hosts["beta"].kill_daemon()
        self.hosts["beta"].start()
        self.assert_it_ended_well(task)

    def test_the_agent_of_the_target_is_killed(self):
        task = self.begin_copying()
        self.hosts["gamma"].kill_daemon()
        self.hosts["gamma"].start()
        self.assert_it_ended_well(task)

    def test_the_manager_is_killed(self):
        task = self.begin_copying()
        self.manager.kill_daemon()
        self.manager.start()
        self.assert_it_ended_well(task)

    def test_a_cancelled_move_leaves_no_copy(self):
        task = self.begin_copying()
        for arguments in (("volume", "resize", "data", "--size", "64M"), ("volume", "delete", "data")):
            self.assertIn("data", self.refused(*arguments).stderr)
        self.manager.gantry("task", "cancel", task)
        self.assertEqual(self.wait_for_end(task)["state"], "CANCELLED")
        self.assert_it_runs_on("beta")


if __name__ == "__main__":
    unittest.main()
