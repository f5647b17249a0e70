"""A whole Gantry for one test: a network namespace, a state directory, a gantryd, and the command line to drive it.

Nothing leaves the namespace: it has no way out. Only processes started here are ended here.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GANTRY_BUILD", ROOT / "build" / "dev"))
# Sanitizers and a busy machine make everything slower: these are no measures of speed.
PATIENCE_S = 240
KERNEL_ARGUMENTS = "console=ttyS0 quiet no_timer_check"


class CommandFailed(Exception):
    def __init__(self, arguments, result):
        super().__init__(f"gantry {' '.join(arguments)}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        self.code = result.returncode
        self.stderr = result.stderr


def wait_until(what, condition, seconds=PATIENCE_S, pause_max=0.5):
    """The first true value of condition(); fails after so many seconds with `what`."""
    end = time.monotonic() + seconds
    pause = min(0.02, pause_max)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, pause_max)


def run(*arguments, **options):
    return subprocess.run([str(a) for a in arguments], check=True, text=True, capture_output=True, **options)


class Lab:
    def __init__(self, daemon_options=(), daemon_wrapper=()):
        """`daemon_wrapper`: a command that runs the one that follows it, to take rights away."""
        self.name = "gantry-" + uuid.uuid4().hex[:8]
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gantry-lab-"))
        self.directory.chmod(0o755)
        self.state = self.directory / "state"
        self.run_directory = self.directory / "run"
        self.daemon_options = list(daemon_options)
        self.daemon_wrapper = list(daemon_wrapper)
        self.daemon = None
        self.log = open(self.directory / "gantryd.log", "ab")
        run("ip", "netns", "add", self.name)
        # `ip netns exec` would hide the cgroup hierarchies: nsenter changes the network alone.
        self.enter = ["nsenter", f"--net=/run/netns/{self.name}"]
        run(*self.enter, "ip", "link", "set", "lo", "up")

    # The daemon

    def start(self):
        self.daemon = subprocess.Popen(
            [*self.enter, *self.daemon_wrapper, str(BUILD / "src/app/gantryd"), "--state-dir", str(self.state), "--run-dir",
             str(self.run_directory), "--port", "0", "--host-name", "lab", *self.daemon_options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until("gantryd answers", self._answers)

    def _answers(self):
        if self.daemon.poll() is not None:
            raise AssertionError(f"gantryd ended with {self.daemon.returncode}:\n{self.log_tail()}")
        try:
            return any(h["status"].get("state") == "CONNECTED" for h in self.json("host", "list").get("items", []))
        except CommandFailed:
            return False

    def log_tail(self):
        return (self.directory / "gantryd.log").read_text(errors="replace")[-6000:]

    def kill_daemon(self):
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def stop_daemon(self):
        self.daemon.terminate()
        self.daemon.wait(timeout=PATIENCE_S)
        if self.daemon.returncode != 0:
            raise AssertionError(f"gantryd ended with {self.daemon.returncode}:\n{self.log_tail()}")

    def close(self):
        try:
            if self.daemon and self.daemon.poll() is None:
                self.stop_daemon()
            self._check_log()
        finally:
            if self.daemon and self.daemon.poll() is None:
                self.kill_daemon()
            self._end_leftovers()
            subprocess.run(["ip", "netns", "del", self.name], check=False)
            self.log.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _check_log(self):
        """What a sanitizer found in a daemon that was killed since is told by its log alone."""
        log = (self.directory / "gantryd.log").read_text(errors="replace")
        found = re.search(r"\w+Sanitizer|runtime error:", log)
        if found:
            raise AssertionError(log[max(0, found.start() - 200):found.start() + 8000])

    def _end_leftovers(self):
        """Guests and helpers outlive the daemon: those of this lab are known by its directory in their command line.
        The sentinel's two processes replace each other, so they are looked for again until none is left."""
        def none_left():
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not self.processes()
        wait_until("the processes of this lab are gone", none_left, 60)

    def processes(self, word=""):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.directory) in line and word in line and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        return found

    # The command line

    def gantry(self, *arguments, input_text=None, timeout=PATIENCE_S * 2):
        arguments = [str(a) for a in arguments]
        try:
            result = subprocess.run(
                [*self.enter, str(BUILD / "src/app/gantry"), "--run-dir", str(self.run_directory), *arguments], text=True,
                capture_output=True, input=input_text if input_text is not None else "", timeout=timeout,
                env={**os.environ, "HOME": str(self.directory)})
        except subprocess.TimeoutExpired as late:
            said = b"".join(part for part in (late.stdout, late.stderr) if part).decode(errors="replace")
            raise AssertionError(f"gantry {' '.join(arguments)}: no end after {timeout} s; it said:\n{said}") from late
        if result.returncode != 0:
            raise CommandFailed(arguments, result)
        return result.stdout

    def json(self, *arguments):
        return json.loads(self.gantry("-o", "json", *arguments))

    def vm(self, name):
        return self.json("show", name)

    def wait_for_state(self, name, *states):
        def reached():
            vm = self.vm(name)
            return vm if vm.get("status", {}).get("state") in states else None
        return wait_until(f"VM {name} is {' or '.join(states)}", reached)

    # Guests

    def import_test_guest(self, name="tiny", arguments=KERNEL_ARGUMENTS):
        guest = self.directory / "guest"
        run(ROOT / "tests/guest/make-test-guest", guest)
        archive = self.directory / "guest.tar"
        run("tar", "-C", guest, "--format=ustar", "-cf", archive, "kernel", "initramfs")
        self.gantry("image", "import", archive, "--name", name, "--kernel", "--kernel-arguments", arguments)

    def launch(self, name, *arguments, image="tiny"):
        self.gantry("launch", image, "--name", name, "--memory", "192M", "--no-ssh-key", *arguments)

    def console_log(self, name):
        vm_id = self.vm(name)["meta"]["id"]
        path = self.state / "vms" / vm_id / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for_console(self, name, text):
        return wait_until(f"the console of {name} says {text!r}", lambda: text in self.console_log(name))

    def type_at_console(self, name, text):
        """Types `text` and leaves as a person does, by Ctrl-]."""
        command = [*self.enter, str(BUILD / "src/app/gantry"), "--run-dir", str(self.run_directory), "console", name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              bufsize=0) as console:
            console.stdout.read(1)  # the replay of earlier output: it is connected
            try:
                console.stdin.write(text.encode())
                console.stdin.flush()
                time.sleep(0.2)  # a lone Ctrl-] is told from typed text by coming alone
                console.stdin.write(b"\x1d")
                console.stdin.flush()
            except BrokenPipeError:
                pass  # the guest went off meanwhile, and its console with it
            console.stdout.read()
            if console.wait(PATIENCE_S) != 0:
                raise AssertionError(f"exit {console.returncode}: {console.stderr.read().decode()}")
