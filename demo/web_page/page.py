"""The page: what is where, and which handler follows which click."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from mmssp.apis.export.formats import FORMATS

from .drawing import AREA, BRUSH_COLOUR, WAYS
from .handlers import BEGIN, Handlers, said

STYLE = Path(__file__).with_name('page.css')
IMAGES = ['image']
BRUSH = '#{:02x}{:02x}{:02x}'.format(*BRUSH_COLOUR)
SECONDS = 60
SCALE = '<span class="scale"></span> 0 – 1'
TRUSTED = '<i class="object"></i> object <i class="rest"></i> rest'
HINT = 'Paint over the object, draw around it, or draw a line from corner to corner.'


def theme() -> gr.themes.Base:
    """Fonts of the visitor's system: nothing is fetched from elsewhere."""
    return gr.themes.Default(
        primary_hue='blue',
        neutral_hue='slate',
        font=['system-ui', 'sans-serif'],
        font_mono=['ui-monospace', 'monospace'],
    )


def build_page(handlers: Handlers) -> gr.Blocks:
    """The page around handlers; launch it with :func:`theme` and ``STYLE``."""
    with gr.Blocks(
        title='mmssp: segment by example',
        analytics_enabled=False,
        # what visitors have left goes after an hour
        delete_cache=(600, 3600),
    ) as page:
        session = gr.State(time_to_live=6 * 3600)
        gr.HTML(
            '<h1>Segment by example</h1><p>Mark an object on one to a few images; it is '
            'found in the others, at once, and much better after a minute of learning. '
            'No image leaves this computer.</p>',
            elem_id='head',
        )
        with gr.Row(elem_id='examples', equal_height=True):
            gr.HTML('<p>Try an example:</p>')
            examples = [gr.Button(e.title, size='sm') for e in handlers.examples]
        parts: dict[str, Any] = dict(
            status=gr.HTML(
                '<p class="fine" role="status">Starting…</p>',
                elem_id='status',
            )
        )
        with gr.Row():
            with gr.Column(scale=5, min_width=380):
                parts |= support_side()
            with gr.Column(scale=7, min_width=460):
                parts |= query_side(handlers.inferencer.threshold)
        _wire(page, session, parts, examples, handlers)
    return page


def support_side() -> dict[str, Any]:
    """Where images are marked: components by name."""
    parts: dict[str, Any] = {}
    gr.HTML('<h2>1 · Mark the object</h2>', padding=False)
    with gr.Row():
        parts['support_file'] = gr.File(
            label='Support image', file_types=IMAGES, height=140, elem_id='support-file'
        )
        with gr.Column(min_width=200):
            parts['name'] = gr.Textbox(
                'object', label='Name of the object', max_lines=1, elem_id='name'
            )
    gr.HTML(f'<p class="caption">{HINT}</p>', padding=False)
    parts['editor'] = gr.ImageEditor(
        show_label=False,
        sources=(),
        transforms=(),
        layers=False,
        buttons=[],
        format='png',
        brush=gr.Brush(default_size=12, colors=[BRUSH], color_mode='fixed'),
        eraser=gr.Eraser(default_size=12),
        height=460,
        elem_id='editor',
    )
    parts['way'] = gr.Radio(WAYS, value=AREA, label='The object is', elem_id='way')
    with gr.Accordion('Or type a box, or upload a mask', open=False):
        parts['box'] = gr.Textbox(
            label='Box in pixels: x1, y1, x2, y2',
            placeholder='20, 30, 180, 200',
            max_lines=1,
            elem_id='box',
        )
        with gr.Row():
            parts['mask_file'] = gr.File(
                label='Mask, or LabelMe file',
                file_types=[*IMAGES, '.json'],
                height=140,
                elem_id='mask-file',
            )
            parts['class_value'] = gr.Number(
                None, label="The object's value in it, if it has several", precision=0
            )
    parts['tighten'] = gr.Checkbox(label='Fit boxes to the object (GrabCut)')
    parts['add'] = gr.Button('Add to the support', variant='primary', elem_id='add')
    gr.HTML('<p class="caption">Support</p>', padding=False)
    parts['shots'] = thumbnails('shots')
    with gr.Row(equal_height=True, elem_id='shot-tools'):
        parts['shot'] = gr.Dropdown(
            [], label='Chosen', show_label=False, container=False, elem_id='shot'
        )
        parts['remove'] = gr.Button('Remove it', elem_id='remove', min_width=100)
        parts['clear'] = gr.Button('Clear all', elem_id='clear', min_width=100)
    with gr.Row(equal_height=True, elem_id='learning'):
        parts['learn'] = gr.Button(
            'Learn from the support', variant='primary', elem_id='learn'
        )
        parts['seconds'] = gr.Slider(
            5, 120, value=SECONDS, step=5, label='Seconds', elem_id='seconds'
        )
    return parts


def query_side(threshold: float) -> dict[str, Any]:
    """Where images are segmented and results are seen: components by name."""
    parts: dict[str, Any] = {}
    gr.HTML('<h2>2 · Find it in other images</h2>', padding=False)
    with gr.Row():
        parts['queries'] = gr.File(
            label='Query images',
            file_count='multiple',
            file_types=IMAGES,
            height=140,
            elem_id='queries',
        )
        with gr.Column(min_width=200):
            parts['segment'] = gr.Button(
                'Segment', variant='primary', elem_id='segment'
            )
            parts['threshold'] = gr.Slider(
                0,
                1,
                value=threshold,
                step=0.01,
                label='Threshold',
                elem_id='threshold',
            )
    gr.HTML('<p class="caption">Results: click one to see more</p>', padding=False)
    parts['gallery'] = thumbnails('gallery')
    parts['scores'] = gr.HTML('', elem_id='scores')
    parts['correct'] = gr.Button(
        'Correct it, to learn from it', elem_id='correct', size='sm'
    )
    parts['class_name'] = gr.Radio(
        [], label='Class', visible=False, elem_id='class-name'
    )
    with gr.Row():
        parts['overlay'] = picture('overlay', 'Mask', 300)
        parts['heat'] = picture('heat', f'Confidence {SCALE}', 300)
    gr.HTML('<h3>How it got there</h3>', padding=False)
    with gr.Row():
        parts['first'] = picture('first', 'First guess', 230)
        parts['trusted'] = picture('trusted', f'Trusted: {TRUSTED}', 230)
        parts['final'] = picture('final', 'With self-support', 230)
    parts['formats'] = gr.CheckboxGroup(
        list(FORMATS), label='For other tools', elem_id='formats'
    )
    parts['download'] = gr.Button('Make a zip of all results', elem_id='download')
    parts['zip'] = gr.File(
        label='Masks, overlays, COCO annotations, scores, formats',
        interactive=False,
        height=100,
        elem_id='zip',
    )
    return parts


def thumbnails(name: str) -> gr.Gallery:
    """A row of small pictures with captions."""
    return gr.Gallery(
        show_label=False,
        columns=4,
        height=200,
        object_fit='contain',
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id=name,
        elem_classes='thumbnails',
    )


def picture(name: str, caption: str, height: int) -> gr.Image:
    """A picture under its caption, which may be HTML."""
    with gr.Column(min_width=150):
        gr.HTML(f'<p class="caption">{caption}</p>', padding=False)
        return gr.Image(
            show_label=False,
            interactive=False,
            buttons=['fullscreen'],
            height=height,
            elem_id=name,
        )


def _wire(
    page: gr.Blocks,
    session: gr.State,
    parts: dict[str, Any],
    examples: list[gr.Button],
    handlers: Handlers,
) -> None:
    """Connect the page's events with the handlers."""
    shown = [part for part in parts.values() if not isinstance(part, gr.Button)]

    def on(event: Callable, handler: Callable, *inputs: str, **options: Any) -> None:
        """Call a handler with the session and the values of some components."""

        def run(*values: Any) -> dict:
            return {parts[name]: value for name, value in handler(*values).items()}

        event(
            run,
            [session, *(parts[name] for name in inputs)],
            shown,
            api_visibility='private',
            **{'show_progress': 'hidden', **options},
        )

    def busy(*names: str) -> dict:
        return dict(
            show_progress='minimal', show_progress_on=[parts[name] for name in names]
        )

    # no handler has a session before this is done, so it is what says that one may begin
    page.load(
        lambda: (handlers.start(), said(BEGIN)['status']),
        None,
        [session, parts['status']],
        api_visibility='private',
    )
    view = 'threshold', 'class_name'
    on(parts['support_file'].upload, handlers.choose_image, 'support_file')
    on(parts['support_file'].clear, handlers.choose_image, 'support_file')
    marks = 'name', 'editor', 'way', 'tighten', 'box', 'mask_file', 'class_value'
    on(parts['add'].click, handlers.add_shot, *marks, **busy('shots'))
    on(parts['remove'].click, handlers.remove_shot, 'shot')
    on(parts['clear'].click, handlers.clear)
    on(
        parts['segment'].click,
        handlers.segment,
        'queries',
        'threshold',
        **busy('gallery'),
    )
    on(parts['correct'].click, handlers.correct, *view)

    def learn(
        state: Any, seconds: float, *values: Any, progress: Any = gr.Progress()
    ) -> dict:
        found = handlers.learn(state, seconds, *values, progress)
        return {parts[name]: value for name, value in found.items()}

    parts['learn'].click(
        learn,
        [session, parts['seconds'], *(parts[name] for name in view)],
        shown,
        api_visibility='private',
        **busy('gallery'),
    )
    on(
        parts['download'].click,
        handlers.download,
        'threshold',
        'formats',
        **busy('zip'),
    )
    on(
        parts['threshold'].change,
        lambda *values: handlers.show(*values, True),
        *view,
        trigger_mode='always_last',
    )
    on(parts['class_name'].input, lambda *values: handlers.show(*values, False), *view)
    for number, button in enumerate(examples):
        on(
            button.click,
            lambda state, *values, number=number: handlers.load_example(
                state, number, *values
            ),
            'threshold',
            **busy('shots', 'gallery'),
        )

    def selected(state: Any, threshold: float, name: str, event: gr.SelectData) -> dict:
        updates = handlers.select(state, event.index, threshold, name)
        return {parts[key]: value for key, value in updates.items()}

    parts['gallery'].select(
        selected,
        [session, *(parts[name] for name in view)],
        shown,
        api_visibility='private',
        show_progress='hidden',
    )
