"""A guest that changes its memory faster than it is sent goes on at the other machine before all of it is there."""
import fcntl
import os
import pathlib
import signal
import unittest

from lab import wait_until
import test_move

SETTING = pathlib.Path("/proc/sys/vm/unprivileged_userfaultfd")
# Less than the guest changes in the same time.
SLOW = "8M"
# 16 MB are written and copied, again and again; both are to be the same.
DIRTY = """
dirty() {
  n=0
  while :; do
    n=$((n + 1))
    yes "$n" | head -c 8000000 > /tmp/a
    cp /tmp/a /tmp/b
    if cmp /tmp/a /tmp/b > /dev/null; then echo "whole $n"; else echo "memory broken"; fi
  done
}
case $(hostname) in
"""


class PostcopyMachines(test_move.CountingGuest):
    program = test_move.PROGRAM.replace("case $(hostname) in\n", DIRTY.lstrip()).replace(
        "forever keep &", "forever keep &\n    dirty &")

    def setUp(self):
        # The machine's own setting: other tests of it wait.
        self.setting_lock = open("/tmp/gantry-test-userfaultfd.lock", "w")
        self.addCleanup(self.setting_lock.close)
        fcntl.flock(self.setting_lock, fcntl.LOCK_EX)
        self.addCleanup(SETTING.write_text, SETTING.read_text())
        SETTING.write_text("1\n")
        super().setUp()

    def wholes(self, host):
        return self.console(host).count("whole ")

    def dirty(self):
        wait_until("the guest changes its memory", lambda: self.wholes("beta") > 2)

    def begin(self, *options):
        return self.manager.gantry("move", "mover", "gamma", "--postcopy", "--no-wait", *options).strip()

    def wait_until_it_fetches(self):
        def fetches():
            vm = self.manager.vm("mover")
            status = vm["status"]
            # That it runs is told a moment after that it fetches, if the two come apart.
            return vm if status.get("move", {}).get("fetching") and status["state"] == "RUNNING" else None
        return wait_until("it runs there and fetches its memory", fetches)


class PostcopyTest(PostcopyMachines):
    def test_it_goes_on_there_and_fetches_the_rest(self):
        self.assertIn("postcopy", self.manager.gantry("move", "mover", "gamma", "--postcopy", "--dry-run"))
        self.dirty()
        task = self.begin("--bandwidth", SLOW)
        self.wait_until_it_fetches()
        self.assertEqual(self.where("mover"), "gamma")
        self.assertEqual(len(self.qemus("beta", self.vm_id)), 1, "it serves what is missing")
        self.assertIn("fetching", self.manager.gantry("list"))
        # Its agent may come and go.
        self.hosts["gamma"].kill_daemon()
        self.hosts["gamma"].start()
        ended = self.wait_for_end(task)
        self.assertEqual(ended["state"], "SUCCEEDED", ended)
        self.assert_it_runs_on("gamma")
        before = self.wholes("gamma")
        wait_until("its memory is whole", lambda: self.wholes("gamma") > before + 5)
        self.assertNotIn("memory broken", self.console("gamma"))
        self.assertNotIn("fetching", self.manager.gantry("list"))

    def test_the_process_at_the_source_is_killed_while_memory_is_fetched(self):
        self.dirty()
        task = self.begin("--bandwidth", SLOW)
        self.wait_until_it_fetches()
        for pid in self.qemus("beta", self.vm_id):
            os.kill(pid, signal.SIGKILL)
        ended = self.wait_for_end(task)
        self.assertEqual(ended["state"], "FAILED", ended)
        self.assertEqual(ended["problem"]["code"], "guest_lost_in_move")
        vm = self.manager.wait_for_state("mover", "CRASHED")
        self.assertEqual(vm["status"]["problem"]["code"], "guest_lost_in_move")
        self.assertIn("memory could not be fetched", vm["status"]["problem"]["cause"])
        self.wait_until_clean(self.vm_id, "lab", "beta")
        self.manager.gantry("start", "mover")
        self.assertEqual(self.where("mover"), "gamma")
        self.assertEqual(len(self.qemus("gamma", self.vm_id)), 1)
        self.assertEqual(self.qemus("beta", self.vm_id), [])

    def test_a_host_that_cannot_is_no_target(self):
        SETTING.write_text("0\n")
        self.hosts["gamma"].kill_daemon()
        self.hosts["gamma"].start()
        def told():
            return self.manager.json("host", "show", "gamma")["status"].get("postcopyProblem", "")
        self.assertIn("sysctl vm.unprivileged_userfaultfd=1", wait_until("the host says that it cannot", told))
        self.assertIn("unprivileged_userfaultfd", self.refused("move", "mover", "gamma", "--postcopy").stderr)
        self.assertIn("one connection",
                      self.refused("move", "mover", "--postcopy", "--connections", "2").stderr)
        # Without it goes as ever, over as many connections as are asked for.
        wait_until("the host is connected",
                   lambda: self.manager.json("host", "show", "gamma")["status"]["state"] == "CONNECTED")
        self.manager.gantry("move", "mover", "gamma", "--connections", "4")
        self.assert_it_runs_on("gamma")


if __name__ == "__main__":
    unittest.main()
