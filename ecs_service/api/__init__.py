"""How clients speak with the service: one module per protocol."""
