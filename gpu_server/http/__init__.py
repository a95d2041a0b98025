"""The HTTP side of the server: its API, and bounds on requests, connections and transfers."""
