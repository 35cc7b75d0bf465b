"""Convert the weights published with SSP into checkpoints that mmssp loads.

Two kinds of file are read; anything else is refused:

initial weights (resnet50_v2 and its like)
    conv1.{0,1,3,4,6}, bn1, layer1 to layer4, fc. The result is a checkpoint of the
    backbone alone: init_cfg=dict(type='Pretrained', checkpoint=DST).
trained models
    layer0.0.{0,1,3,4,6}, layer0.1, layer1 to layer3. The result is a checkpoint of
    the whole model (the head has no parameters): load_from=DST, or tools/test.py.

The tensors may lie in a dictionary under 'state_dict' or 'model', and their names may
begin with 'module.'. No code in the file is ever run. Everything that is dropped or
missing is listed.
"""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

__options_first__ = True

from mmssp.utils.command import run
from mmssp.utils.files import atomic_path, check_writable
from mmssp.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = ('state_dict', 'model')
# kind -> what all new names begin with, {old name: new name}; the rest is dropped
RULES = {
    'initial weights': (
        '',
        {
            r'conv1\.([01346])\.': r'stem.\1.',
            r'bn1\.': 'stem.7.',
            r'layer([123])\.': r'layer\1.',
        },
    ),
    'trained model': (
        'backbone.',
        {
            r'layer0\.0\.([01346])\.': r'stem.\1.',
            r'layer0\.1\.': 'stem.7.',
            r'layer([123])\.': r'layer\1.',
        },
    ),
}
DEPTHS = {6: 50, 23: 101}  # by the number of blocks in layer3


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a PyTorch file, without its wrapping, running no code.

    Args:
        path: A file written by ``torch.save``, of the zip or the older format.

    Returns:
        Names, without a common ``module.``, to tensors on the CPU.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds anything but a dictionary of named tensors.
    """
    import torch

    if not path.is_file():
        raise FileNotFoundError(f'{path} is not a file; SRC shall be a published one')
    try:
        with warnings.catch_warnings():  # about formats that are refused just below
            warnings.simplefilter('ignore')
            content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # damaged bytes raise nearly any type there is
        raise ValueError(_why_unreadable(path, error)) from error
    return _unwrap(content, path)


def _why_unreadable(path: Path, error: Exception) -> str:
    found = re.search(r'GLOBAL (\S+)', str(error))
    if isinstance(error, pickle.UnpicklingError) and found:
        return (
            f'{path} holds {found.group(1)} besides tensors, which could run code when '
            'loaded, so it is refused; expected a file of tensors alone'
        )
    return (
        f'{path} is not a whole PyTorch file of tensors ({type(error).__name__} on '
        'reading it); download it again or check that it is the right one'
    )


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    from torch import Tensor

    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise ValueError(
            f'{path} holds {type(content).__name__} of no use here; expected a '
            f'dictionary of tensors, bare or under one of {WRAPPERS}'
        )
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(
                f'{path} holds {type(value).__name__} under {key!r}; expected tensors '
                f'under names, bare or under one of {WRAPPERS}'
            )
    wrapped = [key.startswith('module.') for key in content]
    if any(wrapped) and not all(wrapped):
        raise ValueError(
            f'{path} mixes names with and without "module."; expected one kind'
        )
    return {
        key.removeprefix('module.') if all(wrapped) else key: value
        for key, value in content.items()
    }


def detect_kind(names: Sequence[str]) -> str:
    """The kind of file that tensors of these names come from, one of ``RULES``.

    Raises:
        ValueError: The names are of no known layout, or of more than one.
    """
    marks = {
        'initial weights': r'(conv1\.\d|bn1)\.',
        'trained model': r'layer0\.[01]\.',
        'mmssp checkpoint': r'(backbone\.)?stem\.',
        'ResNet with a 7x7 stem': r'conv1\.weight$',
    }
    kinds = [
        kind
        for kind, mark in marks.items()
        if any(re.match(mark, name) for name in names)
    ]
    if 'ResNet with a 7x7 stem' in kinds:
        kinds = ['ResNet with a 7x7 stem']  # its bn1 is no mark of anything
    if len(kinds) == 1 and kinds[0] in RULES:
        return kinds[0]
    if len(kinds) > 1:
        found = 'a mixture of ' + ' and '.join(kinds)
    elif kinds:
        found = f'the names of a {kinds[0]}'
    else:
        found = 'an unknown layout with names such as ' + ', '.join(list(names)[:3])
    raise ValueError(
        f'found {found}; expected conv1.0, bn1, layer1 to layer3 (initial weights) or '
        'layer0.0.0, layer0.1, layer1 to layer3 (a trained model)'
    )


def convert_keys(
    state_dict: Mapping[str, Tensor],
) -> tuple[str, dict[str, Tensor], list[str]]:
    """Give the tensors of a published file the names that mmssp has for them.

    Args:
        state_dict: Published names to tensors, in any order.

    Returns:
        The kind of file, a key of ``RULES``; the new state dict, in the same order,
        with the same tensors; the published names that have no place in it.

    Raises:
        ValueError: The names are of no known layout, or of more than one.
    """
    kind = detect_kind(list(state_dict))
    prefix, rules = RULES[kind]
    converted, dropped = {}, []
    for name, tensor in state_dict.items():
        for old, new in rules.items():
            if match := re.match(old, name):
                converted[prefix + match.expand(new) + name[match.end() :]] = tensor
                break
        else:
            dropped.append(name)
    return kind, converted, dropped


def detect_depth(names: Sequence[str]) -> int:
    """Layers of the ResNet, 50 or 101, by the blocks that ``layer3`` has.

    Args:
        names: New names, with or without ``backbone.``.

    Raises:
        ValueError: It is another network.
    """
    matches = [re.match(r'(?:backbone\.)?layer3\.(\d+)\.(\w+)', name) for name in names]
    blocks = {int(match.group(1)) for match in matches if match}
    layers = {match.group(2) for match in matches if match}
    if len(blocks) not in DEPTHS or 'conv3' not in layers:
        raise ValueError(
            f'found {len(blocks)} blocks in layer3, of {sorted(layers)}; expected 6 '
            '(ResNet-50) or 23 (ResNet-101) with conv1 to conv3'
        )
    return DEPTHS[len(blocks)]


def find_missing(
    state_dict: Mapping[str, Tensor], depth: int, prefix: str = ''
) -> list[str]:
    """Compare with the backbone that the tensors are for.

    Args:
        state_dict: New names to tensors.
        depth: 50 or 101.
        prefix: Of all names.

    Returns:
        The names that the backbone has and ``state_dict`` lacks.

    Raises:
        ValueError: A tensor has another shape than the backbone's, or no place in it.
    """
    from mmssp.models.backbones import SSPResNetV1c

    backbone = SSPResNetV1c(
        depth=depth,
        stem_channels=128,
        num_stages=3,
        strides=(1, 2, 1),
        dilations=(1, 1, 2),
        contract_dilation=True,
        out_indices=(2,),
    )
    expected = {prefix + k: tuple(v.shape) for k, v in backbone.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
    wrong = [name for name, shape in shapes.items() if shape != expected.get(name)]
    if wrong:
        raise ValueError(
            f'{len(wrong)} tensors do not fit a ResNet-{depth} with a deep stem: found '
            + ', '.join(f'{name} {shapes[name]}' for name in wrong[:3])
            + '; expected '
            + ', '.join(str(expected.get(name, 'none')) for name in wrong[:3])
        )
    return [name for name in expected if name not in state_dict]


def convert(source: Path, target: Path, force: bool = False) -> None:
    """Convert ``source`` into ``target`` and print what was done.

    Args:
        source: A published file.
        target: The checkpoint to write: ``state_dict`` and ``meta``.
        force: Whether to replace an existing file.

    Raises:
        FileExistsError: ``target`` exists.
        FileNotFoundError: ``source`` does not.
        ValueError: ``source`` is not one of the published kinds of file.
    """
    import torch

    if target.is_dir():
        raise FileExistsError(f'{target} is a folder; expected the name of a file')
    if target.exists() and not force:
        raise FileExistsError(f'{target} exists; add --force to replace it')
    published = load_state_dict(source)
    kind, state_dict, dropped = convert_keys(published)
    depth = detect_depth(list(state_dict))
    missing = find_missing(state_dict, depth, prefix=RULES[kind][0])

    meta = {'source': kind, 'depth': depth, 'mmssp_version': __version__}
    # a view would be saved with all of the storage it looks into
    state_dict = {name: tensor.detach().clone() for name, tensor in state_dict.items()}
    with atomic_path(target) as temporary:
        torch.save({'state_dict': state_dict, 'meta': meta}, temporary)

    print(f'{source}: {kind}, ResNet-{depth}')
    _print_names('dropped, as the model has no use for it', dropped)
    _print_names('missing, so it keeps its initial value', missing)
    print(f'{len(state_dict)} of {len(published)} tensors written to {target}')


def _print_names(what: str, names: Sequence[str]) -> None:
    print(f'{what}: {len(names)}')
    for name in names:
        print(f'  {name}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', metavar='SRC', type=Path, help='a published file (.pth)')
    parser.add_argument(
        'dst', metavar='DST', type=Path, help='the checkpoint to write (.pth)'
    )
    parser.add_argument(
        '--force', action='store_true', help='replace DST if it exists already'
    )
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    """Run the command with its options."""
    check_writable(options.dst)
    convert(options.src, options.dst, options.force)


if __name__ == '__main__':
    run(main, parse_args)
