"""A small real Ceph: one monitor, one manager, one OSD on a file, all in one directory and on one address.

Nothing is written outside the directory. Its processes end with the one that started them, however that ends.
"""
import json
import os
import pathlib
import shutil
import subprocess
import time
import uuid

PATIENCE_S = 240
POOL = "rbd"
USER = "gantry"

CONFIGURATION = """[global]
fsid = {fsid}
mon host = [v2:{address}:3300,v1:{address}:6789]
public addr = {address}
cluster addr = {address}
ms bind ipv6 = false
auth allow insecure global id reclaim = false
keyring = {directory}/$type.$id.keyring
run dir = {directory}/run
admin socket = {directory}/run/$type.$id.$pid.asok
pid file =
log file = {directory}/$type.$id.log
crash dir = {directory}/crash
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false

[client]
admin socket =
log file =

[mon]
mon data = {directory}/mon
mon cluster log file = {directory}/cluster.log
mon data avail warn = 1
mon data avail crit = 1

[mgr]
mgr data = {directory}/mgr
mgr initial modules =

[osd]
osd data = {directory}/osd
osd objectstore = bluestore
bluestore block create = true
bluestore block size = {size}
bluestore cache autotune = false
bluestore cache size = 64M
osd memory target = 939524096
osd op num shards = 2
osd op num threads per shard = 1
osd class update on start = false
"""


class CephFailed(Exception):
    pass


class Ceph:
    """`enter`: a command that runs the one that follows it, as in a network namespace in which `address` is."""

    DAEMONS = ("mon", "mgr", "osd")

    def __init__(self, directory, address="127.0.0.1", enter=(), size="4G"):
        self.directory = pathlib.Path(directory).resolve()
        self.address = address
        self.enter = list(enter)
        self.size = size
        self.configuration = self.directory / "ceph.conf"
        self.processes = {}
        missing = [word for word in ("ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "rbd") if shutil.which(word) is None]
        if missing:
            raise CephFailed(f"{', '.join(missing)} not found: apt-get install ceph-mon ceph-mgr ceph-osd ceph-common")

    # The whole

    def start(self):
        """Makes it if it is not there, and waits until it serves."""
        self.directory.mkdir(parents=True, exist_ok=True)
        is_new = not self.configuration.exists()
        if is_new:
            self._write_configuration()
            self._make_keys()
            self._make_mon()
        self.start_daemon("mon")
        self._wait_until("the monitor answers", lambda: self._try("status"), "mon")
        if is_new:
            self._make_daemon_keys()
        self.start_daemon("mgr")
        if is_new:
            self._make_osd()
        self.start_daemon("osd")
        self.wait_until_healthy()
        if is_new:
            self._make_pool()

    def wait_until_healthy(self):
        def serves():
            status = self._try("status")
            if not status:
                return False
            states = status["pgmap"].get("pgs_by_state", [])
            return (status["osdmap"]["num_up_osds"] == 1 and status["mgrmap"]["available"]
                    and all(one["state_name"] == "active+clean" for one in states))
        self._wait_until("the OSD and the manager serve", serves, "mgr", "osd")

    def stop(self):
        for name in reversed(self.DAEMONS):
            self.kill_daemon(name)

    # Its parts

    def start_daemon(self, name):
        number = "0" if name == "osd" else "a"
        with open(self.directory / f"{name}.out", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [*self.enter, "setpriv", "--pdeathsig", "KILL", f"ceph-{name}", "-f", "-c", str(self.configuration),
                 "--id", number], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory)

    def kill_daemon(self, name):
        process = self.processes.pop(name, None)
        if process and process.poll() is None:
            process.kill()
            process.wait()

    def alive(self, name):
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    # Its tools

    def run(self, *arguments, timeout=PATIENCE_S, check=True):
        """`ceph`, `rbd` or `rados`, by the administrator's key."""
        tool, *rest = [str(one) for one in arguments]
        result = subprocess.run([*self.enter, tool, "-c", str(self.configuration), *rest], text=True, timeout=timeout,
                                capture_output=True, stdin=subprocess.DEVNULL, check=False)
        if check and result.returncode != 0:
            raise CephFailed(f"{tool} {' '.join(rest)}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout

    def json(self, *arguments):
        # Some add words for people.
        return json.JSONDecoder().raw_decode(self.run(*arguments, "--format", "json").strip())[0]

    def key(self, user=USER):
        return self.run("ceph", "auth", "get-key", f"client.{user}").strip()

    def add_user(self, user, pool=POOL, namespace=""):
        """With the rights that a Gantry pool's user needs: its key."""
        place = f"pool={pool}" + (f" namespace={namespace}" if namespace else "")
        text = self.run("ceph", "auth", "get-or-create", f"client.{user}", "mon", "profile rbd", "osd",
                        f"profile rbd {place}", "mgr", f"profile rbd {place}")
        self._write(f"client.{user}.keyring", text)
        return self.key(user)

    # How it is made

    def _write_configuration(self):
        for folder in ("mon", "mgr", "osd", "run", "crash"):
            (self.directory / folder).mkdir(exist_ok=True)
        self.fsid = str(uuid.uuid4())
        self._write("ceph.conf", CONFIGURATION.format(fsid=self.fsid, address=self.address, directory=self.directory,
                                                      size=self.size))

    def _write(self, name, text):
        path = self.directory / name
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        return path

    def _key_ring(self, name, *caps):
        path = self.directory / f"{name}.keyring"
        words = [word for key, value in zip(caps[::2], caps[1::2]) for word in ("--cap", key, value)]
        self._plain("ceph-authtool", "--create-keyring", path, "--gen-key", "-n", name, *words)
        return path

    def _make_keys(self):
        self._key_ring("mon.", "mon", "allow *")
        self._key_ring("client.admin", "mon", "allow *", "osd", "allow *", "mgr", "allow *", "mds", "allow *")
        both = self.directory / "mon.a.keyring"
        shutil.copy(self.directory / "mon..keyring", both)
        self._plain("ceph-authtool", both, "--import-keyring", self.directory / "client.admin.keyring")

    def _make_mon(self):
        monmap = self.directory / "monmap"
        self._plain("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a",
                    f"[v2:{self.address}:3300,v1:{self.address}:6789]", monmap)
        self._plain("ceph-mon", "-c", self.configuration, "--mkfs", "--id", "a", "--monmap", monmap, "--keyring",
                    self.directory / "mon.a.keyring")

    def _make_daemon_keys(self):
        for name, caps in (("mgr.a", ("mon", "allow profile mgr", "osd", "allow *", "mds", "allow *")),
                           ("osd.0", ("mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *"))):
            ring = self._key_ring(name, *caps)
            if name == "mgr.a":
                self.run("ceph", "auth", "import", "-i", ring)

    def _make_osd(self):
        secret = self._read_key("osd.0")
        self._write("osd.secrets", json.dumps({"cephx_secret": secret}))
        osd_uuid = str(uuid.uuid4())
        self.run("ceph", "osd", "new", osd_uuid, "-i", self.directory / "osd.secrets")
        self._plain("ceph-osd", "-c", self.configuration, "--id", "0", "--mkfs", "--osd-uuid", osd_uuid)
        self.run("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=lab", "root=default")

    def _make_pool(self):
        self.run("ceph", "osd", "pool", "create", POOL, "8")
        self.run("ceph", "osd", "pool", "application", "enable", POOL, "rbd")
        self.wait_until_healthy()
        self.run("rbd", "pool", "init", POOL)
        self.add_user(USER)

    def _read_key(self, name):
        return self._plain("ceph-authtool", self.directory / f"{name}.keyring", "-n", name, "--print-key").strip()

    def _plain(self, *arguments):
        """A program that needs no cluster. In its directory, and with no home, so that it writes nothing elsewhere."""
        result = subprocess.run([*self.enter, *[str(one) for one in arguments]], text=True, capture_output=True,
                                cwd=self.directory, stdin=subprocess.DEVNULL, check=False)
        if result.returncode != 0:
            raise CephFailed(f"{arguments[0]}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout

    def _try(self, *arguments):
        try:
            return json.loads(self.run("ceph", "--connect-timeout", "5", *arguments, "--format", "json", timeout=20))
        except (CephFailed, subprocess.TimeoutExpired, json.JSONDecodeError):
            return None

    def _wait_until(self, what, condition, *daemons):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            for name in daemons:
                if name in self.processes and not self.alive(name):
                    out = (self.directory / f"{name}.out").read_text(errors="replace")
                    raise CephFailed(f"ceph-{name} ended with {self.processes[name].returncode}:\n{out[-3000:]}")
            if time.monotonic() > end:
                raise CephFailed(f"waited {PATIENCE_S} s in vain: {what}. Logs are in {self.directory}")
            time.sleep(0.3)
