"""When and over which partitions the domain runs, where its tables live, and who is told.

Belongs here: assets, checks, partitions, schedules, sensors, resources, launching. Does not belong here: arithmetic
of the domain (see `defiyield_core`), nor a re-export of anything: import the module that you mean.
"""
