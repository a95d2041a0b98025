"""Operations: alarms, dashboards, notices and budgets."""
