"""Hosts on one switch with a Ceph on it, each with a sentinel and programs that write to its images as QEMU does."""
import json
import pathlib
import socket
import subprocess
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from ceph_lab import POOL, USER, Ceph  # noqa: E402
from lab import BUILD, Lab, run, wait_until  # noqa: E402

VM = "vm-000000000001"
SECTOR = 512


class Switch:
    """A network of its own. `test` cleans up behind it."""

    def __init__(self, test):
        self.name = "gantry-" + uuid.uuid4().hex[:8]
        run("ip", "netns", "add", self.name)
        test.addCleanup(lambda: subprocess.run(["ip", "netns", "del", self.name], check=False))
        run("ip", "-n", self.name, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.name, "link", "set", "br0", "up")
        self.count = 0

    def plug(self, lab):
        """The address of that lab's namespace, and its port here."""
        self.count += 1
        port, address = f"port{self.count}", f"198.18.79.{self.count}"
        run("ip", "-n", lab.name, "link", "add", "cable", "type", "veth", "peer", "name", port, "netns", self.name)
        run("ip", "-n", self.name, "link", "set", port, "master", "br0", "up")
        run("ip", "-n", lab.name, "address", "add", f"{address}/24", "dev", "cable")
        run("ip", "-n", lab.name, "link", "set", "cable", "up")
        return address, port

    def cut(self, port):
        run("ip", "-n", self.name, "link", "set", port, "down")

    def mend(self, port):
        run("ip", "-n", self.name, "link", "set", port, "up")


class Writer:
    """QEMU's own code with an image open, told what to write."""

    def __init__(self, lab, ceph, image):
        text = f"rbd:{POOL}/{image}:id={USER}:conf={ceph.configuration}"
        self.process = subprocess.Popen([*lab.enter, "setpriv", "--pdeathsig", "KILL", "qemu-io", "-f", "raw", "-n",
                                         text], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, bufsize=1)

    def tell(self, pattern):
        """Begins to write it; may hang, as in a host without a network."""
        self.process.stdin.write(f"write -P {pattern} 0 {SECTOR}\n")

    def answer(self):
        """Whether that worked."""
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError("qemu-io ended")
            if line.removeprefix("qemu-io> ").startswith("wrote"):
                return True
            if "failed" in line:
                return False

    def write(self, pattern):
        self.tell(pattern)
        return self.answer()

    def close(self):
        """Ends by itself, as QEMU does when it is told to quit."""
        self.process.stdin.write("quit\n")
        self.process.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class SentinelHost:
    """A namespace with a sentinel in it, and this test in the agent's place."""

    def __init__(self, test, switch, name):
        self.test = test
        self.lab = Lab()
        test.addCleanup(self.lab.close)
        self.name = name
        self.switch = switch
        self.address, self.port = switch.plug(self.lab)
        self.lab.state.mkdir()
        (self.lab.state / "vms" / VM).mkdir(parents=True)
        self.connection = None
        self.heard = b""
        self.told = {}

    def start(self):
        run(*self.lab.enter, BUILD / "src/app/gantry-sentinel", "--state-dir", self.lab.state)
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(str(self.lab.state / "sentinel" / "socket"))
        self.connection.setblocking(False)
        self.test.addCleanup(self.connection.close)

    def want(self, epoch, location, **more):
        self._ask("want", epoch, location, **{"hold": True, **more})

    def remove(self, location):
        self._ask("remove", 1, location, hold=False)

    def _ask(self, what, epoch, location, **more):
        wish = {"vm": VM, "directory": location, "host": self.name, "epoch": epoch, "private": False, **more}
        self.connection.sendall(json.dumps({what: wish}).encode() + b"\n")

    def lease(self):
        """As it was told last."""
        while True:
            try:
                data = self.connection.recv(65536)
            except BlockingIOError:
                return self.told
            if not data:
                raise AssertionError("the sentinel ended")
            *lines, self.heard = (self.heard + data).split(b"\n")
            for line in lines:
                self.told = json.loads(line).get("lease", self.told) if line else self.told

    def state(self):
        return ("NONE", "WAITING", "HELD", "LAPSED", "LOST", "GIVEN")[self.lease().get("state", 0)]

    def wait_for(self, state):
        wait_until(f"the lease of {self.name} is {state}: {self.lease()}", lambda: self.state() == state)

    def kill_sentinel(self):
        for pid in self.lab.processes("gantry-sentinel"):
            run("kill", "-STOP", pid)
        for pid in self.lab.processes("gantry-sentinel"):
            run("kill", "-KILL", pid)

    def cut_off(self):
        self.switch.cut(self.port)

    def plug_in(self):
        self.switch.mend(self.port)


def ceph_on(test, switch):
    lab = Lab()
    test.addCleanup(lab.close)
    address, _ = switch.plug(lab)
    ceph = Ceph(lab.directory / "ceph", address, lab.enter)
    test.addCleanup(ceph.stop)
    ceph.start()
    return ceph


def pool_location(ceph, image=""):
    return f"rbd:{USER}@{POOL}//{image}:{ceph.configuration}"
