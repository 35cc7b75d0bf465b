"""The runner's long lists are in the log file, and not on the console."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmssp.engine import QuietRunner


class Nothing(BaseModel):
    def forward(self, *_, **__):
        return {}


@pytest.fixture
def console(tmp_path, capfd, request):
    """What a runner writes while it is made, and after."""

    def made(kind: type[Runner]) -> tuple[str, str]:
        name = f'{request.node.name}_{kind.__name__}'
        cfg = Config(dict(settings={f'setting{i}': i for i in range(300)}))
        runner = kind(Nothing(), str(tmp_path / name), experiment_name=name, cfg=cfg)
        runner.logger.info('the first line that matters')
        (log,) = Path(tmp_path / name).rglob('*.log')
        return ''.join(capfd.readouterr()), log.read_text()

    return made


def test_lists_go_to_the_file_alone(console):
    shown, log = console(QuietRunner)
    assert len(shown.splitlines()) < 10
    assert 'the first line that matters' in shown
    for text in ('System environment', 'setting299', 'Hooks will be executed'):
        assert text in log
        assert text not in shown
    # where they are is said
    assert '.log' in shown


def test_the_usual_runner_shows_them(console):
    shown, _ = console(Runner)
    assert len(shown.splitlines()) > 300
