"""The data of a search on JAX: perhaps without their zeros, placed on a device of JAX' own."""

from __future__ import annotations

from typing import Any

from afina.training.epochs import DataCache
from afina.training.fused.sparse import SparseRows, as_sparse_rows


def data_cache(*, sparse: bool = True) -> DataCache:
    """A cache of data for JAX.

    Args:
        sparse: Whether inputs that are nearly all zero may be kept as `SparseRows`.
    """
    return DataCache(_place, as_sparse_rows if sparse else None)


def _place(leaf: Any, device: Any) -> Any:
    import jax

    if isinstance(leaf, SparseRows):
        return leaf.on(device)
    return jax.device_put(leaf, device, may_alias=False)
