"""How like real clusters the synthetic ones are: measured from their files through the readers and maps.

`three-hundred-maps simulate --check` runs it; ``--report`` writes ``docs/synthetic.md`` and its pictures.
"""
