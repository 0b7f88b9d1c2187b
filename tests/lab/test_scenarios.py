"""The registry of scenarios."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

from analyzer.lab import scenarios
from analyzer.lab.scenarios import SCENARIOS
from tests.lab.truths import FOLLOWING


def test_every_public_function_of_a_scenario_file_is_registered() -> None:
    """A scenario that is written but not listed cannot be run."""
    written = {
        function
        for module in pkgutil.iter_modules(scenarios.__path__, "analyzer.lab.scenarios.")
        for name, function in vars(import_module(module.name)).items()
        if inspect.isfunction(function) and function.__module__ == module.name and not name.startswith("_")
    }
    assert written == {scenario.provoke for scenario in SCENARIOS.values()}


def test_names_are_those_of_the_functions() -> None:
    """`snat-race` is `snat_race`, so that one finds the other."""
    assert [name.replace("-", "_") for name in SCENARIOS] == [
        scenario.provoke.__name__ for scenario in SCENARIOS.values()
    ]


def test_every_scenario_says_what_it_does() -> None:
    """The docstring is the help: a sentence of its own first."""
    for scenario in SCENARIOS.values():
        first, *_ = inspect.getdoc(scenario.provoke).split("\n\n")  # type: ignore[union-attr]
        assert first.endswith(".")
        assert "\n" not in first


def test_every_scenario_has_a_truth_to_be_held_against() -> None:
    """What must be found in a run follows from what the kernel and the programs counted in it."""
    assert SCENARIOS.keys() == FOLLOWING.keys()
