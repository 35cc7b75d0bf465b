"""Guides can be followed to the letter: every block of code in them runs."""

from pathlib import Path

import pytest
from guide import ROOT, code_blocks, follow

GUIDES = (
    'adding_a_backbone.md',
    'adding_a_dataset.md',
    'adding_a_matching_method.md',
    'export.md',
    'get_started.md',
    'own_data.md',
)


@pytest.mark.slow
@pytest.mark.parametrize('name', GUIDES)
def test_guide_runs_as_it_stands(name, tmp_path):
    pytest.importorskip('efficientnet_lite_pytorch')
    follow(ROOT / 'docs' / name, tmp_path)


@pytest.mark.parametrize('name', GUIDES)
def test_guide_has_something_to_run(name):
    assert {'bash', 'python'} <= {language for language, _ in code_blocks(_path(name))}


def _path(name: str) -> Path:
    return ROOT / 'docs' / name
