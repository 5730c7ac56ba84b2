"""The sentences of the card that are the same for every data set; `str.format` fills the names in."""

TITLE = "three_hundred_maps: multi-view maps of galaxy clusters"
SAMPLE_TITLE = "three_hundred_maps: the shipped sample"

HOMEPAGE = "https://the300-project.org"

SYNTHETIC = (
    "**Synthetic.** These clusters were drawn by the embedded synthetic simulation of `three_hundred_maps`, not by "
    "a cosmological run: they serve to learn, to test and to compare methods, not to do astrophysics with."
)
PARTLY_SYNTHETIC = (
    "**Partly synthetic:** {configs}. Clusters of these configs were drawn by an embedded synthetic simulation, not "
    "by a cosmological run; the others come from the simulations named below."
)
SIMULATED = "Maps of galaxy clusters from the hydrodynamical simulations named below."

WHAT = """\
Every row is one galaxy cluster seen along one line of sight, in several views that share one grid: {views}. The task
that the data set is made for is to infer the map of the total mass, most of it dark matter, from what telescopes
see. It follows [de Andres et al. 2024](https://arxiv.org/abs/2404.05400)."""

LOADING = """\
| way | needs | what to type |
| --- | --- | --- |
| ours | `pip install -e .` in a checkout of the project's repository | `three_hundred_maps.load_dataset("{repository}", "{config}", views=["{view}"])` |
| `datasets`, taught our name | the same, imported first | `datasets.load_dataset("three_hundred_maps", "{config}")`, with `THREE_HUNDRED_MAPS_REPO={repository}` |
| plain `datasets` | `pip install datasets` | `datasets.load_dataset("{repository}", "{config}", columns=["{view}", "M200c"])` |
| xarray, from the Zarr store | `pip install xarray zarr huggingface_hub` | `xarray.open_zarr("hf://datasets/{repository}/{zarr}", group="{split}")` |

Ours, which is installed from its repository as long as no release is on PyPI:

```python
from three_hundred_maps import load_dataset

rows = load_dataset("{repository}", "{config}", split="{split}", views=["{view}"])
row = rows.with_format("numpy")[0]
print(row["{view}"].shape, row["M200c"], "Msun")
```

`datasets`, taught our name by the import (it goes to this repository where the environment variable
`THREE_HUNDRED_MAPS_REPO` names it, else the config is built on your machine):

```python
import datasets
import three_hundred_maps

rows = datasets.load_dataset("three_hundred_maps", "{config}", split="{split}[:10%]")
print(rows)
```

Plain `datasets`, with no code of ours; `columns=` takes what is wanted alone, `streaming=True` downloads nothing
first:

```python
import datasets

rows = datasets.load_dataset("{repository}", "{config}", split="{split}", columns=["{view}", "M200c"])
print(rows.with_format("numpy")[0]["{view}"].shape)
```

The catalogue of clusters, with a picture of each, is the config `{config}-halos`.

"""

LOADING_CACHE = """
Rows are cached as Arrow where `datasets` caches them (`HF_HOME`, by default `~/.cache/huggingface`). Our own folder
`three_hundred_maps` of `HF_HOME`, or of `~/.cache`, holds downloads in `hub` and stores that were built on your
machine in `stores`; `THREE_HUNDRED_MAPS_HOME` moves all of these. Delete any of them to clear it; it is filled again
when it is needed.
"""

LOADING_ZARR = """
xarray, from the Zarr store, whose names, dimensions and units are all in place:

```python
import xarray as xr

{split} = xr.open_zarr("hf://datasets/{repository}/{zarr}", group="{split}")
print({split}["{view}"].attrs["units"], {split}["{view}"].shape)
```
"""

LOADING_SAMPLE = """\
| way | needs | what to type |
| --- | --- | --- |
| ours | `pip install -e .` in a checkout of the project's repository | `three_hundred_maps.load_dataset("{config}")` |
| `datasets`, taught our name | the same, imported first | `datasets.load_dataset("three_hundred_maps", "{config}")` |
| plain `datasets` | a checkout of the repository, as or below the working folder | `datasets.load_dataset("three_hundred_maps")` |
| any reader of Parquet | a checkout | the files in `three_hundred_maps/{config}/parquet` |

```python
from three_hundred_maps import load_dataset

rows = load_dataset("three_hundred_maps", "{config}", split="{split}")
row = rows.with_format("numpy")[0]
print(row["{view}"].shape, row["M200c"], "Msun")
```

```python
import datasets
import three_hundred_maps

rows = datasets.load_dataset("three_hundred_maps", "{config}", split="{split}", streaming=True)
print(sum(1 for _ in rows), "rows")
```

The same line without a config, `datasets.load_dataset("three_hundred_maps")`, gives two data sets: in a checkout,
with nothing of ours imported, these 24 rows; after `import three_hundred_maps` the config `mini`, which is built on
your machine once, and a line on standard error says so. `rows.info.config_name` tells them apart: `sample` or `mini`.

Rows are cached where `datasets` caches them (`HF_HOME`, by default `~/.cache/huggingface`), stores that were built
under `three_hundred_maps` in `HF_HOME` or in `~/.cache`; `THREE_HUNDRED_MAPS_HOME` overrides both. Delete a folder to
clear it."""

FIELDS = """\
Maps hold raw physical values, never normalised. Lengths are proper, masses in Msun, the Hubble parameter is nowhere
left in. The key of a cluster is (`simulation`, `region`, `snapshot`, `halo_id`): ids repeat between regions. A map
spans 2 R200c; the centre of the cluster lies on the corner of the four middle pixels; the first axis is y, upwards.
The value of a masked or unknown property is NaN. `with_format("numpy")` of `datasets` makes arrays single precision
(maps, `los_vector`, and any column of several rows) and leaves the scalars of one row double;
`with_format("arrow")` keeps all doubles. The fields of the Parquet files carry `unit` and `long_name` in their
metadata. In the benchmark of this data set only the maps and the redshift may be used as input: every other column
is truth, or tells it."""

WHY_REGIONS = """\
Splits are by region of the simulation, never by map or by cluster: all projections, neighbours and snapshots of one
region lie in one split. Two projections of one cluster share its mass and its shape, and neighbours share their
surroundings; split at random, a model is tested on clusters that it has seen."""

SPLITS_NOTE = (
    "`n of N` says how many clusters are in, of those that were planned; the difference was excluded."
)
SAMPLE_SPLITS = (
    "The sample is an excerpt of the config `mini`, one line of sight a cluster: enough to look at and to try code on, "
    "not to train on."
)

STATISTICS = """\
Quantiles are of log10 of the pixels above 0, over the train split of the whole store (see the group `statistics` of
its Zarr form)."""

MADE = """\
Particles around each halo are projected along fixed, quasi-uniform lines of sight on the half sphere. The frame is
R200c as measured from all particles around the catalogue's centre. Compton y integrates the electron pressure; the
X-ray map is bolometric, rest frame, integrated over all directions; stars and total mass are surface densities, the
total of dark matter, gas, stars and black holes. Gas is spread over its own kernel; every view is smoothed alike, by
less than a pixel: the pixel is the resolution."""

LIMITS = """\
- Made for: learning mass maps from observables, comparing methods under one benchmark, teaching.
- Not made for: measuring cosmological parameters, or masses of observed clusters, without a model of the telescope.
{instrument}- Maps are framed by the true R200c, which by itself tells something of the mass: compare with the no-input baseline,
  which stands on every board of the benchmark.
- The mass of a map is that of a box of the stated depth, not of the sphere{excess}.
- The sample is flat in mass by selection, not as the sky is: masses are neither the mass function nor independent of
  each other within a region.
- What gas and stars do is the physics of one code and its calibration: a model trained on one is off on another.
- No personal or sensitive data of any kind."""

NO_INSTRUMENT = "  There is no instrument, no noise, no background and no foreground in {maps}.\n"

EXCESS = ": over the whole map it is, in the median of train, {ratios}"

SYNTHETIC_LIMITS = """\
- Synthetic clusters are put together from profiles with scatter, orbits, mergers and filaments that are calibrated to
  published relations. Nothing in them formed or flowed, so they lack what was not put in, as the bubbles that jets
  blow. Results on them do not carry over to simulations or to the sky."""

REAL = """\
The maps of the paper were made from the hydrodynamical zoom simulations of The Three Hundred (GADGET-X and
GIZMO-SIMBA), which the collaboration shares on request: <https://the300-project.org>. With access, the same package
builds the same data set from them: `three-hundred-maps build gadgetx --root DIR --out STORE`."""

CITE = "Cite the paper that the data set follows, and the simulations of the configs you use."

BIBTEX = """\
@article{deandres2024maps,
  author  = {de Andres, Daniel and Cui, Weiguang and Yepes, Gustavo and De Petris, Marco and
             Aversano, Gianmarco and Ferragamo, Antonio and De Luca, Federico and Jim{\\'e}nez Mu{\\~n}oz, A.},
  title   = {Generating galaxy clusters mass density maps from mock multiview images via deep learning},
  journal = {EPJ Web of Conferences},
  volume  = {293},
  pages   = {00013},
  year    = {2024},
  doi     = {10.1051/epjconf/202429300013}
}
@article{cui2018threehundred,
  author  = {Cui, Weiguang and others},
  title   = {The Three Hundred project: a large catalogue of theoretically modelled galaxy clusters for
             cosmological and astrophysical applications},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {480},
  pages   = {2898},
  year    = {2018}
}"""
