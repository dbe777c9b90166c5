"""The plotting library as one piece of JavaScript, so that a page needs no network.

Vega, Vega-Lite and Vega-Embed come with vl-convert; putting them together takes seconds, so what
came of it is kept in the cache, by the version that made it.
"""

from __future__ import annotations

import contextlib
from importlib.metadata import PackageNotFoundError, version

from virtlab.errors import EnvironmentLackError
from virtlab.kept import cache_directory

__all__ = ["plotting_script"]

_EXPORT = "window.vegaEmbed = vegaEmbed;"


def plotting_script() -> str:
    """Return the script; it defines `vegaEmbed`.

    Raises:
        EnvironmentLackError: the packages for reports are not installed.
    """
    try:
        made_by = version("vl-convert-python")
    except PackageNotFoundError as error:
        raise EnvironmentLackError(
            "pages with charts need packages that are not installed.",
            fix="pip install 'virtlab[report]'",
        ) from error
    kept = cache_directory() / f"plotting-{made_by}.js"
    with contextlib.suppress(OSError):
        return kept.read_text(encoding="utf-8")
    import vl_convert

    script: str = vl_convert.javascript_bundle(_EXPORT)
    # A script in a page ends at the first such tag, even in a string.
    script = script.replace("</script", "<\\/script")
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_name(f".{kept.name}.partial")
        unfinished.write_text(script, encoding="utf-8")
        unfinished.replace(kept)
    return script
