"""How Sphinx builds these pages: `make docs`, without network."""

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import mmssp

ROOT = Path(__file__).resolve().parents[1]


def exported_names() -> dict[str, list[str]]:
    """Package → classes and functions that it hands on from its modules."""
    exported = {}
    for found in pkgutil.walk_packages(mmssp.__path__, 'mmssp.'):
        if found.ispkg:
            package = vars(import_module(found.name))
            exported[found.name] = sorted(
                name
                for name in package.get('__all__', package)
                if inspect.isclass(package[name]) or inspect.isfunction(package[name])
            )
    return exported


project = 'mmssp'
author = 'The mmssp authors'
copyright = 'the mmssp authors; Apache-2.0'
release = version = mmssp.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
]
exclude_patterns = ['_build']
templates_path = ['_templates']

myst_enable_extensions = ['attrs_block', 'attrs_inline', 'colon_fence', 'deflist']
myst_heading_anchors = 3

# One page for each module, found by itself; a package lists what it exports.
autosummary_generate = True
autosummary_context = dict(exported=exported_names())
autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented_params'
autodoc_typehints_format = 'short'
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = 'hide'

copybutton_prompt_text = r'\$ |>>> |\.\.\. '
copybutton_prompt_is_regexp = True

html_theme = 'furo'
html_title = f'mmssp {release}'
html_static_path = ['_static']
html_css_files = ['mmssp.css']
html_copy_source = False
html_show_sphinx = False
html_theme_options = dict(
    navigation_with_keys=True,
    light_css_variables={
        'color-api-name': '#0072b2',
        'color-api-pre-name': '#0072b2',
        'color-brand-primary': '#0072b2',
        'color-brand-content': '#0072b2',
        'color-brand-visited': '#0072b2',
    },
    dark_css_variables={
        'color-api-name': '#56b4e9',
        'color-api-pre-name': '#56b4e9',
        'color-brand-primary': '#56b4e9',
        'color-brand-content': '#56b4e9',
        'color-brand-visited': '#56b4e9',
    },
)


def setup(app: Sphinx) -> None:
    """Let Sphinx call what is below."""
    app.connect('missing-reference', resolve_short_name)


def resolve_short_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.Element | None:
    """Link what a docstring calls by its own name, or by the package that exports it.

    ``EpisodicDataset`` and ``mmssp.datasets.EpisodicDataset`` both are
    ``mmssp.datasets.episodic_dataset.EpisodicDataset``.
    """
    if node.get('refdomain') != 'py':
        return None
    package, _, name = node['reftarget'].rpartition('.')
    domain = env.get_domain('py')
    found = [
        full
        for full in domain.objects
        if full.endswith(f'.{name}')
        and (full.startswith(f'{package}.') or f'.{package}.' in full or not package)
    ]
    if len(found) != 1:
        return None
    return domain.resolve_xref(
        env, node['refdoc'], app.builder, node['reftype'], found[0], node, contnode
    )
