"""Data types and protocols that all other packages use; core imports none of these packages."""
