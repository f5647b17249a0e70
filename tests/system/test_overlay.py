"""One segment across two hosts: real guests in an overlay, and security groups on them."""
import unittest

from lab import CommandFailed, run, wait_until
import test_join

KERNEL = ["--kernel", "--kernel-arguments", "console=ttyS0 quiet no_timer_check"]


class OverlayTest(test_join.Machines):
    """The manager's own machine and beta, each with the image and a guest."""

    def setUp(self):
        super().setUp()
        url, digest = self.serve(self.make_guest_image())
        self.join_and_start()
        manager = self.manager
        manager.gantry("image", "import", manager.directory / "guest.tar", "--name", "tiny", *KERNEL)
        manager.gantry("image", "import", url, "--sha256", digest, "--name", "tiny-beta", *KERNEL, "--pool",
                       "default-beta")
        manager.gantry("network", "create", "segment", "--kind", "overlay")

    def console_of(self, lab, name):
        path = lab.state / "vms" / self.manager.vm(name)["meta"]["id"] / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def address_of(self, lab, name):
        """Of a guest that has it by DHCP."""
        address = self.manager.vm(name)["spec"]["nics"][0]["ipv4"]
        wait_until(f"guest {name} has its address", lambda: f"address {address}" in self.console_of(lab, name))
        wait_until(f"guest {name} is ready", lambda: "gantry-test-guest ready" in self.console_of(lab, name))
        return address

    def fetch(self, name, address, seconds=5):
        """What the guest on the manager's machine gets from another's HTTP server."""
        before = len(self.manager.console_log(name))
        get = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w {seconds} {address} 80"
        self.manager.type_at_console(name, f"{get}; echo done=$?\n")
        wait_until("the guest answers", lambda: "done=" in self.manager.console_log(name)[before:].replace("done=$", ""))
        return self.manager.console_log(name)[before:]

    def test_guests_on_two_hosts_share_a_segment(self):
        manager, beta = self.manager, self.beta
        shown = self.manager.json("network", "show", "segment")
        bridge, status = shown["spec"]["bridge"], shown["status"]
        self.assertEqual({h["state"] for h in status["hosts"]}, {"READY"})
        self.assertEqual(len(status["hosts"]), 2)
        manager.launch("one", "--network", "segment", "--hostname", "one")
        manager.launch("two", "--network", "segment", "--host", "beta", "--hostname", "two", image="tiny-beta")
        one, two = self.address_of(manager, "one"), self.address_of(beta, "two")
        self.assertNotEqual(one, two)
        self.assertIn("gantry-test-guest two", self.fetch("one", two))
        self.assertIn(test_join.HOST_ADDRESS, run("nsenter", f"--net=/run/netns/{manager.name}", "bridge", "fdb").stdout)

        # Everything ends, and comes back: the guests notice nothing for long.
        beta.kill_daemon()
        manager.kill_daemon()
        self.assertIn("gantry-test-guest two", self.fetch_after_start(two))

        # A group that lets nothing in, then one port.
        manager.gantry("security-group", "create", "closed", "--allow", "out")
        manager.gantry("set", "two", "--security-group", "closed")
        wait_until("nothing comes in", lambda: "gantry-test-guest two" not in self.fetch("one", two, 2))
        manager.gantry("security-group", "set", "closed", "--allow", "in:tcp:80", "--allow", "out")
        wait_until("HTTP comes in", lambda: "gantry-test-guest two" in self.fetch("one", two, 2))
        with self.assertRaises(CommandFailed) as refused:
            manager.gantry("security-group", "delete", "closed")
        self.assertIn('VM "two"', refused.exception.stderr)

        for name in ("one", "two"):
            manager.gantry("delete", name)
        manager.gantry("security-group", "delete", "closed")
        manager.gantry("network", "delete", "segment")
        for lab in (manager, beta):
            links = run("ip", "-n", lab.name, "-o", "link").stdout
            self.assertNotIn(bridge, links)
            self.assertNotIn("gx-", links)

    def fetch_after_start(self, address):
        self.manager.start()
        self.beta.start()
        self.wait_for_host("CONNECTED")
        return self.fetch("one", address)



if __name__ == "__main__":
    unittest.main()
