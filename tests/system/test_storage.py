"""Full disks and damaged images: a clear error on the task and on the record, nothing half-made left."""
import os
import shutil
import subprocess
import unittest
from unittest import mock

from lab import CommandFailed, Lab, run, wait_until


class StorageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.lab.start()
        cls.small = cls.lab.directory / "small"
        cls.small.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", cls.small)
        cls.addClassCleanup(run, "umount", "-l", cls.small)
        cls.lab.gantry("pool", "create", "small", "--path", cls.small / "pool", "--overcommit", "10000")

    def test_a_full_disk_is_named_and_leaves_nothing(self):
        lab = self.lab
        disk = lab.directory / "big.raw"
        with open(disk, "wb") as file:
            for block in range(64):
                file.write(bytes([block + 1]) * (1 << 20))
        with self.assertRaises(CommandFailed) as failed:
            lab.gantry("image", "import", disk, "--name", "big", "--pool", "small")
        self.assertIn("next:", failed.exception.stderr)
        left = [p.name for p in (self.small / "pool").rglob("*") if p.is_file()]
        self.assertEqual(left, [])

    def test_a_damaged_image_is_refused(self):
        lab = self.lab
        disk = lab.directory / "bad.qcow2"
        run("qemu-img", "create", "-f", "qcow2", disk, "64M")
        with open(disk, "r+b") as file:
            file.seek(40)
            file.write(b"\xff" * 400)
        with self.assertRaises(CommandFailed) as failed:
            lab.gantry("image", "import", disk, "--name", "bad")
        self.assertIn("image", failed.exception.stderr)

    def test_an_image_that_points_outside_is_refused(self):
        lab = self.lab
        disk = lab.directory / "thief.qcow2"
        run("qemu-img", "create", "-f", "qcow2", "-u", "-b", "/etc/shadow", "-F", "raw", disk, "1M")
        with self.assertRaises(CommandFailed) as failed:
            lab.gantry("image", "import", disk, "--name", "thief")
        self.assertIn("points at another file", failed.exception.stderr)

    def test_a_missing_disk_is_told_on_the_vm(self):
        lab = self.lab
        lab.gantry("volume", "create", "data", "--size", "64M")
        lab.import_test_guest()
        lab.launch("lost", "--add-disk", "data", "--no-start")
        path = lab.json("volume", "show", "data")["status"]["path"]
        run("rm", path)
        with self.assertRaises(CommandFailed):
            lab.gantry("start", "lost")
        problem = lab.vm("lost")["status"]["problem"]
        self.assertIn("data", problem["summary"] + problem["cause"])
        lab.gantry("delete", "lost", "--yes")
        lab.gantry("volume", "delete", "data")


class UnmountedPoolTest(unittest.TestCase):
    def test_a_pool_waits_for_its_file_system(self):
        lab = Lab()
        self.addCleanup(lab.close)
        disks = lab.directory / "disks"
        disks.mkdir()
        point = lab.directory / "point"
        point.mkdir()
        run("mount", "--bind", disks, point)
        self.addCleanup(subprocess.run, ["umount", "-l", point], check=False, capture_output=True)
        lab.start()
        lab.gantry("pool", "create", "late", "--path", point)
        lab.gantry("volume", "create", "data", "--size", "64M", "--pool", "late")
        lab.stop_daemon()
        run("umount", point)
        # Twice: the first start without it must not make the second forget that it was there.
        for _ in range(2):
            lab.start()
            status = wait_until("it is looked for in vain", lambda: (
                (found := lab.json("pool", "show", "late")["status"]).get("state") == "FAILED" and found))
            self.assertEqual(status["problem"]["code"], "pool_unusable")
            self.assertEqual(list(point.iterdir()), [])
            lab.stop_daemon()
        lab.start()
        run("mount", "--bind", disks, point)
        for kind, name in (("pool", "late"), ("volume", "data")):
            wait_until("it is found again", lambda k=kind, n=name: lab.json(k, "show", n)["status"]["state"] == "READY")
        lab.gantry("volume", "delete", "data")


class HungStorageTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.hangs = self.lab.directory / "hangs"
        programs = self.lab.directory / "bin"
        programs.mkdir()
        (programs / "qemu-img").write_text(
            f'#!/bin/sh\nwhile [ -e {self.hangs} ]; do sleep 0.1; done\nexec {shutil.which("qemu-img")} "$@"\n')
        (programs / "qemu-img").chmod(0o755)
        with mock.patch.dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}"):
            self.lab.start()

    def test_a_file_system_that_hangs_holds_up_no_kill_and_no_network(self):
        lab = self.lab
        lab.import_test_guest()
        lab.launch("healthy")
        self.hangs.touch()
        for number in range(8):
            lab.gantry("volume", "create", f"stuck{number}", "--size", "64M", "--no-wait")
        stuck = wait_until("every worker of the storage hangs",
                           lambda: (found := set(lab.processes("qemu-img create"))) and len(found) >= 4 and found)
        lab.gantry("stop", "healthy", "--force")
        lab.gantry("network", "create", "other")
        self.assertLess(set(), stuck & set(lab.processes("qemu-img create")), "it was not held up until they were ended")
        self.hangs.unlink()
        for number in range(8):
            wait_until("the volume is made", lambda n=number: lab.json("volume", "show", f"stuck{n}")["status"]["state"] == "READY")


if __name__ == "__main__":
    unittest.main()
