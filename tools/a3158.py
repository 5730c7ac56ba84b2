"""``python -m tools.a3158 RUN``: the page on Abell 3158, a real cluster seen by ROSAT.

RUN is a model of the view xray on a store of the level rosat. The page is made of what the model predicts,
the published masses below, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.command import command_line
from baselines.fits import SkyPrediction, draw_sky, parse_fits, predict_sky
from baselines.model import find_model, from_pretrained, read_model_config
from baselines.settings import Parser
from baselines.sky_images import Frame
from three_hundred_maps.display import markdown_table
from three_hundred_maps.geometry import aperture_fractions
from three_hundred_maps.nfw import enclosed_mass, projected_mass
from three_hundred_maps.observe.frame import PIXEL, PIXELS, Sky, cosmology_of, place
from three_hundred_maps.plot import new_figure
from three_hundred_maps.simulation.cosmology import MDPL2
from tools.page import texts, write_text

CENTRE, REDSHIFT, R200C_ARCMIN = (55.714, -53.628), 0.059, 23.95
"""Peak of the counts; redshift and r200 of Whelan et al. 2022 (A&A 663, A171)."""
PUBLISHED = (
    ("X-ray temperature", 5.09e14, 0.59e14),
    ("velocities of galaxies", 1.38e15, 0.25e15),
)
"""M200 in Msun with its error: both Whelan et al. 2022."""
CONCENTRATION = 4.0
"""Of the NFW halo that turns a published spherical mass into one inside a cylinder: assumed."""
FILES = {"image": "b_37.fits.gz", "exposure": "expose_mask_37.fits.gz"}
RADII = (0.1, 0.25, 0.5, 0.75, 1.0)
PICTURE, PROFILE = "a3158.png", "a3158_profile.png"

Floats = NDArray[np.float64]


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m tools.a3158", description=__doc__)
    parser.add_argument("run", help="a run on a store of the level rosat, of the view xray")
    parser.add_argument("--files", type=Path, default=Path("../shared/real/observed_a3158"))
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the page")
    options = parser.parse_args(args)
    folder = find_model(options.run)
    model, config = from_pretrained(folder), read_model_config(folder)
    images = {name: options.files / file for name, file in FILES.items()}
    # The level's background is what this pointing has beyond the cluster: none is exchanged.
    word = f"xray={images['image']},exposure={images['exposure']}"
    frame = Frame(CENTRE, R200C_ARCMIN)
    made = predict_sky(model, config.get("inputs", {}), parse_fits([word]), frame, REDSHIFT)
    background = vars(MDPL2)
    sky = place(cosmology_of({"simulation": {"cosmology": background}}), REDSHIFT)
    (options.out / "images").mkdir(parents=True, exist_ok=True)
    draw_sky(
        made, frame, options.out / "images" / PICTURE, "Abell 3158: ROSAT counts, and the mass predicted"
    )
    curves = profiles(made.mass, sky)
    draw_profiles(curves, options.out / "images" / PROFILE)
    print(write_text(options.out / "a3158.md", render(made, config, sky)))


def cylinder_masses(mass: Floats, sky: Sky, radii: Sequence[float]) -> Floats:
    """M(<R) in Msun of a map in Msun kpc-2, inside ``radii`` in R200c."""
    side_kpc = PIXEL * R200C_ARCMIN / sky.arcmin_per_kpc
    return np.array([(mass * aperture_fractions(PIXELS, r, PIXEL)).sum() * side_kpc**2 for r in radii])


def nfw_cylinder(M200c: float, sky: Sky, radii: Sequence[float]) -> Floats:
    """M(<R) of an NFW halo of that M200c inside cylinders of ``radii``, in R200c of the frame."""
    density = MDPL2.critical_density_msun_kpc3(REDSHIFT)
    R200c = (3.0 * M200c / (800.0 * np.pi * density)) ** (1 / 3)
    x = CONCENTRATION * np.asarray(radii) * R200C_ARCMIN / sky.arcmin_per_kpc / R200c
    return M200c * projected_mass(x) / float(enclosed_mass(CONCENTRATION))


def profiles(mass: Floats, sky: Sky) -> dict[str, tuple[Floats, Floats | None]]:
    """Curves of M(<R) over R = 0.05 to 1 R200c: the predicted one, and those of the published masses."""
    radii = np.linspace(0.05, 1.0, 39)
    curves: dict[str, tuple[Floats, Floats | None]] = {
        "predicted": (cylinder_masses(mass, sky, radii.tolist()), None)
    }
    for name, value, error in PUBLISHED:
        low, middle, high = (
            nfw_cylinder(m, sky, radii.tolist()) for m in (value - error, value, value + error)
        )
        curves[name] = (middle, np.stack([low, high]))
    return {"radius": (radii, None), **curves}


def draw_profiles(curves: dict[str, tuple[Floats, Floats | None]], path: Path) -> None:
    """M(<R) of `profiles`."""
    figure, ((axes,),) = new_figure(1, 1, (6, 4.4))
    radius = curves["radius"][0]
    for name, (middle, band) in curves.items():
        if name == "radius":
            continue
        line = axes.plot(radius, middle, lw=2 if band is None else 1, label=name)[0]
        if band is not None:
            axes.fill_between(radius, *band, color=line.get_color(), alpha=0.2, lw=0)
    axes.set(xlabel="R / R200c", ylabel="M(<R) in the cylinder (Msun)", yscale="log")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def render(made: SkyPrediction, config: dict[str, Any], sky: Sky) -> str:
    """The page."""
    predicted = cylinder_masses(made.mass, sky, RADII)
    published = [[nfw_cylinder(m, sky, RADII) for m in (v - e, v, v + e)] for _, v, e in PUBLISHED]
    rows = []
    for i, radius in enumerate(RADII):
        ranges = [f"{middle[i]:.2e} ({low[i]:.2e} to {high[i]:.2e})" for low, middle, high in published]
        rows.append([f"{radius:g}", f"{predicted[i]:.2e}", *ranges])
    head = ("R / R200c", "predicted (Msun)", *(f"from {name}" for name, _, _ in PUBLISHED))
    ratios = ", ".join(
        f"{predicted[-1] / middle[-1]:.2f} of that from {name}"
        for (name, _, _), (_, middle, _) in zip(PUBLISHED, published, strict=True)
    )
    outside = ", ".join(made.outside) or "nothing that is checked: brightness, redshift, beam and pixels"
    notes = "\n".join(f"- {note}" for note in made.notes)
    page = texts("a3158")["PAGE"]
    return (
        page.format(
            model=config.get("name", "?"),
            dataset=config.get("dataset", "?"),
            picture=PICTURE,
            notes=notes,
            table=markdown_table(head, rows),
            ratios=ratios,
            profile=PROFILE,
            concentration=CONCENTRATION,
            outside=outside,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
