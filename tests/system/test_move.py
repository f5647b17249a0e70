"""A guest that counts goes from one machine to another while it runs, and whatever breaks on the way, it is in one place."""
import os
import re
import signal
import unittest

from api import Api
from lab import KERNEL_ARGUMENTS, CommandFailed, run, wait_until
import test_shared_pool

ADDRESS = "10.77.0.50"
# What the guests do once they are up. `mover` says what its disks are and counts: on its console what is on its disk, and to whoever connects.
# `peer`, elsewhere, keeps one connection to it, and asks again and again who has that address.
PROGRAM = f"""#!/bin/sh
forever() {{ n=0; while :; do n=$((n + 1)); "$@"; sleep 0.3; done; }}
keep() {{ echo "kept $n" | dd of=/dev/vda bs=512 conv=sync,fsync 2> /dev/null && echo "count $n"; }}
tick() {{ echo "tick $n"; }}
call() {{ ping -c 1 -W 2 {ADDRESS} > /dev/null 2>&1 && echo "answered $n"; }}
listen() {{
  until ping -c 1 -W 2 {ADDRESS}; do sleep 1; done > /dev/null 2>&1
  sleep 1000000 | nc {ADDRESS} 7000 | while read -r line; do echo "heard $line"; done
  echo "connection ended"
}}
case $(hostname) in
  mover)
    echo "serials" $(cat /sys/block/vd*/serial) "end"
    forever keep &
    forever tick | nc -l -p 7000 &
    ;;
  peer)
    listen &
    forever call &
    ;;
esac
"""


class Machines(test_shared_pool.SharedMachines):
    # These machines are one: both ends of a move would have the guest in one control group, and each wait for the other
    # to leave it. Without any, guests run without limits.
    daemon_wrapper = ("unshare", "--mount", "sh", "-c", 'umount --recursive --lazy /sys/fs/cgroup; exec "$@"', "sh")

    def setUp(self):
        super().setUp()
        self.join("beta", "gamma")
        self.labs = {"lab": self.manager, **self.hosts}
        wait_until("the hosts have told what they have", lambda: all(
            int(host["status"].get("memoryBytes", 0)) for host in self.manager.json("host", "list")["items"]))

    def share(self, *hosts):
        named = [word for name in hosts for word in ("--host", name)]
        self.manager.gantry("pool", "create", "shared", "--shared", "--path", self.shared, *named)
        everywhere = {name: "READY" for name in hosts or self.labs}
        wait_until("the hosts have the pool", lambda: self.states_of_pool() == everywhere)

    def where(self, name):
        """The host that the manager has it on."""
        host_id = self.manager.vm(name)["placement"]["hostId"]
        return next(h["meta"]["name"] for h in self.manager.json("host", "list")["items"] if h["meta"]["id"] == host_id)

    def on(self, name, launch):
        """Launches what may run anywhere, but is to begin there."""
        others = [other for other in self.labs if other != name]
        for other in others:
            self.manager.gantry("host", "cordon", other)
        launch()
        for other in others:
            self.manager.gantry("host", "uncordon", other)

    def qemus(self, host, vm_id):
        return self.labs[host].processes(f"guest={vm_id}")

    def refused(self, *arguments):
        with self.assertRaises(CommandFailed) as refused:
            self.manager.gantry(*arguments)
        return refused.exception

    def left_on(self, host, vm_id):
        """Whatever of that VM is on a host: processes, NICs, files outside of pools."""
        letters = vm_id.split("-", 1)[1]
        lab = self.labs[host]
        links = [line for line in run("ip", "-n", lab.name, "-o", "link").stdout.splitlines() if letters in line]
        files = [os.path.join(folder, name) for folder, folders, names in os.walk(lab.state)
                 for name in folders + names if letters in name and "/pools/" not in folder]
        return [*lab.processes(vm_id), *links, *files]

    def wait_until_clean(self, vm_id, *hosts):
        for host in hosts:
            try:
                wait_until(f"nothing of it is left on {host}", lambda: not self.left_on(host, vm_id))
            except AssertionError as error:
                raise AssertionError(f"{error}: {self.left_on(host, vm_id)}") from None
        placement = wait_until("the hosts it left are forgotten", lambda: self.settled(vm_id))
        self.assertNotIn("move", placement)

    def settled(self, vm_id):
        placement = self.manager.vm(vm_id)["placement"]
        return placement if not placement.get("leftHosts") else None


class CountingGuest(Machines):
    """`mover` runs on beta and counts."""

    # What its machine runs.
    program = PROGRAM
    # Its disks; the first is what it counts on.
    disks = ("16M,format=raw,pool=shared",)

    def setUp(self):
        super().setUp()
        manager = self.manager
        self.share()
        manager.gantry("image", "import", self.make_counting_image(), "--name", "tiny", "--kernel",
                       "--kernel-arguments", KERNEL_ARGUMENTS, "--pool", "shared")
        manager.gantry("network", "create", "segment", "--kind", "overlay", "--subnet", "10.77.0.0/24")
        self.before_launch()
        disks = [word for disk in self.disks for word in ("--add-disk", disk)]
        self.on("beta", lambda: manager.launch(
            "mover", "--hostname", "mover", "--network", f"segment,ip={ADDRESS}", *disks))
        vm = manager.vm("mover")
        self.vm_id = vm["meta"]["id"]
        self.boot_id = vm["status"]["bootId"]
        self.wait_for_count("beta", 1)

    def before_launch(self):
        """What its disks need."""

    def make_counting_image(self):
        archive = self.make_archive()
        folder = archive.parent
        program = folder / "run-test"
        program.write_text(self.program)
        program.chmod(0o755)
        run("sh", "-c", "echo run-test | busybox cpio -o -H newc -R 0:0 >> guest/initramfs", cwd=folder)
        run("tar", "-C", folder / "guest", "--format=ustar", "-cf", archive, "kernel", "initramfs")
        return archive

    # What the guests say

    def console(self, host, vm_id=None):
        path = self.labs[host].state / "vms" / (vm_id or self.vm_id) / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def counts(self, host):
        return [int(number) for number in re.findall(r"count (\d+)\r?\n", self.console(host))]

    def wait_for_count(self, host, least):
        """The last number that the guest there said."""
        return wait_until(f"the guest counts to {least} on {host}",
                          lambda: (counts := self.counts(host)) and counts[-1] >= least and counts[-1])

    def wait_for_more(self, host):
        return self.wait_for_count(host, (self.counts(host) or [0])[-1] + 3)

    def disk_path(self, position):
        volume = self.manager.vm("mover")["spec"]["disks"][position]["volume"]
        return self.manager.json("volume", "show", volume)["status"]["path"]

    def kept(self):
        with open(self.disk_path(0), "rb") as disk:
            return int(re.match(rb"kept (\d+)\n", disk.read(512)).group(1))

    def launch_peer(self, host):
        self.manager.launch("peer", "--hostname", "peer", "--network", "segment", "--host", host)
        self.peer_host, self.peer_id = host, self.manager.vm("peer")["meta"]["id"]
        self.wait_for_peer("heard tick")
        self.wait_for_peer("answered")

    def last_at_peer(self, word):
        found = re.findall(rf"{word} (\d+)\r?\n", self.console(self.peer_host, self.peer_id))
        return int(found[-1]) if found else 0

    def wait_for_peer(self, word):
        before = self.last_at_peer(word)
        wait_until(f"the peer says {word!r} again", lambda: self.last_at_peer(word) >= before + 3)

    # What is to hold after every move, done or not

    def assert_it_runs_on(self, host):
        """There alone, as it was booted once; nothing of it is anywhere else."""
        self.assertEqual(self.where("mover"), host)
        vm = self.manager.wait_for_state("mover", "RUNNING")
        self.wait_for_more(host)
        others = [other for other in self.labs if other != host]
        self.wait_until_clean(self.vm_id, *others)
        self.assertEqual(len(self.qemus(host, self.vm_id)), 1)
        self.assertEqual(vm["status"]["bootId"], self.boot_id)
        lease = wait_until("its host holds its lease", lambda: (
            (lease := self.manager.vm("mover")["status"]["lease"])["state"] == "HELD" and lease))
        self.assertEqual(lease["epoch"], self.manager.vm("mover")["placement"]["epoch"])
        self.assertGreaterEqual(self.kept(), self.counts(host)[0])

    # Slow moves, to have something happen in the middle

    def begin_slowly(self, target, bandwidth):
        task = self.manager.gantry("move", "mover", target, "--bandwidth", bandwidth, "--no-wait").strip()
        self.vm_that_moves()
        return task

    def vm_that_moves(self):
        def copying():
            vm = self.manager.vm("mover")
            move = vm["status"].get("move", {})
            return vm if move.get("phase") == "COPYING" and move.get("progress", {}).get("percent") else None
        return wait_until("its memory is on its way", copying)

    def task(self, task_id):
        return self.manager.json("task", "show", task_id)

    def wait_for_end(self, task_id):
        return wait_until("the move ends", lambda: (
            (task := self.task(task_id))["state"] in ("SUCCEEDED", "FAILED", "CANCELLED") and task))

    def assert_it_ended_well(self, task_id):
        """Moved or not: whatever was said is so."""
        task = self.wait_for_end(task_id)
        self.assertIn(task["state"], ("SUCCEEDED", "FAILED"))
        self.assert_it_runs_on("gamma" if task["state"] == "SUCCEEDED" else "beta")
        return task


class GuestMoveTest(CountingGuest):
    def test_a_guest_and_who_talks_to_it_notice_nothing(self):
        manager = self.manager
        self.launch_peer("beta")
        planned = manager.gantry("move", "mover", "gamma", "--dry-run")
        self.assertIn("This would be done", planned)
        self.assertIn("gamma", planned)
        self.assertEqual(self.where("mover"), "beta")
        self.assertNotIn("move", manager.vm("mover")["placement"])
        for source, target in (("beta", "gamma"), ("gamma", "lab"), ("lab", "beta")):
            before = self.wait_for_count(source, 1)
            said = manager.gantry("move", "mover", target)
            self.assertRegex(said, r"moved in [\d.]+ m?s, of which the guest stood still for [\d.]+ m?s")
            self.assert_it_runs_on(target)
            counts = self.counts(target)
            self.assertGreater(counts[0], before)
            self.assertEqual(counts, list(range(counts[0], counts[-1] + 1)), "the console lost something")
            self.assertNotIn("gantry-test-guest ready", self.console(target))
            for word in ("heard tick", "answered"):
                self.wait_for_peer(word)
            self.assertNotIn("connection ended", self.console("beta", self.peer_id))
            if target == "lab":
                manager.type_at_console("mover", "echo typed-$((40+2))\n")
                manager.wait_for_console("mover", "typed-42")
        # Where it was, it is as if it had never been away.
        manager.gantry("pause", "mover")
        manager.gantry("resume", "mover")
        for name in ("mover", "peer"):
            manager.gantry("delete", name)
        for vm_id in (self.vm_id, self.peer_id):
            for host in self.labs:
                self.assertEqual(self.left_on(host, vm_id), [])
        self.assertEqual(os.listdir(self.shared / "leases"), [])

    def test_a_slow_move_loses_nothing(self):
        # QEMU sent memory in rounds, and lost some of it about every other time.
        for target in ("gamma", "beta", "gamma"):
            self.manager.gantry("move", "mover", target, "--bandwidth", "12M")
            self.assert_it_runs_on(target)

    def test_a_cancelled_move_leaves_it_where_it_is(self):
        manager = self.manager
        task = self.begin_slowly("gamma", "2M")
        self.assertIn("(moving", manager.gantry("list"))
        self.assertIn("# gamma", manager.gantry("show", "mover"))
        address = manager.vm("mover")["placement"]["move"].get("target", {}).get("address", {})
        self.assertFalse(address.get("secret"))
        self.assertIn("moves it already", self.refused("move", "mover", "lab").stderr)
        before = self.wait_for_more("beta")
        manager.gantry("task", "cancel", task)
        self.assertEqual(self.wait_for_end(task)["state"], "CANCELLED")
        self.assert_it_runs_on("beta")
        counts = self.counts("beta")
        self.assertEqual(counts, list(range(counts[0], counts[-1] + 1)))
        self.assertGreater(counts[-1], before)
        # It may go all the same, later.
        manager.gantry("move", "mover", "gamma")
        self.assert_it_runs_on("gamma")

    def test_the_agent_of_the_source_is_killed(self):
        task = self.begin_slowly("gamma", "4M")
        self.hosts["beta"].kill_daemon()
        self.hosts["beta"].start()
        self.assert_it_ended_well(task)

    def test_the_agent_of_the_target_is_killed(self):
        task = self.begin_slowly("gamma", "4M")
        self.hosts["gamma"].kill_daemon()
        self.hosts["gamma"].start()
        self.assert_it_ended_well(task)

    def test_the_target_is_lost(self):
        task = self.begin_slowly("gamma", "2M")
        self.hosts["gamma"].kill_daemon()
        ended = self.wait_for_end(task)
        self.assertEqual(ended["state"], "FAILED")
        self.assertIn("gamma", ended["problem"]["summary"] + ended["problem"]["cause"])
        self.wait_for_more("beta")
        self.hosts["gamma"].start()
        self.assert_it_runs_on("beta")

    def test_the_manager_is_killed(self):
        task = self.begin_slowly("gamma", "4M")
        self.manager.kill_daemon()
        self.manager.start()
        self.assert_it_ended_well(task)

    def test_the_process_at_the_target_is_killed(self):
        task = self.begin_slowly("gamma", "2M")
        for pid in self.qemus("gamma", self.vm_id):
            os.kill(pid, signal.SIGKILL)
        ended = self.assert_it_ended_well(task)
        self.assertEqual(ended["state"], "FAILED")
        self.assertTrue(ended["problem"]["cause"])

    def test_the_process_at_the_source_is_killed(self):
        task = self.begin_slowly("gamma", "2M")
        (qemu,) = self.qemus("beta", self.vm_id)
        os.kill(qemu, signal.SIGKILL)
        self.assertEqual(self.wait_for_end(task)["state"], "FAILED")
        self.manager.wait_for_state("mover", "CRASHED")
        self.wait_until_clean(self.vm_id, "lab", "gamma")
        self.manager.gantry("start", "mover")
        self.assertEqual(len(self.qemus(self.where("mover"), self.vm_id)), 1)


class RefusedMoveTest(Machines):
    def make(self, name, pool, network="none", host=""):
        """It has a blank disk and no image: its firmware finds nothing to boot, and runs."""
        answer = Api(self.manager).post("/api/v1/vms", {"name": name, "spec": {
            "memoryMib": 64, "disks": [{"create": {"capacityBytes": "1048576", "pool": pool}}],
            "nics": [{"network": network}], "host": host}})
        self.assertEqual(answer.status, 202, answer.body)
        self.manager.gantry("task", "wait", answer.json()["task"]["meta"]["id"])

    def test_a_move_that_cannot_be_is_refused_with_the_reason(self):
        manager = self.manager
        self.share("lab", "beta")
        self.on("beta", lambda: self.make("web", "shared"))
        # A host without that pool would have its disk copied.
        self.assertIn("to pool default-gamma", manager.gantry("move", "web", "gamma", "--dry-run"))
        manager.gantry("host", "cordon", "gamma")
        for arguments, code, words in ((["gamma"], 4, "cordoned"), (["beta"], 4, "already"), (["nowhere"], 3, "nowhere")):
            refused = self.refused("move", "web", *arguments)
            self.assertEqual(refused.code, code, refused)
            self.assertIn(words, refused.stderr)
            self.assertEqual(self.refused("move", "web", *arguments, "--dry-run").stderr, refused.stderr)
        manager.gantry("host", "maintenance", "lab")
        self.assertIn("maintenance", self.refused("move", "web", "lab").stderr)
        # There is no other that could have it, either.
        self.refused("move", "web")
        manager.gantry("host", "maintenance", "lab", "--end")
        manager.gantry("pause", "web")
        self.assertIn("paused", self.refused("move", "web", "lab").stderr)
        manager.gantry("resume", "web")
        manager.gantry("move", "web")
        self.assertEqual(self.where("web"), "lab")
        manager.gantry("stop", "web", "--force")
        self.assertIn("not run", self.refused("move", "web", "beta").stderr)
        manager.gantry("image", "import", self.make_archive(), "--name", "linux", "--kernel", "--pool", "default")
        manager.launch("bound", "--network", "none", "--add-disk", "1M,pool=shared", image="linux")
        self.assertIn("it does not reach image linux, the kernel", self.refused("move", "bound", "beta").stderr)
        self.make("local", "shared", "default")
        self.assertIn("network default", self.refused("move", "local").stderr)


class MaintenanceTest(Machines):
    make = RefusedMoveTest.make

    def test_it_empties_a_host(self):
        manager = self.manager
        self.share()
        for name in ("web", "db"):
            self.on("beta", lambda: self.make(name, "shared"))
        self.make("bound", "default-beta", host="beta")
        boots = {name: manager.vm(name)["status"]["bootId"] for name in ("web", "db")}
        planned = manager.gantry("host", "maintenance", "beta", "--dry-run")
        for words in ("move VM web to host", "move VM db to host", "VM bound stays", "it is bound to host"):
            self.assertIn(words, planned)
        self.assertEqual(self.where("web"), "beta")
        task = manager.gantry("host", "maintenance", "beta", "--no-wait").strip()
        self.assertIn("(maintenance)", manager.gantry("host", "list"))

        def phase():
            return manager.json("task", "show", task).get("progress", {}).get("phase", "")
        wait_until("only one is left, and the task says why",
                   lambda: re.match(r"1 of 3 guests left; bound: .*it is bound to host", phase()))
        self.assertEqual(manager.json("task", "show", task)["state"], "RUNNING")
        for name, boot in boots.items():
            self.assertIn(self.where(name), ("lab", "gamma"))
            self.assertEqual(manager.wait_for_state(name, "RUNNING")["status"]["bootId"], boot)
            self.assertEqual(self.left_on("beta", manager.vm(name)["meta"]["id"]), [])
        moves = [t for t in manager.json("task", "list")["items"] if t["action"] == "vm.move"]
        self.assertEqual(len(moves), 2)
        for move in moves:
            self.assertIn("because it goes into maintenance", move["plan"]["steps"][0])
        manager.gantry("stop", "--force", "bound")
        manager.gantry("task", "wait", task)
        self.assertIn("it is in maintenance", self.refused("start", "bound").stderr)
        where = {name: self.where(name) for name in boots}
        manager.gantry("host", "maintenance", "beta", "--end")
        manager.gantry("start", "bound")
        self.assertEqual({name: self.where(name) for name in boots}, where)
        moves = [t for t in manager.json("task", "list")["items"] if t["action"] == "vm.move"]
        self.assertEqual(len(moves), 2)

    def test_it_is_taken_back_by_a_cancel(self):
        manager = self.manager
        self.make("bound", "default-beta", host="beta")
        task = manager.gantry("host", "maintenance", "beta", "--no-wait").strip()
        manager.gantry("task", "cancel", task)
        self.assertEqual(manager.json("task", "show", task)["state"], "CANCELLED")
        self.assertNotIn("(maintenance)", manager.gantry("host", "list"))
        # And by its end, as a task that another change overtook.
        task = manager.gantry("host", "maintenance", "beta", "--no-wait").strip()
        manager.gantry("host", "maintenance", "beta", "--end")
        waited = self.refused("task", "wait", task)
        self.assertIn("its maintenance was ended", waited.stderr)
        self.assertEqual(manager.json("task", "show", task)["problem"]["code"], "superseded")


if __name__ == "__main__":
    unittest.main()
