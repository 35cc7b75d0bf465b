"""What several test modules share: registration, a tiny backbone, a private cache."""

import gc
import os
import signal

import mmengine.config.config
import pytest
import torch
import yapf.yapflib.yapf_api
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor, nn

import mmssp  # noqa: F401  (registers all components)

# a suite that a shell started in the background ignores Ctrl-C, and so would what it starts
signal.signal(signal.SIGINT, signal.default_int_handler)
# every runner writes its config several times, and to format the text takes longest
for module in (mmengine.config.config, yapf.yapflib.yapf_api):
    module.FormatCode = lambda text, **style: (text, True)
# data sets collect garbage whenever they are built; what was imported is none
gc.freeze()
if 'PYTEST_XDIST_WORKER' in os.environ:
    # one core each; processes that tests start inherit it
    os.environ['OMP_NUM_THREADS'] = '1'
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _mmseg_scope() -> None:
    init_default_scope('mmseg')


@pytest.fixture(autouse=True)
def _private_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('MMSSP_CACHE', str(tmp_path / 'mmssp_cache'))


@MODELS.register_module(force=True)
class PatchBackbone(nn.Module):
    """One convolution: the quickest thing with features and a gradient."""

    def __init__(
        self, channels: int = 8, kernel_size: int = 4, stride: int = 8
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, kernel_size, stride=stride)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.conv(image),)


@pytest.fixture
def build_segmentor():
    """Build a FewShotEncoderDecoder around PatchBackbone; keywords go to the head."""

    def build(channels: int = 8, **head) -> nn.Module:
        torch.manual_seed(0)
        return MODELS.build(
            dict(
                type='FewShotEncoderDecoder',
                data_preprocessor=dict(type='FewShotDataPreProcessor'),
                backbone=dict(type='PatchBackbone', channels=channels),
                decode_head=dict(type='SSPHead', in_channels=channels, **head),
                test_cfg=dict(mode='whole'),
            )
        )

    return build
