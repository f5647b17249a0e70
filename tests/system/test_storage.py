"""Full disks and damaged images: a clear error on the task and on the record, nothing half-made left."""
import unittest

from lab import CommandFailed, Lab, run


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


if __name__ == "__main__":
    unittest.main()
