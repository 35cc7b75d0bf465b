"""Says how many broken inputs were tried, by this process or by its workers."""

from collections import Counter

from sandbox import COUNTS

SENT = 'broken inputs'


def pytest_sessionfinish(session) -> None:
    if hasattr(session.config, 'workeroutput'):
        session.config.workeroutput[SENT] = dict(COUNTS)


def pytest_testnodedown(node) -> None:
    COUNTS.update(Counter(getattr(node, 'workeroutput', {}).get(SENT, {})))


def pytest_terminal_summary(terminalreporter) -> None:
    if COUNTS:
        terminalreporter.write_line(
            f'broken inputs: {COUNTS.total()}, of which {COUNTS["refused"]} were refused '
            f'and {COUNTS["read"]} read right'
        )
