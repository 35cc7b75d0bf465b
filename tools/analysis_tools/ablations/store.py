"""What was measured, kept by what it is a measurement of, so that a killed run goes on."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from mmssp.utils.files import atomic_path

SAVE_EVERY = 20.0
"""Seconds."""


def key_of(*described: Any) -> str:
    """A name of settings; others have another."""
    text = json.dumps(described, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Store:
    """Records of episodes in a JSON file, by the key of what made them.

    Args:
        path: Made when there is something to keep.

    Raises:
        ValueError: If it holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, list[dict[str, Any]]] = {}
        if path.is_file():
            try:
                self.records = json.loads(path.read_text())['records']
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f'{path}: found no records ({error}); expected those of an earlier '
                    'run: name another folder by --out, or remove the file'
                ) from error
        self._saved = time.monotonic()

    def of(self, key: str) -> list[dict[str, Any]]:
        """The records of a key, in order of their episodes; to be appended to."""
        return self.records.setdefault(key, [])

    def save(self, at_once: bool = False) -> None:
        """Write the file, if that was not done just before."""
        if at_once or time.monotonic() - self._saved > SAVE_EVERY:
            with atomic_path(self.path) as path:
                path.write_text(json.dumps(dict(records=self.records)))
            self._saved = time.monotonic()
