"""Models by a name of the hub: from its cache, or where to put them, in a sentence."""

import json
import shutil

import pytest
from mmseg.registry import MODELS

hub = pytest.importorskip('huggingface_hub')
pytest.importorskip('transformers')

from hf_models import save_as_published, tiny  # noqa: E402  needs transformers

from mmssp.models.backbones import hf_weights  # noqa: E402
from mmssp.models.backbones.hub_files import model_folder, read_config  # noqa: E402

NAME, COMMIT = 'facebook/dinov2-small', 'ed25f3a31f01632728cabb09d1542f84ab7b0056'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and no network."""
    monkeypatch.setattr(hub.constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
    return tmp_path / 'hub'


@pytest.fixture
def cached(cache, tmp_path):
    """A tiny model where the hub's client keeps NAME at COMMIT."""
    folder = cache / 'models--facebook--dinov2-small'
    snapshot = folder / 'snapshots' / COMMIT
    snapshot.parent.mkdir(parents=True)
    save_as_published('dinov2', snapshot)
    (folder / 'refs').mkdir()
    (folder / 'refs' / 'main').write_text(COMMIT)
    return snapshot


@pytest.mark.parametrize('revision', [None, 'main', COMMIT])
def test_a_name_is_found_in_the_cache(revision, cached):
    assert model_folder(NAME, revision) == cached
    assert read_config(NAME, revision)['model_type'] == 'dinov2'


def test_weights_of_a_name_are_loaded_and_the_log_says_how_to_pin_them(
    cached, monkeypatch
):
    said = []
    monkeypatch.setattr(hf_weights, 'print_log', lambda text, _: said.append(text))
    for revision in (None, COMMIT):
        MODELS.build(tiny('dinov2', weights=NAME, revision=revision)).init_weights()
    assert ['pin them' in text for text in said] == [True, False]
    assert f"revision='{COMMIT}'" in said[0]


@pytest.mark.parametrize('name', [NAME, 'facebook/dinov3-vits16-pretrain-lvd1689m'])
def test_offline_the_sentence_says_where_to_put_which_files(name):
    with pytest.raises(FileNotFoundError) as caught:
        MODELS.build(tiny('dinov2', weights=name, revision='abc')).init_weights()
    text = str(caught.value)
    for part in (
        f'https://huggingface.co/{name}',
        f'hf download {name} --revision abc',
        'config.json and model.safetensors',
        'model.backbone.weights=FOLDER',
        f'$HF_HOME/hub/models--{name.replace("/", "--")}',
    ):
        assert part in text
    # a licence to be accepted is DINOv3's alone
    assert ('DINOv3 License' in text) == ('dinov3' in name)


def test_another_revision_than_the_cached_one_is_not_taken(cached):
    with pytest.raises(FileNotFoundError, match='cannot be fetched'):
        model_folder(NAME, '0' * 40)


def test_a_cache_of_the_config_alone_is_enough_to_build_and_not_to_load(cached):
    (cached / 'model.safetensors').unlink()
    model = MODELS.build(dict(type='HFBackbone', weights=NAME))
    assert model.out_channels == (16,)
    with pytest.raises(FileNotFoundError, match=r'holds no model\.safetensors; down'):
        model.init_weights()


def test_no_such_folder_is_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match='found no such folder'):
        model_folder(str(tmp_path / 'nothing'), None)


def test_a_folder_of_something_else_is_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no config.json'):
        model_folder(tmp_path, None)
    path = tmp_path / 'config.json'
    path.write_text('{')
    with pytest.raises(ValueError, match='is no JSON'):
        read_config(str(tmp_path), None)
    path.write_text(json.dumps(dict(model='dinov2')))
    with pytest.raises(ValueError, match='names no model_type'):
        read_config(str(tmp_path), None)


def test_a_folder_wins_over_the_hubs_name(cached, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(cached, tmp_path / NAME)
    assert model_folder(NAME, 'main').resolve() == (tmp_path / NAME).resolve()
