"""Checks of arguments, files, csv and progress, for the packages of recuse alone."""
