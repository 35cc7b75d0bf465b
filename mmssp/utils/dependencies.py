"""Are torch, mmcv, mmengine and mmseg there, new enough and of one stack?

Two stacks carry the same import names, so none can be a hard requirement of the package;
this check at import takes the place of one, and names the command that mends things.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = ('mmengine', 'mmcv', 'mmseg')
MAINTAINED = {'mmcv': '2.3.6', 'mmengine': '0.10.12', 'mmseg': '1.4.2'}
OFFICIAL = {'mmcv': '2.1.0', 'mmengine': '0.10.7', 'mmseg': '1.2.2'}
# what pip calls the packages that bring a module, by stack
DISTRIBUTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    'official': {
        'mmcv': ('mmcv', 'mmcv-lite', 'mmcv-full'),
        'mmengine': ('mmengine', 'mmengine-lite'),
        'mmseg': ('mmsegmentation',),
    },
    'maintained': {
        'mmcv': ('onedl-mmcv',),
        'mmengine': ('onedl-mmengine',),
        'mmseg': ('onedl-mmsegmentation',),
    },
}
WAY_OUT = (
    'Install one stack, after PyTorch (pip install torch==2.13.0): the maintained one by '
    'pip install onedl-mmcv==2.3.6 onedl-mmengine==0.10.12 onedl-mmsegmentation==1.4.2, '
    'or the official one (mmcv 2.1.0 compiled, mmengine 0.10.7, mmsegmentation 1.2.2) as '
    'docs/install.md says'
)


class StackError(ImportError):
    """The packages below mmssp are missing, too old, mixed, or do not import."""


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Keep back what the stack says at import about optional parts nobody asked for.

    An mmcv without compiled ops warns, and mmseg prints a debug line; before each
    command's own output both look like errors.
    """
    printed = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformable')
        yield
    for line in printed.getvalue().splitlines():
        if line != 'Could not import OneDL':
            print(line)


def check_dependencies() -> None:
    """Import the stack below mmssp.

    Raises:
        StackError: If a part is missing, too old, mixed with the other stack, or does not
            import; the message names the command that mends it. Where nobody catches it,
            the program ends with that message alone (``MMSSP_TRACEBACK=1`` shows all).
    """
    try:
        _check()
    except StackError:
        if not os.environ.get('MMSSP_TRACEBACK'):
            _end_with_message()
        raise


def _check() -> None:
    folders = {name: _folder(name) for name in ('torch', *MODULES)}
    missing = [name for name, folder in folders.items() if folder is None]
    if missing:
        raise StackError(
            f'mmssp needs {", ".join(missing)}, not installed here. {WAY_OUT}'
        )
    problem = find_mixture({name: _owners(name, folders[name]) for name in MODULES})
    if problem:
        raise StackError(problem)
    problem = find_problem({name: _version(name) for name in ('torch', *MODULES)})
    if problem:
        raise StackError(f'{problem}. {WAY_OUT}')
    # what needs the compiled ops of the official mmcv, and is needed anyway
    _import('mmseg.models')


def _end_with_message() -> None:
    """An uncaught StackError, and nothing else, is printed without its traceback."""
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if isinstance(error, StackError):
            print(f'error: {error}', file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = hook


def find_mixture(owners: Mapping[str, Sequence[str]]) -> str | None:
    """Whether packages of both stacks share the names of the modules.

    Args:
        owners: By module name, the distributions installed where the module lies; none
            where that is not known, as for a checkout.

    Returns:
        A sentence with the commands that mend it, or None.
    """
    stacks = {
        distribution: stack
        for stack, modules in DISTRIBUTIONS.items()
        for distributions in modules.values()
        for distribution in distributions
    }
    found = [name for module in MODULES for name in owners.get(module, ())]
    twice = [module for module in MODULES if len(owners.get(module, ())) > 1]
    if not twice and len({stacks[name] for name in found}) < 2:
        return None
    by_stack = {
        stack: ', '.join(name for name in found if stacks[name] == stack)
        for stack in DISTRIBUTIONS
    }
    said = '; '.join(f'{names} ({stack})' for stack, names in by_stack.items() if names)
    why = (
        f'{", ".join(twice)}: several packages bring it, each over the files of the other'
        if twice
        else 'parts of both stacks are mixed'
    )
    return f'{why}: {said}. Remove them (pip uninstall -y {" ".join(found)}). {WAY_OUT}'


def find_problem(versions: Mapping[str, str]) -> str | None:
    """What is wrong with a set of versions.

    Args:
        versions: Version by module name.

    Returns:
        A sentence, or None.
    """
    # the official mmcv ends below 2.2 for mmsegmentation; the maintained one begins above
    maintained = _numbers(versions['mmcv']) >= (2, 2)
    wanted = MAINTAINED if maintained else OFFICIAL
    old = [
        f'{name} {versions[name]} (needs {least} or newer)'
        for name, least in wanted.items()
        if _numbers(versions[name]) < _numbers(least)
    ]
    if old:
        stack = 'maintained' if maintained else 'official'
        return f'too old for the {stack} stack, or of the other one: {", ".join(old)}'
    return None


def _folder(module: str) -> Path | None:
    """Where a module's package lies, without importing it; None where there is none."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    # a folder that is left behind after an uninstall has no __init__.py, hence no origin
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).resolve().parents[1]


def _owners(module: str, folder: Path | None) -> list[str]:
    """The distributions that put a module into a folder.

    Those elsewhere on the path do not count: the one found first hides them.
    """
    found = []
    for modules in DISTRIBUTIONS.values():
        for name in modules[module]:
            try:
                place = importlib.metadata.distribution(name).locate_file('')
            except importlib.metadata.PackageNotFoundError:
                continue
            if Path(str(place)).resolve() == folder:
                found.append(name)
    return found


def _version(name: str) -> str:
    return str(_import(name).__version__)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever a half-installed package raises
        why = f'{name} cannot be imported: {_reason(error)}'
        raise StackError(f'{why}. {WAY_OUT}') from error


def _reason(error: Exception) -> str:
    text = ' '.join(str(error).split()).rstrip('.')
    if 'mmcv._ext' in text and isinstance(error, ModuleNotFoundError):
        return (
            f'{text}; this mmcv was built without its compiled ops, which the official '
            'mmsegmentation needs'
        )
    if '_ext' in text:
        torch = _import('torch').__version__
        return f'{text}; this mmcv was compiled for another PyTorch than {torch}'
    return f'{type(error).__name__}: {text}'


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r'\d+', version)[:3])
