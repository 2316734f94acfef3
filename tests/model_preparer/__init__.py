"""A model's graph made explicit: functions and reused modules become named modules."""
