"""The function behind `/api/app/v1`: conversations, share links, tickets, API keys, people.

docs/access.md describes it, `access.messages` has its messages.
"""

import gc

# Nearly all that a cold start allocates stays, so collections while modules are imported find
# nothing: with fewer of them it takes a tenth less CPU time (benchmarks/api.py).
gc.set_threshold(50_000, 20, 100)
