"""Packaging: what is installed with mmssp, and which extras choose the stack below it."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    text = (ROOT / 'mmssp' / 'version.py').read_text()
    return re.search(r"__version__ = '(.+)'", text).group(1)


def requirements(name: str) -> list:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


setup(
    name='mmssp',
    version=read_version(),
    description='Self-Support Few-Shot Semantic Segmentation for MMSegmentation',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='computer vision, few-shot semantic segmentation, MMSegmentation',
    python_requires='>=3.10',
    packages=find_packages(include=['mmssp', 'mmssp.*']),
    # torch, mmcv, mmengine and mmseg are not here on purpose: two stacks carry the same
    # import names, so the user picks one by extra and mmssp/__init__.py checks it.
    install_requires=requirements('runtime'),
    extras_require={
        name: requirements(name)
        for name in ('onedl', 'mim', 'demo', 'web', 'ray', 'tests', 'docs')
    },
    zip_safe=False,
)
