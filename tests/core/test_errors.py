"""The tree of exceptions is drawn as it is, and all of it can be imported from `saga`."""

import re
from collections.abc import Iterator

import saga
from saga import errors


def below(parent: type[Exception], depth: int = 0) -> Iterator[tuple[int, str]]:
    """The classes of the module below one, by depth."""
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield depth, child.__name__
            yield from below(child, depth + 1)


def test_the_tree_that_is_drawn() -> None:
    lines = re.findall(r"^    ([│ ]*)[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    drawn = [(len(indent) // 4, name) for indent, name in lines]
    assert sorted(drawn) == sorted(set(below(errors.SagaError)))
    assert f"\n    {errors.DefinitionWarning.__name__} " in (errors.__doc__ or "")


def test_all_of_it_is_public() -> None:
    names = {name for _, name in below(errors.SagaError)} | {"SagaError", "DefinitionWarning"}
    assert names <= set(saga.__all__)
    assert all(getattr(saga, name) is getattr(errors, name) for name in names)
