"""A pool of a real Ceph on one machine: images, volumes, and a guest that boots from there."""
import pathlib
import subprocess
import unittest

from rbd_lab import MIB, Ceph, CephPool, CommandFailed, Lab, add_user, boot_disk, run, wait_until


class RbdPoolTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.ceph = Ceph(cls.lab.directory / "ceph", enter=cls.lab.enter)
        cls.addClassCleanup(cls.ceph.stop)
        cls.ceph.start()
        cls.lab.start()
        add_user(cls.ceph, "vms", "pool=rbd")
        cls.pool = CephPool(cls.ceph, user="vms")
        cls.pool.create(cls.lab)
        cls.key = cls.ceph.key("vms")
        cls.lab.gantry("image", "import", boot_disk(cls.lab.directory / "boot.raw"), "--name", "boot", "--pool", "ceph")

    def launch(self, name, *arguments):
        self.lab.gantry("launch", "boot", "--name", name, "--pool", "ceph", "--memory", "64M", "--no-ssh-key",
                        *arguments)
        self.addCleanup(self.lab.gantry, "delete", name)
        self.lab.wait_for_console(name, "B")

    def volume_id(self, name):
        return self.lab.json("volume", "show", name)["meta"]["id"]

    def test_it_is_ready_and_tells_how_full_it_is(self):
        pool = self.lab.json("pool", "show", "ceph")
        self.assertEqual(pool["status"]["state"], "READY")
        self.assertGreater(int(pool["status"]["capacityBytes"]), 1000 * MIB)
        self.assertTrue(pool["spec"]["shared"])
        self.assertIn("ceph:rbd", self.lab.gantry("pool", "list"))
        self.assertIn("gantry-pool", self.pool.objects())

    def test_its_key_is_told_nobody(self):
        for said in (self.lab.gantry("-o", "json", "pool", "show", "ceph"), self.lab.gantry("-o", "json", "pool", "list"),
                     self.lab.gantry("-o", "json", "task", "list"), self.lab.log_tail()):
            self.assertNotIn(self.key, said)
        for path in pathlib.Path(self.lab.state, "ceph").iterdir():
            if path.is_file():
                self.assertEqual(path.stat().st_mode & 0o777, 0o600, path)
        for pid in self.lab.processes():
            line = pathlib.Path(f"/proc/{pid}/cmdline")
            if line.exists():
                self.assertNotIn(self.key.encode(), line.read_bytes())

    def test_an_image_is_a_protected_snapshot_and_volumes_are_clones_of_it(self):
        lab = self.lab
        image_id = lab.json("image", "show", "boot")["meta"]["id"]
        self.assertIn(image_id, self.pool.images())
        snapshots = self.ceph.json("rbd", "snap", "ls", f"{self.pool.place}/{image_id}")
        self.assertEqual([(one["name"], one["protected"]) for one in snapshots], [("gantry", "true")])
        lab.gantry("volume", "create", "copy", "--image", "boot", "--pool", "ceph", "--size", "6M")
        self.addCleanup(lab.gantry, "volume", "delete", "copy")
        facts = self.ceph.json("rbd", "info", f"{self.pool.place}/{self.volume_id('copy')}")
        self.assertEqual((facts["parent"]["image"], facts["size"]), (image_id, 6 * MIB))
        self.assertEqual(self.pool.read(self.volume_id("copy"), 4 * MIB - 4, 8), b"end \0\0\0\0")
        with self.assertRaises(CommandFailed) as failed:
            lab.gantry("image", "delete", "boot")
        self.assertIn("copy", failed.exception.stderr)

    def test_a_volume_is_made_grown_and_deleted(self):
        lab = self.lab
        before = self.pool.images()
        lab.gantry("volume", "create", "data", "--pool", "ceph", "--size", "64M")
        volume = lab.json("volume", "show", "data")
        self.assertEqual(volume["spec"]["format"], "RAW")
        place = f"{self.pool.place}/{volume['meta']['id']}"
        self.assertEqual(self.ceph.json("rbd", "info", place)["size"], 64 * MIB)
        lab.gantry("volume", "resize", "data", "--size", "128M")
        self.assertEqual(self.ceph.json("rbd", "info", place)["size"], 128 * MIB)
        self.assertEqual(lab.json("volume", "show", "data")["status"]["capacityBytes"], str(128 * MIB))
        lab.gantry("volume", "delete", "data")
        self.assertEqual(self.pool.images(), before)

    def test_a_guest_boots_from_it_and_writes_there(self):
        self.launch("web")
        self.lab.type_at_console("web", "w")
        self.lab.wait_for_console("web", "W")
        volume_id = self.lab.vm("web")["spec"]["disks"][0]["volume"]
        wait_until("what it wrote is in Ceph", lambda: self.pool.read(volume_id, 8192, 512) != bytes(512))

    def test_a_guest_stopped_and_started_again_finds_its_disk(self):
        self.launch("again")
        self.lab.gantry("stop", "again", "--force")
        self.lab.gantry("start", "again")
        # What it said in its first boot is gone.
        self.assertNotIn("W", self.lab.console_log("again"))
        self.lab.wait_for_console("again", "B")
        self.lab.type_at_console("again", "w")
        self.lab.wait_for_console("again", "W")

    def test_a_disk_goes_from_a_directory_to_ceph_and_back_while_its_guest_runs(self):
        lab = self.lab
        lab.gantry("image", "import", boot_disk(lab.directory / "local.raw"), "--name", "local", "--pool", "default")
        lab.gantry("launch", "local", "--name", "mover", "--memory", "64M", "--no-ssh-key", "--add-disk", "8M,pool=ceph")
        self.addCleanup(lab.gantry, "delete", "mover")
        lab.wait_for_console("mover", "B")
        for number, pool in enumerate(("ceph", "default", "ceph"), 1):
            lab.gantry("volume", "move", "mover-disk0", pool)
            volume = lab.json("volume", "show", "mover-disk0")
            self.assertEqual(volume["status"]["path"].startswith("rbd:"), pool == "ceph")
            lab.type_at_console("mover", "w")
            wait_until("it writes", lambda count=number: lab.console_log("mover").count("W") == count)
        self.assertEqual(self.pool.read(volume["meta"]["id"], 4 * MIB - 4, 4), b"end ")
        wait_until("what it wrote is in Ceph", lambda: self.pool.read(volume["meta"]["id"], 8192, 512) != bytes(512))

    def test_what_was_half_made_is_tidied(self):
        """As a daemon leaves it that is killed while it makes something."""
        lab = self.lab
        host_id = lab.json("host", "list")["items"][0]["meta"]["id"]
        mine, other = f"vol-aaaaaaaaaaaa.{host_id}.new", "vol-aaaaaaaaaaaa.host-bbbbbbbbbbbb.new"
        for name in (mine, other):
            self.ceph.run("rbd", "create", "--size", "8M", f"{self.pool.place}/{name}")
        self.addCleanup(self.ceph.run, "rbd", "rm", "--no-progress", f"{self.pool.place}/{other}")
        lab.kill_daemon()
        lab.start()
        wait_until("what this host left is gone", lambda: mine not in self.pool.images())
        self.assertIn(other, self.pool.images())

    def test_a_kernel_is_refused(self):
        with self.assertRaises(CommandFailed) as failed:
            self.lab.gantry("image", "import", boot_disk(self.lab.directory / "k"), "--name", "k", "--kernel", "--pool",
                            "ceph")
        self.assertIn("it is a kernel", failed.exception.stderr)

    def test_nobody_else_gets_it(self):
        """Another pool of the same place, of this cluster or of another."""
        with self.assertRaises(CommandFailed) as failed:
            CephPool(self.ceph, "twice").create(self.lab)
        self.assertIn("ceph", failed.exception.stderr)
        other = Lab()
        self.addCleanup(other.close)
        # In this lab's network, where its Ceph is.
        other.enter = self.lab.enter
        other.start()
        other.gantry("pool", "create", "stolen", "--no-wait", "--rbd", "rbd", "--monitor", "127.0.0.1", "--user",
                     "vms", "--key-file", self.pool.key_file)
        wait_until("it is refused", lambda: "belongs to another pool" in other.gantry("pool", "list"))

    def test_a_wrong_key_is_told(self):
        key_file = self.lab.directory / "wrong.keyring"
        run(*self.lab.enter, "ceph-authtool", "--create-keyring", key_file, "--gen-key", "-n", "client.wrong")
        self.lab.gantry("pool", "create", "refused", "--no-wait", "--rbd", "nope", "--monitor", "127.0.0.1", "--user",
                        "wrong", "--key-file", key_file)
        self.addCleanup(self.lab.gantry, "pool", "delete", "refused")
        wait_until("it is told", lambda: "Ceph refuses user" in self.lab.gantry("pool", "list"))

    def test_a_namespace_is_a_pool_of_its_own_and_leaves_nothing(self):
        self.ceph.run("rbd", "namespace", "create", "rbd/blue")
        add_user(self.ceph, "blue", "pool=rbd namespace=blue")
        blue = CephPool(self.ceph, "blue", user="blue", namespace="blue")
        blue.create(self.lab)
        self.lab.gantry("volume", "create", "azure", "--pool", "blue", "--size", "8M")
        self.assertEqual(blue.images(), [self.volume_id("azure")])
        with self.assertRaises(CommandFailed):
            self.lab.gantry("volume", "create", "far", "--pool", "blue", "--image", "boot")
        self.lab.gantry("volume", "delete", "azure")
        self.lab.gantry("pool", "delete", "blue")
        left = wait_until("it is given up", lambda: ["none"] if "gantry-pool" not in blue.objects() else None)
        self.assertEqual(left, ["none"])
        pool_files = [path.name for path in pathlib.Path(self.lab.state, "ceph").iterdir()]
        self.assertEqual(len([name for name in pool_files if name.endswith(".conf")]),
                         len(self.lab.json("pool", "list")["items"]) - 1)


if __name__ == "__main__":
    subprocess.run(["true"], check=True)
    unittest.main()
