"""Threads spin on an idle machine and sleep on a busy one; whoever sets the variable decides."""

import pytest

from nbsupport.core import threads


@pytest.mark.parametrize(("load", "policy"), [(3.0, "active"), (80.0, "passive")])
def test_the_load_decides(monkeypatch, load, policy):
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    monkeypatch.setattr(threads.psutil, "cpu_percent", lambda interval: load)
    assert threads.waiting_policy() == policy


def test_the_environment_comes_first(monkeypatch):
    monkeypatch.setenv(threads.VARIABLE, "passive")
    monkeypatch.setattr(threads.psutil, "cpu_percent", lambda interval: 0.0)
    assert threads.waiting_policy() == "passive"
    threads.choose_waiting()
    assert threads.os.environ[threads.VARIABLE] == "passive"
