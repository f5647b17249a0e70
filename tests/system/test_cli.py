"""What scripts build on: exit codes, output formats, names and ids alike, consoles and volumes by the command line."""
import json
import os
import subprocess
import unittest

from lab import BUILD, CommandFailed, Lab, wait_until


class CliTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.lab.start()
        cls.lab.import_test_guest()

    def code_of(self, *arguments, **environment):
        result = subprocess.run(
            [*self.lab.enter, str(BUILD / "src/app/gantry"), "--run-dir", str(self.lab.run_directory), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
            env={**os.environ, "HOME": str(self.lab.directory), **environment})
        if result.returncode != 0:
            self.assertTrue(result.stderr.strip(), f"{arguments} failed without a word")
        return result.returncode

    def test_exit_codes(self):
        lab = self.lab
        lab.gantry("volume", "create", "there", "--size", "1M")
        self.assertEqual(self.code_of("list"), 0)
        self.assertEqual(self.code_of("no-such-command"), 2)
        self.assertEqual(self.code_of("volume", "create", "Bad_Name", "--size", "1M"), 2)
        self.assertEqual(self.code_of("volume", "create", "v", "--size", "large"), 2)
        self.assertEqual(self.code_of("show", "nobody"), 3)
        self.assertEqual(self.code_of("task", "show", "task-000000000000"), 3)
        self.assertEqual(self.code_of("volume", "create", "there", "--size", "1M"), 4)
        self.assertEqual(self.code_of("--token", "wrong", "list"), 5)
        self.assertEqual(self.code_of("list", GANTRY_RUN_DIR="/nonexistent", HOME="/nonexistent"), 0)  # --run-dir wins
        self.assertEqual(self.code_of("--server", "https://127.0.0.1:9", "--fingerprint", "0" * 64, "list"), 6)
        # A task that fails: a damaged image.
        bad = lab.directory / "bad.qcow2"
        bad.write_bytes(b"QFI\xfb" + bytes(100))
        self.assertEqual(self.code_of("image", "import", str(bad), "--name", "bad"), 1)
        lab.gantry("volume", "delete", "there")

    def test_output_formats_say_the_same(self):
        lab = self.lab
        lab.gantry("volume", "create", "shown", "--size", "1M")
        table = lab.gantry("volume", "list")
        self.assertIn("NAME", table.splitlines()[0])
        self.assertIn("shown", table)
        (listed,) = [v for v in json.loads(lab.gantry("-o", "json", "volume", "list"))["items"]
                     if v["meta"]["name"] == "shown"]
        self.assertEqual(lab.json("volume", "show", "shown")["meta"]["id"], listed["meta"]["id"])
        yaml = lab.gantry("-o", "yaml", "volume", "show", "shown")
        self.assertRegex(yaml, r"(?m)^meta:$")
        self.assertRegex(yaml, rf"(?m)^  id: \"?{listed['meta']['id']}\"?$")
        self.assertRegex(yaml, r"(?m)^  name: \"?shown\"?$")
        self.assertNotIn("\t", yaml)
        for command in (("list",), ("image", "list"), ("pool", "list"), ("network", "list"), ("host", "list"),
                        ("task", "list"), ("token", "list")):
            for form in ("table", "yaml"):
                self.assertTrue(lab.gantry("-o", form, *command).strip(), command)
            json.loads(lab.gantry("-o", "json", *command))
        lab.gantry("volume", "delete", "shown")

    def test_a_volume_grows_between_two_boots_of_its_guest(self):
        lab = self.lab
        lab.gantry("volume", "create", "data", "--size", "64M")
        lab.launch("keeper", "--add-disk", "data", "--network", "none")
        self.assertEqual(self.sectors("keeper", "first"), 64 << 11)
        self.assertEqual(self.code_of("volume", "delete", "data"), 4)
        self.assertEqual(self.code_of("volume", "resize", "data", "--size", "128M"), 4)
        lab.gantry("stop", "keeper", "--force")
        self.assertEqual(self.code_of("volume", "resize", "data", "--size", "32M"), 2)
        lab.gantry("volume", "resize", "data", "--size", "128M")
        self.assertEqual(int(lab.json("volume", "show", "data")["status"]["capacityBytes"]), 128 << 20)
        lab.gantry("start", "keeper")
        self.assertEqual(self.sectors("keeper", "second"), 128 << 11)
        path = lab.json("volume", "show", "data")["status"]["path"]
        lab.gantry("delete", "keeper", "--yes")
        self.assertTrue(os.path.exists(path), "a volume that was not made with the VM stays")
        lab.gantry("volume", "delete", "data")
        self.assertFalse(os.path.exists(path))

    def sectors(self, name, word):
        lab = self.lab
        lab.wait_for_console(name, "gantry-test-guest ready")
        lab.type_at_console(name, f"echo {word}-$(cat /sys/block/vda/size)-end\n")

        def size():
            _, found, rest = lab.console_log(name).replace(f"{word}-$", "").partition(f"{word}-")
            return int(rest.split("-")[0]) if found and "-end" in rest else None
        return wait_until("the guest says how large its disk is", size)

    def test_a_name_works_wherever_an_id_does(self):
        lab = self.lab
        lab.gantry("volume", "create", "both", "--size", "1M")
        lab.launch("named", "--no-start", "--add-disk", "both")
        for command, name in ((("show",), "named"), (("volume", "show"), "both"), (("image", "show"), "tiny"),
                              (("network", "show"), "default"), (("pool", "show"), "default"), (("host", "show"), "lab")):
            by_name = lab.json(*command, name)
            by_id = lab.json(*command, by_name["meta"]["id"])
            self.assertEqual(by_id["meta"]["name"], name)
        ids = {kind: lab.json(kind, "show", name)["meta"]["id"]
               for kind, name in (("image", "tiny"), ("network", "default"), ("host", "lab"), ("volume", "both"))}
        lab.gantry("delete", lab.vm("named")["meta"]["id"], "--yes")
        lab.gantry("launch", ids["image"], "--name", "by-id", "--memory", "192M", "--no-ssh-key", "--network",
                   ids["network"], "--host", ids["host"], "--add-disk", ids["volume"])
        vm_id = lab.vm("by-id")["meta"]["id"]
        for verb in ("pause", "resume"):
            lab.gantry(verb, vm_id)
        lab.gantry("stop", vm_id, "--force")
        lab.gantry("start", vm_id)
        lab.wait_for_console("by-id", "gantry-test-guest ready")
        lab.type_at_console(vm_id, "echo by-id-$((40+2))\n")
        lab.wait_for_console("by-id", "by-id-42")
        lab.gantry("delete", vm_id, "--yes")
        lab.gantry("volume", "delete", ids["volume"])

    def test_the_console_shows_earlier_output_and_says_why_it_cannot(self):
        lab = self.lab
        lab.launch("talker", "--network", "none")
        lab.wait_for_console("talker", "gantry-test-guest ready")
        command = [*lab.enter, str(BUILD / "src/app/gantry"), "--run-dir", str(lab.run_directory), "console", "talker"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as console:
            seen = b""
            while b"gantry-test-guest ready" not in seen:
                piece = console.stdout.read(4096)
                self.assertTrue(piece, seen)
                seen += piece
            console.stdin.write(b"echo heard-$((40+2))\n")
            while b"heard-42" not in seen:
                piece = console.stdout.read(4096)
                self.assertTrue(piece, seen)
                seen += piece
            console.stdin.close()
            self.assertEqual(console.wait(60), 0)
        self.assertEqual(self.code_of("console", "nobody"), 3)
        lab.gantry("stop", "talker", "--force")
        self.assertEqual(self.code_of("console", "talker"), 4)
        with self.assertRaisesRegex(CommandFailed, "has no console now\n *why: it does not run"):
            lab.gantry("console", "talker")
        lab.gantry("delete", "talker", "--yes")

    def test_a_console_that_is_refused_for_another_reason_says_that_reason(self):
        with self.assertRaises(CommandFailed) as failed:
            self.lab.gantry("console", "a" * 20000)  # more than a request's header may have
        self.assertEqual(failed.exception.code, 2)
        self.assertNotIn("run", failed.exception.stderr)

    def test_following_events_ends_well_only_after_as_many_as_were_asked_for(self):
        lab = self.lab
        command = [*lab.enter, str(BUILD / "src/app/gantry"), "--run-dir", str(lab.run_directory), "-o", "json",
                   "events", "--from", "999999999", "--kinds", "volume", "--count", "2"]

        def follow():
            process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            first = json.loads(process.stdout.readline())
            self.assertIs(first["resync"], True)
            self.assertGreater(int(first["revision"]), 0)
            return process

        with follow() as process:
            lab.gantry("volume", "create", "told", "--size", "1M")
            said, problem = process.communicate(timeout=120)
            self.assertEqual((process.returncode, problem), (0, ""))
            events = [json.loads(line) for line in said.splitlines()]
            self.assertEqual([event["kind"] for event in events], ["volume", "volume"])
            self.assertFalse(any("resync" in event for event in events))
        with follow() as process:
            lab.stop_daemon()
            _, problem = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 6, problem)
            self.assertIn("next:", problem)
        lab.start()
        lab.gantry("volume", "delete", "told")

    def test_importing_says_as_much_as_it_is_asked_to(self):
        lab = self.lab
        disk = lab.directory / "small.raw"
        disk.write_bytes(bytes(1 << 20))
        self.assertEqual(lab.gantry("-q", "image", "import", disk, "--name", "silent"), "")
        task = lab.json("image", "import", disk, "--name", "as-json")
        self.assertEqual((task["action"], task["state"]), ("image.create", "SUCCEEDED"))
        self.assertIn("done", lab.gantry("image", "import", disk, "--name", "told"))
        lab.gantry("image", "delete", "silent", "as-json", "told")

    def test_the_pool_of_new_disks_makes_no_disk_of_a_kernel(self):
        lab = self.lab
        lab.gantry("pool", "create", "second", "--path", lab.directory / "second")
        lab.launch("pooled", "--no-start", "--pool", "second", "--add-disk", "1M", "--network", "none")
        (disk,) = lab.json("volume", "list")["items"]
        self.assertEqual(disk["spec"]["pool"], lab.json("pool", "show", "second")["meta"]["id"])
        lab.gantry("delete", "pooled", "--yes")
        self.assertEqual(self.code_of("launch", "no-such-image", "--name", "x", "--pool", "second"), 3)
        lab.gantry("pool", "delete", "second")

    def test_a_command_that_fails_says_what_to_do_next(self):
        with self.assertRaises(CommandFailed) as failed:
            self.lab.gantry("volume", "create", "huge", "--size", "60T", "--pool", "default")
        self.assertEqual(failed.exception.code, 4)
        self.assertIn("cannot promise", failed.exception.stderr)
        self.assertIn("next:", failed.exception.stderr)


if __name__ == "__main__":
    unittest.main()
