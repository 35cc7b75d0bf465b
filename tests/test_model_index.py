"""The model index names every config once, with scores that the README publishes."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
METAFILES = [
    yaml.safe_load((ROOT / path).read_text(encoding='utf-8'))
    for path in INDEX['Import']
]
MODELS = [model for metafile in METAFILES for model in metafile['Models']]
COLLECTIONS = {c['Name'] for m in METAFILES for c in m.get('Collections', ())}
CONFIGS = {f'configs/{path.name}' for path in (ROOT / 'configs').glob('*.py')}
# of the README's table, by the name of its row
PUBLISHED = {
    'baseline_r50_pascal5i_1shot': 'R50 1-shot baseline',
    'ssp_r50_pascal5i_1shot': 'R50 1-shot SSP, refined',
    'ssp_r50_pascal5i_5shot': 'R50 5-shot SSP, refined',
    'ssp_r101_pascal5i_1shot': 'R101 1-shot SSP, refined',
    'ssp_r101_pascal5i_5shot': 'R101 5-shot SSP, refined',
}


def test_every_metafile_is_imported():
    found = {str(p.relative_to(ROOT)) for p in (ROOT / 'configs').rglob('metafile.yml')}
    assert set(INDEX['Import']) == found


def test_names_are_unique():
    names = [model['Name'] for model in MODELS]
    assert len(names) == len(set(names))


def test_every_config_is_listed_and_exists():
    assert {model['Config'] for model in MODELS} == CONFIGS


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_what_mim_reads_is_there(model):
    # mim search lowers what it is asked for, so names have to be in lower case
    assert model['Name'] == Path(model['Config']).stem == model['Name'].lower()
    assert model['In Collection'] in COLLECTIONS
    for result in model.get('Results', ()):
        assert isinstance(result['Task'], str)
        assert result['Dataset'] == model['Metadata']['Training Data']
        assert all(0 < score < 100 for score in result['Metrics'].values())


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_scores_say_whose_they_are(model):
    source = model['Metadata']['Results From']
    assert 'Weights' not in model
    if model['Name'] in PUBLISHED:
        assert source.startswith('published') and source.endswith('not measured here')
    elif 'Results' in model:
        assert re.match(r'measured by this project, "make demo"', source)
    else:
        assert source == 'none yet'


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_scores_are_those_of_the_readme(name):
    (model,) = (model for model in MODELS if model['Name'] == name)
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    (row,) = re.findall(rf'^\| {PUBLISHED[name]} \|(.+)\|$', readme, re.MULTILINE)
    assert list(model['Results'][0]['Metrics'].values()) == [
        float(score) for score in row.split('|')
    ]


def test_our_score_is_that_of_the_readme():
    (model,) = (m for m in MODELS if 'shapes5i' in m['Name'])
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    (score,) = re.findall(r'^\| SSP, refined .+\| ([\d.]+) ± ', readme, re.MULTILINE)
    assert model['Results'][0]['Metrics'] == {'mIoU fold 0': float(score)}


def test_modelindex_reads_it_without_complaint():
    load = pytest.importorskip('modelindex.load_model_index').load
    index = load(str(ROOT / 'model-index.yml'))
    assert not index.check_errors
    assert {model.name for model in index.models} == {m['Name'] for m in MODELS}
