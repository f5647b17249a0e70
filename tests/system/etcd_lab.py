"""Several managers on one etcd: network namespaces on one switch, each with an etcd node and a gantryd of its own."""
import os
import shutil
import subprocess
import time
import uuid

from lab import BUILD, PATIENCE_S, CommandFailed, Lab, run, wait_until

GANTRYD = str(BUILD / "src/app/gantryd")


def address(number):
    return f"198.18.78.{number + 1}"


class Etcd:
    """One etcd node in a lab's network; it ends with this process, however that ends."""

    def __init__(self, lab, number=0, of=1, host=None):
        if shutil.which("etcd") is None:
            raise AssertionError("etcd is not installed: apt-get install etcd-server (./check does it)")
        self.lab = lab
        self.name = f"n{number}"
        self.host = host or address(number)
        hosts = [self.host] if of == 1 else [address(i) for i in range(of)]
        self.members = ",".join(f"n{i}=http://{one}:2380" for i, one in enumerate(hosts))
        self.process = None

    def start(self):
        client, peer = f"http://{self.host}:2379", f"http://{self.host}:2380"
        with open(self.lab.directory / "etcd.log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.lab.enter, "setpriv", "--pdeathsig", "KILL", "etcd", "--name", self.name, "--data-dir",
                 str(self.lab.directory / "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", self.members,
                 "--pre-vote", "--logger", "zap", "--log-level", "warn"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class ManagerLab(Lab):
    """A machine whose gantryd shares its store: leading or not."""

    def start(self):
        self.daemon = subprocess.Popen(
            [*self.enter, GANTRYD, "--state-dir", str(self.state), "--run-dir", str(self.run_directory), "--port", "0",
             *self.daemon_options], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def leads(self):
        """Whether its API serves."""
        try:
            self.gantry("host", "list")
            return True
        except CommandFailed:
            return False

    def refusal(self):
        try:
            self.gantry("host", "list")
        except CommandFailed as error:
            return error.stderr
        return ""

    def host_state(self, name):
        items = self.json("host", "list").get("items", [])
        return next((h["status"].get("state") for h in items if h["meta"]["name"] == name), None)


class Cluster:
    """`count` machines on one switch, m0, m1...; m0 leads first. m0 and m1 are hosts too. `test` cleans up behind it."""

    def __init__(self, test, count=3):
        self.switch = "gantry-" + uuid.uuid4().hex[:8]
        run("ip", "netns", "add", self.switch)
        test.addCleanup(lambda: subprocess.run(["ip", "netns", "del", self.switch], check=False))
        run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "br0", "up")
        self.store = "etcd://" + ",".join(f"{address(i)}:2379" for i in range(count))
        links = [word for i in range(count) for word in ("--link-address", address(i))]
        self.machines = []
        self.nodes = []
        for number in range(count):
            lab = ManagerLab(["--store", self.store, "--listen", address(number), "--link-listen", address(number),
                              *links, "--host-name", f"m{number}"])
            test.addCleanup(lab.close)
            self.machines.append(lab)
            self._plug(lab, number)
            node = Etcd(lab, number, count)
            self.nodes.append(node)
            test.addCleanup(node.kill)
        for node in self.nodes:
            node.start()

    def _plug(self, lab, number):
        port = f"port{number}"
        run("ip", "-n", lab.name, "link", "add", "cable", "type", "veth", "peer", "name", port, "netns", self.switch)
        run("ip", "-n", self.switch, "link", "set", port, "master", "br0", "up")
        run("ip", "-n", lab.name, "address", "add", f"{address(number)}/24", "dev", "cable")
        run("ip", "-n", lab.name, "link", "set", "cable", "up")

    def start(self):
        """m0 first: it is to lead."""
        first = self.machines[0]
        first.start()
        wait_until("m0 leads and is its own host", lambda: first.leads() and first.host_state("m0") == "CONNECTED")
        second = self.machines[1]
        run(*second.enter, GANTRYD, "--state-dir", second.state, "--host-name", "m1", "join",
            first.json("host", "token")["token"])
        for lab in self.machines[1:]:
            lab.start()
            wait_until(f"{lab.name} stands by", lambda one=lab: "m0" in one.refusal())
        wait_until("m1 is connected as a host", lambda: first.host_state("m1") == "CONNECTED")

    def cut_off(self, lab):
        """Its network is gone; what runs on it does not notice."""
        run("ip", "-n", self.switch, "link", "set", f"port{self.machines.index(lab)}", "down")

    def plug_in(self, lab):
        run("ip", "-n", self.switch, "link", "set", f"port{self.machines.index(lab)}", "up")

    def leader(self, among=None):
        return next((lab for lab in among or self.machines if lab.leads()), None)

    def wait_for_leader(self, among):
        """The leader, and after how many seconds."""
        began = time.monotonic()
        leader = wait_until("another manager leads", lambda: self.leader(among))
        return leader, time.monotonic() - began

    def hand_over(self):
        """m0 is started anew, so that another leads while m0 runs guests. The leader."""
        first = self.machines[0]
        first.stop_daemon()
        leader, _ = self.wait_for_leader(self.machines[1:])
        first.start()
        wait_until("m0 is connected to it", lambda: leader.host_state("m0") == "CONNECTED")
        return leader


def alone(lab, *options):
    """What a gantryd says that is not to serve: its exit code, and all it wrote."""
    result = subprocess.run(
        [*lab.enter, GANTRYD, "--state-dir", str(lab.state), "--run-dir", str(lab.run_directory), "--port", "0",
         *options], capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ, "HOME": str(lab.directory)})
    return result.returncode, result.stdout + result.stderr
