"""Loaded by pytest: what becomes of each test of docker-py goes to a file; some are not run."""

import fnmatch
import json
import os
import sys
import types

try:
    import paramiko  # noqa: F401
except ImportError:
    # Docker by way of SSH, which is not tested; the tests ask for the name alone.
    stub = types.ModuleType("paramiko")
    stub.Channel = type("Channel", (), {})
    sys.modules["paramiko"] = stub

# Some tests change the environment.
NOT_RUN = os.environ["WEAVE_NOT_RUN"]
TOLD = os.environ["WEAVE_OUTCOMES"]
OUTCOMES = {}


def not_run():
    """Patterns of tests, from lines `pattern: why`"""
    with open(NOT_RUN, encoding="utf-8") as lines:
        for line in lines:
            pattern, colon, _why = line.partition(": ")
            if colon and not line.startswith("#"):
                yield pattern.strip()


def short(nodeid):
    """Without the directory that all are in"""
    return nodeid.removeprefix("tests/integration/")


def pytest_collection_modifyitems(config, items):
    patterns = list(not_run())
    out = [i for i in items if any(fnmatch.fnmatch(short(i.nodeid), p) for p in patterns)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_runtest_logreport(report):
    """A test is as its worst part is: set-up, call or tear-down"""
    known = OUTCOMES.setdefault(short(report.nodeid), {"outcome": "passed", "why": "", "seconds": 0.0})
    known["seconds"] += report.duration
    if report.outcome != "passed" and known["outcome"] != "failed":
        known["outcome"] = report.outcome
        known["why"] = report.longreprtext[-2000:]


def pytest_sessionfinish():
    with open(TOLD, "w", encoding="utf-8") as file:
        json.dump(OUTCOMES, file)
