"""Modules with another name since 0.1: the old one gives them, and says the new one."""

import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    'apis.cli': 'apis.folder.cli',
    'apis.contact_sheet': 'apis.folder.contact_sheet',
    'apis.grabcut': 'apis.annotations.grabcut',
    'apis.inputs': 'apis.folder.inputs',
    'apis.labelme': 'apis.annotations.labelme',
    'apis.mask_values': 'apis.annotations.mask_values',
    'apis.output_folder': 'apis.folder.output_folder',
    'apis.shapes': 'apis.annotations.shapes',
    'apis.support_bank': 'apis.support.support_bank',
    'apis.support_check': 'apis.support.support_check',
    'apis.support_files': 'apis.support.support_files',
    'apis.writers': 'apis.folder.writers',
    'datasets.coco_cache': 'datasets.coco.coco_cache',
    'datasets.coco_json': 'datasets.coco.coco_json',
    'datasets.coco_masks': 'datasets.coco.coco_masks',
    'datasets.image_views': 'engine.loops.image_views',
    'datasets.samplers': 'datasets.infinite_sampler',
    'datasets.sampling': 'datasets.episodes',
    'engine.hooks.checkpoint_hook': 'runtime.checkpoint_hook',
    'engine.hooks.exact_resume_hook': 'runtime.exact_resume_hook',
    'engine.hooks.finite_loss_hook': 'runtime.finite_loss_hook',
    'evaluation.protocols': 'protocols',
    'utils.checkpoints': 'runtime.checkpoints',
    'utils.cli': 'utils.command',
    'utils.config': 'runtime.config',
    'utils.durable_backend': 'runtime.durable_backend',
    'utils.heartbeat': 'runtime.heartbeat',
    'utils.launch': 'runtime.launch',
    'utils.resume': 'runtime.resume',
    'utils.safe_globals': 'runtime.safe_globals',
    'visualization.compared_episodes': 'evaluation.compared_episodes',
}
"""Old name → new name, both below ``mmssp``."""


class MovedFinder(MetaPathFinder):
    """Asked last, so for modules alone that are not there."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """None for all other names."""
        new = MOVED.get(fullname.removeprefix('mmssp.'))
        if new is None or not fullname.startswith('mmssp.'):
            return None
        return ModuleSpec(fullname, _Moved(f'mmssp.{new}'))


class _Moved(Loader):
    """Gives the module of another name, which keeps what it says of itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        old, module.__spec__ = module.__spec__, self.spec
        warnings.warn(
            f'{old.name if old else "?"} is called {self.name} now',
            FutureWarning,
            stacklevel=2,
        )
