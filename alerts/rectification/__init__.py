"""Hazards followed until reviewed: orders with a deadline, photos, review, reminders, supervision (隐患整改闭环)."""
