"""tools/model_converters/dino_to_hf.py against the published networks, written out here."""

import math
from pathlib import Path

import pytest
import torch
from commands import exit_code
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, silu

pytest.importorskip('transformers')

TOOL = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'dino_to_hf.py'
WIDTH, HEADS, DEPTH, SIDE = 128, 2, 2, 3


def published(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """A small state dict of the names and shapes that torch.hub's files have."""
    torch.manual_seed(seed)
    v3, gated = kind.startswith('v3'), kind.endswith('gated')
    patch, inner = (16 if v3 else 14), (344 if gated and not v3 else 4 * WIDTH)
    shapes: dict[str, tuple[int, ...]] = {
        'cls_token': (1, 1, WIDTH),
        'mask_token': (1, WIDTH),
        'patch_embed.proj.weight': (WIDTH, 3, patch, patch),
        'patch_embed.proj.bias': (WIDTH,),
        'norm.weight': (WIDTH,),
        'norm.bias': (WIDTH,),
    }
    if v3:
        shapes['storage_tokens'] = (1, 4, WIDTH)
    else:
        shapes['pos_embed'] = (1, SIDE**2 + 1, WIDTH)
    if kind == 'v2 registers':
        shapes['register_tokens'] = (1, 4, WIDTH)
    layers = {'fc1': (inner, WIDTH), 'fc2': (WIDTH, inner)}
    if gated:
        layers = {'w12': (2 * inner, WIDTH), 'w3': (WIDTH, inner)}
        if v3:
            layers = dict.fromkeys(('w1', 'w2'), (inner, WIDTH)) | layers
            del layers['w12']
    for i in range(DEPTH):
        own = {
            f'norm{n}.{part}': (WIDTH,) for n in (1, 2) for part in ('weight', 'bias')
        }
        own |= {f'ls{n}.gamma': (WIDTH,) for n in (1, 2)}
        for name, shape in {
            'attn.qkv': (3 * WIDTH, WIDTH),
            'attn.proj': (WIDTH, WIDTH),
            **{f'mlp.{layer}': shape for layer, shape in layers.items()},
        }.items():
            own |= {f'{name}.weight': shape, f'{name}.bias': shape[:1]}
        shapes |= {f'blocks.{i}.{name}': shape for name, shape in own.items()}
    state = {name: 0.1 * torch.randn(shape) for name, shape in shapes.items()}
    if v3:
        state['rope_embed.periods'] = 100 ** (torch.arange(16) / 16)
        for i in range(DEPTH):
            mask = torch.ones(3 * WIDTH)
            mask[WIDTH : 2 * WIDTH] = 0
            state[f'blocks.{i}.attn.qkv.bias_mask'] = mask
    return state


def forward(state: dict[str, Tensor], image: Tensor) -> Tensor:
    """The published network: patch features (B,C,h,w), behind the last norm."""
    v3 = 'rope_embed.periods' in state
    eps = 1e-5 if v3 else 1e-6
    weight = state['patch_embed.proj.weight']
    cells = torch.nn.functional.conv2d(
        image, weight, state['patch_embed.proj.bias'], stride=weight.shape[-1]
    )
    height, width = cells.shape[-2:]
    x = torch.cat(
        [state['cls_token'].expand(len(image), -1, -1), cells.flatten(2).mT], dim=1
    )
    if not v3:
        x = x + state['pos_embed']
    extra = state.get('register_tokens', state.get('storage_tokens'))
    if extra is not None:
        x = torch.cat([x[:, :1], extra.expand(len(image), -1, -1), x[:, 1:]], dim=1)

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(
            x, (WIDTH,), state[f'{name}.weight'], state[f'{name}.bias'], eps
        )

    def layer(x: Tensor, name: str) -> Tensor:
        bias = state[f'{name}.bias'] * state.get(f'{name}.bias_mask', torch.ones(1))
        return linear(x, state[f'{name}.weight'], bias)

    for i in range(DEPTH):
        block = f'blocks.{i}'
        qkv = layer(norm(x, f'{block}.norm1'), f'{block}.attn.qkv')
        q, k, v = qkv.unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        if v3:
            q, k = (_turned(t, state, (height, width)) for t in (q, k))
        attention = (q @ k.mT / math.sqrt(WIDTH // HEADS)).softmax(-1)
        y = (attention @ v).transpose(1, 2).flatten(2)
        x = x + state[f'{block}.ls1.gamma'] * layer(y, f'{block}.attn.proj')
        y = norm(x, f'{block}.norm2')
        if f'{block}.mlp.w12.weight' in state:
            a, b = layer(y, f'{block}.mlp.w12').chunk(2, dim=-1)
            y = layer(silu(a) * b, f'{block}.mlp.w3')
        elif f'{block}.mlp.w1.weight' in state:
            a, b = (layer(y, f'{block}.mlp.{name}') for name in ('w1', 'w2'))
            y = layer(silu(a) * b, f'{block}.mlp.w3')
        else:
            y = layer(gelu(layer(y, f'{block}.mlp.fc1')), f'{block}.mlp.fc2')
        x = x + state[f'{block}.ls2.gamma'] * y
    return norm(x, 'norm')[:, -height * width :].mT.unflatten(2, (height, width))


def _turned(t: Tensor, state: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
    """Rotary embedding of the patches, by their places in [-1, 1]."""
    rows, columns = (2 * (torch.arange(n) + 0.5) / n - 1 for n in size)
    places = torch.stack(torch.meshgrid(rows, columns, indexing='ij'), dim=-1)
    angles = (
        2 * math.pi * places.flatten(0, 1)[:, :, None] / state['rope_embed.periods']
    )
    angles = angles.flatten(1).tile(2)
    prefix, patches = t[:, :, : -len(angles)], t[:, :, -len(angles) :]
    a, b = patches.chunk(2, dim=-1)
    patches = patches * angles.cos() + torch.cat([-b, a], dim=-1) * angles.sin()
    return torch.cat([prefix, patches], dim=2)


@pytest.mark.parametrize('wrapper', [None, 'model'])
@pytest.mark.parametrize('kind', ['v2', 'v2 registers', 'v2 gated', 'v3', 'v3 gated'])
def test_features_are_those_of_the_published_network(kind, wrapper, tmp_path, capsys):
    state = published(kind)
    torch.save({wrapper: state} if wrapper else state, tmp_path / 'hub.pth')
    assert exit_code(TOOL, tmp_path / 'hub.pth', tmp_path / 'folder') == 0
    assert 'dropped' not in capsys.readouterr().out
    names = {path.name for path in (tmp_path / 'folder').iterdir()}
    assert names == {'config.json', 'model.safetensors'}
    backbone = MODELS.build(dict(type='HFBackbone', weights=str(tmp_path / 'folder')))
    backbone.init_weights()
    patch = 16 if kind.startswith('v3') else 14
    # DINOv2 at the size of its position embeddings; DINOv3 has no such
    size = (3, 5) if patch == 16 else (SIDE, SIDE)
    image = torch.randn(2, 3, size[0] * patch, size[1] * patch)
    with torch.no_grad():
        (found,) = backbone.eval()(image)
    torch.testing.assert_close(found, forward(state, image), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (lambda s: s.pop('cls_token'), 'expected a ViT of DINOv2'),
        (lambda s: s.pop('pos_embed'), 'expected a ViT of DINOv2'),
        (lambda s: s.pop('blocks.0.attn.proj.bias'), 'o_proj.bias missing'),
        (lambda s: s.update(pos_embed=torch.zeros(1, 8, WIDTH)), 'cells of a square'),
        (lambda s: s.update({'norm.weight': torch.zeros(3)}), 'layernorm.weight'),
        (lambda s: s.update({'norm.weight': torch.full((WIDTH,), torch.nan)}), 'NaN'),
        (
            lambda s: s.update({'blocks.7.ls1.gamma': torch.zeros(WIDTH)}),
            'found 3 blocks',
        ),
        (
            lambda s: (
                s.update({'rope_embed.periods': torch.ones(4)}) or s.pop('pos_embed')
            ),
            'of a base of 100',
        ),
    ],
)
def test_other_files_are_refused_by_a_sentence(change, sentence, tmp_path, capsys):
    state = published('v2')
    change(state)
    torch.save(state, tmp_path / 'hub.pth')
    assert exit_code(TOOL, tmp_path / 'hub.pth', tmp_path / 'folder') == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / 'folder').exists()


def test_what_is_there_is_not_replaced(tmp_path, capsys):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder' / 'own').touch()
    torch.save(published('v2'), tmp_path / 'hub.pth')
    assert exit_code(TOOL, tmp_path / 'hub.pth', tmp_path / 'folder') == 1
    assert 'exists' in capsys.readouterr().err
    assert exit_code(TOOL, tmp_path / 'nothing.pth', tmp_path / 'new') == 1
    assert 'not found' in capsys.readouterr().err
