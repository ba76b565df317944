"""Reports of a day or a week: alerts, time beyond limits, deliveries, rectification, availability; a site or all."""
