"""Files of exports: whole or not at all, and what they may hold."""

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from ...utils.files import atomic_path

_NOT_IN_XML = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')


def file_path(folder: Path, stem: str, suffix: str) -> Path:
    """Where a file of an image belongs; the stem may hold folders and dots."""
    return folder / f'{stem}{suffix}'


def plain_text(text: str) -> str:
    """A text without what XML cannot hold; each such character becomes ``?``."""
    return _NOT_IN_XML.sub('?', text)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, all at once; file names that are none as they are."""
    with (
        atomic_path(path) as temporary,
        open(
            temporary, 'w', encoding='utf-8', errors='surrogateescape', newline='\n'
        ) as file,
    ):
        file.write(text)


def write_json(path: Path, content: Any, *, readable: bool = False) -> None:
    """Write JSON, all at once.

    Args:
        path: The file.
        content: Plain JSON.
        readable: On many lines.
    """
    write_text(path, json.dumps(content, indent=2 if readable else None) + '\n')


def write_xml(
    path: Path, root: ElementTree.Element, *, declaration: bool = True
) -> None:
    """Write XML as UTF-8, all at once; without its declaration to be pasted as text."""
    ElementTree.indent(root)
    with atomic_path(path) as temporary:
        ElementTree.ElementTree(root).write(
            temporary, encoding='utf-8', xml_declaration=declaration
        )


def write_png(path: Path, picture: Image.Image) -> None:
    """Write a PNG, all at once."""
    with atomic_path(path) as temporary:
        picture.save(temporary, 'PNG')


def copy_image(source: Path, target: Path) -> None:
    """Copy a file, all at once; not again where the copy is as old and as large."""
    state = source.stat()
    if target.is_file():
        there = target.stat()
        if (there.st_size, there.st_mtime_ns) == (state.st_size, state.st_mtime_ns):
            return
    with atomic_path(target) as temporary:
        shutil.copy2(source, temporary)
