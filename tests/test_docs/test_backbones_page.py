"""What docs/backbones.md says of models is so."""

import re
from pathlib import Path

import pytest
import torch
from guide import ROOT, code_blocks
from mmengine.config import Config
from mmseg.registry import MODELS

PAGE = ROOT / 'docs' / 'backbones.md'
TEXT = PAGE.read_text(encoding='utf-8')
BASES = {p.stem: p for p in (ROOT / 'configs' / '_base_' / 'models').glob('*.py')}
ROWS = {
    row[1]: [float(cell) for cell in row[2].split('|')]
    for row in re.finditer(r'^\| *(ssp_[\w-]+) *\|([\d.| ]+)\|$', TEXT, re.MULTILINE)
}


def built(path: Path) -> torch.nn.Module:
    """A backbone of random weights, without memory."""
    backbone = Config.fromfile(path).model.backbone
    for name in ('weights', 'init_cfg'):
        if name in backbone:
            backbone[name] = None
    with torch.device('meta'):
        return MODELS.build(backbone)


def test_every_model_has_its_row():
    assert set(ROWS) == set(BASES)
    assert {len(row) for row in ROWS.values()} == {8}


# those whose network comes from a package with its weights are not built here
@pytest.mark.parametrize('name', sorted(n for n in BASES if 'efficientnet' not in n))
def test_parameters_are_those_of_the_page(name):
    if Config.fromfile(BASES[name]).model.backbone.type == 'HFBackbone':
        pytest.importorskip('transformers')
    count = sum(p.numel() for p in built(BASES[name]).parameters())
    assert f'{count / 1e6:.1f}' == str(ROWS[name][0])


def test_the_page_names_the_weights_of_every_config():
    for path in BASES.values():
        weights = Config.fromfile(path).model.backbone.get('weights')
        if weights:
            # the first of a family in full, the others by what differs
            family = re.sub('(-small|-base|-large|vit[sbl]16.*)$', '', weights)
            assert f'`{family}' in TEXT
            assert re.search('(small|base|large|vit[sbl]16|tiny)', weights)[1] in TEXT


def test_configs_of_the_page_are_built():
    pytest.importorskip('transformers')
    blocks = [code for language, code in code_blocks(PAGE) if language == 'python']
    (block,) = (code for code in blocks if 'HFBackbone' in code)
    model = Config.fromstring(block, '.py').model
    with torch.device('meta'):
        backbone = MODELS.build(dict(model.backbone, weights=None))
    assert backbone.size_divisor == model.size_divisor
    head = model.decode_head
    assert backbone.out_channels[head.in_index] == head.in_channels
