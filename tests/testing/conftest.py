"""The clock on which the tests of this folder run."""

from coord.testing.fixture import virtual_clock as virtual_clock
