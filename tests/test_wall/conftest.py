"""Says how many broken inputs were tried."""

import sys
from pathlib import Path

from sandbox import COUNTS

# its helpers
sys.path.append(str(Path(__file__).parents[1] / 'test_datasets'))


def pytest_terminal_summary(terminalreporter) -> None:
    if COUNTS:
        terminalreporter.write_line(
            f'broken inputs: {COUNTS.total()}, of which {COUNTS["refused"]} were refused '
            f'and {COUNTS["read"]} read right'
        )
