"""The commands of `defiyield`, one module each.

Belongs here: reading arguments, calling the domain, printing. Does not belong here: what another caller needs too.
"""
