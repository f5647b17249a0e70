"""quickstart: what it ends and deletes is its own. A copy of it drives real programs in a lab's network namespace."""
import os
import pathlib
import shutil
import subprocess
import unittest

from lab import BUILD, ROOT, Lab, wait_until


class QuickstartTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.tree = self.lab.directory / "tree"
        programs = self.tree / "build/release/src/app"
        programs.mkdir(parents=True)
        shutil.copy2(ROOT / "quickstart", self.tree)
        for program in ("gantry", "gantryd", "gantry-sentinel"):
            shutil.copy2(BUILD / "src/app" / program, programs)
        self.gantryd = programs / "gantryd"
        # Recipes and helpers are found beside the programs, as in a source tree.
        (self.tree / "tools").mkdir()
        (self.tree / "tools/images").symlink_to(ROOT / "tools/images")

    def quickstart(self, *arguments, **environment):
        return subprocess.Popen(
            [*self.lab.enter, str(self.tree / "quickstart"), *arguments], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "GANTRY_STATE_DIR": str(self.lab.state), "GANTRY_RUN_DIR": str(self.lab.run_directory),
                 "HOME": str(self.lab.directory), **environment})

    def ended(self, *arguments, **environment):
        with self.quickstart(*arguments, **environment) as process:
            said, _ = process.communicate()
            return process.returncode, said

    def own_daemon(self):
        """As quickstart starts it."""
        pid_file = self.lab.run_directory / "gantryd.pid"
        self.lab.daemon = subprocess.Popen(
            [*self.lab.enter, str(self.gantryd), "--state-dir", str(self.lab.state), "--run-dir",
             str(self.lab.run_directory), "--port", "8443"],
            stdin=subprocess.DEVNULL, stdout=self.lab.log, stderr=self.lab.log)
        wait_until("gantryd answers", lambda: pid_file.exists() and self.lab._answers())

    def test_removing_asks_for_what_it_did_not_make_to_be_deleted_first(self):
        lab = self.lab
        self.own_daemon()
        lab.import_test_guest("debian-12")
        lab.launch("hello", image="debian-12")
        for command in (("volume", "create", "precious", "--size", "1M"), ("network", "create", "lab"),
                        ("launch", "debian-12", "--name", "other", "--memory", "192M", "--no-ssh-key", "--no-start",
                         "--network", "none", "--add-disk", "1M")):
            lab.gantry(*command)
        (others_disk,) = [v["meta"]["name"] for v in lab.json("volume", "list")["items"]
                          if v["meta"]["name"] != "precious"]
        code, said = self.ended("--remove")
        self.assertEqual(code, 1, said)
        for thing in ("VM other", f"volume {others_disk}", "volume precious", "network lab"):
            self.assertIn(f"\n{thing}\n", said)
        for thing in ("VM hello", "image debian-12", "network default"):
            self.assertNotIn(thing, said)
        self.assertEqual(lab.vm("hello")["status"]["state"], "RUNNING")
        self.assertIsNone(lab.daemon.poll())
        lab.gantry("delete", "other", "--yes")
        lab.gantry("volume", "delete", "precious")
        code, said = self.ended("--remove")
        self.assertEqual(code, 1, said)
        self.assertNotIn("VM other", said)
        lab.gantry("network", "delete", "lab")
        # The VM's own disk goes with it.
        lab.gantry("delete", "hello", "--yes")
        lab.launch("hello", "--add-disk", "1M", image="debian-12")
        code, said = self.ended("--remove")
        self.assertEqual(code, 0, said)
        self.assertEqual(lab.daemon.wait(60), 0)
        self.assertFalse(lab.state.exists())
        self.assertEqual(lab.processes("qemu-system"), [])

    def test_another_gantryd_is_neither_ended_nor_asked(self):
        lab = self.lab
        lab.start()  # of the build directory, not of the tree
        for arguments in ((), ("--stop",), ("--remove",)):
            code, said = self.ended(*arguments)
            self.assertEqual(code, 1, said)
            self.assertIn(f"another gantryd runs here: process {lab.daemon.pid}", said)
        self.assertIsNone(lab.daemon.poll())
        lab.stop_daemon()
        self.own_daemon()
        code, said = self.ended("--remove", GANTRY_STATE_DIR=str(lab.directory / "elsewhere"))
        self.assertEqual(code, 1, said)
        self.assertIsNone(lab.daemon.poll())
        code, said = self.ended("--stop")
        self.assertEqual(code, 0, said)
        self.assertEqual(lab.daemon.wait(60), 0)
        self.assertTrue(lab.state.exists())

    def test_a_new_build_replaces_its_own_daemon(self):
        lab = self.lab
        self.own_daemon()
        lab.import_test_guest("debian-12")
        lab.launch("hello", "--forward", ":22", image="debian-12")
        vm_id = lab.vm("hello")["meta"]["id"]
        # A build that takes a moment, and no packages to install. The guest has no SSH: what would be run is seen.
        shutil.copy2(self.gantryd, self.gantryd.with_suffix(".new"))
        said_to_ssh = lab.directory / "ssh-arguments"
        for path, text in {
                self.tree / "tools/install-packages": "true",
                lab.directory / "bin/cmake": "true",
                lab.directory / "bin/ninja": f"mv {self.gantryd}.new {self.gantryd}; touch {self.gantryd}",
                lab.directory / "bin/ssh": f"echo \"$*\" >{said_to_ssh}.new; mv {said_to_ssh}.new {said_to_ssh}"}.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        before = lab.daemon.pid
        run = self.quickstart(PATH=f"{lab.directory}/bin:{os.environ['PATH']}")
        self.addCleanup(run.stdout.close)
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        wait_until("quickstart tries to reach the guest", lambda: said_to_ssh.exists() or run.poll() is not None)
        self.assertTrue(said_to_ssh.exists(), run.stdout.read() if run.poll() is not None else "")
        self.assertEqual(lab.daemon.wait(60), 0)
        after = int((lab.run_directory / "gantryd.pid").read_text())
        self.assertNotEqual(after, before)
        self.assertEqual(pathlib.Path(f"/proc/{after}/exe").readlink(), self.gantryd)
        # A guest made again has other keys, but may have the same port.
        self.assertIn(f"-o HostKeyAlias=gantry-{vm_id} ", said_to_ssh.read_text())

    def test_what_it_prints_at_the_end_works_as_it_stands(self):
        lab = self.lab
        self.own_daemon()
        lab.import_test_guest("debian-12")
        lab.launch("greeter", "--forward", ":22", image="debian-12")
        key = lab.state / "quickstart_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        # The test guest has no agent to be waited for: the words alone are taken from the script.
        script = (ROOT / "quickstart").read_text()
        head = script[script.index("state=${"):script.index("\nsay()")]
        hints = script[script.index("print_hints() {"):]
        self.assertIn("\n}\n\nprint_hints\n", hints)
        environment = {**os.environ, "HOME": str(lab.directory), "GANTRY_STATE_DIR": str(lab.state),
                       "GANTRY_RUN_DIR": str(lab.run_directory), "GANTRY_SERVER": "https://192.0.2.1"}
        said = subprocess.run(["bash", "-euc", f"name=greeter\n{head}\n{hints}"], cwd=self.tree, env=environment,
                              check=True, capture_output=True, text=True).stdout
        fake = lab.directory / "bin/ssh"
        fake.parent.mkdir()
        fake.write_text('#!/bin/sh\necho "$@"\n')
        fake.chmod(0o755)
        # Whoever types them later has another shell, and may be signed in elsewhere.
        later = {"HOME": str(lab.directory), "GANTRY_SERVER": "https://192.0.2.1",
                 "PATH": f"{fake.parent}:{os.environ['PATH']}"}

        def follow(hint, more=""):
            (line,) = [line for line in said.splitlines() if line.startswith(f"  {hint}:")]
            command = line.partition(":")[2].split("  (")[0]
            result = subprocess.run([*lab.enter, "sh", "-c", f"{command} {more}"], cwd="/", env=later, text=True,
                                    stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=240)
            self.assertEqual(result.returncode, 0, f"{command}: {result.stdout}{result.stderr}")
            return result.stdout + result.stderr

        self.assertIn("greeter", follow("all VMs"))
        self.assertIn(f"-i {key} 127.0.0.1", follow("shell"))
        plan = follow("another", "--dry-run")
        self.assertIn("make VM web", plan)
        self.assertNotIn("warning", plan)
        follow("end")
        self.assertEqual(lab.daemon.wait(60), 0)
        self.assertFalse(lab.state.exists())


if __name__ == "__main__":
    unittest.main()
