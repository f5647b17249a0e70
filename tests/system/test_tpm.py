"""A guest's TPM remembers: across moves of the guest, and across its boots on whichever host."""
import re
import unittest

from lab import KERNEL_ARGUMENTS, run, wait_until
import test_move

# TCG's "TPM 2.0 Library, part 3" has the commands: TPM2_PCR_Extend of register 16, which a boot resets, and
# TPM2_NV_ReadPublic and TPM2_NV_DefineSpace of an index, which none does.
PROGRAM = r"""#!/bin/sh
register() { cat /sys/class/tpm/tpm0/pcr-sha256/16; }
ask() { exec 3<> /dev/tpm0; printf "$1" >&3; head -c 10 <&3 | od -An -tx1 | tr -d ' \n'; exec 3>&-; }
echo "index $(ask '\200\001\000\000\000\016\000\000\001\151\001\120\000\000') end"
ask '\200\002\000\000\000\055\000\000\001\052\100\000\000\001\000\000\000\011\100\000\000\011\000\000\000\000\000\000\000\000\016\001\120\000\000\000\013\002\006\000\006\000\000\000\010' > /dev/null
echo "begins $(register) end"
ask '\200\002\000\000\000\101\000\000\001\202\000\000\000\020\000\000\000\011\100\000\000\011\000\000\000\000\000\000\000\000\001\000\013aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' > /dev/null
while :; do echo "holds $(register) end"; sleep 0.5; done
"""
# Response codes (part 2, 6.6): TPM_RC_HANDLE of the first handle, and success.
NO_SUCH_INDEX = "0000018b"
SUCCESS = "00000000"


class TpmTest(test_move.Machines):
    def setUp(self):
        super().setUp()
        self.share()
        manager = self.manager
        archive = self.make_archive()
        program = archive.parent / "run-test"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        run("sh", "-c", "echo run-test | busybox cpio -o -H newc -R 0:0 >> guest/initramfs", cwd=archive.parent)
        run("tar", "-C", archive.parent / "guest", "--format=ustar", "-cf", archive, "kernel", "initramfs")
        manager.gantry("image", "import", archive, "--name", "tiny", "--kernel", "--kernel-arguments", KERNEL_ARGUMENTS,
                       "--pool", "shared")
        manager.gantry("network", "create", "segment", "--kind", "overlay")

    def launch(self, pool):
        self.on("beta", lambda: self.manager.launch(
            "sealed", "--tpm", "--network", "segment", "--add-disk", f"16M,format=raw,pool={pool}"))
        self.vm_id = self.manager.vm("sealed")["meta"]["id"]

    def said(self, host, word):
        console = self.labs[host].state / "vms" / self.vm_id / "console.log"
        text = console.read_text(errors="replace") if console.exists() else ""
        return re.findall(rf"{word} ([0-9A-Fa-f]+) end\r?\n", text)

    def heard(self, host, word, times=1):
        return wait_until(f"the guest says {word!r} on {host}", lambda: (
            (said := self.said(host, word)) and len(said) >= times and said[-1]))

    def index(self, host, boots):
        return self.heard(host, "index", boots)[-8:]

    def kept(self, host):
        """Where that host's pools keep the TPM."""
        places = [self.shared / "tpm" / self.vm_id, *self.labs[host].state.glob(f"pools/*/tpm/{self.vm_id}")]
        return [place for place in places if place.exists()]

    def assert_it_moves(self, source, target, *options):
        register = self.heard(source, "holds")
        self.assertNotEqual(register, self.heard(source, "begins"), "it was extended")
        self.manager.gantry("move", "sealed", target, *options)
        self.assertEqual(self.heard(target, "holds", 3), register, "what a reset would have cleared")
        self.wait_until_clean(self.vm_id, source)

    def test_it_goes_with_its_guest_and_outlives_boots(self):
        manager = self.manager
        self.launch("shared")
        self.assertEqual(self.index("beta", 1), NO_SUCH_INDEX)
        self.assert_it_moves("beta", "gamma")
        self.assertEqual(len(self.kept("gamma")), 1)
        manager.gantry("stop", "sealed", "--force")
        wait_until("swtpm has ended", lambda: not self.labs["gamma"].processes(self.vm_id))
        manager.gantry("start", "sealed")
        self.assertEqual(self.index("gamma", 1), SUCCESS, "it was made before the move")
        manager.gantry("delete", "sealed", "--yes")
        self.assertEqual(self.kept("gamma"), [])

    def test_it_goes_to_another_pool_with_a_disk_that_does(self):
        self.launch(self.own_pool("beta"))
        self.assertEqual(self.index("beta", 1), NO_SUCH_INDEX)
        self.assert_it_moves("beta", "gamma", "--pool", self.own_pool("gamma"))
        self.assertEqual(self.kept("beta"), [], "nothing is left where it was")
        self.manager.gantry("restart", "sealed", "--force")
        self.assertEqual(self.index("gamma", 1), SUCCESS)

    def own_pool(self, host):
        host_id = self.manager.json("host", "show", host)["meta"]["id"]
        return next(pool["meta"]["name"] for pool in self.manager.json("pool", "list")["items"]
                    if pool["spec"].get("hostId") == host_id)


if __name__ == "__main__":
    unittest.main()
