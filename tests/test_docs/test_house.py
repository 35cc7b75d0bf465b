"""Makefile, workflows, hooks and pages agree with one another."""

import re
import shlex

import pytest
import yaml
from guide import ROOT

WORKFLOWS = sorted((ROOT / '.github' / 'workflows').glob('*.yml'))
PAGES = ('README.md', 'CONTRIBUTING.md', '.github/pull_request_template.md')


def makefile_targets() -> set[str]:
    text = (ROOT / 'Makefile').read_text()
    return set(re.findall(r'^([a-z][\w-]*)\s*:(?!=)', text, re.MULTILINE))


def asked_for(command: str) -> set[str]:
    """Targets in ``make A B VARIABLE=value``."""
    words = shlex.split(command, comments=True)
    assert words[0] == 'make'
    return {word for word in words[1:] if '=' not in word}


def jobs_of(workflow: dict) -> list[tuple[dict, dict]]:
    """Each job with each of its steps."""
    return [(job, step) for job in workflow['jobs'].values() for step in job['steps']]


def workflow_targets(workflow: dict) -> set[str]:
    commands = (step.get('run', '') for _, step in jobs_of(workflow))
    lines = [line for command in commands for line in command.splitlines()]
    return set().union(*map(asked_for, lines))


@pytest.mark.parametrize('path', WORKFLOWS, ids=lambda path: path.name)
def test_workflow_calls_targets_that_there_are(path):
    targets = workflow_targets(yaml.safe_load(path.read_text()))
    assert targets
    assert targets - makefile_targets() == set()


@pytest.mark.parametrize('name', PAGES)
def test_page_names_targets_that_there_are(name):
    text = (ROOT / name).read_text()
    commands = re.findall(r'`(make [^`]+)`', text)
    commands += re.findall(r'^(?:\$ )?(make .+)$', text, re.MULTILINE)
    assert commands
    assert set().union(*map(asked_for, commands)) - makefile_targets() == set()


def test_workflows_run_every_check():
    called = [workflow_targets(yaml.safe_load(path.read_text())) for path in WORKFLOWS]
    # coverage runs all tests
    expected = {'lint', 'types', 'test', 'coverage', 'test-official', 'docs'}
    assert expected <= set().union(*called)


def test_workflows_test_every_python_that_is_supported():
    workflow = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())
    tested = workflow['jobs']['test']['strategy']['matrix']['python']
    assert tested == ['3.10', '3.11', '3.12', '3.13']
    oldest = re.search(r"python_requires='>=(.+?)'", (ROOT / 'setup.py').read_text())
    assert oldest[1] == tested[0]


def test_workflows_need_no_secret_and_may_only_read():
    for path in WORKFLOWS:
        assert 'secrets.' not in path.read_text()
        workflow = yaml.safe_load(path.read_text())
        assert workflow['permissions'] == {'contents': 'read'}
        assert all(job['timeout-minutes'] for job, _ in jobs_of(workflow))


def test_hooks_have_the_versions_of_the_tests():
    hooks = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())
    revisions = {repo['repo'].split('/')[-1]: repo['rev'] for repo in hooks['repos']}
    pinned = dict(
        line.partition(';')[0].split('==')
        for line in (ROOT / 'requirements/tests.txt').read_text().splitlines()
    )
    assert revisions['ruff-pre-commit'] == f'v{pinned["ruff"]}'
    assert revisions['codespell'] == f'v{pinned["codespell"]}'


def test_changelog_begins_with_what_is_new_and_names_this_version():
    from mmssp import __version__

    heads = re.findall(
        r'^## \[(.+?)\]', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE
    )
    assert heads[0] == 'Unreleased'
    assert __version__ in heads


@pytest.mark.parametrize(
    'page', [*PAGES, *sorted((ROOT / 'docs').glob('*.md'))], ids=str
)
def test_links_lead_somewhere_and_have_a_text(page):
    """On a code host as well, which fills in no titles."""
    text = re.sub(r'```.*?```|`[^`]*`', '', (ROOT / page).read_text(), flags=re.DOTALL)
    links = re.findall(r'\[([^\]]*)\]\(([^)\s]+)\)', text)
    assert [target for words, target in links if not words.strip()] == []
    local = [t.partition('#')[0] for _, t in links if '://' not in t]
    folder = (ROOT / page).parent
    missing = [t for t in local if t and not (folder / t).exists()]
    assert missing == []
