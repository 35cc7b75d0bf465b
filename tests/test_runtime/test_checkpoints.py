"""Reading checkpoints safely, without a hand in how others read theirs."""

import argparse
import subprocess
import sys

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from mmssp.runtime import checkpoints
from mmssp.runtime.checkpoints import read_checkpoint, safe_reading

IMPORTED = """
import torch
from mmengine.runner.checkpoint import CheckpointLoader

def state():
    readers = {k: CheckpointLoader._schemes[k] for k in ('', 'http://', 'https://')}
    return readers, torch.serialization.get_safe_globals()

before = state()
import mmssp
import mmssp.apis
assert state() == before, (before, state())
"""


def test_importing_mmssp_changes_no_reader_and_allows_nothing():
    done = subprocess.run(
        [sys.executable, '-c', IMPORTED], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_an_unusual_checkpoint_of_another_plugin_is_read_by_its_own_means(
    tmp_path, monkeypatch
):
    """As it would be without mmssp: by whatever mmengine asks of torch.load."""
    path = tmp_path / 'theirs.pth'
    torch.save(dict(state_dict={}, args=argparse.Namespace(lr=1)), path)
    load = torch.load
    monkeypatch.setattr(
        mmengine_checkpoint.torch,
        'load',
        lambda *args, **options: load(*args, **{**options, 'weights_only': False}),
    )
    loaded = CheckpointLoader.load_checkpoint(str(path))
    assert loaded['args'].lr == 1


@pytest.mark.parametrize('prefix', ['', 'http://', 'https://'])
def test_readers_are_put_back_also_after_an_error(prefix):
    before = CheckpointLoader._schemes[prefix]
    with pytest.raises(RuntimeError, match='mine'), safe_reading():
        assert CheckpointLoader._schemes[prefix] is not before
        raise RuntimeError('mine')
    assert CheckpointLoader._schemes[prefix] is before


def test_a_file_is_read_by_our_rules_inside(tmp_path):
    path = tmp_path / 'odd.pth'
    torch.save(dict(state_dict={}, args=argparse.Namespace(lr=1)), path)
    with safe_reading(), pytest.raises(ValueError, match='besides tensors'):
        CheckpointLoader.load_checkpoint(str(path))


def test_a_url_is_read_by_our_rules_inside(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))

    def download(url, path, progress):
        torch.save(dict(state_dict={'a': torch.ones(2)}), path)

    monkeypatch.setattr(checkpoints.torch.hub, 'download_url_to_file', download)
    with safe_reading():
        loaded = CheckpointLoader.load_checkpoint('https://example.org/a.pth?v=2')
    assert torch.equal(loaded['state_dict']['a'], torch.ones(2))


def test_what_others_allow_is_allowed_after_reading(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'a.pth')
    with torch.serialization.safe_globals([HistoryBuffer, argparse.Namespace]):
        before = set(torch.serialization.get_safe_globals())
        read_checkpoint(tmp_path / 'a.pth')
        assert set(torch.serialization.get_safe_globals()) == before
