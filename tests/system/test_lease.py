"""A guest runs only under its lease, whatever happens to those who keep it."""
import contextlib
import os
import pathlib
import signal
import time
import unittest

from lab import Lab, wait_until


def state_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "gone"


class LeaseTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.lab.start()
        self.lab.import_test_guest()
        self.pool = self.lab.state / "pools/default"
        self.launch()

    def launch(self, *arguments):
        self.lab.launch("web", *arguments)
        self.vm_id = self.lab.vm("web")["meta"]["id"]
        self.qemu = self.qemu_pid()

    def move_to_a_shared_pool(self):
        """Only there another host could have the lease, so that the guest must not run without it."""
        self.lab.gantry("stop", "web", "--force")
        self.lab.gantry("delete", "web")
        self.pool = self.lab.directory / "shared"
        self.pool.mkdir(mode=0o755)
        self.lab.gantry("pool", "create", "shared", "--shared", "--path", self.pool)
        self.lab.gantry("volume", "create", "disk", "--pool", "shared", "--size", "10M")
        self.launch("--add-disk", "disk")
        self.assertTrue((self.leases() / self.vm_id).exists())

    @contextlib.contextmanager
    def broken_pool(self):
        away = self.leases().with_name("away")
        self.leases().rename(away)
        self.leases().write_text("no directory")
        yield
        self.leases().unlink()
        away.rename(self.leases())

    def qemu_pid(self):
        return self.lab.processes(f"guest={self.vm_id}")[0]

    def sentinels(self):
        """The one that serves first: it is the other's parent."""
        pids = wait_until("both processes of the sentinel are there",
                          lambda: (p := self.lab.processes("gantry-sentinel")) and len(p) == 2 and p)
        return sorted(pids, key=lambda pid: "--stand-by" in pathlib.Path(f"/proc/{pid}/cmdline").read_text())

    def lease(self):
        return self.lab.vm("web")["status"].get("lease", {})

    def leases(self):
        return self.pool / "leases"

    def counter(self):
        return int.from_bytes((self.leases() / self.vm_id).read_bytes()[24:32], "little")

    def wait_for_renewals(self):
        before = self.counter()
        wait_until("the lease is renewed", lambda: self.counter() > before + 1)

    def assert_never_stopped(self, while_what):
        """Watches QEMU while something happens: the kernel would show it stopped."""
        end = time.monotonic() + 6
        while time.monotonic() < end:
            self.assertNotIn(state_of(self.qemu), "Tt", while_what)
            time.sleep(0.01)

    def test_the_lease_is_held_and_renewed_and_goes_with_the_vm(self):
        self.assertEqual(self.lease()["state"], "HELD")
        self.wait_for_renewals()
        # Only the daemon's user may touch it.
        self.assertEqual(self.leases().stat().st_mode & 0o777, 0o700)
        self.lab.gantry("stop", "web", "--force")
        record = self.leases() / self.vm_id
        wait_until("it is signed back", lambda: any(record.read_bytes()[160:168]))
        resting = self.counter()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            self.assertEqual(self.counter(), resting, "a lease that rests is renewed")
            time.sleep(0.2)
        self.lab.gantry("start", "web")
        self.assertEqual(self.lease()["state"], "HELD")
        self.lab.gantry("stop", "web", "--force")
        self.lab.gantry("delete", "web")
        self.assertEqual(list(self.leases().iterdir()), [])
        self.assertEqual(list((self.lab.state / "sentinel").glob("*.guard")), [])

    def test_guests_go_on_when_the_sentinel_or_the_agent_is_killed(self):
        serving, standing_by = self.sentinels()
        os.kill(serving, signal.SIGKILL)
        self.assert_never_stopped("the serving process was killed")
        self.wait_for_renewals()
        serving, standing_by = self.sentinels()
        os.kill(standing_by, signal.SIGKILL)
        self.assert_never_stopped("the other process was killed")
        serving, _ = self.sentinels()
        os.kill(serving, signal.SIGSTOP)
        self.assert_never_stopped("the serving process hung")
        self.wait_for_renewals()
        self.lab.kill_daemon()
        self.assert_never_stopped("the agent was killed")
        self.wait_for_renewals()
        self.lab.start()
        self.assertEqual(self.qemu_pid(), self.qemu)
        wait_until("the lease is told again", lambda: self.lease().get("state") == "HELD")

    def test_a_guest_that_nobody_guards_is_frozen_until_somebody_does(self):
        self.lab.kill_daemon()
        for pid in self.sentinels():
            os.kill(pid, signal.SIGSTOP)
        for pid in self.sentinels():
            os.kill(pid, signal.SIGKILL)
        wait_until("the kernel froze it", lambda: state_of(self.qemu) == "T")
        self.lab.start()
        wait_until("it goes on", lambda: state_of(self.qemu) not in "Tt")
        self.assertEqual(self.lab.wait_for_state("web", "RUNNING")["status"]["lease"]["state"], "HELD")

    def test_a_shared_pool_that_fails_pauses_the_guest_until_it_is_back(self):
        self.move_to_a_shared_pool()
        with self.broken_pool():
            vm = wait_until("the lease lapses", lambda: (v := self.lab.vm("web"))["status"].get("lease", {}).get("state") ==
                            "LAPSED" and v["status"]["state"] == "PAUSED" and v)
            self.assertEqual(vm["status"]["problem"]["code"], "lease_lapsed")
            wait_until("it is frozen", lambda: state_of(self.qemu) == "T")
        self.lab.wait_for_state("web", "RUNNING")
        self.assertNotIn(state_of(self.qemu), "Tt")
        self.assertEqual(self.qemu_pid(), self.qemu)

    def test_a_private_pool_that_fails_is_told_and_pauses_nobody(self):
        with self.broken_pool():
            wait_until("the trouble is told", lambda: "its record cannot be used" in self.lease().get("reason", ""))
            self.assertEqual(self.lease()["state"], "HELD")
            self.assert_never_stopped("no other host can have its lease")
            self.assertEqual(self.lab.vm("web")["status"]["state"], "RUNNING")
        wait_until("it is renewed again", lambda: "reason" not in self.lease() or not self.lease()["reason"])
        self.wait_for_renewals()

    def test_a_shared_pool_that_hangs_pauses_its_guest_and_no_other(self):
        self.move_to_a_shared_pool()
        other = self.lab.directory / "other"
        other.mkdir(mode=0o755)
        self.lab.gantry("pool", "create", "other", "--shared", "--path", other)
        self.lab.gantry("volume", "create", "data", "--pool", "other", "--size", "10M")
        self.lab.launch("bystander", "--add-disk", "data")
        bystander_id = self.lab.vm("bystander")["meta"]["id"]
        bystander = self.lab.processes(f"guest={bystander_id}")[0]
        self.assertTrue((other / "leases" / bystander_id).exists())
        record = self.leases() / self.vm_id
        aside = record.with_name("aside")
        hangs = record.with_name("hangs")
        os.mkfifo(hangs)
        record.rename(aside)
        # Whoever opens it waits until somebody opens its other end: for the sentinel, a disk that hangs.
        os.link(hangs, record)
        wait_until("it is frozen", lambda: state_of(self.qemu) == "T")
        end = time.monotonic() + 8
        while time.monotonic() < end:
            self.assertNotIn(state_of(bystander), "Tt")
            time.sleep(0.05)
        aside.rename(record)
        os.close(os.open(hangs, os.O_WRONLY | os.O_NONBLOCK))
        wait_until("it goes on", lambda: state_of(self.qemu) not in "Tt")
        self.lab.wait_for_state("web", "RUNNING")

    def test_a_guest_that_the_user_paused_stays_paused(self):
        self.move_to_a_shared_pool()
        self.lab.gantry("pause", "web")
        with self.broken_pool():
            wait_until("it is frozen", lambda: state_of(self.qemu) == "T")
        wait_until("it is thawed", lambda: state_of(self.qemu) not in "Tt")
        wait_until("the lease is held again", lambda: self.lease().get("state") == "HELD")
        end = time.monotonic() + 2
        while time.monotonic() < end:
            self.assertEqual(self.lab.vm("web")["status"]["state"], "PAUSED")

    def test_a_lease_that_is_anothers_ends_the_guest(self):
        record = self.leases() / self.vm_id
        block = bytearray(record.read_bytes())
        block[16:24] = (99).to_bytes(8, "little")
        block[40:48] = (6).to_bytes(8, "little")
        block[48:148] = b"host-b".ljust(100, b"\0")
        total = 14695981039346656037
        for byte in block[:504]:
            total = (total ^ byte) * 1099511628211 % 2**64
        block[504:512] = total.to_bytes(8, "little")
        # A renewal that is under way may undo it.
        def ended():
            if state_of(self.qemu) in ("gone", "Z"):
                return True
            with open(record, "r+b") as file:
                file.write(block)
            return False
        wait_until("the guest is ended", ended)
        vm = self.lab.wait_for_state("web", "CRASHED")
        self.assertEqual(vm["status"]["lease"]["state"], "LOST")
        self.assertIn("host-b", vm["status"]["lease"]["reason"])


if __name__ == "__main__":
    unittest.main()
