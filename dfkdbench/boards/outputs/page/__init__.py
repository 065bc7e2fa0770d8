"""A board as one static page: tables, plots and pictures that need no server, no script and no other file but pictures.

Everything is markup made by `markup.element`, which escapes whatever is not markup already. Plots are SVG, drawn here.
"""
