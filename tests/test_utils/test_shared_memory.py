"""What workers send goes through shared memory: too little of it ends with a sentence."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader

from mmssp.datasets import episode_collate
from mmssp.runtime.config import tell_of_small_shared_memory
from mmssp.utils.command import own_message
from mmssp.utils.shared_memory import share_from_worker, small_shared_memory


@dataclass
class Held:
    tensor: torch.Tensor


def item(_: int) -> dict:
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.ones(1, 4, 5)))
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    inputs = dict(query=image, support=[image.clone()], support_mask=[image[0].clone()])
    return dict(inputs=inputs, data_samples=sample)


class Items(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return item(i)


def refuse(tensor):
    raise RuntimeError('unable to allocate shared memory(shm) for file </torch_1>')


def kinds(monkeypatch):
    """How a worker shares each kind of holder, in this process."""
    seen = []
    monkeypatch.setattr('mmssp.utils.shared_memory.get_worker_info', lambda: object())
    monkeypatch.setattr(torch.Tensor, 'share_memory_', lambda t: seen.append(t))
    return seen


@pytest.mark.parametrize(
    ('wrap', 'count'),
    [
        (lambda t: t, 1),
        (lambda t: [t, (t, {'a': t})], 3),
        (lambda t: Held(t), 1),
        (lambda t: SegDataSample(gt_sem_seg=PixelData(data=t)), 1),
        (lambda t: dict(path='a.jpg', number=3), 0),
    ],
)
def test_every_tensor_of_a_batch_is_shared(monkeypatch, wrap, count):
    seen = kinds(monkeypatch)
    share_from_worker(wrap(torch.ones(1, 2, 2)))
    assert len(seen) == count


def test_nothing_is_shared_outside_of_workers(monkeypatch):
    monkeypatch.setattr(torch.Tensor, 'share_memory_', refuse)
    assert episode_collate([item(0)])['inputs']['query'][0].shape == (3, 4, 5)


@pytest.mark.parametrize('collate', [episode_collate, share_from_worker])
def test_a_worker_without_room_ends_the_job_with_a_sentence(monkeypatch, collate):
    monkeypatch.setattr(torch.Tensor, 'share_memory_', refuse)
    loader = DataLoader(Items(), 2, collate_fn=collate, num_workers=1)
    with pytest.raises(OSError, match='too small') as caught:
        list(loader)
    message = own_message(caught.value)
    assert message is not None and message.startswith('/dev/shm')
    assert '--shm-size' in message and 'num_workers' in message


def test_with_room_workers_send_what_they_made():
    (batch,) = DataLoader(Items(), 4, collate_fn=episode_collate, num_workers=1)
    assert batch['inputs']['query'][0].is_shared()
    assert batch['data_samples'][3].gt_sem_seg.data.sum() == 20


def sized(monkeypatch, mebibytes: int):
    size = SimpleNamespace(total=mebibytes * 2**20, free=mebibytes * 2**20)
    monkeypatch.setattr('mmssp.utils.shared_memory.shutil.disk_usage', lambda _: size)


def loaders(workers: int) -> Config:
    loader = dict(num_workers=workers)
    return Config(dict(train_dataloader=loader, val_dataloader=loader))


NAMES = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def test_little_room_is_told_before_the_start(monkeypatch, capsys):
    sized(monkeypatch, 64)
    tell_of_small_shared_memory(loaders(2), *NAMES)
    printed = capsys.readouterr().err
    assert '/dev/shm has 64 MiB for the batches that 4 ' in printed
    assert '--shm-size' in printed


@pytest.mark.parametrize(('mebibytes', 'workers'), [(64, 0), (8192, 4)])
def test_enough_room_needs_no_word(monkeypatch, capsys, mebibytes, workers):
    sized(monkeypatch, mebibytes)
    tell_of_small_shared_memory(loaders(workers), *NAMES)
    assert capsys.readouterr().err == ''


def test_one_process_of_a_job_tells(monkeypatch, capsys):
    sized(monkeypatch, 64)
    monkeypatch.setenv('RANK', '1')
    tell_of_small_shared_memory(loaders(2), *NAMES)
    assert capsys.readouterr().err == ''


def test_a_system_without_it_is_not_asked(monkeypatch):
    monkeypatch.setattr('mmssp.utils.shared_memory.SHARED', '/no/such/folder')
    assert small_shared_memory(4) is None
