"""The modules of the demo page, for its tests."""

from pathlib import Path
from types import SimpleNamespace

import pytest

DEMO = Path(__file__).parents[2] / 'demo'


@pytest.fixture
def web(monkeypatch) -> SimpleNamespace:
    """The modules of the demo page; skips where Gradio is absent."""
    pytest.importorskip('gradio')
    monkeypatch.syspath_prepend(str(DEMO))
    from web_page import download, drawing, examples, handlers, page, session

    return SimpleNamespace(
        download=download,
        drawing=drawing,
        examples=examples,
        handlers=handlers,
        page=page,
        session=session,
    )
