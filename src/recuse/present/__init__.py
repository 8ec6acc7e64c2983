"""Every word, number format and table that a person reads.

Modules of this package take plain data (numbers, text, rows) and return text or print it. They
import nothing of recuse above `_internal`, so that every result can print itself by them.

numbers     how a number is written
tables      tables as plain data and as plain text
measures    intervals and comparisons
terminal    tables, notes and progress on a terminal
typeset     signs and names on the HTML page
evaluation  an `Evaluation` in a terminal and in a notebook
over_seeds  models over seeds: tables and a story
pick        which model to pick, and why
files       what files of predictions hold: evaluate, compare, mixture, average
page        the sentences of the HTML page
"""
