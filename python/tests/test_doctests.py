"""Runs the examples of every docstring. All that is public has one, or belongs to a class that has one."""

from __future__ import annotations

import doctest
import inspect

import atlas_manifold as am
import pytest

# Small and plain: the functions that return or take them explain them.
WITHOUT_EXAMPLE = {
    "BenchmarkReport", "Chunk", "StreamConfig", "ParityOptions", "Delta", "library_version", "trim",
}  # fmt: skip
PUBLIC = [getattr(am, name) for name in am.__all__ if callable(getattr(am, name))]


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_examples(thing: object) -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for example in finder.find(thing, module=False, globs={}):  # type: ignore[arg-type]
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        assert runner.run(example).failed == 0, example.name


def test_of_the_module() -> None:
    assert doctest.testmod(am, optionflags=doctest.ELLIPSIS).failed == 0


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_all_is_documented(thing: type) -> None:
    assert thing.__doc__
    if inspect.isclass(thing):
        for name, member in vars(thing).items():
            if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
                assert member.__doc__ or inspect.getdoc(getattr(thing, name)), f"{thing.__name__}.{name}"


def test_classes_with_work_to_do_have_an_example() -> None:
    for thing in PUBLIC:
        plain = issubclass(thing, (Exception, int)) if inspect.isclass(thing) else False
        if plain or (inspect.isclass(thing) and issubclass(thing, tuple)) or thing.__name__ in WITHOUT_EXAMPLE:
            continue
        assert ">>>" in (thing.__doc__ or ""), thing.__name__
