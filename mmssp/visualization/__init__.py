"""Pictures of episodes: support | query | truth | predictions."""

from .episode_panel import draw_episode_panel, episode_iou, stack_panels, write_png
from .style import PanelStyle

__all__ = [
    'PanelStyle',
    'draw_episode_panel',
    'episode_iou',
    'stack_panels',
    'write_png',
]
