"""Jobs that survive: launched, watched, saved, resumed, and nothing unsafe read."""

from .checkpoint_hook import DurableCheckpointHook
from .exact_resume_hook import ExactResumeHook
from .finite_loss_hook import FiniteLossHook

__all__ = ['DurableCheckpointHook', 'ExactResumeHook', 'FiniteLossHook']
