"""Networks without address translation: QEMU's own user-mode network, and a bridge that exists already."""
import subprocess
import unittest

from lab import CommandFailed, Lab, run, wait_until


class UserNetworkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.lab.start()
        cls.lab.import_test_guest()

    def fetch(self, address):
        result = subprocess.run([*self.lab.enter, "curl", "-sf", "-m", "5", f"http://{address}/"], capture_output=True,
                                text=True, check=False)
        return result.stdout if result.returncode == 0 else None

    def in_lab(self, *arguments):
        return run(*self.lab.enter, *arguments)

    def test_a_user_mode_network_forwards_a_port_to_its_guest(self):
        lab = self.lab
        lab.gantry("network", "create", "plain", "--kind", "user")
        links = self.in_lab("ip", "-br", "link").stdout.count("\n")
        lab.launch("alone", "--network", "plain", "--forward", ":80")
        # Nothing of the host was changed for it: no bridge, no tap.
        self.assertEqual(self.in_lab("ip", "-br", "link").stdout.count("\n"), links)
        lab.wait_for_console("alone", "gantry-test-guest ready")
        port = lab.vm("alone")["spec"]["nics"][0]["portForwards"][0]["hostPort"]
        page = wait_until("the forwarded port answers", lambda: self.fetch(f"127.0.0.1:{port}"))
        self.assertIn("gantry-test-guest", page)
        # The guest survives its daemon, and so does its port.
        lab.kill_daemon()
        self.assertTrue(self.fetch(f"127.0.0.1:{port}"))
        lab.start()
        self.assertTrue(self.fetch(f"127.0.0.1:{port}"))
        lab.gantry("delete", "alone", "--yes")
        self.assertIsNone(self.fetch(f"127.0.0.1:{port}"))
        lab.gantry("network", "delete", "plain")

    def test_a_guest_in_user_mode_is_kept_from_the_loopback_of_its_host(self):
        lab = self.lab
        self.in_lab("ip", "addr", "add", "10.99.0.1/32", "dev", "lo")
        lab.gantry("network", "create", "kept", "--kind", "user")
        self.assertFalse(lab.json("network", "show", "kept")["status"].get("effectiveKindReason"))
        service = subprocess.Popen([*lab.enter, "python3", "-m", "http.server", "8099"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=lab.directory / "guest")
        self.addCleanup(service.wait)
        self.addCleanup(service.kill)
        wait_until("the service answers on the loopback", lambda: self.fetch("127.0.0.1:8099"))
        lab.launch("curious", "--network", "kept")
        lab.wait_for_console("curious", "gantry-test-guest ready")
        # The gateway is there, and its loopback is not.
        lab.type_at_console("curious", "ping -c 1 10.0.2.2 && echo gateway-$((40+2))\n")
        lab.wait_for_console("curious", "gateway-42")
        # Once the same service at an address that is not the loopback's, to see that this is how one reaches it.
        for address, word in (("10.99.0.1", "open"), ("10.0.2.2", "kept")):
            lab.type_at_console("curious", f"nc -w 5 {address} 8099 </dev/null && echo {word}-reached-$((40+2)) || "
                                           f"echo {word}-refused-$((40+2))\n")
            lab.wait_for_console("curious", "ed-42" if word == "open" else "kept-refused-42")
        self.assertIn("open-reached-42", lab.console_log("curious"))
        lab.gantry("delete", "curious", "--yes")
        lab.gantry("network", "delete", "kept")
        self.assertNotIn("gantry_user", self.in_lab("nft", "list", "tables").stdout)

    def test_guests_on_an_existing_bridge_are_its_neighbours(self):
        lab = self.lab
        self.in_lab("ip", "link", "add", "br-office", "type", "bridge")
        self.in_lab("ip", "addr", "add", "10.77.0.1/24", "dev", "br-office")
        self.in_lab("ip", "link", "set", "br-office", "up")
        lab.gantry("network", "create", "office", "--kind", "bridge", "--bridge", "br-office")
        lab.launch("desk", "--network", "office")
        lab.wait_for_console("desk", "gantry-test-guest ready")
        ports = self.in_lab("ip", "-br", "link", "show", "master", "br-office").stdout.splitlines()
        self.assertEqual(len(ports), 1, ports)
        lab.type_at_console("desk", "ip addr add 10.77.0.2/24 dev eth0 && echo address-$((40+2))\n")
        lab.wait_for_console("desk", "address-42")
        page = wait_until("the guest answers on the bridge", lambda: self.fetch("10.77.0.2"))
        self.assertIn("gantry-test-guest", page)
        with self.assertRaises(CommandFailed) as refused:
            lab.launch("other", "--network", "office", "--forward", ":80")
        self.assertEqual(refused.exception.code, 2)
        lab.gantry("delete", "desk", "--yes")
        lab.gantry("network", "delete", "office")
        # The bridge is not ours: it stays, without the guest's port.
        self.assertEqual(self.in_lab("ip", "-br", "link", "show", "master", "br-office").stdout, "")
        self.assertIn("10.77.0.1", self.in_lab("ip", "-br", "addr", "show", "br-office").stdout)

    def test_a_bridge_that_is_not_there_is_named(self):
        lab = self.lab
        with self.assertRaises(CommandFailed) as failed:
            lab.gantry("network", "create", "nowhere", "--kind", "bridge", "--bridge", "br-none")
        self.assertIn("br-none", failed.exception.stderr)
        lab.gantry("network", "delete", "nowhere")


class WithoutRightsTest(unittest.TestCase):
    def test_without_the_right_to_change_networks_guests_get_user_mode_and_are_told_why(self):
        lab = Lab(daemon_wrapper=["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"])
        self.addCleanup(lab.close)
        lab.start()
        lab.import_test_guest()
        lab.launch("modest", "--forward", ":80")
        network = lab.json("network", "show", "default")
        self.assertEqual(network["status"]["effectiveKind"], "USER")
        self.assertIn("CAP_NET_ADMIN", network["status"]["effectiveKindReason"])
        lab.wait_for_console("modest", "gantry-test-guest ready")
        port = lab.vm("modest")["spec"]["nics"][0]["portForwards"][0]["hostPort"]
        page = wait_until("the forwarded port answers", lambda: subprocess.run(
            [*lab.enter, "curl", "-sf", "-m", "5", f"http://127.0.0.1:{port}/"], capture_output=True, text=True,
            check=False).stdout)
        self.assertIn("gantry-test-guest", page)


if __name__ == "__main__":
    unittest.main()
