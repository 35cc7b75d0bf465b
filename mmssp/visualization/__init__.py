"""Pictures of episodes: support | query | truth | predictions."""

from .episode_panel import draw_episode_panel, episode_iou, stack_panels, write_png
from .overlay import to_rgb
from .style import PanelStyle

__all__ = [
    'PanelStyle',
    'draw_episode_panel',
    'episode_iou',
    'stack_panels',
    'to_rgb',
    'write_png',
]
