"""A guest that says something every few milliseconds, and how long it was silent, as seen from outside."""
import os
import re
import subprocess
import threading
import time

# In the guest: the shell alone, which starts no process each time. Memory that is used is what a move has to send.
TICKING = """#!/bin/sh
line=0123456789abcdef
for doubled in 1 2 3 4 5 6 7 8; do line=$line$line; done
yes $line | head -c FILLED_MIBm >/tmp/filled || exit 1
mkfifo /tmp/never
exec 3<>/tmp/never
count=1000000
while :; do
  read -t 0.005 nothing <&3
  count=$((count + 1))
  echo $count
done
"""
LOOK_S = 0.0005


def add_ticking(guest, filled_mib):
    """To the test guest in the directory `guest`."""
    root = guest.parent / "ticking"
    root.mkdir()
    script = root / "run-test"
    script.write_text(TICKING.replace("FILLED_MIB", str(filled_mib)))
    script.chmod(0o755)
    archive = subprocess.run(["busybox", "cpio", "-o", "-H", "newc", "-R", "0:0"], cwd=root, input=b"run-test\n", check=True,
                             capture_output=True).stdout
    with open(guest / "initramfs", "ab") as initramfs:
        initramfs.write(archive)


def last_count(console_logs):
    """The highest number that the guest said; 0: none yet."""
    said = b"".join(log.read_bytes() for log in console_logs if log.exists())
    return max((int(number) for number in re.findall(rb"^(\d{7})\r?$", said, re.MULTILINE)), default=0)


class Silence:
    """Watches console logs, which one guest writes one after the other. Within `with`; then `longest` is in seconds."""

    def __init__(self, console_logs):
        self._logs = console_logs
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.longest = 0.0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()

    def _watch(self):
        # This thread alone: on a busy machine it would see late what it waits for.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -20)
        sizes = {log: _size(log) for log in self._logs}
        heard = time.monotonic()
        while not self._ended.is_set():
            for log in self._logs:
                size = _size(log)
                if size > sizes[log]:
                    now = time.monotonic()
                    self.longest = max(self.longest, now - heard)
                    heard = now
                sizes[log] = size
            time.sleep(LOOK_S)
        self.longest = max(self.longest, time.monotonic() - heard)


def _size(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
