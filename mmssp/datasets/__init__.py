"""Episodes from any segmentation data set, and the data sets that mmseg lacks."""

from . import transforms
from .class_index import ClassIndex
from .coco20i import COCO20iDataset, CocoSegDataset
from .collate import episode_collate
from .episodes import Episode, EpisodeSampler
from .episodic_dataset import EpisodicDataset
from .folds import fold_classes, split_classes
from .infinite_sampler import InfiniteEpisodeSampler
from .shapes5i import Shapes5iDataset

__all__ = [
    'COCO20iDataset',
    'ClassIndex',
    'CocoSegDataset',
    'Episode',
    'EpisodeSampler',
    'EpisodicDataset',
    'InfiniteEpisodeSampler',
    'Shapes5iDataset',
    'episode_collate',
    'fold_classes',
    'split_classes',
    'transforms',
]
