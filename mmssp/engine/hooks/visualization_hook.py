"""Draws panels of episodes while validating and testing."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmengine.visualization import LocalVisBackend, Visualizer
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from torch import nn

from mmssp.models.decode_heads import BaselineHead
from mmssp.visualization import draw_episode_panel
from mmssp.visualization.overlay import resize_image, to_rgb, without_padding


@HOOKS.register_module()
class FewShotVisualizationHook(Hook):
    """Shows episodes as support | query | truth | baseline | prediction.

    The counterpart of mmseg's ``SegVisualizationHook``. Panels go to the backends of
    the runner's visualizer, whatever its class, named
    ``PHASE_[runR_]episodeNNNNN_CLASS``, at the training iteration (0 outside of a
    training): ``LocalVisBackend`` writes
    ``<save_dir>/vis_data/vis_image/NAME_ITERATION.png``, others show a slider.

    An episode is chosen by its number, not by its batch: every validation draws the
    same ones, for any batch size and number of processes. Each process draws those that
    it predicts; processes other than the main one write to ``LocalVisBackend`` alone,
    because other backends would open a log for each process.

    Args:
        draw: Whether to draw at all.
        interval: Draw every ``interval``-th episode.
        max_panels: At most that many episodes of a run (None: no limit).
        show: Also show each panel in a window, on the main process.
        wait_time: For how long, in seconds; 0 waits for a key.
        prediction_name: Caption of the model's prediction.
        baseline_name: Caption of the first guess, and of the prediction of a model
            with a :class:`mmssp.models.BaselineHead`.
        cell_height: Height of the pictures in a panel, in pixels.

    Raises:
        ValueError: If ``interval`` or ``max_panels`` is below 1.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 50,
        max_panels: int | None = None,
        show: bool = False,
        wait_time: float = 0.0,
        prediction_name: str = 'SSP',
        baseline_name: str = 'Baseline',
        cell_height: int = 240,
    ) -> None:
        for name, value in (('interval', interval), ('max_panels', max_panels)):
            if value is not None and value < 1:
                raise ValueError(
                    f'{name}={value}: expected at least 1; draw=False draws nothing'
                )
        self.draw = draw
        self.interval = interval
        self.max_panels = max_panels
        self.show = show
        self.wait_time = wait_time
        self.prediction_name = prediction_name
        self.baseline_name = baseline_name
        self.cell_height = cell_height
        self._with_baseline: bool | None = None
        self._is_training = False

    def before_train(self, runner: Runner) -> None:
        """Validations from now on are steps of a training."""
        self._is_training = True

    def after_train(self, runner: Runner) -> None:
        """The training is over."""
        self._is_training = False

    def before_val(self, runner: Runner) -> None:
        """Ask the model for its first guess too."""
        self._ask_for_baseline(runner)

    def before_test(self, runner: Runner) -> None:
        """Ask the model for its first guess too."""
        self._ask_for_baseline(runner)

    def after_val(self, runner: Runner) -> None:
        """Leave the model as it was."""
        self._restore(runner)

    def after_test(self, runner: Runner) -> None:
        """Leave the model as it was."""
        self._restore(runner)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Mapping[str, Any] | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Draw the chosen episodes of a batch.

        Args:
            runner: The runner; its visualizer takes the panels.
            batch_idx: Not used.
            data_batch: The collated batch before preprocessing; ``inputs`` holds
                ``query``, B of (3,H,W) uint8 BGR; ``support``, B of K of (3,h,w) uint8
                BGR; and ``support_mask``, B of K of (h,w) in {0, 1, 255}.
            outputs: B predicted samples with ``gt_sem_seg``, ``pred_sem_seg`` and
                maybe ``baseline_sem_seg``, (1,H0,W0) each.
        """
        self._draw_batch(runner, 'val', data_batch, outputs)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Mapping[str, Any] | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Draw the chosen episodes of a batch; see :meth:`after_val_iter`."""
        self._draw_batch(runner, 'test', data_batch, outputs)

    def _ask_for_baseline(self, runner: Runner) -> None:
        model = _unwrapped(runner.model)
        if not self.draw or _is_baseline(model) or not hasattr(model, 'with_baseline'):
            return
        # A validation that raised never restored it: what was before that one counts.
        if self._with_baseline is None:
            self._with_baseline = model.with_baseline
        model.with_baseline = True

    def _restore(self, runner: Runner) -> None:
        if self._with_baseline is not None:
            _unwrapped(runner.model).with_baseline = self._with_baseline
            self._with_baseline = None

    def _draw_batch(
        self,
        runner: Runner,
        phase: str,
        data_batch: Mapping[str, Any] | None,
        outputs: Sequence[SegDataSample] | None,
    ) -> None:
        if not self.draw or data_batch is None or outputs is None:
            return
        own_name = self.prediction_name
        if _is_baseline(_unwrapped(runner.model)):
            own_name = self.baseline_name
        for i, sample in enumerate(outputs):
            if self._is_chosen(sample.episode):
                episode = {key: value[i] for key, value in data_batch['inputs'].items()}
                panel = self._draw_panel(episode, sample, own_name)
                self._store(runner, panel_name(phase, sample), panel)

    def _is_chosen(self, episode: int) -> bool:
        number, rest = divmod(episode, self.interval)
        return rest == 0 and (self.max_panels is None or number < self.max_panels)

    def _draw_panel(
        self, episode: dict[str, Any], sample: SegDataSample, own_name: str
    ) -> np.ndarray:
        truth = _mask(sample.gt_sem_seg)
        predictions = {own_name: _mask(sample.pred_sem_seg)}
        if 'baseline_sem_seg' in sample and own_name != self.baseline_name:
            baseline = _mask(sample.baseline_sem_seg)
            predictions = {self.baseline_name: baseline, **predictions}
        query = without_padding(to_rgb(episode['query']), sample)
        run = f'run {sample.run}, ' if 'run' in sample else ''
        return draw_episode_panel(
            support_images=[to_rgb(image) for image in episode['support']],
            support_masks=[mask.cpu().numpy() for mask in episode['support_mask']],
            query_image=resize_image(query, truth.shape),
            truth=truth,
            predictions=predictions,
            class_name=sample.class_name,
            subtitle=f'{run}episode {sample.episode}',
            cell_height=self.cell_height,
        )

    def _store(self, runner: Runner, name: str, panel: np.ndarray) -> None:
        visualizer: Visualizer = runner.visualizer
        # Outside of a training, runner.iter would build the training data set.
        step = runner.iter if self._is_training else 0
        if is_main_process():
            visualizer.add_image(name, panel, step=step)
            if self.show:
                visualizer.show(panel, win_name=name, wait_time=self.wait_time)
            return
        # Visualizer.add_image does nothing on other processes.
        for backend in visualizer._vis_backends.values():
            if isinstance(backend, LocalVisBackend):
                backend.add_image(name, panel, step=step)


def panel_name(phase: str, sample: SegDataSample) -> str:
    """A name for an episode's panel: its own, and safe as a file's on any system.

    Args:
        phase: ``'val'`` or ``'test'``.
        sample: With ``class_id``, ``class_name``, ``episode`` and maybe ``run``.

    Returns:
        Such as ``val_episode00012_traffic_light``: ASCII letters, digits, ``-``, ``_``.
    """
    label = re.sub(r'[^A-Za-z0-9-]+', '_', sample.class_name).strip('_')
    run = f'run{sample.run}_' if 'run' in sample else ''
    return (
        f'{phase}_{run}episode{sample.episode:05d}_{label or f"class{sample.class_id}"}'
    )


def _unwrapped(model: nn.Module) -> Any:
    return model.module if is_model_wrapper(model) else model


def _is_baseline(model: nn.Module) -> bool:
    """Whether the model's prediction is the first guess itself."""
    head = getattr(model, 'decode_head', None)
    # an SSPHead has more, unless it is asked for the baseline as in 0.1
    method = getattr(head, 'method', 'baseline')
    return isinstance(head, BaselineHead) and method == 'baseline'


def _mask(data: PixelData) -> np.ndarray:
    """(1,H,W) of any integer type, on any device → (H,W) uint8."""
    return data.data[0].cpu().numpy().astype(np.uint8)
