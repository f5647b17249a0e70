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
