"""mmengine's local files, written whole or not at all."""

import os
import shutil
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from ..utils.command import NO_SPACE
from ..utils.files import atomic_path


class DurableLocalBackend(LocalBackend):
    """Local files for ``backend_args=dict(backend='durable')``.

    What is written appears under its name when all of it is on the disk, and not before:
    whatever stops the process or the machine, a reader finds the old file or the new one.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file.

        Args:
            obj: All of it.
            filepath: Where to. Missing folders are made.

        Raises:
            OSError: If it cannot be written. ``filepath`` is then as it was.
        """
        try:
            with atomic_path(filepath, durable=True) as temporary:
                temporary.write_bytes(obj)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            folder = Path(filepath).resolve().parent
            free = shutil.disk_usage(folder).free if folder.is_dir() else 0
            raise OSError(
                f'{filepath} is not written: {os.strerror(error.errno)} '
                f'({len(obj) / 1e6:.1f} MB to write, {free / 1e6:.1f} MB free); what was '
                'there before is as it was: make room and go on with --resume'
            ) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write a text file; else as :meth:`put`."""
        self.put(obj.encode(encoding), filepath)


register_backend('durable', DurableLocalBackend, force=True)
