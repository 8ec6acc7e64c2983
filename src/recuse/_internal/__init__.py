"""Checks of arguments, files, csv and progress bars: for the packages of recuse alone."""
