"""Machines with a pool of a real Ceph, and a guest of one sector that boots from its disk."""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

from ceph_lab import Ceph  # noqa: E402,F401
from lab import CommandFailed, Lab, run, wait_until  # noqa: E402,F401

# At each boot it says "B" on its serial port; it echoes what is typed but "w", which makes it write 512 bytes at 8192 on
# its disk and then say "W". As in src/qemu/test_guest.h, which tells what is what.
BOOT_SECTOR = bytes.fromhex(
    "31c0 8ed8 ba0206 b80001 ef baf803 b042 ee fb f4 ba0006 ed f6c401 7517 bafd03 ec a801 74ee baf803 ec 3c71 740d 3c77"
    "7412 ee ebdf baf803 b050 ee ba0406 b80020 ef ebfe b80103 b91100 ba8000 31db 8ec3 cd13 baf803 b057 ee ebb9")
MIB = 1 << 20


def boot_disk(path, size=4 * MIB):
    """A raw disk that boots, with something at its end."""
    with open(path, "wb") as disk:
        disk.truncate(size)
        disk.write(BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa")
        disk.seek(size - 4096)
        disk.write(b"end " * 1024)
    return path


def add_user(ceph, user, place):
    """With the rights that docs/how-to/ceph.md gives, and no other."""
    ceph.run("ceph", "auth", "get-or-create", f"client.{user}", "mon", "profile rbd", "osd", f"profile rbd {place}", "-o",
             ceph.directory / f"client.{user}.keyring")


class CephPool:
    """How a lab makes a pool of a Ceph, and what the Ceph itself says of what is in it."""

    def __init__(self, ceph, name="ceph", pool="rbd", user="gantry", namespace=""):
        self.ceph, self.name, self.pool, self.user, self.namespace = ceph, name, pool, user, namespace
        self.place = f"{pool}/{namespace}" if namespace else pool
        self.key_file = ceph.directory / f"client.{user}.keyring"

    def create(self, lab, *arguments):
        words = ["--namespace", self.namespace] if self.namespace else []
        lab.gantry("pool", "create", self.name, "--rbd", self.pool, "--monitor", self.ceph.address, "--user", self.user,
                   "--key-file", self.key_file, *words, *arguments)

    def images(self):
        return sorted(self.ceph.json("rbd", "ls", self.place))

    def read(self, image, offset, size):
        return run_bytes("rbd", "-c", self.ceph.configuration, "export", f"{self.place}/{image}", "-",
                         enter=self.ceph.enter)[offset:offset + size]

    def objects(self):
        words = ["--namespace", self.namespace] if self.namespace else []
        return self.ceph.run("rados", "--pool", self.pool, *words, "ls").split()


def run_bytes(*arguments, enter=()):
    import subprocess
    return subprocess.run([*enter, *map(str, arguments)], check=True, capture_output=True).stdout
