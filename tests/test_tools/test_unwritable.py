"""Every option that names something to write is looked at before the work."""

from pathlib import Path

import pytest
from commands import exit_code
from PIL import Image

from mmssp.apis.folder import cli

ROOT = Path(__file__).parents[2]
TOOLS, ANALYSIS = ROOT / 'tools', ROOT / 'tools' / 'analysis_tools'
# All else that these commands are given is missing, which would be said next.
COMMANDS = {
    'test --out': (TOOLS / 'test.py', 'gone.py', 'gone.pth', '--out', '{}/F.json'),
    'test --show-dir': (TOOLS / 'test.py', 'gone.py', 'none', '--show-dir', '{}/D'),
    'test --work-dir': (TOOLS / 'test.py', 'gone.py', 'none', '--work-dir', '{}/D'),
    'measure': (
        *(ANALYSIS / 'measure_inferencer.py', 'memory', 'gone.py', '--model', 'gone'),
        *('--json', '{}/F.json'),
    ),
    'converter': (
        TOOLS / 'model_converters' / 'ssp_to_mmssp.py',
        'gone.pth',
        '{}/out.pth',
    ),
    'shapes5i': (TOOLS / 'dataset_converters' / 'shapes5i.py', '{}/shapes'),
}


def is_said_in(words: str, path: Path) -> bool:
    return str(path) in words and 'gone' not in words and 'Traceback' not in words


@pytest.mark.parametrize('name', COMMANDS)
def test_it_is_said_before_anything_else(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    command, *words = COMMANDS[name]
    assert exit_code(command, *(word.format(tmp_path / 'file') for word in words)) == 1
    assert is_said_in(capsys.readouterr().err, tmp_path / 'file')
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_training_says_so_before_it_loads_anything(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    # its initial weights and data are missing
    config = ROOT / 'configs' / 'ssp_r50_pascal5i_1shot.py'
    code = exit_code(TOOLS / 'train.py', config, '--work-dir', tmp_path / 'file' / 'D')
    assert code == 1
    assert 'cannot be written' in capsys.readouterr().err


def test_benchmark_says_so_before_it_measures(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(ANALYSIS))
    (tmp_path / 'file').touch()
    path = tmp_path / 'file' / 'F.json'
    assert exit_code(ANALYSIS / 'benchmark.py', 'matching', '--json', path) == 1
    printed = capsys.readouterr()
    assert is_said_in(printed.err, tmp_path / 'file')
    assert printed.out == ''


def test_prediction_says_so_before_the_model_is_loaded(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setattr(cli, '_prepared', lambda *_: pytest.fail('loaded'))
    bank = tmp_path / 'file' / 'a.bank'
    with pytest.raises(OSError, match='cannot be written'):
        cli.main(['--support-bank', 'gone.bank', '--save-support', str(bank)])


@pytest.mark.parametrize('where', ['file/out', 'out'])
def test_prediction_says_so_of_its_outputs(tmp_path, monkeypatch, where):
    (tmp_path / 'file').touch()
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'exports').touch()  # in the place of the folder of formats
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.png')
    monkeypatch.setattr(cli, '_prepared', lambda *_: pytest.fail('loaded'))
    words = ['--support-bank', 'gone.bank', '--format', 'coco', '--input']
    with pytest.raises(OSError, match='cannot be written'):
        cli.main([*words, str(tmp_path / 'a.png'), '--output', str(tmp_path / where)])
