"""What makes one version differ from another: the recipe, the one table of its keys, and the checks of their values.

Knows the standard library alone. Where a value comes from (command line, luigi.cfg) is `tasks.wiring`'s matter.
"""
