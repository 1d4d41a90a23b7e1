"""Sentiment of film reviews: the flagship study."""
