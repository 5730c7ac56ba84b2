"""AHF, SUBFIND and CSV catalogues, and whether they belong to the particles."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.catalogues.catalogue_checks import check_catalogue, mass_disagreement
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.writers.ahf import AHF_COLUMNS, write_ahf
from three_hundred_maps.testing.small import small_snapshot

COSMOLOGY = Cosmology(0.7, 0.3, 0.7)


def columns(n=3, **more):
    rng = np.random.default_rng(1)
    return {
        "ID": np.arange(1, n + 1) + 128_000_000_000_000,
        "hostHalo": np.zeros(n),
        "Mhalo": np.geomspace(1e15, 1e13, n),
        "Rhalo": np.geomspace(2000, 400, n),
        **{name: rng.uniform(490_000, 510_000, n) for name in ("Xc", "Yc", "Zc")},
        "com_offset": np.geomspace(200, 4, n),
        "fMhires": np.full(n, 0.995),
        "cNFW": np.full(n, -1.0),
        **more,
    }


def ahf(path, redshift=0.0):
    return read_catalogue("ahf", path, cosmology=COSMOLOGY, redshift=redshift)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("Mhalo", "Mvir").replace("Rhalo", "Rvir").replace("\t", " \t "),
        lambda text: text.replace("#ID", "#new(0)\tID").replace("\n1", "\n0\t1"),
    ],
    ids=["as written", "older names and spaces", "a column inserted"],
)
def test_ahf_variants(tmp_path, change):
    given = columns()
    path = write_ahf(tmp_path / "X.AHF_halos", given)
    path.write_text(change(path.read_text()))
    halos = ahf(path, redshift=1.0)
    np.testing.assert_array_equal(halos.halo_id, given["ID"])
    np.testing.assert_allclose(halos.M200c_msun, given["Mhalo"] / 0.7, rtol=1e-6)
    np.testing.assert_allclose(halos.R200c_kpc, given["Rhalo"] / 0.7 / 2, rtol=1e-6)
    np.testing.assert_allclose(halos.centre_kpc[:, 1], given["Yc"] / 0.7 / 2, rtol=1e-10)
    np.testing.assert_allclose(halos.com_offset, given["com_offset"] / given["Rhalo"], rtol=1e-6)
    np.testing.assert_allclose(halos.f_high_resolution, 0.995)
    assert halos.distinct.all()
    assert np.isnan(halos.redshift)


def test_real_column_names_are_ours(real):
    """The writer's names and order are those of a file that AHF wrote."""
    header = (real / "gadget4_zoom/zoom.z0.989.AHF_halos").read_text().splitlines()[0]
    assert [word.split("(")[0] for word in header.lstrip("#").split()] == list(AHF_COLUMNS)


def test_hosts(tmp_path):
    """-1 is no host; 0 is none where no halo is called 0 or it names itself, else a host."""
    three_hundred = ahf(write_ahf(tmp_path / "a.AHF_halos", columns(hostHalo=[0, 0, 128_000_000_000_001])))
    assert three_hundred.host_id.tolist() == [-1, -1, 128_000_000_000_001]
    np.testing.assert_allclose(three_hundred.f_sub, [1e-2, 0, 0], rtol=1e-6)
    from_zero = ahf(write_ahf(tmp_path / "b.AHF_halos", columns(ID=[0, 1, 2], hostHalo=[-1, 0, 1])))
    assert from_zero.host_id.tolist() == [-1, 0, 1]
    both = ahf(write_ahf(tmp_path / "c.AHF_halos", columns(ID=[0, 1, 2], hostHalo=[0, 0, 1])))
    assert both.host_id.tolist() == [-1, -1, 1]
    assert from_zero.distinct.tolist() == [True, False, False]
    np.testing.assert_allclose(from_zero.f_sub, [0.1, 0.1, 0], rtol=1e-6)


def test_identifiers_above_2_63(tmp_path):
    """Unsigned identifiers come out as int64 with the same bits, hosts too; 2^64 - 1 is none."""
    above = [(1 << 63) + 5, (1 << 64) - 2, 7]
    given = columns()
    hosts = [(1 << 64) - 1, above[0], -1]
    given |= {"ID": np.array(above, object), "hostHalo": np.array(hosts, object)}
    halos = ahf(write_ahf(tmp_path / "a.AHF_halos", given))
    assert halos.halo_id.view(np.uint64).tolist() == above
    assert halos.distinct.tolist() == [True, False, True]
    assert halos.host_id[1] == halos.halo_id[0]
    np.testing.assert_allclose(halos.f_sub, [0.1, 0, 0], rtol=1e-6)


def test_one_halo_without_offset_or_resolution(tmp_path):
    """A nan in a column that a catalogue need not have is one halo's that does not say."""
    given = columns(com_offset=[np.nan, 20.0, 4.0], fMhires=[0.5, np.nan, -np.inf])
    halos = ahf(write_ahf(tmp_path / "a.AHF_halos", given))
    assert np.isnan(halos.com_offset).tolist() == [True, False, False]
    assert halos.f_high_resolution.tolist() == [0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    "header",
    [
        "#id num_p mvir mbound_vir rvir vmax rvmax vrms x y z",
        "#ID DescID Mvir Vmax Vrms Rvir Rs Np X Y Z",
        "#scale(0) id(1) desc_scale(2) desc_id(3) num_prog(4)",
    ],
)
def test_rockstar_given_as_ahf(tmp_path, header):
    path = tmp_path / "halos_0.0.ascii"
    path.write_text(f"{header}\n#a = 1.000000\n1 2 3\n")
    with pytest.raises(InputError, match="of another kind of catalogue, an AHF_halos .* kind: rockstar"):
        ahf(path)


@pytest.mark.parametrize("z", ["0.000", "-0.000"])
def test_files_of_an_mpi_run(tmp_path, z):
    """Several files a snapshot; only the first names the columns; any of them, the prefix or a pattern do."""
    given = columns(9)
    whole = ahf(write_ahf(tmp_path / "whole.AHF_halos", given))
    stem = tmp_path / "GIZMO-NewMDCLUSTER_0001.snap_128"
    for rank in range(3):
        part = {name: values[3 * rank : 3 * rank + 3] for name, values in given.items()}
        path = write_ahf(tmp_path / f"{stem.name}.{rank:04d}.z{z}.AHF_halos", part)
        if rank:
            path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    write_ahf(tmp_path / "GIZMO-NewMDCLUSTER_0001.snap_127.0000.z0.022.AHF_halos", columns(2))
    for name in (path, stem, tmp_path / "GIZMO-NewMDCLUSTER_0001.snap_128.*AHF_halos"):
        halos = ahf(name)
        np.testing.assert_array_equal(halos.halo_id, whole.halo_id)
        np.testing.assert_array_equal(halos.centre_kpc, whole.centre_kpc)
        assert halos.redshift == 0.0
    with pytest.raises(InputError, match="2 different catalogues match"):
        ahf(tmp_path / "GIZMO-NewMDCLUSTER_0001*")


def test_one_file_by_its_pattern(tmp_path):
    """The redshift in a name need not be known."""
    write_ahf(tmp_path / "GIZMO-NewMDCLUSTER_0001.snap_110.z0.333.AHF_halos", columns())
    halos = ahf(tmp_path / "GIZMO-NewMDCLUSTER_0001.snap_110.*.AHF_halos", redshift=0.3333)
    assert halos.redshift == 0.333
    with pytest.raises(InputError, match="of redshift 0.333, the snapshot of 0"):
        ahf(tmp_path / "GIZMO-NewMDCLUSTER_0001.snap_110")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "does not name the columns"),
        (lambda text: text.splitlines()[0] + "\n", "has no halos"),
        (lambda text: text.split("\n", 1)[1], "does not name the columns"),
        (lambda text: text.replace("Xc(6)", "Qc(6)"), "no column 'xc'"),
        (lambda text: text.replace("Mhalo(4)", "M(4)"), "no column 'mhalo'"),
        (lambda text: text.replace("1e+15", "nan"), "mass holds a number that is not finite"),
        (lambda text: text.replace("128000000000001", str(1 << 64)), "not a whole number"),
        (lambda text: text.replace("1e+15", "0"), "mass or radius of zero"),
        (lambda text: text.replace("1e+15", "many"), "damaged"),
        (lambda text: text.rsplit("\t", 3)[0] + "\n", "line 4 has 80 columns, the first names 83"),
        (lambda text: text[:-30], "line 4 has no end: the file was cut short"),
        (lambda text: text + "1" * 200_000 + "\n", "line 5 has no end"),
        (lambda text: text + text.splitlines()[1] + "\n", "occur twice"),
        (lambda text: text.replace("128000000000001", "1.5"), "not a whole number"),
        (lambda text: "\x89HDF", "not a text file"),
        (lambda text: "é" + text, "not a text file"),
    ],
)
def test_broken_ahf(tmp_path, change, message):
    path = write_ahf(tmp_path / "X.AHF_halos", columns())
    path.write_text(change(path.read_text()), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        ahf(path)
    assert str(path) in str(caught.value)


def test_absent_and_unknown(tmp_path):
    with pytest.raises(InputError, match="no AHF_halos catalogue here"):
        ahf(tmp_path / "absent")
    with pytest.raises(InputError, match="write one of ahf, subfind, rockstar"):
        read_catalogue("hop", tmp_path, cosmology=COSMOLOGY, redshift=0.0)
    with pytest.raises(InputError, match="a file in HDF5 was expected"):
        read_catalogue(
            "subfind", write_ahf(tmp_path / "x.AHF_halos", columns()), cosmology=COSMOLOGY, redshift=0.0
        )


CSV = """halo_id,x_ckpc_h,y_ckpc_h,z_ckpc_h,M200c_msun_h,note
7,1000,2000,3000,7e14,"a, b"
9,4000,5000,6000,7e13,
"""


def test_csv(tmp_path):
    path = tmp_path / "halos.csv"
    path.write_text(CSV)
    halos = read_catalogue("csv", path, cosmology=COSMOLOGY, redshift=1.0)
    assert halos.halo_id.tolist() == [7, 9]
    np.testing.assert_allclose(halos.M200c_msun, [1e15, 1e14])
    np.testing.assert_allclose(halos.centre_kpc[0], np.array([1000, 2000, 3000]) / 0.7 / 2)
    density = halos.M200c_msun / (4 / 3 * np.pi * halos.R200c_kpc**3)
    np.testing.assert_allclose(density, 200 * COSMOLOGY.critical_density_msun_kpc3(1.0))
    assert np.isnan(halos.f_sub).all()
    for unit, factor in (("cMpc_h", 1e3), ("ckpc", 0.7), ("cMpc", 700.0), ("kpc", 1.4), ("Mpc", 1400.0)):
        path.write_text(CSV.replace("ckpc_h", unit))
        other = read_catalogue("csv", path, cosmology=COSMOLOGY, redshift=1.0)
        np.testing.assert_allclose(other.centre_kpc, halos.centre_kpc * factor)
    path.write_text(
        CSV.replace("msun_h", "msun").replace("note", "redshift").replace(',"a, b"', ",1.0")[:-1] + "1\n"
    )
    plain = read_catalogue("csv", path, cosmology=COSMOLOGY, redshift=1.0)
    np.testing.assert_allclose(plain.M200c_msun, [7e14, 7e13])
    assert plain.redshift == 1.0
    with pytest.raises(InputError, match="of redshift 1"):
        read_catalogue("csv", path, cosmology=COSMOLOGY, redshift=0.5)


@pytest.mark.parametrize("none", [-1, 1], ids=["none", "its own"])
def test_csv_hosts(tmp_path, none):
    path = tmp_path / "halos.csv"
    path.write_text(
        "halo_id,host_id,x_Mpc,y_Mpc,z_Mpc,M200c_msun,R200c_kpc,com_offset,f_high_resolution\n"
        f"1,{none},1,2,3,1e14,900,0.1,1\n2,1,1,2,3,1e13,400,0.2,0.5\n"
    )
    halos = read_catalogue("csv", path, cosmology=COSMOLOGY, redshift=0.0)
    assert halos.distinct.tolist() == [True, False]
    assert halos.f_sub[0] == pytest.approx(0.1)
    assert halos.R200c_kpc.tolist() == [900, 400]
    assert halos.com_offset.tolist() == [0.1, 0.2]
    assert halos.f_high_resolution.tolist() == [1, 0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must name|needs columns"),
        ("a,a\n", "each once"),
        (CSV.replace("x_ckpc_h", "x"), "needs columns halo_id"),
        (CSV.replace("M200c_msun_h", "M200c"), "needs columns halo_id"),
        (CSV.replace("7,1000", "7.5,1000"), "line 2: halo_id is '7.5'"),
        (CSV.replace("9,", "7,"), "identifiers occur twice"),
        (CSV.replace("5000", "five"), "line 3: y_ckpc_h is 'five'"),
        (CSV.replace("\n9", "\n\n# the small one\n9").replace("5000", "five"), "line 5: y_ckpc_h is 'five'"),
        (CSV.replace("5000", "nan"), "not a finite number"),
        (CSV.replace("5000,", ""), "line 3 has 5 fields, expected 6"),
        (CSV.replace("7e13", "0"), "halo 9 has a mass or radius of zero"),
        (CSV.splitlines()[0] + "\n", "has no halos"),
    ],
)
def test_broken_csv(tmp_path, text, message):
    path = tmp_path / "halos.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_catalogue("csv", path, cosmology=COSMOLOGY, redshift=0.0)


def subfind_table(path, *, groups=slice(None), files=1, cm=True, change=None):
    """A small FOF/SUBFIND table as AREPO writes it: kpc/h, no units said."""
    rng = np.random.default_rng(3)
    mass = np.array([1e5, 3e4, 0.0, 2e3])
    with h5py.File(path, "w") as file:
        header = file.create_group("Header").attrs
        header["Redshift"], header["BoxSize"], header["NumFiles"] = 0.5, 75_000.0, files
        header["Ngroups_Total"] = 4
        header["Ngroups_ThisFile"] = len(mass[groups])
        header["Nsubgroups_ThisFile"] = 5 if groups.start in (None, 0) else 0
        header["HubbleParam"] = 0.7
        group = file.create_group("Group")
        position = rng.uniform(0, 75_000, (4, 3)).astype("f4")
        position[0] = [10.0, 200.0, 300.0]
        group["GroupPos"] = position[groups]
        group["Group_M_Crit200"] = mass.astype("f4")[groups]
        group["Group_R_Crit200"] = np.array([1000.0, 700.0, 0.0, 300.0], "f4")[groups]
        group["GroupFirstSub"] = np.array([0, 3, -1, 4], "i4")[groups]
        group["GroupNsubs"] = np.array([3, 1, 0, 1], "i4")[groups]
        if groups.start in (None, 0):
            subhalo = file.create_group("Subhalo")
            subhalo["SubhaloMass"] = np.array([9e4, 6e3, 3e3, 3e4, 2e3], "f4")
            where = np.repeat(position, [3, 1, 0, 1], axis=0)
            where[1] += [-500.0 + 75_000.0, 0, 0]  # across the box's face, inside R200c
            where[2] += [1500.0, 0, 0]  # in the group, outside R200c
            subhalo["SubhaloPos"] = where
        if change is not None:
            change(file)
    return path


def test_subfind_of_arepo(tmp_path):
    whole = read_catalogue(
        "subfind", subfind_table(tmp_path / "fof_099.hdf5"), cosmology=COSMOLOGY, redshift=0.5
    )
    assert whole.halo_id.tolist() == [0, 1, 3]
    np.testing.assert_allclose(whole.M200c_msun, np.array([1e15, 3e14, 2e13]) / 0.7, rtol=1e-6)
    np.testing.assert_allclose(whole.R200c_kpc, np.array([1000, 700, 300]) / 0.7 / 1.5, rtol=1e-6)
    np.testing.assert_allclose(whole.f_sub, [0.06, 0, 0], rtol=1e-5)
    assert whole.distinct.all()
    in_mpc = read_catalogue(
        "subfind", tmp_path / "fof_099.hdf5", cosmology=COSMOLOGY, redshift=0.5, length_unit="Mpc/h"
    )  # the table does not say
    np.testing.assert_allclose(in_mpc.R200c_kpc, 1000 * whole.R200c_kpc)
    assert np.isnan(whole.com_offset).all()  # FOF groups have no offset within R200c: from particles then
    for part, rows in enumerate((slice(0, 2), slice(2, 4))):
        subfind_table(tmp_path / f"set.{part}.hdf5", groups=rows, files=2)
    parts = read_catalogue("subfind", tmp_path / "set", cosmology=COSMOLOGY, redshift=0.5)
    np.testing.assert_array_equal(parts.halo_id, whole.halo_id)
    np.testing.assert_array_equal(parts.centre_kpc, whole.centre_kpc)
    np.testing.assert_array_equal(parts.f_sub, whole.f_sub)
    (tmp_path / "set.1.hdf5").unlink()
    with pytest.raises(InputError, match="2 files .NumFiles., here is 1"):
        read_catalogue("subfind", tmp_path / "set.0.hdf5", cosmology=COSMOLOGY, redshift=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f["Group"].__delitem__("Group_M_Crit200"), "plain FOF groups have no M200c"),
        (lambda f: f["Group/Group_R_Crit200"].__setitem__(0, np.nan), "not finite"),
        (lambda f: f["Header"].attrs.__setitem__("Ngroups_ThisFile", 5), "the header counts 5 rows"),
        (lambda f: f["Header"].attrs.__setitem__("Ngroups_Total", 9), "the header counts 9 groups"),
        (lambda f: f["Header"].attrs.__setitem__("Redshift", 0.0), "of redshift 0"),
        (lambda f: f["Group/Group_M_Crit200"].__setitem__(slice(None), 0), "no halos with an M200c"),
        (
            lambda f: f["Header"].attrs.update({"Ngroups_ThisFile": 0, "Ngroups_Total": 0}),
            "the catalogue has no halos",
        ),
    ],
)
def test_broken_subfind(tmp_path, change, message):
    path = subfind_table(tmp_path / "fof.hdf5", change=change)
    with pytest.raises(InputError, match=message):
        read_catalogue("subfind", path, cosmology=COSMOLOGY, redshift=0.5)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    small = small_snapshot(tmp_path_factory.mktemp("pair"), particles=1000, halos=3, redshift=0.5)
    region = Region.open(small.snapshot)
    halos = read_catalogue(
        "ahf", small.catalogue, cosmology=region.info.cosmology, redshift=region.info.redshift
    )
    return region, halos


def test_a_catalogue_that_belongs(pair):
    assert check_catalogue(*pair) == []
    region, halos = pair
    mass = halos.M200c_msun.copy()
    mass[1] *= 1.08
    assert check_catalogue(region, replace(halos, M200c_msun=mass)) == [
        f"halo {halos.halo_id[1]}: {mass_disagreement(halos.M200c_msun[1], mass[1])}"
    ]
    assert "(-7%)" in str(mass_disagreement(halos.M200c_msun[1], mass[1]))
    assert mass_disagreement(1.0e14, 1.04e14) is None


@pytest.mark.parametrize(
    ("mass", "length", "message"),
    [
        (0.6777, 1.0, "they seem to be in Msun/h, and are read as Msun, or"),
        (1 / 0.6777, 1.0, "they seem to be in Msun, and are read as Msun/h, or"),
        (1e3, 1.0, "1000 too large"),
        (1e-3, 1.0, "1000 too small"),
        (1e-10, 1.0, "1e10 too small"),
        (1.0, 1e-3, "lengths are a factor 1000 too small"),
        (1.0, 1e3, "lengths are a factor 1000 too large"),
        (1.0, 0.6777, "lengths are a factor 1/h too small"),
        (1.0, 1 / 0.6777, "lengths are a factor 1/h too large"),
        (1.0, 1.5, "1.z too large: one of catalogue and snapshot is comoving"),
        (1.0, 1 / 1.5, "1.z too small"),
        (0.2, 1.0, "another simulation or in other units"),
    ],
)
def test_units_that_do_not_match(pair, mass, length, message):
    region, halos = pair
    wrong = replace(
        halos,
        M200c_msun=halos.M200c_msun * mass,
        R200c_kpc=halos.R200c_kpc * length,
        centre_kpc=halos.centre_kpc * length,
    )
    with pytest.raises(InputError, match=message):
        check_catalogue(region, wrong)


def test_catalogue_of_another_region(pair):
    region, halos = pair
    with pytest.raises(InputError, match="another simulation, snapshot or region"):
        check_catalogue(region, replace(halos, centre_kpc=halos.centre_kpc + 7000.0))
    with pytest.raises(InputError, match="no distinct halo"):
        check_catalogue(region, replace(halos, host_id=halos.halo_id))


def test_a_catalogue_of_another_definition(pair):
    """200 times the mean density: no unit is to blame, and the catalogue's own overdensity shows it."""
    region, halos = pair
    wider = replace(halos, M200c_msun=1.45 * halos.M200c_msun, R200c_kpc=1.6 * halos.R200c_kpc)
    with pytest.raises(
        InputError, match="another definition than M200c .their mean density .* is 71 times"
    ) as e:
        check_catalogue(region, wider)
    assert "Msun/h" not in str(e.value)
    with pytest.raises(InputError, match="read as Msun/h, or they are of another definition"):
        check_catalogue(region, replace(halos, M200c_msun=1.45 * halos.M200c_msun))


def test_a_centre_beside_the_halo(pair):
    region, halos = pair
    moved = halos.centre_kpc + [300.0 / 0.6777 / 1.5, 0.0, 0.0]
    notes = check_catalogue(region, replace(halos, centre_kpc=moved))
    centres = [note for note in notes if "away from the densest point" in note]
    assert len(centres) == len(halos)
    assert "29" in centres[0]  # of 295 kpc


def test_real_units_that_do_not_match(real):
    """A file that says Mpc/h, read as Mpc; a catalogue in other units."""
    path = real / "gadget4_zoom/zoom.z0.989.AHF_halos"
    region = Region.open(real / "gadget4_zoom/snapshot_z0.989.hdf5", length_unit="Mpc")
    halos = read_catalogue("ahf", path, cosmology=region.info.cosmology, redshift=region.info.redshift)
    with pytest.raises(InputError, match="factor 1/h too large: .* set simulation.length_unit to Mpc/h"):
        check_catalogue(region, halos)
    right = Region.open(real / "gadget4_zoom/snapshot_z0.989.hdf5")
    assert check_catalogue(right, halos) == []
    mpc = replace(halos, centre_kpc=halos.centre_kpc / 1e3, R200c_kpc=halos.R200c_kpc / 1e3)
    with pytest.raises(InputError, match="factor 1000 too small: the snapshot's are plausible in Mpc/h"):
        check_catalogue(right, mpc)
