import os
import pathlib
import signal
import time
import unittest

from lab import KERNEL_ARGUMENTS, CommandFailed, Lab, wait_until


class LifecycleTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.lab.start()
        cls.lab.import_test_guest()

    def qemu_of(self, name):
        return self.lab.processes(self.lab.vm(name)["meta"]["id"])

    def test_launch_pause_resume_stop_start_delete(self):
        lab = self.lab
        lab.launch("web")
        lab.wait_for_console("web", "gantry-test-guest ready")
        self.assertEqual(lab.vm("web")["status"]["state"], "RUNNING")
        lab.gantry("pause", "web")
        self.assertEqual(lab.vm("web")["status"]["state"], "PAUSED")
        lab.gantry("resume", "web")
        self.assertEqual(lab.vm("web")["status"]["state"], "RUNNING")
        lab.gantry("stop", "web")
        stopped = lab.vm("web")["status"]
        self.assertEqual((stopped["state"], stopped["exit"]["reason"]), ("STOPPED", "GUEST_SHUTDOWN"))
        lab.gantry("start", "web")
        self.assertEqual(lab.vm("web")["status"]["state"], "RUNNING")
        vm_id = lab.vm("web")["meta"]["id"]
        lab.gantry("delete", "web", "--yes")
        with self.assertRaises(CommandFailed) as gone:
            lab.vm("web")
        self.assertEqual(gone.exception.code, 3)
        self.assertEqual(lab.processes(vm_id), [])
        left = [str(p) for p in lab.state.rglob("*") if vm_id in str(p)]
        self.assertEqual(left, [])

    def processor_seconds(self, pid):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_the_processors_of_a_paused_guest_stand_still(self):
        lab = self.lab
        lab.launch("busy")
        lab.wait_for_console("busy", "gantry-test-guest ready")
        pid = self.qemu_of("busy")[0]
        lab.type_at_console("busy", "while :; do :; done &\n")
        before = self.processor_seconds(pid)
        wait_until("the guest is busy", lambda: self.processor_seconds(pid) > before + 1)
        lab.gantry("pause", "busy")
        before, since = self.processor_seconds(pid), time.monotonic()
        wait_until("some time has gone", lambda: time.monotonic() > since + 2)
        self.assertLess(self.processor_seconds(pid) - before, 0.5)
        lab.gantry("resume", "busy")
        before = self.processor_seconds(pid)
        wait_until("the guest is busy again", lambda: self.processor_seconds(pid) > before + 1)
        lab.gantry("delete", "busy", "--yes")

    def test_a_guest_whose_kernel_panics_is_crashed(self):
        lab = self.lab
        lab.import_test_guest("panicking", KERNEL_ARGUMENTS + " gantry.crash")
        lab.launch("panics", image="panicking")
        status = lab.wait_for_state("panics", "CRASHED")["status"]
        self.assertEqual(status["exit"]["reason"], "CRASH")
        self.assertIn("panic", status["exit"]["lastWords"])
        self.assertEqual(self.qemu_of("panics"), [])
        lab.gantry("delete", "panics", "--yes")

    def test_restart_and_reset_boot_again(self):
        lab = self.lab
        lab.launch("again")
        lab.wait_for_console("again", "gantry-test-guest ready")
        first = self.qemu_of("again")
        lab.gantry("reset", "again")
        wait_until("the guest boots again", lambda: lab.console_log("again").count("gantry-test-guest ready") >= 2)
        self.assertEqual(self.qemu_of("again"), first)
        lab.gantry("restart", "again")
        wait_until("another process runs it", lambda: self.qemu_of("again") not in ([], first))
        lab.gantry("delete", "again", "--yes")

    def test_a_guest_that_ignores_the_button_is_forced(self):
        lab = self.lab
        lab.launch("deaf")
        # Long before its kernel listens to the power button.
        lab.gantry("stop", "deaf", "--timeout", "1")
        self.assertEqual(lab.vm("deaf")["status"]["state"], "STOPPED")
        lab.gantry("start", "deaf")
        lab.gantry("stop", "deaf", "--force")
        self.assertEqual(lab.vm("deaf")["status"]["exit"]["reason"], "FORCED")
        lab.gantry("delete", "deaf", "--yes")

    def test_power_off_from_inside_is_seen_and_stays(self):
        lab = self.lab
        lab.launch("self-off")
        lab.wait_for_console("self-off", "gantry-test-guest ready")
        lab.type_at_console("self-off", "poweroff\n")
        status = lab.wait_for_state("self-off", "STOPPED")["status"]
        self.assertEqual(status["exit"]["reason"], "GUEST_SHUTDOWN")
        lab.gantry("delete", "self-off", "--yes")

    def test_a_crash_is_reported_with_last_words(self):
        lab = self.lab
        lab.launch("doomed")
        (pid,) = self.qemu_of("doomed")
        os.kill(pid, signal.SIGKILL)
        status = lab.wait_for_state("doomed", "CRASHED")["status"]
        self.assertEqual(status["exit"]["reason"], "CRASH")
        self.assertTrue(status["problem"]["summary"], status)
        lab.gantry("start", "doomed")
        self.assertEqual(lab.vm("doomed")["status"]["state"], "RUNNING")
        lab.gantry("delete", "doomed", "--yes")

    def test_each_guest_is_confined(self):
        lab = self.lab
        lab.launch("cell")
        (pid,) = self.qemu_of("cell")
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        self.assertGreaterEqual(int(status["Uid"].split()[0]), 1_000_000_000)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2")
        self.assertEqual(int(status["CapBnd"], 16), 0)
        self.assertIn(lab.vm("cell")["meta"]["id"], pathlib.Path(f"/proc/{pid}/cgroup").read_text())
        lab.gantry("delete", "cell", "--yes")

    def test_dry_run_changes_nothing(self):
        lab = self.lab
        before = lab.json("list")
        text = lab.gantry("launch", "tiny", "--name", "ghost", "--dry-run")
        self.assertIn("ghost", text)
        self.assertEqual(lab.json("list").get("items", []), before.get("items", []))

    def test_errors_say_what_to_do(self):
        with self.assertRaises(CommandFailed) as missing:
            self.lab.launch("nothing", image="no-such-image")
        self.assertEqual(missing.exception.code, 3)
        self.assertIn("no-such-image", missing.exception.stderr)
        self.assertIn("next:", missing.exception.stderr)
        with self.assertRaises(CommandFailed) as bad:
            self.lab.launch("Bad_Name")
        self.assertEqual(bad.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
