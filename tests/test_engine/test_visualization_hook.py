"""The chosen episodes reach the visualizer, and the model is left as it was."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import VISBACKENDS
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer
from mmengine.visualization.vis_backend import BaseVisBackend
from mmseg.registry import HOOKS, MODELS, VISUALIZERS
from mmseg.structures import SegDataSample
from torch import nn

from mmssp.datasets.collate import episode_collate
from mmssp.engine.hooks import visualization_hook as module
from mmssp.engine.hooks.visualization_hook import panel_name

HEIGHT, WIDTH = 48, 64


def make_sample(number, class_name='dog', baseline=True, **metainfo):
    sample = SegDataSample(
        metainfo=dict(
            class_id=12,
            class_name=class_name,
            episode=number,
            ori_shape=(HEIGHT, WIDTH),
            **metainfo,
        )
    )
    mask = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.int64)
    mask[:, 10:30, 10:30] = 1
    sample.gt_sem_seg = PixelData(data=mask)
    sample.pred_sem_seg = PixelData(data=mask.clone())
    if baseline:
        sample.baseline_sem_seg = PixelData(data=torch.zeros_like(mask))
    return sample


def make_inputs(batch, height=HEIGHT, width=WIDTH, shots=1):
    """Images that are blue in BGR order."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[0] = 255
    mask = torch.zeros(height, width, dtype=torch.uint8)
    return dict(
        query=[image] * batch,
        support=[[image] * shots] * batch,
        support_mask=[[mask] * shots] * batch,
    )


class _Runner:
    """The part of a runner that the hook sees; ``iter`` as costly as the real one's."""

    def __init__(self, visualizer, model):
        self.visualizer = visualizer
        self.model = model
        self.train_loop = None

    @property
    def iter(self):
        assert self.train_loop, 'would build the training data set'
        return self.train_loop.iter


@pytest.fixture
def runner(tmp_path):
    visualizer = Visualizer(
        vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path)
    )
    model = nn.Identity()
    model.with_baseline = False
    return _Runner(visualizer, model)


@pytest.fixture
def pictures(tmp_path):
    """Names of the files in the visualizer's folder."""
    folder = tmp_path / 'vis_data' / 'vis_image'
    return lambda: sorted(path.name for path in folder.glob('*'))


@pytest.fixture
def panels(monkeypatch):
    """What the hook asks to be drawn, without drawing it."""
    seen = []

    def draw(**arguments):
        seen.append(arguments)
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(module, 'draw_episode_panel', draw)
    return seen


def build(**arguments):
    return HOOKS.build(
        dict(type='FewShotVisualizationHook', draw=True, interval=1) | arguments
    )


def feed(hook, runner, samples, phase='val', **inputs):
    batch = dict(inputs=make_inputs(len(samples), **inputs), data_samples=samples)
    getattr(hook, f'after_{phase}_iter')(runner, 0, batch, samples)


@pytest.mark.parametrize('phase', ['val', 'test'])
def test_panel_is_written_to_the_visualizers_folder(runner, pictures, phase, tmp_path):
    feed(build(cell_height=48), runner, [make_sample(12)], phase)
    assert pictures() == [f'{phase}_episode00012_dog_0.png']
    picture = cv2.imread(str(tmp_path / 'vis_data' / 'vis_image' / pictures()[0]))
    # Support, query, truth and both predictions, blue where no mask is.
    assert picture.shape[1] > 5 * WIDTH
    assert (picture == (255, 0, 0)).all(-1).sum() > 3 * HEIGHT * WIDTH


def test_nothing_is_drawn_unless_asked(runner, pictures):
    hook = HOOKS.build(dict(type='FewShotVisualizationHook'))
    hook.before_val(runner)
    feed(hook, runner, [make_sample(0)])
    assert pictures() == []
    assert runner.model.with_baseline is False


def test_validation_of_a_training_is_drawn_at_its_iteration(runner, pictures):
    hook = build(cell_height=32)
    runner.train_loop = SimpleNamespace(iter=0)
    hook.before_train(runner)
    for runner.train_loop.iter in (300, 600):
        feed(hook, runner, [make_sample(12)])
    hook.after_train(runner)
    runner.train_loop = None
    feed(hook, runner, [make_sample(12)], 'test')
    assert pictures() == [
        'test_episode00012_dog_0.png',
        'val_episode00012_dog_300.png',
        'val_episode00012_dog_600.png',
    ]


@pytest.mark.parametrize('batch', [1, 3, 10])
def test_interval_counts_episodes_whatever_the_batch_size(runner, panels, batch):
    hook = build(interval=4)
    for start in range(0, 10, batch):
        feed(
            hook, runner, [make_sample(i) for i in range(start, min(start + batch, 10))]
        )
    assert [panel['subtitle'] for panel in panels] == [
        'episode 0',
        'episode 4',
        'episode 8',
    ]


def test_max_panels_limits_each_run(runner, panels):
    hook = build(interval=2, max_panels=2)
    for run in range(2):
        feed(hook, runner, [make_sample(i, run=run) for i in range(10)])
    assert [panel['subtitle'] for panel in panels] == [
        f'run {run}, episode {i}' for run in range(2) for i in (0, 2)
    ]


def test_runs_and_classes_do_not_overwrite_each_other(runner, pictures):
    samples = [make_sample(3, run=run) for run in range(2)]
    feed(build(cell_height=32), runner, samples)
    assert pictures() == [f'val_run{run}_episode00003_dog_0.png' for run in range(2)]


@pytest.mark.parametrize(
    ('class_name', 'expected'),
    [
        ('traffic light', 'val_episode00005_traffic_light'),
        ('../a/b:c*', 'val_episode00005_a_b_c'),
        ('狗', 'val_episode00005_class12'),
    ],
)
def test_name_is_safe_for_file_systems(class_name, expected):
    assert panel_name('val', make_sample(5, class_name)) == expected


def test_images_are_given_in_rgb(runner, panels):
    feed(build(), runner, [make_sample(0)])
    assert panels[0]['query_image'][0, 0].tolist() == [0, 0, 255]
    assert panels[0]['support_images'][0][0, 0].tolist() == [0, 0, 255]


def test_each_episode_gets_its_own_inputs(runner, panels):
    samples = [make_sample(i) for i in range(2)]
    inputs = make_inputs(2, shots=3)
    inputs['query'][1] = torch.full((3, HEIGHT, WIDTH), 7, dtype=torch.uint8)
    build().after_val_iter(runner, 0, dict(inputs=inputs), samples)
    assert [panel['query_image'].max() for panel in panels] == [255, 7]
    assert [len(panel['support_images']) for panel in panels] == [3, 3]


def test_resized_query_is_shown_at_the_size_of_the_truth(runner, panels):
    feed(build(), runner, [make_sample(0)], height=30, width=30)
    assert panels[0]['query_image'].shape == (HEIGHT, WIDTH, 3)


def test_padding_of_a_resized_query_is_cut_off(runner, panels):
    sample = make_sample(0, scale_factor=(0.5, 0.75))
    inputs = make_inputs(1, 40, 40)
    inputs['query'][0][:, HEIGHT * 3 // 4 :] = 99
    inputs['query'][0][:, :, WIDTH // 2 :] = 99
    build().after_val_iter(runner, 0, dict(inputs=inputs), [sample])
    assert panels[0]['query_image'].shape == (HEIGHT, WIDTH, 3)
    assert not (panels[0]['query_image'] == 99).any()


def test_baseline_comes_before_the_prediction(runner, panels):
    feed(build(prediction_name='ours'), runner, [make_sample(0)])
    assert list(panels[0]['predictions']) == ['Baseline', 'ours']
    assert panels[0]['predictions']['Baseline'].max() == 0


def test_model_without_first_guess_has_one_prediction(runner, panels):
    feed(build(), runner, [make_sample(0, baseline=False)])
    assert list(panels[0]['predictions']) == ['SSP']


@pytest.mark.parametrize(
    'head', [dict(type='BaselineHead'), dict(type='SSPHead', method='baseline')]
)
def test_baseline_model_has_one_prediction_named_so(head, runner, panels):
    runner.model.decode_head = MODELS.build(dict(head, in_channels=4))
    hook = build()
    hook.before_val(runner)
    assert runner.model.with_baseline is False
    feed(hook, runner, [make_sample(0)])
    assert list(panels[0]['predictions']) == ['Baseline']
    assert panels[0]['predictions']['Baseline'].max() == 1


@pytest.mark.parametrize('phase', ['val', 'test'])
@pytest.mark.parametrize('before', [False, True])
def test_model_gives_its_first_guess_meanwhile(runner, phase, before):
    runner.model.with_baseline = before
    hook = build()
    getattr(hook, f'before_{phase}')(runner)
    assert runner.model.with_baseline is True
    getattr(hook, f'after_{phase}')(runner)
    assert runner.model.with_baseline is before


def test_model_is_restored_after_a_validation_that_raised(runner):
    hook = build()
    hook.before_val(runner)
    hook.before_val(runner)
    hook.after_val(runner)
    assert runner.model.with_baseline is False


def test_wrapped_model_is_asked_too(runner):
    inner = runner.model
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = inner
    runner.model = wrapper
    hook = build()
    hook.before_test(runner)
    assert inner.with_baseline is True
    hook.after_test(runner)
    assert inner.with_baseline is False


@VISBACKENDS.register_module(force=True)
class _Recorder(BaseVisBackend):
    """Stands for a backend with a log of its own, such as TensorBoard's."""

    def __init__(self, save_dir=''):
        super().__init__(save_dir)
        self.steps = []

    experiment = None

    def _init_env(self):
        pass

    def add_image(self, name, image, step=0, **kwargs):
        self.steps.append((name, step))


@pytest.mark.parametrize('main', [True, False])
def test_every_process_writes_files_and_the_main_one_logs(
    runner, pictures, tmp_path, monkeypatch, main
):
    monkeypatch.setattr(module, 'is_main_process', lambda: main)
    backends = [dict(type='LocalVisBackend'), dict(type='_Recorder')]
    runner.visualizer = Visualizer(vis_backends=backends, save_dir=str(tmp_path))
    feed(build(cell_height=32), runner, [make_sample(1)])
    assert pictures() == ['val_episode00001_dog_0.png']
    logged = runner.visualizer.get_backend('_Recorder').steps
    assert logged == ([('val_episode00001_dog', 0)] if main else [])


def test_panel_is_shown_for_the_asked_time(runner, panels, monkeypatch):
    shown = []
    monkeypatch.setattr(
        runner.visualizer, 'show', lambda image, **options: shown.append(options)
    )
    feed(build(show=True, wait_time=2.5), runner, [make_sample(0)])
    assert shown == [dict(win_name='val_episode00000_dog', wait_time=2.5)]


@pytest.mark.parametrize('arguments', [dict(interval=0), dict(max_panels=0)])
def test_settings_that_draw_nothing_are_refused(arguments):
    with pytest.raises(ValueError, match='at least 1'):
        build(**arguments)


class _Episodes(torch.utils.data.Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        inputs = make_inputs(1)
        sample = make_sample(i, baseline=False)
        del sample.pred_sem_seg
        return dict(
            inputs={key: value[0] for key, value in inputs.items()}, data_samples=sample
        )


class _Nothing(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return {}


def test_runner_draws_with_mmsegs_visualizer(tmp_path, build_segmentor):
    visualizer = VISUALIZERS.build(
        dict(
            type='SegLocalVisualizer',
            name=str(tmp_path),
            vis_backends=[dict(type='LocalVisBackend')],
            save_dir=str(tmp_path / 'show'),
        )
    )
    model = build_segmentor()
    loader = torch.utils.data.DataLoader(
        _Episodes(), batch_size=2, collate_fn=episode_collate
    )
    runner = Runner(
        model=model,
        work_dir=str(tmp_path / 'work'),
        test_dataloader=loader,
        test_evaluator=Evaluator(_Nothing()),
        test_cfg=dict(),
        visualizer=visualizer,
        default_hooks=dict(
            visualization=dict(
                type='FewShotVisualizationHook', draw=True, interval=2, cell_height=48
            )
        ),
        experiment_name=tmp_path.name,
        default_scope='mmseg',
        log_level='ERROR',
    )
    runner.test()
    assert model.with_baseline is False
    folder = tmp_path / 'show' / 'vis_data' / 'vis_image'
    assert sorted(path.name for path in folder.glob('*')) == [
        f'test_episode0000{i}_dog_0.png' for i in (0, 2, 4)
    ]
