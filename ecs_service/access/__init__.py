"""Access to the service: the edge, tickets, and rights while a socket is open."""
