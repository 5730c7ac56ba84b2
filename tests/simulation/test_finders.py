"""Catalogues of every halo finder from the same halos, and what is peculiar to each."""

from __future__ import annotations

import math

import h5py
import numpy as np
import pytest

from tests.helpers import mutated
from three_hundred_maps.builder.recipe import SelectionRecipe
from three_hundred_maps.builder.selection import cut
from three_hundred_maps.errors import InputError
from three_hundred_maps.nfw import enclosed_mass
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.catalogues.halos import NO_HOST, Halos
from three_hundred_maps.simulation.catalogues.rockstar import nfw_m200c, virial_overdensity
from three_hundred_maps.simulation.cosmology import MDPL2, Cosmology
from three_hundred_maps.simulation.readers.snapshot import open_source
from three_hundred_maps.testing.catalogues import write_catalogue

BACKGROUND = {"cosmology": MDPL2, "redshift": 0.5}
BOX_KPC = 50_000.0
NAMES = {
    "ahf": "x.z0.500.AHF_halos",
    "csv": "x.csv",
    "rockstar": "out_10.list",
    "soap": "halo_properties_0077.hdf5",
    "caesar": "m100n1024_151.hdf5",
    "subfind": "fof_subhalo_tab_099.hdf5",
}


def halos(n=6, subs=2):
    """Distinct halos of falling mass, the first with ``subs`` inside it; one lies at the box's face."""
    rng = np.random.default_rng(4)
    mass = np.concatenate([np.geomspace(1e15, 2e13, n), np.geomspace(1e14, 2e13, subs)])
    density = 200.0 * MDPL2.critical_density_msun_kpc3(0.5)
    radius = np.cbrt(mass / (4.0 / 3.0 * math.pi * density))
    centre = np.stack([np.linspace(0.0, 40_000.0, n), *rng.uniform(10_000.0, 40_000.0, (2, n))], 1)
    near = centre[0] + 0.5 * radius[0] * np.array([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])[:subs]
    total = n + subs
    return Halos(
        halo_id=np.arange(total) + 7,
        host_id=np.where(np.arange(total) < n, NO_HOST, 7),
        centre_kpc=np.concatenate([centre, near]) % BOX_KPC,
        M200c_msun=mass,
        R200c_kpc=radius,
        f_high_resolution=np.ones(total),
        com_offset=np.full(total, math.nan),
        f_sub=np.full(total, math.nan),
        redshift=0.5,
    )


def written(kind, folder, given, **options):
    path = write_catalogue(kind, folder / NAMES[kind], given, **BACKGROUND, box_kpc=BOX_KPC, **options)
    return path, read_catalogue(kind, path, **BACKGROUND)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("files", [1, 4])
def test_every_kind_gives_the_same_halos(tmp_path, kind, files):
    if files > 1 and kind not in ("rockstar", "subfind"):
        files = 1
    given = halos()
    path, found = written(kind, tmp_path, given, **({"files": files} if files > 1 else {}))
    assert found.source == kind
    mine, theirs = given.select(given.distinct), found.select(found.distinct)
    order = np.argsort(-theirs.M200c_msun)
    np.testing.assert_allclose(theirs.M200c_msun[order], mine.M200c_msun, rtol=1e-6)
    np.testing.assert_allclose(theirs.R200c_kpc[order], mine.R200c_kpc, rtol=1e-4)
    np.testing.assert_allclose(theirs.centre_kpc[order], mine.centre_kpc, rtol=1e-6, atol=0.1)
    if kind != "subfind":  # numbers its groups
        assert theirs.halo_id[order].tolist() == mine.halo_id.tolist()
    expected = math.nan if kind == "caesar" else 0.12
    np.testing.assert_allclose(theirs.f_sub[order[0]], expected, rtol=1e-6)
    if kind != "csv":  # its redshift is a column that need not be there
        with pytest.raises(InputError, match="of redshift 0.5, the snapshot of 0.1"):
            read_catalogue(kind, path, cosmology=MDPL2, redshift=0.1)


@pytest.mark.parametrize("kind", NAMES)
def test_every_kind_selects_the_same_halos_of_a_real_zoom(real, tmp_path, kind):
    folder = real / "gadget4_zoom"
    info = open_source(folder / "snapshot_z0.989.hdf5").info
    background = {"cosmology": info.cosmology, "redshift": info.redshift}
    ahf = read_catalogue("ahf", folder / "zoom.z0.989.AHF_halos", **background)
    name = NAMES[kind].replace("0.500", "0.989")
    path = write_catalogue(kind, tmp_path / name, ahf, **background, box_kpc=info.box_kpc)
    again = read_catalogue(kind, path, **background)
    selection = SelectionRecipe(min_mass=1e13)
    expected, found = (
        {
            (round(math.log10(h.M200c_msun[i]), 5), *np.round(h.centre_kpc[i], 0))
            for i in np.flatnonzero(cut(h, selection, info.cosmology.h)[0])
        }
        for h in (ahf, again)
    )
    assert len(expected) > 3
    if kind in ("ahf", "csv"):
        assert found == expected
    else:  # know nothing of low-resolution particles, which the particles then tell
        assert found >= expected
        pure = ahf.select(ahf.distinct & (ahf.M200c_msun * info.cosmology.h >= 1e13))
        assert len(found) == len(pure)


@pytest.mark.parametrize("name", ["out_10.list", "halos_10.ascii"])
def test_rockstar_without_parents(tmp_path, name):
    """Hosts are found by position, across the faces of the box."""
    given = halos()
    path = write_catalogue("rockstar", tmp_path / name, given, **BACKGROUND, box_kpc=BOX_KPC, parents=False)
    found = read_catalogue("rockstar", path, **BACKGROUND)
    assert found.host_id.tolist() == given.host_id.tolist()
    assert found.f_sub[0] == pytest.approx(0.12)
    alone = written("rockstar", tmp_path, given.select(given.distinct), parents=False)[1]
    assert np.isnan(alone.f_sub).all()  # a table of distinct halos alone does not say


def test_rockstar_masses_of_another_definition(tmp_path):
    """M200c is made from M500c (here .7 M200c, c = 5 at 200c) and the store is told so; or is demanded."""
    given = halos()
    path, found = written("rockstar", tmp_path, given, m200c=False)
    assert found.origins()["M200c_catalogue"] == "made from M500c and Rs for an NFW profile"
    # the concentration at 500c follows from .7 M200c: not exactly the profile of c = 5
    np.testing.assert_allclose(found.M200c_msun, given.M200c_msun, rtol=0.03)
    path.write_text(path.read_text().replace(" M500c", " M400c").replace(" Rs", " Rt"))
    with pytest.raises(InputError, match="has no column M200c, nor M500c or Mvir .* MASS_DEFINITION2"):
        read_catalogue("rockstar", path, **BACKGROUND)


def test_conversion_of_masses_is_that_of_nfw():
    critical = 140.0
    for overdensity in (100.0, 200.0, 500.0):
        m200, c200 = np.array([1e15, 1e14]), np.array([4.0, 8.0])
        r200 = np.cbrt(m200 / (4.0 / 3.0 * math.pi * 200.0 * critical))
        x = np.geomspace(0.01, 100.0, 400_001)
        mean = enclosed_mass(x) / x**3
        for mass, c, r in zip(m200, c200, r200, strict=True):
            at = float(
                np.interp(
                    math.log(overdensity / 200.0 * enclosed_mass(c) / c**3), np.log(mean[::-1]), x[::-1]
                )
            )
            other = mass * float(enclosed_mass(at) / enclosed_mass(c))
            back = nfw_m200c(np.array([other, 0.0]), np.array([r / c, r / c]), overdensity, critical)
            np.testing.assert_allclose(back, [mass, 0.0], rtol=1e-5)
    # Bryan & Norman: 18 pi^2 without dark energy, near 100 today
    assert virial_overdensity(Cosmology(0.7, 1.0, 0.0), 3.0) == pytest.approx(18.0 * math.pi**2)
    assert virial_overdensity(Cosmology(0.7, 0.3, 0.7), 0.0) == pytest.approx(101.0, abs=1.0)


def test_ahf_given_as_rockstar(tmp_path):
    path, _ = written("ahf", tmp_path, halos())
    with pytest.raises(InputError, match="column hosthalo is of another kind .* kind: ahf"):
        read_catalogue("rockstar", path, **BACKGROUND)


def test_rockstar_units_and_cosmology(tmp_path):
    given = halos()
    path, found = written("rockstar", tmp_path, given)
    text = path.read_text()
    path.write_text(text.replace("Masses in Msun / h", "Masses in Msun").replace("in Mpc / h", "in kpc"))
    other = read_catalogue("rockstar", path, **BACKGROUND)
    np.testing.assert_allclose(other.M200c_msun, found.M200c_msun * MDPL2.h)
    np.testing.assert_allclose(other.centre_kpc, found.centre_kpc * MDPL2.h / 1e3)
    path.write_text(text.replace(f"h = {MDPL2.h:f}", "h = 0.7"))
    with pytest.raises(InputError, match="catalogue's h is 0.7, the snapshot's 0.6777"):
        read_catalogue("rockstar", path, **BACKGROUND)
    path.write_text(text.replace("#a = ", "#a = -"))
    with pytest.raises(InputError, match="does not give a positive number"):
        read_catalogue("rockstar", path, **BACKGROUND)


def test_heading_of_consistent_trees(tmp_path):
    """An hlist says its scale factor in a column, h as h0 and the box in other words."""
    path, found = written("rockstar", tmp_path, halos())
    lines = path.read_text().splitlines()
    rows = [line for line in lines if not line.startswith("#")]
    names = " ".join(f"{name}({i})" for i, name in enumerate(["scale", *lines[0].lstrip("#").split()]))

    def again(scale, h):
        heading = f"#{names}\n#Omega_M = 0.307; Omega_L = 0.693; h0 = {h:f}\n#Full box size = 1000.0 Mpc/h\n"
        path.write_text(heading + "".join(f"{scale:.4f} {row}\n" for row in rows))
        return read_catalogue("rockstar", path, **BACKGROUND)

    own = 1.0 / (1.0 + BACKGROUND["redshift"])
    hlist = again(own, MDPL2.h)
    assert hlist.redshift == pytest.approx(BACKGROUND["redshift"], abs=2e-4)
    np.testing.assert_allclose(hlist.centre_kpc, found.centre_kpc, rtol=1e-9)  # not by its rounded scale
    with pytest.raises(InputError, match=f"catalogue is of redshift {2.0 / own - 1.0:.3g}"):
        again(0.5 * own, MDPL2.h)
    with pytest.raises(InputError, match="catalogue's h is 0.7, the snapshot's 0.6777"):
        again(own, 0.7)


def test_contamination_of_tng_cluster(tmp_path):
    path, _ = written("subfind", tmp_path, halos())
    with h5py.File(path, "r+") as file:
        file["Group/GroupContaminationFracByMass"] = np.array([0.0, 0.2, 0.0, 0.0, 1.0, 0.0], np.float32)
    found = read_catalogue("subfind", path, **BACKGROUND)
    np.testing.assert_allclose(found.f_high_resolution, [1.0, 0.8, 1.0, 1.0, 0.0, 1.0], rtol=1e-6)


def test_groups_of_seven_types(tmp_path):
    """NTYPES may be above 6 in AREPO and GADGET-4, as in their snapshots."""
    lengths = np.arange(42).reshape(6, 7) + 1000
    _, found = written("subfind", tmp_path, halos(), lengths=lengths)
    assert found.members is not None
    assert found.members.length.tolist() == lengths[:, :6].tolist()
    with pytest.raises(InputError, match=r"GroupLenType has shape \(6, 5\)"):
        written("subfind", tmp_path, halos(), lengths=lengths[:, :5])


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("soap", "SO/200_crit", "no SO/200_crit/TotalMass: .*/SO holds nothing"),
        ("soap", "InputHalos/HaloCentre", "no InputHalos/HaloCentre or VR/CentreOfPotential"),
        ("caesar", "halo_data/dicts/virial_quantities.m200c", "no halo_data/dicts.*holds masses.total"),
        ("caesar", "halo_data/GroupID", "a catalogue of another kind"),
    ],
)
def test_what_is_missing_is_named(tmp_path, kind, name, message):
    path, _ = written(kind, tmp_path, halos())
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(InputError, match=message):
        read_catalogue(kind, path, **BACKGROUND)


def test_soap_without_host_rows(tmp_path):
    path, found = written("soap", tmp_path, halos())
    with h5py.File(path, "r+") as file:
        del file["SOAP"]
    again = read_catalogue("soap", path, **BACKGROUND)
    assert again.halo_id.tolist() == found.halo_id.tolist()
    with h5py.File(path, "r+") as file:
        file["SOAP/HostHaloIndex"] = np.full(8, 8)
    with pytest.raises(InputError, match="only a part of the catalogue"):
        read_catalogue("soap", path, **BACKGROUND)


def test_units_that_are_not_known_are_refused(tmp_path):
    path, _ = written("caesar", tmp_path, halos())
    with h5py.File(path, "r+") as file:
        file["halo_data/minpotpos"].attrs["unit"] = "ly"
    with pytest.raises(InputError, match="minpotpos is in 'ly'"):
        read_catalogue("caesar", path, **BACKGROUND)
    path, _ = written("soap", tmp_path, halos())
    with h5py.File(path, "r+") as file:
        del file["InputHalos/HaloCentre"].attrs[
            "Conversion factor to physical CGS (including cosmological corrections)"
        ]
    with pytest.raises(InputError, match="has no attribute Conversion factor"):
        read_catalogue("soap", path, **BACKGROUND)
    with pytest.raises(InputError, match=r"catalogue\.kind 'vr' is unknown: write one of ahf, .*csv$"):
        read_catalogue("vr", path, **BACKGROUND)


@pytest.mark.parametrize(
    "number", [pytest.param(25, id="some"), pytest.param(200, id="many", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("kind", NAMES)
def test_damaged_catalogues(tmp_path, kind, number):
    """One line, or finite halos."""
    path, _ = written(kind, tmp_path, halos())
    data, rng = path.read_bytes(), np.random.default_rng(5)
    refused = 0
    for _ in range(number):
        path.write_bytes(mutated(data, rng))
        try:
            found = read_catalogue(kind, path, **BACKGROUND)
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert np.isfinite(found.centre_kpc).all()
            assert (found.M200c_msun > 0).all()
            assert (found.R200c_kpc > 0).all()
    assert refused


def test_caesar_says_nan_where_a_group_has_no_m200c(tmp_path):
    given = halos()
    path, found = written("caesar", tmp_path, given)
    with h5py.File(path, "r+") as file:
        for name in ("m200c", "r200c"):
            file[f"halo_data/dicts/virial_quantities.{name}"][1] = math.nan
    less = read_catalogue("caesar", path, **BACKGROUND)
    assert less.halo_id.tolist() == np.delete(found.halo_id, 1).tolist()
    with h5py.File(path, "r+") as file:
        file["halo_data/minpotpos"][0] = math.nan
    with pytest.raises(InputError, match="minpotpos holds numbers that are not finite"):
        read_catalogue("caesar", path, **BACKGROUND)
