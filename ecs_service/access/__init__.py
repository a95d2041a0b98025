"""Access to the service; docs/access.md describes it for all parts.

`edge` checks where a request comes from. `door` checks a ticket before the upgrade (`credentials`,
`ticket_keys`) and the right behind it before anything is served (`rights`). `watcher` ends sockets
that lose their right. `table` makes the calls. What is allowed is decided by `access.decisions`.
"""
