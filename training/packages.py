"""Checks that the Debian packages with sounds and synthesisers are installed.

The check is done before rendering starts, because a missing voice would stop a
rendering only after an hour.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Iterable, Sequence

from training.recipes.added import ADDED, ADDED_CALIBRATION
from training.recipes.recipe import Recipe
from training.recipes.rendered import CALIBRATION, RECIPES
from training.recipes.sources import Recordings
from training.recordings.added_groups import ADDED_GROUPS
from training.recordings.groups import GROUPS
from training.synthesis.soundfonts import HELD_OUT_FONTS, TRAINED_FONTS

_SHARE = "/usr/share"
_FESTIVAL_VOICES = f"{_SHARE}/festival/voices"
_ASTERISK_VOICES = f"{_SHARE}/asterisk/sounds"


@dataclasses.dataclass(frozen=True)
class Package:
    """A Debian package.

    Attributes:
        name: Name of the package.
        provides: Name of a program, or absolute path of a file or folder, that is in
            the package.
    """

    name: str
    provides: str


def _recordings_of(recipes: Iterable[Recipe]) -> tuple[Package, ...]:
    """Packages of the recordings that the recipes use."""
    groups = (r.source.group for r in recipes if isinstance(r.source, Recordings))
    all_groups = GROUPS | ADDED_GROUPS
    archives = dict.fromkeys(a for group in groups for a in all_groups[group])
    return tuple(Package(archive.package, str(archive.path)) for archive in archives)


SYNTHESISERS = (
    Package("fluidsynth", "fluidsynth"),
    Package("espeak-ng", "espeak-ng"),
    Package("flite", "flite"),
)
FONTS: dict[str, tuple[Package, ...]] = {
    "trained": (
        Package("timidity", "timidity"),
        *(Package(f.package, str(f.path)) for f in TRAINED_FONTS),
    ),
    "held_out": tuple(Package(f.package, str(f.path)) for f in HELD_OUT_FONTS),
    **dict.fromkeys(("added", "calibration", "added_calibration"), ()),
}
VOICES: dict[str, tuple[Package, ...]] = {
    "trained": (
        Package("festival", "text2wave"),
        Package("festvox-kdlpc16k", f"{_FESTIVAL_VOICES}/english/ked_diphone"),
        Package("festvox-us-slt-hts", f"{_FESTIVAL_VOICES}/us/cmu_us_slt_arctic_hts"),
        Package("festvox-ru", f"{_FESTIVAL_VOICES}/russian/msu_ru_nsh_clunits"),
    ),
    "held_out": (
        Package("festival", "text2wave"),
        Package("festvox-itapc16k", f"{_FESTIVAL_VOICES}/italian/pc_diphone"),
        Package("festvox-italp16k", f"{_FESTIVAL_VOICES}/italian/lp_diphone"),
    ),
    **dict.fromkeys(("added", "calibration", "added_calibration"), ()),
}
RECORDINGS: dict[str, tuple[Package, ...]] = {
    "trained": _recordings_of(RECIPES),
    "held_out": (),
    "added": _recordings_of(ADDED),
    "calibration": _recordings_of(CALIBRATION),
    "added_calibration": _recordings_of(ADDED_CALIBRATION),
}
EVALUATION = (
    Package("asterisk-core-sounds-en-g722", f"{_ASTERISK_VOICES}/en_US_f_Allison"),
    Package("asterisk-core-sounds-fr-g722", f"{_ASTERISK_VOICES}/fr_CA_f_June"),
    Package("asterisk-core-sounds-it-g722", f"{_ASTERISK_VOICES}/it_IT_m_Carlo"),
    Package("asterisk-core-sounds-ru-g722", f"{_ASTERISK_VOICES}/ru_RU_f_IvrvoiceRU"),
    Package("gcompris-qt-data", f"{_SHARE}/gcompris-qt/rcc/memory-sound.rcc"),
    Package("hydrogen-drumkits", f"{_SHARE}/hydrogen/data/drumkits"),
    Package("sonic-pi-samples", f"{_SHARE}/sonic-pi/samples"),
)


def rendering_packages(split: str, *, is_whole: bool = True) -> tuple[Package, ...]:
    """Packages that rendering a split needs.

    Args:
        split: One of `training.render.SPLITS`.
        is_whole: Whether all recipes are rendered. If not, the packages of festival and
            of recordings are left out, because only some recipes need them.
    """
    parts = (*SYNTHESISERS, *FONTS[split])
    return (*parts, *VOICES[split], *RECORDINGS[split]) if is_whole else parts


def missing(packages: Sequence[Package]) -> list[Package]:
    """The packages that are not installed."""
    return [package for package in packages if not _is_installed(package)]


def require(packages: Sequence[Package], purpose: str) -> None:
    """Checks that packages are installed.

    Args:
        packages: Required packages.
        purpose: Task that needs the packages, for the message.

    Raises:
        FileNotFoundError: if packages are missing. The message names all of them and
            the command that installs them.
    """
    # One package may provide several archives, and so appear several times.
    names = dict.fromkeys(package.name for package in missing(packages))
    if names:
        raise FileNotFoundError(
            f"{purpose} needs Debian packages that are not installed; install them: "
            f"apt-get install --no-install-recommends {' '.join(names)}"
        )


def _is_installed(package: Package) -> bool:
    if package.provides.startswith("/"):
        return pathlib.Path(package.provides).exists()
    return shutil.which(package.provides) is not None
