"""What an episode's images become behind their pipelines: tensors and a data sample."""

from typing import Any

import numpy as np
import torch
from mmseg.datasets.transforms import PackSegInputs
from mmseg.structures import SegDataSample
from torch import Tensor

from .class_masks import binary_mask
from .mask_scan import IGNORE

META_KEYS = (
    *('img_path', 'seg_map_path', 'ori_shape', 'img_shape', 'pad_shape'),
    *('scale_factor', 'canvas_shape', 'score_shape', 'flip', 'flip_direction'),
    *('class_id', 'class_name', 'run', 'episode', 'support_img_paths'),
)
_PACK = PackSegInputs(meta_keys=META_KEYS)


def checked(results: dict[str, Any] | None) -> dict[str, Any]:
    """What a pipeline gave, if image and mask are there.

    Raises:
        ValueError: Else.
    """
    if results is None or 'img' not in results or 'gt_seg_map' not in results:
        raise ValueError(
            'pipeline: expected `img` and `gt_seg_map` after it; load both, and '
            'leave packing (PackSegInputs) out, which EpisodicDataset does itself'
        )
    return results


def image_tensor(image: np.ndarray) -> Tensor:
    """(H,W,3) uint8 → (3,H,W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def support_tensor(mask: np.ndarray, ignored: str) -> Tensor:
    """A support's mask behind its pipeline, as a tensor.

    Args:
        mask: (h,w), 1 the class; transforms may have changed its type, or padded it.
        ignored: What 255 is: ``'ignore'`` or ``'background'``.

    Returns:
        (h,w) uint8 in {0, 1, 255}.
    """
    binary = binary_mask(mask, 1)
    if ignored == 'background':
        binary[binary == IGNORE] = 0
    return torch.from_numpy(binary)


def query_sample(query: dict[str, Any], **meta: Any) -> SegDataSample:
    """The data sample of an episode.

    Args:
        query: The query's image behind its pipeline, with ``gt_seg_map`` (H,W), 1 the
            class, if there is a truth; not changed.
        **meta: The last of :data:`META_KEYS`.

    Returns:
        With ``gt_sem_seg`` (1,H,W) in {0, 1, 255} of the truth, and the metainfo.
    """
    results = dict(query, **meta)
    if 'gt_seg_map' in query:
        results['gt_seg_map'] = binary_mask(query['gt_seg_map'], 1)
    results.pop('img', None)
    sample: SegDataSample = _PACK(results)['data_samples']
    return sample
