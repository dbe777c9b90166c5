"""What people and machines read of a run: each report is a pure function of plain values."""
