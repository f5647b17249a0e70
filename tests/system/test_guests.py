"""What guests see: each other, their host name, their console."""
import unittest

from lab import Lab, run, wait_until


class GuestsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.lab.start()
        cls.lab.import_test_guest()

    def test_two_guests_talk_by_name_and_the_host_by_a_forwarded_port(self):
        lab = self.lab
        lab.launch("one", "--forward", ":80")
        lab.launch("two")
        address = lab.vm("one")["spec"]["nics"][0]["ipv4"]
        for name in ("one", "two"):
            lab.wait_for_console(name, "gantry-test-guest ready")
            lab.wait_for_console(name, "address " + lab.vm(name)["spec"]["nics"][0]["ipv4"])
        self.type("two", f"ping -c 2 {address} && echo ping-$((40+2))\n", "ping-42")
        self.type("two", "wget -q -O - http://one/ >/dev/null && echo fetched-$((40+2))\n", "fetched-42")
        port = lab.vm("one")["spec"]["nics"][0]["portForwards"][0]["hostPort"]
        wait_until("the forwarded port answers", lambda: self.fetch(port))
        for name in ("one", "two"):
            lab.gantry("delete", name, "--yes")

    def fetch(self, port):
        try:
            return run(*self.lab.enter, "curl", "-sf", "-m", "5", f"http://127.0.0.1:{port}/")
        except Exception:
            return None

    def type(self, name, text, answer):
        """Types at the guest's console and waits for its shell's answer."""
        self.lab.type_at_console(name, text)
        self.lab.wait_for_console(name, answer)

    def test_cloud_init_seed_gives_the_host_name(self):
        lab = self.lab
        lab.gantry("launch", "tiny", "--name", "seeded", "--memory", "192M", "--ssh-key", "ssh-ed25519 AAAA test")
        lab.wait_for_console("seeded", "host name seeded")
        lab.gantry("delete", "seeded", "--yes")


if __name__ == "__main__":
    unittest.main()
