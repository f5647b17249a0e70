"""The Debian image: made from packages, and booted by BIOS and by UEFI at once, each launched with user-data and a key.

Takes minutes without hardware help. GANTRY_DEBIAN_IMAGE=FILE boots that file instead of making one.
"""
import os
import pathlib
import subprocess
import time
import unittest

from lab import ROOT, Lab, run, wait_until

MAKE_IMAGE = ROOT / "tools/images/make-debian-image"
BOOT_S = 900
DISK_GIB = 5
USER_DATA = """#cloud-config
write_files:
  - path: /etc/gantry-test
    content: from the user-data
runcmd:
  - [touch, /var/lib/gantry-ran]
"""
LOOK = """cloud-init status --wait >/dev/null
hostname; hostname -f; id -un; sudo -n id -u; cat /etc/gantry-test; echo; ls /var/lib/gantry-ran
df --output=size -BM / | tail -1
ip -4 -br addr show dev eth0"""


def make_image(path):
    """Makes it while checking that progress only grows, and that nothing else is left beside it."""
    last = -1
    with subprocess.Popen([MAKE_IMAGE, "--output", path], stdout=subprocess.PIPE, text=True) as maker:
        for line in maker.stdout:
            word, percent, _ = line.split(" ", 2)
            assert word == "progress" and last <= int(percent) <= 100, line
            last = int(percent)
    assert maker.returncode == 0 and last == 100, f"make-debian-image ended with {maker.returncode} at {last} %"
    assert os.listdir(path.parent) == [path.name]


class DebianGuestTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.lab.start()
        image = os.environ.get("GANTRY_DEBIAN_IMAGE")
        if not image:
            image = cls.lab.directory / "made" / "debian.qcow2"
            image.parent.mkdir()
            make_image(image)
        cls.lab.gantry("image", "import", image, "--name", "debian-12", "--uefi")
        cls.key = cls.lab.directory / "key"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", cls.key)
        cls.user_data = cls.lab.directory / "user-data"
        cls.user_data.write_text(USER_DATA)

    def launch(self, name, firmware):
        self.lab.gantry("launch", "debian-12", "--name", name, "--memory", "768M", "--disk", f"{DISK_GIB}G", "--firmware",
                        firmware, "--user", "ada", "--ssh-key", f"{self.key}.pub", "--user-data", self.user_data,
                        "--forward", ":22")

    def ssh(self, name, command):
        port = self.lab.vm(name)["spec"]["nics"][0]["portForwards"][0]["hostPort"]
        done = subprocess.run(
            [*self.lab.enter, "ssh", "-i", self.key, "-p", str(port), "-o", "BatchMode=yes", "-o",
             "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20", "-o",
             "LogLevel=ERROR", "ada@127.0.0.1", command],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=300, check=False)
        return done.stdout if done.returncode == 0 else None

    def check_inside(self, name):
        lines = [line.strip() for line in self.ssh(name, LOOK).splitlines() if line.strip()]
        self.assertEqual(lines[:6], [name, f"{name}.gantry", "ada", "0", "from the user-data", "/var/lib/gantry-ran"])
        self.assertGreater(int(lines[6].rstrip("M")), (DISK_GIB - 0.5) * 1024, "the root has not grown")
        self.assertIn(self.lab.vm(name)["spec"]["nics"][0]["ipv4"] + "/", lines[7])
        self.assertEqual(self.ssh(name, "systemctl --failed --no-legend"), "")

    def check_agent(self, name):
        """What the guest says of itself, as `gantry show` has it."""
        address = self.lab.vm(name)["spec"]["nics"][0]["ipv4"]

        def told():
            guest = self.lab.vm(name)["status"].get("guest", {})
            addresses = [a for interface in guest.get("interfaces", []) for a in interface.get("addresses", [])]
            return guest if any(a.startswith(address + "/") for a in addresses) else None
        guest = wait_until(f"the agent of {name} tells its address", told)
        self.assertTrue(guest["agentConnected"])
        self.assertEqual(guest["hostName"], name)
        self.assertIn("Debian GNU/Linux 12", guest["operatingSystem"])
        shown = self.lab.gantry("show", name)
        self.assertIn(address, shown)
        self.assertIn("Debian GNU/Linux 12", shown)

    def test_debian_boots_as_it_was_told_by_bios_and_by_uefi(self):
        started = time.monotonic()
        guests = {"deb-bios": "bios", "deb-uefi": "uefi"}
        for name, firmware in guests.items():
            self.launch(name, firmware)
        for name in guests:
            wait_until(f"{name} answers over SSH", lambda n=name: self.ssh(n, "true") is not None, BOOT_S)
            print(f"{name} answers over SSH after {time.monotonic() - started:.0f} s")
        for name in guests:
            self.check_inside(name)
            self.check_agent(name)
            self.lab.wait_for_console(name, f"{name} login:")
        self.assertIsNotNone(self.ssh("deb-bios", "getent hosts deb-uefi"), "guests find each other by name")
        self.assertIn("/sys/firmware/efi", self.ssh("deb-uefi", "ls -d /sys/firmware/efi"))
        self.assertIsNone(self.ssh("deb-bios", "ls -d /sys/firmware/efi"))
        self.lab.gantry("stop", "deb-bios")
        self.assertEqual(self.lab.vm("deb-bios")["status"]["exit"]["reason"], "GUEST_SHUTDOWN")


class MakingTest(unittest.TestCase):
    def test_a_making_that_is_killed_leaves_nothing(self):
        lab = Lab()
        self.addCleanup(lab.close)
        directory = pathlib.Path(lab.directory) / "killed"
        directory.mkdir()
        with subprocess.Popen([MAKE_IMAGE, "--output", directory / "image"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as maker:
            for line in maker.stdout:
                if "installing" in line:
                    break
            maker.terminate()
            maker.wait(60)
        self.assertEqual(os.listdir(directory), [])


if __name__ == "__main__":
    unittest.main()
