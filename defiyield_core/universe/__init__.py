"""The universe: which pools there are, how they behave, which may be used, and why not.

Everything here is arithmetic on frames and arrays as of their days; tables are read and written by `pipeline`.
"""
