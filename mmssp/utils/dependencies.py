"""Are torch, mmcv, mmengine and mmseg there, new enough and of one stack?

Two stacks carry the same import names, so none can be a hard requirement of the package;
this check at import takes the place of one, and names the command that mends things.
"""

import contextlib
import importlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping

MODULES = ('mmengine', 'mmcv', 'mmseg')
MAINTAINED = {'mmcv': '2.3.6', 'mmengine': '0.10.12', 'mmseg': '1.4.2'}
OFFICIAL = {'mmcv': '2.1.0', 'mmengine': '0.10.7', 'mmseg': '1.2.2'}
WAY_OUT = (
    'Install one stack, after PyTorch (pip install torch==2.13.0): the maintained one by '
    'pip install onedl-mmcv==2.3.6 onedl-mmengine==0.10.12 onedl-mmsegmentation==1.4.2, '
    'or the official one by mim install mmcv==2.1.0 mmengine mmsegmentation ftfy regex'
)


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
        ImportError: If a part is missing, too old, or of the other stack; the message
            names the command that mends it.
    """
    found = {name: _version(name) for name in ('torch', *MODULES)}
    problem = find_problem(found)
    if problem:
        raise ImportError(f'{problem}. {WAY_OUT}')


def find_problem(versions: Mapping[str, str | None]) -> str | None:
    """What is wrong with a set of versions.

    Args:
        versions: Version by module name; None where it is not installed.

    Returns:
        A sentence, or None.
    """
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        return f'mmssp needs {", ".join(missing)}, not installed here'
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


def _version(name: str) -> str | None:
    try:
        return importlib.import_module(name).__version__
    except ModuleNotFoundError as error:
        if error.name == name:
            return None
        raise ImportError(f'{name} cannot be imported: {error}. {WAY_OUT}') from error
    except AssertionError as error:
        # mmseg asserts the versions of mmcv and mmengine
        raise ImportError(
            f'{name} refuses what it found: {error}. {WAY_OUT}'
        ) from error


def _numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r'\d+', version or '')[:3])
