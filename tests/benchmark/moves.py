"""A guest that runs goes there and back between two hosts: Gantry's and libvirt's in turn, over the same cable.

Both hosts are network namespaces of this machine. Both guests have 512 MiB, of which they use about half, and say
something every few milliseconds (standstill.py). Gantry's moves are always encrypted, libvirt's if asked for: both of
its ways are measured. The goal is held against the plain one, which has less to do.
"""
import contextlib
import json
import pathlib
import shutil
import statistics
import tempfile
import time

from api import network_of
from certificates import make_certificates
from figures import milliseconds
from gantry_api import Api
from lab import ROOT, Lab, run, wait_until
from libvirt_peer import LibvirtPeer
from standstill import Silence, add_ticking, last_count
from test_join import HOST_ADDRESS, MANAGER_ADDRESS, JoinedLab, connect

MEMORY_MIB = 512
FILLED_MIB = 192
ARGUMENTS = "console=ttyS0 quiet no_timer_check"
# Before and after a move the guest is listened to for so long.
CALM_S = 1
ROUNDS = 10
STANDSTILL_S = 0.1


class Round:
    """All in seconds."""

    def __init__(self, in_all, silence, told_in_all_ms, told_standstill_ms):
        self.in_all = in_all
        self.silence = silence
        self.told_in_all = told_in_all_ms / 1000
        self.told_standstill = told_standstill_ms / 1000


def listen_to(logs, move):
    """move() answers when it was asked for, when it was done, and the two figures that were told, in milliseconds."""
    before = last_count(logs)
    with Silence(logs) as silence:
        time.sleep(CALM_S)
        asked, done, *told = move()
        time.sleep(CALM_S)
    if last_count(logs) <= before:
        raise AssertionError("the guest did not go on as it was")
    return Round(done - asked, silence.longest, *told)


class GantrySide:
    def __init__(self, stack, labs, guest):
        self._manager = manager = labs[0]
        shared = pathlib.Path(tempfile.mkdtemp(prefix="gantry-lab-shared-"))
        stack.callback(shutil.rmtree, shared, True)
        shared.chmod(0o755)
        archive = guest.parent / "guest.tar"
        run("tar", "-C", guest, "--format=ustar", "-cf", archive, "kernel", "initramfs")
        manager.gantry("pool", "create", "shared", "--shared", "--path", shared)
        wait_until("both hosts have the pool", lambda: self._states_of_pool() == ["READY", "READY"])
        manager.gantry("image", "import", archive, "--name", "ticking", "--kernel", "--kernel-arguments", ARGUMENTS,
                       "--pool", "shared")
        manager.gantry("network", "create", "segment", "--kind", "overlay")
        manager.gantry("launch", "ticking", "--name", "mover", "--memory", f"{MEMORY_MIB}M", "--no-ssh-key", "--network",
                       "segment")
        self._vm_id = manager.vm("mover")["meta"]["id"]
        self.logs = [lab.state / "vms" / self._vm_id / "console.log" for lab in labs]
        with network_of(manager):
            self._api = Api(json.loads((manager.run_directory / "local.json").read_text()))

    def _states_of_pool(self):
        return [host.get("state") for host in self._manager.json("pool", "show", "shared")["status"].get("hosts", [])]

    def move(self):
        wait_until("the host it left has forgotten it",
                   lambda: not self._manager.vm("mover")["placement"].get("leftHosts"))
        with network_of(self._manager):
            return listen_to(self.logs, self._move_once)

    def _move_once(self):
        asked, done = self._api.complete_task(f"/api/v1/vms/{self._vm_id}/move")
        told = self._manager.vm("mover")["status"]["move"]
        return asked, done, told["totalMs"], told["downtimeMs"]


class LibvirtSide:
    def __init__(self, stack, labs, guest, accelerator):
        certificates = make_certificates(guest.parent / "certificates", (MANAGER_ADDRESS, HOST_ADDRESS))
        self._peers = [LibvirtPeer(lab, certificates) for lab in labs]
        for peer in self._peers:
            stack.callback(peer.close)
        self._at = 0
        self._peers[0].run_once("move0", accelerator, MEMORY_MIB, ARGUMENTS, guest)
        self.logs = [self._peers[0].console_log("move0")]

    def move(self, *options):
        source, target = self._at, 1 - self._at
        self._at = target
        address = (MANAGER_ADDRESS, HOST_ADDRESS)[target]
        return listen_to(self.logs, lambda: self._peers[source].move(f"move{source}", self._peers[target], address,
                                                                     f"move{target}", *options))


def join(manager, host):
    """Both are connected, then; answers the manager's facts."""
    connect(manager, host)
    manager.start()
    joined = host.join(manager.json("host", "token")["token"])
    if joined.returncode != 0:
        raise AssertionError(joined.stderr)
    host.start()

    def facts():
        hosts = [found["status"] for found in manager.json("host", "list")["items"]]
        return hosts[0] if [found.get("state") for found in hosts] == ["CONNECTED", "CONNECTED"] else None
    return wait_until("both hosts are there", facts)


def report(table, ours, plain, encrypted):
    table.title(f"Moving a guest of {MEMORY_MIB} MiB between two hosts: medians of {ROUNDS}, Gantry and libvirt in turn")
    for what, of, limit_s in (("call to success", "in_all", None), ("standstill, as seen", "silence", STANDSTILL_S),
                              ("in all, as told", "told_in_all", None), ("standstill, as told", "told_standstill", None)):
        median, plain_median, encrypted_median = (
            statistics.median(getattr(a_round, of) for a_round in rounds) for rounds in (ours, plain, encrypted))
        is_goal = of in ("in_all", "silence")
        limit = f"{milliseconds(limit_s)} and " if limit_s else ""
        goal = f"goal: {limit}libvirt's or less; ratio {median / plain_median:.2f}" if is_goal else ""
        holds = median <= plain_median and (limit_s is None or median <= limit_s)
        table.median(f"{what}: Gantry, encrypted", [getattr(a_round, of) for a_round in ours], goal, holds if is_goal else None)
        table.median(f"{what}: virsh migrate --live", [getattr(a_round, of) for a_round in plain])
        table.median(f"{what}: virsh migrate --live --tls", [getattr(a_round, of) for a_round in encrypted],
                     f"Gantry's ratio {median / encrypted_median:.2f}")


def measure_moves(table):
    with contextlib.ExitStack() as stack:
        labs = [Lab(["--link-listen", MANAGER_ADDRESS, "--link-port", "8444"]), JoinedLab("beta")]
        for lab in labs:
            stack.callback(lab.close)
        facts = join(*labs)
        guest = labs[0].directory / "guest"
        run(ROOT / "tests/guest/make-test-guest", guest)
        add_ticking(guest, FILLED_MIB)
        sides = [GantrySide(stack, labs, guest), LibvirtSide(stack, labs, guest, facts["accelerator"])]
        for side in sides:
            wait_until("the guest ticks", lambda: last_count(side.logs))
        gantry, libvirt = sides
        gantry.move()  # both have what they need in memory from here on
        libvirt.move()
        ours, plain, encrypted = [], [], []
        for _ in range(ROUNDS):
            ours.append(gantry.move())
            plain.append(libvirt.move())
            encrypted.append(libvirt.move("--tls"))
    report(table, ours, plain, encrypted)
