"""Records read again: tables of them, plots, and the tables of the guides."""
