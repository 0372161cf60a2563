"""`make study`: what the allocation rules would have earned over the recorded year (docs/allocation_study.md)."""
