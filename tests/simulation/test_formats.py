"""The same particles in every format, dialect, precision, byte order, unit and number of files."""

from __future__ import annotations

import math

import h5py
import numpy as np
import pytest
from simulation_helpers import content, gas_content, set_count

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.readers.hdf5_dialects import COLUMNS
from three_hundred_maps.simulation.readers.snapshot import open_source
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.writers.content import SnapshotHeader
from three_hundred_maps.simulation.writers.gadget_binary import write_gadget
from three_hundred_maps.simulation.writers.hdf5 import write_hdf5
from three_hundred_maps.testing.dialects import DIALECTS
from three_hundred_maps.testing.small import FORMATS, small_snapshot

CASES = [
    *({"format": name} for name in FORMATS),
    *({"format": name, "files": 3} for name in ("gizmo", "arepo", "swift", "gadget1", "gadget2")),
    {"format": "gizmo", "compression": "gzip"},
    {"format": "gizmo", "compression": "gzip", "position_dtype": np.float64, "files": 2},
    {"format": "gadget4", "position_dtype": np.float64},
    {"format": "swift", "compression": "gzip"},
    {"format": "gadget2", "byteorder": "big"},
    {"format": "gadget1", "byteorder": "big", "files": 2},
    {"format": "gadget2", "position_dtype": np.float64, "id_dtype": np.uint64, "byteorder": "big"},
    {"format": "gadget1", "position_dtype": np.float64, "id_dtype": np.uint64},
]

TOLD = {
    "gizmo": ("gizmo", "GIZMO", "cubic_spline"),
    "gadget3": ("gadget3", "GADGET", "cubic_spline"),
    "gadget4": ("gadget4", "GADGET-4", "cubic_spline"),
    "arepo": ("arepo", "AREPO", "cubic_spline"),
    "swift": ("swift", "SWIFT", "cubic_spline"),
    "eagle": ("eagle", "EAGLE", "wendland_c2"),
    "gadget1": ("gadget1", "GADGET", "cubic_spline"),
    "gadget2": ("gadgetx", "GADGET-X", "wendland_c4"),
}
"""What is told of each format: dialect, code and kernel."""


def expected(small, centre, radius, kind, name):
    """What a cut-out must hold, from the arrays that were written; float64."""
    fields = small.particles[kind]
    box = small.header.box_size
    apart = fields["position"].astype(np.float64) - centre
    apart -= box * np.round(apart / box)
    inside = np.linalg.norm(apart, axis=1) <= radius
    h, a = small.header.cosmology.h, small.header.time
    if name == "position":
        return apart[inside] * a / h
    factor = {
        "mass": 1e10 / h,
        "density": 1e10 * h**2 / a**3,
        "smoothing_length": a / h,
    }.get(name, 1.0)
    return fields[name][inside].astype(np.float64) * factor


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(value) for value in case.values()))
def test_particles_survive(tmp_path, case):
    small = small_snapshot(tmp_path, particles=300, low_resolution=True, **case)
    region = Region.open(small.snapshot)
    assert (region.info.dialect, region.info.code, region.info.kernel) == TOLD[case["format"]]
    h, a = small.header.cosmology.h, small.header.time
    centre, radius = small.centres[0], 5000.0
    cutout = region.cutout(centre * a / h, radius * a / h)
    for species, kind in (("gas", 0), ("dark_matter", 1), ("low_resolution", 2), ("stars", 4)):
        particles = cutout[species]
        position = expected(small, centre, radius, kind, "position")
        assert len(particles) == len(position) > 0
        np.testing.assert_allclose(particles.position, position, atol=0.02)
        np.testing.assert_allclose(particles.mass, expected(small, centre, radius, kind, "mass"), rtol=1e-6)
    assert len(cutout["black_holes"]) == 0
    gas = cutout["gas"].fields
    np.testing.assert_allclose(gas["density"], expected(small, centre, radius, 0, "density"), rtol=2e-6)
    if case["format"] != "arepo":
        wanted = expected(small, centre, radius, 0, "smoothing_length")
        np.testing.assert_allclose(gas["smoothing_length"], wanted, rtol=2e-6)
    if case["format"] != "gadget1":
        wanted = expected(small, centre, radius, 0, "metallicity")
        np.testing.assert_allclose(gas["metallicity"], wanted, rtol=2e-6)
    wanted = expected(small, centre, radius, 0, "star_formation_rate")
    np.testing.assert_allclose(gas["star_formation_rate"], wanted, rtol=1e-5)
    if case["format"] not in ("swift", "eagle"):
        np.testing.assert_allclose(gas["electron_abundance"], 1.158, rtol=1e-6)
    if case["format"] in ("gizmo", "arepo", "swift", "eagle", "gadget2"):
        z = expected(small, centre, radius, 0, "metallicity")
        np.testing.assert_allclose(gas["hydrogen_fraction"], 1 - 0.24 - z, rtol=1e-6)
    # T = 2/3 u mu m_H / k_B, with mu from the same hydrogen and electrons.
    x, ne = gas["hydrogen_fraction"].astype(float), gas["electron_abundance"].astype(float)
    mu = 4 / (1 + 3 * x + 4 * x * ne)
    u = expected(small, centre, radius, 0, "internal_energy")
    np.testing.assert_allclose(
        gas["temperature"], 2 / 3 * u * mu * 1.67262192e-24 * 1e10 / 1.380649e-16, rtol=1e-5
    )
    assert region.info.cosmology.h == h
    assert region.info.redshift == pytest.approx(0.1)
    assert region.info.box_kpc == pytest.approx(60_000 * a / h)


@pytest.mark.parametrize("given", ["member", "prefix", "folder", "pattern", "last"])
@pytest.mark.parametrize("format", ["gizmo", "gadget2"])
def test_a_set_by_any_name(tmp_path, format, given):
    small = small_snapshot(tmp_path / "out", format=format, files=12, particles=60)
    stem = tmp_path / "out" / "snap_010"
    suffix = ".hdf5" if format == "gizmo" else ""
    path = {
        "member": small.snapshot,
        "prefix": stem,
        "folder": tmp_path / "out",
        "pattern": tmp_path / "out" / "snap_*",
        "last": stem.with_name(f"snap_010.11{suffix}"),
    }[given]
    counts = open_source(path).info.counts
    assert counts["dark_matter"] == 120 + 64
    # Rows follow the files' numbers, not their names' alphabet (.10 comes after .9).
    region = Region.open(path)
    whole = region.cutout(small.centres[0], 20_000.0)["dark_matter"]
    assert np.all(np.diff(whole.index) > 0)


@pytest.mark.parametrize("format", ["gizmo", "gadget2"])
def test_a_missing_file_of_a_set(tmp_path, format):
    small = small_snapshot(tmp_path, format=format, files=3, particles=60)
    second = [p for p in tmp_path.iterdir() if ".1" in p.suffixes or p.name.endswith(".1")][0]
    second.unlink()
    with pytest.raises(InputError, match="says the snapshot has 3 files .NumFilesPerSnapshot., here are 2"):
        open_source(small.snapshot)


def test_a_foreign_file_in_a_set(tmp_path):
    small = small_snapshot(tmp_path, format="gizmo", files=2, particles=60)
    other = small_snapshot(tmp_path / "other", format="gizmo", files=2, particles=80)
    (tmp_path / "other" / "snap_010.1.hdf5").replace(tmp_path / "snap_010.1.hdf5")
    assert other.snapshot.exists()
    with pytest.raises(InputError, match="a file is missing or foreign"):
        open_source(small.snapshot)


def test_mass_table_and_mpc(tmp_path):
    """Masses from the header alone, lengths in Mpc/h: said by the file (HDF5), or by the recipe (binary)."""
    cosmology = Cosmology(0.7, 0.3, 0.7)
    rng = np.random.default_rng(1)
    header = SnapshotHeader(1.0, 20_000.0, cosmology, (0.0, 0.5, 0.0, 0.0, 0.0, 0.0), "Mpc/h")
    n = 400
    gas, dark = rng.uniform(0, 20_000, (2, n, 3))
    particles = {0: gas_content(gas), 1: content(dark)}
    found = []
    for name in ("gizmo", "gadget4", "arepo", "swift", 1, 2):
        path = tmp_path / f"snap_{name}"
        if isinstance(name, int):
            write_gadget(path, header, particles, format=name)
            region = Region.open(path, length_unit="Mpc/h")
        else:
            path = write_hdf5(tmp_path / f"{name}.hdf5", header, particles, dialect=DIALECTS[name])[0]
            region = Region.open(path)
        assert region.info.box_kpc == pytest.approx(20_000 / 0.7 / 2)
        cutout = region.cutout(np.full(3, 5000.0), 4000.0)
        np.testing.assert_allclose(cutout["dark_matter"].mass, 0.5e10 / 0.7, rtol=1e-6)
        np.testing.assert_allclose(cutout["gas"].mass, 0.1e10 / 0.7, rtol=1e-6)
        np.testing.assert_allclose(cutout["gas"].fields["density"], 1e4 * 0.49 * 8, rtol=1e-5)
        found.append(cutout["dark_matter"].index.tolist())
    assert all(rows == found[0] for rows in found)


def test_units_without_h(tmp_path):
    """``length_unit: kpc`` says that neither lengths nor masses of the file carry h."""
    small = small_snapshot(tmp_path, format="gadget2", particles=60)
    with_h = Region.open(small.snapshot).cutout(small.centres[0] / 1.1 / 0.6777, 3000.0 / 0.6777)
    without = Region.open(small.snapshot, length_unit="kpc").cutout(small.centres[0] / 1.1, 3000.0)
    for species in ("gas", "dark_matter"):
        np.testing.assert_array_equal(without[species].index, with_h[species].index)
        np.testing.assert_allclose(without[species].mass, with_h[species].mass * 0.6777, rtol=1e-6)
        np.testing.assert_allclose(without[species].position, with_h[species].position * 0.6777, atol=1e-3)
    density = [cut["gas"].fields["density"] for cut in (without, with_h)]
    np.testing.assert_allclose(density[0], density[1] / 0.6777**2, rtol=1e-5)


def test_header_of_newer_gizmo(tmp_path):
    """Units in cgs with 1/h in them, and the kernel's radius by another name."""
    small = small_snapshot(tmp_path, format="gizmo", particles=60)
    centre = small.centres[0] / 1.1 / 0.6777
    before = Region.open(small.snapshot).cutout(centre, 3000.0)
    with h5py.File(small.snapshot, "r+") as file:
        units = {"Length": 3.085678e21 / 0.6777, "Mass": 1.989e43 / 0.6777, "Velocity": 1e5}
        file["Header"].attrs.update({f"Unit{name}_In_CGS": value for name, value in units.items()})
        file["PartType0"].move("SmoothingLength", "KernelMaxRadius")
    region = Region.open(small.snapshot)
    assert region.info.length_unit == "kpc/h" and not region.info.assumptions
    after = region.cutout(centre, 3000.0)
    for species in ("gas", "dark_matter"):
        np.testing.assert_array_equal(after[species].position, before[species].position)
        np.testing.assert_array_equal(after[species].mass, before[species].mass)
    for name, values in before["gas"].fields.items():
        np.testing.assert_array_equal(after["gas"].fields[name], values, err_msg=name)


PROFILES = {
    "cubic spline": lambda u: (1 - u) ** 3 - 4 * np.maximum(0.5 - u, 0) ** 3,
    "quartic spline": lambda u: (
        (1 - u) ** 4 - 5 * np.maximum(0.6 - u, 0) ** 4 + 10 * np.maximum(0.2 - u, 0) ** 4
    ),
    "quintic spline": lambda u: (
        (1 - u) ** 5 - 6 * np.maximum(2 / 3 - u, 0) ** 5 + 15 * np.maximum(1 / 3 - u, 0) ** 5
    ),
    "wendland c2": lambda u: (1 - u) ** 4 * (1 + 4 * u),
    "wendland c4": lambda u: (1 - u) ** 6 * (1 + 6 * u + 35 / 3 * u**2),
    "wendland c6": lambda u: (1 - u) ** 8 * (1 + 8 * u + 25 * u**2 + 32 * u**3),
}


def width(name):
    """Standard deviation of a kernel along one axis, in units of the radius where it ends."""
    u = np.linspace(0.0, 1.0, 4001)
    shape = PROFILES[name](u)
    return math.sqrt(np.sum(shape * u**4) / np.sum(shape * u**2) / 3.0)


@pytest.mark.parametrize(
    ("format", "where", "told"),
    [
        *(("swift", "HydroScheme/Kernel function", (name.title(), name)) for name in PROFILES),
        ("gizmo", "Header/Kernel_Function_ID", (3, "cubic spline")),
        ("gizmo", "Header/Kernel_Function_ID", (4, "quintic spline")),
        ("gizmo", "Header/Kernel_Function_ID", (7, "wendland c4")),
        ("gadget4", "Config/WENDLAND_C2_KERNEL", ("", "wendland c2")),
        ("gadget4", "Config/WENDLAND_C6_KERNEL", ("", "wendland c6")),
    ],
)
def test_kernels_keep_their_width(tmp_path, format, where, told):
    """One that is not among ours is replaced by another as wide: by one that ends where it does, 16 % of the
    gas were misplaced."""
    small = small_snapshot(tmp_path, format=format, particles=60)
    group, _, name = where.partition("/")
    value, kernel = told
    with h5py.File(small.snapshot, "r+") as file:
        file[group].attrs[name] = value
        stored = float(file["PartType0"].get("SmoothingLengths", file["PartType0"].get("SmoothingLength"))[0])
    source = open_source(small.snapshot)
    ours = source.info.kernel.replace("_", " ")
    assert ours == kernel or ours == {"wendland c6": "wendland c4"}.get(kernel, "cubic spline")
    ends = stored * source.factors["smoothing_length"] / source.factors["position"]
    wide = 0.5 * stored if format == "swift" else width(kernel) * stored
    assert ends * width(ours) == pytest.approx(wide, rel=1e-5)


def test_neutrinos_are_matter(tmp_path):
    """SWIFT's Omega_m is of baryons and cold dark matter alone."""
    small = small_snapshot(tmp_path, format="swift", particles=60)
    with h5py.File(small.snapshot, "r+") as file:
        background = file["Cosmology"].attrs
        background["Omega_m"] = background["Omega_m"] - 0.011
        background["Omega_nu_0"] = np.array([0.011])
    cosmology = open_source(small.snapshot).info.cosmology
    assert cosmology.omega_m == pytest.approx(0.307115)
    assert cosmology.hubble_km_s_mpc(1.0) == pytest.approx(small.header.cosmology.hubble_km_s_mpc(1.0))


def test_another_expansion_is_told(tmp_path):
    """Dark energy that changes, or matter that decays, as in some of FLAMINGO's runs: H(z) is not LCDM's."""
    small = small_snapshot(tmp_path, format="swift", particles=60, redshift=0.5)
    own = small.header.cosmology
    expansion = own.hubble_km_s_mpc(0.5) / own.hubble_km_s_mpc(0.0)
    dark = 1.5 ** (3 * (1 - 0.727 - 1.05)) * math.exp(3 * 1.05 * 0.5 / 1.5)
    for e, told in (
        (expansion, None),
        (math.sqrt(own.omega_m * 1.5**3 + own.omega_lambda * dark), "is 1.3439 in the file, taken as 1.3151"),
    ):
        with h5py.File(small.snapshot, "r+") as file:
            file["Cosmology"].attrs.update({"H0 [internal units]": [68.0], "H [internal units]": [68.0 * e]})
        said = open_source(small.snapshot).info.assumptions.get("background")
        assert said is None if told is None else told in said
    with h5py.File(small.snapshot, "r+") as file:
        file["Cosmology"].attrs.update({"Omega_m": [0.01], "Omega_lambda": [2.0]})
    with pytest.raises(
        InputError, match=r"Omega0 = 0.01 and OmegaLambda = 2 does not expand at redshift 0.5"
    ):
        open_source(small.snapshot)


def test_double_precision_far_from_the_origin(tmp_path):
    """float32 would move particles by 30 pc/h at 500 Mpc/h; float64 files must not suffer that."""
    cosmology = Cosmology(0.6777, 0.307115, 0.692885)
    rng = np.random.default_rng(2)
    n = 1000
    position = 500_000.0 + rng.normal(0, 300.0, (n, 3))
    particles = {0: gas_content(position)}
    header = SnapshotHeader(0.0, 1_000_000.0, cosmology)
    single = write_hdf5(tmp_path / "f4.hdf5", header, particles)[0]
    double = write_hdf5(tmp_path / "f8.hdf5", header, particles, position_dtype=np.float64)[0]
    binary = write_gadget(tmp_path / "f8", header, particles, position_dtype=np.float64)[0]
    centre = np.full(3, 500_000.0 / 0.6777)
    errors = []
    for path in (single, double, binary):
        cut = Region.open(path).cutout(centre, 3000.0)["gas"]
        errors.append(np.abs(cut.position - (position[cut.index] - 500_000.0) / 0.6777).max())
    assert errors[0] > 0.01
    assert max(errors[1:]) < 3e-4


def gas_last(small, folder, write, **options):
    """The snapshot as two files, the first of which holds no gas."""
    for part, kinds in enumerate(((1, 4), (0,))):
        content = {kind: small.particles[kind] for kind in kinds}
        write(folder / f"part{part}", small.header, content, **options)
    return [folder / f"part{part}" for part in range(2)]


@pytest.mark.parametrize("format", ["gadget1", "gadget2", "gizmo", "gadget3", "gadget4", "arepo", "swift"])
def test_a_set_whose_first_file_holds_no_gas(tmp_path, format):
    """Dialect, kernel, blocks and columns are those of all files, not of the first."""
    small = small_snapshot(tmp_path / "whole", format=format, particles=300)
    total = np.array([len(small.particles[k]["mass"]) if k in small.particles else 0 for k in range(6)])
    binary = format in ("gadget1", "gadget2")
    folder = tmp_path / "set"
    if binary:
        parts = gas_last(small, folder, write_gadget, format=int(format[-1]))
    else:
        parts = gas_last(small, folder, write_hdf5, dialect=DIALECTS[format])
    for number, part in enumerate(parts):
        if binary:
            data = bytearray(part.read_bytes())
            start = 4 if format == "gadget1" else 20
            data[start + 96 : start + 120] = total.astype("<u4").tobytes()  # of the whole set
            data[start + 120 : start + 128] = np.array([1, 2], "<i4").tobytes()  # cooling; files
            data[start + 88 : start + 92] = np.array([1], "<i4").tobytes()  # star formation
            (folder / f"snap.{number}").write_bytes(data)
        else:
            with h5py.File(part, "r+") as file:
                if format == "arepo" and number == 0:
                    del file["Config"]
                file["Header"].attrs["NumFilesPerSnapshot"] = np.array([2], np.int32)
                held = len(file["Header"].attrs["NumPart_Total"])
                file["Header"].attrs["NumPart_Total"] = np.resize([*total, 0], held).astype(np.uint64)
            part.rename(folder / f"snap.{number}.hdf5")
        part.unlink(missing_ok=True)
    whole, split = Region.open(small.snapshot), Region.open(folder)
    for name in ("dialect", "code", "kernel", "counts", "assumptions"):
        assert getattr(split.info, name) == getattr(whole.info, name), name
    around = small.centres[0] * small.header.time / 0.6777, 4000.0
    first, second = whole.cutout(*around), split.cutout(*around)
    for species in ("gas", "dark_matter", "stars"):
        np.testing.assert_array_equal(first[species].position, second[species].position)
    for name, values in first["gas"].fields.items():
        np.testing.assert_array_equal(second["gas"].fields[name], values, err_msg=name)


@pytest.mark.parametrize("format", ["gadget1", "gadget2"])
def test_a_binary_file_without_gas(tmp_path, format):
    small = small_snapshot(tmp_path, particles=60)
    path = tmp_path / "dark"
    write_gadget(path, small.header, {1: small.particles[1]}, format=int(format[-1]))
    region = Region.open(path)
    assert region.info.counts["dark_matter"] == 120 + 64
    assert region.info.counts["gas"] == 0


def test_smoothing_lengths_by_evidence(tmp_path):
    """Without smoothing lengths a file may be of SPH or of a mesh: what it says decides, or the recipe."""
    small = small_snapshot(tmp_path, format="gadget3", particles=60)
    with h5py.File(small.snapshot, "r+") as file:
        del file["PartType0/SmoothingLength"]
    with pytest.raises(InputError, match="set simulation.dialect to arepo or gadget3"):
        open_source(small.snapshot)
    for dialect, words in (("gadget3", "48 neighbours"), ("arepo", "of each cell")):
        info = open_source(small.snapshot, dialect=dialect).info
        assert info.dialect == dialect
        assert words in info.assumptions["smoothing_length"]
    with pytest.raises(InputError, match="cannot be of dialect gadgetx"):
        open_source(small.snapshot, dialect="gadgetx")

    def told(change):
        path = tmp_path / "changed.hdf5"
        path.write_bytes(small.snapshot.read_bytes())
        with h5py.File(path, "r+") as file:
            change(file)
        return open_source(path).info.dialect

    n = len(small.particles[0]["mass"])
    assert told(lambda f: f.create_group("Parameters").attrs.__setitem__("CellShapingSpeed", 0.5)) == "arepo"
    assert told(lambda f: f["PartType0"].__setitem__("Volume", np.ones(n))) == "arepo"
    assert told(lambda f: f["Header"].attrs.__setitem__("Composition_vector_length", 0)) == "arepo"
    assert told(lambda f: f["Header"].attrs.__setitem__("GIZMO_version", 2022)) == "gizmo"
    with pytest.raises(InputError, match=r"simulation\.dialect"):  # Parameters alone are of either
        told(lambda f: f.create_group("Parameters").attrs.__setitem__("TimeMax", 1.0))


def test_columns_are_read_by_the_table_of_names(tmp_path, monkeypatch):
    small = small_snapshot(tmp_path, format="gadget3", particles=60)
    centre = np.zeros(3)
    expected = Region.open(small.snapshot).cutout(centre, 3e4)["gas"]
    with h5py.File(small.snapshot, "r+") as file:
        for kind in ("PartType0", "PartType1", "PartType4"):
            file[kind].move("Coordinates", "Position")
    monkeypatch.setitem(COLUMNS, "position", (("Coordinates", None), ("Position", None)))
    np.testing.assert_array_equal(
        Region.open(small.snapshot).cutout(centre, 3e4)["gas"].position, expected.position
    )


def test_a_binary_dialect_of_the_recipe(tmp_path):
    small = small_snapshot(tmp_path, format="gadget1", particles=60)
    assert open_source(small.snapshot).info.kernel == "cubic_spline"
    assert open_source(small.snapshot, dialect="gadgetx").info.kernel == "wendland_c4"
    with pytest.raises(InputError, match="cannot be of dialect arepo"):
        open_source(small.snapshot, dialect="arepo")


def records_of(path):
    """The records of a little-endian Gadget file; in format 2 one with its label stands before each block."""
    data, where, found = path.read_bytes(), 0, []
    while where < len(data):
        size = int(np.frombuffer(data, "<u4", 1, where)[0])
        found.append(data[where + 4 : where + 4 + size])
        where += 8 + size
    return found


def write_records(path, records):
    marked = [np.uint32(len(record)).tobytes() for record in records]
    path.write_bytes(b"".join(m + record + m for m, record in zip(marked, records, strict=True)))


def blocks_of(path):
    """[(label, data)] of a format-2 file."""
    records = records_of(path)
    return [(label[:4], data) for label, data in zip(records[::2], records[1::2], strict=True)]


def write_blocks(path, blocks):
    labelled = [(label + np.uint32(len(data) + 8).tobytes(), data) for label, data in blocks]
    write_records(path, [record for pair in labelled for record in pair])


@pytest.fixture
def format_2(tmp_path):
    return small_snapshot(tmp_path, format="gadget2", particles=200)


def gas_of(path, small):
    return Region.open(path).cutout(small.centres[0] * small.header.time / 0.6777, 4000.0)["gas"]


@pytest.mark.parametrize(("format", "whole"), [("gadget1", {0, 3}), ("gadget2", {*range(0, 99, 2), 1, 7})])
def test_blocks_in_double_precision(tmp_path, format, whole):
    """All but header and identifiers, whose records (in format 2 labels too) stay ``whole``."""
    small = small_snapshot(tmp_path, format=format, particles=200)
    doubled = [
        record if number in whole else np.frombuffer(record, "<f4").astype("<f8").tobytes()
        for number, record in enumerate(records_of(small.snapshot))
    ]
    write_records(tmp_path / "double", doubled)
    single, double = gas_of(small.snapshot, small), gas_of(tmp_path / "double", small)
    np.testing.assert_allclose(double.position, single.position, atol=0.02)
    for name, values in single.fields.items():
        np.testing.assert_allclose(double.fields[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("convention", ["all metals first", "helium first"])
def test_metals_of_eleven_numbers(format_2, tmp_path, convention):
    """Z of GIZMO's convention gives all metals; another is left out, and said."""
    blocks = dict(blocks_of(format_2.snapshot))
    z = np.frombuffer(blocks[b"Z   "], "<f4").astype(float)[:, None]
    metals = z * np.full(9, 1 / 9)
    first = (
        [z, np.full_like(z, 0.24), metals] if convention == "all metals first" else [0.24 + 0 * z, z, metals]
    )
    blocks[b"Z   "] = np.concatenate(first, 1).astype("<f4").tobytes()
    path = tmp_path / "wide"
    write_blocks(path, blocks.items())
    gas, before = gas_of(path, format_2), gas_of(format_2.snapshot, format_2)
    if convention == "all metals first":
        np.testing.assert_allclose(gas.fields["metallicity"], before.fields["metallicity"], rtol=1e-6)
    else:
        assert not gas.fields["metallicity"].any()
        assert "Z has 11 numbers" in open_source(path).info.assumptions["blocks"]


def test_labels_that_repeat_or_differ_in_case(format_2, tmp_path):
    blocks = blocks_of(format_2.snapshot)
    junk = np.full(7, np.nan, "<f4").tobytes()
    odd = [
        (b"    ", junk),
        (b"    ", junk),
        (b"XXXX", junk),
        (b"XXXX", junk),
        (b"hsml", junk),
        (b"ZS  ", junk),
    ]
    for extra in (blocks[:1] + odd + blocks[1:], blocks + odd):
        write_blocks(tmp_path / "odd", extra)
        gas, before = gas_of(tmp_path / "odd", format_2), gas_of(format_2.snapshot, format_2)
        for name, values in before.fields.items():
            np.testing.assert_array_equal(gas.fields[name], values, err_msg=name)
    write_blocks(tmp_path / "twice", [*blocks, next(b for b in blocks if b[0] == b"RHO ")])
    with pytest.raises(InputError, match="block RHO occurs twice"):
        open_source(tmp_path / "twice")


def test_arepo_winds_are_not_stars(tmp_path):
    small = small_snapshot(tmp_path, format="arepo", particles=300)
    with h5py.File(small.snapshot, "r+") as file:
        formed = file["PartType4/GFM_StellarFormationTime"][:]
        formed[::5] = -0.3
        file["PartType4/GFM_StellarFormationTime"][...] = formed
    factor = small.header.time / small.header.cosmology.h
    region = Region.open(small.snapshot)
    cutout = region.cutout(small.centres[0] * factor, 5000.0)
    stars, gas = cutout["stars"], cutout["gas"]
    assert not np.isin(np.arange(0, 60, 5), stars.index).any()
    winds = gas.fields["wind"] == 1
    assert winds.sum() == len(range(0, 30, 5))
    assert (gas.index[winds] >= 300).all()
    assert "wind particles among the stars" in region.info.assumptions["winds"]
    before = sum(float(p.mass.sum()) for p in cutout.particles.values())
    assert before == pytest.approx(
        sum(f["mass"][:].sum() for f in small.particles.values()) / 1.6 * 1e10 / 0.6777
    )


def test_arepo_tracers_are_left_out(tmp_path):
    """Monte Carlo tracers (type 3) are counted in the header, but have neither positions nor masses."""
    small = small_snapshot(tmp_path, format="arepo", particles=60)
    with h5py.File(small.snapshot, "r+") as file:
        file["PartType3/ParentID"] = np.arange(500)
        set_count(file, 3, 500)
    region = Region.open(small.snapshot)
    assert region.info.counts["low_resolution"] == 0
    assert "tracers" in region.info.assumptions


@pytest.mark.parametrize("format", ["gizmo", "gadget2"])
def test_winds_of_gas(tmp_path, format):
    small = small_snapshot(tmp_path, format=format, particles=1000)
    winds = small.particles[0]["delay_time"] > 0
    assert winds.any()
    factor = small.header.time / small.header.cosmology.h
    dropped = Region.open(small.snapshot).cutout(small.centres[0] * factor, 4000.0)["gas"]
    np.testing.assert_array_equal(dropped.fields["wind"] == 1, winds[dropped.index])
    kept = Region.open(small.snapshot, drop_winds=False).cutout(small.centres[0] * factor, 4000.0)["gas"]
    assert not kept.fields["wind"].any()


def test_stray_data_sets_of_low_resolution_particles(tmp_path):
    """Zooms carry stellar columns, even broken ones, in types 2 and 3: nobody may look at them."""
    small = small_snapshot(tmp_path, particles=60, low_resolution=True)
    with h5py.File(small.snapshot, "r+") as file:
        file["PartType2/Metallicity"] = np.full(3, np.nan, np.float32)
        file["PartType2/StellarFormationTime"] = h5py.ExternalLink("/nowhere.hdf5", "/x")
    assert Region.open(small.snapshot).info.counts["low_resolution"] > 0


def test_synthetic_mark(tmp_path):
    small = small_snapshot(tmp_path, particles=60)
    assert not open_source(small.snapshot).info.synthetic
    header = SnapshotHeader(0.1, 60_000.0, small.header.cosmology, extra={"Synthetic": 1, "Seed": 3})
    for path in (
        *write_hdf5(tmp_path / "s.hdf5", header, small.particles),
        *write_gadget(tmp_path / "s2", header, small.particles),
        *write_gadget(tmp_path / "s1", header, small.particles, format=1, byteorder="big"),
    ):
        assert open_source(path).info.synthetic


def test_a_set_is_of_one_format(tmp_path):
    """Blocks are named by their order where a file has no labels: such a set would lose columns."""
    small = small_snapshot(tmp_path, particles=60)
    for first, second in ((1, 2), (2, 1)):
        for part, format in enumerate((first, second)):
            files = write_gadget(
                tmp_path / f"f{format}", small.header, small.particles, format=format, files=2
            )
            files[part].rename(tmp_path / f"mixed.{part}")
        with pytest.raises(InputError, match="some files of this set are of format 1, others of format 2"):
            open_source(tmp_path / "mixed.0")


@pytest.mark.parametrize("format", FORMATS)
def test_same_content_same_bytes(tmp_path, format):
    first = small_snapshot(tmp_path / "a", format=format, particles=60)
    second = small_snapshot(tmp_path / "b", format=format, particles=60)
    assert first.snapshot.read_bytes() == second.snapshot.read_bytes()
    assert first.catalogue.read_bytes() == second.catalogue.read_bytes()
