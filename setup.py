"""Packaging: what is installed with mmssp, and which extras choose the stack below it."""

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# where MIM looks for what a package brings beside its modules
MIM = Path('mmssp', '.mim')
MIM_PARTS = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Puts configs, tools and the model index below ``mmssp/.mim``, where MIM looks.

    A wheel gets copies, written into the build folder alone. An editable install gets
    links in the source tree (ignored by git), so that nothing is ever stale.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            link_mim(ROOT / MIM)
        else:
            copy_mim(Path(self.build_lib) / MIM)


def copy_mim(target: Path) -> None:
    """Copy the parts, none of an earlier build left."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in MIM_PARTS:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns('__pycache__', '*.py[cod]')
            shutil.copytree(source, target / name, ignore=ignored)
        else:
            shutil.copy2(source, target / name)


def link_mim(target: Path) -> None:
    """Link to the parts; copy where the system refuses links (Windows)."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        for name in MIM_PARTS:
            source = Path(os.path.relpath(ROOT / name, target))
            (target / name).symlink_to(
                source, target_is_directory=(ROOT / name).is_dir()
            )
    except OSError:
        copy_mim(target)


def read_version() -> str:
    text = (ROOT / 'mmssp' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"__version__ = '(.+)'", text).group(1)


def requirements(name: str) -> list[str]:
    text = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8')
    return [line for line in text.splitlines() if line and not line.startswith('#')]


setup(
    name='mmssp',
    version=read_version(),
    description='Self-Support Few-Shot Semantic Segmentation for MMSegmentation',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='computer vision, few-shot semantic segmentation, MMSegmentation',
    python_requires='>=3.10',
    packages=find_packages(include=['mmssp', 'mmssp.*']),
    package_data={'mmssp': ['py.typed']},
    cmdclass={'build_py': BuildWithMim},
    # torch, mmcv, mmengine and mmseg are not here on purpose: two stacks carry the same
    # import names, so the user picks one by extra and mmssp/__init__.py checks it.
    install_requires=requirements('runtime'),
    extras_require={
        name: requirements(name)
        for name in (
            *('onedl', 'mim', 'demo', 'lite', 'refine', 'transformers', 'lora'),
            *('web', 'ray', 'export', 'tests', 'docs'),
        )
    },
    zip_safe=False,
)
