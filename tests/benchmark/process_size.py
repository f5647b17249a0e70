"""What a process takes: memory and processor time, as /proc tells."""
import pathlib
import time

MIB = 1024


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / MIB
    raise AssertionError(f"process {pid} has ended")


def _processor_seconds(pid):
    """Of all its threads, to the nanosecond, and of its children that ended, to the clock tick."""
    own = sum(int((thread / "schedstat").read_text().split()[0]) for thread in pathlib.Path(f"/proc/{pid}/task").iterdir())
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return own / 1e9 + (int(fields[13]) + int(fields[14])) / 100


def processor_share(pids, seconds):
    """Percent of one processor that they take together for so long."""
    before = sum(_processor_seconds(pid) for pid in pids)
    begin = time.monotonic()
    time.sleep(seconds)
    return 100 * (sum(_processor_seconds(pid) for pid in pids) - before) / (time.monotonic() - begin)
