"""Facts about AWS that a synth knows without calling AWS: regions, zones, periods, cron."""
