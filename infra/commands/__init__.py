"""Commands of operators besides the CDK's command line: `python -m infra.commands.NAME`."""
