"""Support banks: what is written is read; anything else is refused with a reason."""

import numpy as np
import pytest
import torch

from mmssp.apis.support import support_bank
from mmssp.apis.support.support_bank import Support, load_bank, save_bank

ARRAYS = {
    'version': np.array(2),
    'model': np.array('model'),
    'head': np.array('SSPHead'),
    'adapter': np.array(''),
    'names': np.array(['red', 'blue']),
    'num_shots': np.array([1, 5]),
    'state/0/foreground': np.ones((1, 3), np.float32),
    'state/1/foreground': np.zeros((1, 3), np.float32),
}
FIRST = dict(
    version=np.array(1),
    model=np.array('first model'),
    names=np.array(['red', 'blue']),
    num_shots=np.array([1, 5]),
    foreground=np.ones((2, 3), np.float32),
    background=np.zeros((2, 3), np.float32),
)


def write(path, arrays):
    with path.open('wb') as stream:
        np.savez(stream, **{k: v for k, v in arrays.items() if v is not None})
    return path


def test_what_is_saved_is_loaded(tmp_path):
    supports = {
        name: Support(
            dict(tokens=torch.rand(1, 4, 2, 3), count=torch.tensor([7])),
            shots,
            shown,
            learned=adapted,
        )
        for name, shots, shown, adapted in (
            ('red', 1, 1, {}),
            ('blue', 2, 2, None),
            ('Größe, 大', 5, 3, {'neck.0/weight': torch.rand(2, 2)}),
        )
    }
    save_bank(tmp_path / 'a.bank', supports, 'model', 'OtherHead', 'Own')
    loaded = load_bank(tmp_path / 'a.bank', 'model', 'OtherHead', 'Own')
    assert list(loaded) == list(supports)
    for name, support in supports.items():
        assert loaded[name].num_shots == support.num_shots
        assert loaded[name].num_shown == support.num_shown
        assert loaded[name].shots == ()
        assert (loaded[name].learned is None) == (support.learned is None)
        for found, expected in (
            (loaded[name].state, support.state),
            (loaded[name].adapted, support.adapted),
        ):
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_missing_bank_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.bank not found'):
        load_bank(tmp_path / 'nowhere.bank', 'model', 'SSPHead')


def test_bank_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    path = write(tmp_path / 'bomb.bank', ARRAYS)
    monkeypatch.setattr(support_bank, 'LARGEST', path.stat().st_size // 10)
    monkeypatch.setattr(np, 'load', lambda *_, **__: pytest.fail('it was unpacked'))
    with pytest.raises(ValueError, match='it has .* bytes, more than'):
        load_bank(path, 'model', 'SSPHead')


def test_what_a_bank_cannot_hold_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(support_bank, 'LARGEST', 2**17)
    supports = dict(red=Support(dict(x=torch.zeros(1, 2**15)), 1, 1))
    with pytest.raises(ValueError, match='a bank holds at most'):
        save_bank(tmp_path / 'a.bank', supports, 'model', 'SSPHead')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'version': np.array(3)}, 'version 3, expected 2'),
        ({'names': np.array([], str)}, 'list index out of range'),
        ({'names': np.array(['red', 'red'])}, 'contradict'),
        ({'names': np.array(['red'])}, 'list index out of range'),
        ({'num_shots': np.array([1])}, 'contradict'),
        ({'num_shown': np.array([1])}, 'contradict'),
        ({'num_shown': np.array([1, 0])}, 'contradict'),
        ({'num_shown': np.array([1, 9])}, 'contradict'),
        ({'num_shown': np.array([1.0, 1.0])}, 'contradict'),
        ({'state/1/foreground': None}, 'contradict'),
        ({'state/0/foreground': np.full((1, 3), np.nan)}, 'contradict'),
        ({'state/0/foreground': np.ones((2, 3))}, 'contradict'),
        ({'state/0/foreground': np.array(['text'])}, "can't convert"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f'no support bank: .*{message}'):
        load_bank(write(tmp_path / 'a.bank', {**ARRAYS, **changes}), 'model', 'SSPHead')


def test_bank_of_another_head_is_refused(tmp_path):
    with pytest.raises(ValueError, match='made with SSPHead, and this model has Other'):
        load_bank(write(tmp_path / 'a.bank', ARRAYS), 'model', 'OtherHead')


@pytest.mark.parametrize('adapter', ['', 'OtherAdapter'])
def test_bank_of_another_adapter_is_refused(tmp_path, adapter):
    path = write(tmp_path / 'a.bank', {**ARRAYS, 'adapter': np.array('Own')})
    with pytest.raises(ValueError, match='adapted by Own, and this model has'):
        load_bank(path, 'model', 'SSPHead', adapter)


def test_bank_of_nothing_adapted_serves_any_adapter(tmp_path):
    path = write(tmp_path / 'a.bank', ARRAYS)
    assert list(load_bank(path, 'model', 'SSPHead', 'Own')) == ['red', 'blue']


def test_bank_of_another_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match='made with another model'):
        load_bank(write(tmp_path / 'a.bank', ARRAYS), 'this one', 'SSPHead')


def test_bank_of_the_first_version_is_read(tmp_path):
    path = write(tmp_path / 'a.bank', FIRST)
    loaded = load_bank(path, 'model', 'SSPHead', first_model='first model')
    assert loaded['red'].num_shots == 1
    assert torch.equal(loaded['blue'].state['foreground'], torch.ones(1, 3))
    assert torch.equal(loaded['blue'].state['background'], torch.zeros(1, 3))
    with pytest.raises(ValueError, match='made with another model'):
        load_bank(path, 'model', 'SSPHead', first_model='another')
