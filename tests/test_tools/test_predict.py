"""tools/predict.py and python -m mmssp predict, as a user runs them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import exit_code
from fake_inferencer import FakeInferencer
from PIL import Image

import mmssp.apis.inferencer
from mmssp.apis.adapting import Adapted

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'predict.py'
MODULE = ROOT / 'mmssp' / '__main__.py'


class Fake(FakeInferencer):
    """Takes what the real one takes; 'broken' as a class name ends in an error."""

    made: list['Fake'] = []

    def __init__(self, model, weights, device, **settings) -> None:
        super().__init__(())
        vars(self).update(settings)
        self.arguments = (model, weights, device)
        self.supports: dict[str, dict] = {}
        self.made.append(self)

    def set_support(self, images, annotations, name, **kwargs) -> None:
        if name == 'broken':
            raise KeyboardInterrupt
        self.supports[name] = dict(images=images, annotations=annotations, **kwargs)
        self.names = ('red', 'green', 'blue')[: len(self.supports)]

    def load_support(self, path) -> None:
        self.names = tuple(Path(path).read_text().split())

    def save_support(self, path) -> None:
        Path(path).write_text(' '.join(self.names))

    model_fingerprint = 'of the fake'

    iterations = 7

    def load_learned(self, path) -> tuple[str, ...]:
        if not self.iterations:
            return ()
        self.went_on_from = Path(path).read_text()
        return self.names

    def adapt(self, seconds) -> dict[str, Adapted]:
        self.seconds = seconds
        return {
            name: Adapted(self.iterations, seconds, 'decoder', 0.5)
            for name in self.names
        }


@pytest.fixture
def fake(monkeypatch) -> list[Fake]:
    monkeypatch.setattr(mmssp.apis.inferencer, 'FewShotInferencer', Fake)
    monkeypatch.setattr(Fake, 'made', [])
    return Fake.made


def draw(path: Path, seed: int) -> np.ndarray:
    """A textured red ball on a green ground, (96,128,3), and where it is."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((96, 128))
    ball = (y - rng.integers(35, 60)) ** 2 + (x - rng.integers(40, 90)) ** 2 < 27**2
    image = np.where(ball[..., None], (210, 40, 40), (60, 150, 70))
    image = image + rng.normal(0, 12, image.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
    return ball


@pytest.fixture
def folders(tmp_path, monkeypatch) -> Path:
    """A support and three photos, in the working directory."""
    monkeypatch.chdir(tmp_path)
    ball = draw(tmp_path / 'labelled' / 'images' / 's.jpg', 0)
    (tmp_path / 'labelled' / 'masks').mkdir()
    Image.fromarray(ball.astype(np.uint8)).save(tmp_path / 'labelled/masks/s.png')
    for i in range(1, 4):
        draw(tmp_path / 'photos' / f'p{i}.png', i)
    return tmp_path


@pytest.fixture
def predict(capsys):
    """Run the tool in this process: (exit code, stdout, stderr)."""

    def run(*args, **paths) -> tuple[int, str, str]:
        paths = dict(dict(support='labelled', input='photos', output='out'), **paths)
        words = [w for k, v in paths.items() if v is not None for w in (f'--{k}', v)]
        return exit_code(TOOL, *words, *args), *capsys.readouterr()

    return run


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob('*') if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_options_reach_the_inferencer(folders, fake, predict):
    code, printed, _ = predict(
        '--name', 'ball', '--class-value', 1, '--tighten', '--threshold', 0.3,
        '--image-size', 0, '--tile', 640, '--device', 'cpu', '--model', 'm',
        '--resize-masks',
    )  # fmt: skip
    assert code == 0
    assert 'out/index.html' in printed
    (inferencer,) = fake
    assert inferencer.arguments == ('m', None, 'cpu')
    assert (inferencer.image_size, inferencer.tile) == (None, 640)
    assert inferencer.threshold == 0.3
    assert inferencer.supports == {
        'ball': dict(
            images=[Path('labelled/images/s.jpg')],
            annotations=[Path('labelled/masks/s.png')],
            class_value=1,
            tighten=True,
            resize=True,
        )
    }


def test_a_broken_image_gives_exit_code_1_after_the_others(folders, fake, predict):
    (folders / 'photos' / 'p2.png').write_bytes(b'')
    code, printed, errors = predict()
    assert code == 1
    assert '2 of 3 images segmented' in printed
    assert 'p2.png: the file is empty' in errors
    assert {p.name for p in (folders / 'out/masks').iterdir()} == {'p1.png', 'p3.png'}


def test_formats_are_written_and_named(folders, fake, predict):
    code, printed, _ = predict('--format', 'coco,labelme', '--tolerance', 0)
    assert code == 0
    assert 'coco: out/exports/coco' in printed
    assert {p.name for p in (folders / 'out/exports/labelme').iterdir()} == {
        'p1.json', 'p2.json', 'p3.json',
    }  # fmt: skip


def test_instances_may_be_apart(folders, fake, predict):
    # through the noise of the balls, so that there are specks
    options = '--format', 'coco', '--threshold', 0.83
    predict(*options)
    path = folders / 'out/exports/coco/annotations.json'
    together = len(json.loads(path.read_text())['annotations'])
    predict(*options, '--instances')
    apart = len(json.loads(path.read_text())['annotations'])
    predict(*options, '--instances', '--min-area', 400)
    large = len(json.loads(path.read_text())['annotations'])
    assert together == large == 3 < apart


@pytest.mark.parametrize(
    'options, message',
    [
        (['--format', 'coco,xml'], "'xml': expected one or more of coco,yolo,labelme"),
        (['--format', 'coco', '--tolerance', '-1'], 'expected pixels, 0 or more'),
    ],
)
def test_wrong_formats_are_said_before_anything_is_read(
    folders, fake, predict, options, message
):
    code, _, errors = predict(*options)
    assert code == 2
    assert message in errors
    assert not fake and not (folders / 'out').exists()


def test_a_second_run_says_what_was_there(folders, fake, predict):
    predict()
    code, printed, _ = predict()
    assert code == 0
    assert '3 of 3 images segmented, 3 of them before' in printed
    assert fake[1].predicted == 0


@pytest.mark.parametrize('change', ['support', 'threshold', 'model', 'size'])
def test_other_settings_want_another_folder(folders, fake, predict, change):
    predict()
    if change == 'support':
        draw(folders / 'labelled' / 'images' / 's.jpg', 5)
    options = dict(
        support=[],
        threshold=['--threshold', '0.6'],
        model=['--model', 'other'],
        size=['--image-size', '512'],
    )[change]
    code, _, errors = predict(*options)
    assert code == 1
    assert change in errors and '--overwrite' in errors
    assert predict('--overwrite', *options)[0] == 0


@pytest.mark.parametrize(
    ('options', 'paths', 'words'),
    [
        ([], dict(support=None), '--support'),
        ([], dict(output=None), 'need each other'),
        ([], dict(input=None, output=None), '--save-support'),
        (['--threshold', '1.5'], {}, 'from 0 to 1'),
        (['--tile', '0'], {}, 'from 1 on'),
        (['--batch', 'x'], {}, 'whole number'),
        (['--adapt', '0'], {}, 'seconds, more than 0'),
        (['--adapt', '--support-bank', 'b'], {}, 'it needs --support'),
    ],
)
def test_usage_errors_have_exit_code_2(folders, fake, predict, options, paths, words):
    code, _, errors = predict(*options, **paths)
    assert code == 2
    assert words in errors
    assert not fake


@pytest.mark.parametrize(
    ('paths', 'words'),
    [
        (dict(support='none'), 'no support none'),
        (dict(input='none'), 'There is no none'),
        (dict(input='empty'), 'hold no image'),
        (dict(output='labelled/images/s.jpg'), 'is a file'),
        (dict(output='labelled/images/s.jpg/out'), 'cannot be written'),
    ],
)
def test_what_cannot_be_done_is_one_sentence(folders, fake, predict, paths, words):
    (folders / 'empty').mkdir()
    code, _, errors = predict(**paths)
    assert code == 1
    assert errors.startswith('error: ') and words in errors
    assert len(errors.splitlines()) == 1
    assert not (folders / 'out').exists()


def test_interrupted_has_exit_code_130(folders, fake, predict):
    code, _, errors = predict('--name', 'broken')
    assert code == 130
    assert errors.split() == ['interrupted']


def test_a_support_is_saved_and_used_again(folders, fake, predict):
    code, printed, _ = predict('--save-support', 'bank', input=None, output=None)
    assert (code, printed) == (0, 'support: bank\n')
    assert predict('--support-bank', 'bank', support=None)[0] == 0
    assert fake[1].names == ('red',)
    assert fake[1].supports == {}


def test_learning_is_done_once_for_all_calls(folders, fake, predict):
    code, printed, _ = predict('--adapt', 5)
    assert code == 0
    assert fake[0].seconds == 5
    assert 'red: 7 iterations in 5 s; by decoder, expected IoU 50% or more' in printed
    (kept,) = (folders / 'out').glob('learned-*.bank')
    code, printed, _ = predict('--adapt', 5)
    assert code == 0
    assert not hasattr(fake[1], 'seconds')
    assert fake[1].names == ('red',)
    assert '3 of them before' in printed
    # anew, where all is to be made anew
    assert predict('--adapt', 5, '--overwrite')[0] == 0
    assert fake[2].seconds == 5
    # another time is another setting
    code, _, errors = predict('--adapt', 6)
    assert code == 1
    assert 'adapt' in errors and '--overwrite' in errors


def add_labelled(folders: Path) -> None:
    ball = draw(folders / 'labelled' / 'images' / 't.jpg', 9)
    Image.fromarray(ball.astype(np.uint8)).save(folders / 'labelled/masks/t.png')


def test_learning_goes_on_where_the_support_has_grown(folders, fake, predict):
    assert predict('--adapt')[0] == 0
    add_labelled(folders)
    code, printed, _ = predict('--adapt')
    assert code == 0
    assert (fake[1].went_on_from, fake[1].seconds) == ('red', 10)
    assert (
        '2 labelled images, 1 of them before: all images are segmented anew' in printed
    )
    assert '3 of 3 images segmented\n' in printed
    assert len(list((folders / 'out').glob('learned-*.bank'))) == 1
    # and then there is nothing left to do
    code, printed, _ = predict('--adapt')
    assert not hasattr(fake[2], 'seconds')
    assert '3 of them before' in printed
    # an image less is another support
    (folders / 'labelled' / 'images' / 's.jpg').unlink()
    (folders / 'labelled' / 'masks' / 's.png').unlink()
    code, _, errors = predict('--adapt')
    assert code == 1
    assert 'support was 2 (' in errors and '--overwrite' in errors


def test_where_nothing_was_learned_a_grown_support_is_learned_from(
    folders, fake, predict, monkeypatch
):
    monkeypatch.setattr(Fake, 'iterations', 0)
    code, printed, _ = predict('--adapt')
    assert code == 0
    assert 'red: nothing had to be learned; by decoder' in printed
    add_labelled(folders)
    assert predict('--adapt')[0] == 0
    assert fake[1].seconds == 60
    assert not hasattr(fake[1], 'went_on_from')


def test_a_tilde_is_the_home_in_every_path(folders, fake, predict, monkeypatch):
    monkeypatch.setenv('HOME', str(folders))
    code, printed, _ = predict(
        '--save-support', '~/a.bank',
        support='~/labelled', input='~/photos', output='~/out',
    )  # fmt: skip
    assert code == 0
    assert (folders / 'out' / 'index.html').is_file()
    assert (folders / 'a.bank').is_file()
    assert not (folders / '~').exists()


def test_a_support_may_grow_without_learning(folders, fake, predict):
    assert predict()[0] == 0
    add_labelled(folders)
    code, printed, _ = predict()
    assert code == 0
    assert '3 of 3 images segmented\n' in printed
    # with another threshold as well it is not the same any more
    code, _, errors = predict('--threshold', 0.25)
    assert code == 1
    assert 'threshold' in errors


def test_learning_takes_a_minute_if_nothing_is_said(folders, fake, predict):
    assert predict('--adapt')[0] == 0
    assert fake[0].seconds == 60


def test_without_being_asked_nothing_is_learned(folders, fake, predict):
    assert predict()[0] == 0
    assert not hasattr(fake[0], 'seconds')
    assert not list((folders / 'out').glob('learned-*'))


def test_a_support_that_cannot_be_saved_is_a_sentence(folders, fake, predict):
    code, _, errors = predict('--save-support', 'photos')
    assert code == 1
    assert errors.startswith('error: --save-support photos: it cannot be written')


def test_the_module_runs_the_same_command(folders, fake):
    words = ['--support', 'labelled', '--input', 'photos', '--output', 'out']
    assert exit_code(MODULE, 'predict', *words) == 0
    assert len(list((folders / 'out' / 'masks').iterdir())) == 3


@pytest.mark.parametrize(
    ('words', 'code'), [([], 2), (['train'], 2), (['--help'], 0), (['--version'], 0)]
)
def test_the_module_without_a_command_says_how(capsys, words, code):
    found = exit_code(MODULE, *words)
    out, errors = capsys.readouterr()
    assert found == code
    if words == ['--version']:
        assert out.strip() == mmssp.__version__
    else:
        assert 'usage: python -m mmssp predict' in (errors if code else out)
    assert ("'train'" in errors) == (words == ['train'])


def test_launcher_without_torchrun_is_a_sentence(folders, fake, predict, monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR'):
        monkeypatch.delenv(name, raising=False)
    code, _, errors = predict('--launcher', 'pytorch')
    assert code == 1
    assert 'torchrun' in errors


def test_the_model_finds_the_object(folders, predict):
    pytest.importorskip('efficientnet_lite_pytorch')
    code, _, errors = predict('--device', 'cpu', '--image-size', 128)
    assert code == 0, errors
    for i in range(1, 4):
        ball = draw(folders / 'again.png', i)
        mask = np.asarray(Image.open(folders / 'out' / 'masks' / f'p{i}.png')) == 1
        assert (mask & ball).sum() / (mask | ball).sum() > 0.5
    content = json.loads((folders / 'out' / 'annotations.json').read_text())
    assert len(content['annotations']) == 3


@pytest.mark.slow
def test_two_processes_leave_the_files_of_one(folders):
    pytest.importorskip('efficientnet_lite_pytorch')
    for i in range(4, 7):
        draw(folders / 'photos' / f'p{i}.png', i)
    (folders / 'photos' / 'p2.png').write_bytes(b'broken')
    (folders / 'photos' / 'p3.png').write_bytes(b'')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    options = [
        '--support',
        'labelled',
        '--input',
        'photos',
        '--device',
        'cpu',
        '--image-size',
        '128',
    ]
    torchrun = f'-m torch.distributed.run --nproc-per-node 2 --master-port {port}'
    codes, printed = [], []
    for output, words in (
        ('one', [TOOL]),
        ('two', [*torchrun.split(), TOOL, '--launcher', 'pytorch']),
    ):
        done = subprocess.run(
            [sys.executable, *map(str, words), *options, '--output', output],
            env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=120,
        )
        codes.append(done.returncode)
        printed.append(done.stdout.splitlines())
        assert '4 of 6 images segmented' in done.stdout, done.stderr
    assert codes == [1, 1]
    assert len(contents(folders / 'one')) == 4 * 4 + 4
    assert contents(folders / 'two') == contents(folders / 'one')
    # by one process alone, and nothing else, as by the model while it is built
    assert list(map(len, printed)) == [3, 3]
    assert printed[0][2].startswith('most in doubt, so label next: ')
    assert printed[1][2] == printed[0][2]


@pytest.mark.slow
def test_two_processes_learn_once(folders):
    """The first learns, the second takes what it learned; called again, neither does."""
    pytest.importorskip('efficientnet_lite_pytorch')
    add_labelled(folders)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    words = (
        f'-m torch.distributed.run --nproc-per-node 2 --master-port {port} {TOOL} '
        '--launcher pytorch --support labelled --input photos --output out --device cpu '
        '--image-size 128 --adapt 1'
    )
    printed = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, *words.split()],
            env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert printed[0].count('iterations in') == 1
    assert 'iterations in' not in printed[1]
    assert '3 of 3 images segmented, 3 of them before' in printed[1]
    assert len(list((folders / 'out').glob('learned-*.bank'))) == 1
