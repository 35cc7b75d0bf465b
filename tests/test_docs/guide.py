"""A guide's code blocks, run in order, in a folder with configs and tools beside them."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r'^```(\w+)\n(.+?)^```$', re.MULTILINE | re.DOTALL)
BUILD = """
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

init_default_scope('mmseg')
MODELS.build(Config.fromfile('unnamed_config.py').model)
"""
FILE_NAME = re.compile(r'# (\w+\.py)\n')


def code_blocks(guide: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    return FENCE.findall(guide.read_text())


def follow(guide: Path, folder: Path, timeout: float = 400) -> None:
    """Do what a guide says, in an empty folder that stands for a clone.

    Python blocks that begin with ``# NAME.py`` are written to that file; of a config
    without a name the model is built; other Python runs, and ``bash`` does. Any other
    language is for reading.

    Args:
        guide: Markdown.
        folder: Working directory; ``configs`` and ``tools`` are linked into it.
        timeout: Seconds for each block.

    Raises:
        AssertionError: If a block fails, with the block and what it printed.
    """
    for name in ('configs', 'tools'):
        (folder / name).symlink_to(ROOT / name)
    for language, text in code_blocks(guide):
        if language == 'bash':
            run(['bash', '-euc', text], text, folder, timeout)
        elif language == 'python':
            named = FILE_NAME.match(text)
            if named:
                (folder / named[1]).write_text(text)
            elif '_base_' in text:
                (folder / 'unnamed_config.py').write_text(text)
                run([sys.executable, '-c', BUILD], text, folder, timeout)
            else:
                run([sys.executable, '-c', text], text, folder, timeout)


def run(command: list[str], text: str, folder: Path, timeout: float) -> None:
    """Run a block with this Python, mmssp and the folder on the path."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
            'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}',
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f'{text}\n{done.stdout[-6000:]}'
