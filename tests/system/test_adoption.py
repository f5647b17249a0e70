import json
import os
import random
import time
import unittest

from lab import CommandFailed, Lab, wait_until

ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}


class AdoptionTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.lab.start()
        self.lab.import_test_guest()

    def qemu_of(self, name):
        return self.lab.processes(self.lab.vm(name)["meta"]["id"])

    def test_guests_outlive_the_daemon_and_are_found_again(self):
        lab = self.lab
        lab.launch("a")
        lab.launch("b")
        before = (self.qemu_of("a"), self.qemu_of("b"))
        for end in (lab.kill_daemon, lab.stop_daemon):
            end()
            lab.start()
            self.assertEqual((self.qemu_of("a"), self.qemu_of("b")), before)
            lab.wait_for_state("a", "RUNNING")
        lab.gantry("pause", "a")
        lab.gantry("stop", "b", "--force")
        self.assertEqual(self.qemu_of("b"), [])

    def test_an_end_while_the_daemon_is_away_is_seen(self):
        lab = self.lab
        lab.launch("a")
        (pid,) = self.qemu_of("a")
        lab.kill_daemon()
        os.kill(pid, 9)
        lab.start()
        status = lab.wait_for_state("a", "CRASHED", "STOPPED")["status"]
        self.assertNotEqual(status["exit"]["reason"], "NONE")

    def test_a_reboot_of_the_machine_brings_back_exactly_what_ran(self):
        lab = self.lab
        names = ["ran", "held", "stopped", "crashed"]
        for name in names:
            lab.launch(name)
        lab.gantry("pause", "held")
        lab.gantry("stop", "stopped", "--force")
        (pid,) = self.qemu_of("crashed")
        os.kill(pid, 9)
        crash = lab.wait_for_state("crashed", "CRASHED")["status"]["exit"]
        boots = {name: lab.vm(name)["status"]["bootId"] for name in names}
        directories = {name: lab.state / "vms" / lab.vm(name)["meta"]["id"] for name in names}
        before = self.qemu_of("ran") + self.qemu_of("held")
        self.assertEqual(len(before), 2)

        lab.kill_daemon()
        for pid in before:
            os.kill(pid, 9)
            wait_until(f"process {pid} is gone", lambda p=pid: not os.path.exists(f"/proc/{p}/exe"))
        for name in names:
            # As a reboot would find it: written during a boot of the machine that is over.
            path = directories[name] / "record.json"
            record = json.loads(path.read_text())
            self.assertIn("machine_boot_id", record)
            record["machine_boot_id"] = "an-earlier-boot-of-the-machine"
            path.write_text(json.dumps(record))
        lab.start()

        lab.wait_for_state("ran", "RUNNING")
        lab.wait_for_state("held", "PAUSED")
        for name in ("ran", "held"):
            wait_until(f"{name} has a QEMU", lambda n=name: self.qemu_of(n))
            self.assertEqual(len(self.qemu_of(name)), 1)
            self.assertNotIn(self.qemu_of(name)[0], before)
            # No new operation: the one that was promised to run it does.
            self.assertEqual(lab.vm(name)["status"]["bootId"], boots[name])
        # It runs indeed: a guest that was held can go on.
        lab.gantry("resume", "held")
        lab.wait_for_state("held", "RUNNING")
        for name, state in (("stopped", "STOPPED"), ("crashed", "CRASHED")):
            self.assertEqual(lab.vm(name)["status"]["state"], state)
            self.assertEqual(self.qemu_of(name), [])
        self.assertEqual(lab.vm("crashed")["status"]["exit"], crash)

    def test_killed_at_random_moments_nothing_is_lost_or_done_twice(self):
        lab = self.lab
        seed = int(os.environ.get("GANTRY_SEED", random.randrange(1 << 30)))
        print(f"GANTRY_SEED={seed}")
        dice = random.Random(seed)
        rounds = int(os.environ.get("GANTRY_ROUNDS", "8"))
        accepted = []
        names = [f"vm{i}" for i in range(3)]
        for name in names:
            accepted.append(lab.gantry("launch", "tiny", "--name", name, "--memory", "128M", "--no-ssh-key", "--no-wait").strip())
        for _ in range(rounds):
            for name in dice.sample(names, 2):
                verb = dice.choice(["start", "stop", "restart", "reset", "pause", "resume"])
                options = ["--force"] if verb in ("stop", "restart") else []
                try:
                    accepted.append(lab.gantry(verb, name, *options, "--no-wait").strip())
                except CommandFailed as refused:
                    self.assertEqual(refused.code, 4, refused)  # not possible in the state it is in
            time.sleep(dice.random() * 0.6)  # the moment is the point of this test
            lab.kill_daemon()
            lab.start()
            for name in names:
                self.assertLessEqual(len(self.qemu_of(name)), 1, f"{name} runs twice")

        def all_ended():
            tasks = [lab.json("task", "show", task) for task in accepted]
            return all(task["state"] in ENDED for task in tasks) and tasks
        tasks = wait_until("every accepted task ends", all_ended)
        for task in tasks:
            self.assertNotEqual(task["state"], "FAILED", task)
        for name in names:
            vm = lab.vm(name)
            wanted = {"RUNNING": "RUNNING", "STOPPED": "STOPPED", "PAUSED": "PAUSED"}[vm["spec"]["power"]]
            lab.wait_for_state(name, wanted)


if __name__ == "__main__":
    unittest.main()
