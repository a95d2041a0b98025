"""Operations: alarms, dashboards, notices and budgets.

watched     what alarms and dashboards observe: the capabilities of one environment
metrics     the metrics of both, each defined once
notices     the topic that people subscribe to
budgets     monthly budgets
alarms      an alarm for every way to lose data or money
dashboards  a page for the business and one for the operator
"""
