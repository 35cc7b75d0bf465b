"""Support banks: what is written is read; anything else is refused with a reason."""

import numpy as np
import pytest
import torch

from mmssp.apis.support import support_bank
from mmssp.apis.support.support_bank import Support, load_bank, save_bank

ARRAYS = dict(
    version=np.array(1),
    model=np.array('model'),
    names=np.array(['red', 'blue']),
    num_shots=np.array([1, 5]),
    foreground=np.ones((2, 3), np.float32),
    background=np.zeros((2, 3), np.float32),
)


def write(path, **changes):
    with path.open('wb') as stream:
        np.savez(stream, **{**ARRAYS, **changes})
    return path


def test_what_is_saved_is_loaded(tmp_path):
    supports = {
        name: Support(dict(foreground=fg, background=-fg), (), shots)
        for name, fg, shots in (
            ('red', torch.rand(1, 4), 1),
            ('Größe, 大', torch.rand(1, 4), 5),
        )
    }
    save_bank(tmp_path / 'a.bank', supports, 'model')
    loaded = load_bank(tmp_path / 'a.bank', 'model')
    assert list(loaded) == list(supports)
    for name, support in supports.items():
        assert loaded[name].num_shots == support.num_shots
        for side, prototype in support.prototypes.items():
            assert torch.equal(loaded[name].prototypes[side], prototype)


def test_missing_bank_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.bank not found'):
        load_bank(tmp_path / 'nowhere.bank', 'model')


def test_bank_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    path = write(tmp_path / 'bomb.bank')
    monkeypatch.setattr(support_bank, 'LARGEST', path.stat().st_size // 10)
    monkeypatch.setattr(np, 'load', lambda *_, **__: pytest.fail('it was unpacked'))
    with pytest.raises(ValueError, match='it has .* bytes, more than'):
        load_bank(path, 'model')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(version=np.array(2)), 'version 2, expected 1'),
        (dict(names=np.array([], str)), 'contradict'),
        (dict(names=np.array(['red', 'red'])), 'contradict'),
        (dict(names=np.array(['red'])), 'contradict'),
        (dict(num_shots=np.array([1])), 'contradict'),
        (dict(foreground=np.ones((2, 4), np.float32)), 'contradict'),
        (dict(foreground=np.ones((2, 3))), 'contradict'),
        (dict(background=np.full((2, 3), np.nan, np.float32)), 'contradict'),
        (dict(foreground=np.ones(2, np.float32)), 'contradict'),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f'no support bank: .*{message}'):
        load_bank(write(tmp_path / 'a.bank', **changes), 'model')
