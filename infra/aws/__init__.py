"""Facts about AWS that take no call to AWS: tables of regions and zones, grammars, periods."""
