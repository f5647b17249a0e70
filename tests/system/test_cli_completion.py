"""Completion: what is offered for a line that is being typed, and that each shell that is here takes its script."""
import os
import shutil
import subprocess
import time
import unittest

from lab import BUILD, Lab

GANTRY = str(BUILD / "src/app/gantry")

BASH = """source "$1"; COMP_WORDS=("${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _gantry
printf '%s\\n' "${COMPREPLY[@]}" """
# What would be shown, in place of what shows it.
ZSH = """source "$1"; [[ $_comps[gantry] == _gantry ]] || exit 1
_describe() { for each in "${(@P)2}"; do print -r -- "$each"; done }; _files() { print -r -- a-file }
words=("${@[2,-1]}"); CURRENT=$#words; _gantry"""
FISH = "source $argv[1]; complete -C \"$argv[2]\""


class CompletionTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab = Lab()
        cls.addClassCleanup(lab.close)
        lab.start()
        lab.import_test_guest()
        for name in ("web", "db"):
            lab.launch(name, "--no-start", "--network", "none")
        lab.gantry("volume", "create", "data", "--size", "1M")
        lab.gantry("token", "create", "ci")
        cls.scripts = {}
        for shell in ("bash", "zsh", "fish"):
            cls.scripts[shell] = lab.directory / f"completion.{shell}"
            cls.scripts[shell].write_text(lab.gantry("completion", shell))

    def run_in_lab(self, *command, **environment):
        result = subprocess.run(
            [*self.lab.enter, *command], capture_output=True, text=True, check=False, timeout=120,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self.lab.directory), "GANTRY_RUN_DIR": str(self.lab.run_directory),
                 "TERM": "dumb", **environment})
        self.assertEqual((result.returncode, result.stderr), (0, ""), command)
        return result.stdout.splitlines()

    def offered(self, *words, **environment):
        """By the program itself, without what a shell makes of it."""
        return [line.split("\t")[0] for line in self.run_in_lab(GANTRY, "__complete", *words, **environment)]

    def in_bash(self, *words):
        return self.run_in_lab("bash", "-c", BASH, "-", str(self.scripts["bash"]), GANTRY, *words)

    def test_commands_are_offered_at_every_depth(self):
        self.assertEqual(self.offered("vol"), ["volume"])
        self.assertEqual(self.offered("-o", "json", "sh"), ["show"])
        self.assertEqual(self.offered("-ojson", "--server", "x", "sh"), ["show"])
        self.assertEqual(self.offered("image", "b"), ["build"])
        self.assertNotIn("__complete", self.offered(""))
        self.assertEqual(self.offered("nosuch", ""), [])

    def test_options_are_offered_also_the_global_ones(self):
        self.assertEqual(self.offered("delete", "--dry"), ["--dry-run"])
        self.assertEqual(self.offered("delete", "web", "--keep"), ["--keep-volumes"])
        for command, own in ((("image", "build"), "--set"), (("volume", "create"), "--size"), ((), "--version")):
            words = self.offered(*command, "--")
            self.assertLess({own, "--help", "--output", "--dry-run", "--no-wait"}, set(words))
            self.assertEqual(len(words), len(set(words)), words)
        self.assertIn("--name", self.offered("launch", "tiny", ""))
        self.assertEqual(self.offered("ssh", "web", "--", "--dry"), [])

    def test_values_are_offered(self):
        for words in (("-o", ""), ("--output", ""), ("list", "-o", "")):
            self.assertEqual(self.offered(*words), ["table", "json", "yaml"])
        self.assertEqual(self.offered("--output=y"), ["--output=yaml"])
        self.assertEqual(self.offered("launch", "--firmware", "u"), ["uefi"])
        self.assertEqual(self.offered("completion", "z"), ["zsh"])
        self.assertEqual(self.offered("network", "create", "lan", "--kind", ""), ["nat", "bridge", "user", "overlay", "vlan"])
        self.assertEqual(self.offered("image", "build", ""), ["debian-12"])
        self.assertEqual(self.offered("events", "--kinds", "vo"), ["volume"])
        self.assertEqual(self.offered("launch", "--name", ""), [])
        for words in (("launch", "--ssh-key", ""), ("launch", "--user-data", ""), ("image", "import", ""),
                      ("ssh", "-i", "")):
            self.assertEqual(self.offered(*words), [":files"])

    def test_names_are_offered_by_kind(self):
        for verb in ("show", "start", "stop", "restart", "reset", "pause", "resume", "move", "set", "delete", "console", "ssh"):
            self.assertCountEqual(self.offered(verb, ""), ["web", "db"], verb)
        self.assertEqual(self.offered("delete", "web", ""), ["db"])
        self.assertEqual(self.offered("ssh", "root@w"), ["root@web"])
        for words in (("launch", ""), ("image", "delete", ""), ("image", "show", "t"),
                      ("volume", "create", "v", "--image", "")):
            self.assertEqual(self.offered(*words), ["tiny"], words)
        self.assertCountEqual(self.offered("launch", "tiny", "--network", ""), ["default", "none"])
        self.assertEqual(self.offered("launch", "--network=d"), ["--network=default"])
        self.assertEqual(self.offered("launch", "tiny", "--add-disk", ""), ["data"])
        for words in (("launch", "--pool", ""), ("pool", "show", ""), ("image", "build", "--pool", "")):
            self.assertEqual(self.offered(*words), ["default"], words)
        for words in (("launch", "--host", ""), ("host", "cordon", ""), ("host", "leave", ""), ("move", "web", ""), ("network", "create", "--host", "")):
            self.assertEqual(self.offered(*words), ["lab"], words)
        self.assertEqual(self.offered("volume", "resize", ""), ["data"])
        self.assertEqual(self.offered("network", "show", ""), ["default"])
        self.assertEqual(self.offered("token", "delete", ""), ["ci"])
        task = self.lab.json("task", "list")["items"][0]["meta"]["id"]
        self.assertIn(task, self.offered("task", "show", ""))

    def test_a_server_that_cannot_be_asked_costs_names_and_nothing_else(self):
        nowhere = {"GANTRY_RUN_DIR": "/nonexistent"}
        self.assertEqual(self.offered("show", "", **nowhere), [])
        self.assertEqual(self.offered("delete", "--dry", **nowhere), ["--dry-run"])
        # The line says better than the environment who is asked.
        self.assertCountEqual(self.offered("--run-dir", str(self.lab.run_directory), "show", "", **nowhere),
                              ["web", "db"])
        self.assertEqual(self.offered("--token", "wrong", "show", ""), [])
        # One that takes the connection and says nothing.
        listener = "import socket, sys; s = socket.create_server(('127.0.0.1', 9)); print(flush=True); sys.stdin.read()"
        with subprocess.Popen([*self.lab.enter, "python3", "-c", listener], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as silent:
            silent.stdout.readline()
            before = time.monotonic()
            self.assertEqual(self.offered("--server", "https://127.0.0.1:9", "show", ""), [])
            self.assertLess(time.monotonic() - before, 20)
            silent.stdin.close()

    def test_bash(self):
        subprocess.run(["bash", "-n", str(self.scripts["bash"])], check=True)
        self.assertEqual(self.in_bash("delete", "--dry"), ["--dry-run"])
        self.assertEqual(self.in_bash("image", "delete", ""), ["tiny"])
        self.assertEqual(self.in_bash("-o", "json", "sh"), ["show"])
        self.assertCountEqual(self.in_bash("launch", "tiny", "--network", ""), ["default", "none"])
        self.assertEqual(self.in_bash("-o", ""), ["table", "json", "yaml"])
        self.assertIn("--size", self.in_bash("volume", "create", "--"))
        # bash parts words at "=" and "@", and replaces only what is behind.
        self.assertEqual(self.in_bash("--output", "=", "ya"), ["yaml"])
        self.assertEqual(self.in_bash("launch", "--label", "a", "=", "b", "ti"), ["tiny"])
        self.assertEqual(self.in_bash("ssh", "root", "@", "we"), ["web"])
        folder = self.lab.directory / "files"
        folder.mkdir()
        (folder / "disk.raw").touch()
        self.assertEqual(self.in_bash("image", "import", f"{folder}/d"), [f"{folder}/disk.raw"])

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh(self):
        def offered(*words):
            return self.run_in_lab("zsh", "-f", "-c", ZSH, "-", str(self.scripts["zsh"]), GANTRY, *words)
        self.assertEqual([line.split(":")[0] for line in offered("delete", "--dry")], ["--dry-run"])
        self.assertEqual(offered("image", "delete", ""), ["tiny"])
        self.assertEqual(offered("-o", ""), ["table", "json", "yaml"])
        self.assertEqual(offered("image", "import", ""), ["a-file"])
        self.assertEqual(offered("launch", "--name", ""), [])

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish(self):
        path = f"{BUILD / 'src/app'}:{os.environ['PATH']}"

        def offered(line):
            lines = self.run_in_lab("fish", "--no-config", "-c", FISH, str(self.scripts["fish"]), line, PATH=path)
            return [line.split("\t")[0] for line in lines]
        self.assertEqual(offered("gantry delete --dry"), ["--dry-run"])
        self.assertEqual(offered("gantry image delete "), ["tiny"])
        self.assertEqual(offered("gantry -o json sh"), ["show"])
        self.assertCountEqual(offered("gantry -o "), ["table", "json", "yaml"])
        self.assertEqual(offered("gantry launch --name "), [])


if __name__ == "__main__":
    unittest.main()
