"""Files written through mmengine that are whole or not there."""

from pathlib import Path

import pytest
from mmengine.fileio import get_file_backend, put, put_text

from mmssp.runtime.durable_backend import DurableLocalBackend
from mmssp.utils.command import explanation

DURABLE = dict(backend='durable')


def test_mmengine_knows_it_by_name(tmp_path):
    backend = get_file_backend(str(tmp_path / 'a'), backend_args=DURABLE)
    assert isinstance(backend, DurableLocalBackend)


def test_bytes_and_text_are_written(tmp_path):
    put(b'\x00\xff', str(tmp_path / 'new' / 'a'), backend_args=DURABLE)
    put_text('ä', str(tmp_path / 'b'), backend_args=DURABLE)
    assert (tmp_path / 'new' / 'a').read_bytes() == b'\x00\xff'
    assert (tmp_path / 'b').read_text(encoding='utf-8') == 'ä'
    assert {path.name for path in tmp_path.iterdir()} == {'new', 'b'}


@pytest.fixture
def full_disk(monkeypatch):
    """Every file's bytes go where there is never any room."""
    if not Path('/dev/full').exists():
        pytest.skip('needs /dev/full')
    write_bytes = Path.write_bytes
    monkeypatch.setattr(
        Path, 'write_bytes', lambda self, data: write_bytes(Path('/dev/full'), data)
    )


def test_full_disk_is_explained_and_leaves_the_old_file(full_disk, tmp_path):
    with open(tmp_path / 'a', 'wb') as old:
        old.write(b'old')
    with pytest.raises(
        OSError, match='No space left.*MB to write.*make room'
    ) as caught:
        put(b'new', str(tmp_path / 'a'), backend_args=DURABLE)
    assert str(tmp_path / 'a') in explanation(caught.value)
    assert (tmp_path / 'a').read_bytes() == b'old'
    assert [path.name for path in tmp_path.iterdir()] == ['a']


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path):
    (tmp_path / 'a').mkdir()
    with pytest.raises(IsADirectoryError):
        put(b'new', str(tmp_path / 'a'), backend_args=DURABLE)


def test_stopped_in_the_middle_the_old_file_is_whole(monkeypatch, tmp_path):
    (tmp_path / 'a').write_bytes(b'old')
    write_bytes = Path.write_bytes

    def stop(path: Path, data: bytes) -> None:
        write_bytes(path, data[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, 'write_bytes', stop)
    with pytest.raises(KeyboardInterrupt):
        put(b'new', str(tmp_path / 'a'), backend_args=DURABLE)
    assert (tmp_path / 'a').read_bytes() == b'old'
