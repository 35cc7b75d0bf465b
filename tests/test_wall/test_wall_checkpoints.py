"""Checkpoints from elsewhere: whole and right, or refused; nothing in them is run."""

import copy
import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import MessageHub
from mmengine.runner.checkpoint import _load_checkpoint
from mutations import changed, damaged
from sandbox import Sandbox, inputs
from torch import nn

from mmssp.evaluation.departures import training_departures
from mmssp.runtime import checkpoints
from mmssp.runtime.safe_globals import restricted_pickle


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def content() -> dict:
    hub = MessageHub('wall')
    hub.update_scalar('train/loss', 0.5)
    return dict(
        meta=dict(
            iter=4,
            dataset_meta=dict(split='base', class_names={1: 'cat', 2: 'dog'}),
        ),
        state_dict=model().state_dict(),
        message_hub=hub.state_dict(),
    )


def saved(what: object, zipped: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(what, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def write(folder: Path, data: bytes) -> Path:
    path = folder / 'c.pth'
    path.write_bytes(data)
    return path


class Run:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def read_into_a_model(folder: Path, data: bytes, has_checksums: bool = True) -> None:
    """Weights that are read must be those that were written, whatever was damaged."""
    path = write(folder, data)
    loaded = checkpoints.read_checkpoint(path)
    built = model()
    for tensor in built.state_dict().values():
        tensor.zero_()
    checkpoints.load_weights(built, loaded, path)
    training_departures(
        checkpoints._trained_on(loaded, str(path)), dict(class_names={1: 'cat'})
    )
    for name, tensor in built.state_dict().items():
        if has_checksums:
            assert torch.equal(tensor, model().state_dict()[name]), name
        assert torch.isfinite(tensor).all()


@inputs(350)
@given(data=damaged(saved(content())))
def test_damaged_bytes(data, sandboxed):
    sandboxed(read_into_a_model, data)


@inputs(200)
@given(data=damaged(saved(content(), zipped=False)))
def test_damaged_bytes_of_the_older_format(data, sandboxed):
    sandboxed(read_into_a_model, data, False)


@inputs(150)
@given(data=st.data())
def test_changed_keys_and_values(data, sandboxed):
    whole = content()
    tree = {
        'meta': whole['meta'],
        'state_dict': {name: name for name in whole['state_dict']},
    }
    tree = data.draw(changed(tree))
    weights = whole['state_dict']
    state = tree.get('state_dict') if isinstance(tree, dict) else None
    if isinstance(state, dict):
        tree['state_dict'] = {
            key: weights[value]
            if isinstance(value, str) and value in weights
            else value
            for key, value in state.items()
        }
    refused = sandboxed(read_into_a_model, saved(tree), False)
    # which PyTorch fills in: files of before it was counted have none
    counter = {'1.num_batches_tracked'}
    if isinstance(state, dict) and state.keys() - counter != weights.keys() - counter:
        assert refused is not None, 'weights of another model were taken'


SHAPES = st.lists(st.integers(0, 5), max_size=4)
DTYPES = st.sampled_from(
    (
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.int64,
        torch.bool,
        torch.complex64,
    )
)


@inputs(60)
@given(
    shape=SHAPES, dtype=DTYPES, name=st.sampled_from(sorted(content()['state_dict']))
)
def test_wrong_shapes(shape, dtype, name, sandboxed):
    whole = content()
    expected = whole['state_dict'][name].shape
    whole['state_dict'][name] = torch.zeros(shape, dtype=dtype)
    refused = sandboxed(read_into_a_model, saved(whole), False)
    assert (refused is None) == (torch.Size(shape) == expected)


CALLS = st.sampled_from(
    (
        (os.system, 'touch {marker}'),
        (eval, '__import__("pathlib").Path("{marker}").touch()'),
        (exec, 'open("{marker}", "w")'),
        (getattr, Path, 'home'),
        (open, '{marker}', 'w'),
        (__import__, 'antigravity'),
        (pickle.loads, b''),
        (torch.load, '{marker}'),
    )
)
PLACES = st.sampled_from(('state_dict', 'meta', 'message_hub', 'optimizer', 'x'))


@inputs(80)
@given(call=CALLS, place=PLACES, zipped=st.booleans(), protocol=st.integers(2, 4))
def test_nothing_in_a_checkpoint_is_run(
    call, place, zipped, protocol, sandboxed, tmp_path_factory
):
    marker = tmp_path_factory.getbasetemp() / 'was_run'
    function, *args = call
    args = [a.format(marker=marker) if isinstance(a, str) else a for a in args]
    whole = copy.deepcopy(content())
    whole[place] = {'a': Run(function, *args)}
    stream = io.BytesIO()
    torch.save(
        whole, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped
    )
    assert sandboxed(read_into_a_model, stream.getvalue()) is not None
    assert not marker.exists()


def test_mmengine_reads_files_by_the_same_rules(tmp_path):
    marker = tmp_path / 'was_run'
    path = write(
        tmp_path, saved(dict(state_dict={}, x=Run(os.system, f'touch {marker}')))
    )
    with (
        checkpoints.safe_reading(),
        pytest.raises(ValueError, match=r'posix.system besides tensors.* refused'),
    ):
        _load_checkpoint(str(path))
    assert not marker.exists()


def test_before_torch_2_6_nothing_is_run_either(tmp_path):
    path = write(tmp_path, saved(content()))
    loaded = torch.load(path, weights_only=False, pickle_module=restricted_pickle())
    assert loaded['message_hub']['log_scalars']['train/loss'].current() == 0.5
    for call in (Run(os.system, 'true'), Run(eval, '1'), Run(getattr, Path, 'home')):
        write(tmp_path, saved(dict(state_dict={}, x=call)))
        with pytest.raises(
            (pickle.UnpicklingError, ValueError), match='refused|asks for'
        ):
            torch.load(path, weights_only=False, pickle_module=restricted_pickle())


def test_a_flipped_bit_in_the_weights_is_refused(tmp_path):
    whole = saved(content())
    place = whole.index(model().state_dict()['0.weight'].numpy().tobytes())
    data = bytearray(whole)
    data[place] ^= 1
    with pytest.raises(ValueError, match='checksum'):
        checkpoints.read_checkpoint(write(tmp_path, bytes(data)))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    whole = content()
    whole['state_dict']['2.bias'][0] = float('nan')
    path = write(tmp_path, saved(whole))
    with pytest.raises(ValueError, match=r'NaN .* 1 of .* \(2\.bias\)'):
        checkpoints.load_weights(model(), checkpoints.read_checkpoint(path), path)


def repacked(data: bytes, compression: int, padding: int = 0) -> bytes:
    """The same zip archive, compressed, with an entry of zeros."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(out, 'w', compression) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
        if padding:
            new.writestr('archive/zeros', bytes(padding))
    return out.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(sandboxed):
    bomb = repacked(saved(content()), zipfile.ZIP_DEFLATED, padding=200 * 2**20)
    assert len(bomb) < 2**20
    assert 'compressed' in sandboxed(read_into_a_model, bomb)


def test_entries_that_lie_on_top_of_each_other_are_refused(sandboxed):
    data = bytearray(repacked(saved(content()), zipfile.ZIP_STORED, padding=4096))
    # a thousand times what the archive's bytes are, in the directory's record of an entry
    place = data.rindex(b'archive/zeros') - 46
    assert data[place : place + 4] == b'PK\x01\x02'
    data[place + 24 : place + 28] = (2**31).to_bytes(4, 'little')
    assert 'claim to hold' in sandboxed(read_into_a_model, bytes(data))


@pytest.fixture(scope='module')
def sandboxed(tmp_path_factory):
    """Call a function of (folder, ...) in the module's sandbox."""
    folder = tmp_path_factory.mktemp('checkpoints')
    with Sandbox(lambda function, *args: function(folder, *args)) as sandbox:
        yield sandbox
