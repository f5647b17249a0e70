"""A manager and a second machine that joins it: two network namespaces with a cable between them."""
import hashlib
import pathlib
import subprocess
import unittest

from lab import BUILD, PATIENCE_S, CommandFailed, Lab, run, wait_until

GANTRYD = str(BUILD / "src/app/gantryd")
MANAGER_ADDRESS = "198.18.77.1"
HOST_ADDRESS = "198.18.77.2"


class JoinedLab(Lab):
    """A machine of its own that is a host of another lab's cluster; it is driven from there."""

    def __init__(self, name, daemon_wrapper=()):
        super().__init__(daemon_wrapper=daemon_wrapper)
        self.host_name = name
        # A certificate that its helpers trust in place of the world's authorities.
        self.trusted = None

    def command(self, *arguments):
        return [*self.enter, *self.daemon_wrapper, GANTRYD, "--state-dir", str(self.state), "--run-dir", str(self.run_directory),
                "--host-name", self.host_name, *map(str, arguments)]

    def join(self, *arguments):
        return subprocess.run(self.command("join", *arguments), text=True, capture_output=True, timeout=PATIENCE_S)

    def start(self):
        command = self.command()
        if self.trusted:
            # In a mount namespace of its own, where that file is the system's list.
            script = 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"'
            command = [*self.enter, "unshare", "--mount", "sh", "-c", script, str(self.trusted), *command[len(self.enter):]]
        self.daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)


def connect(manager, host):
    """A cable between two labs' namespaces."""
    run("ip", "-n", manager.name, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", host.name)
    for lab, address in ((manager, MANAGER_ADDRESS), (host, HOST_ADDRESS)):
        run("ip", "-n", lab.name, "address", "add", f"{address}/24", "dev", "cable")
        run("ip", "-n", lab.name, "link", "set", "cable", "up")


class Machines(unittest.TestCase):
    """A manager and a machine that can join it."""

    def setUp(self):
        self.manager = Lab(["--link-listen", MANAGER_ADDRESS, "--link-port", "8444"])
        self.addCleanup(self.manager.close)
        self.beta = JoinedLab("beta")
        self.addCleanup(self.beta.close)
        connect(self.manager, self.beta)
        self.manager.start()

    def token(self):
        return self.manager.json("host", "token")["token"]

    def host(self, name="beta"):
        return next((h for h in self.manager.json("host", "list")["items"] if h["meta"]["name"] == name), None)

    def wait_for_host(self, state):
        wait_until(f"host beta is {state}", lambda: (self.host() or {}).get("status", {}).get("state") == state)

    def join_and_start(self):
        joined = self.beta.join(self.token())
        self.assertEqual(joined.returncode, 0, joined.stderr)
        self.assertIn("host list", joined.stdout)
        self.beta.start()
        self.wait_for_host("CONNECTED")

    def serve(self, path):
        """One file over HTTPS in the joined host's namespace, which fetches its images itself: URL and SHA-256."""
        folder = self.beta.directory / "www"
        folder.mkdir()
        (folder / "image.tar").write_bytes(pathlib.Path(path).read_bytes())
        certificate, key = folder / "server.crt", self.beta.directory / "server.key"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-out", certificate, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
        certificate.chmod(0o644)
        program = ("import http.server,ssl,sys,os\n"
                   f"os.chdir({str(folder)!r})\n"
                   "server=http.server.HTTPServer(('127.0.0.1',8843),http.server.SimpleHTTPRequestHandler)\n"
                   "context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
                   f"context.load_cert_chain({str(certificate)!r},{str(key)!r})\n"
                   "server.socket=context.wrap_socket(server.socket,server_side=True)\n"
                   "server.serve_forever()\n")
        server = subprocess.Popen([*self.beta.enter, "python3", "-B", "-c", program], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def end():
            server.kill()
            server.wait()
        self.addCleanup(end)
        self.beta.trusted = certificate
        return "https://127.0.0.1:8843/image.tar", hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()

    def make_guest_image(self):
        guest = self.manager.directory / "guest"
        root = pathlib.Path(__file__).resolve().parents[2]
        run(root / "tests/guest/make-test-guest", guest)
        archive = self.manager.directory / "guest.tar"
        run("tar", "-C", guest, "--format=ustar", "-cf", archive, "kernel", "initramfs")
        return archive

    def links_of_beta(self):
        return run("ip", "-n", self.beta.name, "-o", "link").stdout

    def qemu_of(self, lab, vm_id):
        return [p for p in lab.processes(vm_id) if b"qemu" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]


class JoinTest(Machines):
    def test_a_guest_on_the_joined_host_outlives_both_daemons(self):
        manager, beta = self.manager, self.beta
        url, digest = self.serve(self.make_guest_image())
        # As a package leaves it: started once as a manager of its own, and not used.
        beta.start()
        wait_until("beta has a network of its own", lambda: "gn-" in self.links_of_beta())
        beta.stop_daemon()
        self.join_and_start()
        wait_until("beta has one network", lambda: self.links_of_beta().count(": gn-") == 1)
        with self.assertRaises(CommandFailed) as refused:
            manager.gantry("image", "import", manager.directory / "guest.tar", "--name", "no", "--kernel", "--pool",
                           "default-beta")
        self.assertIn("--pool default-beta", refused.exception.stderr)
        manager.gantry("image", "import", url, "--sha256", digest, "--name", "tiny", "--kernel", "--kernel-arguments",
                       "console=ttyS0 quiet no_timer_check", "--pool", "default-beta")
        manager.launch("a", "--host", "beta")
        vm_id = manager.vm("a")["meta"]["id"]
        before = self.qemu_of(beta, vm_id)
        self.assertEqual(len(before), 1)
        self.assertEqual(self.qemu_of(manager, vm_id), [])
        for command, words in (("ssh", "another host"), ("console", "on host beta")):
            with self.assertRaises(CommandFailed) as refused:
                manager.gantry(command, "a")
            self.assertIn(words, refused.exception.stderr)
        log = beta.state / "vms" / vm_id / "console.log"
        wait_until("the guest is up",
                   lambda: log.exists() and "gantry-test-guest ready" in log.read_text(errors="replace"))

        beta.kill_daemon()
        self.wait_for_host("LOST")
        beta.start()
        self.wait_for_host("CONNECTED")
        manager.wait_for_state("a", "RUNNING")
        self.assertEqual(self.qemu_of(beta, vm_id), before)

        manager.kill_daemon()
        self.assertEqual(self.qemu_of(beta, vm_id), before)
        manager.start()
        self.wait_for_host("CONNECTED")
        # Only a manager that hears beta, and is heard, can do that.
        manager.gantry("pause", "a")
        manager.gantry("resume", "a")
        self.assertEqual(self.qemu_of(beta, vm_id), before)

        with self.assertRaises(CommandFailed) as refused:
            manager.gantry("host", "leave", "beta")
        self.assertIn('VM "a"', refused.exception.stderr)
        manager.gantry("delete", "a")
        manager.gantry("image", "delete", "tiny")
        manager.gantry("host", "leave", "beta")
        self.assertIsNone(self.host())
        wait_until("the host is told", lambda: "has left" in beta.log_tail())
        self.assertNotIn("gn-", self.links_of_beta())

    def test_the_cable_is_pulled_and_put_back(self):
        self.join_and_start()
        run("ip", "-n", self.beta.name, "link", "set", "cable", "down")
        self.wait_for_host("LOST")
        run("ip", "-n", self.beta.name, "link", "set", "cable", "up")
        self.wait_for_host("CONNECTED")

    def test_tokens_serve_once_and_are_refused_with_the_reason(self):
        token = self.token()
        for wrong, words in ((token[:-7], "cut off"), ("gs_" + token[4:], "gj1_"), (token[:20], "cut off")):
            refused = self.beta.join(wrong)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(words, refused.stderr)
        tried = self.beta.join("--dry-run", token)
        self.assertEqual(tried.returncode, 0, tried.stderr)
        self.assertIsNone(self.host())
        self.assertFalse((self.beta.state / "cluster.json").exists())
        self.assertEqual(self.beta.join(token).returncode, 0)
        kept = self.beta.state / "cluster.json"
        self.assertEqual(kept.stat().st_mode & 0o777, 0o600)
        again = self.beta.join("--replace", token)
        self.assertEqual(again.returncode, 1)
        self.assertIn("was used before", again.stderr)
        refused = self.beta.join(self.token())
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--replace", refused.stderr)

    def test_secrets_are_not_shown(self):
        self.join_and_start()
        token = self.token()
        shown = self.manager.gantry("-o", "json", "host", "list") + self.manager.gantry("-o", "json", "task", "list")
        for secret in (token, "PRIVATE KEY"):
            self.assertNotIn(secret, shown)
        self.assertNotIn("PRIVATE KEY", (self.manager.directory / "gantryd.log").read_text(errors="replace"))


class WithoutALinkTest(unittest.TestCase):
    def test_a_manager_that_does_not_listen_says_what_to_do(self):
        lab = Lab()
        self.addCleanup(lab.close)
        lab.start()
        with self.assertRaises(CommandFailed) as refused:
            lab.gantry("host", "token")
        self.assertIn("--link-listen", refused.exception.stderr)
        joined = subprocess.run([*lab.enter, GANTRYD, "--state-dir", str(lab.state), "join", "gj1_x"], text=True,
                                capture_output=True, timeout=PATIENCE_S)
        self.assertEqual(joined.returncode, 1)


if __name__ == "__main__":
    unittest.main()
