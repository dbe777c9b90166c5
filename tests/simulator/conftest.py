import sys
from pathlib import Path

from hypothesis import settings

# pytest's importlib mode leaves sys.path alone, so a module shared by tests is named here.
if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))

# How long an example takes says nothing on a machine that others use too.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
