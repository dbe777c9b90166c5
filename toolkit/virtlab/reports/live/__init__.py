"""A run as it goes by: moments of a timeline, the lines that show one, and a terminal view."""
