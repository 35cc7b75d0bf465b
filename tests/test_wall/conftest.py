"""Says how many broken inputs were tried."""

from sandbox import COUNTS


def pytest_terminal_summary(terminalreporter) -> None:
    if COUNTS:
        terminalreporter.write_line(
            f'broken inputs: {COUNTS.total()}, of which {COUNTS["refused"]} were refused '
            f'and {COUNTS["read"]} read right'
        )
