"""Gradients of four episodes, computed by one process or by a rank of several."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmssp  # noqa: F401  (registers all components)
from mmssp.runtime.launch import leave_together

CONFIG = Path(__file__).parents[2] / 'configs' / 'ssp_r50_pascal5i_1shot.py'
EPISODES = 4
SIZE = 33
# the published architecture, thin
THIN = {
    'model.backbone.init_cfg': None,
    'model.backbone.base_channels': 8,
    'model.backbone.stem_channels': 16,
    'model.decode_head.in_channels': 128,
}


class KeptGradients(OptimWrapper):
    """Keeps the gradients of the last step."""

    def step(self, **kwargs) -> None:
        self.kept = [
            p.grad.clone()
            for p in self.optimizer.param_groups[0]['params']
            if p.grad is not None
        ]
        super().step(**kwargs)


def build(dtype: torch.dtype) -> torch.nn.Module:
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(THIN)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    return model.to(dtype).train()


def batch(items: range, shots: int, same_size: bool) -> dict:
    """Raw episodes; the share of pixels of 255 differs much from episode to episode."""
    inputs, samples = dict(query=[], support=[], support_mask=[]), []
    for item in items:
        random = torch.Generator().manual_seed(item)
        sizes = [SIZE if same_size else SIZE + 8 * slot for slot in range(shots)]

        def image(size: int, random=random) -> torch.Tensor:
            shape = (3, size, size)
            return torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)

        def mask(size: int, item=item) -> torch.Tensor:
            values = torch.zeros(size, size, dtype=torch.uint8)
            values[: size // 2, : size // 3 + item] = 1
            values[:, size - 8 * item :] = 255
            return values

        inputs['query'].append(image(SIZE))
        inputs['support'].append([image(size) for size in sizes])
        inputs['support_mask'].append([mask(size) for size in sizes])
        samples.append(SegDataSample())
        samples[-1].gt_sem_seg = PixelData(data=mask(SIZE)[None])
    return dict(inputs=inputs, data_samples=samples)


def train_step(
    model: torch.nn.Module, items: range, shots: int, same_size: bool
) -> dict:
    """One step; the gradients, by number of the parameter, and the losses."""
    wrapper = KeptGradients(torch.optim.SGD(model.parameters(), lr=0.1))
    losses = model.train_step(batch(items, shots, same_size), wrapper)
    return dict(gradients=wrapper.kept, loss=losses['loss'].detach())


def as_a_rank(out: Path, dtype: torch.dtype, shots: int, same_size: bool) -> None:
    """This process's share of the episodes; rank 0 saves what all have found."""
    torch.distributed.init_process_group('gloo')
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    model = MMDistributedDataParallel(build(dtype), broadcast_buffers=False)
    # as InfiniteEpisodeSampler deals them
    found = train_step(model, range(rank, EPISODES, size), shots, same_size)
    torch.distributed.all_reduce(found['loss'])
    found['loss'] /= size
    if rank == 0:
        torch.save(found, out)
    leave_together()
