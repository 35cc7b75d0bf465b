"""A place for caches where the user has no home: a container's user of a number alone."""

import os
import sys
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path

VARIABLE = 'XDG_CACHE_HOME'


def substitute_cache() -> Path:
    """A folder of this user's in the system's temporary one."""
    user = os.getuid() if hasattr(os, 'getuid') else 0
    return Path(tempfile.gettempdir(), f'mmssp_cache_{user}')


def named_cache(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder that the variable names, if it is one: not relative, as XDG has it."""
    folder = os.path.expanduser(environment.get(VARIABLE, ''))
    return Path(folder) if os.path.isabs(folder) else None


def has_home() -> bool:
    """Whether there is a home that programs can write ``~`` for."""
    return os.path.isabs(os.path.expanduser('~'))


def settle_caches(environment: MutableMapping[str, str] = os.environ) -> None:
    """Name a folder for caches, if nothing does, in mmssp's own commands.

    What they import asks for the home: yapf, by which MMEngine prints configs, ends with
    an error without one, and so does whatever keeps downloads. A ``~`` in the variable
    is the home, which not all of them know.

    Args:
        environment: Where it is named; children have it too.
    """
    given = named_cache(environment)
    if given is not None:
        environment[VARIABLE] = str(given)
    if given is not None or has_home():
        return
    environment[VARIABLE] = str(substitute_cache())
    environment.setdefault('MPLCONFIGDIR', str(substitute_cache() / 'matplotlib'))
    print(
        f'warning: this user has no home folder: caches go to {environment[VARIABLE]}; '
        f'name a folder that stays by the variable {VARIABLE}, or by HOME',
        file=sys.stderr,
    )
