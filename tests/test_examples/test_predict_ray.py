"""examples/predict_ray.py on a local Ray with two actors."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('ray', reason='pip install -e ".[ray]"')
pytest.importorskip('efficientnet_lite_pytorch')

ROOT = Path(__file__).parents[2]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    environment = dict(
        os.environ,
        OMP_NUM_THREADS='1',
        # the actors run elsewhere than this process
        PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
        RAY_USAGE_STATS_ENABLED='0',
    )
    options = ['--support', 'labelled', '--input', 'photos', '--output']
    script, output, *rest = words
    return subprocess.run(
        [sys.executable, str(ROOT / script), *options, output, *rest],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """All but what names the settings, which the two commands call differently."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
        and 'records' not in path.parts
        and path.name != 'settings.json'
    }


@pytest.mark.slow
def test_two_actors_leave_the_files_of_the_command_line(tmp_path):
    rng = np.random.default_rng(0)
    for folder, names in (('labelled', 's'), ('photos', 'abcdef')):
        (tmp_path / folder).mkdir()
        for name in names:
            image = np.full((64, 96, 3), (60, 150, 70), np.uint8)
            y, x = rng.integers(0, 24, 2)
            image[y : y + 36, x : x + 50] = (210, 40, 40)
            Image.fromarray(image).save(tmp_path / folder / f'{name}.jpg')
            if name == 's':
                mask = (image[..., 0] > 100).astype(np.uint8)
                Image.fromarray(mask).save(tmp_path / folder / 's_mask.png')
    (tmp_path / 'photos' / 'd.jpg').write_bytes(b'broken')

    done = run(
        tmp_path, 'examples/predict_ray.py', 'ray', '--workers', '2', '--batch', '1'
    )
    assert '5 of 6 images segmented' in done.stdout, done.stderr
    assert done.returncode == 1 and 'd.jpg' in done.stderr
    assert run(tmp_path, 'tools/predict.py', 'one').returncode == 1
    expected = contents(tmp_path / 'one')
    assert len(expected) == 3 * 5 + 3
    assert contents(tmp_path / 'ray') == expected
