import sys
from pathlib import Path

# pytest's importlib mode leaves sys.path alone, so a module shared by tests is named here.
if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))
