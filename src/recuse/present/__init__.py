"""Every word, number format and table that a person reads.

Modules of this package take plain data (numbers, text, rows) and return text or print it. They
import nothing of recuse above `_internal`, so that every result can print itself by them.

numbers      how a number is written
text         tables as plain text, typographic signs and names
terminal     tables, notes and progress on a terminal
measures     intervals and comparisons; what files of predictions hold
tuning       why a score was chosen
diagnosis    what label smoothing did to these logits
guarantee    guarantees, and why there is none
plan         how many rows to label
decisions    what a rejector decided, and why
monitor      what a monitor has seen
evaluation   an `Evaluation` on a terminal and in a notebook
over_seeds   models over seeds: tables and a story
pick         which model to pick, and why
page         the sentences of the HTML page
"""
