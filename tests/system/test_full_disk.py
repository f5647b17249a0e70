"""A pool whose file system fills while a guest writes: the guest is held, told of, and goes on once there is room."""
import unittest

from lab import Lab, run, wait_until


class FullDiskTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.small = self.lab.directory / "small"
        self.small.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", self.small)
        self.addCleanup(run, "umount", "-l", self.small)
        self.lab.start()
        self.lab.import_test_guest()

    def test_a_guest_that_fills_its_pool_is_held_and_goes_on_once_there_is_room(self):
        lab = self.lab
        lab.gantry("pool", "create", "small", "--path", self.small / "pool", "--overcommit", "10000")
        lab.gantry("volume", "create", "data", "--size", "256M", "--pool", "small")
        lab.launch("writer", "--add-disk", "data")
        lab.launch("bystander")
        lab.wait_for_console("writer", "gantry-test-guest ready")
        lab.type_at_console("writer", "dd if=/dev/zero of=/dev/vda bs=1M count=64 conv=fsync && echo written-$((40+2))\n")
        vm = lab.wait_for_state("writer", "PAUSED")
        problem = vm["status"]["problem"]
        print("the status says:", problem)
        self.assertEqual(problem["code"], "disk_full")
        self.assertIn(lab.json("volume", "show", "data")["meta"]["id"], problem["summary"] + problem["cause"])
        self.assertTrue(problem["nextStep"])
        self.assertEqual(lab.vm("bystander")["status"]["state"], "RUNNING")
        self.assertNotIn("written-42", lab.console_log("writer"))
        # A daemon that starts anew sees it too.
        lab.kill_daemon()
        lab.start()
        self.assertEqual(lab.wait_for_state("writer", "PAUSED")["status"]["problem"]["code"], "disk_full")

        run("mount", "-o", "remount,size=200m", self.small)
        lab.wait_for_console("writer", "written-42")
        lab.wait_for_state("writer", "RUNNING")
        wait_until("the problem is over", lambda: not lab.vm("writer")["status"].get("problem"))
        self.assertEqual(lab.vm("writer")["status"]["bootId"], vm["status"]["bootId"])


if __name__ == "__main__":
    unittest.main()
