"""Configurations of Hugging Face models: from a config or a folder, checked by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...utils.checks import flag
from .hf_kinds import Kind, stage_indices
from .hub_files import needed, read_config

SAM2 = 'sam2_vision_model'
IGNORED = (
    *('out_indices', 'out_features', '_out_indices', '_out_features'),
    *('dtype', 'torch_dtype', 'quantization_config', 'auto_map'),
)
"""Fields of a configuration that are chosen here; the model is built in float32."""


def configuration(
    config: Mapping[str, Any] | None, weights: str | None, revision: str | None
) -> Any:
    """The configuration of transformers.

    Args:
        config: Its ``model_type`` and fields; None reads them of ``weights``.
        weights: See :func:`read_config`.
        revision: Likewise.

    Raises:
        FileNotFoundError: ``config`` is None, and there is none with the weights.
        ValueError: It is no configuration of a backbone, or has a field of no meaning.
    """
    if config is None and weights is None:
        raise ValueError(
            "found neither config nor weights; expected config=dict(model_type='dinov2', "
            "…) or weights='FOLDER'"
        )
    transformers = needed('transformers', 'HFBackbone', 'transformers')
    given = config is not None
    if config is None:
        assert weights is not None
        fields = read_config(weights, revision)
    else:
        fields = {name: plain(value) for name, value in config.items()}
    kind = fields.pop('model_type', None)
    # what was saved of the whole of SAM 2
    if kind in ('sam2', 'sam2_video') and not given:
        kind, fields = SAM2, dict(fields.get('vision_config') or {})
        fields.pop('model_type', None)
    known = {m.model_type: m for m in transformers.AutoBackbone._model_mapping}
    known[SAM2] = transformers.Sam2VisionConfig
    if kind not in known:
        raise ValueError(
            f'model_type={kind!r}: expected one that AutoBackbone of transformers '
            f'{transformers.__version__} knows: {", ".join(sorted(known))}'
        )
    if given:
        _check_names(known[kind], fields)
    for name in IGNORED:
        fields.pop(name, None)
    try:
        return known[kind](**fields)
    # its checks raise errors of their own
    except Exception as error:
        reason = ' '.join(str(error).split())[:300]
        raise ValueError(f'config of {kind} is refused: {reason}') from error


def _check_names(kind: Any, fields: Mapping[str, Any]) -> None:
    """Refuse names that transformers would keep, and nothing would read."""
    known = {*vars(kind()), *kind.attribute_map, 'out_indices', 'out_features'}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise ValueError(
            f'config has {unknown[0]!r}, which is no field of {kind.__name__}; expected '
            f'some of {", ".join(sorted(n for n in known if not n.startswith("_")))}'
        )


def plain(value: Any) -> Any:
    """Dicts and lists of a config as Python's own."""
    if isinstance(value, Mapping):
        return {name: plain(own) for name, own in value.items()}
    return [plain(own) for own in value] if isinstance(value, (list, tuple)) else value


def choose_maps(
    built: Any, kind: Kind | None, indices: Sequence[int], layernorm: bool | None
) -> list[int]:
    """Say in a configuration which maps are returned.

    Args:
        built: Changed in place.
        kind: Of the model, where it is known.
        indices: As for ``HFBackbone``.
        layernorm: Likewise.

    Returns:
        The indices, from 0.

    Raises:
        ValueError: There are no such maps, or no such option.
    """
    if layernorm is not None:
        if not hasattr(built, 'apply_layernorm'):
            raise ValueError(
                f'apply_layernorm={layernorm}: {built.model_type} has no such option; '
                'expected None'
            )
        built.apply_layernorm = flag('apply_layernorm', layernorm)
    if built.model_type == SAM2:
        names = [f'level{i}' for i in range(built.num_feature_levels)]
        built.out_indices = stage_indices(names, indices)
        return list(built.out_indices)
    found = stage_indices(built.stage_names, indices)
    if kind is not None and kind.trimmed and found[-1] > 0:
        built.num_hidden_layers = found[-1]
        built.stage_names = built.stage_names[: found[-1] + 1]
    built.set_output_features_output_indices(out_features=None, out_indices=found)
    if hasattr(built, 'reshape_hidden_states'):
        built.reshape_hidden_states = True
    return found
