"""A score below that of the untrained model is told, after a resume as well."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from mmssp.engine.hooks import DurableCheckpointHook, UntrainedScoreHook
from mmssp.runtime.checkpoints import safe_reading


class Line(BaseModel):
    """One weight, trained to grow by 1 an iteration."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, inputs=None, data_samples=None, mode='tensor'):
        return dict(loss=-self.weight) if mode == 'loss' else [self.weight.item()]


class Scripted(BaseMetric):
    """The score of the validation after each iteration."""

    def __init__(self, scores: list[float], **kwargs) -> None:
        super().__init__(**kwargs)
        self.scores = scores

    def process(self, data_batch, data_samples) -> None:
        self.results.append(data_samples[0])

    def compute_metrics(self, results) -> dict:
        return dict(mIoU=self.scores[round(results[0])])


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """What was warned of since the test began."""
    texts: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        if (
            record.levelno == logging.WARNING
            and 'before training' in record.getMessage()
        ):
            texts.append(record.getMessage())
        return True

    logger = MMLogger.get_current_instance()
    loggers = {logger}
    build = Runner.build_logger

    def build_noted(self, *args, **kwargs):
        built = build(self, *args, **kwargs)
        built.addFilter(note)
        loggers.add(built)
        return built

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, 'build_logger', build_noted)
        yield texts
    for logger in loggers:
        logger.removeFilter(note)


def train(
    work_dir: Path, scores: list[float], hook: UntrainedScoreHook, **options
) -> Runner:
    """A training with a validation after each iteration."""
    model = Line()
    loader = dict(
        # between epochs mmengine sleeps
        dataset=[dict(inputs=torch.zeros(1))] * 8,
        sampler=dict(type='DefaultSampler', shuffle=False),
        batch_size=1,
        num_workers=0,
    )
    options = dict(max_iters=len(scores) - 1, resume=False, validates=True) | options
    validates = options.pop('validates')
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=False, max_iters=options['max_iters'], val_interval=1),
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0)),
        **(
            dict(
                val_dataloader=loader,
                val_cfg=dict(),
                val_evaluator=[Scripted(scores, prefix='few')],
            )
            if validates
            else dict()
        ),
        default_hooks=dict(
            checkpoint=DurableCheckpointHook(
                by_epoch=False, interval=1, save_best='few/mIoU', rule='greater'
            )
        ),
        custom_hooks=[hook],
        default_scope='mmseg',
        experiment_name=f'{work_dir.name}_{id(hook)}',
        resume=options['resume'],
    )
    with safe_reading():
        runner.train()
    return runner


def test_each_score_below_the_untrained_one_is_told(tmp_path, warned):
    train(tmp_path, [50.0, 40.0, 50.0, 49.99, 60.0], UntrainedScoreHook())
    assert len(warned) == 2
    assert warned[0].startswith(
        'iteration 1: mIoU 40.00 is below the 50.00 of the model before training: lower '
    )
    assert 'FewShotInferencer.adapt' in warned[0]
    assert warned[1].startswith('iteration 3: mIoU 49.99 is below the 50.00')


def test_the_untrained_model_is_the_best_until_it_is_surpassed(tmp_path, warned):
    train(tmp_path / 'worse', [50.0, 40.0], UntrainedScoreHook())
    best = tmp_path / 'worse' / 'best_few_mIoU_iter_0.pth'
    weights = torch.load(best, weights_only=False)['state_dict']
    assert weights['weight'].item() == 0
    train(tmp_path / 'better', [50.0, 40.0, 60.0], UntrainedScoreHook())
    found = [path.name for path in (tmp_path / 'better').glob('best_*')]
    assert found == ['best_few_mIoU_iter_2.pth']


def test_a_resumed_training_compares_with_the_same_score(tmp_path, warned):
    scores = [50.0, 60.0, 45.0]
    train(tmp_path, scores, UntrainedScoreHook(), max_iters=1)
    assert warned == []
    train(tmp_path, scores, UntrainedScoreHook(), resume=True)
    assert len(warned) == 1
    assert warned[0].startswith('iteration 2: mIoU 45.00 is below the 50.00')


def test_a_training_resumed_without_a_score_says_so(tmp_path, warned):
    class Off(UntrainedScoreHook):
        def before_train_epoch(self, runner):
            pass

    train(tmp_path, [50.0, 60.0], Off())
    train(tmp_path, [50.0, 60.0, 45.0], UntrainedScoreHook(), resume=True)
    assert warned == [
        'the score before training is not known: it was not measured before iteration 1'
    ]


def test_a_training_without_validation_says_so(tmp_path, warned):
    train(tmp_path, [0.0, 0.0], UntrainedScoreHook(), validates=False)
    assert len(warned) == 1
    assert warned[0].startswith('no validation')


def test_a_score_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no score 'IoU', but \['few/mIoU'\]"):
        train(tmp_path, [50.0, 40.0], UntrainedScoreHook(metric='IoU'))


def test_a_validation_by_itself_is_not_compared():
    runner = SimpleNamespace(_train_loop=dict(type='IterBasedTrainLoop'))
    UntrainedScoreHook().after_val_epoch(runner, {})
