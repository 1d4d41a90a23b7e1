"""Riders of a bike-sharing system, forecast 24 hours ahead with their uncertainty."""
