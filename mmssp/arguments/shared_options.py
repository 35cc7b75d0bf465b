"""Options that several commands have."""

import argparse
from collections.abc import Sequence
from typing import Any

from .._components import load_components

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``, and the ``--local-rank`` that some launchers pass."""
    parser.add_argument(
        '--launcher',
        choices=LAUNCHERS,
        default='none',
        help='how the processes of a distributed job were started (default: none; '
        'see docs/distributed.md)',
    )
    parser.add_argument(
        '--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS
    )


class DictAction(argparse.Action):
    """MMEngine's ``DictAction``, imported when the option is there: it takes seconds."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Put ``KEY=VALUE`` words into a dict, values read as MMEngine reads them."""
        load_components()
        from mmengine.config import DictAction as Own

        own = Own(self.option_strings, self.dest, nargs=self.nargs)
        own(parser, namespace, values, option_string)


def add_cfg_options(parser: argparse.ArgumentParser, help: str | None = None) -> None:
    """Add ``--cfg-options KEY=VALUE …``.

    Args:
        parser: Changed in place.
        help: What it says of the option.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help=help or 'override settings of the config',
    )
