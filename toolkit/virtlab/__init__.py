"""virtlab: the lab in which vCPU schedulers and memory coordinators are written, run and graded."""

__version__ = "0.1.0"
