"""Sums over a query's pixels, weighted by affinity: the costly part of self-support (§3.3).

The affinity exp(t cos(F_i, F_j)) belongs to the query alone: it is the same in both
self-support passes and for every episode with that query, and symmetric. Cosines lie in
[-1, 1], so the exponential needs no running maximum.

Sums are finite for features of float32 up to 1e9, temperatures up to 50 and 60 million
pixels (the three multiply); float16 would overflow, so the head casts before.

Shapes: B episodes, C channels, n pixels.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .prototypes import repeated

BLOCK = 512
"""Pixels that are worked on at a time."""
MILD = 4.0
"""Temperature up to which weights differ by less than float32 has digits, e^8, so that
sums may be taken from others; beyond, little would be left of what is right."""
LARGEST_MATRIX = 2**29
"""Bytes of a full affinity matrix, above which its rows are made when they are needed."""


@dataclass(frozen=True)
class WeightedSums:
    """Features summed over chosen pixels, once for each pixel of the image.

    Attributes:
        chosen: (B,n) of 0. and 1.: the pixels summed over.
        total: (B,C,n) Σ_j a_ij F_j.
        share: (B,1,n) Σ_j a_ij.
        from_matrix: Whether the full affinity matrix was used.
        images: The same of each image, where they were made one by one.
    """

    chosen: Tensor
    total: Tensor
    share: Tensor
    from_matrix: bool = True
    images: Sequence['WeightedSums'] = ()

    def means(self) -> Tensor:
        """The weighted means (B,C,n)."""
        return self.total / self.share


class DenseAffinity:
    """All pixels against all, by masks: nothing waits for the device, or branches on data.

    Where the full matrix would be too large, its columns are made block by block for each
    sum, and made again for the gradient: the same sums, to the bit on a CPU. (PyTorch's
    ``scaled_dot_product_attention`` gives them within 3e-7, but on a CPU it took twice the
    time and, with a mask, more memory than the matrix: 2.3 s and 879 MiB for 10,000 pixels
    of 192 channels, blocks 1.0 s and 248 MiB.)

    Args:
        features: (B,C,n) float.
        unit: The same, of unit length over C.
        temperature: t, the factor of the cosines.
        largest_matrix: Bytes that the full matrix may take.
    """

    def __init__(
        self,
        features: Tensor,
        unit: Tensor,
        temperature: float,
        largest_matrix: int = LARGEST_MATRIX,
    ) -> None:
        self.features = features
        self._unit = unit
        self._temperature = temperature
        columns = largest_matrix // max(1, unit[:, 0].nbytes)
        self._columns = columns if columns < unit.shape[2] else None
        self._matrix: Tensor | None = None

    @property
    def matrix(self) -> Tensor:
        """(B,n,n)."""
        # not a cached_property, whose lock torch.compile cannot look into
        if self._matrix is None:
            self._matrix = self._rows(self._unit, self._unit)
        return self._matrix

    def expand(self, episodes: int) -> 'DenseAffinity | None':
        """That of one image as that of as many equal ones, with one matrix.

        Returns:
            None where there is no matrix to share.
        """
        if self._columns is not None:
            return None
        same = copy(self)
        same.features, same._unit, same._matrix = (
            repeated(x, episodes) for x in (self.features, self._unit, self.matrix)
        )
        return same

    def _rows(self, unit: Tensor, columns: Tensor) -> Tensor:
        rows = (unit * self._temperature).transpose(1, 2)
        return torch.bmm(rows, columns).exp_()

    def sums(self, chosen: Tensor, before: WeightedSums | None = None) -> WeightedSums:
        """Sums over the chosen pixels.

        Args:
            chosen: (B,n) of 0. and 1., at least one 1. in each row.
            before: Unused; see :class:`SparseAffinity`.
        """
        if self._columns is None:
            total, share = self._sums(self.features, chosen, self.matrix)
            return WeightedSums(chosen, total, share)
        parts = []
        for columns in self._unit.split(max(BLOCK, self._columns), dim=2):
            args = self.features, chosen, self._unit, columns
            if torch.is_grad_enabled() and self._unit.requires_grad:
                parts.append(checkpoint(self._block, *args, use_reentrant=False))
            else:
                parts.append(self._block(*args))
        total, share = (torch.cat(part, dim=2) for part in zip(*parts, strict=True))
        return WeightedSums(chosen, total, share, from_matrix=False)

    def _block(
        self, features: Tensor, chosen: Tensor, unit: Tensor, columns: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self._sums(features, chosen, self._rows(unit, columns))

    def _sums(
        self, features: Tensor, chosen: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B,C,m) and (B,1,m), for the m pixels whose affinities are given (B,n,m)."""
        return (
            torch.bmm(features * chosen[:, None], rows),
            torch.bmm(chosen[:, None], rows),
        )


class SparseAffinity:
    """One image's pixels, with sums over the fewest pixels that will do; for the CPU.

    Without gradient the matrix is made once, half of it, and mirrored. With gradient,
    where it would be too large, or for few pixels, its rows are made when they are
    needed. Which of these depends on the set of pixels alone, not on what was asked
    before, so results are the same to the bit whether or not episodes share a query.

    Args:
        features: (1,C,n) float.
        unit: The same, of unit length over C.
        temperature: t, the factor of the cosines.
        largest_matrix: Bytes that the full matrix may take.

    Raises:
        ValueError: If there is more than one image; see :class:`BatchedAffinity`.
    """

    def __init__(
        self,
        features: Tensor,
        unit: Tensor,
        temperature: float,
        largest_matrix: int = LARGEST_MATRIX,
    ) -> None:
        if len(features) != 1:
            raise ValueError(
                f'SparseAffinity: found {len(features)} images, expected one; '
                'BatchedAffinity takes several'
            )
        self.features = features
        self._unit = unit[0]
        self._temperature = temperature
        self._largest_matrix = largest_matrix

    @cached_property
    def matrix(self) -> Tensor:
        """(n,n)."""
        unit, n = self._unit, self._unit.shape[1]
        matrix = unit.new_empty(n, n)
        for start in range(0, n, BLOCK):
            end = start + BLOCK
            strip = matrix[start:end, start:]
            torch.addmm(
                strip,
                unit[:, start:end].T,
                unit[:, start:],
                beta=0,
                alpha=self._temperature,
                out=strip,
            )
            strip.exp_()
            matrix[end:, start:end] = matrix[start:end, end:].T
        return matrix

    def sums(self, chosen: Tensor, before: WeightedSums | None = None) -> WeightedSums:
        """Sums over the chosen pixels.

        Args:
            chosen: (1,n) of 0. and 1., at least one 1.
            before: Sums over another set of the same query, to start from where the
                difference is smaller than the set, and the temperature mild.
        """
        if before is not None and self._temperature <= MILD:
            added = (chosen > before.chosen)[0].nonzero()[:, 0]
            removed = (chosen < before.chosen)[0].nonzero()[:, 0]
            if len(added) + len(removed) < chosen.sum():
                start, matrix = (before.total[0], before.share[0]), before.from_matrix
                total, share = self._add(start, added, 1, matrix)
                total, share = self._add((total, share), removed, -1, matrix)
                return WeightedSums(chosen, total[None], share[None], matrix)
        pixels = chosen[0].nonzero()[:, 0]
        from_matrix = self._worth_a_matrix(len(pixels))
        total, share = self._add(None, pixels, 1, from_matrix)
        return WeightedSums(chosen, total[None], share[None], from_matrix)

    def _worth_a_matrix(self, pixels: int) -> bool:
        n = self._unit.shape[1]
        return (
            not (torch.is_grad_enabled() and self._unit.requires_grad)
            and n * n * self._unit.element_size() <= self._largest_matrix
            and 8 * pixels > n
        )

    def _add(
        self,
        sums: tuple[Tensor, Tensor] | None,
        pixels: Tensor,
        sign: int,
        from_matrix: bool,
    ) -> tuple[Tensor, Tensor]:
        """Sums (C,n) and (1,n), and those over some more pixels, times ``sign``."""
        features = self.features[0]
        if sums is None:
            sums = torch.zeros_like(features), features.new_zeros(1, features.shape[1])
        total, share = sums
        # With gradient every part is kept anyway.
        size = max(len(pixels), 1) if torch.is_grad_enabled() else BLOCK
        for some in pixels.split(size):
            if from_matrix:
                rows = self.matrix[some]
            else:
                cosines = self._unit[:, some].T @ self._unit
                rows = cosines.mul_(self._temperature).exp_()
            total = torch.addmm(total, features[:, some], rows, alpha=sign)
            share = torch.add(share, rows.sum(0, keepdim=True), alpha=sign)
        return total, share


class BatchedAffinity:
    """:class:`SparseAffinity` of each of several images, which differ in their pixels.

    Args:
        features: (B,C,n) float.
        unit: The same, of unit length over C.
        temperature: t, the factor of the cosines.
        largest_matrix: Bytes that the full matrix of one image may take.
    """

    def __init__(
        self,
        features: Tensor,
        unit: Tensor,
        temperature: float,
        largest_matrix: int = LARGEST_MATRIX,
    ) -> None:
        self.images = [
            SparseAffinity(own, own_unit, temperature, largest_matrix)
            for own, own_unit in zip(features.split(1), unit.split(1), strict=True)
        ]

    def expand(self, episodes: int) -> None:
        """None: which pixels are summed over differs between episodes."""

    def sums(self, chosen: Tensor, before: WeightedSums | None = None) -> WeightedSums:
        """Sums over the chosen pixels.

        Args:
            chosen: (B,n) of 0. and 1., at least one 1. in each row.
            before: Sums over other sets of the same queries, to start from.
        """
        earlier = [None] * len(self.images) if before is None else before.images
        each = [
            image.sums(own, own_before)
            for image, own, own_before in zip(
                self.images, chosen.split(1), earlier, strict=True
            )
        ]
        if len(each) == 1:
            # no copy, and the same bits
            return replace(each[0], images=each)
        return WeightedSums(
            chosen,
            torch.cat([sums.total for sums in each]),
            torch.cat([sums.share for sums in each]),
            images=each,
        )
