"""A recipe: the YAML that says which simulation becomes which store.

Every default is the paper's. Unknown keys are errors; paths are relative to the recipe or to ``root``.
"""

from __future__ import annotations

import difflib
import importlib.resources
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.io import sha256_bytes
from three_hundred_maps.mapping.views import GasCuts
from three_hundred_maps.simulation.readers.source import BINARY_CODES, HDF5_CODES, LENGTH_UNITS

_INTEGER: Final = "tag:yaml.org,2002:int"
RECIPE_VERSION: Final = 1
"""Raised when a default changes, or what a key means: a recipe's identity leaves the defaults out."""

if TYPE_CHECKING:
    Dialect = str
    LengthUnit = str
else:  # what the readers know
    Dialect = Literal[(*BINARY_CODES, *HDF5_CODES)]
    LengthUnit = Literal[tuple(LENGTH_UNITS)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Path_ = Annotated[str, Field(min_length=1)]
Paths = Path_ | Annotated[tuple[Path_, ...], Field(min_length=1)]
SnapshotNumber = Annotated[int, Field(ge=0, lt=2**31)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Python would take yes for 1, and no for 0.
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError(f"yes and no (true, false) are not what this key takes (given {value})")
        return value


class CatalogueRecipe(_Model):
    """Where the halo catalogue is and of which kind."""

    kind: str  # a name of `catalogue.READERS`, which refuses others
    path: Paths  # several: these files alone, of a larger set


OF_FILES: Final[tuple[str, ...]] = ("snapshot", "catalogue", "region_by", "offsets", "length_unit", "dialect")
OF_SYNTHETIC: Final[tuple[str, ...]] = ("flavour", "seed", "resolution", "redshifts", "keep_snapshots")
OF_REGIONS: Final[tuple[str, ...]] = ("regions", "region_centres")
"""Keys of `SimulationRecipe` that one kind of simulation reads and another would pass over."""


class SimulationRecipe(_Model):
    """The simulation: files on disk, or the embedded synthetic one; or several, as ``sources``."""

    kind: Literal["gadget", "synthetic"]
    sources: tuple[
        dict[str, Any], ...
    ] = ()  # several simulations: of each, its id and what differs from here
    id: Name | None = None  # enters every halo's key
    universe: Name | None = None  # initial conditions: regions of one universe are the same under every code
    # files
    snapshot: Paths | None = None  # several: these files alone, of a larger set
    catalogue: CatalogueRecipe | None = None
    region_by: Literal["halo", "region"] = "region"
    regions: str | None = None
    region_centres: str | None = None
    number: SnapshotNumber | tuple[SnapshotNumber, ...] | None = None  # of the snapshot, or of several
    offsets: Path_ | None = None  # IllustrisTNG's offsets_NNN.hdf5: chunks may then be missing
    length_unit: LengthUnit | None = None
    dialect: Dialect | None = None
    gas: GasCuts = GasCuts()
    emissivity: Literal["cie", "atomdb", "bremsstrahlung"] = "cie"
    # synthetic
    flavour: Literal["gadgetx", "gizmo", "simba-strong", "hypercube"] = "gadgetx"
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 300
    resolution: Literal["light", "full", "coarse"] = "light"
    redshifts: tuple[float, ...] = (0.0,)  # one snapshot each
    keep_snapshots: bool = False

    @field_validator("regions", mode="before")
    @classmethod
    def _as_ranges(cls, value: Any) -> Any:
        # YAML reads a single region as a number, and some write a list as of `number`.
        given = value if isinstance(value, list) else [value]
        whole = all(isinstance(item, int) and not isinstance(item, bool) for item in given)
        return ",".join(map(str, given)) if given and whole else value

    def _require_of_kind(self) -> None:
        """ValueError where a key is given that this kind of simulation does not read."""
        foreign, of = OF_FILES, "files, not of kind synthetic"
        if self.kind == "gadget":
            foreign, of = OF_SYNTHETIC, "the synthetic simulation, not of kind gadget"
        given = [name for name in foreign if getattr(self, name) != type(self).model_fields[name].default]
        if not given and self.kind == "gadget" and self.region_by == "halo":
            given = [name for name in OF_REGIONS if getattr(self, name) is not None]
            of = "region_by: region; with region_by: halo each halo is one"
        if given:
            raise ValueError(f"{', '.join(f'simulation.{name}' for name in given)}: of {of}; leave it out")

    @model_validator(mode="after")
    def _complete(self) -> SimulationRecipe:
        if self.sources:
            self.members()
            return self
        if self.kind == "gadget":
            if self.snapshot is None or self.catalogue is None:
                raise ValueError("simulation.kind gadget needs simulation.snapshot and simulation.catalogue")
            if self.region_by == "region" and self.regions is None:
                raise ValueError(
                    "simulation.regions is needed, as '1-324' or '1,2,5-9'; "
                    "for a box without regions write region_by: halo"
                )
            if not self.numbers():
                raise ValueError("simulation.number: give at least one snapshot, each once")
            if len(self.numbers()) > 1 and self.region_by == "halo":
                raise ValueError(
                    "simulation.number: several snapshots of a box would put one halo into two splits;"
                    " give one"
                )
        elif self.regions is None:
            raise ValueError("simulation.kind synthetic needs simulation.regions, as '1-48'")
        else:
            self._check_redshifts()
        self._require_of_kind()
        self.region_list()
        return self

    def _check_redshifts(self) -> None:
        if self.number is not None:
            raise ValueError("simulation.number is of files; write simulation.redshifts, as [0, 0.5, 1]")
        if not self.redshifts or not all(0.0 <= z <= 1.0 for z in self.redshifts):
            raise ValueError("simulation.redshifts must name at least one, from 0 to 1")
        if len(self.epochs()) < len(self.redshifts):
            raise ValueError("simulation.redshifts lie too near each other: leave 0.05 between them")

    def members(self) -> tuple[SimulationRecipe, ...]:
        """The simulations of ``sources``, with the keys beside ``sources`` as defaults; else this one.

        Raises
        ------
        ValueError
            Naming the source that is wrong.
        """
        if not self.sources:
            return (self,)
        ids = [source.get("id") for source in self.sources]
        if self.id is not None or None in ids or len(set(map(str, ids))) < len(ids):
            raise ValueError("simulation.sources: each needs an id, its own (and simulation none)")
        common = self.model_dump(exclude_defaults=True, exclude={"sources"})
        found = []
        for source in self.sources:
            where = f"simulation.sources, {source['id']}"
            if not {"sources", "kind", "seed"}.isdisjoint(source):
                raise ValueError(f"{where}: kind and seed are said once, beside sources; it has none of them")
            try:
                found.append(SimulationRecipe(**{**common, **source}))
            except ValidationError as error:
                raise ValueError(f"{where}: {describe_validation(error)}") from None
        return tuple(found)

    def numbers(self) -> tuple[int, ...]:
        """The numbers of the snapshots that ``number`` names; 0 where it names none."""
        given = self.number if isinstance(self.number, tuple) else (self.number or 0,)
        return given if len(set(given)) == len(given) else ()

    def epochs(self) -> dict[int, float]:
        """Of a synthetic simulation, the redshift of each snapshot by its number, latest first."""
        from three_hundred_maps.simulation.synthetic.setup import Epoch

        return {Epoch(z).snapshot: z for z in sorted(self.redshifts)}

    def region_list(self) -> tuple[int, ...] | None:
        """The declared regions in rising order; None for a box whose halos are each its own region."""
        if self.kind == "gadget" and self.region_by == "halo":
            return None
        return parse_ranges(self.regions or "")


class SelectionRecipe(_Model):
    """Which halos: the paper's M200c >= 10^13.5 Msun/h hosts, thinned to a flat distribution in log mass."""

    min_mass: Positive = 3.1623e13  # Msun/h
    hosts_only: bool = True
    min_high_resolution_fraction: Fraction = 0.99  # the catalogue's
    max_low_resolution_fraction: Fraction = 1e-3  # of the cut-out's mass
    min_particles: Annotated[int, Field(ge=0)] = 1000  # of dark matter inside R200c
    log_mass_bins: Annotated[int, Field(ge=1)] = 17
    max_per_bin: Annotated[int, Field(ge=1)] | None = None
    max_halos: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class StarLightRecipe(_Model):
    """A table of stellar populations of the user's; the digest makes its bytes part of the identity."""

    path: str
    sha256: str = ""


class MapsRecipe(_Model):
    """The maps; lengths in R200c."""

    views: tuple[str, ...] = ("sz", "xray", "star", "mass")
    pixels: Annotated[int, Field(ge=2, le=4096)] = 80
    width: Annotated[float, Field(ge=0.01, le=1000.0)] = 2.0
    half_depth: Positive = 2.0
    smoothing_fwhm: Annotated[float, Field(ge=0.0)] = 0.01
    lines_of_sight: (
        Annotated[int, Field(ge=1, le=4096)]
        | Annotated[tuple[tuple[float, float, float], ...], Field(min_length=1)]
    ) = 29
    dm_smoothing: Literal["gaussian", "adaptive"] = "gaussian"
    star_light: StarLightRecipe | None = None  # the shipped table

    @model_validator(mode="after")
    def _not_smoothed_away(self) -> MapsRecipe:
        if self.smoothing_fwhm > self.width:
            raise ValueError(f"smoothing_fwhm {self.smoothing_fwhm:g} is wider than the map, {self.width:g}")
        return self

    def grid(self) -> MapGrid:
        """The map grid."""
        return MapGrid(self.pixels, self.width, self.half_depth, self.smoothing_fwhm)

    @field_validator("views")
    @classmethod
    def _views(cls, views: tuple[str, ...]) -> tuple[str, ...]:
        if not views or len(set(views)) != len(views):
            raise ValueError("maps.views must name at least one view, each once")
        return views


class SplitsRecipe(_Model):
    """Splits by region."""

    scheme: Literal["default", "paper", "small"] = "default"
    seed: Annotated[int, Field(ge=0)] = 0


class StoreRecipe(_Model):
    """The store's layout."""

    shard_halos: Annotated[int, Field(ge=1, le=4096)] = 32
    halo_variables: tuple[Literal["T_mw_500_keV", "Y_500_kpc2"], ...] = ()  # beside those of every store


class Recipe(_Model):
    """A whole recipe."""

    name: Name
    description: str = ""
    license: str = "unspecified"
    attribution: str = ""
    citation: str = ""
    recipe_version: Literal[1] = RECIPE_VERSION
    simulation: SimulationRecipe
    selection: SelectionRecipe = SelectionRecipe()
    maps: MapsRecipe = MapsRecipe()
    splits: SplitsRecipe = SplitsRecipe()
    store: StoreRecipe = StoreRecipe()

    def full(self) -> str:
        """The recipe as YAML with every default written out."""
        return _dump(self.model_dump(mode="json"))

    def canonical(self) -> str:
        """What differs from the defaults, and their version, as YAML: what a store carries.

        A new key with a default leaves it alone, so that the same recipe stays the same data set.
        """
        differs = self.model_dump(mode="json", exclude_defaults=True)
        return _dump({**differs, "recipe_version": RECIPE_VERSION})

    def members(self) -> tuple[Recipe, ...]:
        """The recipe of each simulation: of several where ``simulation.sources`` names them."""
        return tuple(self.model_copy(update={"simulation": each}) for each in self.simulation.members())

    @property
    def simulation_id(self) -> str:
        """The short name that enters every halo's key: ``simulation.id``, or one made from the recipe."""
        simulation = self.simulation
        made = f"synthetic-{simulation.flavour}" if simulation.kind == "synthetic" else self.name
        return simulation.id or made

    def sha256(self) -> str:
        """Digest of `canonical`: equal for recipes that mean the same."""
        return sha256_bytes(self.canonical().encode())


def _dump(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=True, allow_unicode=True)


def parse_ranges(text: str) -> tuple[int, ...]:
    """``"1-3,7"`` -> (1, 2, 3, 7); ValueError where it cannot be read."""
    numbers: set[int] = set()
    for part in str(text).split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"cannot read {text!r} as numbers; write for instance 1-324 or 1,2,5-9")
        low, high = int(first), int(last or first)
        if high < low or high - low > 1_000_000 or high >= 2**31:
            raise ValueError(f"{part.strip()!r} is not a rising range of numbers below 2^31")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = importlib.resources.files("three_hundred_maps") / "recipes"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def recipe_text(recipe: str | Path) -> tuple[str, Path | None]:
    """The text of a recipe given by file or shipped name, and its folder (None for a shipped one)."""
    path = Path(recipe)
    if str(recipe) in shipped_recipes() and not path.suffix:
        file = importlib.resources.files("three_hundred_maps") / "recipes" / f"{recipe}.yaml"
        return file.read_text(encoding="utf-8"), None
    try:
        return path.read_text(encoding="utf-8"), path.resolve().parent
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(
            f"no recipe {str(recipe)!r}: neither a file nor one of the shipped {', '.join(shipped_recipes())}"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file: a recipe is a short YAML") from None


class _Loader(yaml.SafeLoader):
    """YAML whose whole numbers are decimal, as 010 for ten, and whose keys are there once."""

    yaml_implicit_resolvers: Any = {
        first: [pair for pair in pairs if pair[0] != _INTEGER]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        twice = [key for number, key in enumerate(keys) if key in keys[:number]]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


# In YAML 1.1 the snapshot 010 is number 8, and 1:30 is 90.
_Loader.add_implicit_resolver(_INTEGER, re.compile(r"[-+]?[0-9][0-9_]*$"), list("-+0123456789"))
_Loader.add_constructor(_INTEGER, lambda _, node: int(str(node.value)))


def load_recipe(recipe: str | Path, *, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read and validate a recipe.

    Parameters
    ----------
    recipe
        A YAML file, or the name of a shipped recipe.
    overrides
        ``section.key=value`` strings (``--set``), values in YAML.

    Raises
    ------
    InputError
        One line naming the file, the key and what was expected.
    """
    text, _ = recipe_text(recipe)
    try:
        content: Any = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{recipe}{where}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict):
        raise InputError(f"{recipe}: a recipe is a YAML mapping with name, simulation, ...")
    # A section whose keys are all commented out is empty, which YAML calls null.
    content = {key: value for key, value in content.items() if value is not None}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise InputError(f"--set {override}: write section.key=value")
        target = content
        *sections, last = key.strip().split(".")
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise InputError(f"--set {override}: {section} is not a section")
        try:
            target[last] = yaml.load(value, _Loader)
        except (yaml.YAMLError, ValueError) as error:
            problem = getattr(error, "problem", error)
            raise InputError(f"--set {override}: the value is not valid YAML: {problem}") from None
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{recipe}: {describe_validation(error)}") from None


def _all_keys() -> dict[str, str]:
    """The keys of every section, each with the name that ``--set`` takes, as ``maps.views``."""
    schema, keys = Recipe.model_json_schema(), dict[str, str]()

    def add(part: dict[str, Any], section: str) -> None:
        for key, value in part.get("properties", {}).items():
            keys.setdefault(key, section + key)
            for name in re.findall(r"#/\$defs/(\w+)", str(value)):
                add(schema["$defs"].pop(name, {}), f"{section}{key}.")

    add(schema, "")
    return keys


_ALTERNATIVE: Final = re.compile(r"constrained-|tuple\[|(str|int)$")


def describe_validation(error: ValidationError) -> str:
    """All that pydantic found, as one line a person can act on."""
    lines = []
    for item in error.errors():
        # Of alternatives, pydantic's own names for them say nothing.
        where = ".".join(part for part in map(str, item["loc"]) if not _ALTERNATIVE.match(part))
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            keys = _all_keys()
            near = difflib.get_close_matches(str(item["loc"][-1]), keys, n=1)
            lines.append(f"unknown key {where}{f' (near it is {keys[near[0]]})' if near else ''}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            given = "" if item["type"] in ("missing", "value_error") else f" (given {item['input']!r})"
            lines.append(f"{where + ': ' if where else ''}{message}{given}")
    return "; ".join(lines)
