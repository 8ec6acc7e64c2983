"""Every numba loop, one idea a file. Imported where they are used: numba takes 0.4 s to load."""
