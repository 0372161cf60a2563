"""Sections of the tear sheet, one module per part of the page.

Belongs here: what a section shows and says. Does not belong here: figures (see `analysis`), pictures (see `plots`),
escaping (see `markup`), the page around the sections (see `tearsheet`).
"""
