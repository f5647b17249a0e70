"""The lease in a real Ceph: sentinels of two hosts, and programs that write in the place of their guests."""
import time
import unittest

from sentinel_lab import POOL, VM, SentinelHost, Switch, Writer, ceph_on, pool_location, wait_until

IMAGE = "vol-1"
OLD, NEW = 0x11, 0x22


class SentinelTest(unittest.TestCase):
    def setUp(self):
        self.switch = Switch(self)
        self.ceph = ceph_on(self, self.switch)
        self.ceph.run("rbd", "create", f"{POOL}/{IMAGE}", "--size", "8M")
        self.place = pool_location(self.ceph)
        self.images = [pool_location(self.ceph, IMAGE)]
        self.first = SentinelHost(self, self.switch, "host-a")
        self.second = SentinelHost(self, self.switch, "host-b")
        self.first.start()
        self.second.start()
        self.old = self.writer(self.first)

    def writer(self, host):
        writer = Writer(host.lab, self.ceph, IMAGE)
        self.addCleanup(writer.kill)
        return writer

    def first_holds_it(self):
        self.first.want(1, self.place, images=self.images)
        self.first.wait_for("HELD")
        self.assertTrue(self.old.write(OLD))

    def second_takes_it(self):
        self.second.want(2, self.place, images=self.images)
        began = time.monotonic()
        self.second.wait_for("HELD")
        print(f"taken after {time.monotonic() - began:.1f} s", flush=True)

    def second_writes(self):
        new = self.writer(self.second)
        began = time.monotonic()
        self.assertTrue(new.write(NEW))
        print(f"first write after {time.monotonic() - began:.2f} s", flush=True)
        return new

    def on_disk(self):
        return self.ceph.run("rbd", "export", "--no-progress", f"{POOL}/{IMAGE}", "-")[:1].encode()[0]

    def shut_out(self):
        return [one["addr"] for one in self.ceph.json("ceph", "osd", "blocklist", "ls")]

    def assert_nobody_writes_but_the_second(self, new):
        self.assertFalse(self.old.write(OLD))
        self.assertEqual(self.on_disk(), NEW)
        self.assertTrue(new.write(NEW))

    def test_when_the_sentinel_is_gone_the_next_owner_shuts_out_what_still_writes(self):
        self.first_holds_it()
        self.first.kill_sentinel()
        self.second_takes_it()
        self.assertTrue(any(one.startswith(self.first.address + ":") for one in self.shut_out()), self.shut_out())
        self.assertFalse(any(one.startswith(self.second.address + ":") for one in self.shut_out()), self.shut_out())
        self.assert_nobody_writes_but_the_second(self.second_writes())

    def test_a_write_that_waited_for_the_network_does_not_land(self):
        self.first_holds_it()
        self.first.cut_off()
        self.old.tell(OLD)
        self.second_takes_it()
        new = self.second_writes()
        self.first.plug_in()
        self.assertFalse(self.old.answer())
        self.first.wait_for("LOST")
        self.assertEqual(self.on_disk(), NEW)
        self.assert_nobody_writes_but_the_second(new)
        # The host itself is not shut out, only that guest's client.
        self.assertTrue(self.writer(self.first))

    def test_who_had_the_image_open_and_never_wrote_is_shut_out_too(self):
        self.first.want(1, self.place, images=self.images)
        self.first.wait_for("HELD")
        wait_until("it is open", lambda: self.ceph.json("rbd", "status", f"{POOL}/{IMAGE}")["watchers"])
        self.first.kill_sentinel()
        self.second_takes_it()
        new = self.second_writes()
        self.assert_nobody_writes_but_the_second(new)

    def test_a_lease_that_is_signed_over_is_taken_at_once_and_nobody_is_shut_out(self):
        self.first_holds_it()
        self.first.want(1, self.place, images=self.images, hold=False, heir="host-b", heir_epoch=2)
        self.first.wait_for("GIVEN")
        began = time.monotonic()
        self.second.want(2, self.place, images=self.images, given=True)
        self.second.wait_for("HELD")
        print(f"taken over after {time.monotonic() - began:.2f} s", flush=True)
        # The source's process is there yet and gives the image's lock away.
        self.second_writes()
        self.assertEqual(self.shut_out(), [])

    def test_after_a_move_the_next_writes_at_once_when_the_source_closed_the_image(self):
        """As the sentinel has the source's QEMU do."""
        self.first_holds_it()
        new = self.writer(self.second)
        self.first.want(1, self.place, images=self.images, hold=False, heir="host-b", heir_epoch=2)
        self.first.wait_for("GIVEN")
        self.old.close()
        self.second.want(2, self.place, images=self.images, given=True)
        self.second.wait_for("HELD")
        began = time.monotonic()
        self.assertTrue(new.write(NEW))
        print(f"first write after {time.monotonic() - began:.2f} s", flush=True)
        self.assertEqual(self.shut_out(), [])

    def test_it_outlives_a_ceph_that_is_away_for_a_while(self):
        self.first_holds_it()
        for daemon in ("osd", "mon"):
            with self.subTest(daemon):
                self.ceph.kill_daemon(daemon)
                if daemon == "osd":
                    wait_until("it lapses", lambda: self.first.state() != "HELD")
                    self.assertIn("did not answer in time", self.first.lease()["reason"])
                self.ceph.start_daemon(daemon)
                self.first.wait_for("HELD")
                self.assertTrue(self.old.write(OLD))
        self.assertEqual(self.shut_out(), [])

    def test_without_the_configuration_it_waits_and_says_why(self):
        absent = f"rbd:gantry@{POOL}//:/nonexistent/pool.conf"
        self.first.want(1, absent)
        wait_until("it says why", lambda: "cannot read /nonexistent/pool.conf" in self.first.lease().get("reason", ""))

    def test_the_record_goes_with_the_vm(self):
        self.first_holds_it()
        objects = self.ceph.run("rados", "-p", POOL, "ls").split()
        self.assertIn(f"gantry.lease.{VM}", objects)
        self.first.remove(self.place)
        wait_until("it is gone", lambda: f"gantry.lease.{VM}" not in self.ceph.run("rados", "-p", POOL, "ls").split())


if __name__ == "__main__":
    unittest.main()
