"""Draw Shapes-5i, a data set for few-shot segmentation in the layout of PASCAL VOC.

Twenty classes of silhouettes: every instance has colours, a texture, a size and a
rotation of its own, on cluttered backgrounds and partly hidden by others. OUT will hold

  JPEGImages/*.jpg                          240 to 320 pixels a side, any aspect
  SegmentationClass/*.png                   0 background, 1-20 classes, 255 outlines
  ImageSets/Segmentation/{train,val}.txt    names, one a line
  shapes5i.json                             what was drawn; written last

The same numbers give the same files, whatever the number of processes. If OUT holds
them already, nothing is drawn; an interrupted run is made anew by the same command.
"""

import argparse
import errno
import io
import json
import os
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# For whoever loads this file from elsewhere; a script has its own folder there anyway.
sys.path.append(str(Path(__file__).resolve().parent))

__options_first__ = True

from shapes5i_drawing.scene import SPLITS, draw_scene
from shapes5i_drawing.settings import SceneSettings

from mmssp.utils.command import run
from mmssp.utils.files import atomic_path
from mmssp.utils.parallel import parallel_map

# Raise it whenever the same parameters give other pictures than before.
VERSION = 1
MANIFEST = 'shapes5i.json'
UNFINISHED = 'shapes5i.unfinished.json'
LARGE = 2048


def draw_shapes5i(
    out: str | os.PathLike,
    num_train: int = 400,
    num_val: int = 150,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
) -> dict:
    """Draw Shapes-5i into a folder, unless it is there already.

    Args:
        out: The folder; made if missing.
        num_train: Images of the training split, >= 1.
        num_val: Images of the validation split, >= 1.
        seed: >= 0. Image i of a split depends on the seed, the split and i alone.
        workers: Processes; None takes the CPUs this process may use.
        force: Whether to draw into a folder that holds other things. They stay, but for
            files that have the names of Shapes-5i's own.

    Returns:
        The manifest: ``name``, ``version``, ``num_train``, ``num_val``, ``seed``, and
        ``images_per_class``: split → class → images with >= 2048 pixels of it.

    Raises:
        FileExistsError: ``out`` holds something other than Shapes-5i.
        OSError: ``out`` cannot be written.
        ValueError: A number is out of its range.
    """
    least = dict(num_train=1, num_val=1, seed=0)
    parameters = dict(num_train=num_train, num_val=num_val, seed=seed)
    for name, value in parameters.items():
        if value < least[name]:
            raise ValueError(f'{name} is {value}, expected at least {least[name]}')
    if workers is not None and workers < 1:
        raise ValueError(f'workers is {workers}, expected at least 1')
    out = Path(out)
    parameters = dict(name='Shapes-5i', version=VERSION, **parameters)
    found, finished = _inspect(out)
    if finished and parameters.items() <= found.items() and _complete(out, found):
        print(f'{out} holds Shapes-5i already, nothing to draw', file=sys.stderr)
        return found
    if found is None and not force and out.exists() and any(out.iterdir()):
        raise FileExistsError(
            f'{out} is not empty and holds no Shapes-5i; choose another folder, or add '
            '--force to draw into this one (other files stay)'
        )

    # From here to the end the folder says of itself that it is not finished.
    _write_json(out / UNFINISHED, parameters)
    (out / MANIFEST).unlink(missing_ok=True)
    if found is not None:
        _remove_surplus(out, found, parameters)
    images_per_class = {
        split: _draw_split(out, split, parameters, workers) for split in SPLITS
    }
    manifest = dict(parameters, images_per_class=images_per_class)
    _write_json(out / MANIFEST, manifest)
    (out / UNFINISHED).unlink()
    return manifest


def _names(split: str, count: int) -> list[str]:
    return [f'{split}_{index:05d}' for index in range(count)]


def _files(out: Path, split: str, count: int) -> list[Path]:
    names = _names(split, count)
    return [
        out / 'ImageSets' / 'Segmentation' / f'{split}.txt',
        *(out / 'JPEGImages' / f'{name}.jpg' for name in names),
        *(out / 'SegmentationClass' / f'{name}.png' for name in names),
    ]


def _inspect(out: Path) -> tuple[dict | None, bool]:
    """What a folder says it holds, None if it is not ours, and whether it is finished."""
    for name in (UNFINISHED, MANIFEST):
        try:
            found = json.loads((out / name).read_text())
            counts = (found['name'], found['num_train'] + found['num_val'])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            continue
        if counts[0] == 'Shapes-5i':
            return found, name == MANIFEST
    return None, False


def _complete(out: Path, manifest: dict) -> bool:
    counts = {split: manifest[f'num_{split}'] for split in SPLITS}
    return all(path.is_file() for s, n in counts.items() for path in _files(out, s, n))


def _remove_surplus(out: Path, found: dict, parameters: dict) -> None:
    """Remove the images by which an earlier, larger Shapes-5i exceeds the new one."""
    for split in SPLITS:
        old = _files(out, split, found[f'num_{split}'])
        for path in set(old) - set(_files(out, split, parameters[f'num_{split}'])):
            path.unlink(missing_ok=True)


def _draw_split(
    out: Path, split: str, parameters: dict, workers: int | None
) -> dict[str, int]:
    """Draw and list a split; count the images that show each class large."""
    count = parameters[f'num_{split}']
    threads = cv2.getNumThreads()
    # Processes are the only parallelism: OpenCV's threads would fight for their CPUs.
    cv2.setNumThreads(1)
    try:
        pixels = parallel_map(
            partial(_draw_image, out, parameters['seed'], split),
            range(count),
            workers,
            description=f'Drawing {count} images of {split}',
            chunksize=4,
        )
    finally:
        cv2.setNumThreads(threads)
    with atomic_path(out / 'ImageSets' / 'Segmentation' / f'{split}.txt') as temporary:
        temporary.write_text('\n'.join(_names(split, count)) + '\n')
    from mmssp.datasets.shapes5i import CLASSES

    large = (np.array(pixels) >= LARGE).sum(0)
    return {name: int(large[k]) for k, name in enumerate(CLASSES, start=1)}


def _draw_image(out: Path, seed: int, split: str, index: int) -> np.ndarray:
    """Write one image and its mask; return the pixels of each label, (256,)."""
    from mmssp.datasets.shapes5i import CLASSES, Shapes5iDataset

    image, mask = draw_scene(seed, split, index, list(CLASSES), SceneSettings())
    name = f'{split}_{index:05d}'
    photo = io.BytesIO()
    Image.fromarray(image).save(photo, 'JPEG', quality=92)
    picture = Image.fromarray(mask)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(CLASSES) + 1] = Shapes5iDataset.METAINFO['palette']
    palette[255] = (224, 224, 192)  # VOC's colour of "ignored"
    picture.putpalette(palette.tobytes())
    labels = io.BytesIO()
    picture.save(labels, 'PNG')
    _write_bytes(out / 'JPEGImages' / f'{name}.jpg', photo.getvalue())
    _write_bytes(out / 'SegmentationClass' / f'{name}.png', labels.getvalue())
    return np.bincount(mask.ravel(), minlength=256)


def _write_bytes(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _write_json(path: Path, content: dict) -> None:
    _write_bytes(path, (json.dumps(content, indent=2) + '\n').encode())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', metavar='OUT', type=Path, help='the folder to draw into')
    parser.add_argument(
        '--train', type=int, default=400, help='training images (default: 400)'
    )
    parser.add_argument(
        '--val', type=int, default=150, help='validation images (default: 150)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='another seed, other images (default: 0)'
    )
    parser.add_argument(
        '--workers', type=int, help='processes (default: one for each usable CPU)'
    )
    parser.add_argument(
        '--force',
        action='store_true',
        help='draw into a folder that holds other things; they stay, except files '
        "that have the names of Shapes-5i's own",
    )
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    """Run the command with its options."""
    try:
        manifest = draw_shapes5i(
            options.out,
            options.train,
            options.val,
            options.seed,
            options.workers,
            options.force,
        )
    except KeyboardInterrupt:
        print(f'{options.out} is not finished', file=sys.stderr)
        raise
    except OSError as error:
        raise OSError(_sentence(error, options.out)) from error
    fewest = min(min(n.values()) for n in manifest['images_per_class'].values())
    print(
        f'{options.out}: {manifest["num_train"]} + {manifest["num_val"]} images; each '
        f'class has at least {LARGE} pixels in at least {fewest} of each split'
    )


def _sentence(error: OSError, out: Path) -> str:
    if error.errno is None:
        return str(error)
    hint = 'free some space' if error.errno == errno.ENOSPC else 'choose another folder'
    return f'cannot draw into {out}: {error.strerror}; {hint} and run this again'


if __name__ == '__main__':
    run(main, parse_args)
