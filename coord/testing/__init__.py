"""Test what you build on coord: a whole ensemble in your process, on a virtual clock, with faults on demand."""

from coord.testing.client import Client as Client
from coord.testing.client import ConnectionLost as ConnectionLost
from coord.testing.ensemble import Ensemble as Ensemble
from coord.testing.ensemble import ServerView as ServerView
from coord.testing.ensemble import ensemble as ensemble
from coord.testing.scheduling import run as run
