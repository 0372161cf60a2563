"""The assets: one per step of the pipeline, five per portfolio, and the dbt models.

Belongs here: factories that turn a step, a portfolio file or a manifest into assets. Does not belong here: what
they compute.
"""
