"""The Debian packages with sounds and synthesisers, and whether they are installed.

They are looked for before anything starts: a missing voice would stop a rendering after
an hour.
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
    """A Debian package, and a program or the path of something that it brings."""

    name: str
    brings: str


def _recordings_of(recipes: Iterable[Recipe]) -> tuple[Package, ...]:
    """Packages of the recordings that recipes are made of."""
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
    """What rendering a split needs; without festival and recordings for a part of it,
    of which only those that render know what it needs."""
    parts = (*SYNTHESISERS, *FONTS[split])
    return (*parts, *VOICES[split], *RECORDINGS[split]) if is_whole else parts


def missing(packages: Sequence[Package]) -> list[Package]:
    """Those that are not installed."""
    return [package for package in packages if not _is_there(package.brings)]


def require(packages: Sequence[Package], purpose: str) -> None:
    """Makes sure that packages are installed.

    Args:
        packages: What must be there.
        purpose: What needs them, for the message.

    Raises:
        FileNotFoundError: naming all that are missing, and how to install them.
    """
    # A package may bring several archives.
    names = dict.fromkeys(package.name for package in missing(packages))
    if names:
        raise FileNotFoundError(
            f"{purpose} needs Debian packages that are not installed; install them: "
            f"apt-get install --no-install-recommends {' '.join(names)}"
        )


def _is_there(brings: str) -> bool:
    if brings.startswith("/"):
        return pathlib.Path(brings).exists()
    return shutil.which(brings) is not None
