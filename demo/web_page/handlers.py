"""What happens at each click: from the page's values to what the page then shows.

Every handler takes the visitor's session first and returns new values by the names of the
page's components; those it leaves out stay as they are.
"""

import html
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from mmssp.apis import FewShotInferencer
from mmssp.apis.adapting import Adapted

from . import drawing
from .download import write_zip
from .examples import Example
from .pictures import draw_heat, draw_shot, draw_trusted, shrunk
from .session import Limits, Session, named

Updates = dict[str, Any]
CANVAS, PICTURE, THUMBNAIL = 720, 640, 320
"""Longest sides of what is shown, in pixels."""
BEGIN = 'Choose a support image, or an example.'
"""The status of a page that has a session."""


def explained(handler: Callable[..., Updates]) -> Callable[..., Updates]:
    """Let a handler end with a sentence on the page, whatever happens in it."""

    @wraps(handler)
    def run(self: 'Handlers', session: Session | None, *values: Any) -> Updates:
        if session is None:
            return said(
                'The page is not ready yet, or too old: reload it if this stays.',
                wrong=True,
            )
        try:
            with session.lock:
                return handler(self, session, *values)
        except (ValueError, OSError) as error:
            return said(str(error), wrong=True)
        except Exception:
            # the visitor cannot mend it; whoever started the page sees where it was
            traceback.print_exc()
            return said(
                'Something went wrong inside; the terminal of the page tells more.',
                wrong=True,
            )

    return run


def said(text: str, wrong: bool = False) -> Updates:
    """The status line; what is wrong pops up as well."""
    if wrong:
        gr.Warning(html.escape(text), title='Not done')
    kind = 'wrong' if wrong else 'fine'
    return dict(status=f'<p class="{kind}" role="status">{html.escape(text)}</p>')


class Handlers:
    """The page's handlers around one model.

    Args:
        inferencer: Forked for each visitor.
        examples: To load at a click.
        folder: For what visitors download; each gets a folder in it.
        limits: For each visitor.
    """

    def __init__(
        self,
        inferencer: FewShotInferencer,
        examples: Sequence[Example],
        folder: Path,
        limits: Limits = Limits(),
    ) -> None:
        self.inferencer = inferencer
        self.examples = examples
        self.folder = folder
        self.limits = limits
        self._model_lock = threading.Lock()

    def start(self) -> Session:
        """A session for a visitor who has just opened the page."""
        return Session(self.inferencer.fork(), self._model_lock, self.limits)

    @explained
    def choose_image(self, session: Session, path: str | None) -> Updates:
        """Put an uploaded support image on the canvas."""
        if path is None:
            session.image = None
            return dict(editor=None)
        image = session.choose_image(path)
        height, width = image.shape[:2]
        return dict(
            editor=canvas(shrunk(image, CANVAS)),
            **said(f'{width} × {height} pixels. Mark the object, then add it.'),
        )

    @explained
    def add_shot(
        self,
        session: Session,
        name: str | None,
        editor: Mapping | None,
        way: str,
        tighten: bool,
        box: str | None,
        mask_file: str | None,
        class_value: float | None,
    ) -> Updates:
        """Add the image on the canvas with what marks its object."""
        image = session.image
        if image is None:
            raise ValueError('Choose a support image first.')
        if mask_file:
            with named(mask_file):
                mask = drawing.uploaded(mask_file, image, class_value)
        elif box and box.strip():
            mask = drawing.boxed(drawing.typed_box(box), image, tighten)
        else:
            region = drawing.painted(editor, image.shape[:2])
            mask = drawing.marked(region, way, image, tighten)
        shot = session.add_shot(name or '', image, mask)
        share = (mask == 1).mean()
        words = [f'Added: {shot.name}, {share:.1%} of its image.']
        words += session.disagreements()
        return dict(
            support_file=None,
            editor=None,
            box='',
            mask_file=None,
            **self._support(session),
            **said(' '.join(words)),
        )

    @explained
    def remove_shot(self, session: Session, index: int | None) -> Updates:
        """Forget the shot that is chosen in the list."""
        shot = session.remove_shot(-1 if index is None else index)
        return dict(self._support(session), **said(f'Removed: {shot.name}.'))

    @explained
    def clear(self, session: Session) -> Updates:
        """Forget all shots, queries and results."""
        session.clear()
        return dict(
            support_file=None,
            editor=None,
            queries=None,
            zip=None,
            **self._support(session),
            **self._results(session, self.inferencer.threshold, None),
            **said('All is cleared.'),
        )

    @explained
    def load_example(self, session: Session, number: int, threshold: float) -> Updates:
        """Take the shots and queries of an example, and segment them."""
        example = self.examples[number]
        session.clear()
        for name, image, mask in example.shots:
            session.add_shot(name, image, mask)
        session.segment(example.queries)
        if example.seconds:
            session.learn(example.seconds, lambda share, what: None)
        return dict(
            support_file=None,
            editor=None,
            name=example.shots[0][0],
            queries=list(example.queries),
            zip=None,
            **self._support(session),
            **self._results(session, threshold, None),
            **said(f'Example: {example.title}. {_count(session)}'),
        )

    @explained
    def segment(
        self, session: Session, paths: Sequence[str] | None, threshold: float
    ) -> Updates:
        """Segment the query images."""
        problems = session.segment(paths or ())
        words = [*problems, _count(session), _label_next(session)]
        return dict(
            zip=None,
            **self._results(session, threshold, None),
            **said(' '.join(words).strip(), wrong=bool(problems)),
        )

    @explained
    def learn(
        self,
        session: Session,
        seconds: float,
        threshold: float,
        name: str | None,
        progress: Callable[..., Any],
    ) -> Updates:
        """Learn from the support, then segment the queries again."""
        learned = session.learn(seconds, lambda share, what: progress(share, desc=what))
        words = [_told(own, found) for own, found in learned.items()]
        words.append(_label_next(session))
        return dict(
            zip=None,
            **self._results(session, threshold, name),
            **said(' '.join(words).strip()),
        )

    @explained
    def correct(self, session: Session, threshold: float, name: str | None) -> Updates:
        """Put the selected query on the canvas, painted with the mask that was found."""
        result = session.correct().with_threshold(threshold)
        if name not in result.names:
            name = result.names[0]
        region = result.mask == result.names.index(name) + 1
        return dict(
            support_file=None,
            name=name,
            way=drawing.AREA,
            editor=canvas(shrunk(result.image, CANVAS), region),
            **said(
                'Paint what is missing, erase what is wrong, then add it to the support '
                'and learn again.'
            ),
        )

    @explained
    def show(
        self, session: Session, threshold: float, name: str | None, all_queries: bool
    ) -> Updates:
        """Show the selected query again, with another threshold or class.

        ``all_queries`` tells whether the others' thumbnails change as well.
        """
        updates = self._results(session, threshold, name)
        # the zip holds the masks of the threshold it was made with
        return dict(updates, zip=None) if all_queries else _detail_of(updates)

    @explained
    def select(
        self, session: Session, index: int, threshold: float, name: str | None
    ) -> Updates:
        """Show another query."""
        session.selected = index
        return _detail_of(self._results(session, threshold, name))

    @explained
    def download(
        self, session: Session, threshold: float, formats: Sequence[str] | None = None
    ) -> Updates:
        """Make the zip of all results, with what is chosen of other tools' formats."""
        results = [result.with_threshold(threshold) for result in session.results]
        path = self.folder / session.token / 'mmssp-results.zip'
        write_zip(path, session.query_names, results, formats or ())
        return dict(
            zip=str(path), **said(f'Ready: {path.name}, {len(results)} images.')
        )

    def _support(self, session: Session) -> Updates:
        labels = [f'{i}. {shot.name}' for i, shot in enumerate(session.shots, start=1)]
        pictures = [draw_shot(s.image, s.mask, THUMBNAIL) for s in session.shots]
        choices = [(label, i) for i, label in enumerate(labels)]
        return dict(
            shots=list(zip(pictures, labels, strict=True)),
            shot=gr.update(choices=choices, value=choices[-1][1] if choices else None),
        )

    def _results(self, session: Session, threshold: float, name: str | None) -> Updates:
        if not session.results:
            empty = dict.fromkeys(('overlay', 'heat', 'first', 'trusted', 'final'))
            names = gr.update(choices=[], value=None, visible=False)
            return dict(gallery=None, scores='', class_name=names, **empty)
        results = [result.with_threshold(threshold) for result in session.results]
        session.selected = min(max(session.selected, 0), len(results) - 1)
        result = results[session.selected]
        if name not in result.names:
            name = result.names[0]
        explanation = session.explain(session.selected, name)
        probability = result.probability(name)
        image = result.image
        return dict(
            gallery=gr.update(
                value=[
                    (shrunk(other.draw(), THUMBNAIL), _caption(query, other))
                    for query, other in zip(session.query_names, results, strict=True)
                ],
                selected_index=session.selected,
            ),
            scores=score_table(session.query_names[session.selected], result),
            class_name=gr.update(
                choices=list(result.names), value=name, visible=len(result.names) > 1
            ),
            overlay=shrunk(result.draw(), PICTURE),
            heat=draw_heat(image, probability, threshold, PICTURE),
            first=draw_heat(image, explanation.first_guess, threshold, PICTURE),
            trusted=draw_trusted(image, explanation, PICTURE),
            final=draw_heat(image, explanation.final, threshold, PICTURE),
        )


def canvas(image: np.ndarray, region: np.ndarray | None = None) -> dict:
    """An image (H,W,3) as the value of Gradio's ImageEditor.

    Args:
        image: The background.
        region: (H',W') bool, what is painted already; None for nothing.
    """
    if region is None or not region.any():
        return dict(background=image, layers=[], composite=image)
    layer = drawing.brushed(region, image.shape[:2])
    shown = image.copy()
    shown[layer[..., 3] > 0] = layer[layer[..., 3] > 0][:, :3]
    return dict(background=image, layers=[layer], composite=shown)


def _told(name: str, learned: Adapted) -> str:
    """What was learned of a class, as a sentence."""
    return f'{name}: {learned.told(f"learned for {learned.seconds:.0f} s")}.'


def score_table(query: str, result) -> str:
    """Presence and areas of one image's classes, as HTML.

    Args:
        query: The image's name.
        result: Of it.
    """
    rows = []
    for name in result.names:
        there = result.present[name]
        share = result.areas[name] / result.mask.size
        rows.append(
            f'<tr><td>{html.escape(name)}</td>'
            f'<td class="score">{result.scores[name]:.2f}</td>'
            f'<td class="{"there" if there else "absent"}">'
            f'{"present" if there else "not here"}</td>'
            f'<td>{result.areas[name]} ({share:.1%})</td></tr>'
        )
    return (
        f'<table class="scores"><caption>{html.escape(query)}</caption><thead><tr>'
        '<th>class</th><th>presence score</th><th></th><th>pixels</th></tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table>'
    )


def _caption(query: str, result) -> str:
    found = [f'{name} {result.scores[name]:.2f}' for name in result.names]
    return f'{", ".join(found)} · {query}'


def _count(session: Session) -> str:
    """How many queries are segmented, and in how many something was found."""
    found = sum(any(result.present.values()) for result in session.results)
    total = len(session.results)
    return f'Segmented {total} image{"s" * (total != 1)}, something found in {found}.'


def _label_next(session: Session) -> str:
    """Which of several queries would help most as a support image, as a sentence."""
    if len(session.results) < 2:
        return ''
    doubts = [result.doubt for result in session.results]
    name = session.query_names[doubts.index(max(doubts))]
    return f'Most in doubt, so correct it first: {name}.'


def _detail_of(updates: Updates) -> Updates:
    """Without the gallery, whose thumbnails have not changed."""
    return {name: value for name, value in updates.items() if name != 'gallery'}
