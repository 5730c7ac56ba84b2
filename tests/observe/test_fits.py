"""FITS out and in: headers, round trips, counts, and what is refused."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_exact

from baselines.fits import parse_centre, parse_fits, predict_fits, predict_sky, prepare
from baselines.model import Architecture, MassModel
from baselines.posterior_model import PosteriorArchitecture, PosteriorModel, draw_seeds
from baselines.sky_images import Frame, read_image, to_frame
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import radius_grid
from three_hundred_maps.mapping import get_view
from three_hundred_maps.observe.fits import ORIGIN, export_fits, write_image
from three_hundred_maps.store.arrays import read_split, root_attrs
from three_hundred_maps.torch_data import Transforms

RATE = {"units": "ct s-1 arcmin-2", "background": 3e-4, "exposure_s": 2000.0}


@pytest.fixture(scope="module")
def model(deep) -> MassModel:
    """A network with weights drawn at random: what it predicts follows from the maps."""
    torch.manual_seed(3)
    made = MassModel(Architecture(channels=4, poolings=2), Transforms.from_store(deep, ["sz", "star"]))
    torch.nn.init.normal_(made.network.head.weight, std=1.0)
    return made.eval()


@pytest.fixture(scope="module")
def halo(deep) -> str:
    halos = read_split(deep, "test", []).halos
    row = int(np.argmax(halos["M200c"]))
    return f"{halos['region'][row]}:{halos['halo_id'][row]}"


@pytest.fixture(scope="module")
def files(deep, halo, tmp_path_factory):
    return {path.stem: path for path in export_fits(deep, halo, 1, tmp_path_factory.mktemp("fits"))}


def test_exported_images_stand_on_the_sky(deep, files):
    assert set(files) == set(root_attrs(deep)["views"])
    wanted = {"xray": units.ct / units.s / units.arcmin**2, "mass": units.Msun / units.kpc**2}
    for view, path in files.items():
        with fits.open(path, checksum=True) as file:
            file.verify("exception")
            header, data = file[0].header, file[0].data
            assert (
                data.shape == (80, 80)
                and header["SYNTHET"] is header["SYNTHETIC"] is True
                and header["LOS"] == 1
            )
            assert header["REDSHIFT"] > 0.1 and header["M200C"] > 1e13
            assert header.comments["CHECKSUM"] == "as written"
            if view in wanted:
                assert units.Unit(header["BUNIT"], format="fits") == wanted[view]
            if view == "sz":
                assert header["BMAJ"] * 3600 == pytest.approx(72.0)
            wcs = WCS(header)
            centre = wcs.pixel_to_world(39.5, 39.5)
            edge = wcs.pixel_to_world(79.5, 39.5)
            assert centre.separation(SkyCoord(*ORIGIN, unit="deg")).arcsec < 1e-3
            assert centre.separation(edge).arcmin == pytest.approx(header["R200ARCM"], rel=1e-3)


@pytest.mark.parametrize("name", ["sz", "xray", "mass", "temperature", "entropy", "velocity", "lum_r"])
def test_units_are_of_the_fits_standard(name, tmp_path):
    view = get_view(name)
    header = fits.getheader(write_image(tmp_path / "a.fits", np.ones((2, 2)), fits.Header(), view.units, ""))
    units.Unit(header.get("BUNIT", ""), format="fits")


def test_a_map_comes_back_through_another_image_of_the_sky(deep, halo, files, model, tmp_path):
    """Rotated by 30 degrees, with smaller pixels about another place: the prediction is that of the store."""
    header = fits.getheader(files["mass"])
    side, angle = abs(header["CDELT1"]) * 0.4, np.radians(30.0)
    other = fits.Header()
    other["CTYPE1"], other["CTYPE2"] = "RA---SIN", "DEC--SIN"
    other["CRVAL1"], other["CRVAL2"] = ORIGIN[0] + 0.01, ORIGIN[1] - 0.02
    other["CRPIX1"], other["CRPIX2"] = 180.0, 181.0
    other["CD1_1"], other["CD1_2"] = -side * np.cos(angle), side * np.sin(angle)
    other["CD2_1"], other["CD2_2"] = side * np.sin(angle), side * np.cos(angle)
    words = []
    for view in ("sz", "star"):
        data, _ = reproject_exact(fits.open(files[view])[0], other, shape_out=(360, 360))
        path = tmp_path / f"{view}.fits"
        image = fits.PrimaryHDU(data.astype(np.float32), other)
        image.header["BUNIT"] = "solMass kpc-2" if view == "star" else ""
        image.writeto(path)
        words.append(f"{view}={path}")
    frame = Frame(ORIGIN, header["R200ARCM"])
    about = {"sz": {"units": "1"}, "star": {"units": "Msun kpc-2"}}
    made = predict_sky(model, about, parse_fits(words), frame, header["REDSHIFT"], symmetries=1)
    maps = [fits.getdata(files[view]).astype(np.float32) for view in ("sz", "star")]
    wanted = model.predict(np.stack(maps)[None], header["REDSHIFT"], symmetries=1)[0][0].numpy()
    inside = radius_grid(80) < 0.8
    assert np.median(np.abs(made.mass / wanted - 1)[inside]) < 0.02
    # The network does see the maps: without them the prediction is another one.
    nothing = model.predict(np.zeros((1, 2, 80, 80), np.float32), symmetries=1)[0][0].numpy()
    assert np.median(np.abs(nothing / wanted - 1)[inside]) > 0.02


def sky_image(path, values, *, pixel_arcmin=0.25, unit="", **keys):
    header = fits.Header()
    for axis, (kind, step) in enumerate((("RA---TAN", -1), ("DEC--TAN", 1)), 1):
        header[f"CTYPE{axis}"], header[f"CDELT{axis}"] = kind, step * pixel_arcmin / 60
        header[f"CRVAL{axis}"], header[f"CRPIX{axis}"] = (55.0, -53.0)[axis - 1], 0.5 * values.shape[-1] + 0.5
    header["BUNIT"] = unit
    for name, value in keys.items():
        header[name] = value
        if value is None:
            del header[name]
    fits.PrimaryHDU(np.asarray(values, np.float32), header).writeto(path)
    return path


@pytest.mark.parametrize("unit", ["", "y", "Compton-y", "Compton parameter", "tSZ", "K_CMB", "uK"])
def test_units_of_a_map_of_compton_y(tmp_path, unit):
    path = sky_image(tmp_path / "y.fits", np.full((240, 240), 2e-5), unit=unit)

    def seen():
        return prepare("sz", {"image": str(path)}, Frame((55.0, -53.0), 24.0), {"units": "1"}).maps

    if "K" in unit:
        with pytest.raises(InputError, match="BUNIT|is in"):
            seen()
    else:
        np.testing.assert_allclose(seen(), 2e-5, rtol=1e-6)


def test_counts_are_brought_to_the_rate_and_background_of_training(tmp_path):
    rng, shape = np.random.default_rng(0), (240, 240)
    exposure = np.full(shape, 3000.0)
    exposure[:, 120:] = 1500.0
    exposure[116:124, 98:106] = 0.0  # a point source, cut out
    area, sky = 0.25**2, 6e-5
    counts = rng.poisson((0.02 + sky) * area * exposure)
    paths = [
        sky_image(tmp_path / f"{name}.fits", values)
        for name, values in (("b", counts), ("e", exposure), ("k", sky * area * exposure))
    ]
    files = dict(zip(("image", "exposure", "background"), map(str, paths), strict=True))
    made = prepare("xray", files, Frame((55.0, -53.0), 24.0), RATE)
    assert made.maps.mean() == pytest.approx(0.02 + 3e-4, rel=0.01)
    assert np.isfinite(made.maps).all()
    assert "mean exposure" in made.notes[0] and "are filled" in made.notes[1]
    for name, units_of in (
        ("exposure", (("ks", 1e3), ("Seconds", 1.0), ("S", 1.0))),
        ("image", (("COUNTS", 1.0), ("ct pixel-1", 1.0))),
    ):
        for unit, factor in units_of:
            values = (exposure if name == "exposure" else counts) / factor
            other = {**files, name: str(sky_image(tmp_path / f"{unit}.fits", values, unit=unit))}
            again = prepare("xray", other, Frame((55.0, -53.0), 24.0), RATE)
            np.testing.assert_allclose(again.maps, made.maps, rtol=1e-5)
    for name, unit in (("exposure", "cm2 s"), ("background", "ct/s"), ("image", "ct/s")):
        other = {**files, name: str(sky_image(tmp_path / "other.fits", exposure, unit=unit))}
        with pytest.raises(InputError, match=f"is in {unit}, and .* to be in"):
            prepare("xray", other, Frame((55.0, -53.0), 24.0), RATE)
        (tmp_path / "other.fits").unlink()
    # Noise is that of the counts: of 2.4 pixels an axis, that is 2 or 3, so a mean of 1 / n of .433.
    noise = np.sqrt(0.02 / (3000.0 * 0.25**2)) * (0.6 / 2 + 0.4 / 3)
    assert made.maps[:, :35].std() == pytest.approx(noise, rel=0.05)
    # Maps of other pixels are brought to the image's: columns the other way round, and twice as large.
    flipped = sky_image(tmp_path / "f.fits", exposure[:, ::-1], CDELT1=0.25 / 60)
    large = (sky * area * exposure).reshape(120, 2, 120, 2).sum((1, 3))
    sky_image(tmp_path / "l.fits", large, pixel_arcmin=0.5)
    other = {**files, "exposure": str(flipped), "background": str(tmp_path / "l.fits")}
    again = prepare("xray", other, Frame((55.0, -53.0), 24.0), RATE)
    np.testing.assert_allclose(again.maps, made.maps, rtol=1e-4, atol=3e-5)
    assert "exposure and background resampled" in again.notes[0]
    # A rate has the noise of its counts too.
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = sky_image(tmp_path / "r.fits", counts / exposure, unit="ct/s")
    del files["background"]
    plain = prepare("xray", files, Frame((55.0, -53.0), 24.0), RATE)
    assert plain.maps.mean() == pytest.approx(0.02 + sky, rel=0.01)
    of_rate = prepare("xray", {"image": str(rate)}, Frame((55.0, -53.0), 24.0), RATE)
    np.testing.assert_allclose(of_rate.maps[:, :38], plain.maps[:, :38], rtol=1e-5)


@pytest.mark.parametrize(
    "unit", ["cts/s/arcmin2", "COUNTS/S/arcmin2", "counts/sec/arcmin**2", "ct s-1 arcmin-2"]
)
def test_count_rates_are_read_as_observatories_write_them(unit, tmp_path):
    path = sky_image(tmp_path / "rate.fits", np.full((80, 80), 0.02), pixel_arcmin=0.75, unit=unit)
    made = prepare("xray", {"image": str(path)}, Frame((55.0, -53.0), 24.0), RATE)
    assert made.maps.mean() == pytest.approx(0.02, rel=1e-5)


@pytest.mark.parametrize("unit", ["ct s-1 pixel-1", "counts/sec/pix", "ct s-1"])
def test_a_rate_a_pixel_is_one_over_the_pixels_area(unit, tmp_path):
    path = sky_image(tmp_path / "rate.fits", np.full((80, 80), 0.02), pixel_arcmin=0.75, unit=unit)
    made = prepare("xray", {"image": str(path)}, Frame((55.0, -53.0), 24.0), RATE)
    assert made.maps.mean() == pytest.approx(0.02 / 0.75**2, rel=1e-4)


def test_empty_pixels_stay_empty_though_coordinates_are_rounded(tmp_path):
    counts = np.random.default_rng(4).poisson(0.05, (80, 80))
    path = sky_image(tmp_path / "counts.fits", counts, pixel_arcmin=0.6)
    # The pixels of the frame are those of the image but for the last digits of its centre.
    frame = Frame((55.00000005, -53.00000003), 24.0)
    made, _ = to_frame(read_image(path, frame), None, frame)
    np.testing.assert_array_equal(made > 0, counts > 0)


def test_a_survey_is_read_round_the_frame_alone(tmp_path):
    """A map of all the sky in plate carree, of which memory sees what lies round the frame."""
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": 43200, "NAXIS2": 21600})
    for axis, (kind, step) in enumerate((("RA---CAR", -1), ("DEC--CAR", 1)), 1):
        header[f"CTYPE{axis}"], header[f"CDELT{axis}"], header[f"CRVAL{axis}"] = kind, step / 120, 0.0
    header["CRPIX1"], header["CRPIX2"] = 21600.5, 10800.5
    path = tmp_path / "sky.fits"
    path.write_bytes(header.tostring().encode())
    with open(path, "r+b") as file:  # holes: nothing of it is written
        file.truncate(2880 * (1 + 43200 * 21600 * 4 // 2880))
    frame = Frame((55.0, -53.0), 24.0)
    image = read_image(path, frame)
    assert image.values.shape < (130, 200) and to_frame(image, None, frame)[1] == 0
    # What counts are divided by: of plate carree a pixel's area goes as the cosine of the declination.
    assert image.pixel_arcmin2 == pytest.approx(0.5**2 * np.cos(np.radians(53.0)), rel=2e-3)
    with pytest.raises(InputError, match="covers 0% of the frame"):
        sky_image(tmp_path / "away.fits", np.ones((240, 240)))
        read_image(tmp_path / "away.fits", Frame((60.0, -53.0), 24.0))


def test_healpix_is_told_from_a_file_without_images(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("I", "E", array=np.zeros(48, np.float32))])
    table.header["PIXTYPE"] = "HEALPIX"
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "sky.fits")
    with pytest.raises(InputError, match="holds no image: reproject.reproject_from_healpix makes one"):
        read_image(tmp_path / "sky.fits", Frame((55.0, -53.0), 24.0))


def test_distortions_of_the_camera_are_followed(tmp_path):
    values = np.zeros((240, 240))
    values[120, 170] = 1.0
    straight = sky_image(tmp_path / "straight.fits", values)
    bent = sky_image(
        tmp_path / "bent.fits",
        values,
        CTYPE1="RA---TAN-SIP",
        CTYPE2="DEC--TAN-SIP",
        A_ORDER=2,
        B_ORDER=2,
        A_2_0=2e-3,
        B_2_0=0.0,
    )
    frame = Frame((55.0, -53.0), 15.0)
    places = [
        np.argmax(to_frame(read_image(path, frame), None, frame)[0].sum(0)) for path in (straight, bent)
    ]
    # 50 pixels off the reference: 2e-3 x 50^2 = 5 pixels of .25 arcmin further, 3.3 of the frame's .375.
    assert places[1] - places[0] in (3, 4)


def test_the_real_pointing_is_read(real):
    """Abell 3158: count rates as its README states them."""
    folder = real / "observed_a3158"
    names = {"image": "b_37", "exposure": "expose_mask_37", "background": "back_37"}
    files = {key: str(folder / f"{name}.fits.gz") for key, name in names.items()}
    made = prepare("xray", files, Frame((55.714, -53.628), 23.95), {**RATE, "background": 0.0})
    radius = radius_grid(80) * 23.95
    assert made.maps[radius < 2].mean() == pytest.approx(3.2e-2, rel=0.05)
    assert made.maps[(radius > 4) & (radius < 8)].mean() == pytest.approx(4.0e-3, rel=0.05)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: sky_image(p, np.ones((240, 240)), CTYPE1=None, CTYPE2=None), "no celestial coordinates"),
        (lambda p: sky_image(p, np.ones((240, 240)), unit="Jy"), "is in Jy, the model saw sz in 1"),
        (lambda p: sky_image(p, np.ones((240, 240)), unit="nonsense"), "'nonsense' is not a unit"),
        (lambda p: sky_image(p, np.ones((240, 240)), BMAJ="wide"), "BMAJ is 'wide'"),
        (lambda p: sky_image(p, np.full((240, 240), np.nan)), "no finite pixel"),
        (lambda p: sky_image(p, np.ones((60, 60))), "covers .* of the frame"),
        (lambda p: sky_image(p, np.ones((3, 240, 240))), "240 x 240 x 3 and not one image"),
        (lambda p: p.write_text("no image") and p, "cannot be read as FITS"),
        (lambda p: p.with_name("none.fits"), "no file"),
    ],
)
def test_images_that_cannot_be_used_are_one_line(change, said, tmp_path):
    path = change(tmp_path / "sz.fits")
    with pytest.raises(InputError, match=said):
        prepare("sz", {"image": str(path)}, Frame((55.0, -53.0), 24.0), {"units": "1"})


def test_wrong_options_are_one_line(model, tmp_path, deep, halo):
    image = sky_image(tmp_path / "sz.fits", np.ones((240, 240)))
    words = [f"sz={image}", f"star={image}"]
    for more, said in (
        ({"redshift": None}, "needs --redshift"),
        ({"redshift": -0.1}, "above 0"),
        ({"redshift": math.inf}, "above 0"),
        ({"centre": "a,b"}, "write RA,DEC"),
        ({"radius_arcmin": 0.0}, "R200c in arcmin"),
        ({"words": [f"sz={image}"]}, "the model sees sz, star"),
    ):
        given = {"redshift": 0.1, "centre": "55,-53", "radius_arcmin": 24.0, "words": words, **more}
        with pytest.raises(InputError, match=said):
            predict_fits(model, {}, given.pop("words"), tmp_path, name="a", **given)
    wide = copy.copy(model)
    wide.transforms = replace(model.transforms, width=3.0)
    with pytest.raises(InputError, match="80 pixels over 3 R200c, and images are brought to 80 over 2"):
        predict_fits(wide, {}, words, tmp_path, redshift=0.1, centre="55,-53", radius_arcmin=24.0, name="a")
    for word, said in (
        ("sz", "write VIEW=FILE"),
        ("sz=a,depth=b", "exposure=FILE"),
        ("sz=a,background=b", "needs exposure"),
    ):
        with pytest.raises(InputError, match=said):
            parse_fits([word])
    assert parse_centre("-10,5") == (350.0, 5.0)
    with pytest.raises(InputError, match="was observed at"):
        export_fits(deep, halo, 0, tmp_path, redshift=0.7)


def test_of_posterior_samples_the_mean_and_spread_are_given(model, tmp_path):
    sampler = PosteriorModel(PosteriorArchitecture("field", 2), model.architecture, model.transforms)
    for member in sampler.members:
        member.load_state_dict(model.state_dict())
    sampler.field.std += 0.1
    words = [f"sz={sky_image(tmp_path / 'sz.fits', np.full((240, 240), 1e-5))}"]
    words += [f"star={sky_image(tmp_path / 'star.fits', np.full((240, 240), 1e7), unit='solMass kpc-2')}"]
    about = {"sz": {"units": "1"}, "star": {"units": "Msun kpc-2"}}
    drawing = {"samples": 5, "seed": 2}
    frame = Frame((55.0, -53.0), 24.0)
    made = predict_sky(sampler, about, parse_fits(words), frame, 0.1, symmetries=1, drawing=drawing)
    maps = np.stack([made.inputs[view] for view in ("sz", "star")])[None]
    drawn = sampler.sample(maps, 0.1, draw_seeds(2, 0, 1), samples=5, symmetries=1)[0].numpy()
    drawn = np.log10(np.maximum(drawn, 1e6))
    np.testing.assert_allclose(np.log10(made.mass), drawn.mean(0), rtol=1e-5)
    np.testing.assert_allclose(made.sigma, drawn.std(0, ddof=1), rtol=1e-2)
    assert made.sigma.max() > 0.05 and any("of 5 samples" in note for note in made.notes)


def test_a_prediction_is_written_with_its_history(model, tmp_path, capsys):
    y, x = np.indices((240, 240)) - 119.5
    blob = np.exp(-0.5 * (x**2 + y**2) / 20.0**2)
    sz = sky_image(tmp_path / "sz.fits", 1e-4 * blob)
    star = sky_image(tmp_path / "star.fits", 1e14 * blob, unit="solMass kpc-2")
    config = {"inputs": {"sz": {"units": "1"}, "star": {"units": "Msun kpc-2"}}}
    words = [f"sz={sz}", f"star={star}"]
    predict_fits(
        model,
        config,
        words,
        tmp_path / "out",
        redshift=0.9,
        centre="55,-53",
        radius_arcmin=24.0,
        name="a model",
        symmetries=1,
    )
    with pytest.raises(InputError, match="holds other things; give a new or empty folder"):
        predict_fits(
            model, config, words, tmp_path, redshift=0.9, centre="55,-53", radius_arcmin=24.0, name="a"
        )
    with fits.open(tmp_path / "out" / "mass.fits") as file:
        file.verify("exception")
        header = file[0].header
        assert units.Unit(header["BUNIT"], format="fits") == units.Msun / units.kpc**2
        assert "a model" in str(header["HISTORY"])
    assert (tmp_path / "out" / "mass.png").stat().st_size > 10_000
    # Ten orders of magnitude too bright, and beyond the redshifts seen.
    said = capsys.readouterr().err
    assert "outside the training range: redshift" in said and "of the pixels of star brighter than" in said
