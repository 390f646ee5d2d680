"""Importing the user's modules, as `celery -A` does."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# Celery has no types, and is imported only where the user's modules have an app.

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

from saga.errors import InvalidInput, SagaError

_prepared: WeakSet[Any] = WeakSet()


def import_each(names: Sequence[str]) -> list[tuple[str, Any]]:
    """Imports each `module` or `module:attribute`, from here or from the path. Returns each name
    with what it names: a module, or what is in it. A Celery app among it imports its own modules
    first, as in a worker: so Django is set up, and tasks and sagas that are found by
    `autodiscover_tasks` are known, before the next name is imported.

    Raises InvalidInput for one that does not exist, and for one that fails, with the place.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return [(name, _with_its_apps(name, Path(here))) for name in names]


def apps_in(name: str, named: Any) -> list[Any]:
    """The Celery apps in what a name names; of a package also those in its module `celery`."""
    celery = sys.modules.get("celery")
    if celery is None:
        return []
    candidates: list[Any] = [named] if ":" in name else [*vars(named).values()]
    found = [one for one in candidates if isinstance(one, celery.Celery)]
    if not found and ":" not in name and (beside := sys.modules.get(f"{name}.celery")):
        return apps_in(beside.__name__, beside)
    return found


def _with_its_apps(name: str, here: Path) -> Any:
    found = _import(name, here)
    if hasattr(found, "__path__") and importlib.util.find_spec(f"{name}.celery") is not None:
        _module(f"{name}.celery", here)
    for app in apps_in(name, found):
        if app not in _prepared:
            _prepared.add(app)
            try:
                app.loader.import_default_modules()
            except SagaError:
                raise
            except Exception as error:
                raise InvalidInput(_failed(name, error)) from error
    return found


def _import(name: str, here: Path) -> Any:
    module_name, _, attribute = name.partition(":")
    found = _module(module_name, here)
    for part in attribute.split(".") if attribute else ():
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise InvalidInput(f"--app: {module_name} has no {attribute!r}{hint}")
        found = getattr(found, part)
    return found


def _module(name: str, here: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise InvalidInput(_failed(name, error)) from error
        raise InvalidInput(_missing(name, here)) from None
    except SagaError:
        raise
    except Exception as error:
        raise InvalidInput(_failed(name, error)) from error


def _missing(name: str, here: Path) -> str:
    if name.endswith(".py"):
        return f"--app: name the module, not the file: {name.removesuffix('.py').replace('/', '.')}"
    found = [path.stem for path in here.iterdir() if path.suffix == ".py" or path.is_dir()]
    near = difflib.get_close_matches(name, found, n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else f" (looked in {here} and on the path)"
    return f"--app: there is no module {name!r}{hint}"


def _failed(name: str, error: BaseException) -> str:
    """The last place outside the import system tells the user most."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    own = [f for f in frames if f.filename != __file__]
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
        return f"--app: importing {name} failed: {type(error).__name__}: {error.msg}{where}"
    return f"--app: importing {name} failed: {type(error).__name__}: {error}{where}"
