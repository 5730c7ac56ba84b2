"""A Zarr store that is whole: zarr reads a chunk that is not there as fill values, which is no data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.storage import WrapperStore

from three_hundred_maps.errors import InputError

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class WholeStore(WrapperStore[Store]):
    """A finished store, whose every chunk was written: one that is missing, or empty, is an error."""

    def __init__(self, store: Store, place: str) -> None:
        super().__init__(store)
        self.place = place

    def _with_store(self, store: Store) -> WholeStore:
        return WholeStore(store, self.place)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes at ``key``; InputError where a chunk has none."""
        found = await super().get(key, prototype, byte_range)
        # A server that knows no ranges, as `python -m http.server`, answers with the whole file.
        if found is not None and isinstance(byte_range, RangeByteRequest):
            if len(found) > (length := byte_range.end - byte_range.start):
                found = found[byte_range.start : byte_range.start + length]
        elif found is not None and isinstance(byte_range, SuffixByteRequest):
            found = found[-byte_range.suffix :]
        if "/c/" in key and (found is None or len(found) == 0):
            raise InputError(
                f"{self.place}/{key} is missing: the store is not whole; build or download it again"
            )
        return found
