"""The costs of a synthesised environment: templates in, lines and rates out.

    templates <- tasks, machines <- always_on <- report
        ^              ^------------ usage <-----|
        '------------------------ accounts <-----'

These modules read an assembly and nothing else, and compute on plain dictionaries. `prices` is the
dated table of prices; `infra.commands.cost` is the command.
"""
