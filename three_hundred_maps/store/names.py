"""What a user may call a store: a folder, a URL, or the name of a data set that a resolver knows."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import sha256_bytes

if TYPE_CHECKING:
    from zarr.abc.store import Store

Resolver = Callable[[str], Path | None]

_RESOLVERS: list[Resolver] = []
_FILESYSTEMS: dict[str, Callable[[], Any]] = {}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What may be the name of a store: a config's, as ``mini``."""
_LONGEST = 64


def checked_name(name: Any, what: str) -> str:
    """``name`` where it can be the name of a folder or config; a path trick is refused."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or ".." in name or len(name) > _LONGEST:
        raise InputError(
            f"{what} {name!r} is not a plain name: letters, digits, '.', '_' and '-', at most {_LONGEST}"
        )
    return name


def shortened(name: str) -> str:
    """A name made of others as `checked_name` wants it: what is too long ends in a digest of the whole."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}-{sha256_bytes(name.encode())[:8]}"


def register_resolver(resolver: Resolver) -> None:
    """Let names be looked up by ``resolver``: it gives a finished store's folder, or None for no name of its.

    It may raise `InputError` for a name that it knows and has no store of.
    """
    if resolver not in _RESOLVERS:
        _RESOLVERS.append(resolver)


def register_filesystem(scheme: str, make: Callable[[], Any]) -> None:
    """Let URLs of a scheme be read through what ``make`` gives (None: the file system fsspec has for it)."""
    _FILESYSTEMS[scheme] = make


def zarr_place(path: str | Path) -> Any:
    """What zarr and xarray open of a folder or URL: a store in which a missing chunk is an error."""
    from zarr.storage import FsspecStore, LocalStore

    from three_hundred_maps.store.whole import WholeStore

    url = str(path)
    filesystem = _registered(url)
    if filesystem is not None:
        store: Store = FsspecStore.from_mapper(filesystem.get_mapper(url), read_only=True)
    else:
        store = (FsspecStore.from_url if is_url(url) else LocalStore)(url, read_only=True)
    return WholeStore(store, url)


def read_url(url: str) -> bytes:
    """The bytes of a file at a URL; FileNotFoundError where there is none."""
    import fsspec

    filesystem = _registered(url)
    if filesystem is not None:
        return bytes(filesystem.cat_file(url))
    filesystem, path = fsspec.core.url_to_fs(url)
    try:
        return bytes(filesystem.cat_file(path))
    except unreachable() as error:
        raise InputError(f"{url} cannot be read: {error}") from None


def unreachable() -> tuple[type[Exception], ...]:
    """The errors of a URL that does not answer, or with a refusal."""
    client = getattr(sys.modules.get("aiohttp"), "ClientError", ConnectionError)
    return (ConnectionError, TimeoutError, client)


def _registered(url: str) -> Any:
    """The registered file system of a URL, None where fsspec has its own; InputError for no such."""
    protocol = url.partition("://")[0].rpartition("::")[2]
    make = _FILESYSTEMS.get(protocol) if is_url(url) else None
    if make is None and is_url(url):
        import fsspec

        try:
            fsspec.get_filesystem_class(protocol)
        except (ImportError, ValueError) as error:
            raise InputError(f"{url} cannot be read: {error}") from None
    return make() if make is not None else None


def is_url(path: str | Path) -> bool:
    """Whether a store is read through fsspec."""
    return "://" in str(path)


def resolve_store(store: str | Path) -> str | Path:
    """The folder or URL of a store that is given by name, folder or URL.

    A folder of that name in the working directory comes before a registered name.
    """
    if isinstance(store, str) and NAME.fullmatch(store) and not Path(store).exists():
        for resolver in _RESOLVERS:
            found = resolver(store)
            if found is not None:
                return found
    return store
