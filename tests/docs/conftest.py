"""Where the site's own modules are found, and those beside this file."""

from __future__ import annotations

import sys
from pathlib import Path

for _folder in (Path(__file__).parents[2] / "scripts" / "site", Path(__file__).parent):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))
