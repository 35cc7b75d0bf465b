"""Missing, old or mixed parts of the stack give a sentence with a command."""

import re
import subprocess
import sys

import pytest

from mmssp.utils.dependencies import find_problem

MAINTAINED = dict(torch='2.13.0', mmcv='2.3.6', mmengine='0.10.12', mmseg='1.4.2')
OFFICIAL = dict(torch='2.13.0', mmcv='2.1.0', mmengine='0.10.7', mmseg='1.2.2')


@pytest.mark.parametrize('versions', [MAINTAINED, OFFICIAL])
def test_both_stacks_are_accepted(versions):
    assert find_problem(versions) is None


@pytest.mark.parametrize(
    ('versions', 'found'),
    [
        (dict(MAINTAINED, mmseg=None), 'needs mmseg'),
        (dict(OFFICIAL, torch=None, mmcv=None), 'needs torch, mmcv'),
        (dict(MAINTAINED, mmengine='0.10.7'), r'mmengine 0\.10\.7 \(needs 0\.10\.12'),
        (dict(OFFICIAL, mmcv='2.0.1'), r'mmcv 2\.0\.1 \(needs 2\.1\.0'),
        (dict(OFFICIAL, mmseg='0.30.0'), r'mmseg 0\.30\.0'),
        (dict(MAINTAINED, mmseg='1.2.2'), r'maintained stack.*mmseg 1\.2\.2'),
    ],
)
def test_problems_are_named(versions, found):
    assert re.search(found, find_problem(versions))


@pytest.mark.parametrize('module', ['torch', 'mmcv', 'mmengine', 'mmseg'])
def test_import_without_a_part_names_the_command(module):
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == {module!r}:
            raise ModuleNotFoundError('No module named ' + repr(name), name=name)
sys.meta_path.insert(0, Missing())
try:
    import mmssp
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert f'{module}' in done.stdout
    assert 'pip install onedl-mmcv' in done.stdout
    assert 'Traceback' not in done.stderr
