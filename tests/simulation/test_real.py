"""Real simulation files: a zoom at z = 0.989, a box in three formats, AHF and SUBFIND, two odd ones."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping import VIEWS, MapContext
from three_hundred_maps.mapping.views import context_of_halo
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.catalogues.catalogue_checks import check_catalogue
from three_hundred_maps.simulation.measure import measure
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.substructure import substructure_from_particles

BOX_FORMATS = ("snapshot_003.hdf5", "snap_003.gad1", "snap_003.gad2")


@pytest.fixture(scope="module")
def zoom(real):
    return Region.open(real / "gadget4_zoom/snapshot_z0.989.hdf5")


@pytest.fixture(scope="module")
def boxes(real):
    return [Region.open(real / "gadget4_lcdm_gas" / name) for name in BOX_FORMATS]


def catalogue(region, kind, path):
    return read_catalogue(kind, path, cosmology=region.info.cosmology, redshift=region.info.redshift)


def test_zoom_header(zoom):
    info = zoom.info
    assert info.dialect == "gadget4"
    assert not info.synthetic
    assert info.counts == {
        "gas": 135_269,
        "dark_matter": 139_072,
        "low_resolution": 259_971,
        "stars": 3_803,
        "black_holes": 0,
    }
    assert info.cosmology.h == 0.6777
    assert info.cosmology.omega_b == 0.048206
    # 100 Mpc/h comoving at z = 0.989: the file's lengths are in Mpc/h.
    assert info.box_kpc == pytest.approx(100e3 / 0.6777 / (1 + info.redshift), rel=1e-6)
    assert zoom.periodic
    assert info.assumptions == {"hydrogen_fraction": "not in the files: 0.76"}


def test_largest_halo_of_the_zoom(zoom, real):
    halos = catalogue(zoom, "ahf", real / "gadget4_zoom/zoom.z0.989.AHF_halos")
    assert halos.redshift == 0.989
    found = measure(zoom.cutout(halos.centre_kpc[0], 1.5 * halos.R200c_kpc[0]))
    h = zoom.info.cosmology.h
    assert found["M200c"] * h == pytest.approx(6.745e13, rel=0.01)
    assert found["R200c"] == pytest.approx(902.23 / h / (1 + zoom.info.redshift), rel=0.005)
    assert found["f_gas_500"] == pytest.approx(0.1245, rel=0.03)
    assert found["f_star_500"] == pytest.approx(0.0176, rel=0.03)
    assert found["T_mw_500_keV"] == pytest.approx(1.229, rel=0.03)
    assert found["Y_500_mpc2"] == pytest.approx(1.572e-6, rel=0.03)
    assert found["com_offset"] == pytest.approx(halos.com_offset[0], rel=0.02)
    assert found["c200c"] == pytest.approx(4.7373, rel=0.25)  # AHF's cNFW is from the circular velocity


@pytest.mark.parametrize(
    ("snapshot", "table"),
    [
        ("gadget4_zoom/snapshot_z0.989.hdf5", "gadget4_zoom/zoom.z0.989.AHF_halos"),
        ("gadget4_lcdm_gas/snap_003.gad1", "gadget4_lcdm_gas/lcdm_gas_z0.z0.000.AHF_halos"),
    ],
)
def test_velocity_of_the_largest_halo_is_the_catalogue_s(real, snapshot, table):
    """AHF wrote peculiar velocities of its own reading: at z = 0.989 they show the scale factor's power."""
    region = Region.open(real / snapshot, optional=("velocity",))
    halos = catalogue(region, "ahf", real / table)
    head, first = (real / table).read_text().splitlines()[:2]
    values = dict(zip((name.partition("(")[0] for name in head.split()), first.split(), strict=False))
    cutout = region.cutout(halos.centre_kpc[0], float(halos.R200c_kpc[0]))
    context = context_of_halo(MapContext(), cutout, float(halos.R200c_kpc[0]), [VIEWS["velocity"]])
    expected = [float(values[name]) for name in ("VXc", "VYc", "VZc")]
    np.testing.assert_allclose(context.halo_velocity, expected, atol=0.3)


def test_largest_halo_of_the_box(boxes, real):
    halos = catalogue(boxes[0], "ahf", real / "gadget4_lcdm_gas/lcdm_gas_z0.z0.000.AHF_halos")
    for region in boxes:
        found = measure(region.cutout(halos.centre_kpc[0], 1.5 * halos.R200c_kpc[0]))
        assert found["M200c"] * region.info.cosmology.h == pytest.approx(1.74e14, rel=0.03)
        assert found["f_gas_500"] == pytest.approx(0.118, rel=0.05)
        assert found["T_mw_500_keV"] == pytest.approx(2.07, rel=0.05)
        assert found["Y_500_mpc2"] == pytest.approx(6.26e-6, rel=0.05)


def test_three_formats_give_the_same_particles(boxes):
    first, *others = boxes
    # A sphere across a corner of the periodic box, and nearly half its side.
    reference = first.cutout([100.0, 71_000.0, 35_000.0], 30_000.0)
    assert len(reference["gas"]) > 3000
    for other in others:
        assert other.info.counts == first.info.counts
        cutout = other.cutout([100.0, 71_000.0, 35_000.0], 30_000.0)
        for species, particles in reference.particles.items():
            same = cutout[species]
            np.testing.assert_array_equal(same.index, particles.index)
            np.testing.assert_array_equal(same.position, particles.position)
            np.testing.assert_array_equal(same.mass, particles.mass)
            for name, values in particles.fields.items():
                if name != "metallicity":  # the binary files have none; 7 of 32764 particles have any
                    np.testing.assert_array_equal(same.fields[name], values, err_msg=name)
        assert "no metals" in other.info.assumptions["metallicity"]


def test_format_1_says_what_it_concluded(boxes):
    assert boxes[1].info.dialect == "gadget1"
    assert "POS VEL ID MASS U RHO NE HSML SFR" in boxes[1].info.assumptions["blocks"]


@pytest.mark.parametrize(
    ("folder", "snapshot", "table", "mass"),
    [
        ("gadget4_zoom", "snapshot_z0.989.hdf5", "fof_subhalo_tab_z0.989.hdf5", 6.743e13),
        ("gadget4_lcdm_gas", "snapshot_003.hdf5", "fof_subhalo_tab_003.hdf5", 1.75e14),
    ],
)
def test_subfind_gives_the_same_largest_halo(real, folder, snapshot, table, mass):
    region = Region.open(real / folder / snapshot)
    halos = catalogue(region, "subfind", real / folder / table)
    first = int(np.argmax(halos.M200c_msun))
    h = region.info.cosmology.h
    assert halos.M200c_msun[first] * h == pytest.approx(mass, rel=0.002)
    found = measure(region.cutout(halos.centre_kpc[first], 1.5 * halos.R200c_kpc[first]))
    assert found["M200c"] == pytest.approx(halos.M200c_msun[first], rel=0.01)
    assert check_catalogue(region, halos) == []
    assert halos.distinct.all()


def test_zoom_is_clean_to_three_radii_and_refused_farther_out(zoom, real):
    halos = catalogue(zoom, "ahf", real / "gadget4_zoom/zoom.z0.989.AHF_halos")
    h = zoom.info.cosmology.h
    massive = np.flatnonzero(
        halos.distinct & (halos.M200c_msun * h > 1e13) & (halos.f_high_resolution > 0.99)
    )
    assert len(massive) == 4
    for row in massive:
        centre, radius = halos.centre_kpc[row], 3.0 * halos.R200c_kpc[row]
        cutout = zoom.cutout(centre, radius)
        assert cutout.low_resolution_fraction < 1e-3
        assert zoom.refusal(centre, radius, cutout) is None
    # The zoom ends somewhere: far enough out every halo is refused, and the reason says why.
    reason = zoom.refusal(halos.centre_kpc[0], 12.0 * halos.R200c_kpc[0])
    assert reason is not None
    assert "low-resolution particles hold" in reason
    # A halo of low-resolution particles is refused itself.
    coarse = int(np.argmin(halos.f_high_resolution))
    assert "low-resolution" in str(zoom.refusal(halos.centre_kpc[coarse], 2 * halos.R200c_kpc[coarse]))


def test_catalogues_of_other_simulations_and_redshifts(zoom, boxes, real):
    of_the_box = real / "gadget4_lcdm_gas/lcdm_gas_z0.z0.000.AHF_halos"
    with pytest.raises(InputError, match="of redshift 0, the snapshot of 0.9891"):
        catalogue(zoom, "ahf", of_the_box)
    of_the_zoom = real / "gadget4_zoom/zoom.z0.989.AHF_halos"
    with pytest.raises(InputError, match="of redshift 0.989"):
        catalogue(boxes[0], "ahf", of_the_zoom)
    halos = read_catalogue("ahf", of_the_zoom, cosmology=boxes[0].info.cosmology, redshift=0.989)
    with pytest.raises(InputError, match="another simulation"):
        check_catalogue(boxes[0], halos)


def test_old_column_names(real):
    path = real / "ahf/tiny.000640.z2.964.AHF_halos"
    from three_hundred_maps.simulation.cosmology import Cosmology

    halos = read_catalogue("ahf", path, cosmology=Cosmology(0.7, 0.3, 0.7), redshift=2.964)
    assert halos.M200c_msun[0] == pytest.approx(2.34068e11 / 0.7)
    assert halos.R200c_kpc[0] == pytest.approx(152.40 / 0.7 / 3.964)
    np.testing.assert_allclose(
        halos.centre_kpc[0], np.array([18494.38646187, 24530.41001747, 15219.31979312]) / 0.7 / 3.964
    )
    assert halos.com_offset[0] == pytest.approx(3.40709 / 152.40)
    assert halos.host_id[0] == -1
    assert len(halos) == sum(1 for line in path.read_text().splitlines() if line.strip()) - 1


def test_format_1_of_another_code(real):
    region = Region.open(real / "pnbody/gadget_z00.dat")
    assert region.info.counts["gas"] == 9160
    assert region.info.counts["stars"] == 1120
    assert not region.periodic  # isolated: it fills a fifth of the box that the header gives
    whole = region.cutout(np.zeros(3), 50_000.0)
    assert len(whole["gas"]) == 9160
    # Masses stand in the header's table: 1.0856e-3 and 6.6690e-3 times 1e10 Msun/h.
    np.testing.assert_allclose(whole["gas"].mass, 1.08565215e7 / 0.7, rtol=1e-6)
    np.testing.assert_allclose(whole["dark_matter"].mass, 6.66900631e7 / 0.7, rtol=1e-6)
    assert "leaves the region" in str(region.refusal([0.0, 0.0, 0.0], 30_000.0))


def test_arepo_zoom_in_mpc(real, tmp_path):
    path = tmp_path / "auriga.hdf5"
    shutil.copyfile(real / "pnbody/auriga_cosmo.hdf5", path)
    with h5py.File(path, "r+") as file:
        file["Header"].attrs["NumFilesPerSnapshot"] = [1]
        volume = file["PartType0/Masses"][:].astype(float) / file["PartType0/Density"][:]
        positions = file["PartType0/Coordinates"][:]
    region = Region.open(path)
    assert region.info.dialect == "arepo"
    assert region.info.counts["low_resolution"] == 608 + 402
    scale = 1e3 / 0.6777 / (1 + region.info.redshift)
    assert region.info.box_kpc == pytest.approx(67.77 * scale)
    assert "2.5 (3 V / 4 pi)^(1/3)" in region.info.assumptions["smoothing_length"]
    assert "fully ionised" in region.info.assumptions["electron_abundance"]
    centre = positions.mean(0) * scale
    gas = region.cutout(centre, 1e3)["gas"]
    assert len(gas) == 5319
    np.testing.assert_allclose(
        gas.fields["smoothing_length"], 2.5 * np.cbrt(3 * volume / (4 * np.pi)) * scale, rtol=1e-5
    )
    np.testing.assert_allclose(gas.position, positions * scale - centre, atol=0.02)
    with pytest.raises(InputError, match="length unit 'pc' is unknown"):
        Region.open(path, length_unit="pc")
    assert Region.open(path, length_unit="kpc/h").info.box_kpc == pytest.approx(67.77 * scale / 1e3)


def test_substructure_of_the_zoom(zoom, real):
    """Lumps without velocities hold less than what a finder binds."""
    halos = catalogue(zoom, "ahf", real / "gadget4_zoom/zoom.z0.989.AHF_halos")
    radius = float(halos.R200c_kpc[0])
    found = substructure_from_particles(zoom.cutout(halos.centre_kpc[0], 1.2 * radius), radius)
    assert halos.f_sub[0] / 3 < found < halos.f_sub[0] * 1.2
