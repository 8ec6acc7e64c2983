"""Every word, number format and table that a person reads.

Modules of this package take plain data (numbers, text, rows) and return text or print it. They
import nothing of recuse above `_internal`, so that every result can print itself by them.

numbers     how a number is written
terminal    tables, notes and progress on a terminal
"""
