"""A disk goes from one pool to another while its guest writes to it, and whatever breaks on the way, nothing is lost."""
import os
import pathlib
import re
import signal
import unittest

from lab import CommandFailed, Lab, run, wait_until

# Counts on its disk, and says on its console what is there for sure.
COUNT = ("n=$(dd if=/dev/vda bs=512 count=1 2> /dev/null | sed -n 's/^kept //p'); while :; do n=$((n + 1)); "
         "echo \"kept $n\" | dd of=/dev/vda bs=512 conv=sync,fsync,notrunc 2> /dev/null && echo \"count $n\"; "
         "sleep 0.1; done &\n")


class VolumeMoveTest(unittest.TestCase):
    def setUp(self):
        self.lab = lab = Lab()
        self.addCleanup(lab.close)
        lab.start()
        lab.import_test_guest()
        self.fast = lab.directory / "fast"
        lab.gantry("pool", "create", "fast", "--path", self.fast)

    def launch(self, *extra):
        self.lab.launch("writer", "--add-disk", "64M" + "".join("," + word for word in extra))
        self.lab.wait_for_console("writer", "gantry-test-guest ready")
        self.lab.type_at_console("writer", "dd if=/dev/urandom of=/dev/vda bs=1M seek=1 count=48 conv=fsync; sync\n")
        self.sum = self.read_sum()
        self.lab.type_at_console("writer", COUNT)
        self.wait_for_more()

    def read_sum(self):
        """Of what does not change on the disk."""
        def sums():
            return re.findall(r"summed ([0-9a-f]{32})", self.lab.console_log("writer"))
        before = len(sums())
        self.lab.type_at_console(
            "writer", "echo 3 > /proc/sys/vm/drop_caches; "
            "echo summed $(dd if=/dev/vda bs=1M skip=1 count=48 2> /dev/null | md5sum)\n")
        return wait_until("the guest has read its disk", lambda: len(found := sums()) > before and found[-1])

    def count(self):
        found = re.findall(r"count (\d+)\r?\n", self.lab.console_log("writer"))
        return int(found[-1]) if found else 0

    def wait_for_more(self):
        before = self.count()
        wait_until("the guest counts on", lambda: self.count() >= before + 3)

    def volume(self, name="writer-disk0"):
        return self.lab.json("volume", "show", name)

    def names(self):
        return [volume["meta"]["name"] for volume in self.lab.json("volume", "list").get("items", [])]

    def file(self):
        return pathlib.Path(self.volume()["status"]["path"])

    def begin(self, pool="fast", bandwidth="4M"):
        """A slow move, until it copies; its task."""
        task_id = self.lab.gantry("volume", "move", "writer-disk0", pool, "--bandwidth", bandwidth, "--no-wait").strip()
        def copies():
            progress = self.task(task_id).get("progress", {})
            return progress.get("phase") == "copying the disk" and progress.get("percent", 0) > 0
        wait_until("the disk is being copied", copies)
        return task_id

    def task(self, task_id):
        return self.lab.json("task", "show", task_id)

    def ended(self, task_id):
        return wait_until("the task ends", lambda: (task := self.task(task_id)) and
                          task["state"] in ("SUCCEEDED", "FAILED", "CANCELLED") and task)

    def wait_for_one(self):
        """One volume is left, and no file but its own."""
        wait_until("one volume is left", lambda: self.names() == ["writer-disk0"])
        files = [path for folder in (self.fast, self.lab.state / "pools/default")
                 for path in (folder / "volumes").glob("*") if path.is_file()]
        self.assertEqual([path.name for path in files], [self.file().name])
        self.assertNotIn("diskMove", self.lab.vm("writer")["placement"])

    def qemu(self):
        return self.lab.processes("guest=" + self.lab.vm("writer")["meta"]["id"])[0]

    def boot_again(self):
        """From what is on the disk, with nothing in any cache of the guest or of QEMU."""
        self.lab.gantry("stop", "writer", "--force")
        last = self.count()
        self.lab.gantry("start", "writer")
        # Its console's log begins anew with each boot.
        self.lab.wait_for_console("writer", "gantry-test-guest ready")
        self.assertEqual(self.read_sum(), self.sum)
        self.lab.type_at_console("writer", COUNT)
        self.wait_for_more()
        first = int(re.findall(r"count (\d+)\r?\n", self.lab.console_log("writer"))[0])
        self.assertGreater(first, last, "a write that was confirmed is gone")

    def test_the_disk_moves_and_the_guest_goes_on(self):
        lab = self.lab
        self.launch()
        old = self.file()
        boot = lab.vm("writer")["status"]["bootId"]
        dry = lab.gantry("volume", "move", "writer-disk0", "fast", "--dry-run")
        self.assertIn("copy volume writer-disk0 to it while the guest of VM writer runs", dry)
        self.assertEqual(self.names(), ["writer-disk0"])
        lab.gantry("volume", "move", "writer-disk0", "fast")
        self.assertEqual(self.file().parent.parent, self.fast)
        self.assertFalse(old.exists())
        self.wait_for_one()
        self.wait_for_more()
        self.assertEqual(self.read_sum(), self.sum)
        self.assertEqual(lab.vm("writer")["status"]["bootId"], boot)
        descriptors = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{self.qemu()}/fd").iterdir()]
        self.assertNotIn(str(old), [path.removesuffix(" (deleted)") for path in descriptors])
        # And back, with the daemon started anew between.
        lab.kill_daemon()
        lab.start()
        lab.gantry("volume", "move", "writer-disk0", "default")
        self.assertEqual(self.file().parent.parent, old.parent.parent)
        self.wait_for_more()
        self.boot_again()
        self.wait_for_one()

    def test_a_raw_disk_moves_too_and_keeps_its_number(self):
        lab = self.lab
        self.launch("format=raw")
        serial = lab.vm("writer")["spec"]["disks"][0]["volume"]
        lab.gantry("volume", "move", "writer-disk0", "fast")
        self.assertEqual(self.volume()["spec"]["format"], "RAW")
        self.assertEqual(lab.vm("writer")["spec"]["disks"][0]["serial"], serial)
        self.boot_again()
        lab.type_at_console("writer", "echo number-$(cat /sys/block/vda/serial)-\n")
        lab.wait_for_console("writer", f"number-{serial[:20]}-")

    def test_a_daemon_that_is_killed_in_the_middle_moves_it_all_the_same(self):
        lab = self.lab
        self.launch()
        task_id = self.begin()
        lab.kill_daemon()
        lab.start()
        self.wait_for_more()
        task = self.ended(task_id)
        self.assertEqual(task["state"], "SUCCEEDED", task)
        self.assertEqual(self.file().parent.parent, self.fast)
        self.boot_again()
        self.wait_for_one()

    def test_daemons_killed_at_any_moment_lose_nothing(self):
        lab = self.lab
        self.launch()
        for moment in range(4):
            pool = "fast" if moment % 2 == 0 else "default"
            task_id = lab.gantry("volume", "move", "writer-disk0", pool, "--no-wait").strip()
            # The later ones around the switch.
            percent = 25 * moment
            wait_until("it has come so far", lambda: (t := self.task(task_id))["state"] not in ("PENDING", "RUNNING") or
                       t.get("progress", {}).get("percent", 0) >= percent)
            lab.kill_daemon()
            lab.start()
            task = self.ended(task_id)
            self.assertEqual(task["state"], "SUCCEEDED", task)
            self.wait_for_more()
        self.boot_again()
        self.wait_for_one()

    def test_a_cancel_leaves_it_where_it_was(self):
        lab = self.lab
        self.launch()
        old = self.file()
        task_id = self.begin()
        for command in (("volume", "delete", "writer-disk0-copy"), ("volume", "resize", "writer-disk0", "--size", "1G"),
                        ("volume", "move", "writer-disk0", "fast"), ("delete", "writer", "--keep-volumes", "--yes")):
            with self.assertRaises(CommandFailed) as refused:
                lab.gantry(*command)
            self.assertIn("is being copied", refused.exception.stderr)
        lab.gantry("task", "cancel", task_id)
        self.assertEqual(self.ended(task_id)["state"], "CANCELLED")
        self.assertEqual(self.file(), old)
        self.wait_for_one()
        self.wait_for_more()
        self.boot_again()

    def test_a_full_pool_leaves_it_where_it_was(self):
        lab = self.lab
        small = lab.directory / "small"
        small.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small)
        self.addCleanup(run, "umount", "-l", small)
        lab.gantry("pool", "create", "small", "--path", small / "pool", "--overcommit", "10000")
        self.launch()
        old = self.file()
        with self.assertRaises(CommandFailed) as failed:
            lab.gantry("volume", "move", "writer-disk0", "small")
        self.assertIn("No space left on device", failed.exception.stderr)
        self.assertEqual(self.file(), old)
        self.wait_for_one()
        self.assertFalse([path for path in (small / "pool/volumes").glob("*") if path.is_file()])
        self.wait_for_more()
        self.boot_again()

    def test_a_guest_that_is_killed_in_the_middle_boots_from_where_it_was(self):
        lab = self.lab
        self.launch()
        old = self.file()
        task_id = self.begin()
        os.kill(self.qemu(), signal.SIGKILL)
        task = self.ended(task_id)
        self.assertEqual(task["state"], "FAILED", task)
        self.assertEqual(task["problem"]["code"], "vm_not_running", task)
        lab.wait_for_state("writer", "CRASHED")
        self.assertEqual(self.file(), old)
        self.boot_again()
        self.wait_for_one()


if __name__ == "__main__":
    unittest.main()
