"""What an operator runs beside the CDK's command line: `python -m infra.commands.NAME`."""
