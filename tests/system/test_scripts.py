"""The scripts around the programs: what they leave on a machine."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from lab import ROOT, wait_until


def write_program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


class ScriptTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gantry-scripts-"))
        self.addCleanup(shutil.rmtree, self.directory)


class CheckTreeTest(ScriptTest):
    def findings(self, name, text, rooms="gantry_room(base KNOWS)\ngantry_room(model KNOWS base)\n"):
        (self.directory / "tools").mkdir(exist_ok=True)
        shutil.copy(ROOT / "tools/check-tree", self.directory / "tools")
        (self.directory / "CMakeLists.txt").write_text(rooms)
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        result = subprocess.run([self.directory / "tools/check-tree"], capture_output=True, text=True, check=False)
        path.unlink()
        return result.returncode, result.stdout + result.stderr

    def test_it_finds_what_it_is_for(self):
        self.assertEqual(self.findings("src/model/good.cc", '#include "base/id.h"\n')[0], 0)
        for name, line in (("src/base/bad.h", '#include "model/vm.h"'),
                           ("src/base/bad.cc", "auto t = std::chrono::steady_clock::now();"),
                           ("src/model/bad.cc", "std::unordered_map<int, int> m;"),
                           ("src/model/bad.cc", "std::uniform_int_distribution<int> d;"),
                           ("src/model/bad.cc", "auto* p = new Thing(1);"),
                           ("sim/bad.cc", "int n;  // " + "TO" + "DO"),
                           ("src/model/bad.cc", "\n" * 501)):
            code, text = self.findings(name, line + "\n")
            self.assertEqual(code, 1, line)
            self.assertIn(name + ":", text)
        self.assertEqual(self.findings("src/model/good.cc", "\n", rooms="\n")[0], 1)


class InstallPackagesTest(ScriptTest):
    """In a mount namespace with a /usr/sbin of its own, and with an apt-get and a dpkg-query that only say so."""

    def setUp(self):
        super().setUp()
        self.sbin = self.directory / "sbin"
        self.policy = self.sbin / "policy-rc.d"
        self.begun = self.directory / "begun"
        self.programs = self.directory / "bin"
        self.sbin.mkdir()
        self.programs.mkdir()

    def install(self, status, apt_get):
        """`status` is what dpkg says of every package."""
        write_program(self.programs / "dpkg-query", f"echo {status}")
        write_program(self.programs / "apt-get", apt_get)
        run = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             f"mount --bind {self.sbin} /usr/sbin && exec {ROOT}/tools/install-packages run"],
            env={**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(run.wait)
        return run

    def interrupt(self, which):
        run = self.install("not-installed", f"touch {self.begun}; exec sleep 600")
        wait_until("apt-get runs", lambda: self.begun.exists() or run.poll() is not None)
        self.assertEqual(subprocess.run([self.policy], check=False).returncode, 101, "services may start")
        os.killpg(run.pid, which)
        self.assertNotEqual(run.wait(), 0)
        self.begun.unlink()

    def test_an_end_in_the_middle_leaves_no_policy(self):
        self.interrupt(signal.SIGTERM)
        self.assertFalse(self.policy.exists())
        self.interrupt(signal.SIGKILL)
        self.assertTrue(self.policy.exists())
        self.assertEqual(self.install("installed", "false").wait(), 0)
        self.assertFalse(self.policy.exists(), "what a killed run left is not of somebody else")

    def test_it_leaves_a_policy_of_somebody_else_alone(self):
        for status, apt_get, code in (("installed", "false", 0), ("not-installed", "true", 0),
                                      ("not-installed", "false", 1)):
            self.assertEqual(self.install(status, apt_get).wait(), code)
            self.assertFalse(self.policy.exists())
        write_program(self.policy, "exit 101")
        for status in ("installed", "not-installed"):
            self.assertEqual(self.install(status, "true").wait(), 0)
            self.assertTrue(self.policy.exists())


class KeepPackagesTest(ScriptTest):
    def test_the_cache_has_what_images_were_made_of_lately(self):
        root, cache = self.directory / "root", self.directory / "cache"
        archives = root / "var/cache/apt/archives"
        for folder in (archives, cache, root / "var/lib/dpkg/updates"):
            folder.mkdir(parents=True)
        installed = (("new", "1.0", "all"), ("kept", "1:2.0+b1", "amd64"), ("base", "3~rc1", "amd64"))
        (root / "var/lib/dpkg/status").write_text("".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: {architecture}\n"
            "Maintainer: nobody\nDescription: a test\n\n" for name, version, architecture in installed))
        # mmdebstrap's hook before has put there what the cache held; "base" was never downloaded.
        names = {"kept_1%3a2.0+b1_amd64.deb": 40, "kept_1%3a1.0_amd64.deb": 40, "linux-image-1_1_amd64.deb": 40,
                 "of-another-image_1_amd64.deb": 20, ".broken_1_amd64.deb.new.17": 40}
        for name, age_days in names.items():
            for folder in (archives, cache):
                (folder / name).write_text(name)
                then = time.time() - age_days * 86400
                os.utime(folder / name, (then, then))
        (archives / "new_1.0_all.deb").write_text("new")
        subprocess.run([ROOT / "tools/images/debian/keep-packages", root, cache], check=True)
        self.assertEqual(sorted(path.name for path in cache.iterdir()),
                         ["kept_1%3a2.0+b1_amd64.deb", "new_1.0_all.deb", "of-another-image_1_amd64.deb"])
        self.assertEqual((cache / "new_1.0_all.deb").read_text(), "new")


if __name__ == "__main__":
    unittest.main()
