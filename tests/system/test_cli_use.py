"""What a person meets who mistypes, forgets or only looks: help, wrong use, warnings, reasons and names."""
import os
import re
import subprocess
import unittest

from lab import BUILD, Lab

GANTRY = str(BUILD / "src/app/gantry")


class CliUseTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.lab.start()
        cls.lab.import_test_guest()

    def gantry(self, *arguments, **environment):
        return subprocess.run(
            [*self.lab.enter, GANTRY, "--run-dir", str(self.lab.run_directory), *map(str, arguments)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240,
            env={**os.environ, "HOME": str(self.lab.directory), **environment})

    def refused(self, code, *arguments):
        """What it said, which has a next step."""
        result = self.gantry(*arguments)
        self.assertEqual(result.returncode, code, f"{arguments}: {result.stdout}{result.stderr}")
        self.assertRegex(result.stderr, r"^error: .", arguments)
        self.assertRegex(result.stderr, r"(?m)^  next: .", arguments)
        return result.stderr

    def commands(self, *path):
        yield path
        said = self.gantry(*path, "--help").stdout
        below = re.search(r"(?m)^Subcommands:\n((?:  .*\n)+)", said)
        for line in below.group(1).splitlines() if below else ():
            if match := re.match(r"  ([a-z-]+)", line):
                yield from self.commands(*path, match.group(1))

    def test_the_help_of_every_command_has_examples_of_its_own(self):
        paths = list(self.commands())
        self.assertGreater(len(paths), 45)
        for path in paths:
            said = self.gantry(*path, "--help").stdout
            _, _, examples = said.partition("Examples:\n")
            own = " ".join(("gantry", *path))
            self.assertRegex(examples.split("\n\n")[0], rf"(?m)^  {own}( |$)", f"{path}: {said}")

    def test_wrong_words_are_named_with_what_may_have_been_meant(self):
        self.assertIn('there is no command "gantry nosuch"', self.refused(2, "nosuch"))
        said = self.refused(2, "lanch", "tiny", "--name", "x")
        self.assertIn('"gantry lanch"', said)
        self.assertIn('"launch" meant', said)
        said = self.refused(2, "image", "bild")
        self.assertIn('"build" meant', said)
        self.assertIn("gantry image --help", said)
        said = self.refused(2, "delete", "web", "--dry")
        self.assertIn('"--dry-run" meant', said)
        self.assertIn('"gantry image" needs a command', self.refused(2, "image"))
        self.assertIn("gantry launch --help", self.refused(2, "launch", "tiny"))
        self.assertIn("json", self.refused(2, "-o", "xml", "list"))

    def test_values_that_mean_nothing_are_refused(self):
        lab = self.lab
        lab.launch("sized", "--no-start", "--network", "none")
        before = lab.vm("sized")["meta"]["revision"]
        for arguments in (("launch", "tiny", "--name", "x", "--cpus", "0"), ("launch", "tiny", "--name", "x", "--cpus", "500"),
                          ("launch", "tiny", "--name", "x", "--stop-timeout", "0"),
                          ("set", "sized", "--cpus", "0"), ("set", "sized", "--stop-timeout", "0"),
                          ("set", "sized", "--cpus", "256"), ("stop", "sized", "--timeout", "0"),
                          ("restart", "sized", "--timeout", "86401"), ("move", "sized", "--downtime", "0"),
                          ("move", "sized", "--downtime", "10001"), ("move", "sized", "--bandwidth", "fast"), ("token", "create", "t", "--days", "0"),
                          ("pool", "create", "p", "--path", lab.directory / "p", "--overcommit", "0"),
                          ("events", "--count", "0"),
                          ("launch", "tiny", "--name", "x", "--label", "=v"), ("set", "sized", "--label", "a b=c"),
                          ("list", "--label", "tier"), ("image", "list", "--label", "=x")):
            self.refused(2, *arguments)
        self.assertIn("nothing to change", self.refused(2, "set", "sized"))
        self.assertIn("--force", self.gantry("stop", "--help").stdout)
        self.assertEqual(lab.vm("sized")["meta"]["revision"], before)
        self.assertEqual([vm["meta"]["name"] for vm in lab.json("list")["items"]], ["sized"])
        lab.gantry("set", "sized", "--cpus", "2", "--label", "tier=web", "--label", "blue")
        self.assertEqual(lab.gantry("list", "--label", "tier=web").count("sized"), 1)
        lab.gantry("delete", "sized", "--yes")

    def test_what_was_forgotten_or_is_not_there_is_told_with_a_next_step(self):
        self.assertIn("--size", self.refused(2, "volume", "create", "v"))
        self.assertIn("/nonexistent", self.refused(3, "launch", "tiny", "--name", "x", "--ssh-key", "/nonexistent"))
        self.assertIn("/nonexistent", self.refused(3, "image", "import", "/nonexistent", "--name", "x"))

    def test_an_option_given_again_does_not_take_the_words_behind(self):
        plan = self.lab.gantry("launch", "--network", "none", "--label", "a=b", "tiny", "--name", "x", "--dry-run")
        self.assertIn("make VM x", plan)

    def test_a_daemon_that_was_stopped_is_not_reached(self):
        lab = self.lab
        lab.stop_daemon()
        try:
            said = self.refused(6, "list")
            self.assertIn("gantryd does not run", said)
        finally:
            lab.start()

    def test_who_would_get_a_guest_without_a_key_is_warned(self):
        lab = self.lab
        disk = lab.directory / "disk.raw"
        disk.write_bytes(bytes(1 << 20))
        lab.gantry("image", "import", disk, "--name", "disk")
        home = lab.directory / "home"
        (home / ".ssh").mkdir(parents=True)
        key = lab.directory / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        (lab.directory / "user-data").write_text("#cloud-config\n{}\n")
        launch = ("launch", "disk", "--name", "bare", "--memory", "192M", "--network", "none", "--no-start")
        for more in (("--dry-run",), ("--dry-run", "-o", "json"), ()):
            result = self.gantry(*launch, *more, HOME=str(home))
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertRegex(result.stderr, "(?m)^warning: no SSH key: nobody can sign in over SSH.*--ssh-key FILE")
            self.assertNotIn("gantry ssh", result.stdout)
        lab.gantry("delete", "bare", "--yes")
        for more in (("--no-ssh-key",), ("--user-data", lab.directory / "user-data"), ("--ssh-key", f"{key}.pub"), ("-q",)):
            self.assertNotIn("warning", self.gantry(*launch, "--dry-run", *more, HOME=str(home)).stderr, more)
        kernel = self.gantry("launch", "tiny", "--name", "k", "--memory", "192M", "--dry-run", HOME=str(home))
        self.assertEqual((kernel.returncode, kernel.stderr), (0, ""))
        # What is printed to sign in by works with the key that was given, and ssh gets it.
        said = self.gantry(*launch, "--ssh-key", f"{key}.pub", HOME=str(home)).stdout
        self.assertIn(f"gantry ssh -i {key} bare\n", said)
        lab.gantry("delete", "bare", "--yes")
        (home / ".ssh/id_ed25519.pub").write_text(key.with_suffix(".pub").read_text())
        result = self.gantry(*launch, HOME=str(home))
        self.assertIn("gantry ssh bare\n", result.stdout)
        self.assertNotIn("warning", result.stderr)
        lab.gantry("delete", "bare", "--yes")
        lab.gantry("image", "delete", "disk")

    def test_ssh_is_given_the_identity(self):
        lab = self.lab
        lab.launch("reached", "--no-start", "--forward", ":22")
        port = lab.vm("reached")["spec"]["nics"][0]["portForwards"][0]["hostPort"]
        fake = lab.directory / "bin/ssh"
        fake.parent.mkdir()
        fake.write_text('#!/bin/sh\necho "$@"\n')
        fake.chmod(0o755)
        key = lab.directory / "identity"
        key.touch()
        path = f"{fake.parent}:{os.environ['PATH']}"
        said = self.gantry("ssh", "-i", key, "root@reached", "--", "uptime", "-p", PATH=path)
        self.assertRegex(said.stdout, rf"-p {port} -l root -i {key} 127\.0\.0\.1 uptime -p\n$", said.stderr)
        self.assertNotIn("-i", self.gantry("ssh", "reached", PATH=path).stdout.split())
        self.assertEqual(self.gantry("ssh", "reached", "-i", "/nonexistent", PATH=path).returncode, 2)
        lab.gantry("delete", "reached", "--yes")

    def test_a_list_of_tokens_is_a_table(self):
        lab = self.lab
        self.assertRegex(lab.gantry("token", "list"), r"^NAME +ROLE AT MOST +CREATED +ENDS +ID\n$")
        for name, more in (("forever", ()), ("ending", ("--days", "90", "--role", "viewer"))):
            lab.gantry("token", "create", name, *more)
        rows = lab.gantry("token", "list").splitlines()
        self.assertRegex(rows[1] + rows[2], r"forever +yours +20\S+Z +never +\S+")
        self.assertRegex(rows[1] + rows[2], r"ending +viewer +20\S+Z +20\S+Z +\S+")
        lab.gantry("token", "delete", "forever")
        lab.gantry("token", "delete", "ending")

    def test_lists_say_why_and_records_say_names(self):
        lab = self.lab
        bad = lab.directory / "bad.qcow2"
        bad.write_bytes(b"QFI\xfb" + bytes(100))
        self.assertEqual(self.gantry("image", "import", bad, "--name", "bad").returncode, 1)
        header, *rows = lab.gantry("image", "list").splitlines()
        reasons = {row.split()[0]: row[header.index("REASON"):] for row in rows}
        self.assertEqual(reasons["tiny"], "-")
        self.assertGreater(len(reasons["bad"]), 10)
        lab.gantry("image", "delete", "bad")
        lab.launch("shown", "--no-start", "--add-disk", "1M")
        self.assertRegex(lab.gantry("list"), r"(?m)^NAME .* REASON\nshown .* -$")
        shown = lab.gantry("show", "shown")
        for field, name in (("image", "tiny"), ("network", "default"), ("hostId", "lab"), ("volume", "shown-disk0")):
            self.assertRegex(shown, rf"(?m)^ +(- )?{field}: \S+  # {name}$")
        self.assertNotIn("#", lab.gantry("show", "shown", "-o", "yaml"))
        lab.gantry("delete", "shown", "--yes")


if __name__ == "__main__":
    unittest.main()
