"""Five labelled images, a minute of learning, masks: python demo/adapt_demo.py

Draws walls with cracks, segments others as they are and after learning, and leaves
a picture and a table of both. Nothing is downloaded.
"""

import argparse
import platform
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from cracked_walls import drawn
from prettytable import PrettyTable

__options_first__ = True

import mmssp
from mmssp.utils.command import run
from mmssp.utils.files import check_writable

if TYPE_CHECKING:
    from mmssp.apis import FewShotInferencer
    from mmssp.apis.result import Result

NAME = 'crack'
SHOWN = 3
WIDTH = 240


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--out', type=picture, default='demo_output/adapting.png', help='the picture'
    )
    parser.add_argument('--shots', type=int, default=5, help='labelled images')
    parser.add_argument('--seconds', type=float, default=60, help='of learning')
    parser.add_argument('--queries', type=int, default=12, help='images to segment')
    return parser.parse_args()


def picture(text: str) -> str:
    """A file name that pictures are written to."""
    if not text.lower().endswith('.png'):
        raise argparse.ArgumentTypeError(
            f'{text}: expected a file name that ends in .png'
        )
    return text


def main(args: argparse.Namespace) -> None:
    # late, so that help and wrong options are answered at once
    import torch

    from mmssp.apis import FewShotInferencer
    from mmssp.visualization import draw_episode_panel, stack_panels, write_png

    check_writable(args.out)
    scenes = drawn()
    shots, queries = (list(islice(scenes, n)) for n in (args.shots, args.queries))
    inferencer = FewShotInferencer(presence_threshold=0.0)
    images, masks = zip(*shots, strict=True)
    inferencer.set_support(list(images), list(masks), NAME)
    before, first = segmented(inferencer, queries)
    learned = inferencer.adapt(args.seconds)[NAME]
    after, then = segmented(inferencer, queries)
    panels = [
        draw_episode_panel(
            support_images=images,
            support_masks=masks,
            query_image=image,
            truth=mask,
            predictions={'As it is': old.mask, 'After learning': new.mask},
            class_name=NAME,
            subtitle=f'{args.shots} labelled images, {learned.seconds:.0f} s',
            cell_width=WIDTH,
            cell_height=WIDTH,
            legend=not i,
        )
        for i, ((image, mask), old, new) in enumerate(
            list(zip(queries, before, after, strict=True))[:SHOWN]
        )
    ]
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    write_png(args.out, stack_panels(panels))
    table = PrettyTable(['IoU, %', 'as it is', f'after {learned.seconds:.0f} s'])
    table.add_row(
        [
            f'{NAME}, {args.queries} images',
            iou(before, queries),
            iou(after, queries),
        ]
    )
    table.add_row(['seconds an image', f'{first:.2f}', f'{then:.2f}'])
    print(table)
    print(f'decided by {learned.choice}; {learned.iterations} iterations')
    print(
        f'mmssp {mmssp.__version__}, torch {torch.__version__}, Python '
        f'{platform.python_version()}, {torch.get_num_threads()} threads on '
        f'{platform.machine()}'
    )
    print(f'look at: {args.out}')


def segmented(
    inferencer: 'FewShotInferencer', queries: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[list['Result'], float]:
    """Results, and seconds an image."""
    start = time.perf_counter()
    results = [inferencer.predict(image) for image, _ in queries]
    for result in results:
        result.mask  # noqa: B018  made when it is asked for
    return results, (time.perf_counter() - start) / len(queries)


def iou(results: list['Result'], queries: list[tuple[np.ndarray, np.ndarray]]) -> str:
    """Of all images together, in percent."""
    both = either = 0
    for result, (_, truth) in zip(results, queries, strict=True):
        found, wanted = (result.mask == 1) & (truth != 255), truth == 1
        both += int((found & wanted).sum())
        either += int((found | wanted).sum())
    return f'{100 * both / max(either, 1):.1f}'


if __name__ == '__main__':
    run(main, parse_args)
