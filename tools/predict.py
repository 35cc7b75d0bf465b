"""Segment a folder: python tools/predict.py --support DIR --input DIR --output DIR …"""

import mmssp  # noqa: F401  first of all: it checks what the others need

# isort: split
from mmssp.apis.folder.cli import main
from mmssp.utils.command import run

if __name__ == '__main__':
    run(main)
