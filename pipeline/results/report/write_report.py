"""Writes one page that shows a dataset in a browser, without a network.

The charts are made with Plotly: its package ships the library as one file, and it draws
50,000 points with WebGL, with zoom and hover. Vega-Lite has no WebGL, and the package
of ECharts loads its library from the network.
"""

import base64
import hashlib
import html
import importlib.resources
import json
import os
import pathlib
import string
from typing import TYPE_CHECKING

from pipeline.dataset.folder import Dataset
from pipeline.errors import ConfigError
from transforms.storage import StorageError, publish

if TYPE_CHECKING:
    from pipeline.results.report.page_data import Limits
    from transforms.events.settings import EventSettings

_PAGE = importlib.resources.files("pipeline.results.report") / "page"
# The first one makes what the others use. The page has them in this order.
_SCRIPTS = ("page", "events", "overview")


def write_report(
    output: str,
    path: str,
    limits: "Limits | None" = None,
    settings: "EventSettings | None" = None,
) -> int:
    """Writes the page of a dataset.

    Args:
        output: Folder of a dataset; a run may be writing to it.
        path: Page to write.
        limits: Limits of the page; None for the defaults.
        settings: What counts as an event; None for the defaults.

    Returns:
        Size of the page in bytes.

    Raises:
        ConfigError: if the page cannot be written, or the settings do not suit the
            dataset.
        DatasetError: if the folder holds no dataset, or a damaged one.
    """
    page = pathlib.Path(os.path.abspath(path))
    if page.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(
            f"cannot write report {path}: expected a name that ends in .html"
        )
    if page.is_dir():
        raise ConfigError(f"cannot write report {path}: it is a folder")
    if not page.parent.is_dir():
        raise ConfigError(
            f"cannot write report {path}: the folder {page.parent} does not exist"
        )
    dataset = Dataset(output)
    dataset.existing_run()
    # scikit-learn takes seconds to import; wrong arguments are refused before.
    from pipeline.results.report.page_data import Limits, collect

    data = collect(dataset, str(page.parent), limits or Limits(), settings)
    content = build_page(data)
    content_bytes = content.encode("utf-8")
    try:
        with publish(str(page)) as file:
            file.write(content_bytes)
    except StorageError as error:
        raise ConfigError(f"cannot write report: {error}") from error
    return len(content_bytes)


def build_page(data: dict[str, object]) -> str:
    """Returns the page, which contains its data, styles, scripts and Plotly."""
    from plotly.offline import get_plotlyjs

    library, scripts = get_plotlyjs(), {name: _read(f"{name}.js") for name in _SCRIPTS}
    return string.Template(_read("page.html")).substitute(
        title=html.escape(os.path.basename(str(data["dataset"]))),
        policy=_policy([library, *scripts.values()]),
        style=_read("page.css"),
        data=script_json(data),
        library=library,
        **scripts,
    )


def script_json(data: object) -> str:
    """Returns JSON that cannot end the script element that contains it.

    It is ASCII only, so that HTML cannot read a name differently. It has no <, and
    therefore neither `</script>` nor `<!--`.
    """
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _policy(scripts: list[str]) -> str:
    """Returns a content security policy that allows only these scripts, and audio.

    The page uses the network only to play audio. Plotly needs inline styles, and eval
    for the functions that call its shaders.
    """
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()) for s in scripts]
    hashes = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes} 'unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data: blob:; "
        "media-src 'self' file: http: https:; base-uri 'none'; form-action 'none'"
    )


def _read(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")
