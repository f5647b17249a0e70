"""libvirtd, in the lab's network namespace and directory, with a guest of the same devices as Gantry gives its own."""
import os
import pathlib
import re
import select
import subprocess
import time
import uuid

from lab import run, wait_until

BRIDGE = "peer0"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
# libvirt has these paths compiled in: each is hidden behind a directory of the lab, in a mount namespace. The process
# namespace has all of it end with its first process, the shell, which reaps what loses its parent. Its guests' user comes
# with a package that is not needed here. No guest moves between two of the same name.
BEGIN = """set -e
mount --make-rprivate /
for place in etc/libvirt var/lib/libvirt var/log/libvirt var/cache/libvirt run/libvirt; do
  mkdir -p "/$place" "$1/$place"
  mount --bind "$1/$place" "/$place"
done
for names in passwd group; do
  grep -v '^libvirt-qemu:' "/etc/$names" >"$1/$names"
done
echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' >>"$1/passwd"
echo 'libvirt-qemu:x:64055:' >>"$1/group"
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
hostname "$2"
{ cat /etc/hosts; echo "127.0.1.1 $2"; } >"$1/hosts"
mount --bind "$1/hosts" /etc/hosts
/usr/sbin/virtlogd --config "$1/virtlogd.conf" --pid-file "$1/virtlogd.pid" &
while [ ! -S /run/libvirt/virtlogd-sock ]; do sleep 0.05; done
/usr/sbin/libvirtd --config "$1/libvirtd.conf" --pid-file "$1/libvirtd.pid"
"""
DOMAIN = """<domain type='{type}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{initramfs}</initrd><cmdline>{arguments}</cmdline>
  </os>
  <features><acpi/><apic/>{tb_cache}</features>
  <cpu mode='{cpu}'/>
  <clock offset='utc'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <controller type='virtio-serial' index='0'>{slot2}</controller>
    <serial type='unix'>
      <source mode='bind' path='{directory}/{name}-serial.sock'/>
      <log file='{console_log}' append='on'/>
      <target type='isa-serial' port='0'/>
    </serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <graphics type='vnc'><listen type='socket'/></graphics>
    <video><model type='vga'/>{slot3}</video>
    <rng model='virtio'><backend model='builtin'/>{slot4}</rng>
    <interface type='bridge'>
      <source bridge='{bridge}'/><mac address='{mac}'/><model type='virtio'/><driver name='qemu'/>
      <rom enabled='no'/>{slot5}
    </interface>
    <memballoon model='none'/>
  </devices>
  <seclabel type='none'/>
  <qemu:commandline><qemu:arg value='-device'/><qemu:arg value='pvpanic-pci,addr=0x6'/></qemu:commandline>
</domain>
"""


class LibvirtPeer:
    def __init__(self, lab, certificates=None):
        """`certificates`: a directory with those for encrypted moves."""
        self._lab = lab
        self._weights = {}  # of libvirt's control groups before
        self._directory = lab.directory / "peer"
        (self._directory / "etc/libvirt").mkdir(parents=True)
        (self._directory / "libvirtd.conf").write_text(
            f'auth_unix_rw = "none"\nauth_unix_ro = "none"\nhost_uuid = "{uuid.uuid4()}"\n')
        (self._directory / "virtlogd.conf").write_text("")
        (self._directory / "etc/libvirt/qemu.conf").write_text(
            f'default_tls_x509_cert_dir = "{certificates}"\n' if certificates else "")
        for command in (["link", "add", BRIDGE, "type", "bridge"], ["link", "set", BRIDGE, "up"]):
            run(*lab.enter, "ip", *command)
        self._daemons = subprocess.Popen(
            [*lab.enter, "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", BEGIN,
             "libvirt", str(self._directory), lab.name],
            stdin=subprocess.DEVNULL, stdout=lab.log, stderr=lab.log)
        self.connection = f"qemu:///system?socket={self._directory}/run/libvirt/libvirt-sock"
        wait_until("libvirtd answers", self._answers)
        # Kept connected, as a program that uses libvirt is.
        self._shell = subprocess.Popen(["stdbuf", "-oL", "virsh", "--connect", self.connection], bufsize=0,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def _answers(self):
        if self._daemons.poll() is not None:
            raise AssertionError(f"libvirtd ended:\n{self._lab.log_tail()}")
        return subprocess.run(["virsh", "--connect", self.connection, "version"], capture_output=True).returncode == 0

    def _virsh(self, *arguments):
        return run("virsh", "--connect", self.connection, *arguments).stdout

    def console_log(self, name):
        return self._directory / f"{name}-console.log"

    def define(self, number, accelerator, memory_mib, arguments):
        """A guest as Gantry makes it; answers its name."""
        name = f"peer{number}"
        self._virsh("define", self._describe(name, number, accelerator, memory_mib, arguments, self._lab.directory / "guest"))
        return name

    def run_once(self, name, accelerator, memory_mib, arguments, guest):
        """Starts such a guest, which is forgotten when it ends here. `guest`: the directory of its kernel."""
        self._virsh("create", self._describe(name, 0, accelerator, memory_mib, arguments, guest))
        self._weigh_alike()

    def _describe(self, name, number, accelerator, memory_mib, arguments, guest):
        slots = {f"slot{n}": f"<address type='pci' domain='0' bus='0' slot='{n}' function='0'/>" for n in range(2, 6)}
        kvm = accelerator == "kvm"
        definition = self._directory / f"{name}.xml"
        definition.write_text(DOMAIN.format(
            name=name, type="kvm" if kvm else "qemu", cpu="host-passthrough" if kvm else "maximum",
            tb_cache="" if kvm else "<tcg><tb-cache unit='MiB'>64</tb-cache></tcg>", memory_mib=memory_mib,
            kernel=guest / "kernel", initramfs=guest / "initramfs", arguments=arguments, directory=self._directory, console_log=self.console_log(name), bridge=BRIDGE,
            mac=f"52:54:00:00:00:{number:02x}", **slots))
        return definition

    def start(self, name):
        """Answers when it was asked for and when virsh said it was done."""
        self._weigh_alike()
        asked = time.monotonic()
        self._shell.stdin.write(f"start {name}\n".encode())
        self._expect("started")
        return asked, time.monotonic()

    def move(self, name, target, address, new_name, *options):
        """There it has `new_name`, or control groups of the same name would meet. Answers when it was asked for and when
        virsh had done it, and the milliseconds in all and of standstill that libvirt tells."""
        self._weigh_alike()
        # It shows what it reads, too: there the word stands in two parts.
        asked = time.monotonic()
        self._shell.stdin.write(f"migrate --live {name} '{target.connection}' --migrateuri tcp://{address} --dname {new_name} "
                                f"{' '.join(options)}\necho 'mov''ed'\n".encode())
        self._expect("moved")
        answered = time.monotonic()
        told = target._virsh("domjobinfo", new_name, "--completed")
        in_all, standstill = (int(re.search(rf"^{what}: +(\d+) +ms$", told, re.MULTILINE).group(1))
                              for what in ("Time elapsed", "Total downtime"))
        return asked, answered, in_all, standstill

    def _weigh_alike(self):
        """libvirt's guests get the processor weight of Gantry's, or a busy machine would hold up one and not the other."""
        for ours in [*CGROUPS.glob("*/gantry/cpu.shares"), *CGROUPS.glob("gantry/cpu.weight")]:
            theirs = ours.parents[1] / "machine" / ours.name
            if theirs.exists():
                self._weights.setdefault(theirs, theirs.read_text())
                theirs.write_text(ours.read_text())

    def destroy(self, name):
        self._shell.stdin.write(f"destroy {name}\n".encode())
        self._expect("destroyed")

    def _expect(self, word, seconds=120):
        said = b""
        end = time.monotonic() + seconds
        while word.encode() not in said:
            ready, _, _ = select.select([self._shell.stdout], [], [], max(0, end - time.monotonic()))
            piece = os.read(self._shell.stdout.fileno(), 4096) if ready else b""
            said += piece
            if not piece or b"error:" in said:
                raise AssertionError(f"virsh said no {word!r}: {said.decode()}\n{self._lab.log_tail()}")

    def daemon_pids(self):
        return [pid for word in ("/usr/sbin/libvirtd", "/usr/sbin/virtlogd") for pid in self._lab.processes(word)
                if os.readlink(f"/proc/{pid}/exe").endswith(word[-8:])]

    def close(self):
        for process in (self._shell, self._daemons):
            process.kill()
            process.wait()
        for file, weight in self._weights.items():
            if file.exists():
                file.write_text(weight)
