"""The AHF catalogue of a region, measured from the particles as they stand in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps import nfw
from three_hundred_maps.simulation.measure import spherical_overdensity
from three_hundred_maps.simulation.synthetic.dark_matter import Halo
from three_hundred_maps.simulation.synthetic.profiles import lengths, squared
from three_hundred_maps.simulation.synthetic.setup import CENTRE_KPC_H, Epoch, H
from three_hundred_maps.simulation.tables import take
from three_hundred_maps.units import GRAVITY_KPC_KMS2_PER_MSUN

Particles = Mapping[int, Mapping[str, NDArray[Any]]]

SMALLEST = 20
"""Particles of the smallest subhalo listed, AHF's own default."""
_REACH = 1.35


@dataclass(frozen=True)
class Sample:
    """Particles of a sphere in rising radius: offset, radius (comoving kpc/h), km/s, Msun and Gadget type."""

    offset: NDArray[np.float64]
    radius: NDArray[np.float64]
    velocity: NDArray[np.float64]
    mass: NDArray[np.float64]
    kind: NDArray[np.int8]


def sphere_of(particles: Particles, centre: NDArray[np.float64], reach: float) -> Sample:
    """All particles within ``reach`` (comoving kpc/h) of ``centre``, as they stand in the file."""
    offsets, velocities, masses, kinds = [], [], [], []
    for kind in sorted(particles):
        fields = particles[kind]
        near = np.flatnonzero(np.abs(fields["position"][:, 0] - np.float32(centre[0])) < reach)
        offset = fields["position"][near].astype(np.float64) - centre
        inside = squared(offset) < reach**2
        offsets.append(offset[inside])
        velocities.append(fields["velocity"][near[inside]].astype(np.float64))
        masses.append(fields["mass"][near[inside]].astype(np.float64) * (1e10 / H))
        kinds.append(np.full(len(offsets[-1]), kind, np.int8))
    offset = np.concatenate(offsets)
    radius = lengths(offset)
    order = np.argsort(radius, kind="stable")
    found = Sample(offset, radius, np.concatenate(velocities), np.concatenate(masses), np.concatenate(kinds))
    return take(found, order)


def file_length(epoch: Epoch) -> float:
    """Comoving kpc/h, in which files are written, of a proper kpc."""
    return H / epoch.scale


def _file_centre(halo: Halo, offset: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    place = halo.centre if offset is None else halo.centre + offset * halo.radius
    return place * file_length(halo.epoch) + CENTRE_KPC_H


def _concentration(v_max: float, v_200: float) -> float:
    """Concentration of an NFW halo from Vmax/V200 (Prada et al. 2012)."""
    c = np.geomspace(2.2, 60.0, 300)
    ratio = np.sqrt(0.216 * c / nfw.enclosed_mass(c))
    return float(np.interp(v_max / v_200, ratio, c))


def _distinct_row(particles: Particles, halo: Halo, halo_id: int) -> dict[str, float]:
    centre, unit = _file_centre(halo), file_length(halo.epoch)
    sample = sphere_of(particles, centre, _REACH * halo.radius * unit)
    density = 200.0 * halo.epoch.rho_crit
    total, radius = spherical_overdensity(sample.radius / unit, np.cumsum(sample.mass), density)
    n = int(np.searchsorted(sample.radius, radius * unit, side="right"))
    sample = take(sample, slice(n))
    offset, r, velocity, mass, kind = sample.offset, sample.radius, sample.velocity, sample.mass, sample.kind
    weight = mass / mass.sum()
    bulk = np.einsum("i,ij->j", weight, velocity)
    moving = velocity - bulk
    enclosed = np.cumsum(mass)
    start = min(20, n - 1)
    circular = np.sqrt(GRAVITY_KPC_KMS2_PER_MSUN * enclosed[start:] * unit / np.maximum(r[start:], 1.0))
    peak = int(np.argmax(circular))
    v_200 = float(np.sqrt(GRAVITY_KPC_KMS2_PER_MSUN * total / radius))
    kinetic = squared(moving)
    # L = sum of m r x v from the antisymmetric part of sum of m r_j v_k
    weighted = offset * weight[:, None]
    moment = np.einsum("ij,ik->jk", weighted, moving) / unit
    spin = np.array([moment[1, 2] - moment[2, 1], moment[2, 0] - moment[0, 2], moment[0, 1] - moment[1, 0]])
    inertia = np.einsum("ij,ik->jk", weighted, offset)
    values, vectors = np.linalg.eigh(inertia)
    axes = np.sqrt(values[::-1])
    gas, star = kind == 0, kind == 4
    spin_size = float(np.linalg.norm(spin))
    row = {
        "ID": halo_id, "hostHalo": 0, "numSubStruct": 0, "Mhalo": total * H, "npart": n,
        "Rhalo": radius * unit, "Rmax": r[start + peak], "r2": r[start + peak] / 2.163, "mbp_offset": 0.0,
        "com_offset": float(np.linalg.norm(weighted.sum(0))), "Vmax": float(circular[peak]),
        "v_esc": 2.0 * float(circular[peak]), "sigV": float(np.sqrt(np.sum(weight * kinetic))),
        "lambda": spin_size / (np.sqrt(2.0) * v_200 * radius), "b": axes[1] / axes[0],
        "c": axes[2] / axes[0], "ovdens": 200.0, "nbins": 20,
        "fMhires": 1.0 - float(mass[(kind == 2) | (kind == 3)].sum() / mass.sum()),
        "cNFW": _concentration(float(circular[peak]), v_200),
        "n_gas": int(gas.sum()), "M_gas": float(mass[gas].sum()) * H,
        "n_star": int(star.sum()), "M_star": float(mass[star].sum()) * H,
        "Ekin": 0.5 * float(np.sum(mass * kinetic)) * H,
    }  # fmt: skip
    for name, values_3 in (
        (("Xc", "Yc", "Zc"), centre),
        (("VXc", "VYc", "VZc"), bulk),
        (("Lx", "Ly", "Lz"), spin / max(spin_size, 1e-12)),
        (("Eax", "Eay", "Eaz"), vectors[:, 2]),
        (("Ebx", "Eby", "Ebz"), vectors[:, 1]),
        (("Ecx", "Ecy", "Ecz"), vectors[:, 0]),
    ):
        row.update(zip(name, map(float, values_3), strict=True))
    return row


def catalogue_columns(
    particles: Particles,
    halos: list[Halo],
    dark_counts: list[NDArray[np.int64]],
    star_counts: list[NDArray[np.int64]],
    gas_counts: list[NDArray[np.int64]],
    masses: tuple[float, float, float],
) -> dict[str, NDArray[np.float64]]:
    """Columns of AHF_halos: the distinct halos of the plan first, then subhaloes in falling mass.

    A distinct halo's M200c is a spherical-overdensity count of all particles around its density peak. A
    subhalo's mass is that of its own particles (dark matter, gas and stars), as AHF's is after unbinding.

    Parameters
    ----------
    particles
        All particles of the file, by Gadget type.
    halos
        The distinct halos, with their satellites.
    dark_counts, star_counts, gas_counts
        Particles of each halo's satellites.
    masses
        Of a dark-matter, gas and star particle, Msun.
    """
    first_id = halos[0].epoch.snapshot * 10**12 + 1
    unit = file_length(halos[0].epoch)
    subs: list[dict[str, float]] = []
    rows = [_distinct_row(particles, halo, first_id + i) for i, halo in enumerate(halos)]
    for i, halo in enumerate(halos):
        sat = halo.satellites
        numbers = np.stack([dark_counts[i], gas_counts[i], star_counts[i]], 1)
        mass = numbers @ np.array(masses)
        distance = lengths(sat.position)
        limit = sat.truncation() * halo.radius
        listed = np.flatnonzero(numbers[:, 0] >= SMALLEST)
        reach = rows[i]["Rhalo"] / (halo.radius * unit)
        rows[i]["numSubStruct"] = int(np.count_nonzero(distance[listed] < reach))
        for k in listed:
            scale = sat.radius_acc[k] * halo.radius / sat.concentration[k]
            share = nfw.enclosed_mass(min(2.163, limit[k] / scale)) / nfw.enclosed_mass(sat.concentration[k])
            r_max = min(2.163 * scale, limit[k])
            v_max = np.sqrt(GRAVITY_KPC_KMS2_PER_MSUN * share * sat.mass_acc[k] * halo.mass / r_max)
            centre = _file_centre(halo, sat.position[k])
            velocity = sat.velocity[k] * halo.speed + halo.velocity
            subs.append(
                {
                    "ID": 0, "hostHalo": first_id + i if distance[k] < reach else 0, "numSubStruct": 0,
                    "Mhalo": float(mass[k]) * H, "npart": int(numbers[k].sum()),
                    "Rhalo": float(limit[k]) * unit, "Rmax": float(r_max) * unit, "r2": float(scale) * unit,
                    "Vmax": float(v_max), "v_esc": 2.0 * float(v_max),
                    "sigV": float(v_max), "b": 1.0, "c": 1.0, "ovdens": 200.0, "nbins": 5, "fMhires": 1.0,
                    "cNFW": float(sat.concentration[k]),
                    "n_gas": int(numbers[k, 1]), "n_star": int(numbers[k, 2]),
                    "M_gas": float(numbers[k, 1] * masses[1]) * H,
                    "M_star": float(numbers[k, 2] * masses[2]) * H,
                    "Xc": centre[0], "Yc": centre[1], "Zc": centre[2],
                    "VXc": velocity[0], "VYc": velocity[1], "VZc": velocity[2],
                }
            )  # fmt: skip
    subs.sort(key=lambda row: -row["Mhalo"])
    for rank, row in enumerate(subs):
        row["ID"] = first_id + len(halos) + rank
    rows += subs
    integers = ("ID", "hostHalo", "numSubStruct", "npart", "nbins", "n_gas", "n_star")
    names = rows[0].keys() | (subs[0].keys() if subs else set())
    return {
        name: np.array([row.get(name, 0) for row in rows], np.int64 if name in integers else np.float64)
        for name in sorted(names)
    }
