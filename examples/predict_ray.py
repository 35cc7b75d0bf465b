"""Segment a folder on a Ray cluster: the command line's function as an actor.

  pip install -e ".[ray]"
  python examples/predict_ray.py --support labelled --input photos --output results \\
      --workers 8 [--gpus 1] [--address auto]

Inputs and outputs must lie where every machine of the cluster reaches them by the same
path. The files are those of tools/predict.py, and an interrupted run goes on likewise.
"""

import argparse
import hashlib
import tempfile
from pathlib import Path

__options_first__ = True

from mmssp.utils.command import run


class Predictor:
    """An actor: holds a model and its support, writes the files of the images it gets.

    Args:
        model: As for ``FewShotInferencer``.
        weights: As for ``FewShotInferencer``.
        bank: Content of the file that ``save_support`` wrote.
        output: Folder of the outputs.
        digest: Of the settings.
        threshold: Of the foreground probability.
    """

    def __init__(
        self,
        model: str,
        weights: str | None,
        bank: bytes,
        output: str,
        digest: str,
        threshold: float,
    ) -> None:
        from mmssp.apis import FewShotInferencer

        self.inferencer = FewShotInferencer(model, weights)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'support.npz')
            path.write_bytes(bank)
            self.inferencer.load_support(path)
        self.output, self.digest, self.threshold = Path(output), digest, threshold

    def __call__(self, batch: dict) -> dict:
        """Columns of items in, the items' names and failures ('' for none) out."""
        from mmssp.apis.folder.inputs import InputItem
        from mmssp.apis.folder.prediction import predict_items

        items = [
            InputItem(
                Path(source), str(name), str(stem), None if frame < 0 else int(frame)
            )
            for source, name, stem, frame in zip(
                batch['source'],
                batch['name'],
                batch['stem'],
                batch['frame'],
                strict=True,
            )
        ]
        failures = predict_items(
            self.inferencer, items, self.output, self.digest, threshold=self.threshold
        )
        names = [item.name for item in items]
        return dict(name=names, failure=[failures.get(name, '') for name in names])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--support', required=True, metavar='DIR|JSON')
    parser.add_argument('--input', required=True, nargs='+', metavar='PATH')
    parser.add_argument('--output', required=True, metavar='DIR')
    parser.add_argument('--model', default='ssp_efficientnet-lite0')
    parser.add_argument('--weights', metavar='FILE')
    parser.add_argument('--threshold', type=float, default=0.5)
    parser.add_argument('--batch', type=int, default=8, help='images at a time')
    parser.add_argument('--workers', type=int, default=2, help='actors')
    parser.add_argument('--gpus', type=float, default=0, help='of each actor')
    parser.add_argument('--address', help='of the cluster; a local one by default')
    parser.add_argument('--overwrite', action='store_true')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    # late, so that help and wrong options are answered at once
    import ray

    from mmssp.apis import FewShotInferencer
    from mmssp.apis.folder.inputs import list_inputs
    from mmssp.apis.folder.output_folder import prepare_output
    from mmssp.apis.folder.prediction import assemble
    from mmssp.apis.folder.writers import read_record
    from mmssp.apis.support.support_files import find_support

    items = list_inputs([Path(p).resolve() for p in args.input], exclude=args.output)
    inferencer = FewShotInferencer(args.model, args.weights)
    for own in find_support(args.support):
        inferencer.set_support(
            list(own.images),
            list(own.annotations),
            own.name,
            class_value=own.class_value,
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'support.npz')
        inferencer.save_support(path)
        bank = path.read_bytes()
    settings = dict(
        # the bank knows which model made it
        support_bank=hashlib.sha256(bank).hexdigest()[:16],
        classes=list(inferencer.names),
        threshold=args.threshold,
    )
    output = Path(args.output).resolve()
    digest = prepare_output(output, settings, overwrite=args.overwrite)
    waiting = [
        item
        for item in items
        if args.overwrite or read_record(item, output, digest) is None
    ]
    failures = {}
    if waiting:
        ray.init(address=args.address, log_to_driver=False)
        rows = ray.data.from_items(
            [
                dict(
                    source=str(item.source),
                    name=item.name,
                    stem=item.stem,
                    frame=-1 if item.frame is None else item.frame,
                )
                for item in waiting
            ],
            # a batch never crosses a block, so this many can be at work
            override_num_blocks=min(len(waiting), 4 * args.workers),
        ).map_batches(
            Predictor,
            fn_constructor_args=(
                args.model,
                args.weights,
                bank,
                str(output),
                digest,
                args.threshold,
            ),
            batch_size=args.batch,
            concurrency=args.workers,
            num_gpus=args.gpus or None,
        )
        failures = {r['name']: r['failure'] for r in rows.iter_rows() if r['failure']}
        ray.shutdown()
    assemble(items, output, digest, inferencer.names, failures)
    print(f'{len(items) - len(failures)} of {len(items)} images segmented')
    print(f'look through: {output / "index.html"}')
    if failures:
        raise SystemExit(
            '\n'.join(f'{name}: {why}' for name, why in sorted(failures.items()))
        )


if __name__ == '__main__':
    run(main, parse_args)
