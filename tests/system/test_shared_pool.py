"""One directory that three machines have: a manager and two hosts that joined it, each a network namespace."""
import hashlib
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from lab import KERNEL_ARGUMENTS, ROOT, CommandFailed, Lab, run, wait_until
from test_join import JoinedLab

MANAGER_ADDRESS = "198.18.78.1"
# Serves an image so slowly that its import is under way until the file `gate` is there.
SLOW_SERVER = """
import http.server, os, pathlib, ssl, time
folder = pathlib.Path(FOLDER)
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = (folder / "image.tar").read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = len(content) // 2
        self.wfile.write(content[:half])
        self.wfile.flush()
        (folder / "begun").write_text(str(os.getpid()))
        while not (folder / "gate").exists():
            time.sleep(0.05)
        self.wfile.write(content[half:])
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8843), Slow)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(FOLDER + "/server.crt", FOLDER + "/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


class SharedMachines(unittest.TestCase):
    """The machines and a directory that all of them see; the hosts can join."""

    # Of each daemon: see Lab.
    daemon_wrapper = ()

    def setUp(self):
        self.shared = pathlib.Path(tempfile.mkdtemp(prefix="gantry-lab-shared-"))
        self.shared.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.shared, True)
        self.manager = Lab(["--link-listen", MANAGER_ADDRESS, "--link-port", "8444"], self.daemon_wrapper)
        self.addCleanup(self.manager.close)
        self.hosts = {}
        # One switch in the manager's namespace, a cable to each host.
        name = self.manager.name
        run("ip", "-n", name, "link", "add", "cables", "type", "bridge")
        run("ip", "-n", name, "address", "add", f"{MANAGER_ADDRESS}/24", "dev", "cables")
        run("ip", "-n", name, "link", "set", "cables", "up")
        for number, host_name in enumerate(("beta", "gamma"), 2):
            host = JoinedLab(host_name, self.daemon_wrapper)
            self.addCleanup(host.close)
            self.hosts[host_name] = host
            run("ip", "-n", name, "link", "add", f"cable{number}", "type", "veth", "peer", "name", "cable", "netns", host.name)
            run("ip", "-n", name, "link", "set", f"cable{number}", "master", "cables", "up")
            run("ip", "-n", host.name, "address", "add", f"198.18.78.{number}/24", "dev", "cable")
            run("ip", "-n", host.name, "link", "set", "cable", "up")
        self.manager.start()

    def join(self, *names):
        for name in names:
            host = self.hosts[name]
            joined = host.join(self.manager.json("host", "token")["token"])
            self.assertEqual(joined.returncode, 0, joined.stderr)
            host.start()
        for name in names:
            self.wait_for_host(name, "CONNECTED")

    def host_record(self, name):
        return next(h for h in self.manager.json("host", "list")["items"] if h["meta"]["name"] == name)

    def wait_for_host(self, name, state):
        wait_until(f"host {name} is {state}", lambda: self.host_record(name)["status"].get("state") == state)

    def states_of_pool(self):
        """Host name -> state."""
        names = {h["meta"]["id"]: h["meta"]["name"] for h in self.manager.json("host", "list")["items"]}
        pool = self.manager.json("pool", "show", "shared")
        return {names[h["hostId"]]: h.get("state") for h in pool["status"].get("hosts", [])}

    def make_archive(self):
        guest = self.manager.directory / "guest"
        run(ROOT / "tests/guest/make-test-guest", guest)
        archive = self.manager.directory / "guest.tar"
        run("tar", "-C", guest, "--format=ustar", "-cf", archive, "kernel", "initramfs")
        return archive


class SharedPoolTest(SharedMachines):
    def serve_slowly(self, archive):
        """The archive over HTTPS at 127.0.0.1 of each host; where each host's downloads begin and are let go on."""
        folders = {}
        for name, host in self.hosts.items():
            folder = folders[name] = host.directory / "www"
            folder.mkdir()
            shutil.copy(archive, folder / "image.tar")
            certificate = folder / "server.crt"
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                folder / "server.key", "-out", certificate, "-days", "2", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=IP:127.0.0.1")
            certificate.chmod(0o644)
            host.trusted = certificate
            server = subprocess.Popen([*host.enter, "python3", "-B", "-c", SLOW_SERVER.replace("FOLDER", repr(str(folder)))],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(server.wait)
            self.addCleanup(server.kill)
        return folders

    def test_guests_run_from_it_on_any_host(self):
        manager = self.manager
        self.join("beta", "gamma")
        planned = manager.gantry("pool", "create", "shared", "--shared", "--path", self.shared, "--dry-run")
        self.assertIn("every host", planned)
        manager.gantry("pool", "create", "shared", "--shared", "--path", self.shared)
        everywhere = {"lab": "READY", "beta": "READY", "gamma": "READY"}
        wait_until("all hosts have it", lambda: self.states_of_pool() == everywhere)
        self.assertIn("beta", manager.gantry("pool", "list"))
        manager.gantry("image", "import", self.make_archive(), "--name", "tiny", "--kernel", "--kernel-arguments",
                       KERNEL_ARGUMENTS, "--pool", "shared")
        manager.gantry("volume", "create", "data", "--size", "64M", "--pool", "shared")
        manager.launch("a", "--host", "beta", "--add-disk", "data")
        vm_id = manager.vm("a")["meta"]["id"]
        beta = self.hosts["beta"]
        log = beta.state / "vms" / vm_id / "console.log"
        wait_until("the guest is up", lambda: log.exists() and "gantry-test-guest ready" in log.read_text(errors="replace"))
        volume = manager.json("volume", "show", "data")
        self.assertEqual(volume["keeper"]["hostId"], self.host_record("beta")["meta"]["id"])
        self.assertTrue(volume["status"]["path"].startswith(str(self.shared)))

        # The same disk at another host, once that guest is gone: what keeps it goes along.
        manager.gantry("delete", "a")
        manager.launch("b", "--host", "gamma", "--add-disk", "data")
        manager.wait_for_state("b", "RUNNING")
        volume = manager.json("volume", "show", "data")
        self.assertEqual(volume["keeper"]["hostId"], self.host_record("gamma")["meta"]["id"])
        manager.gantry("delete", "b")
        # What a host that is away kept is deleted by another.
        self.hosts["gamma"].kill_daemon()
        self.wait_for_host("gamma", "LOST")
        manager.gantry("volume", "delete", "data")
        manager.gantry("image", "delete", "tiny")
        self.assertEqual([p.name for p in self.shared.rglob("*") if p.is_file()], [".gantry-pool"])
        manager.gantry("pool", "delete", "shared")
        self.assertEqual([p.name for p in self.shared.rglob("*") if p.is_file()], [])

    def test_another_host_finishes_an_import(self):
        manager = self.manager
        archive = self.make_archive()
        folders = self.serve_slowly(archive)
        self.join("beta", "gamma")
        manager.gantry("pool", "create", "shared", "--shared", "--path", self.shared, "--host", "beta", "--host", "gamma")
        wait_until("both hosts have it", lambda: self.states_of_pool() == {"beta": "READY", "gamma": "READY"})
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        with self.assertRaises(CommandFailed) as refused:
            manager.gantry("image", "import", archive, "--name", "no", "--kernel", "--pool", "shared")
        self.assertIn("does not have its shared pool", refused.exception.stderr)
        manager.gantry("image", "import", "https://127.0.0.1:8843/image.tar", "--sha256", digest, "--name", "tiny",
                       "--kernel", "--kernel-arguments", KERNEL_ARGUMENTS, "--pool", "shared", "--no-wait")
        first = wait_until("the import is under way", lambda: next((n for n, f in folders.items() if (f / "begun").exists()), None))
        second = next(n for n in self.hosts if n != first)
        self.hosts[first].kill_daemon()
        self.wait_for_host(first, "LOST")
        wait_until("the other takes over", (folders[second] / "begun").exists)
        (folders[second] / "gate").touch()
        image = wait_until("the image is there",
                           lambda: (lambda i: i if i["status"].get("state") == "READY" else None)(manager.json("image", "show", "tiny")))
        self.assertEqual(image["keeper"]["hostId"], self.host_record(second)["meta"]["id"])
        self.assertEqual(int(image["keeper"]["epoch"]), 2)
        made = {p: p.stat().st_ino for p in (self.shared / "images").iterdir() if p.suffix in (".kernel", ".initramfs")}
        self.assertEqual(len(made), 2)

        # The first comes back and disturbs nothing; a guest of that image runs there, too.
        (folders[first] / "gate").touch()
        self.hosts[first].start()
        self.wait_for_host(first, "CONNECTED")
        manager.launch("a", "--host", first)
        self.assertEqual({p: p.stat().st_ino for p in made}, made)

    def test_a_directory_that_is_not_it(self):
        """As where the file system is not mounted: one host sees an empty directory in its place."""
        manager, beta = self.manager, self.hosts["beta"]
        empty = beta.directory / "empty"
        empty.mkdir()
        script = 'mount --bind "$0" "$1" && shift 1 && exec "$@"'
        self.join("gamma")
        joined = beta.join(manager.json("host", "token")["token"])
        self.assertEqual(joined.returncode, 0, joined.stderr)
        command = beta.command()
        hidden = [*beta.enter, "unshare", "--mount", "sh", "-c", script, str(empty), str(self.shared),
                  *command[len(beta.enter):]]
        beta.daemon = subprocess.Popen(hidden, stdin=subprocess.DEVNULL, stdout=beta.log, stderr=beta.log)
        self.wait_for_host("beta", "CONNECTED")
        manager.gantry("pool", "create", "shared", "--shared", "--path", self.shared)
        wait_until("each has told", lambda: self.states_of_pool() == {"lab": "READY", "beta": "FAILED", "gamma": "READY"})
        listed = manager.gantry("pool", "list")
        self.assertIn("beta: there is no", listed)
        self.assertIn("not mounted", listed)
        self.assertEqual(list(empty.iterdir()), [])
        manager.gantry("image", "import", self.make_archive(), "--name", "tiny", "--kernel", "--pool", "shared")
        with self.assertRaises(CommandFailed) as refused:
            manager.launch("a", "--host", "beta")
        self.assertIn("it cannot use pool shared", refused.exception.stderr)
        beta.stop_daemon()
        # It outlives the daemon a little, and with it what is mounted where it was started.
        wait_until("its sentinel is gone", lambda: not beta.processes("gantry-sentinel"))
        beta.start()
        wait_until("beta has it", lambda: self.states_of_pool().get("beta") == "READY")
        manager.launch("a", "--host", "beta")
        # Another cluster's manager is refused the same directory.
        other = Lab()
        self.addCleanup(other.close)
        other.start()
        with self.assertRaises(CommandFailed) as refused:
            other.gantry("pool", "create", "mine", "--shared", "--path", self.shared)
        self.assertIn("another pool", refused.exception.stderr)


if __name__ == "__main__":
    unittest.main()
