"""Figures as they are printed."""
import statistics
import sys


class Table:
    """Lines of figure, value, what it is held against, and whether it holds."""

    def __init__(self):
        self._missed = 0

    def title(self, text):
        print(f"\n{text}", flush=True)

    def line(self, what, value, against="", holds=None):
        verdict = {True: "holds", False: "MISSED", None: ""}[holds]
        self._missed += holds is False
        print(f"  {what:<58} {value:>12}  {against:<36} {verdict}".rstrip(), flush=True)

    def median(self, what, seconds, against="", holds=None):
        """And from where to where the figures go, on a line of their own."""
        self.line(what, milliseconds(statistics.median(seconds)), against, holds)
        self.line("", "", spread(seconds))

    def end(self):
        if self._missed:
            sys.exit(f"\n{self._missed} goals missed")
        print("\nAll goals hold")


def milliseconds(seconds):
    return f"{seconds * 1000:.0f} ms"


def spread(values):
    return f"{milliseconds(min(values))} to {milliseconds(max(values))}"
