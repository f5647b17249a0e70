"""Files of disks that are damaged or lost while their VM is stopped: the start fails and says which file and why, on the
task and on the VM; once the file is put right, the VM starts."""
import unittest

from lab import CommandFailed, Lab, run


class DamagedDiskTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab = Lab()
        cls.addClassCleanup(lab.close)
        lab.start()
        lab.import_test_guest()
        disk = lab.directory / "base.qcow2"
        run("qemu-img", "create", "-f", "qcow2", disk, "64M")
        run("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", disk)
        lab.gantry("image", "import", disk, "--name", "base")
        lab.gantry("volume", "create", "data", "--image", "base")
        lab.launch("broken", "--add-disk", "data", "--no-start")
        cls.overlay = lab.json("volume", "show", "data")["status"]["path"]
        cls.image = lab.json("image", "show", "base")["status"]["path"]

    def check(self, path, damage, code):
        lab = self.lab
        with open(path, "rb") as file:
            sound = file.read()
        damage(path)
        self.addCleanup(self.restore, path, sound)
        with self.assertRaises(CommandFailed) as failed:
            lab.gantry("start", "broken")
        said = failed.exception.stderr
        self.assertIn(path, said)
        self.assertIn("next:", said)
        task = [t for t in lab.json("task", "list")["items"] if t["action"] == "vm.start"][0]  # the newest
        for record in (lab.vm("broken")["status"], task):
            problem = record["problem"]
            self.assertEqual(problem["code"], code, problem)
            self.assertIn(path, problem["summary"] + problem["cause"])
            self.assertTrue(problem["nextStep"])
        self.assertEqual(lab.vm("broken")["status"]["state"], "FAILED")
        self.restore(path, sound)
        lab.gantry("start", "broken")
        lab.wait_for_state("broken", "RUNNING")
        self.assertFalse(lab.vm("broken")["status"].get("problem"))
        lab.gantry("stop", "broken", "--force")

    @staticmethod
    def restore(path, sound):
        with open(path, "wb") as file:
            file.write(sound)

    @staticmethod
    def overwrite(offset, size):
        def damage(path):
            with open(path, "r+b") as file:
                file.seek(offset)
                file.write(b"\xff" * size)
        return damage

    @staticmethod
    def remove(path):
        run("rm", path)

    def test_a_disk_whose_header_is_overwritten(self):
        self.check(self.overlay, self.overwrite(0, 512), "image_corrupt")

    def test_a_disk_whose_tables_are_nowhere(self):
        self.check(self.overlay, self.overwrite(40, 8), "image_corrupt")

    def test_a_disk_that_is_missing(self):
        self.check(self.overlay, self.remove, "volume_missing")

    def test_an_image_whose_header_is_overwritten(self):
        self.check(self.image, self.overwrite(0, 512), "image_corrupt")

    def test_an_image_whose_tables_are_nowhere(self):
        self.check(self.image, self.overwrite(40, 8), "image_corrupt")

    def test_an_image_that_is_missing(self):
        self.check(self.image, self.remove, "image_missing")


if __name__ == "__main__":
    unittest.main()
