"""Spec classes are claims, so pytest finds them by what they hold, not by a prefix."""

import inspect

import pytest


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> pytest.Class | None:
    """Collect every class of a spec file that has test methods, whatever its name."""
    if not isinstance(collector, pytest.Module) or not inspect.isclass(obj):
        return None
    written_here = obj.__module__ == collector.obj.__name__
    if written_here and any(method.startswith("test_") for method in vars(obj)):
        found: pytest.Class = pytest.Class.from_parent(collector, name=name, obj=obj)
        return found
    return None
