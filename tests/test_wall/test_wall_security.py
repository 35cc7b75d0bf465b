"""SECURITY.md names tests that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = sorted(
    set(re.findall(r'`(tests/\S+\.py)::(\w+)`', (ROOT / 'SECURITY.md').read_text()))
)


@pytest.mark.parametrize(('path', 'name'), NAMED)
def test_a_test_that_pins_a_statement_exists(path, name):
    tree = ast.parse((ROOT / path).read_text())
    assert name in {f.name for f in tree.body if isinstance(f, ast.FunctionDef)}


def test_every_statement_of_refusal_names_a_test():
    sections = (ROOT / 'SECURITY.md').read_text().split('\n## ')
    for section in sections[2:5]:
        points = re.split(r'\n- ', section)[1:]
        assert points
        assert all('::test_' in point for point in points)
