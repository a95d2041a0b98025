"""What a synthesised environment costs: templates in, lines and rates out.

    templates <- tasks, machines <- always_on <- report
        ^              ^------------ usage <-----|
        '------------------------ accounts <-----'

Everything here is arithmetic on plain dictionaries. `infra.commands.cost` is the command around
it, and `prices` the dated table under it.
"""
