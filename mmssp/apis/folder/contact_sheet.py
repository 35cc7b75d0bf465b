"""A page to look through the results of a folder: plain HTML, nothing to load."""

import os
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from ...datasets.coco.coco_masks import label_palette
from .doubts import label_next
from .inputs import OUTPUT_SUFFIXES, InputItem
from .writers import whole_file

STYLE = """
:root { color-scheme: light dark; --line: #8884; --muted: #666; }
@media (prefers-color-scheme: dark) { :root { --muted: #a0a0a0; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem 1.5rem 3rem;
  max-width: 1500px; }
h1 { font-size: 1.3rem; margin: .5rem 0 .2rem; }
p { margin: .3rem 0 .8rem; }
.muted { color: var(--muted); }
.failed { border: 1px solid #d55e00; border-radius: 6px; padding: .6rem 1rem;
  margin: 1rem 0; overflow-wrap: anywhere; }
.failed h2 { font-size: 1rem; margin: 0 0 .3rem; color: #d55e00; }
.failed ul { margin: 0; padding-left: 1.2rem; }
.sheet { display: grid; gap: 1rem; padding: 0; margin: 1rem 0; list-style: none;
  grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); }
.sheet li { border: 1px solid var(--line); border-radius: 6px; overflow: hidden;
  display: flex; flex-direction: column; }
.picture { display: block; height: 190px; background: #8882; }
.picture img { width: 100%; height: 100%; object-fit: contain; display: block; }
.text { padding: .5rem .7rem .6rem; overflow-wrap: anywhere; }
.text a { color: inherit; }
table { border-collapse: collapse; font-size: .87rem; margin-top: .2rem; width: 100%; }
td { padding: 0; vertical-align: baseline; }
td + td { text-align: right; white-space: nowrap; padding-left: .6rem; }
.absent { color: var(--muted); }
.swatch { display: inline-block; width: .75em; height: .75em; margin-right: .4em;
  border-radius: 2px; }
"""


def write_contact_sheet(
    path: Path,
    found: Sequence[tuple[InputItem, dict[str, Any]]],
    failures: dict[str, str],
) -> None:
    """Write the page.

    Args:
        path: The HTML file; pictures are linked relative to its folder.
        found: The images with their records, in the order of the page.
        failures: {name: why} of the images without result.

    Raises:
        OSError: It cannot be written.
    """
    with (
        whole_file(path) as temporary,
        open(temporary, 'w', encoding='utf-8', errors='replace') as file,
    ):
        file.write(contact_sheet(found, failures))


def contact_sheet(
    found: Sequence[tuple[InputItem, dict[str, Any]]], failures: dict[str, str]
) -> str:
    """The page as text; every name in it is escaped."""
    total = len(found) + len(failures)
    present = Counter(
        own['name']
        for _, record in found
        for own in record['classes']
        if own['present']
    )
    names = [own['name'] for own in found[0][1]['classes']] if found else []
    colours = [
        f'#{r:02x}{g:02x}{b:02x}' for r, g, b in label_palette(len(names) + 1)[1:]
    ]
    counts = ' · '.join(
        f'{_swatch(colour)}{escape(name)} in {present[name]}'
        for name, colour in zip(names, colours, strict=True)
    )
    cards = '\n'.join(_card(item, record, colours) for item, record in found)
    title = f'{len(found)} of {total} image{"" if total == 1 else "s"} segmented'
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
        f'<h1>{title}</h1>\n<p>{counts}</p>\n'
        '<p class="muted">A class and the share of the image it covers; its presence '
        'score, from 0 to 1, in brackets. Grey: not found in the image. '
        '<a href="areas.csv">areas.csv</a> · '
        '<a href="annotations.json">annotations.json</a></p>\n'
        f'{_next(found)}{_failed(failures)}'
        f'<ul class="sheet">\n{cards}\n</ul>\n</body>\n</html>\n'
    )


def _next(found: Sequence[tuple[InputItem, dict[str, Any]]]) -> str:
    items = {record['file']: item for item, record in found}
    links = ', '.join(
        f'<a href="{_link("overlays", items[name])}">{escape(name)}</a>'
        for name in label_next(record for _, record in found)
    )
    return (
        f'<p>For better masks label next what is most in doubt: {links}</p>\n'
        if links
        else ''
    )


def _link(kind: str, item: InputItem) -> str:
    name = f'{kind}/{item.stem}{OUTPUT_SUFFIXES[kind]}'
    return quote_from_bytes(os.fsencode(name))


def _failed(failures: dict[str, str]) -> str:
    if not failures:
        return ''
    lines = '\n'.join(
        f'<li><b>{escape(name)}</b>: {escape(why)}</li>'
        for name, why in failures.items()
    )
    return (
        f'<section class="failed">\n<h2>{len(failures)} without result</h2>\n'
        f'<ul>\n{lines}\n</ul>\n</section>\n'
    )


def _card(item: InputItem, record: dict[str, Any], colours: Sequence[str]) -> str:
    pixels = record['height'] * record['width']
    name = escape(record['file'])
    links = {kind: _link(kind, item) for kind in ('overlays', 'masks', 'thumbs')}
    rows = '\n'.join(
        f'<tr{"" if own["present"] else " class=absent"}>'
        f'<td>{_swatch(colour) if own["present"] else ""}{escape(own["name"])}</td>'
        f'<td>{100 * own["area"] / pixels:.1f} % ({own["score"]:.2f})</td></tr>'
        for own, colour in zip(record['classes'], colours, strict=True)
    )
    return (
        f'<li><a class="picture" href="{links["overlays"]}">'
        f'<img src="{links["thumbs"]}" alt="{name}" loading="lazy"></a>\n'
        f'<div class="text">{name} <a class="muted" href="{links["masks"]}">mask</a>\n'
        f'<table>\n{rows}\n</table></div></li>'
    )


def _swatch(colour: str) -> str:
    return f'<span class="swatch" style="background:{colour}"></span>'
