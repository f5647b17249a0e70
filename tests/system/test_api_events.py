"""Who follows the events misses nothing and sees nothing twice, whatever happens to the daemon."""
import random
import threading
import unittest

from api import Api, Events
from lab import Lab, wait_until


def told(events):
    """What matters of each: an event is one record's change at one revision."""
    return [(int(e["revision"]), e["kind"], e["id"], e.get("deleted", False)) for name, e in events if name == "change"]


class EventsTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.lab.start()

    def revision(self):
        return int(Api(self.lab).get("/api/v1/vms").json()["revision"])

    def change(self, name):
        self.lab.gantry("volume", "create", name, "--size", "1M")
        self.lab.gantry("volume", "delete", name)

    def deleted(self, name):
        """Whether a volume of that name was made and its deletion seen."""
        def look(events):
            ids = {e["id"] for _, e in events if e["kind"] == "volume" and e.get("volume", {}).get("meta", {}).get("name") == name}
            return any(e.get("deleted") and e["id"] in ids for _, e in events)
        return look

    def test_resumed_over_a_killed_daemon_nothing_is_missed_or_repeated(self):
        lab = self.lab
        lab.gantry("volume", "create", "before", "--size", "1M")
        begin = self.revision()
        pieces = []
        last = begin
        for number in range(4):
            events = Events(Api(lab), last)
            dice = random.Random(number)
            worker = threading.Thread(target=self.change, args=(f"v{number}",))
            worker.start()
            # Cut off in the middle, at another place each time.
            seen = dice.randrange(1, 5)
            self.assertTrue(events.read_until(lambda all_seen, n=seen: len(all_seen) >= n))
            worker.join()
            lab.kill_daemon()
            events.read_until(lambda _: False)  # what was sent before the end, and the end
            pieces += told(events.seen)
            last = events.last
            events.close()
            lab.start()
        self.change("end")
        events = Events(Api(lab), last)
        self.assertTrue(events.read_until(self.deleted("end")))
        pieces += told(events.seen)
        final = events.last
        events.close()

        whole = Events(Api(lab), begin)
        self.assertTrue(whole.read_until(lambda _: whole.last >= final))
        expected = [e for e in told(whole.seen) if e[0] <= final]
        whole.close()
        self.assertEqual(pieces, expected)
        self.assertEqual(len(set(pieces)), len(pieces))
        self.assertGreater(len(pieces), 20)

    def test_kinds_and_revisions_that_make_no_sense(self):
        api = Api(self.lab)
        only = Events(api, self.revision(), kinds="volume")
        self.change("one")
        self.assertTrue(only.read_until(self.deleted("one")))
        self.assertEqual({e["kind"] for _, e in only.seen}, {"volume"})
        only.close()
        for target in ("?kinds=nonsense", "?fromRevision=-1", "?fromRevision=x", "?other=1"):
            self.assertEqual(api.get("/api/v1/events" + target).status, 400, target)
        self.assertEqual(api.get("/api/v1/events", [("Last-Event-ID", "x")]).status, 400)
        # A revision of another store, or of the future: begin again, rather than wait for ever.
        far = Events(api, 1 << 40)
        self.assertTrue(far.read_until(lambda seen: seen))
        self.assertEqual(far.seen[0][0], "resync")
        far.close()

    def test_the_command_line_follows_them_too(self):
        begin = self.revision()
        self.change("shown")
        lines = self.lab.gantry("events", "--from", str(begin), "--kinds", "volume", "--count", "2").splitlines()
        self.assertEqual(len(lines), 2)
        self.assertIn("volume shown", lines[0])

    def test_many_who_do_not_read_do_not_hold_the_others_up(self):
        deaf = [Events(Api(self.lab), 0) for _ in range(20)]
        self.addCleanup(lambda: [e.close() for e in deaf])
        begin = self.revision()
        for number in range(5):
            self.change(f"w{number}")
        hears = Events(Api(self.lab), begin)
        self.assertTrue(hears.read_until(self.deleted("w4")))
        hears.close()
        wait_until("the daemon answers", lambda: self.lab.json("host", "list"))


if __name__ == "__main__":
    unittest.main()
