"""Every numba loop, one idea a file. Import them inside functions: numba takes 0.4 s to load."""
