"""Lower precision by name."""

import torch

DTYPES = {'float16': torch.float16, 'bfloat16': torch.bfloat16}


def autocast_dtype(name: str | None) -> torch.dtype | None:
    """The type to encode under autocast to; None for full precision.

    Args:
        name: ``'float16'``, ``'bfloat16'``, or ``'float32'`` or None for none.

    Raises:
        ValueError: For another name.
    """
    if name not in (None, 'float32', *DTYPES):
        raise ValueError(f'dtype={name!r}: expected one of {[None, *DTYPES]}')
    return DTYPES.get(name) if name else None
