"""A small snapshot with known halos, in any format: for tests, of users and ours."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.nfw import enclosed_mass
from three_hundred_maps.simulation.cosmology import MDPL2
from three_hundred_maps.simulation.measure import spherical_overdensity
from three_hundred_maps.simulation.writers.ahf import write_ahf
from three_hundred_maps.simulation.writers.content import ParticleData, SnapshotHeader
from three_hundred_maps.simulation.writers.gadget_binary import write_gadget
from three_hundred_maps.simulation.writers.hdf5 import write_hdf5
from three_hundred_maps.testing.dialects import DIALECTS

FORMATS = (*DIALECTS, "gadget1", "gadget2")
"""What `small_snapshot` writes."""

_CONCENTRATION = 5.0
_OUTER = 3.0
"""Where the halos end, in R200c."""

_GAS_SHARE, _STAR_SHARE = 0.12, 0.02
_NEIGHBOURS = 48.0


@dataclass(frozen=True)
class SmallSnapshot:
    """A snapshot on disk and what was put into it.

    Parameters
    ----------
    snapshot, catalogue
        The first file, and the AHF_halos catalogue.
    header, particles
        As given to the writers (comoving kpc/h, 1e10 Msun/h).
    centres
        (n, 3) comoving kpc/h.
    M200c, R200c
        (n,) of the halos, measured from the particles: Msun/h and comoving kpc/h.
    """

    snapshot: Path
    catalogue: Path
    header: SnapshotHeader
    particles: ParticleData = field(repr=False)
    centres: NDArray[np.float64]
    M200c: NDArray[np.float64]
    R200c: NDArray[np.float64]


def small_snapshot(
    folder: str | Path,
    *,
    format: str = "gizmo",
    halos: int = 2,
    particles: int = 3000,
    redshift: float = 0.1,
    box_size: float = 60_000.0,
    low_resolution: bool = False,
    seed: int = 0,
    **options: Any,
) -> SmallSnapshot:
    """Write a periodic box with a few NFW halos of gas, dark matter and stars, and its AHF catalogue.

    Parameters
    ----------
    folder
        Where to; made if it is not there.
    format
        One of `FORMATS`.
    halos
        How many, of falling mass from 3e14 Msun/h; they do not touch each other.
    particles
        Dark-matter particles a halo; half as many of gas, a tenth of stars. 64 more of nearly no mass
        fill the box.
    redshift, box_size
        Of the snapshot; comoving kpc/h.
    low_resolution
        Whether heavy type-2 particles lie everywhere farther than 4 R200c from the halos.
    seed
        Of all random numbers.
    options
        For the writer: ``files``, ``compression``, ``position_dtype``, ``byteorder``, ``id_dtype``.

    Returns
    -------
    SmallSnapshot
        With the files' paths and their content.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r} is not one of {', '.join(FORMATS)}")
    rng = np.random.default_rng(seed)
    cosmology = MDPL2
    masses = 3e14 * 0.6 ** np.arange(halos)
    # Comoving Msun/h and kpc/h: the critical density loses h^2 and the scale factor.
    critical = cosmology.critical_density_msun_kpc3(redshift) / cosmology.h**2 / (1.0 + redshift) ** 3
    radii = np.cbrt(masses / (4.0 / 3.0 * math.pi * 200.0 * critical))
    centres = _apart(rng, halos, box_size, 2.0 * _OUTER * float(radii.max()))
    built = [
        _halo(rng, mass, radius, centre, particles, box_size)
        for mass, radius, centre in zip(masses, radii, centres, strict=True)
    ]
    content: dict[int, dict[str, NDArray[Any]]] = {
        kind: {
            name: np.concatenate([halo[kind][name] for halo in built]).astype(np.float32)
            for name in built[0][kind]
        }
        for kind in (0, 1, 4)
    }
    for name, values in _background(box_size).items():
        content[1][name] = np.concatenate([content[1][name], values])
    if low_resolution:
        position = rng.uniform(0.0, box_size, (20 * halos * 100, 3)).astype(np.float32)
        apart = position[:, None] - centres
        apart -= box_size * np.round(apart / box_size)
        position = position[np.all(np.linalg.norm(apart, axis=2) > 4.0 * radii, axis=1)]
        content[2] = {"position": position, "mass": np.full(len(position), 50.0, np.float32)}
    first = 1
    for fields in content.values():
        n = len(fields["position"])
        fields["velocity"] = rng.normal(0.0, 300.0, (n, 3)).astype(np.float32)
        fields["id"] = np.arange(first, first + n, dtype=np.uint32)
        first += n
    header = SnapshotHeader(redshift, box_size, cosmology)
    folder = Path(folder)
    if format in DIALECTS:
        files = write_hdf5(folder / "snap_010.hdf5", header, content, dialect=DIALECTS[format], **options)
    else:
        files = write_gadget(folder / "snap_010", header, content, format=int(format[-1]), **options)
    m200, r200 = np.transpose([_measured(content, centre, box_size, critical) for centre in centres])
    catalogue = write_ahf(
        folder / f"small.snap_010.z{redshift:.3f}.AHF_halos",
        {
            "ID": np.arange(1, halos + 1) + 10 * 10**12,
            "hostHalo": np.zeros(halos),
            "Mhalo": m200,
            "Rhalo": r200,
            "Xc": centres[:, 0],
            "Yc": centres[:, 1],
            "Zc": centres[:, 2],
            "fMhires": np.ones(halos),
        },
    )
    return SmallSnapshot(files[0], catalogue, header, content, centres, m200, r200)


def _background(box: float) -> dict[str, NDArray[np.float32]]:
    """A few dark-matter particles of nearly no mass from face to face: the box is seen to be filled."""
    line = np.linspace(0.02, 0.98, 4) * box
    position = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    return {
        "position": position.astype(np.float32),
        "mass": np.full(len(position), 1e-5, np.float32),
    }


def _apart(rng: np.random.Generator, n: int, box: float, distance: float) -> NDArray[np.float64]:
    """(n, 3) points in a periodic box, no two closer than ``distance``; the first lies near a corner."""
    points = [np.array([0.01, 0.99, 0.5]) * box]
    for _ in range(10_000):
        if len(points) == n:
            return np.array(points)
        point = rng.uniform(0.0, box, 3)
        apart = np.array(points) - point
        apart -= box * np.round(apart / box)
        if np.linalg.norm(apart, axis=1).min() > distance:
            points.append(point)
    raise ValueError(f"{n} halos do not fit into this box")


def _halo(
    rng: np.random.Generator,
    mass: float,
    radius: float,
    centre: NDArray[np.float64],
    particles: int,
    box: float,
) -> dict[int, dict[str, NDArray[np.float64]]]:
    """The particles of one NFW halo out to 3 R200c, by Gadget type."""
    grid = np.geomspace(1e-3, _OUTER, 2000)
    share_within = enclosed_mass(_CONCENTRATION * grid) / enclosed_mass(_CONCENTRATION * _OUTER)
    whole = mass * float(enclosed_mass(_CONCENTRATION * _OUTER) / enclosed_mass(_CONCENTRATION)) / 1e10
    made: dict[int, dict[str, NDArray[np.float64]]] = {}
    shares = {0: _GAS_SHARE, 1: 1.0 - _GAS_SHARE - _STAR_SHARE, 4: _STAR_SHARE}
    for kind, n in ((0, particles // 2), (1, particles), (4, max(particles // 10, 1))):
        x = np.interp((np.arange(n) + 0.5) / n, share_within, grid)
        direction = rng.normal(size=(n, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        position = (centre + direction * (x * radius)[:, None]) % box
        each = shares[kind] * whole / n
        made[kind] = {"position": position, "mass": np.full(n, each)}
        if kind == 0:
            scale = _CONCENTRATION * x
            norm = shares[kind] * whole / (4.0 * math.pi * float(enclosed_mass(_CONCENTRATION * _OUTER)))
            density = norm * (_CONCENTRATION / radius) ** 3 / (scale * (1.0 + scale) ** 2)
            made[kind] |= {
                "internal_energy": 1.2e6 * (mass / 1e15) ** (2.0 / 3.0) / (1.0 + x) ** 1.2,
                "density": density,
                "electron_abundance": np.full(n, 1.158),
                "neutral_fraction": np.full(n, 1e-6),
                "smoothing_length": np.cbrt(3.0 * _NEIGHBOURS * each / (4.0 * math.pi * density)),
                "star_formation_rate": np.where(x < 0.01, 1.0, 0.0),
                "metallicity": 0.004 / (1.0 + x),
                "helium_fraction": np.full(n, 0.24),
                "delay_time": np.where(rng.random(n) < 0.01, 0.1, 0.0),
            }
        if kind == 4:
            made[kind] |= {
                "formation_time": rng.uniform(0.2, 0.9, n),
                "metallicity": np.full(n, 0.01),
                "helium_fraction": np.full(n, 0.25),
            }
    return made


def _measured(
    content: ParticleData, centre: NDArray[np.float64], box: float, critical: float
) -> tuple[float, float]:
    """M200c (Msun/h) and R200c (comoving kpc/h) of all particles around a centre."""
    position = np.concatenate([fields["position"] for fields in content.values()]).astype(np.float64)
    mass = np.concatenate([fields["mass"] for fields in content.values()]).astype(np.float64) * 1e10
    apart = position - centre
    apart -= box * np.round(apart / box)
    r = np.linalg.norm(apart, axis=1)
    order = np.argsort(r)
    return spherical_overdensity(r[order], np.cumsum(mass[order]), 200.0 * critical)
