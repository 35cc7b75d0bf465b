"""Backbones of Hugging Face transformers: sizes, training, weights of folders."""

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from processes import free_port
from torch.nn.functional import interpolate, pad

transformers = pytest.importorskip('transformers')

from hf_models import (  # noqa: E402  needs transformers
    TINY,
    lively,
    save_as_published,
    segmentor,
    segmentor_config,
    tiny,
)

from mmssp.apis import FewShotInferencer  # noqa: E402
from mmssp.models import HFBackbone  # noqa: E402

KINDS = sorted(TINY)
VITS = ['beit', 'dinov2', 'dinov2_with_registers', 'dinov3_vit']
DIVISOR = dict(
    **dict.fromkeys(['beit', 'dinov3_vit', 'swin', 'swinv2'], 16),
    **dict.fromkeys(['dinov2', 'dinov2_with_registers'], 14),
    **dict.fromkeys(
        [
            *('convnext', 'convnextv2', 'dinov3_convnext', 'hiera', 'pvt_v2'),
            'sam2_vision_model',
        ],
        32,
    ),
)
# of the last map
STRIDE = dict(DIVISOR, sam2_vision_model=16)


def build(kind: str, **changed) -> HFBackbone:
    torch.manual_seed(0)
    return lively(MODELS.build(tiny(kind, **changed)))


def episode(size=(70, 97), support_size=(64, 83)) -> dict:
    rng = torch.Generator().manual_seed(sum(size))

    def image(shape) -> torch.Tensor:
        coarse = torch.rand(1, 3, 4, 5, generator=rng)
        noise = torch.rand(1, 3, *shape, generator=rng)
        return (200 * interpolate(coarse, shape) + 20 * noise)[0].byte()

    def mask(shape) -> torch.Tensor:
        values = torch.zeros(shape, dtype=torch.uint8)
        values[shape[0] // 4 :, : shape[1] // 2] = 1
        values[:3] = 255
        return values

    sample = SegDataSample(metainfo=dict(ori_shape=size))
    sample.gt_sem_seg = PixelData(data=mask(size)[None])
    return dict(
        inputs=dict(
            query=[image(size)],
            support=[[image(support_size)]],
            support_mask=[[mask(support_size)]],
        ),
        data_samples=[sample],
    )


def step(model: torch.nn.Module) -> set[str]:
    """A step of training; names of the parameters that changed."""
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    losses = model.train()(**model.data_preprocessor(episode()), mode='loss')
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in trained)
    optimizer.step()
    model.eval()
    return {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}


# --- maps


@pytest.mark.parametrize('kind', KINDS)
def test_maps_are_of_the_strides_and_channels_it_says(kind):
    backbone = build(kind, out_indices=(0, -1))
    divisor = backbone.size_divisor
    assert divisor == DIVISOR[kind]
    first, last = backbone(torch.randn(2, 3, 2 * divisor, 3 * divisor))
    assert (first.shape[1], last.shape[1]) == backbone.out_channels
    factor = divisor // STRIDE[kind]
    assert last.shape == (2, backbone.out_channels[1], 2 * factor, 3 * factor)


@pytest.mark.parametrize('kind', KINDS)
def test_cells_lie_where_their_pixels_do(kind):
    """What changes in a corner of the image changes most in that corner of every map."""
    backbone = build(kind, out_indices=(0, -1)).eval()
    side = 2 * backbone.size_divisor
    for down, right in [(0, 0), (1, 0), (0, 2)]:
        image = 0.1 * torch.randn(1, 3, 2 * side, 3 * side)
        other = image.clone()
        other[..., down * side :, right * side :][..., :side, :side] += torch.randn(
            3, side, side
        )
        for a, b in zip(backbone(image), backbone(other), strict=True):
            change = (a - b).abs().sum(1)[0].detach()
            rows, columns = (n // k for n, k in zip(change.shape, (2, 3), strict=True))
            blocks = change.unflatten(1, (3, columns)).unflatten(0, (2, rows))
            found = blocks.mean((1, 3)).argmax().item()
            assert divmod(found, 3) == (down, right)


@pytest.mark.parametrize('kind', sorted(set(KINDS) - {'hiera', 'sam2_vision_model'}))
def test_maps_are_those_of_autobackbone(kind):
    backbone = build(kind, out_indices=(1, 2)).eval()
    config = transformers.models.auto.configuration_auto.CONFIG_MAPPING[kind]
    config = config(**TINY[kind], out_indices=[1, 2])
    model = transformers.AutoBackbone.from_config(config).eval()
    # it has the blocks behind the last map too, which do not count
    missing, unexpected = model.load_state_dict(
        backbone.model.state_dict(), strict=False
    )
    assert not unexpected
    assert kind in VITS or not missing
    image = torch.randn(1, 3, 2 * backbone.size_divisor, 3 * backbone.size_divisor)
    expected = model(image).feature_maps
    for found, wanted in zip(backbone(image), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_hiera_gives_what_the_model_gives_at_its_own_size():
    """AutoBackbone's Hiera (5.24) mixes cells up, the model itself does not."""
    backbone = build('hiera', out_indices=(0, 1, 2, 3, 4)).eval()
    model = transformers.HieraModel(backbone.model.config).eval()
    model.embeddings, model.encoder = backbone.model.embeddings, backbone.model.encoder
    image = torch.randn(2, 3, 64, 64)
    maps = model(image, output_hidden_states=True).reshaped_hidden_states
    for name, found, cells in zip(
        backbone.model.stage_names, backbone(image), maps, strict=True
    ):
        wanted = backbone.model.hidden_states_norms[name](cells).permute(0, 3, 1, 2)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_sam2_gives_the_levels_of_its_neck_from_fine_to_coarse():
    backbone = build('sam2_vision_model', out_indices=(0, 2)).eval()
    image = torch.randn(1, 3, 64, 96)
    levels = backbone.model(image).fpn_hidden_states
    fine, coarse = backbone(image)
    assert torch.equal(fine, levels[0]) and torch.equal(coarse, levels[2])
    assert fine.shape[-2:] == (16, 24) and coarse.shape[-2:] == (4, 6)


@pytest.mark.parametrize('kind', ['dinov2', 'dinov3_vit'])
@pytest.mark.parametrize('index', [2, 3])
def test_the_last_norm_is_a_choice(kind, index):
    image = torch.randn(1, 3, 2 * DIVISOR[kind], 2 * DIVISOR[kind])
    with_norm = build(kind, out_indices=(index,)).eval()
    without = MODELS.build(tiny(kind, out_indices=(index,), apply_layernorm=False))
    without.load_state_dict(with_norm.state_dict(), strict=False)
    norm = with_norm.model.norm if kind == 'dinov3_vit' else with_norm.model.layernorm
    (bare,) = without.eval()(image)
    (found,) = with_norm(image)
    wanted = norm(bare.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert not torch.allclose(found, bare)


@pytest.mark.parametrize('kind', VITS)
def test_blocks_behind_the_last_map_are_not_built(kind):
    whole, part = build(kind, out_indices=(3,)), build(kind, out_indices=(1,))
    assert sum(p.numel() for p in part.parameters()) < sum(
        p.numel() for p in whole.parameters()
    )


def test_a_size_that_does_not_fit_says_what_to_set():
    with pytest.raises(ValueError, match=r'28x30 pixels.*size_divisor=14'):
        build('dinov2')(torch.zeros(1, 3, 28, 30))


# --- in the segmentor


def by_hand(model: torch.nn.Module, kind: str, inputs: dict) -> torch.Tensor:
    """Logits (1,2,H,W): pad by hand, match what is no padding alone, cut by hand."""
    divisor, stride = DIVISOR[kind], STRIDE[kind]

    def padded(maps, number, value):
        height, width = maps.shape[-2:]
        return pad(maps, (0, -width % number, 0, -height % number), value=value)

    def features(image):
        maps = model.backbone(padded(image, divisor, 0))[-1]
        rows, columns = (-(-side // stride) for side in image.shape[-2:])
        return maps[..., :rows, :columns]

    query = inputs['query']
    shots = [features(shot[None])[0] for shot in inputs['support'][0]]
    masks = [padded(mask, stride, 255) for mask in inputs['support_mask'][0]]
    logits = model.decode_head.match(features(query), [shots], [masks])['final']
    height, width = query.shape[-2:]
    whole = [height + -height % stride, width + -width % stride]
    logits = interpolate(logits, whole, mode='bilinear', align_corners=True)
    return logits[..., :height, :width]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [(41, 56), (97, 64), (126, 113)])
def test_odd_sizes_are_as_padded_by_hand(kind, size):
    model = segmentor(kind)
    batch = model.data_preprocessor(episode(size, (83, 64)))
    with torch.no_grad():
        expected = by_hand(model, kind, batch['inputs'])
        logits = model(**batch, mode='tensor')
        (sample,) = model(**batch, mode='predict')
    assert logits.shape == (1, 2, *size) and logits.std() > 0
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(sample.seg_logits.data, logits[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_frozen_stays_and_the_last_block_learns(kind):
    model = segmentor(kind, unfreeze=1)
    changed = step(model)
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert changed and not changed & frozen
    assert frozen
    (sample,) = model(**model.data_preprocessor(episode()), mode='predict')
    assert set(sample.pred_sem_seg.data.unique().tolist()) <= {0, 1}
    assert sample.pred_sem_seg.data.shape == (1, 70, 97)


@pytest.mark.parametrize('kind', KINDS)
def test_everything_can_be_trained(kind):
    model = segmentor(kind, unfreeze='all')
    assert len(step(model)) > len(step(segmentor(kind, unfreeze=1)))


@pytest.mark.parametrize('kind', KINDS)
def test_frozen_by_default_and_nothing_drops_out(kind):
    config = tiny(kind)
    if kind != 'sam2_vision_model':
        config['config']['drop_path_rate'] = 0.9
    backbone = MODELS.build(config)
    assert not any(p.requires_grad for p in backbone.parameters())
    image = torch.randn(1, 3, backbone.size_divisor, backbone.size_divisor)
    (found,) = backbone.train()(image)
    assert torch.equal(found, backbone.eval()(image)[0])


def test_trained_blocks_are_in_training_mode_and_the_others_are_not():
    backbone = build('dinov2', unfreeze=2).eval().train()
    blocks = backbone.model.encoder.layer
    assert [block.training for block in blocks] == [False, True, True]
    assert not backbone.model.embeddings.training


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['dinov2', 'dinov3_vit', 'swin'])
def test_two_processes_train_without_looking_for_unused_parameters(kind, tmp_path):
    torch.multiprocessing.spawn(_as_rank, (free_port(), kind, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f'{rank}.pth') for rank in range(2))
    assert first.keys() == second.keys() and len(first) > 0
    assert all(torch.equal(first[name], second[name]) for name in first)


def _as_rank(rank: int, port: int, kind: str, folder: Path) -> None:
    init_default_scope('mmseg')
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2
    )
    model = MMDistributedDataParallel(segmentor(kind, unfreeze=1))
    trained = [p for p in model.parameters() if p.requires_grad]
    wrapper = OptimWrapper(torch.optim.SGD(trained, lr=0.1))
    for size in [(70, 97), (64, 64)]:
        # different episodes, one gradient
        model.train_step(episode((size[0] + rank, size[1])), wrapper)
    learned = {n: p for n, p in model.module.named_parameters() if p.requires_grad}
    torch.save(learned, folder / f'{rank}.pth')
    torch.distributed.barrier()
    # at once: PyTorch frees the group, GIL held, while Gloo's thread may wait for the GIL
    os._exit(0)


# --- people's use


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image, mask = rng.normal(128, 12, (97, 131, 3)), np.zeros((97, 131), np.uint8)
    mask[20:70, 30:90] = 1
    image[mask == 1] = (220, 30, 30)
    return image.clip(0, 255).astype(np.uint8), mask


def inferencer(config: dict, folder, weights=None) -> FewShotInferencer:
    path = folder / 'config.py'
    Config(dict(model=config)).dump(path)
    torch.manual_seed(0)
    return FewShotInferencer(
        path, weights, device='cpu', image_size=None, presence_threshold=0
    )


@pytest.mark.parametrize('kind', KINDS)
def test_a_bank_of_supports_goes_round(kind, tmp_path):
    first = inferencer(segmentor_config(tiny(kind)), tmp_path)
    first.set_support(*scene(0), name='red')
    first.save_support(tmp_path / 'red.bank')
    other = inferencer(segmentor_config(tiny(kind)), tmp_path)
    other.load_support(tmp_path / 'red.bank')
    query = scene(1)[0]
    found, expected = other.predict(query), first.predict(query)
    assert np.array_equal(found.mask, expected.mask)
    assert found.scores == pytest.approx(expected.scores, abs=1e-6)


def test_it_learns_from_supports_and_the_model_stays(tmp_path):
    config = segmentor_config(tiny('dinov2', out_indices=(1, 3)))
    own = inferencer(config, tmp_path)
    before = own.model_fingerprint
    images, masks = zip(scene(0), scene(2), strict=True)
    own.set_support(list(images), list(masks), name='red')
    assert own.adapt(iterations=2, progress=False)['red'].iterations == 2
    assert own.predict(scene(1)[0]).mask.shape == (97, 131)
    assert own.model_fingerprint == before


# --- weights


def reference(kind: str, folder, indices: tuple[int, ...]):
    """What transformers itself gives with these weights, on AutoBackbone's way."""
    if kind == 'sam2_vision_model':
        model = transformers.Sam2Model.from_pretrained(folder).eval().vision_encoder
        return lambda image: [model(image).fpn_hidden_states[i] for i in indices]
    if kind == 'hiera':
        model = transformers.HieraModel.from_pretrained(folder).eval()
        # as drawn, for the file has none
        bias = model.config.initializer_range

        def maps(image):
            found = model(image, output_hidden_states=True).reshaped_hidden_states
            norm = torch.nn.functional.layer_norm
            normed = [norm(found[i], found[i].shape[-1:]) + bias for i in indices]
            return [cells.permute(0, 3, 1, 2) for cells in normed]

        return maps
    config = transformers.AutoConfig.from_pretrained(folder)
    config.out_indices = list(indices)
    known = transformers.AutoBackbone._model_mapping[type(config)]
    model = known.from_pretrained(folder, config=config).eval()
    return lambda image: model(image).feature_maps


@pytest.mark.parametrize('from_folder', [False, True], ids=['config', 'folder alone'])
@pytest.mark.parametrize('kind', KINDS)
def test_weights_of_a_folder_are_those_transformers_reads(kind, from_folder, tmp_path):
    folder = save_as_published(kind, tmp_path / 'weights')
    config = tiny(kind, weights=str(folder), out_indices=(-1,))
    if from_folder:
        del config['config']
    torch.manual_seed(0)
    backbone = MODELS.build(config).eval()
    image = torch.randn(1, 3, 64 if kind == 'hiera' else 2 * backbone.size_divisor, 64)
    if DIVISOR[kind] == 14:
        image = image[..., :56]
    with torch.no_grad():
        (before,) = backbone(image)
        backbone.init_weights()
        (found,) = backbone(image)
        last = backbone.out_indices[-1]
        (expected,) = reference(kind, folder, (last,))(image)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(found, before)


def test_initialising_the_segmentor_keeps_the_weights(tmp_path):
    folder = save_as_published('dinov2', tmp_path / 'weights')
    torch.manual_seed(5)
    model = MODELS.build(segmentor_config(tiny('dinov2', weights=str(folder))))
    model.init_weights()
    stored = transformers.AutoModel.from_pretrained(folder).state_dict()
    own = model.backbone.model.state_dict()
    assert all(torch.equal(own[name], stored[name]) for name in own)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    # a second time, as by a runner: nothing is read or drawn anew
    model.init_weights()
    assert torch.equal(own['embeddings.cls_token'], stored['embeddings.cls_token'] + 1)


def test_without_weights_initialising_keeps_what_was_built():
    model = segmentor('swin')
    before = {n: v.clone() for n, v in model.state_dict().items()}
    model.init_weights()
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


@pytest.mark.parametrize('lora', [None, dict(r=2)])
@pytest.mark.parametrize('kind', ['dinov2', 'swin'])
def test_a_checkpoint_is_read_without_the_weights(kind, lora, tmp_path):
    if lora:
        pytest.importorskip('peft')
    folder = save_as_published(kind, tmp_path / 'weights')
    config = segmentor_config(tiny(kind, weights=str(folder), unfreeze=1, lora=lora))
    model = MODELS.build(config)
    model.init_weights()
    assert step(model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'trained.pth')
    shutil.rmtree(folder)
    own = inferencer(config, tmp_path, tmp_path / 'trained.pth')
    for name, value in own.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_weights_in_several_files_are_read(tmp_path):
    folder = save_as_published('dinov2', tmp_path / 'weights', max_shard_size='8KB')
    assert len(list(folder.glob('*.safetensors'))) > 1
    backbone = MODELS.build(tiny('dinov2', weights=str(folder)))
    backbone.init_weights()
    stored = transformers.AutoModel.from_pretrained(folder).state_dict()
    assert torch.equal(backbone.model.layernorm.weight, stored['layernorm.weight'])


def test_what_a_folder_says_of_precision_and_code_does_not_count(tmp_path):
    folder = save_as_published('dinov2', tmp_path / 'weights')
    path = folder / 'config.json'
    fields = json.loads(path.read_text())
    fields.update(
        dtype='bfloat16',
        torch_dtype='float16',
        out_features=['stage1'],
        auto_map={'AutoBackbone': 'evil.Backbone'},
        quantization_config={'quant_method': 'bitsandbytes', 'load_in_8bit': True},
    )
    path.write_text(json.dumps(fields))
    backbone = MODELS.build(dict(type='HFBackbone', weights=str(folder)))
    backbone.init_weights()
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    assert backbone.out_indices == [3]


# --- LoRA


@pytest.mark.parametrize('kind', KINDS)
def test_lora_changes_nothing_at_first_and_learns_alone(kind, tmp_path):
    pytest.importorskip('peft')
    folder = save_as_published(kind, tmp_path / 'weights')
    plain = MODELS.build(segmentor_config(tiny(kind, weights=str(folder)))).eval()
    config = segmentor_config(tiny(kind, weights=str(folder), lora=dict(r=2)))
    model = MODELS.build(config).eval()
    for own in (plain, model):
        torch.manual_seed(0)
        own.init_weights()
    side = 2 * DIVISOR[kind]
    image = torch.randn(1, 3, side, side)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(image), plain.encode(image))
    changed = step(model)
    assert changed and all('lora_' in name for name in changed)
    with torch.no_grad():
        assert not torch.equal(model.encode(image), plain.encode(image))


def test_dropout_of_lora_is_for_training_alone():
    pytest.importorskip('peft')
    backbone = build('dinov2', lora=dict(r=2, lora_dropout=0.5))
    for name, parameter in backbone.named_parameters():
        if 'lora_B' in name:
            torch.nn.init.normal_(parameter)
    image = torch.randn(1, 3, 28, 28)
    assert not torch.equal(backbone.train()(image)[0], backbone(image)[0])
    assert torch.equal(backbone.eval()(image)[0], backbone(image)[0])


# --- what is refused


@pytest.mark.parametrize(
    ('changed', 'sentence'),
    [
        (dict(config=None), 'neither config nor weights'),
        (dict(config=dict(model_type='bert')), "model_type='bert': expected one that"),
        (dict(config=dict(hidden_size=16)), 'model_type=None'),
        (
            dict(config=dict(model_type='dinov2', hiden_size=16)),
            "'hiden_size', which is no field of Dinov2Config",
        ),
        (
            dict(config=dict(model_type='dinov2', hidden_size='wide')),
            'config of dinov2 is refused',
        ),
        (dict(out_indices=()), r'out_indices=\(\)'),
        (dict(out_indices=(4,)), 'from 0 to 3 or from -4 to -1'),
        (dict(out_indices=(2, 1)), 'ascending'),
        (dict(out_indices=(3, -1)), 'ascending'),
        (dict(unfreeze=-1), 'unfreeze=-1'),
        (dict(unfreeze='some'), "unfreeze='some'"),
        (dict(unfreeze=4), 'the model has 3 blocks'),
        (dict(apply_layernorm='yes'), "apply_layernorm='yes'"),
        (
            dict(weights='a/b', init_cfg=dict(type='Pretrained', checkpoint='c.pth')),
            'together with init_cfg',
        ),
    ],
)
def test_wrong_options_are_refused_by_a_sentence(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        HFBackbone(**dict(dict(config=tiny('dinov2')['config']), **changed))


def test_options_that_a_kind_does_not_have_are_refused():
    with pytest.raises(ValueError, match='swin has no such option'):
        build('swin', apply_layernorm=False)
    resnet = dict(model_type='resnet', depths=[1, 1, 1, 1])
    assert HFBackbone(config=resnet).size_divisor is None
    with pytest.raises(ValueError, match='blocks of resnet are not known'):
        HFBackbone(config=resnet, unfreeze=1)
    with pytest.raises(ValueError, match='expected target_modules'):
        pytest.importorskip('peft')
        HFBackbone(config=resnet, lora=dict(r=2))


def test_lora_of_wrong_options_is_refused():
    pytest.importorskip('peft')
    with pytest.raises(ValueError, match='refused by peft'):
        build('dinov2', lora=dict(rank=2))
    with pytest.raises(ValueError, match='refused by peft'):
        build('dinov2', lora=dict(r=2, target_modules=['nowhere']))


def loaded(folder, kind='dinov2') -> None:
    MODELS.build(tiny(kind, weights=str(folder))).init_weights()


def test_a_folder_of_a_pickle_alone_is_refused_unread(tmp_path):
    folder = save_as_published('dinov2', tmp_path / 'weights')
    (folder / 'model.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match='no model.safetensors'):
        loaded(folder)
    ran = tmp_path / 'ran'

    class Trap:
        def __reduce__(self):
            return ran.touch, ()

    (folder / 'pytorch_model.bin').write_bytes(pickle.dumps(Trap()))
    with pytest.raises(
        ValueError, match=r'pytorch_model\.bin but no model\.safetensors'
    ):
        loaded(folder)
    assert not ran.exists()


def test_a_pickle_beside_safetensors_is_left_unread(tmp_path):
    folder = save_as_published('dinov2', tmp_path / 'weights')
    (folder / 'pytorch_model.bin').write_bytes(b'nothing')
    loaded(folder)


def test_weights_of_another_model_are_refused(tmp_path):
    folder = save_as_published('dinov2', tmp_path / 'weights')
    other = dict(tiny('dinov2', weights=str(folder)))
    other['config'] = dict(other['config'], hidden_size=32)
    with pytest.raises(ValueError, match=r'other shapes.*hidden_size.: 32'):
        MODELS.build(other).init_weights()
    with pytest.raises(ValueError, match='lacks .* tensors of ConvNextBackbone'):
        loaded(folder, 'convnext')


def test_a_damaged_file_is_refused(tmp_path):
    folder = save_as_published('dinov2', tmp_path / 'weights')
    path = folder / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match='cannot be read as Dinov2Backbone'):
        loaded(folder)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    folder = save_as_published('dinov2', tmp_path / 'weights')
    model = transformers.AutoModel.from_pretrained(folder)
    model.layernorm.bias.data[3] = torch.nan
    model.save_pretrained(folder)
    with pytest.raises(ValueError, match=r'NaN or infinite .*layernorm\.bias'):
        loaded(folder)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(ImportError, match=r'pip install "mmssp\[transformers\]"'):
        build('dinov2')
